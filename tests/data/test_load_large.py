"""A large table laid piece by piece is the panel that the usual way makes of it, note for note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data import load_large
from forecast.data.load import LoadReport, load_panel
from forecast.data.panel import Panel
from tests.data.test_input_catalogue import CASES, Case
from tests.inputs.builders import days, table, write


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Every table counts as large and is looked at seven rows at a time; was each laid directly?"""
    taken: list[bool] = []
    lay = load_large.direct_panel

    def watched(*arguments: object) -> object:
        built = lay(*arguments)  # type: ignore[arg-type]
        taken.append(built is not None)
        return built

    monkeypatch.setattr(load_large, "SLAB", 7)
    monkeypatch.setattr("forecast.data.load.direct_panel", watched)
    return taken


def both(path: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> list[object]:
    """What the usual way and the direct way make of a file: panel and report, or the error."""
    found: list[object] = []
    for least in (10**9, 0):
        monkeypatch.setattr(load_large, "LEAST", least)
        try:
            found.append(load_panel(path, DataSettings(**settings)))
        except InputError as error:
            found.append(str(error))
    return found


def same(usual: tuple[Panel, LoadReport], other: tuple[Panel, LoadReport]) -> bool:
    (a, ra), (b, rb) = usual, other
    arrays = ("ids", "offsets", "first")
    plain = ("frequency", "time_format", "tz")
    return (
        all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)
        and all(getattr(a, n) == getattr(b, n) for n in plain)
        and np.array_equal(a.values, b.values, equal_nan=True)
        and ra.to_dict() == rb.to_dict()
    )


def long_table(kind: str) -> str:
    """Four daily series of uneven lengths, in the order and with the flaws that `kind` names."""
    random = np.random.default_rng(7)
    rows = [
        (f"s{s}", day, f"{random.normal():.3f}")
        for s in range(4)
        for day in days(20 + 3 * s, f"2020-01-0{4 - s}")
    ]
    if "gaps" in kind:
        rows = [r for n, r in enumerate(rows) if n % 9 != 4]
    if "blanks" in kind:
        ends = {"2020-01-04", "2020-01-23", "2020-02-01"}
        rows = [(i, t, "" if t in ends or n % 11 == 3 else y) for n, (i, t, y) in enumerate(rows)]
    if "by time" in kind:
        rows.sort(key=lambda r: r[1])
    if "backwards" in kind:
        rows.sort(key=lambda r: r[0], reverse=True)
    if "shuffled" in kind:
        rows = [rows[n] for n in random.permutation(len(rows))]
    if "twice" in kind:
        rows.insert(6, rows[5])
    return table(["unique_id", "ds", "y"], *zip(*rows, strict=True))


TIDY = ("by series", "by time", "backwards", "by series gaps", "by time gaps", "backwards gaps",
        "by series blanks", "by time blanks", "by series gaps blanks")  # fmt: skip
UNTIDY = ("shuffled", "by series twice", "by time twice", "shuffled gaps blanks")


@pytest.mark.parametrize("kind", TIDY + UNTIDY)
def test_the_direct_way_makes_the_same_panel(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pieces: list[bool]
) -> None:
    usual, other = both(write(tmp_path, long_table(kind)), monkeypatch)
    assert same(usual, other)
    assert small_pieces == [False, kind in TIDY]


@pytest.mark.parametrize("missing", ["zero", "ffill"])
def test_missing_steps_are_filled_alike(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pieces: list[bool]
) -> None:
    path = write(tmp_path, long_table("by time gaps blanks"))
    usual, other = both(path, monkeypatch, missing=missing)
    assert same(usual, other)
    assert small_pieces[1]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_catalogue_case_gets_the_same_answer(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pieces: list[bool]
) -> None:
    usual, other = both(write(tmp_path, case.content), monkeypatch, **case.settings)
    if isinstance(usual, str):
        assert other == usual
    else:
        assert not isinstance(other, str), other
        assert same(usual, other)


def test_values_that_stand_in_their_places_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_large, "LEAST", 0)
    laid = load_large._laid
    copied = []

    def watched(coded: load_large.Coded, *arguments: object) -> object:
        found = laid(coded, *arguments)  # type: ignore[arg-type]
        copied.append(not np.shares_memory(found[0], coded.values))
        return found

    monkeypatch.setattr(load_large, "_laid", watched)
    load_panel(write(tmp_path, long_table("by series")), DataSettings())
    load_panel(write(tmp_path, long_table("by time")), DataSettings())
    assert copied == [False, True]
