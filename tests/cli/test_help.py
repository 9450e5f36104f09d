"""Help: pages that fit the terminal, examples that run, and a word on every code."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import shutil

import pytest

from forecast.cli import console as consoles
from forecast.cli.app import COMMANDS, GROUPS
from forecast.cli.commands.help import explanations
from forecast.cli.examples import EXAMPLES
from tests import ROOT
from tests.teaching import taught_here

CODE = re.compile(r"[a-z]+/[a-z](?:[a-z0-9-]*[a-z0-9])?")
NO_CODES = {"etc/localtime", "etc/timezone", "series/s"}  # paths and units of the same form


def codes_in_the_source() -> set[str]:
    """Every text in forecast/ that has the form of a code."""
    found: set[str] = set()
    for path in (ROOT / "forecast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update([node.value] if CODE.fullmatch(node.value) else [])
    kinds = {each.split("/")[0] for each in explanations()}
    return {code for code in found if code.split("/")[0] in kinds} - NO_CODES


def test_every_code_is_explained_and_no_other():
    known, used = set(explanations()), codes_in_the_source()
    assert not used - known, "explain these in forecast/cli/error_codes.yaml"
    assert not {code for code in known - used if not code.endswith("/*")}, "no longer used"


def test_explanations_are_sentences():
    for code, text in explanations().items():
        assert len(text) > 20, code
        assert text.rstrip()[-1] not in ",;", code


def test_help_explains_a_code(lstmcast):
    code, out, err = lstmcast("help", "input/duplicate-time")
    assert (code, err) == (0, "")
    assert "--duplicates" in out
    assert json.loads(lstmcast("help", "system/enospc", "--json")[1])["codes"]["system/enospc"]
    listing = lstmcast("help", "codes")[1]
    assert all(each in listing for each in explanations())


@pytest.mark.parametrize(
    ("topic", "near"), [("input/duplicate-tim", "input/duplicate-time"), ("trian", "train")]
)
def test_a_mistyped_topic_is_answered_with_the_nearest(lstmcast, topic, near):
    code, _, err = lstmcast("help", topic)
    assert code == 2
    assert f"Did you mean {near}?" in err


def test_help_of_a_command_is_its_page(lstmcast):
    assert lstmcast("help", "train")[1] == lstmcast("train", "--help")[1]
    assert lstmcast("help")[1] == lstmcast("--help")[1]


@pytest.mark.parametrize("width", [80, 120])
def test_pages_fit_the_terminal(lstmcast, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for words in [("--help",), *((name, "--help-all") for name in COMMANDS)]:
        for line in lstmcast(*words)[1].splitlines():
            assert len(line) <= width or line.startswith(("  lstmcast ", "Usage:")), line
            assert line == line.rstrip()


def test_the_first_page_is_one_screen_with_a_line_a_command(lstmcast, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = lstmcast("--help")[1].splitlines()
    assert len(page) < 60
    for heading, commands in GROUPS.items():
        assert f"{heading}:" in page
        for name, line in commands.items():
            assert any(each.split() == [name, *line.split()] for each in page), name
    assert "Exit codes" not in "\n".join(page)
    assert "Exit codes" in lstmcast("--help-all")[1]


def test_the_usual_options_are_a_part_of_all(lstmcast, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    usual, full = lstmcast("train", "--help")[1], lstmcast("train", "--help-all")[1]
    flags = [set(re.findall(r"^ .*?(--[a-z-]+)", page, re.M)) for page in (usual, full)]
    assert {"--horizon", "--target-col", "--out", "--json"} <= flags[0] < flags[1]
    assert len(flags[0]) < len(flags[1]) / 2
    assert re.search(r"All \d+ options: lstmcast train --help-all", usual)


def test_the_first_page_of_a_command_is_short_and_has_what_its_examples_use(lstmcast, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in COMMANDS:
        page = lstmcast(name, "--help")[1]
        assert len(page.splitlines()) <= 64, name
        explained = set(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", page, re.M))
        own = (line for _, line in EXAMPLES[name] if line.startswith(name))
        used = {word for line in own for word in line.split() if word.startswith("--")}
        assert used <= explained, name
    assert "peephole" not in lstmcast("train", "--help")[1]
    assert "peephole" in lstmcast("train", "--help-all")[1]


def test_usage_has_one_notation(lstmcast):
    for name in COMMANDS:
        usage = next(x for x in lstmcast(name, "--help")[1].splitlines() if x.startswith("Usage"))
        words = usage.removeprefix(f"Usage: lstmcast {name} ").split()
        assert words[-1] == "[OPTIONS]"
        assert all(re.fullmatch(r"[A-Z]+|\[[A-Z]+\](\.\.\.)?", word) for word in words), usage


QUICK = {
    "LSTMCAST_MAX_STEPS": "2",
    "LSTMCAST_MEMBERS": "1",
    "LSTMCAST_TRY_SCRATCH": "no",
    "LSTMCAST_REFIT": "no",
    "LSTMCAST_JOBS": "1",
    "LSTMCAST_BASELINES": "seasonal-naive",
    "LSTMCAST_HIDDEN": "16",
}
# These take longer than a test may, and stand in tests of their own: backtests, searches, pictures.
SERVERS = {"serve", "mcp", "studio"}  # run until they are told to end
ELSEWHERE = {"backtest", "compare", "tune", "explain", "federate"}


@pytest.fixture
def beside_sample_data(tmp_path, monkeypatch):
    """A folder with sample_data/, sales/ and a planner's numbers, where training takes no time."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    (tmp_path / "sales").mkdir()
    shutil.copy(ROOT / "sample_data" / "airline_passengers.csv", tmp_path / "sales")
    (tmp_path / "ours.csv").write_text("ds,value\n1961-01,480\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("forecast.training.learn.train_members", taught_here)


def test_every_command_has_examples():
    assert set(EXAMPLES) == set(COMMANDS)


def test_examples_run(lstmcast, beside_sample_data, monkeypatch):
    """One after the other: a run that one makes is what later ones read."""
    for variable, value in QUICK.items():
        monkeypatch.setenv(variable, value)
    for name, examples in EXAMPLES.items():
        for _, line in examples:
            words = shlex.split(line)
            assert words[0] in (name, "forecast")  # what is merged has to be forecast first
            if name in ELSEWHERE | SERVERS:
                words.append("--help")
            code, _, err = lstmcast(*words)
            assert code == 0, (line, err)


def test_a_json_log_is_a_document_a_line_errors_too(lstmcast, sales):
    code, _, err = lstmcast("forecast", "sales.csv", "--log-format", "json", "--horizon", "3")
    assert code == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in lines].count("stage") >= 2
    assert all({"at", "level", "event"} <= set(line) for line in lines)


def test_the_sign_of_life_goes_before_anything_is_said():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    consoles.begin_waiting(stream, {"TERM": "xterm"})
    assert "starting" in stream.getvalue()
    consoles.make_console(io.StringIO())
    assert stream.getvalue().endswith("\r\x1b[K")
    consoles.begin_waiting(stream, {"TERM": "dumb"})
    assert stream.getvalue().endswith("\r\x1b[K")
