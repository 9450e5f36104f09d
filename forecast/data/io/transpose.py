"""Tables whose header holds the times, each row a series: recognised, and turned (--transpose)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.columns import TIMELIKE, Column, Mapping
from forecast.data.io.notes import listed, refuse
from forecast.data.io.roles import names_of_months
from forecast.data.io.vocabulary import month_of, names_series, part_named

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings

LEAST = 4  # names of columns that are times, to call them the header's times
TIME, VALUE = "time", "value"


@dataclass(frozen=True)
class Turned:
    """The columns of a turned table, each value a row, and what they are.

    columns  name -> dictionary array; mapping: their roles; names: the header's times, in order
    """

    columns: dict[str, pa.Array]
    mapping: Mapping
    names: tuple[str, ...]


def times_of_header(names: Sequence[str]) -> tuple[str, ...]:
    """The names that are times (dates, years, or months beside a column of years), or ()."""
    digits = re.compile(r"(19|20)\d{2}((0[1-9]|1[0-2])([0-2]\d|3[01])?)?")
    times = tuple(n for n in names if TIMELIKE.fullmatch(n) or digits.fullmatch(n))
    if len(times) >= LEAST and 2 * len(times) >= len(names):
        return times
    year = [n for n in names if part_named(n) == "year"]
    others = tuple(n for n in names if n not in year)
    months = tuple(n for n in others if month_of(n))
    if len(year) == 1 and len(months) >= LEAST and names_of_months(months):
        return months
    return ()


def in_header(names: Sequence[str], times: Sequence[str], where: str) -> InputError:
    """The error for a table whose times stand in the header."""
    return refuse(
        "input/times-in-header", f"the times stand in the header ({listed(times, 3)})",
        where=where, value=f"{len(times)} of {len(names)} columns",
        remedy="Turn the table with --transpose: each row is a series",
    )  # fmt: skip


def turned(
    columns: dict[str, pa.Array], described: Sequence[Column], times: tuple[str, ...],
    settings: DataSettings, where: str,
) -> Turned:  # fmt: skip
    """The table with one row a value. columns: name -> dictionary array, as read.

    Raises InputError where no columns tell its rows apart.
    """
    rows = len(next(iter(columns.values())))
    year = next((n for n in columns if part_named(n) == "year" and n not in times), None)
    beside = [c for c in described if c.name not in (*times, year)]
    ids = _ids(columns, beside, rows, year, settings, where)
    count = len(times)
    found: dict[str, pa.Array] = {n: _repeated(columns[n], count) for n in ids}
    made: dict[str, pa.Array] = {}
    by_month = year is not None and not TIMELIKE.fullmatch(times[0])
    if year is not None and by_month:
        made = {year: _repeated(columns[year], count)}
    header = np.repeat(np.arange(count, dtype=np.int32), rows)
    name = "month" if made else TIME
    made[name] = _dictionary(header, as_strings(list(times)))
    made[VALUE] = _joined([columns[t] for t in times])
    reasons = {"time": "the header (--transpose)", "target": "the cells below it",
               "id": "what tells the rows apart" if ids else "none: one series"}  # fmt: skip
    time = (year, name) if year is not None and by_month else (name,)
    mapping = Mapping(time, ids, (), (VALUE,), False, reasons)
    return Turned(found | made, mapping, times)


def _ids(
    columns: dict[str, pa.Array], beside: Sequence[Column], rows: int, year: str | None,
    settings: DataSettings, where: str,
) -> tuple[str, ...]:  # fmt: skip
    """The columns that name each row: as asked, or the fewest that differ in every row."""
    if settings.id_col:
        return tuple(p.strip() for p in settings.id_col.split(","))
    per_series = [year] if year is not None else []
    names = [c.name for c in beside if c.kind in ("text", "integer")]
    names.sort(key=lambda n: not names_series(n))
    chosen: list[str] = []
    if _distinct(columns, per_series) == rows:
        return ()
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
    import pyarrow as pa

    return pa.concat_arrays([c.cast(pa.string()) for c in columns]).dictionary_encode()
