"""First and last periods of a resampled table that its rows fill only in part.

A sum over the four days of June that a file holds is no value of June. Which steps of a period are
missing is read off the rows: their own step, and on which hours and days there usually is one.
Rows without a step of their own (receipts) are judged by when those of a period usually begin and
end.
Axes: N rows sorted by series and time, S series, K steps of a week.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.frequency import DAY, Frequency, infer_frequency
from forecast.data.io.notes import PLACES, Note, quantity
from forecast.data.io.timestamp_writing import MONTH_NAMES
from forecast.data.open_steps import MOST_CELLS, slots

if TYPE_CHECKING:
    from forecast.data.rows import LongRows

NAMED_BY_END = ("ME", "QE", "YE", "BME")  # grids that name a period by its last day
SUB_DAILY = ("h", "min", "s", "ms", "us", "ns")
OFTEN = 0.5  # share of its times from which on a step is one that usually has a row
LEAST_SEEN = 2  # times that an hour of the week must have come before it is judged by itself
LEAST_PERIODS = 5  # before it is known when the rows of a period usually end
LEAST_ALIKE = 3  # the same for those of one weekday, or hour
RECENT = 200  # periods that tell it
UNUSUAL = 0.05  # share of periods that may end early without being cut off
SLACK = 1 / 48  # of a period: rows that end earlier by less tell nothing
LOOKED = 1_000  # series that are judged by themselves where rows have no step of their own
UNITS = {
    "D": "days", "B": "business days", "h": "hours", "min": "minutes", "s": "seconds",
    "W": "weeks", "MS": "months", "ME": "months", "QS": "quarters", "QE": "quarters",
}  # fmt: skip
KEEP = "--set data.drop_partial=false keeps it"


@dataclass(frozen=True)
class Edges:
    """The first and the last period of each series, arrays (2, S).

    bins: the period; whole: steps that usually have a row in it; missing: how many of them lie
    before the first row, or after the last; cut: the rows begin late, or end early, for such a
    period; unit: what steps are.
    """

    bins: np.ndarray
    whole: np.ndarray
    missing: np.ndarray
    cut: np.ndarray
    unit: str

    @property
    def partial(self) -> np.ndarray:
        """bool (2, S): the period is filled in part."""
        return np.asarray((self.missing > 0) | self.cut)


def own_step(rows: LongRows) -> Frequency | None:
    """The regular step of the rows, several rows at one time taken as one; None without."""
    codes, stamps = rows.codes, rows.stamps
    if ((np.diff(codes) < 0) | ((np.diff(codes) == 0) & (np.diff(stamps) < 0))).any():
        order = np.lexsort((stamps, codes))
        codes, stamps = codes[order], stamps[order]
    starts = _starts(codes, stamps)
    return infer_frequency(stamps[starts], _starts(codes[starts]), rows.integer)


def bounds(grid: Frequency, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end (int64: nanoseconds, or integers) of the periods `bins` of `grid`."""
    if not grid.integer and (grid.parts[1] in NAMED_BY_END or grid.parts[1] == "B"):
        days = (grid.stamps(bins - back).astype("M8[D]") + 1 for back in (1, 0))
        begin, end = (d.astype("M8[ns]").astype(np.int64) for d in days)
        return begin, end
    return grid.stamps(bins).astype(np.int64), grid.stamps(bins + 1).astype(np.int64)


def partial_rows(
    rows: LongRows, bins: np.ndarray, grid: Frequency, alone: bool
) -> tuple[np.ndarray, list[Note]]:
    """bool (N,): rows of a first or last period that the rows fill only in part; and notes.

    bins: int64 (N,), the period of each of the sorted rows. alone: a series that begins later or
    ends earlier than others is judged by its own rows as well; else only the table's ends count.
    """
    out = np.zeros(len(bins), bool)
    known = np.flatnonzero(np.isfinite(rows.values))
    if len(known) < 2:
        return out, []
    some, at = rows.taken(known), bins[known]
    step = own_step(some)
    order = np.argsort(some.stamps, kind="stable")
    pooled = replace(some.taken(order), codes=np.zeros(len(order), np.int32), ids=rows.ids[:1])
    edges, notes = _edges(pooled, at[order], grid, step), []
    for last in np.flatnonzero(edges.partial[:, 0]):
        here = bins == edges.bins[last, 0]
        out |= here
        notes.append(_note(pooled, edges, grid, int(last), int(here.sum())))
    if alone and len(rows.ids) > 1:
        out, more = _of_single_series(rows, bins, out, (some, _edges(some, at, grid, step)))
        notes += more
    return (np.zeros(len(bins), bool), []) if out[known].all() else (out, notes)


def _of_single_series(
    rows: LongRows, bins: np.ndarray, out: np.ndarray, judged: tuple[LongRows, Edges]
) -> tuple[np.ndarray, list[Note]]:
    """`out` (N,) with the periods that single series begin or end in, and a note on them.

    judged: the rows with a value, whose series have these edges.
    """
    some, edges = judged
    there = some.codes[_starts(some.codes)]
    partial, of = np.zeros((2, len(rows.ids)), bool), np.zeros((2, len(rows.ids)), np.int64)
    partial[:, there], of[:, there] = edges.partial, edges.bins
    own = (partial[:, rows.codes] & (bins == of[:, rows.codes])).any(0)
    own &= ~out
    series = np.unique(rows.codes[own])
    if not len(series):
        return out, []
    text = (
        f"{quantity(len(series), 'series begins or ends', 'series begin or end')} within a period "
        f"that their own rows fill only in part: left out; {KEEP}"
    )
    names = tuple(str(rows.ids[s]) for s in series[:PLACES])
    return out | own, [Note("repair/partial-period", text, int(own.sum()), names)]


def _note(rows: LongRows, edges: Edges, grid: Frequency, last: int, count: int) -> Note:
    name = _named(grid, edges.bins[last])
    whole, missing = int(edges.whole[last, 0]), int(edges.missing[last, 0])
    if missing:
        text = f"{name} holds {whole - missing:,} of {whole:,} {edges.unit}"
    else:
        time = str(np.datetime64(int(rows.stamps[-last]), "ns").astype("M8[m]")).replace("T", " ")
        how = "end" if last else "begin"
        when = "earlier" if last else "later"
        text = f"the rows of {name} {how} at {time}, clearly {when} than in other periods"
    return Note("repair/partial-period", f"{text}: left out; {KEEP}", count)


def _named(grid: Frequency, at: np.ndarray) -> str:
    """A period in words: June 2024, 28 June 2024, the period from 2024-06-03."""
    begin = int(bounds(grid, at)[0][0])
    if grid.integer:
        return f"the period from {begin}"
    multiple, unit, _ = grid.parts
    stamp = np.datetime64(begin, "ns")
    year, month, day = str(stamp.astype("M8[D]")).split("-")
    named = f"{MONTH_NAMES[int(month) - 1]} {year}"
    if multiple == 1 and unit in ("MS", "ME", "BMS", "BME"):
        return named
    if multiple == 1 and unit == "D":
        return f"{int(day)} {named}"
    if multiple == 1 and unit in ("YS", "YE") and (month, day) == ("01", "01"):
        return year
    words = {"W": "the week", "QS": "the quarter", "QE": "the quarter", "h": "the hour"}
    clock = "" if begin % DAY == 0 else f" {str(stamp.astype('M8[m]'))[11:]}"
    return f"{words.get(unit, 'the period')} from {year}-{month}-{day}{clock}"


def _edges(rows: LongRows, bins: np.ndarray, grid: Frequency, step: Frequency | None) -> Edges:
    """What is missing of the first and last period of every series of sorted rows."""
    ends = np.append(_starts(rows.codes), len(bins))
    outer = np.stack([bins[ends[:-1]], bins[ends[1:] - 1]])
    size = len(ends) - 1
    whole, missing = np.zeros((2, 2, size), np.int64)
    by_days = np.zeros(size, bool)
    open_ = np.ones(size, bool)  # no step of theirs tells what is missing
    for finer in _finer(grid, step, outer):
        counted, lacking, usual = _missing(rows, ends, finer, bounds(grid, outer))
        taken = usual & open_
        whole[:, taken], missing[:, taken] = counted[:, taken], lacking[:, taken]
        by_days |= taken & (finer is not step)
        open_ &= ~usual
    cut = np.zeros((2, size), bool)
    judged = np.flatnonzero((open_ | by_days) & (missing == 0).any(0))
    for s in judged if size <= LOOKED else ():
        part = slice(ends[s], ends[s + 1])
        stamps, level = rows.stamps[part], Frequency("D") if by_days[s] else grid
        periods = level.locate(stamps.view("M8[ns]"))[0] if by_days[s] else bins[part]
        cut[:, s] = _cut_off(stamps, periods, level)
    unit = _unit(Frequency("D") if by_days.any() or step is None else step)
    return Edges(outer, whole, missing, cut & (missing == 0), unit)


def _finer(grid: Frequency, step: Frequency | None, outer: np.ndarray) -> list[Frequency]:
    """Steps by which the rows of a period can be counted: their own, and days."""
    found = [] if step is None else [step]
    begin, end = bounds(grid, outer[1, -1:])
    days = not grid.integer and int((end - begin)[0]) > DAY
    own_days = step is not None and step.parts[1] not in SUB_DAILY
    return [*found, Frequency("D")] if days and not own_days else found


def _unit(step: Frequency) -> str:
    multiple, unit, _ = step.parts
    return UNITS.get(unit, "steps") if multiple == 1 else "steps"


def _missing(
    rows: LongRows, ends: np.ndarray, step: Frequency, limits: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of periods (2, S) with these limits the steps that usually have a row, and how many of them
    come before the first row or after the last one; and bool (S,): there are such steps at all."""

    def at_or_after(times: np.ndarray) -> np.ndarray:
        found, fits = step.locate(times if rows.integer else times.view("M8[ns]"))
        return found + ~fits

    at = step.locate(rows.stamps if rows.integer else rows.stamps.view("M8[ns]"))[0]
    size = len(ends) - 1
    codes = np.repeat(np.arange(size), np.diff(ends))
    count = slots(step)
    count = count if size * count <= MOST_CELLS else 0
    often = _often(codes, at, ends, step, count)
    before = np.concatenate([np.zeros((size, 1), np.int64), often.cumsum(1)], axis=1)
    series, width = np.arange(size), often.shape[1]

    def passed(positions: np.ndarray) -> np.ndarray:
        """Steps with a row, usually, before these positions (.., S)."""
        return np.asarray(positions // width * before[:, -1] + before[series, positions % width])

    low, high = at_or_after(limits[0]), at_or_after(limits[1])
    first, last = at[ends[:-1]], at[ends[1:] - 1]
    missing = np.stack([passed(first) - passed(low[0]), passed(high[1]) - passed(last + 1)])
    return passed(high) - passed(low), np.maximum(missing, 0), np.asarray(often.any(1))


def _often(
    codes: np.ndarray, at: np.ndarray, ends: np.ndarray, step: Frequency, count: int
) -> np.ndarray:
    """bool (S, K), or (S, 1) where there are no weeks: the step usually has a row."""
    first, last = at[ends[:-1]], at[ends[1:] - 1]
    once = _starts(codes, at)
    codes, at, size = codes[once], at[once], len(first)
    share = np.bincount(codes, minlength=size) / (last - first + 1)
    if not count:
        return np.asarray(share >= OFTEN)[:, None]
    seen = np.bincount(codes * count + at % count, minlength=size * count).reshape(size, count)
    slot = np.arange(count)
    possible = (last[:, None] - slot) // count - (first[:, None] - 1 - slot) // count
    often = seen >= OFTEN * possible
    per_day = step.steps_per_day or 1
    by_hour = seen.reshape(size, -1, per_day).sum(1)
    there = possible.reshape(size, -1, per_day).sum(1)
    at_this_hour = np.tile(by_hour >= OFTEN * np.maximum(there, 1), count // per_day)
    usual = at_this_hour if per_day > 1 else (share >= OFTEN)[:, None]
    return np.asarray(np.where(possible >= LEAST_SEEN, often, usual))


def _cut_off(stamps: np.ndarray, periods: np.ndarray, grid: Frequency) -> tuple[bool, bool]:
    """Whether the rows of the first period begin clearly later, and those of the last end clearly
    earlier, than those of such periods usually do. Of one series, sorted."""
    starts = _starts(periods)
    bins = periods[starts]
    begin, end = bounds(grid, bins)
    late, early = end - stamps[starts], stamps[np.append(starts[1:], len(stamps)) - 1] - begin
    days = grid.steps_per_day or slots(grid)
    kinds = bins % days if days else np.zeros_like(bins)
    length = float(end[-1] - begin[-1])
    return _is_short(late[::-1], kinds[::-1], length), _is_short(early, kinds, length)


def _is_short(reached: np.ndarray, kinds: np.ndarray, length: float) -> bool:
    """Whether the last number is clearly smaller than the others, those of its kind above all:
    by twice what all but a few of them fall short of the usual."""
    reached, kinds = reached[-RECENT:].astype(float), kinds[-RECENT:]
    past, kind = reached[:-1], kinds[:-1]
    if len(past) < LEAST_PERIODS:
        return False
    usual = np.full(len(reached), np.median(past))
    short = usual[:-1] - past
    if (kind == kinds[-1]).sum() >= LEAST_ALIKE:
        known = np.zeros(len(past), bool)
        for each in np.unique(kind):
            alike = kind == each
            if alike.sum() >= LEAST_ALIKE:
                usual[kinds == each] = np.median(past[alike])
                known |= alike
        short = (usual[:-1] - past)[known]
    margin = max(2 * float(np.quantile(short, 1 - UNUSUAL)), SLACK * length)
    return bool(usual[-1] - reached[-1] > margin)


def _starts(*keys: np.ndarray) -> np.ndarray:
    """Where one of the sorted `keys` changes: the first row of each run."""
    change = np.zeros(len(keys[0]) - 1, bool)
    for key in keys:
        change |= key[1:] != key[:-1]
    return np.flatnonzero(np.concatenate([[True], change]))
