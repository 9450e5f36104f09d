"""What the clock and the calendar say about a step: hour, weekday, time of year, holidays.

Axes: P positions on the grid in time, C features.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from forecast.common.errors import InputError, UsageError
from forecast.data.frequency import MONTH_UNITS, PART_UNITS, Frequency
from forecast.data.public_holidays import public_holidays

DAY = 86_400 * 10**9  # nanoseconds
YEAR = 365.2425  # days
OFFSET = re.compile(r"UTC|([+-])(\d\d):?(\d\d)")
WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday; Monday is 0


def calendar_features(
    frequency: Frequency,
    positions: np.ndarray,
    tz: str | None,
    zone: str | None,
    *,
    calendar: bool,
    holidays: Sequence[str],
) -> np.ndarray:
    """float32 (P, C): the features of the grid's `positions` (P,).

    tz: zone of the times, as in Panel; zone: whose days and hours count (None: that one's).
    Of steps of a day and less: the time of day, the weekday, of month and year, and whether the
    day, the one before or the one after is a holiday. Of longer steps: the time of year, how often
    each weekday occurs and how many holidays on working days there are. Raises InputError where
    the times are no dates, UsageError for an unknown country.
    """
    if frequency.integer:
        raise InputError(
            "the times are plain numbers, which no calendar has",
            code="input/calendar-without-dates",
            remedy="Leave --calendar and --holidays out, or give dates",
        )
    stamps = frequency.stamps(positions).view(np.int64)
    if frequency.steps_per_day is not None:
        stamps = _on_clock(stamps, tz, zone)
    days = stamps // DAY
    unit = frequency.parts[1]
    short = unit not in ("W", *MONTH_UNITS, *PART_UNITS) and frequency.parts[0] < 7
    parts = [np.zeros((len(positions), 0))]
    if short or frequency.steps_per_day is not None:
        if calendar:
            if frequency.steps_per_day is not None:
                parts.append(_waves((stamps % DAY) / DAY, 3))
            parts += [_weekday(days), _month(days), _year(days, 3)]
        if holidays:
            parts.append(_near_holidays(days, public_holidays(holidays, days)))
    else:
        begin, end = _periods(frequency, positions)
        if calendar:
            parts += [_year((begin + end) / 2, 3), _weekday_counts(begin, end)]
        if holidays:
            free = public_holidays(holidays, np.array([begin.min() - 7, end.max() + 7]))
            parts.append(_holiday_counts(begin, end, free))
    return np.concatenate(parts, 1).astype(np.float32)


def _on_clock(stamps: np.ndarray, tz: str | None, zone: str | None) -> np.ndarray:
    """Nanoseconds on the clock of `zone` of a panel's stamps with the time zone `tz`."""
    fixed = OFFSET.fullmatch(tz) if tz is not None else None
    if zone is None:
        return stamps
    if tz is None:
        raise UsageError(
            "the times name no time zone, so they cannot be brought to another",
            code="usage/calendar-zone",
            where="data.calendar_tz",
            value=zone,
            remedy="Name theirs with --tz, or leave data.calendar_tz out: their own clock counts",
        )
    from forecast.data.io.timestamp_writing import instants

    return wall_clock(stamps - _offset(tz) if fixed else instants(stamps, tz), zone)


def _offset(zone: str) -> int:
    """Nanoseconds that a fixed offset (UTC, +10:00) is ahead of UTC."""
    found = OFFSET.fullmatch(zone)
    if found is None or not found[1]:
        return 0
    minutes = int(found[2]) * 60 + int(found[3])
    return (-1 if found[1] == "-" else 1) * minutes * 60 * 10**9


def wall_clock(stamps: np.ndarray, zone: str) -> np.ndarray:
    """Nanoseconds on the clock of `zone` of instants (UTC) `stamps`, int64.

    Raises UsageError when there is no such zone.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from forecast.data.io.arrow import as_arrow, as_numpy

    if OFFSET.fullmatch(zone):
        return stamps + _offset(zone)
    try:
        local = pc.local_timestamp(as_arrow(stamps).cast(pa.timestamp("ns", zone)))
    except pa.ArrowException:
        raise UsageError(
            "there is no such time zone",
            code="usage/calendar-zone",
            where="data.calendar_tz",
            value=zone,
            remedy="Name one such as Australia/Melbourne, UTC or +10:00",
        ) from None
    return as_numpy(local.cast(pa.int64()))


def _waves(phase: np.ndarray, count: int) -> np.ndarray:
    """Sine and cosine of 1 .. count times `phase` (P,), in turns: (P, 2*count)."""
    angle = 2 * np.pi * phase[:, None] * np.arange(1, count + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], 1)


def _weekday(days: np.ndarray) -> np.ndarray:
    return np.eye(7)[(days + WEEKDAY_OF_DAY_0) % 7]


def _month(days: np.ndarray) -> np.ndarray:
    """Place in the month: wages and rents are paid on fixed days."""
    month = days.astype("M8[D]").astype("M8[M]")
    begin = month.astype("M8[D]").astype(np.int64)
    length = (month + 1).astype("M8[D]").astype(np.int64) - begin
    return _waves((days - begin) / length, 2)


def _year(days: np.ndarray, count: int) -> np.ndarray:
    return _waves(days / YEAR, count)


def _near_holidays(days: np.ndarray, free: np.ndarray) -> np.ndarray:
    return np.stack([np.isin(days + shift, free) for shift in (0, 1, -1)], 1).astype(float)


def _periods(frequency: Frequency, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First day of each step's period and the first after it, int64 (P,).

    Months, quarters and years are named by their first or last day; a week by the day it ends on if
    that is a Sunday (or Saturday, in some countries), else by the one it begins on.
    """
    days = frequency.stamps(positions).view(np.int64) // DAY
    unit, anchor = frequency.parts[1:]
    if unit.endswith("E") or (unit == "W" and anchor in ("SUN", "SAT")):
        before = frequency.stamps(positions - 1).view(np.int64) // DAY
        return before + 1, days + 1
    return days, frequency.stamps(positions + 1).view(np.int64) // DAY


def _weekday_counts(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many Mondays, ..., Sundays lie in each period, less a seventh of a usual one: (P, 7)."""
    weekday = np.arange(7)
    upto = (np.stack([begin, end]) + WEEKDAY_OF_DAY_0)[:, :, None]
    counts = np.diff((upto - weekday + 6) // 7, axis=0)[0]
    return counts - np.median(end - begin) / 7


def _holiday_counts(begin: np.ndarray, end: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Holidays that are no weekend in each period, and in the seven days before and after."""
    working = free[(free + WEEKDAY_OF_DAY_0) % 7 < 5]

    def between(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.searchsorted(working, last) - np.searchsorted(working, first)

    return np.stack([between(begin, end), between(begin - 7, begin), between(end, end + 7)], 1)
