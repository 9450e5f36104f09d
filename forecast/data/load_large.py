"""Large tables that are in order laid on their grid piece by piece, without sorting all rows.

`build_panel` keeps a time, a series and a place for every row at once: several times the memory of
the numbers. Here only the codes of the table and pieces of SLAB rows are held. What is not plainly
in order is left to `build_panel`, which knows every repair and every refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.segments import evenly
from forecast.data.build_panel import Built, checked, most_steps, trailing_note
from forecast.data.frequency import Frequency, infer_frequency
from forecast.data.io.arrow import as_numpy
from forecast.data.io.table import Table
from forecast.data.io.timestamps import Times, parse_times
from forecast.data.io.values import parse_numbers
from forecast.data.panel import Panel
from forecast.data.regularise import series_starts
from forecast.data.series_ids import distinct_ids

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

LEAST = 1 << 20  # rows; smaller tables cost nothing to build the usual way
SLAB = 1 << 20  # rows that are looked at together
SEEN = 1 << 20  # rows whose steps show the frequency; all rows are held to it afterwards
SERIES = 256  # series that these rows are taken from
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Coded:
    """The rows of a table as codes: N rows, S series sorted by id, D distinct times.

    codes  integers (N,): each row's id; rank (S,): the series of each id
    clock  integers (N,): each row's time, an index of times.stamps
    """

    ids: np.ndarray
    rank: np.ndarray
    codes: np.ndarray
    times: Times
    clock: np.ndarray
    values: np.ndarray

    def slabs(self, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Series, grid position and value of the rows, SLAB rows at a time."""
        for start in range(0, len(self.values), SLAB):
            rows = slice(start, start + SLAB)
            yield self.rank[self.codes[rows]], positions[self.clock[rows]], self.values[rows]


@dataclass(frozen=True)
class Extent:
    """What one pass over all rows shows of each series, arrays (S,) of grid positions.

    first, last      of its values; lowest, highest: of its rows
    by_series        the rows of each series stand together, ascending in time
    by_time          all rows ascend in time
    sorted           the series themselves are in order
    """

    first: np.ndarray
    last: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    by_series: bool
    by_time: bool
    sorted: bool


def direct_panel(table: Table, settings: DataSettings) -> Built | None:
    """The panel of a large long table in order of series or of time; None: `build_panel` must look.

    Raises InputError for values and gaps that `build_panel` refuses too.
    """
    coded = _coded(table, settings)
    if coded is None or (frequency := _frequency(coded)) is None or frequency.odd_months:
        return None
    stamps = coded.times.stamps
    positions, fits = frequency.locate(stamps if coded.times.integer else stamps.view("M8[ns]"))
    if not fits.all():
        return None
    extent = _extent(coded, positions)
    lengths = extent.last - extent.first + 1
    ordered = extent.by_series or extent.by_time
    if (
        not ordered
        or (extent.last < extent.first).any()
        or lengths.sum() > most_steps(len(positions))
    ):
        return None
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    end = extent.last.max() if settings.missing == "zero" else extent.last
    laid = _laid(coded, positions, extent, offsets, np.maximum(extent.last, end))
    if laid is None:
        return None
    values, counts, after = laid
    if len(lengths) > 1 and ((lengths - 1 >= 2 * (counts - 1)) & (counts >= 4)).any():
        return None  # some series may have a longer step
    panel = Panel(
        coded.ids, offsets, values, extent.first, frequency, coded.times.format, coded.times.tz
    )
    notes = [*table.notes, *coded.times.notes, *trailing_note(after)]
    return checked(panel, lengths - counts, (), notes, settings, table.where)


def _coded(table: Table, settings: DataSettings) -> Coded | None:
    """The codes of a table that is large, long and asked for nothing but reading."""
    import pyarrow as pa

    mapping = table.mapping
    asked = settings.resample or settings.freq or settings.tz or settings.drop_value
    roles = {*mapping.time, *mapping.id, *mapping.targets}
    if asked or mapping.wide or len(mapping.time) > 1 or len(mapping.id) > 1:
        return None
    if table.rows < LEAST or table.rejects is not None or set(table.columns) != roles:
        return None
    clock, target = table.columns[mapping.time[0]], table.columns[mapping.targets[0]]
    if not (pa.types.is_dictionary(clock.type) and pa.types.is_floating(target.type)):
        return None
    times = parse_times(
        clock.dictionary, name=mapping.time[0], dayfirst=settings.dayfirst, unit=settings.time_unit
    )
    found = distinct_ids(table, mapping)
    if times.bad.any() or found is None:
        return None
    values = parse_numbers(
        target, name=mapping.targets[0], where=table.where, locate=table.locate
    )  # fmt: skip
    return Coded(*found, times, as_numpy(clock.indices), values)


def _frequency(coded: Coded) -> Frequency | None:
    """The frequency that the first rows of some series show."""
    chosen = np.zeros(len(coded.ids), bool)
    chosen[evenly(len(chosen), SERIES)] = True
    series, stamps, size = [], [], 0
    for s, t, _ in coded.slabs(coded.times.stamps):
        taken = chosen[s]
        series.append(s[taken])
        stamps.append(t[taken])
        size += len(series[-1])
        if size > SEEN:
            break
    s, t = np.concatenate(series), np.concatenate(stamps)
    order = np.lexsort((t, s))
    s, t = s[order], t[order]
    once = np.concatenate([[True], (s[1:] != s[:-1]) | (t[1:] != t[:-1])])
    s, t = s[once], t[once]
    return infer_frequency(t, series_starts(s), coded.times.integer) if len(t) else None


def _extent(coded: Coded, positions: np.ndarray) -> Extent:
    size = len(coded.ids)
    first, lowest = np.full((2, size), NEVER)
    last, highest = np.full((2, size), -NEVER)
    rising = by_time = in_order = True
    runs, before = 0, (np.full(1, -1, np.int64), np.full(1, -NEVER))
    for s, p, values in coded.slabs(positions):
        past, then = np.concatenate([before[0], s]), np.concatenate([before[1], p])
        change, step = past[1:] != past[:-1], then[1:] >= then[:-1]
        by_time &= bool(step.all())
        rising &= bool((change | (then[1:] > then[:-1])).all())
        in_order &= bool((past[1:] >= past[:-1]).all())
        runs += int(change.sum())
        before = s[-1:], p[-1:]
        if not rising and not by_time:
            break
        change[0] = True
        starts = np.flatnonzero(change)
        known, of = np.isfinite(values), s[starts]
        np.minimum.at(lowest, of, np.minimum.reduceat(p, starts))
        np.maximum.at(highest, of, np.maximum.reduceat(p, starts))
        np.minimum.at(first, of, np.minimum.reduceat(np.where(known, p, NEVER), starts))
        np.maximum.at(last, of, np.maximum.reduceat(np.where(known, p, -NEVER), starts))
    return Extent(first, last, lowest, highest, rising and runs == size, by_time, in_order)


def _laid(
    coded: Coded, positions: np.ndarray, extent: Extent, offsets: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int] | None:
    """All values on the grid, rows inside each series (S,), and the number of rows after `ends`.

    None where two rows have one place. Values that stand in their places already are not copied.
    """
    total = int(offsets[-1])
    whole = (extent.lowest == extent.first).all() and (extent.highest == extent.last).all()
    if extent.by_series and extent.sorted and whole and total == len(coded.values):
        return coded.values, np.diff(offsets), 0
    values = np.full(total, np.nan)
    filled = np.zeros(0 if extent.by_series else total, bool)
    counts = np.zeros(len(coded.ids), np.int64)
    shift = offsets[:-1] - extent.first
    after = 0
    for s, p, found in coded.slabs(positions):
        late = p > extent.last[s]
        inside = ~late & (p >= extent.first[s])
        after += int((p > ends[s]).sum())
        s, p, found = s[inside], p[inside], found[inside]
        at = shift[s] + p
        values[at] = found
        if not extent.by_series:
            filled[at] = True
        starts = series_starts(s) if len(s) else np.zeros(0, np.int64)
        np.add.at(counts, s[starts], np.diff(np.append(starts, len(s))))
    if not extent.by_series and int(filled.sum()) != int(counts.sum()):
        return None
    return values, counts, after
