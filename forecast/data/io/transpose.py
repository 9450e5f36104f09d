"""Tables whose header holds the times, each row a series: recognised, and turned (--transpose)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_floats, as_numpy, as_strings, rows_of, word
from forecast.data.io.columns import Column, Mapping
from forecast.data.io.notes import Note, listed, quantity, refuse
from forecast.data.io.roles import named_columns
from forecast.data.io.time_forms import names_of_months
from forecast.data.io.values import number_strings, unusual_numbers
from forecast.data.io.vocabulary import TOTAL_WORDS, names_series, part_named

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings

TIME, VALUE = "time", "value"
MONTH, YEAR = "month", "year"  # what the header has where a column has the other
NEAR = 2e-3  # share by which a total may differ from the sum of rounded numbers


@dataclass(frozen=True)
class Turned:
    """The columns of a turned table, each value a row, and what they are.

    columns  name -> array; mapping: their roles; names: the header's times, in order
    rows     int64 (R,): the rows of the table that are series, the n-th value of all of them coming
             before the next; notes: what was left out
    """

    columns: dict[str, pa.Array]
    mapping: Mapping
    names: tuple[str, ...]
    rows: np.ndarray
    notes: tuple[Note, ...]

    def places(self, wanted: Sequence[int], lines: Sequence[str]) -> list[str]:
        """Where the values `wanted` stand, `lines` being the places of their rows."""
        count = len(self.rows)
        return [
            f"{line}, column '{self.names[w // count]}'"
            for w, line in zip(wanted, lines, strict=True)
        ]


def in_header(names: Sequence[str], times: Sequence[str], where: str) -> InputError:
    """The error for a table whose times stand in the header."""
    return refuse(
        "input/times-in-header", f"the times stand in the header ({listed(times, 3)})",
        where=where, value=f"{len(times)} of {len(names)} columns",
        remedy="Turn the table with --transpose: each row is a series",
    )  # fmt: skip


def turned(
    columns: dict[str, pa.Array], described: Sequence[Column], times: tuple[str, ...],
    decimal: str, settings: DataSettings, where: str,
) -> Turned:  # fmt: skip
    """The table with one row a value. columns: name -> array, as read; decimal: its decimal mark.

    Columns and rows of totals are left out, and said. Raises InputError where no columns tell its
    rows apart, or one among the times is none.
    """
    beside = [c for c in described if c.name not in times]
    numbers = {n: _floats(columns[n], decimal, settings) for n in times}
    part, header = _parts_of_times(columns, beside, times)
    kept, notes = _series_rows(columns, [c.name for c in beside], numbers)
    columns = {n: rows_of(column, kept) for n, column in columns.items()}
    values = np.stack([numbers[n][kept] for n in times])
    counts = [c.name for c in beside if c.kind in ("number", "integer") and c.name != part]
    totals = [
        name for name in counts
        if _is_total(name, list(columns), times, values, _floats(columns[name], decimal, settings))
    ]  # fmt: skip
    named = [c for c in beside if c.name not in (*totals, part)]
    ids = _ids(columns, named, part, settings, where)
    static = _static(list(columns), (*ids, *times, part), settings, where)
    notes += _left_out(named, (*ids, *static), totals, list(columns), times, where)
    made = _laid_end_to_end(columns, (*ids, *static), part, times, header)
    reasons = {"time": "the header (--transpose)", "target": "the cells below it",
               "id": "what tells the rows apart" if ids else "none: one series"}  # fmt: skip
    time = (header,) if part is None else (part, header) if header == MONTH else (header, part)
    mapping = Mapping(time, ids, (), (VALUE,), False, reasons, static)
    return Turned(made, mapping, times, kept, tuple(notes))


def _static(
    names: Sequence[str], taken: Sequence[str | None], settings: DataSettings, where: str
) -> tuple[str, ...]:
    """The columns that are asked for as what never changes in a row (its place in a hierarchy), but
    those `taken` already. Raises InputError where one is missing."""
    flag = "--set data.static_cov"
    found = [n for g in settings.static_cov for n in named_columns(g, names, flag, where)]
    return tuple(n for n in found if n not in taken)


def _parts_of_times(
    columns: dict[str, pa.Array], beside: Sequence[Column], times: Sequence[str]
) -> tuple[str | None, str]:
    """The column that has the other part of the header's times, and what the header's part is:
    a year beside months across, or months beside years across."""
    year = next((c.name for c in beside if part_named(c.name) == "year"), None)
    if year is not None and names_of_months(times):
        return year, MONTH
    if all(re.fullmatch(r"(19|20)\d\d", t.strip()) for t in times):
        for column in beside:
            cells = [t for t in _cells(columns[column.name]) if not TOTAL_WORDS.fullmatch(t)]
            if names_of_months(dict.fromkeys(filter(None, cells))):
                return column.name, YEAR
    return None, TIME


def _floats(column: pa.Array, decimal: str, settings: DataSettings) -> np.ndarray:
    """float64 (R,) of the cells, NaN where there is no number."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_integer(column.type) or kinds.is_floating(column.type):
        return np.asarray(as_numpy(as_floats(column)))
    if not kinds.is_dictionary(column.type):
        column = column.cast(pa.string()).fill_null(word("")).dictionary_encode()
    if not len(column.dictionary):
        return np.full(len(column), np.nan)
    texts = column.dictionary.cast(pa.string())
    found, bad = number_strings(texts, decimal, settings.thousands)
    if bad.any():
        found, _, _ = unusual_numbers(
            texts, found, bad, decimal, settings.na_values, settings.units
        )  # fmt: skip
    return np.asarray(found[as_numpy(column.indices)])


def _series_rows(
    columns: dict[str, pa.Array], beside: Sequence[str], numbers: dict[str, np.ndarray]
) -> tuple[np.ndarray, list[Note]]:
    """int64 (R,): the rows but blank ones and those of totals, which are the sums of all others or
    of those between the last totals and them; and notes."""
    texts = {n: _cells(columns[n]) for n in beside}
    values = np.nan_to_num(np.stack(list(numbers.values())))
    blank = np.isnan(np.stack(list(numbers.values()))).all(axis=0)
    blank &= np.array([not any(texts[n][r] for n in beside) for r in range(len(blank))])
    called = [
        r for r in range(len(blank)) if any(TOTAL_WORDS.fullmatch(texts[n][r]) for n in beside)
    ]
    plain = np.ones(len(blank), bool)
    plain[called] = False
    totals: list[int] = []
    after = 0
    for row in called:
        around = (values[:, after:row].sum(axis=1), values[:, plain].sum(axis=1))
        if any(np.allclose(values[:, row], sums, rtol=NEAR) for sums in around) and plain.any():
            totals.append(row)
            after = row + 1
    kept = np.flatnonzero(~blank & ~np.isin(np.arange(len(blank)), totals))
    notes = []
    if totals:
        named = tuple(next(t[r] for t in texts.values() if t[r]) for r in totals[:3])
        text = f"{quantity(len(totals), 'row')} of totals: left out"
        notes.append(Note("repair/no-row", text, len(totals), named))
    return kept, notes


def _cells(column: pa.Array) -> list[str]:
    import pyarrow as pa

    return ["" if t is None else t.strip() for t in column.cast(pa.string()).to_pylist()]


def _is_total(
    name: str, names: Sequence[str], times: Sequence[str], values: np.ndarray, column: np.ndarray
) -> bool:
    """Whether a column of numbers (R,) is called a total of the times' `values` (T, R), or is the
    sum or mean of all of them, or of those between it and the last column that is none."""
    if TOTAL_WORDS.fullmatch(name):
        return True
    at = names.index(name)
    block = 0
    while at - block > 0 and names[at - block - 1] in times:
        block += 1
    before = sum(n in times for n in names[:at])
    known = ~np.isnan(column)
    if known.sum() < 2:
        return False
    whole = np.nan_to_num(values)
    counts = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    sums = [whole.sum(axis=0), whole.sum(axis=0) / counts]
    sums += [whole[before - block : before].sum(axis=0)] if block > 1 else []
    return any(np.isclose(column, s, rtol=NEAR)[known].mean() > 0.9 for s in sums)


def _left_out(
    beside: Sequence[Column], ids: Sequence[str], totals: Sequence[str], names: Sequence[str],
    times: Sequence[str], where: str,
) -> list[Note]:  # fmt: skip
    """Notes on columns that are neither times nor ids. Raises InputError for numbers among the
    times: a time that is written otherwise, for all that is known."""
    places = [n for n, name in enumerate(names) if name in times]
    others = [c for c in beside if c.name not in ids]
    among = [
        c.name for c in others
        if places[0] < names.index(c.name) < places[-1] and c.kind in ("number", "integer", "text")
    ]  # fmt: skip
    if among:
        raise refuse(
            "input/no-time-among-times",
            f"'{among[0]}' stands among the header's times and is none that is known", where=where,
            value=among[0], count=len(among),
            remedy=f"Write it as the others are ({listed(times, 2)}), or remove the column",
        )  # fmt: skip
    notes = []
    if totals:
        text = f"{quantity(len(totals), 'column')} of totals: left out ({listed(totals, 5)})"
        notes.append(Note("repair/no-series", text, len(totals)))
    if others:
        what = listed((c.name for c in others), 5)
        text = f"{quantity(len(others), 'column')} beside the times: left out ({what})"
        notes.append(Note("repair/no-series", text, len(others)))
    return notes


def _laid_end_to_end(
    columns: dict[str, pa.Array], kept: Sequence[str], part: str | None, times: Sequence[str],
    header: str,
) -> dict[str, pa.Array]:  # fmt: skip
    """The columns `kept` as they are for each time, the header's times, called `header`, with the
    column that has a part of them, and the values below."""
    count, rows = len(times), len(columns[times[0]])
    made: dict[str, pa.Array] = {n: _repeated(columns[n], count) for n in kept}
    if part is not None:
        made[part] = _repeated(columns[part], count)
    codes = np.repeat(np.arange(count, dtype=np.int32), rows)
    made[header] = _dictionary(codes, as_strings(list(times)))
    made[VALUE] = _joined([columns[t] for t in times])
    return made


def _ids(
    columns: dict[str, pa.Array], beside: Sequence[Column], part: str | None,
    settings: DataSettings, where: str,
) -> tuple[str, ...]:  # fmt: skip
    """The columns that name each row: as asked, or the fewest that differ in every row.

    Columns of text, and of numbers that are called an id, come before other whole numbers.
    """
    if settings.id_col:
        return named_columns(settings.id_col, list(columns), "--id-col", where)
    if settings.no_id:
        return ()
    rows = len(next(iter(columns.values())))
    per_series = [part] if part is not None else []
    chosen: list[str] = []
    if _distinct(columns, per_series) == rows:
        return ()
    called = [c.name for c in beside if names_series(c.name) and c.kind in ("text", "integer")]
    texts = [c.name for c in beside if c.kind == "text" and c.name not in called]
    numbers = [c.name for c in beside if c.kind == "integer" and c.name not in called]
    for names in ([*called, *texts], numbers):
        for name in names:
            if _distinct(columns, [*per_series, name]) == rows:
                return (name,)
        for name in names:
            chosen.append(name)
            if _distinct(columns, [*per_series, *chosen]) == rows:
                return tuple(chosen)
    raise refuse(
        "input/rows-alike", "no column tells the rows of the turned table apart", where=where,
        remedy="Give each row a name of its own, and say --id-col",
    )  # fmt: skip


def _distinct(columns: dict[str, pa.Array], names: Sequence[str]) -> int:
    texts = [columns[n].cast("string").to_pylist() for n in names]
    return len(set(zip(*texts, strict=True))) if texts else 1


def _repeated(column: pa.Array, times: int) -> pa.Array:
    return column.take(as_arrow(np.tile(np.arange(len(column)), times)))


def _dictionary(codes: np.ndarray, texts: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(as_arrow(codes), texts)


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    """The cells of all columns: numbers where all are, else texts, blank ones the empty string."""
    import pyarrow as pa

    kinds = {c.type for c in columns}
    if all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds):
        return pa.concat_arrays([as_floats(c) for c in columns])
    texts = pa.concat_arrays([c.cast(pa.string()) for c in columns])
    return texts.fill_null(word("")).dictionary_encode()
