"""Parts of times put together: days since 1970 and nanoseconds since midnight."""

from __future__ import annotations

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, as_strings
from forecast.data.io.notes import Note
from forecast.data.io.timestamp_parts import MONTHS, Parts, filled

EARLIEST, LATEST = 1678, 2261  # years that 64-bit nanoseconds hold whole


def calendar_days(parts: Parts, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days since 1970 (D,), whether the date exists, and whether its year can be held.

    order: "dm" or "md" for numeric dates, else "".
    """
    year = years(parts)
    in_range = (year >= EARLIEST) & (year <= LATEST)
    if "W" in parts.names:
        days, valid = iso_week_days(year, parts.integers("W", 1), parts.integers("u", 1))
        return days, valid, in_range
    day = parts.integers("d", 1)
    if order:
        month, day = parts.integers("ab"[order == "dm"], 1), parts.integers("ab"[order == "md"], 1)
    elif "q" in parts.names:
        month = parts.integers("q", 1) * 3 - 2
    elif "B" in parts.names:
        month = named_months(parts)
    else:
        month = parts.integers("m", 1)
    days, valid = days_of(year, month, day)
    return days, valid, in_range


def years(parts: Parts) -> np.ndarray:
    """Four-digit years; of two digits 69 to 99 are 1969 to 1999, as in POSIX."""
    year = parts.integers("Y", 1970)
    if len(parts.first("Y")) == 2:
        year = np.where(year < 69, year + 2000, np.where(year < 100, year + 1900, year))
    return year


def day_order(parts: Parts, dayfirst: bool | None) -> tuple[str, str]:
    """("dm" or "md", "") for numeric dates; ("", reason) when nothing tells or all contradicts."""
    a, b = (parts.integers(n, 1)[parts.good] for n in "ab")
    first_is_day, second_is_day = bool((a > 12).any()), bool((b > 12).any())
    if first_is_day and second_is_day:
        return "", "mixed"
    if first_is_day or second_is_day:
        contradicted = dayfirst is not None and dayfirst != first_is_day
        return ("", "dayfirst") if contradicted else ("dm" if first_is_day else "md", "")
    if dayfirst is not None:
        return ("dm" if dayfirst else "md"), ""
    if parts.first("s") == ".":  # 03.04.2020: no country writes the month first with dots
        return "dm", ""
    return "", "ambiguous"


def named_months(parts: Parts) -> np.ndarray:
    import pyarrow.compute as pc

    short = pc.utf8_slice_codeunits(pc.utf8_lower(parts.strings("B")), 0, 3)
    index = pc.index_in(short, value_set=as_strings(MONTHS))
    filled_in = index.fill_null(as_arrow(np.zeros(1, np.int32))[0])
    return as_numpy(filled_in).astype(np.int64) + 1


def days_of(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 and whether the date exists."""
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (year - 1970) * 12 + np.where(valid, month - 1, 0)
    start = months.astype("M8[M]").astype("M8[D]")
    date = start + (np.where(valid, day, 1) - 1)
    valid &= date.astype("M8[M]").astype(np.int64) == months
    return date.astype(np.int64), valid


def iso_week_days(
    year: np.ndarray, week: np.ndarray, weekday: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 of ISO week dates (ISO 8601: week 1 holds 4 January), and validity."""
    fourth, _ = days_of(year, np.ones_like(year), np.full_like(year, 4))
    monday = fourth - (fourth + 3) % 7  # 1970-01-01 is a Thursday
    next_fourth, _ = days_of(year + 1, np.ones_like(year), np.full_like(year, 4))
    next_monday = next_fourth - (next_fourth + 3) % 7
    days = monday + (week - 1) * 7 + weekday - 1
    return days, (week >= 1) & (days < next_monday)


def clock(parts: Parts, notes: list[Note]) -> tuple[np.ndarray, np.ndarray]:
    """Nanoseconds since midnight and whether the time of day exists."""
    if "H" not in parts.names or not parts.has("H"):
        zero = np.zeros(len(parts.text), np.int64)
        return zero, np.ones(len(zero), bool)
    hour, minute, second = (parts.integers(n, 0) for n in "HMS")
    valid = (hour <= 23) & (minute <= 59) & (second <= 59)
    midnight = (hour == 24) & (minute == 0) & (second == 0)
    leap = (hour == 23) & (minute == 59) & (second == 60)
    if leap.any():
        text = "a leap second (23:59:60) became the next midnight"
        notes.append(Note("repair/leap-second", text, int(leap.sum())))
    if midnight.any():
        notes.append(Note("repair/hour-24", "24:00 became the next midnight", int(midnight.sum())))
    valid |= midnight | leap
    if parts.has("p"):
        hour, half_valid = _half_days(parts, hour)
        valid &= half_valid
    nanos = ((hour * 60 + minute) * 60 + second) * 10**9
    if parts.has("f"):
        nanos = nanos + _fractions(parts)
    return nanos, valid


def _half_days(parts: Parts, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.compute as pc

    marks = pc.utf8_lower(pc.utf8_trim_whitespace(parts.strings("p")))
    afternoon = as_numpy(pc.match_substring(marks, "p"))
    marked = filled(marks)
    valid = ~marked | ((hour >= 1) & (hour <= 12))
    return np.where(marked, hour % 12 + 12 * afternoon, hour), valid


def _fractions(parts: Parts) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pc.ascii_rpad(parts.strings("f"), 9, "0")
    return np.asarray(as_numpy(pc.cast(digits, pa.int64())))
