"""Every command that README.md shows is run, and what it prints is what the page shows.

A block ```console begins with `$ COMMAND`; the lines after it are those of standard output, `...`
stands for any number of lines. Numbers may differ by two hundredths (another processor rounds
otherwise), all else may not. `UPDATE_README=1 pytest tests/project/test_readme.py` writes the
numbers of this run into the page where the words are the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests import ROOT

README = ROOT / "README.md"
NUMBER = re.compile(r"(?<![\w-])-?\d[\d,]*(?:\.\d+)?(?![\w-])")
CLOSE = 0.02
LINES = 130

pytestmark = pytest.mark.skipif(not README.exists(), reason="no README beside the tests")


@dataclass(frozen=True)
class Shown:
    """A command of the page and the lines below it."""

    command: str
    lines: tuple[str, ...]


def shown_in(page: str) -> list[Shown]:
    blocks = re.findall(r"^```console\n\$ ([^\n]+)\n(.*?)^```", page, re.M | re.S)
    return [Shown(command, tuple(text.splitlines())) for command, text in blocks]


def alike(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that are close."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    values = ((float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs)
    return all(abs(a - b) <= CLOSE * max(abs(a), abs(b), 1e-9) for a, b in values)


def unmatched(lines: tuple[str, ...], printed: list[str]) -> Iterator[str]:
    """Lines of the page that the output does not have where they are shown."""
    at, skipping = 0, False
    for line in lines:
        if line == "...":
            skipping = True
            continue
        ahead = range(at, len(printed) if skipping else min(at + 1, len(printed)))
        found = next((i for i in ahead if alike(line, printed[i])), None)
        if found is None:
            yield line
        else:
            at, skipping = found + 1, False
    if at < len(printed) and not skipping:
        yield f"(and then {printed[at]!r}, which the page does not show)"


def updated(page: str, outputs: dict[str, list[str]]) -> str:
    """The page with the numbers of this run, in lines whose words are the same."""
    for each in shown_in(page):
        for line in each.lines:
            words = NUMBER.sub("#", line).split()
            same = [p for p in outputs[each.command] if NUMBER.sub("#", p).split() == words]
            if line != "..." and same:
                closest = next((p for p in same if alike(line, p)), same[0])
                page = page.replace(line, closest.rstrip(), 1)
    return page


def test_the_comparison_sees_words_numbers_and_gaps():
    lines = ("a 10.0 b", "...", "end 2")
    assert not list(unmatched(lines, ["a 10.1 b", "x", "y", "end 2"]))
    assert list(unmatched(lines, ["a 11 b", "end 2"])) == ["a 10.0 b"]
    assert list(unmatched(lines, ["a 10 c", "end 2"])) == ["a 10.0 b"]
    assert list(unmatched(("a",), ["a", "b"])) == ["(and then 'b', which the page does not show)"]
    assert updated("```console\n$ x\na 10 b\n```\n", {"x": ["a 12 b"]}).count("a 12 b") == 1
    assert not alike("runs/first", "runs/second")


def test_every_command_prints_what_the_page_shows(tmp_path):
    page = README.read_text(encoding="utf-8")
    blocks = shown_in(page)
    assert len(blocks) >= 5
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LSTMCAST_")}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
    outputs: dict[str, list[str]] = {}
    for each in blocks:
        program, *words = each.command.split()
        assert program == "lstmcast"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "forecast", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{each.command}: {done.stderr[-2000:]}"
        outputs[each.command] = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    if os.environ.get("UPDATE_README"):
        README.write_text(updated(page, outputs), encoding="utf-8")
        blocks = shown_in(README.read_text(encoding="utf-8"))
    wrong = {
        each.command: list(unmatched(tuple(filter(str.strip, each.lines)), outputs[each.command]))
        for each in blocks
    }
    wrong = {command: lines for command, lines in wrong.items() if lines}
    assert not wrong, "UPDATE_README=1 writes new numbers; new words are for a person to write"
    assert (tmp_path / "runs" / "first" / "report.html").is_file()  # that the page speaks of


def test_the_page_is_short_and_begins_with_what_it_is_and_how_to_try_it():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    first = "\n".join(lines[:12])
    assert "make demo" in first and "make test" in first


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_every_link_of_a_page_leads_to_a_file(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert not missing
