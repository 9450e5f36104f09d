"""`Rows of one table`, checked and typed: the step between a file's columns and a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.columns import Mapping
from forecast.data.io.notes import Note, quantity, quoted
from forecast.data.io.table import Table, Whole, whole_of
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.io.timestamps import Times
from forecast.data.io.values import parse_numbers
from forecast.data.io.vocabulary import names_series
from forecast.data.series_ids import as_objects, ids_of, with_needed_id
from forecast.data.time_columns import timed

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings


@dataclass(frozen=True)
class LongRows:
    """A long table's rows, N of them, in file order.

    ids      object (S,): distinct ids, sorted by code point
    codes    int32 (N,): position of each row's series in ids
    stamps   int64 (N,): nanoseconds on the written clock, or integers
    values   float64 (N,): NaN where missing
    integer  the times are integers
    format   how times are written; tz: see Panel
    instant  the stamps are instants in UTC, to be brought to the clock of tz
    locate   row numbers -> places in the file
    unread, whole  see Table
    """

    ids: np.ndarray
    codes: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    integer: bool
    format: str
    tz: str | None
    where: str
    locate: Callable[[Sequence[int]], list[str]]
    time_name: str
    target_name: str
    id_name: str | None
    id_hint: str = ""
    instant: bool = False
    unread: tuple[str, ...] = ()
    whole: Whole | None = None

    def taken(self, index: np.ndarray) -> LongRows:
        """The rows `index` (int64), in its order; places in the file stay right."""
        return replace(
            self,
            codes=self.codes[index],
            stamps=self.stamps[index],
            values=self.values[index],
            locate=lambda wanted: self.locate([int(index[w]) for w in wanted]),
            whole=whole_of(self.whole, index),
        )

    def without(self, bad: np.ndarray) -> LongRows:
        """The rows that are not `bad` (bool, (N,)); series that have none left disappear."""
        if not bad.any():
            return self
        rows = self.taken(np.flatnonzero(~bad))
        used = np.bincount(rows.codes, minlength=len(self.ids)) > 0
        rank = (np.cumsum(used) - 1).astype(np.int32)
        return replace(rows, ids=self.ids[used], codes=rank[rows.codes])

    def written(self, stamp: int) -> str:
        """One time as the file writes it."""
        return str(format_stamps(np.array([stamp]), self.format, self.tz)[0].as_py())

    def place(self, row: int) -> str:
        """`line 7, series 'A' at 2020-01-31`."""
        line = self.locate([row])[0]
        time = self.written(int(self.stamps[row]))
        if self.id_name is None:
            return f"{line}, at {time}"
        return f"{line}, series {str(self.ids[self.codes[row]])!r} at {time}"


# --- A table's columns become ids, times and values: `LongRows` ----------------------------------


def long_rows(table: Table, settings: DataSettings) -> tuple[LongRows, Mapping, list[Note], Table]:
    """Ids, times and values of every row; without a target, row numbers stand for values.

    Also the mapping with the ids that it takes, notes, and the table without what is no row.
    Raises InputError naming the first bad cells.
    """
    notes = list(table.notes)
    found = timed(table, settings)
    table, stamps, times = found.table, found.stamps, found.times
    notes += found.notes
    mapping = table.mapping
    if mapping.wide:
        rows = _wide_rows(table, stamps, times, settings, notes)
        return rows.without(np.tile(times.bad, len(rows.ids))), mapping, notes, table
    target = mapping.targets[0] if mapping.targets else ""
    values = np.arange(table.rows, dtype=float)
    if target:
        values = _values(table, target, settings, notes)
    if mapping.time:
        mapping = with_needed_id(table, mapping, stamps)
    elif not mapping.id:
        mapping = replace(mapping, id=tuple(o for o in mapping.id_options if names_series(o)))
    ids, codes, blank = ids_of(table, mapping)
    if not mapping.time:
        stamps = _counts_within(codes)
    rows = LongRows(
        ids=ids,
        codes=codes,
        stamps=stamps,
        values=values,
        integer=times.integer,
        format=times.format,
        tz=times.tz,
        where=table.where,
        locate=table.locate,
        time_name="+".join(mapping.time),
        target_name=target,
        id_name="+".join(mapping.id) or None,
        id_hint="" if mapping.id else _id_hint(mapping),
        instant=times.instant,
        unread=table.unread,
        whole=table.whole,
    )
    return rows.without(times.bad | blank), mapping, notes, table


def _counts_within(codes: np.ndarray) -> np.ndarray:
    """1, 2, 3, ... for the rows of each series, in file order."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(codes)))
    counts = np.empty(len(codes), np.int64)
    counts[order] = np.arange(len(codes)) - np.repeat(starts, lengths) + 1
    return counts


def _id_hint(mapping: Mapping) -> str:
    return f"--id-col {quoted(','.join(mapping.id_options))}" if mapping.id_options else ""


def _values(table: Table, name: str, settings: DataSettings, notes: list[Note]) -> np.ndarray:
    values = parse_numbers(
        table.columns[name], name=name, where=table.where, locate=table.locate,
        decimal=table.decimal, thousands=settings.thousands, rejects=table.rejects,
        missing=settings.na_values, units=settings.units, notes=notes,
    )  # fmt: skip
    if settings.drop_value:
        values = np.where(np.isin(values, settings.drop_value), np.nan, values)
    return values


def _wide_rows(
    table: Table, stamps: np.ndarray, times: Times, settings: DataSettings, notes: list[Note]
) -> LongRows:
    """Every column but the time is a series: laid end to end, sorted by name."""
    names = sorted(table.mapping.targets)
    values = np.concatenate([_values(table, n, settings, notes) for n in names])
    count = len(stamps)
    return LongRows(
        ids=as_objects(names),
        codes=np.repeat(np.arange(len(names), dtype=np.int32), count),
        stamps=np.tile(stamps, len(names)),
        values=values,
        integer=times.integer,
        format=times.format,
        tz=times.tz,
        where=table.where,
        locate=lambda rows: [
            f"{place}, column '{names[r // count]}'"
            for r, place in zip(rows, table.locate([r % count for r in rows]), strict=True)
        ],
        time_name="+".join(table.mapping.time),
        target_name=quantity(len(names), "column"),
        id_name=None,
        id_hint="",
        instant=times.instant,
    )
