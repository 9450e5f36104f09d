"""The glossary: one meaning a word, the document as the package has it, every score explained."""

from __future__ import annotations

import pytest

from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.evaluation.catalogue import ORDER, metric_named
from forecast.reporting.glossary import glossary_page, sections
from tests import ROOT

PAGE = ROOT / "docs" / "glossary.md"
ASKED_FOR = (
    "origin", "test window", "season", "MASE", "WQL", "CRPS", "OWA", "coverage", "member",
    "horizon", "baseline", "interval", "validation origin", "zero-shot", "as-of",
)  # fmt: skip


def test_the_document_is_the_one_that_the_package_writes():
    assert PAGE.read_text(encoding="utf-8") == glossary_page(), "run `make glossary`"


def test_every_word_has_one_meaning_of_one_sentence():
    words = [word for _, part in sections() for word in part]
    assert len(words) == len(set(words))
    for _, part in sections():
        for word, sentence in part.items():
            assert 15 < len(sentence) < 160 and not sentence.endswith("."), word


@pytest.mark.parametrize("word", ASKED_FOR)
def test_the_words_that_stop_a_reader_are_there(word):
    assert any(word in part for _, part in sections())


def test_every_score_has_a_name_and_a_meaning():
    for metric in (*ORDER, "coverage-95", "msis-80"):
        name, what = metric_named(metric).heading, metric_named(metric).meaning
        assert name != metric and 15 < len(what) < 100, metric


def test_help_explains_a_word_whatever_its_letters(capsys):
    assert run(["help", "mase"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("MASE mean error as a multiple of seasonal naive's")
    assert run(["help", "words"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("test window", "CRPS", "zero-shot"))
    with pytest.raises(UsageError, match="Did you mean horizon"):
        run(["help", "horizont"])
