"""The frequency of sorted times, found from their differences; aliases as people write them."""

from __future__ import annotations

import re

import numpy as np

from forecast.data.frequency import DAY, MONTHS, UNITS, WEEKDAYS, Frequency

SAMPLE = 500_000  # differences that are looked at; all are checked against the grid afterwards
OLD_ALIASES = {
    "A": "Y", "AS": "YS", "Y": "Y", "Q": "Q", "M": "M", "H": "h", "T": "min", "S": "s", "L": "ms",
    "U": "us", "N": "ns", "d": "D", "w": "W", "m": "min", "BM": "ME", "hour": "h", "day": "D",
    "hourly": "h", "daily": "D", "weekly": "W", "monthly": "M", "quarterly": "Q", "yearly": "Y",
    "annual": "Y", "minute": "min", "week": "W", "month": "M", "quarter": "Q", "year": "Y",
}  # fmt: skip


def parse_frequency(text: str, stamps: np.ndarray, integer: bool) -> Frequency:
    """The frequency that `text` names ("h", "30min", "MS", "W", "5"), its phase from `stamps`.

    stamps: sorted int64 times, nanoseconds or integers; may be empty.
    Raises ValueError when `text` is not a frequency.
    """
    found = re.fullmatch(r"(\d*)\s*([A-Za-z]*)(-[A-Za-z]{3})?", text.strip())
    if found is None or not text.strip():
        raise ValueError(f"not a frequency: {text!r}")
    multiple, unit, anchor = found[1].lstrip("0"), found[2], (found[3] or "").upper()
    unit = OLD_ALIASES.get(unit, unit)
    if integer:
        return _integer_frequency(multiple, unit, anchor, stamps)
    if not unit:
        raise ValueError(f"a number is a frequency only where times are integers: {text!r}")
    if unit in ("Y", "Q", "M"):
        unit += "E" if _all_month_ends(stamps) else "S"
    if unit == "W" and not anchor and len(stamps):
        return _weekly(int(multiple or 1), int(stamps[0]))
    if unit in ("YS", "YE", "QS", "QE", "MS", "ME"):
        months = int(multiple or 1) * {"Y": 12, "Q": 3, "M": 1}[unit[0]]
        if anchor and len(stamps) == 0:
            return Frequency(f"{multiple}{unit}{anchor}")
        return _monthly(months, stamps, end=unit[1] == "E")
    frequency = Frequency(f"{'' if multiple == '1' else multiple}{unit}{anchor}")
    if len(stamps) == 0:
        return frequency
    if unit == "B":
        return Frequency(frequency.alias, phase=int(stamps[0]) % DAY)
    step, zero = frequency.fixed
    return Frequency(frequency.alias, phase=(int(stamps[0]) - zero) % step)


def _integer_frequency(multiple: str, unit: str, anchor: str, stamps: np.ndarray) -> Frequency:
    """One integer step stands for `unit`; the stride is what the integers themselves show."""
    if not unit:
        step = int(multiple)
        return Frequency(str(step), True, int(stamps[0]) % step if len(stamps) else 0)
    if unit in ("Y", "Q", "M"):
        unit += "S"
    name = f"{'' if multiple == '1' else multiple}{unit}{anchor}"
    return Frequency(name, True)


def infer_frequency(stamps: np.ndarray, starts: np.ndarray, integer: bool) -> Frequency | None:
    """The frequency of most series, or None when there is no regular step.

    stamps: int64 (N,), times of all series end to end, ascending and distinct within each;
    nanoseconds, or integers. starts: int64 (S,), where each series begins.
    """
    steps = np.diff(stamps)
    inside = np.ones(len(steps), bool)
    inside[starts[starts > 0] - 1] = False
    steps = steps[inside]
    if len(steps) == 0:
        return None
    sample = steps[:: max(1, len(steps) // SAMPLE)]
    distinct, counts = np.unique(sample, return_counts=True)
    usual = int(distinct[np.argmax(counts)])
    if integer:
        step = _common_step(usual, distinct)
        return None if step is None else Frequency(str(step), True, int(stamps[0]) % step)
    times = stamps[:: max(1, len(stamps) // SAMPLE)]
    if distinct.min() >= 28 * DAY and (found := _calendar(times, steps)):
        return found
    step = _common_step(usual, distinct)
    if step is None:
        return None
    if step % DAY == 0:
        return _daily(step // DAY, times, distinct, counts)
    unit = next(u for u, length in UNITS.items() if step % length == 0)
    multiple = step // UNITS[unit]
    return Frequency(f"{multiple if multiple > 1 else ''}{unit}", phase=int(stamps[0]) % step)


def _common_step(usual: int, distinct: np.ndarray) -> int | None:
    """The usual step, or a small fraction of it that divides all: 2 h and 1 h give 1 h."""
    common = int(np.gcd.reduce(distinct))
    if common == usual:
        return usual
    return common if usual // common <= 4 else None


def _calendar(times: np.ndarray, steps: np.ndarray) -> Frequency | None:
    """A monthly, quarterly or yearly grid, if all times are on one day of the month."""
    stamps = times.astype("M8[ns]")
    end = _all_month_ends(times)
    if not end and len(np.unique(_month_phase(stamps))) > 1:
        return None
    months = np.unique(np.diff(stamps.astype("M8[M]").astype(np.int64)))
    months = months[months > 0]
    if len(months) == 0:
        return None
    spans = np.unique(np.rint(steps / (DAY * 365.25 / 12)).astype(np.int64))
    return _monthly(int(np.gcd.reduce(spans[spans > 0])), times, end)


def _month_phase(stamps: np.ndarray) -> np.ndarray:
    """Nanoseconds since the first of the month."""
    start = stamps.astype("M8[M]").astype("M8[ns]")
    return (stamps - start).astype(np.int64)


def _all_month_ends(times: np.ndarray) -> bool:
    if len(times) == 0:
        return False
    days = times.astype("M8[ns]").astype("M8[D]")
    next_day_month = (days + 1).astype("M8[M]")
    return bool((next_day_month > days.astype("M8[M]")).all())


def _monthly(months: int, times: np.ndarray, end: bool) -> Frequency:
    """The frequency of `months` months through the first of `times`."""
    stamp = np.datetime64(int(times[0]) if len(times) else 0, "ns")
    month = int(stamp.astype("M8[M]").astype(np.int64))
    phase = int(_month_phase(np.array([stamp]))[0]) if not end else int(times[0]) % DAY
    letter = "E" if end else "S"
    if months % 12 == 0:
        multiple, unit, anchor = months // 12, "Y", MONTHS[month % 12]
    elif months % 3 == 0:
        within = month % 3 + (9 if end else 0)  # QE-DEC, QS-JAN: pandas' usual names
        multiple, unit, anchor = months // 3, "Q", MONTHS[within]
    else:
        multiple, unit, anchor = months, "M", ""
    start = month % months if multiple > 1 else 0
    alias = f"{multiple if multiple > 1 else ''}{unit}{letter}{'-' if anchor else ''}{anchor}"
    return Frequency(alias, phase=phase, start=start)


def _daily(
    days: int, times: np.ndarray, distinct: np.ndarray, counts: np.ndarray
) -> Frequency | None:
    phase = int(times[0]) % DAY
    if days == 1:
        weekdays = (times // DAY + 3) % 7  # 1970-01-01 is a Thursday: Monday is 0
        weekend_skips = bool((distinct == 3 * DAY).any())
        if weekend_skips and not (weekdays >= 5).any():
            return Frequency("B", phase=phase)
        return Frequency("D", phase=phase)
    if days % 7 == 0:
        return _weekly(days // 7, int(times[0]))
    return Frequency(f"{days}D", phase=int(times[0]) % (days * DAY))


def _weekly(multiple: int, first: int) -> Frequency:
    anchor = WEEKDAYS[(first // DAY + 3) % 7]
    alias = f"{multiple if multiple > 1 else ''}W-{anchor}"
    step, zero = Frequency(alias).fixed
    return Frequency(alias, phase=(first - zero) % step)
