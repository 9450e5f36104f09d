"""Words that the house does not use any more: the field has a term for each."""

from __future__ import annotations

import ast
import re

import pytest

from tests import ROOT

HOUSE = sorted((ROOT / "forecast").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]

# word -> the field's term; as a part of any identifier, by itself or joined to others
NOT_IN_NAMES = {
    "lesson": "task",
    "teach": "fit",
    "taught": "fitted",
    "idea": "network spec",
    "ideas": "network specs",
    "diary": "run log",
    "attempt": "run context",
    "surprise": "anomaly score",
    "attended": "monitored",
    "rehearse": "dry run",
    "tidy": "apply retention",
    "edition": "published forecast",
    "editions": "published forecasts",
    "recipe": "train config",
    "recipes": "train configs",
    "judge": "validation loss",
    "pupil": "student",
    "pupils": "students",
    "team": "distributed context",
    "standstill": "flatline",
    "forks": "origins per window",
    "look": "decoder inputs",
    "looks": "decoder inputs",
}
# elsewhere the word has a meaning of its own: a slot of the week
NOT_IN_PACKAGES = {"slot": ("as-of snapshot", "forecast/scheduling/")}
NOT_IN_PAGES = ("lesson", "diary", "rehearse", "rehearsal", "taught", "edition", "pupil")
# last.json and the document of `status` have an attempt: readers count on these words.
KEPT = {"LastAttempt", "_attempt", "last_attempt", "attempt"}


def identifiers(tree: ast.AST) -> set[str]:
    """Every name that a module defines, binds or takes as a parameter."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def words_of(name: str) -> list[str]:
    """["Run", "Log"] of RunLog, ["run", "log"] of run_log; in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def offences(text: str) -> list[str]:
    """Identifiers of a module with a word that has a better term."""
    names = identifiers(ast.parse(text)) - KEPT
    return sorted(name for name in names if NOT_IN_NAMES.keys() & set(words_of(name)))


@pytest.mark.parametrize("text", ["def _read_lesson(): ...", "class RunDiary: ...", "idea_of = 1"])
def test_a_word_that_is_not_used_any_more_is_found_in_a_name(text):
    assert len(offences(text)) == 1


def test_names_of_the_house_are_the_fields_terms():
    found = {
        f"{path.relative_to(ROOT)}: {name}" for path in HOUSE for name in offences(path.read_text())
    }
    assert not found, f"{sorted(found)}: see {NOT_IN_NAMES}"


def test_words_of_one_package_are_the_fields_terms():
    for word, (term, package) in NOT_IN_PACKAGES.items():
        inside = [path for path in HOUSE if package in str(path)]
        found = {
            f"{path.relative_to(ROOT)}: {name}"
            for path in inside
            for name in identifiers(ast.parse(path.read_text()))
            if word in words_of(name)
        }
        assert inside
        assert not found, f"{sorted(found)}: {term}"


def test_pages_say_the_fields_terms():
    pattern = re.compile(rf"\b({'|'.join(NOT_IN_PAGES)})s?\b", re.I)
    found = {
        (page.name, match.group()) for page in PAGES for match in pattern.finditer(page.read_text())
    }
    assert not found
