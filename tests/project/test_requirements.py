"""The lock of development and the lowest versions agree with what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLACE = ROOT / "requirements"
pytestmark = pytest.mark.skipif(not PLACE.is_dir(), reason="the locks are part of a checkout alone")


def pinned(name: str) -> dict[str, str]:
    lines = (PLACE / name).read_text().splitlines()
    found = [re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines]
    return {canonicalize_name(each[1]): each[2] for each in found if each}


def asked(*extras: str) -> list[Requirement]:
    texts = [*PROJECT["dependencies"]]
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def test_the_lock_has_every_dependency_in_a_version_that_is_admitted():
    lock = pinned("dev.txt")
    for need in asked("dev"):
        assert need.specifier.contains(lock[canonicalize_name(need.name)]), need


def test_every_line_of_the_lock_has_hashes():
    text = (PLACE / "dev.txt").read_text()
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in entry, entry[:80]
    assert "://" not in text


def test_the_lowest_versions_are_the_lower_bounds():
    lowest = pinned("lowest.txt")
    assert lowest.keys() == {canonicalize_name(need.name) for need in asked()}
    for need in asked():
        bounds = [each.version for each in need.specifier if each.operator == ">="]
        version = lowest[canonicalize_name(need.name)]
        assert need.specifier.contains(version), need
        assert version == bounds[0] or version.startswith(f"{bounds[0]}."), need
