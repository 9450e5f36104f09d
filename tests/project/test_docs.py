"""What README, the documents and the Makefile say exists, exists."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from forecast.cli.app import COMMANDS, run
from forecast.config.options import all_options
from tests import ROOT

README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))

needs_readme = pytest.mark.skipif(not README.exists(), reason="no README beside the tests")


def code_of(markdown: str) -> list[str]:
    """Code blocks and inline code of a page."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", markdown, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)
    return blocks + re.findall(r"`([^`\n]+)`", rest)


def invocations(markdown: str) -> list[str]:
    """Each `lstmcast ...` command line in code, up to the end of its line or the next command."""
    code = "\n".join(code_of(markdown)).replace("\\\n", " ")
    code = re.sub(r"^docker build .*", "", code, flags=re.M)  # names an image so
    return re.findall(r"(?:^|[\s$(&;|])lstmcast ([^\n|;&>#)]*)", code)


def known_flags(capsys) -> dict[str, set[str]]:
    flags = {}
    for name in COMMANDS:
        run([name, "--help-all"])
        flags[name] = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", capsys.readouterr().out))
    switches = {option.flag for option in all_options() if option.switch}
    return {name: known | switches | {"--help"} for name, known in flags.items()}


def test_the_reader_of_command_lines_sees_commands_and_their_flags():
    page = (
        "x `lstmcast train a.csv --horizon 3` y\n```sh\n$ lstmcast predict \\\n  -o - | head\n```\n"
    )
    assert sorted(line.split()[0] for line in invocations(page)) == ["predict", "train"]
    assert any("-o -" in line for line in invocations(page))


@needs_readme
def test_every_command_and_flag_of_the_documents_exists(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    flags = known_flags(capsys)
    lines = [(page.name, line) for page in PAGES for line in invocations(page.read_text("utf-8"))]
    assert lines, "the documents show no command"
    for page, line in lines:
        command, *rest = line.split()
        if command.startswith("-"):
            assert set(line.split()) <= {"--help", "--version", "--json", "--install-completion"}
            continue
        if command.isupper():  # COMMAND --help
            continue
        assert command in COMMANDS, f"{page}: lstmcast {line}"
        for word in rest:
            flag = word.split("=")[0].strip("[]")
            if flag.startswith("-") and flag != "-" and not re.match(r"-\d", flag):
                assert flag in flags[command], f"{page}: lstmcast {line}"


@needs_readme
def test_the_page_of_python_prints_what_it_says(monkeypatch):
    import doctest

    import forecast

    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page, re.M | re.S)
    names = {name: getattr(forecast, name) for name in forecast.__all__}
    for kind, code in blocks:
        if kind == "python":
            exec(code, names)
    shown = "".join(code for kind, code in blocks if kind == "pycon")
    test = doctest.DocTestParser().get_doctest(shown, names, "python.md", None, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@needs_readme
def test_every_command_is_in_the_list_of_commands():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(COMMANDS) <= {line.split()[0] for line in invocations(page)}


@needs_readme
def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", "\n".join(code_of(README.read_text("utf-8")))))
    assert named <= targets


def test_make_test_installs_and_runs_the_tests():
    planned = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    ).stdout
    assert "-m venv" in planned
    assert "install" in planned
    assert "-m pytest" in planned.splitlines()[-1]


def test_the_continuous_check_is_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


def test_an_installed_package_has_its_presets_pages_and_scripts():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["forecast"]
    packaged = {path for pattern in patterns for path in (ROOT / "forecast").glob(pattern)}
    needed = {
        path
        for folder, _, names in os.walk(ROOT / "forecast", followlinks=True)
        for path in (Path(folder) / name for name in names)
        if path.suffix not in (".py", ".pyc")
    }
    missing = sorted(str(path.relative_to(ROOT / "forecast")) for path in needed - packaged)
    assert not missing, "add these to package-data in pyproject.toml"
