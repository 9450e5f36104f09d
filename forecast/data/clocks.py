"""Time zones: the clock of a place, on which seasons, days and weeks are counted.

Rows of a zone with summer time are laid on its clock: an hour that is skipped has no row, and the
two rows of an hour that comes twice are one, their mean; days that are made of hours have both.

Axes: N rows of all series together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from forecast.data.frequency import DAY
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.io.timestamp_writing import (
    FIXED,
    IN_UTC,
    clock_of,
    instants,
    is_region,
    offset_of,
    with_offset,
    without_offset,
)
from forecast.data.rows import LongRows

Twins = Literal["mean", "first", "both"]


def zoned(rows: LongRows, tz: str | None, twins: Twins = "mean") -> tuple[LongRows, list[Note]]:
    """Rows on the clock of the zone `tz` (--tz), or of the one that their times name.

    Instants (with an offset, in UTC, since 1970) are brought to the zone's clock and written as
    they came, or with the offset that is asked for; local times are known to be of the zone. Days
    stay days. twins: the two values of an hour that comes twice are one, their mean or the first;
    or both stay. Raises InputError: no such zone, a time that does not exist (spring) or cannot be
    told from its twin (autumn).
    """
    if tz is not None:
        _check_zone(tz, rows.where)
    zone = rows.tz if is_region(rows.tz) else tz
    if zone is None or rows.integer:
        return rows, []
    known = rows.instant or rows.tz is not None or rows.format.startswith("epoch")
    if known:
        return _brought(rows, zone, twins) if is_region(zone) else (_at_offset(rows, zone), [])
    if not is_region(zone):
        return replace(rows, tz=zone), []
    return (rows, []) if one_time_of_day(rows.stamps) else _localized(rows, zone, twins)


def on_one_clock(
    parts: Sequence[LongRows], told: Sequence[Sequence[Note]]
) -> tuple[list[LongRows], list[Note]]:
    """The rows of several files whose times have other offsets in one than in another (of winter
    and of summer), as those of one file are: in UTC, days without an offset. And a note on it.

    told: the notes on each of the files.
    """
    days = ["repair/local-days" in [note.code for note in notes] for notes in told]
    zones = {part.tz for part, local in zip(parts, days, strict=True) if not local}
    named = bool(zones) and all(zone is not None and not is_region(zone) for zone in zones)
    if not named or len(zones) + any(days) < 2:
        return list(parts), []
    some = tuple(sorted(str(zone) for zone in zones)[:PLACES])
    count = sum(len(part.codes) for part in parts)
    if one_time_of_day(np.concatenate([part.stamps for part in parts])):
        text = "offsets of local days, which differ between the files, were left out"
        plain = [replace(p, tz=None, format=without_offset(p.format)) for p in parts]
        return plain, [Note("repair/local-days", text, count, some)]
    if any(days):
        return list(parts), []
    text = "times of files with different offsets were brought to UTC"
    moved = [
        replace(p, stamps=_moments(p), tz="UTC", instant=False, format=with_offset(p.format))
        for p in parts
    ]
    return moved, [Note("repair/mixed-offsets", text, count, some)]


def said_of_zone(note: Note, tz: str | None) -> Note:
    """A note on times that were brought to UTC, in words that hold where `tz` is the zone."""
    if note.code != "repair/mixed-offsets" or tz in (None, "UTC"):
        return note
    return replace(note, text=note.text.replace("to UTC", f"to the clock of {tz}"))


def _brought(rows: LongRows, tz: str, twins: Twins) -> tuple[LongRows, list[Note]]:
    """Rows of instants on the clock of the region `tz`."""
    moments = _moments(rows)
    wall = clock_of(moments, tz)
    # An offset that is written into every time would be wrong on half the days of the year.
    form = rows.format if IN_UTC.search(rows.format) else with_offset(rows.format)
    placed = replace(rows, stamps=wall, tz=tz, instant=False, format=form)
    if one_time_of_day(wall):
        text = f"the times are days of {tz}"
        return placed, [Note("repair/local-days", text, len(rows.codes))]
    return _one_of_twins(placed, instants(wall, tz) != moments, twins)


def _moments(rows: LongRows) -> np.ndarray:
    """The instants (N,), int64 nanoseconds in UTC, of rows on the clock of a fixed offset."""
    return rows.stamps if rows.instant else rows.stamps - offset_of(rows.tz or "")


def _at_offset(rows: LongRows, tz: str) -> LongRows:
    """Rows of instants on the clock of the fixed offset `tz`, and written with it."""
    if rows.tz == tz or offset_of(rows.tz or "") == offset_of(tz) == 0:
        return rows
    wall = _moments(rows) + offset_of(tz)
    return replace(rows, stamps=wall, tz=tz, instant=False, format=with_offset(rows.format))


def on_wall_clock(rows: LongRows) -> LongRows:
    """Rows of a region's clock written without the zone, as days and longer steps are."""
    if not is_region(rows.tz):
        return rows
    return replace(rows, tz=None, format=re.sub(r" ?%:?z$", "", rows.format))


def one_time_of_day(stamps: np.ndarray) -> bool:
    """Whether all times are the same time of day: days or longer, not hours."""
    return len(stamps) > 0 and bool((stamps % DAY == stamps[0] % DAY).all())


def _check_zone(tz: str, where: str) -> None:
    import zoneinfo

    if FIXED.fullmatch(tz):
        return
    try:
        zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise refuse(
            "input/time-zone", "there is no such time zone", where=where, value=tz,
            remedy="Name one as --tz Europe/Paris, UTC or +02:00",
        ) from None  # fmt: skip


def _localized(rows: LongRows, tz: str, twins: Twins) -> tuple[LongRows, list[Note]]:
    """Rows of local times, those of a repeated hour told apart by their order."""
    distinct, inverse = np.unique(rows.stamps, return_inverse=True)
    early = instants(distinct, tz)
    late = instants(distinct, tz, np.ones(len(distinct), bool))
    skipped = (clock_of(early, tz) != distinct)[inverse]
    if skipped.any():
        _refuse_skipped(rows, np.flatnonzero(skipped), tz)
    twofold = (early != late)[inverse]
    rows = replace(rows, tz=tz)
    if not twofold.any():
        return rows, []
    at = np.flatnonzero(twofold)
    second, untold = second_times(rows.codes, rows.stamps, (early[inverse], late[inverse]))
    if len(untold):
        _refuse_untold(rows, untold, tz)
    text = f"{quantity(len(at), 'time')} of the repeated hour told apart by their order"
    places = tuple(rows.place(int(r)) for r in at[:PLACES])
    one, notes = _one_of_twins(rows, second, twins)
    return one, [Note("repair/repeated-hour", text, len(at), places), *notes]


def _one_of_twins(rows: LongRows, second: np.ndarray, twins: Twins) -> tuple[LongRows, list[Note]]:
    """The rows with each second time of a repeated hour joined to its first, as `twins` says;
    where both stay, in order of the clock."""
    at = np.flatnonzero(second)
    if not len(at):
        return rows, []
    if twins == "both":
        return rows.taken(np.lexsort((rows.stamps, rows.codes))), []
    keys = np.unique(rows.stamps[at])
    near = np.flatnonzero(np.isin(rows.stamps, keys))
    order = near[np.lexsort((second[near], rows.stamps[near], rows.codes[near]))]
    pair = (rows.codes[order[1:]] == rows.codes[order[:-1]]) & (
        rows.stamps[order[1:]] == rows.stamps[order[:-1]]
    ) & second[order[1:]] & ~second[order[:-1]]  # fmt: skip
    first, later = order[:-1][pair], order[1:][pair]
    values = rows.values.copy()
    both = np.stack([values[first], values[later]])
    known = np.isfinite(both)
    total = np.where(known, both, 0.0).sum(0)
    if twins == "mean":
        values[first] = np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)
    kept = np.ones(len(values), bool)
    kept[later] = False
    text = "the two times of a repeated hour are one step of the clock: their mean"
    note = Note("repair/clock-change", text, len(later))
    return replace(rows, values=values).taken(np.flatnonzero(kept)), [note] if len(later) else []


def _refuse_skipped(rows: LongRows, at: np.ndarray, tz: str) -> None:
    raise refuse(
        "input/nonexistent-time", f"a time does not exist in {tz}: summer time skips it",
        where=rows.where, count=len(at), places=[rows.place(int(r)) for r in at[:PLACES]],
        remedy="Correct it, or leave --tz out if the times are not of this zone",
    )  # fmt: skip


def _refuse_untold(rows: LongRows, at: np.ndarray, tz: str) -> None:
    raise refuse(
        "input/ambiguous-hour",
        f"a time occurs twice in {tz} when summer time ends, and the rows do not say which",
        where=rows.where, count=len(at), places=[rows.place(int(r)) for r in at[:PLACES]],
        remedy="Write times with their offset, or in UTC",
    )  # fmt: skip


# --- Which of its two moments a local time of the hour that clocks repeat names ----------------


def second_times(
    codes: np.ndarray, stamps: np.ndarray, moments: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """bool (N,): rows that name the second moment of their time; and the rows that do not say.

    codes, stamps int64 (N,): series and local time; moments: the earlier and the later moment of
    each time, different in the repeated hour. A time that a series has twice is told by the order
    of its rows. One that it has once is told by its neighbours: clocks went back within the hour,
    or only one reading keeps the series' step to the rows before and after. So the end of a file
    is read that was written while the hour was repeated.
    """
    early, late = moments
    second = np.zeros(len(codes), bool)
    at = np.flatnonzero(early != late)
    order = at[np.lexsort((at, stamps[at], codes[at]))]
    first = np.ones(len(order), bool)
    first[1:] = (codes[order][1:] != codes[order][:-1]) | (stamps[order][1:] != stamps[order][:-1])
    counts = np.bincount(np.cumsum(first) - 1)[np.cumsum(first) - 1]
    newest_first = len(stamps) > 1 and stamps[0] > stamps[-1]
    second[order] = first if newest_first else ~first
    single = np.unique(codes[order[counts != 2]])
    untold: list[np.ndarray] = []
    if not len(single):
        return second, np.empty(0, np.int64)
    by_series = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[by_series], [single, single + 1])
    for begin, end in ends.T:
        own = by_series[begin:end]
        own = own[::-1] if newest_first else own
        second[own], unclear = _of_series(stamps[own], early[own], late[own])
        untold.append(own[unclear])
    return second, np.sort(np.concatenate(untold))


def _of_series(
    stamps: np.ndarray, early: np.ndarray, late: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """bool (N,) twice: the second moments, and the times that do not say, of one series' rows as
    they come, oldest first."""
    second, unclear = np.zeros(len(stamps), bool), np.zeros(len(stamps), bool)
    twofold = np.concatenate([[False], early != late, [False]])
    begins, ends = (np.flatnonzero(twofold[1:] & ~twofold[:-1]),
                    np.flatnonzero(~twofold[1:] & twofold[:-1]))  # fmt: skip
    steps = np.sort(np.diff(early))
    step = int(steps[(len(steps) - 1) // 2]) if len(steps) else 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        back = begin + 1 + np.flatnonzero(np.diff(stamps[begin:end]) <= 0)
        if len(back) == 1:
            second[back[0] : end] = True
        elif len(back) == 0 and _goes_on(early, begin, end, early, step):
            continue
        elif len(back) == 0 and _goes_on(early, begin, end, late, step):
            second[begin:end] = True
        else:
            unclear[begin:end] = True
    return second, unclear


def _goes_on(around: np.ndarray, begin: int, end: int, reading: np.ndarray, step: int) -> bool:
    """Whether rows begin to end, so read, lie a step after the one before and before the next."""
    before = begin == 0 or reading[begin] - around[begin - 1] == step
    after = end == len(around) or around[end] - reading[end - 1] == step
    return bool(before and after and (begin > 0 or end < len(around)))
