"""Rows put in order and brought to one regular step: duplicates, resampling."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.clocks import Twins, on_wall_clock, one_time_of_day
from forecast.data.frequency import DAY, Frequency, infer_frequency, parse_frequency
from forecast.data.io.notes import PLACES, Note, listed, quantity, refuse
from forecast.data.io.timestamp_writing import clock_of, instants, is_region
from forecast.data.period_edges import NAMED_BY_END, SUB_DAILY, bounds, own_step, partial_rows
from forecast.data.rows import LongRows

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings


# --- Rows put in order of series and time, and several rows for one time made one or refused -----


def in_order(rows: LongRows) -> tuple[np.ndarray | None, list[Note]]:
    """The order that sorts rows by series and time (None: they are), and a note on repairs."""
    codes, stamps = rows.codes, rows.stamps
    if len(codes) < 2:
        return None, []
    same = codes[1:] == codes[:-1]
    if (codes[1:] >= codes[:-1]).all() and (stamps[1:] >= stamps[:-1])[same].all():
        return None, []
    order = np.lexsort((stamps, codes))
    series_changes = np.flatnonzero(codes[order][1:] == codes[order][:-1])
    backwards = order[series_changes + 1] < order[series_changes]
    count = int(backwards.sum())
    if count == 0:
        return order, []
    first = order[series_changes[backwards]][:PLACES]
    text = f"{quantity(count, 'row')} stood out of time order and were sorted"
    return order, [Note("repair/unsorted", text, count, tuple(rows.place(int(r)) for r in first))]


def without_duplicates(
    rows: LongRows, order: np.ndarray | None, how: str
) -> tuple[LongRows, list[Note]]:
    """Rows sorted by series and time, each time once, and notes.

    Several rows of one time are joined as `how` says ("first", "last", "mean", "sum"). Under
    "error" rows that repeat another exactly, in every column of the table, are dropped; others are
    refused.
    """
    if order is not None:
        rows = rows.taken(order)
    repeat = (rows.codes[1:] == rows.codes[:-1]) & (rows.stamps[1:] == rows.stamps[:-1])
    if not repeat.any():
        return rows, []
    previous, current = rows.values[:-1], rows.values[1:]
    equal = (previous == current) | (np.isnan(previous) & np.isnan(current))
    clash = repeat & ~equal
    if how != "error":
        rows, note = _joined(rows, repeat, how)
        return rows, [note]
    if clash.any():
        raise _clash_error(rows, np.flatnonzero(clash))
    dropped = np.flatnonzero(repeat) + 1
    if rows.unread:
        _check_repeated(rows, dropped)
    text = f"{quantity(len(dropped), 'row')} repeated another exactly and were dropped"
    if len(dropped) > MANY_REPEATS * len(rows.codes):
        text += "; --duplicates sum counts each of them"
    places = tuple(rows.place(int(r)) for r in dropped[:PLACES])
    kept = rows.taken(np.flatnonzero(np.concatenate([[True], ~repeat])))
    return kept, [Note("repair/duplicate-rows", text, len(dropped), places)]


MANY_REPEATS = 0.02  # share of rows beyond which repeats may be no mistake: tickets of one price
MOST_COMPARED = 100_000  # rows whose unread columns are looked up


def _check_repeated(rows: LongRows, at: np.ndarray) -> None:
    """Refuse rows `at` that equal the one before in the columns that are read, if they differ from
    it in others, or too many would have to be looked up."""
    names = listed(list(rows.unread), PLACES)
    what = f"columns that are not read may differ ({names})"
    if rows.whole is not None and len(at) <= MOST_COMPARED:
        wanted = np.unique(np.concatenate([at - 1, at])).tolist()
        cells = dict(zip(wanted, rows.whole(wanted), strict=True))
        at = np.array([r for r in at.tolist() if cells[r] != cells[r - 1]], np.int64)
        what = f"columns that are not read differ ({names})"
        if not len(at):
            return
    remedy = (
        "If each counts on its own (receipts, bookings): --duplicates sum; if they repeat one "
        "another: --duplicates first"
    )
    if rows.id_hint or rows.id_name is None:
        remedy += f"; or name the column that tells the series apart: {rows.id_hint or '--id-col'}"
    raise refuse(
        "input/duplicate-time", f"rows are equal in their time and value, but {what}",
        where=rows.where, value=f"{rows.values[int(at[0])]:g}", count=len(at),
        places=[rows.place(int(r)) for r in at[:PLACES]], remedy=remedy,
    )  # fmt: skip


def _clash_error(rows: LongRows, at: np.ndarray) -> Exception:
    first = int(at[0])
    values = [float(rows.values[first]), float(rows.values[first + 1])]
    remedy = "Choose with --duplicates first, last, mean or sum"
    if rows.id_hint:
        remedy += f"; or name the column that tells the series apart: {rows.id_hint}"
    elif _autumn_hour(rows, first):
        remedy += "; or name the time zone with --tz (an hour repeats when summer time ends)"
    elif rows.id_name is None:
        remedy += "; or name the column that tells the series apart with --id-col"
    return refuse(
        "input/duplicate-time", "two rows give different values for one time", where=rows.where,
        value=f"{values[0]:g} and {values[1]:g}", count=len(at),
        places=[rows.place(int(r) + 1) for r in at[:PLACES]], remedy=remedy,
    )  # fmt: skip


def _autumn_hour(rows: LongRows, at: int) -> bool:
    """Whether the repeated time is a small hour of an autumn (or southern autumn) Sunday."""
    if rows.integer or rows.tz:
        return False
    stamp = np.datetime64(int(rows.stamps[at]), "ns")
    hour = int(rows.stamps[at] // (3600 * 10**9)) % 24
    weekday = int(stamp.astype("M8[D]").astype(np.int64) + 3) % 7
    month = int(stamp.astype("M8[M]").astype(np.int64)) % 12 + 1
    return weekday == 6 and hour <= 3 and month in (3, 4, 10, 11)


def _joined(rows: LongRows, repeat: np.ndarray, how: str) -> tuple[LongRows, Note]:
    starts = np.flatnonzero(np.concatenate([[True], ~repeat]))
    values = aggregate(rows.values, starts, how)
    count = len(rows.values) - len(starts)
    places = tuple(rows.place(int(r) + 1) for r in np.flatnonzero(repeat)[:PLACES])
    text = f"{quantity(count, 'row')} shared a time with another; taken: the {how}"
    note = Note("repair/duplicate-times", text, count, places)
    return replace(rows.taken(starts), values=values), note


def aggregate(values: np.ndarray, starts: np.ndarray, how: str) -> np.ndarray:
    """One value for each group values[starts[i]:starts[i+1]], missing ones left out.

    how: "sum", "mean", "first", "last", "min" or "max". A group of missing values is NaN.
    """
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    if how in ("sum", "mean"):
        result = np.add.reduceat(np.where(known, values, 0.0), starts)
        if how == "mean":
            result = result / np.maximum(counts, 1)
    elif how == "min":
        result = np.minimum.reduceat(np.where(known, values, np.inf), starts)
    elif how == "max":
        result = np.maximum.reduceat(np.where(known, values, -np.inf), starts)
    else:
        at = np.arange(len(values))
        if how == "first":
            picked = np.minimum.reduceat(np.where(known, at, len(values)), starts)
        else:
            picked = np.maximum.reduceat(np.where(known, at, -1), starts)
        result = values[np.clip(picked, 0, len(values) - 1)]
    return np.where(counts > 0, result, np.nan)


# --- The one regular step of sorted rows, their positions on it, and refusals where there is
# none


STRAY = 0.1  # of a step, by which times may miss the grid and still mean its nearest step
LOOKED = 1_000  # series whose own frequency a message names


def named_frequency(text: str, rows: LongRows, flag: str) -> Frequency:
    if text.strip(" 0123456789") == "m" and not rows.integer and not (rows.stamps % DAY).any():
        raise refuse(
            "input/frequency-name", f"{flag} may mean a minute or a month", where=rows.where,
            value=text, remedy=f"Say which: {flag} min or {flag} M",
        )  # fmt: skip
    try:
        return parse_frequency(text, rows.stamps, rows.integer)
    except ValueError:
        raise refuse(
            "input/frequency-name", f"{flag} does not name a frequency", where=rows.where,
            value=text, remedy="Use an alias such as h, 30min, D, B, W, MS, QS or YS",
        ) from None  # fmt: skip


def find_frequency(rows: LongRows, settings: DataSettings) -> Frequency:
    """The one frequency of sorted rows: --resample, --freq, or what their steps show."""
    starts = series_starts(rows.codes)
    if settings.resample:
        named = named_frequency(settings.resample, rows, "--resample")
        return replace(named, phase=0)
    if settings.freq and not (rows.integer and settings.freq.isdigit()):
        frequency = named_frequency(settings.freq, rows, "--freq")
        if rows.integer:
            shown = infer_frequency(rows.stamps, starts, True)
            if shown is None:
                raise _irregular(rows)
            frequency = replace(frequency, stride=int(shown.alias), phase=shown.phase)
        return frequency
    if settings.freq:
        return named_frequency(settings.freq, rows, "--freq")
    if len(starts) == len(rows.codes):
        raise refuse(
            "input/too-few-rows", "no series has two times, so the frequency cannot be seen",
            where=rows.where,
            remedy="Name it with --freq, or check which column names the series (--id-col)",
        )  # fmt: skip
    found = infer_frequency(rows.stamps, starts, rows.integer)
    if found is None:
        raise _irregular(rows)
    if found.odd_months:
        raise _odd_months(rows, found)
    return found


def _odd_months(rows: LongRows, found: Frequency) -> InputError:
    first = [rows.written(int(stamp)) for stamp in rows.stamps[:2]]
    return refuse(
        "input/odd-months",
        f"the times in column '{rows.time_name}', read as dates, are {found.odd_months} months "
        "apart", where=rows.where, value=", ".join(first),
        remedy=f"Say --freq {found.alias} if they are; else write them as dates that have one "
        "reading, e.g. 2020-01-31",
    )  # fmt: skip


def series_starts(codes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


def _local_midnights(rows: LongRows) -> bool:
    """Whether instants are two hours of the day, one apart: days of a zone with summer time."""
    if rows.integer or not (rows.tz == "UTC" or rows.format.startswith("epoch")):
        return False
    clocks = np.unique(rows.stamps % DAY)
    return len(clocks) == 2 and int(clocks[1] - clocks[0]) in (DAY // 24, 23 * DAY // 24)


def _irregular(rows: LongRows) -> InputError:
    if _local_midnights(rows):
        return refuse(
            "input/local-midnights",
            f"the times in column '{rows.time_name}' are midnights of a zone with summer time, "
            "written in UTC", where=rows.where,
            remedy="Name the zone with --tz, e.g. --tz Europe/Berlin",
        )  # fmt: skip
    steps = np.diff(rows.stamps)[rows.codes[1:] == rows.codes[:-1]]
    usual = float(np.median(steps))
    if rows.integer:
        near, unit = str(int(usual)), "integers"
    else:
        near, unit = _nearest_alias(usual), "times"
    places = []
    odd = np.flatnonzero((rows.codes[1:] == rows.codes[:-1]) & (np.diff(rows.stamps) != usual))
    places = [rows.place(int(r) + 1) for r in odd[:PLACES]]
    return refuse(
        "input/irregular-times", f"the {unit} in column '{rows.time_name}' follow no regular step",
        where=rows.where, places=places, count=len(odd),
        remedy=f"Bring them to one, e.g. --resample {near} --agg mean; --agg sum for amounts, "
        "such as receipts",
    )  # fmt: skip


def _nearest_alias(nanoseconds: float) -> str:
    aliases = {
        "s": 1, "min": 60, "5min": 300, "10min": 600, "15min": 900, "30min": 1800, "h": 3600,
        "D": 86_400, "W": 604_800, "SMS": 1_314_873, "MS": 2_629_746, "QS": 7_889_238,
        "YS": 31_556_952,
    }  # fmt: skip
    return min(aliases, key=lambda a: abs(np.log(max(nanoseconds, 1) / 1e9 / aliases[a])))


def grid_positions(rows: LongRows, frequency: Frequency) -> np.ndarray:
    """Grid positions of all rows. Raises InputError naming the rows that are off the grid."""
    stamps = rows.stamps if rows.integer else rows.stamps.view("M8[ns]")
    positions, fits = frequency.locate(stamps)
    if fits.all():
        return positions
    if _local_midnights(rows):
        raise _irregular(rows)
    stray = np.flatnonzero(~fits)
    series = np.unique(rows.codes[stray])
    if len(rows.ids) > 1 and len(series) < len(rows.ids) and not _mixed_within(rows, fits):
        raise _differs(rows, series, frequency, "lie off its grid")
    raise refuse(
        "input/irregular-times",
        f"times in column '{rows.time_name}' are not on the {frequency.alias} grid",
        where=rows.where, value=rows.written(int(rows.stamps[stray[0]])), count=len(stray),
        places=[rows.place(int(r)) for r in stray[:PLACES]],
        remedy=f"Correct them, or bring them to the grid with --resample {frequency.alias}",
    )  # fmt: skip


def _mixed_within(rows: LongRows, fits: np.ndarray) -> bool:
    """Whether some series has times both on and off the grid."""
    on = np.bincount(rows.codes[fits], minlength=len(rows.ids))
    off = np.bincount(rows.codes[~fits], minlength=len(rows.ids))
    return bool(((on > 1) & (off > 0)).any())


def _differs(rows: LongRows, series: np.ndarray, frequency: Frequency, how: str) -> InputError:
    return refuse(
        "input/mixed-frequency",
        f"most series have the frequency {frequency.alias}, but {len(series):,} of "
        f"{len(rows.ids):,} {how}: {_by_frequency(rows, series)}",
        where=rows.where,
        remedy="Forecast them from files of their own, or bring all to one with --resample",
    )  # fmt: skip


def _by_frequency(rows: LongRows, series: np.ndarray) -> str:
    """`2 W-MON (c, d), 1 MS (e)`: the frequencies of some series, by the first LOOKED of them."""
    edges = np.append(series_starts(rows.codes), len(rows.codes))
    at = np.searchsorted(rows.codes[edges[:-1]], series[:LOOKED])
    groups: dict[str, list[str]] = {}
    for s, start, end in zip(series, edges[at], edges[at + 1], strict=False):
        found = infer_frequency(rows.stamps[start:end], np.zeros(1, np.int64), rows.integer)
        alias = found.alias if found else "without a regular step"
        groups.setdefault(alias, []).append(str(rows.ids[s]))
    largest = sorted(groups.items(), key=lambda g: -len(g[1]))
    words = [f"{len(ids)} {alias} ({listed(ids, PLACES)})" for alias, ids in largest[:PLACES]]
    more = [f"{len(largest) - PLACES} other frequencies"] if len(largest) > PLACES else []
    left = [f"{len(series) - LOOKED:,} not looked at"] if len(series) > LOOKED else []
    return ", ".join(words + more + left)


def check_same_frequency(
    rows: LongRows, positions: np.ndarray, frequency: Frequency, settings: DataSettings
) -> None:
    """Refuse series that use only every k-th step of the grid: they have another frequency."""
    if settings.freq or settings.resample or len(rows.ids) < 2:
        return
    starts = series_starts(rows.codes)
    counts = np.diff(np.concatenate([starts, [len(positions)]]))
    spans = positions[starts + counts - 1] - positions[starts]
    gappy = np.flatnonzero((spans + 1 > counts) & (counts >= 4))
    coarse = []
    for s in gappy[spans[gappy] >= 2 * (counts[gappy] - 1)]:
        steps = np.diff(positions[starts[s] : starts[s] + counts[s]])
        if np.gcd.reduce(steps) > 1:
            coarse.append(s)
    if coarse:
        raise _differs(rows, rows.codes[starts[coarse]], frequency, "have longer steps")


# --- Irregular times brought to a regular grid, the values of each period joined -----------------


def twins_of(rows: LongRows, settings: DataSettings) -> Twins:
    """What becomes of an hour that comes twice: both count in days and longer periods that
    --resample makes, which are an hour longer then; else they are one, their mean."""
    if rows.integer or not settings.resample:
        return "mean"
    grid = named_frequency(settings.resample, rows, "--resample")
    return "mean" if grid.parts[1] in SUB_DAILY else "both"


def resampled(rows: LongRows, settings: DataSettings) -> tuple[LongRows, list[Note]]:
    """Sorted rows brought to the grid that --resample names, joined by --agg.

    A period without rows stays a gap. Days and longer periods are those of the wall clock. Of sums
    a first or last period that the rows fill only in part is left out (data.drop_partial).
    """
    grid = replace(named_frequency(settings.resample or "", rows, "--resample"), phase=0)
    if not rows.integer and grid.steps_per_day is None:
        rows = on_wall_clock(rows)
    rows, notes = at_begins(rows, grid, settings.stamps)
    positions = period_positions(grid, rows)
    nearest = _nearest(grid, rows, positions)
    if nearest is None and settings.tz is None:
        notes += _days_of_utc(rows, grid)
    if settings.agg == "sum":
        notes += _readings(rows)
    positions = positions if nearest is None else nearest
    if settings.agg == "sum" and settings.drop_partial and nearest is None:
        partial, more = partial_rows(rows, positions, grid, settings.missing != "zero")
        whole, positions = rows.without(partial), positions[~partial]
        notes += more + _lost(rows, whole)
        rows = whole
    change = (rows.codes[1:] != rows.codes[:-1]) | (positions[1:] != positions[:-1])
    starts = np.flatnonzero(np.concatenate([[True], change]))
    joined = replace(
        rows.taken(starts),
        stamps=grid.stamps(positions[starts]).astype(np.int64),
        values=aggregate(rows.values, starts, settings.agg),
        format=_form_for(rows.format, grid),
    )
    text = (
        f"{quantity(len(rows.codes), 'row')} became {len(starts):,} on the {grid.alias} grid "
        f"by their {settings.agg}" + ("" if nearest is None else ", each at the nearest step")
    )
    return joined, [Note("repair/resampled", text, len(rows.codes) - len(starts)), *notes]


def _days_of_utc(rows: LongRows, grid: Frequency) -> list[Note]:
    """A note that instants are joined by days of UTC: those of a place need its zone."""
    in_utc = rows.instant or rows.tz == "UTC" or rows.format.startswith("epoch")
    if rows.integer or not in_utc or grid.parts[1] in SUB_DAILY or one_time_of_day(rows.stamps):
        return []
    remedy = "cut at midnight UTC: for the days of a place name its zone, e.g. --tz Europe/Berlin"
    if rows.format.endswith("%:z"):  # as several offsets are written: local time
        text = (
            f"the times have several offsets (summer time), and {grid.alias} periods are {remedy}"
        )
        return [Note("warning/utc-days", text, len(rows.codes))]
    return [Note("repair/utc-days", f"{grid.alias} periods are {remedy}", len(rows.codes))]


MANY_READINGS = 50  # steps from value to value, none of them down, that sales do not make


def _readings(rows: LongRows) -> list[Note]:
    """A note on series that never fall, as the readings of a meter do, whose sums mean nothing."""
    step = np.diff(rows.values)
    known = (rows.codes[1:] == rows.codes[:-1]) & np.isfinite(step)
    rises, falls, seen = (
        np.bincount(rows.codes[1:][known & which], minlength=len(rows.ids))
        for which in (step > 0, step < 0, np.isfinite(step))
    )
    found = np.flatnonzero((falls == 0) & (rises > 0) & (seen >= MANY_READINGS))
    if not len(found):
        return []
    text = (
        f"{quantity(len(found), 'series never falls', 'series never fall')}, as the readings of a "
        "meter: sums of readings mean nothing; --agg last takes the last of each period"
    )
    names = tuple(str(i) for i in rows.ids[found[:PLACES]])
    return [Note("warning/readings", text, len(found), names)]


def _lost(rows: LongRows, whole: LongRows) -> list[Note]:
    """A note on series that have no period but one that is filled in part, or nothing."""
    lost = np.setdiff1d(rows.ids, whole.ids)
    if not len(lost):
        return []
    text = f"{quantity(len(lost), 'series has', 'series have')} no whole period: left out"
    names = tuple(str(i) for i in lost[:PLACES])
    return [Note("warning/no-whole-period", text, len(lost), names)]


def at_begins(rows: LongRows, grid: Frequency, stamps: str) -> tuple[LongRows, list[Note]]:
    """Rows whose times name the ends of intervals, at the begin of these; and a note.

    stamps: "end", "start", or "auto": ends where a midnight is written as the hour 24, or where
    all rows together make whole days that way and not the other (from 00:15 to 00:00). Rows of days
    or longer steps stay: their time is the day that it names.
    """
    known = np.isfinite(rows.values)
    if rows.integer or stamps == "start" or known.sum() < 2:
        return rows, []
    step = own_step(rows.taken(np.flatnonzero(known)))
    if step is not None and step.parts[1] not in SUB_DAILY:
        return rows, []
    length = 1 if step is None else step.fixed[0]
    begin, end = bounds(grid, period_positions(grid, rows)[:1])
    if length >= DAY or (end - begin <= length).any():
        return rows, []
    first, last = int(rows.stamps[known].min()), int(rows.stamps[known].max())
    written_so = re.search(r"%-?K", rows.format) is not None
    whole = step is not None and (first - length) % DAY == 0 and last % DAY == 0
    if stamps == "auto" and not written_so and not whole:
        return rows, []
    text = (
        f"times name the ends of intervals ({rows.written(first)} to {rows.written(last)}): each "
        "value counts for the period in which its interval begins"
    )
    if stamps == "auto":
        text += "; --set data.stamps=start takes them for the begin"
    if is_region(rows.tz):  # a quarter of an hour before the clock's 03:00 may be its 01:45
        shifted = clock_of(instants(rows.stamps, rows.tz or "") - length, rows.tz or "")
    else:
        shifted = rows.stamps - length
    form = re.sub(r"%(-?)K", r"%\1H", rows.format)
    rows = replace(rows, stamps=shifted, format=form)
    return rows, [Note("repair/interval-ends", text, len(shifted))]


def _nearest(grid: Frequency, rows: LongRows, positions: np.ndarray) -> np.ndarray | None:
    """The nearest positions where times only stray from the grid: seconds, or a zone's hours.

    None where they lie anywhere within their periods: then each belongs to the one that holds it.
    """
    if rows.integer or len(positions) < 2:
        return None
    stamps = rows.stamps
    here = grid.stamps(positions).astype(np.int64)
    following = grid.stamps(positions + 1).astype(np.int64)
    if grid.parts[1] in NAMED_BY_END:
        return None
    before, after = stamps - here, following - stamps
    if not (after < before).any() or (np.minimum(before, after) > STRAY * (following - here)).any():
        return None
    near = positions + (after < before)
    same = (rows.codes[1:] == rows.codes[:-1]) & (near[1:] == near[:-1])
    return near if same.mean() <= 0.02 else None


def period_positions(grid: Frequency, rows: LongRows) -> np.ndarray:
    """Position (N,) of the period of `grid` that holds each row."""
    if grid.parts[1] in NAMED_BY_END:
        return _period_ends(grid, rows.stamps)
    return grid.locate(rows.stamps if rows.integer else rows.stamps.view("M8[ns]"))[0]


def _period_ends(grid: Frequency, stamps: np.ndarray) -> np.ndarray:
    """Positions of the periods that hold `stamps`, for grids that name a period by its end."""
    positions, _ = grid.locate(stamps.astype("M8[ns]"))
    ends = grid.stamps(positions).astype("M8[D]")
    return np.where(stamps.astype("M8[ns]").astype("M8[D]") > ends, positions + 1, positions)


CLOCK = re.compile(r"[ T,]*%-?[HIK](?:[^%]*%(?:-?[HIMSK]|[1-9]f|[#^]?[pP]))*|[ T,]*%\d+N")
ZONE = re.compile(r" ?(%:?z|Z|UTC|GMT|[+-]\d\d:?\d\d)$")


def _form_for(form: str, grid: Frequency) -> str:
    """`form`, or a finer one where it cannot tell the grid's steps apart; days and longer periods
    are written without a time of day."""
    if form.startswith("interval:"):
        form = form.split(":", 2)[2].split("\0")[0]
    if not form.startswith("%"):
        return form
    clock = CLOCK.search(form) is not None
    if grid.steps_per_day is not None:
        return form if clock else "%Y-%m-%d %H:%M:%S"
    if clock and grid.parts[1] not in SUB_DAILY:
        form = CLOCK.sub("", ZONE.sub("", form)).strip(" T,") or "%Y-%m-%d"
    if grid.parts[1] in ("D", "B", "W") and not re.search(r"%-?[dj]|%u", form):
        return "%Y-%m-%d"
    return form
