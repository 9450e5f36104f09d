"""Time zones: local times that name none, and instants that mean local days."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.rows import LongRows
from forecast.data.sort_rows import place

DAY = 86_400 * 10**9
OFFSET = re.compile(r"UTC|[+-]\d\d:?\d\d")


def is_region(tz: str | None) -> bool:
    """Whether `tz` is an IANA name with summer time to care for, not UTC or a fixed offset."""
    return tz is not None and OFFSET.fullmatch(tz) is None


def zoned(rows: LongRows, tz: str | None) -> tuple[LongRows, list[Note]]:
    """Rows whose times are placed in the zone `tz` (--tz) where they name none.

    Clock times become instants; days stay days. Raises InputError: no such zone, a time that does
    not exist (spring) or cannot be told from its twin (autumn).
    """
    if is_region(rows.tz) and _daily(_wall(rows.stamps, rows.tz or "")):
        text = f"the times are days of {rows.tz} and are kept as such"
        return on_wall_clock(rows), [Note("repair/local-days", text, len(rows.codes))]
    if tz is None or rows.integer or rows.tz is not None:
        return rows, []
    if rows.format.startswith("epoch"):
        return rows, []
    _check_zone(tz, rows.where)
    if OFFSET.fullmatch(tz):
        return replace(rows, tz=tz), []
    if _daily(rows.stamps):
        return rows, []
    return _localized(rows, tz)


def on_wall_clock(rows: LongRows) -> LongRows:
    """Rows of instants as wall-clock times of their zone, written without the zone."""
    if not is_region(rows.tz):
        return rows
    form = re.sub(r" ?%:?z$|Z$", "", rows.format)
    return replace(rows, stamps=_wall(rows.stamps, rows.tz or ""), tz=None, format=form)


def _daily(stamps: np.ndarray) -> bool:
    """Whether all times are the same time of day: days or longer, not hours."""
    return len(stamps) > 0 and bool((stamps % DAY == stamps[0] % DAY).all())


def _wall(stamps: np.ndarray, tz: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    local = pc.local_timestamp(as_arrow(stamps).cast(pa.timestamp("ns", tz)))
    return as_numpy(local.cast(pa.int64()))


def _check_zone(tz: str, where: str) -> None:
    import zoneinfo

    if OFFSET.fullmatch(tz):
        return
    try:
        zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise refuse(
            "input/time-zone", "there is no such time zone", where=where, value=tz,
            remedy="Name one as --tz Europe/Paris, UTC or +02:00",
        ) from None  # fmt: skip


def _instants(stamps: np.ndarray, tz: str, side: str) -> np.ndarray:
    """Instants of wall-clock times; of two possible ones the "earliest" or the "latest"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wall = as_arrow(stamps).cast(pa.timestamp("ns"))
    found = pc.assume_timezone(wall, tz, ambiguous=side, nonexistent=side)
    return as_numpy(found.cast(pa.int64()))


def _localized(rows: LongRows, tz: str) -> tuple[LongRows, list[Note]]:
    distinct, inverse = np.unique(rows.stamps, return_inverse=True)
    early, late = _instants(distinct, tz, "earliest"), _instants(distinct, tz, "latest")
    skipped = (_wall(early, tz) != distinct)[inverse]
    if skipped.any():
        _refuse_skipped(rows, np.flatnonzero(skipped), tz)
    twofold = (early != late)[inverse]
    stamps = early[inverse]
    notes = []
    if twofold.any():
        at = np.flatnonzero(twofold)
        stamps[at] = np.where(_second_time(rows, at, tz), late[inverse[at]], early[inverse[at]])
        text = f"{quantity(len(at), 'time')} of the repeated hour told apart by their order"
        places = tuple(place(rows, int(r)) for r in at[:PLACES])
        notes.append(Note("repair/repeated-hour", text, len(at), places))
    return replace(rows, stamps=stamps, tz=tz), notes


def _refuse_skipped(rows: LongRows, at: np.ndarray, tz: str) -> None:
    raise refuse(
        "input/nonexistent-time", f"a time does not exist in {tz}: summer time skips it",
        where=rows.where, count=len(at), places=[place(rows, int(r)) for r in at[:PLACES]],
        remedy="Correct it, or leave --tz out if the times are not of this zone",
    )  # fmt: skip


def _second_time(rows: LongRows, at: np.ndarray, tz: str) -> np.ndarray:
    """bool: rows `at` are the second of their wall-clock time; each must come exactly twice."""
    order = np.lexsort((at, rows.stamps[at], rows.codes[at]))
    codes, stamps = rows.codes[at][order], rows.stamps[at][order]
    first = np.concatenate([[True], (codes[1:] != codes[:-1]) | (stamps[1:] != stamps[:-1])])
    group = np.cumsum(first) - 1
    counts = np.bincount(group)
    if (counts != 2).any():
        single = at[order[np.flatnonzero(counts[group] != 2)]]
        raise refuse(
            "input/ambiguous-hour",
            f"a time occurs twice in {tz} when summer time ends, and the rows do not say which",
            where=rows.where, count=len(single),
            places=[place(rows, int(r)) for r in single[:PLACES]],
            remedy="Write times with their offset, or in UTC",
        )  # fmt: skip
    second = np.empty(len(at), bool)
    newest_first = len(rows.stamps) > 1 and rows.stamps[0] > rows.stamps[-1]
    second[order] = first if newest_first else ~first
    return second
