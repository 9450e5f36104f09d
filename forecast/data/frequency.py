"""`Frequency`: a regular grid in time, and the arithmetic between times and positions on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forecast.common.errors import InputError

DAY = 86_400 * 10**9  # nanoseconds
UNITS = {
    "D": DAY, "h": 3600 * 10**9, "min": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1,
}  # fmt: skip
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTH_UNITS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12, "BMS": 1, "BME": 1}
PART_UNITS = {"SMS": (1, 15), "SME": (15, 31), "TMS": (1, 11, 21), "TME": (10, 20, 31)}
ALIAS = re.compile(
    r"(?P<n>\d*)(?P<unit>YS|YE|QS|QE|BMS|BME|SMS|SME|TMS|TME|MS|ME|W|D|B|h|min|s|ms|us|ns)(-(?P<anchor>[A-Z]{3}))?"
)
SEASONS: dict[str, tuple[int, ...]] = {  # candidate seasons in units of the alias' own unit
    "h": (24, 168), "min": (1440, 10080), "s": (60, 3600), "D": (7, 365), "B": (5, 260),
    "W": (52,), "MS": (12,), "ME": (12,), "BMS": (12,), "BME": (12,),
    "SMS": (24,), "SME": (24,), "TMS": (36,), "TME": (36,), "QS": (4,), "QE": (4,), "YS": (1,),
    "YE": (1,),
}  # fmt: skip


class OutOfTimesError(InputError, OverflowError):
    """Times that 64 bits of nanoseconds cannot hold."""


@dataclass(frozen=True)
class Frequency:
    """A regular grid in time; position p (int64) on it has a time, and every time on it a position.

    alias    pandas offset alias: "YS-JAN" "YE-DEC" "QS-JAN" "QE-DEC" "MS" "ME" "W-SUN" "D" "B"
             "h" "30min" "15min" "s" "7D" ..., "BME" (last business day of a month), "SMS" "SME"
             (two times a month: the 1st and 15th, the 15th and last), "TMS" "TME" (three: the 1st,
             11th and 21st, the 10th, 20th and last); for integer steps "1" (or "5": every fifth
             integer), or the alias that the user said one step stands for
    integer  times are integers, not dates
    phase    nanoseconds from the alias' own grid (midnight, the first or last day of the month)
             to this one: hourly at half past is 1.8e12, monthly on the 15th 14 days; for integer
             steps the integer of position 0
    stride   integers between two steps when the alias does not say it ("h" with times 0, 5, 10)
    start    month of position 0 for aliases such as "2MS", counted from January 1970
    days     days of the month of "SMS" and the like, where they are others; 31 is the last one
    """

    alias: str
    integer: bool = False
    phase: int = 0
    stride: int = 1
    start: int = 0
    days: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.parts  # noqa: B018  raises ValueError where the alias is none
        object.__setattr__(self, "days", tuple(self.days))  # a list where JSON was read

    @cached_property
    def parts(self) -> tuple[int, str, str]:
        """Multiple, unit and anchor of the alias; ("", "") for a plain integer alias."""
        if self.alias.isdigit():
            return int(self.alias), "", ""
        found = ALIAS.fullmatch(self.alias)
        if found is None:
            raise ValueError(f"not a frequency: {self.alias!r}")
        return int(found["n"] or 1), found["unit"], found["anchor"] or ""

    @property
    def _integer_step(self) -> int:
        return int(self.alias) if self.alias.isdigit() else self.stride

    @property
    def _months(self) -> tuple[int, int]:
        """Months in a step, and the month (from January 1970) of position 0."""
        multiple, unit, anchor = self.parts
        step = multiple * MONTH_UNITS[unit]
        if not anchor:
            default = 11 if unit in ("QE", "YE") else 0
            return step, (self.start or default) if MONTH_UNITS[unit] > 1 else self.start
        return step, (self.start or MONTHS.index(anchor)) if multiple > 1 else MONTHS.index(anchor)

    @property
    def odd_months(self) -> int:
        """Months in a step that neither divide a year nor are whole years (5, 13), else 0."""
        multiple, unit, _ = self.parts
        months = multiple * MONTH_UNITS.get(unit, 0)
        return months if months and 12 % months and months % 12 else 0

    @property
    def fixed(self) -> tuple[int, int]:
        """Nanoseconds in a step and of position 0, for frequencies of constant length."""
        multiple, unit, anchor = self.parts
        if unit == "W":
            weekday = WEEKDAYS.index(anchor or "SUN")
            return multiple * 7 * DAY, self.phase + (weekday - 3) * DAY  # day 0 is a Thursday
        return multiple * UNITS[unit], self.phase

    def positions(self, stamps: np.ndarray) -> np.ndarray:
        """Grid positions (int64) of `stamps` (datetime64[ns], or int64 for integer steps).

        Raises ValueError when a stamp is not on the grid.
        """
        stamps = np.asarray(stamps)
        positions, fits = self.locate(stamps)
        if not fits.all():
            stray = stamps[~fits].flat[0]
            raise ValueError(f"{stray} is not on the grid {self.alias}")
        return positions

    def locate(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Grid positions (int64) at or just before `stamps`, and bool: the stamp is on the grid.

        Month ends: the position of the month that holds the stamp.
        """
        if self.integer:
            steps, rest = np.divmod(np.asarray(stamps, np.int64) - self.phase, self._integer_step)
            return steps, rest == 0
        nanos = np.ascontiguousarray(stamps).astype("M8[ns]", copy=False).view(np.int64)
        unit = self.parts[1]
        if unit in PART_UNITS:
            positions = self._part_positions(nanos)
            return positions, self.stamps(positions).view(np.int64) == nanos
        if unit not in MONTH_UNITS and unit != "B":
            step, zero = self.fixed
            since = nanos - zero
            positions = since // step  # numpy's divmod takes five times as long
            return positions, positions * step == since
        if unit in MONTH_UNITS:
            positions = self._month_positions(nanos)
        else:
            days = (nanos - self.phase) // DAY
            positions = np.busday_count("1970-01-01", days.astype("M8[D]")) // self.parts[0]
        return positions, self.stamps(positions).view(np.int64) == nanos

    @property
    def _days(self) -> np.ndarray:
        return np.array(self.days or PART_UNITS[self.parts[1]], np.int64)

    def _part_positions(self, nanos: np.ndarray) -> np.ndarray:
        """Positions at or just before `nanos` on a grid of two or three days of each month."""
        days = self._days
        shifted = (nanos - self.phase).astype("M8[ns]").astype("M8[D]")
        month = shifted.astype("M8[M]")
        day = (shifted - month.astype("M8[D]")).astype(np.int64) + 1
        last = ((shifted + 1).astype("M8[M]") > month) & (days[-1] > 28)
        passed = np.searchsorted(days, np.where(last, days[-1], day), side="right")
        return np.asarray(month.astype(np.int64) * len(days) + passed - 1)

    def _part_days(self, positions: np.ndarray) -> np.ndarray:
        days = self._days
        month = (positions // len(days)).astype("M8[M]")
        begin, end = month.astype("M8[D]"), (month + 1).astype("M8[D]") - 1
        return np.minimum(begin + (days[positions % len(days)] - 1), end)

    def _month_positions(self, nanos: np.ndarray) -> np.ndarray:
        step, zero = self._months
        shifted = (nanos - self.phase).astype("M8[ns]")
        months = shifted.astype("M8[M]").astype(np.int64)
        return np.asarray((months - zero) // step)

    def stamps(self, positions: np.ndarray) -> np.ndarray:
        """Times (datetime64[ns], or int64 for integer steps) of grid `positions`.

        Raises OutOfTimesError beyond the years 1678 to 2261.
        """
        positions = np.asarray(positions, np.int64)
        if self.integer:
            return positions * self._integer_step + self.phase
        unit = self.parts[1]
        if unit in PART_UNITS:
            days = self._part_days(positions)
        elif unit in MONTH_UNITS:
            step, zero = self._months
            month = (positions * step + zero).astype("M8[M]")
            next_month = int(unit.endswith("E"))
            days = (month + next_month).astype("M8[D]") - next_month
            if unit.startswith("B"):
                days = np.busday_offset(days, 0, roll="backward" if next_month else "forward")
        elif unit == "B":
            days = np.busday_offset(np.datetime64("1970-01-01", "D"), positions * self.parts[0])
        else:
            step, zero = self.fixed
            _check_range(positions, step / DAY)
            return (positions * step + zero).view("M8[ns]")
        _check_range(days.astype(np.int64), 1.0)
        return days.astype("M8[ns]") + np.timedelta64(self.phase, "ns")

    @property
    def seasons(self) -> tuple[int, ...]:
        """Candidate season lengths in steps: h (24, 168), D (7, 365), MS (12,)."""
        multiple, unit, _ = self.parts
        if not unit:
            return ()
        whole = [s // multiple for s in SEASONS.get(unit, ()) if s % multiple == 0]
        if unit in ("min", "s") and multiple == 1:
            whole = whole[:1] if unit == "min" else whole
        if unit == "D" and multiple > 1:
            whole += [round(365.25 / multiple)]
        found = tuple(dict.fromkeys(s for s in whole if s > 1))
        return found or ((1,) if unit in ("YS", "YE") else ())

    @property
    def steps_per_day(self) -> int | None:
        """Steps in one day for sub-daily frequencies that divide it, else None."""
        multiple, unit, _ = self.parts
        if unit not in UNITS or unit == "D":
            return None
        step = multiple * UNITS[unit]
        return DAY // step if step < DAY and DAY % step == 0 else None


def _check_range(positions: np.ndarray, days: float) -> None:
    """Raise OutOfTimesError where `positions` steps of `days` days leave 64-bit nanoseconds."""
    if (
        positions.size
        and max(abs(int(positions.min())), abs(int(positions.max()))) * days > 106_700
    ):
        raise OutOfTimesError(
            "the times lie outside the years 1678 to 2261",
            code="input/time-range",
            remedy="Ask for a shorter --horizon; earlier or later years can be given as numbers",
        )


# --- The frequency of sorted times, found from their differences; aliases as people write them ---


SAMPLE = 500_000  # differences that are looked at; all are checked against the grid afterwards
OLD_ALIASES = {
    "A": "Y", "AS": "YS", "Y": "Y", "Q": "Q", "M": "M", "H": "h", "T": "min", "S": "s", "L": "ms",
    "U": "us", "N": "ns", "d": "D", "w": "W", "m": "min", "BM": "BME", "SM": "SME", "hour": "h",
    "day": "D",
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
    if unit in ("B", "BMS", "BME", *PART_UNITS):
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
    if 8 * DAY <= distinct.min() <= 17 * DAY and (found := _parts_of_months(times)):
        return found
    step = _common_step(usual, distinct)
    if step is None:
        return None
    if step % DAY == 0:
        return _daily(step // DAY, times, distinct)
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
        return _business_months(times)
    months = np.unique(np.diff(stamps.astype("M8[M]").astype(np.int64)))
    months = months[months > 0]
    if len(months) == 0:
        return None
    spans = np.unique(np.rint(steps / (DAY * 365.25 / 12)).astype(np.int64))
    return _monthly(int(np.gcd.reduce(spans[spans > 0])), times, end)


def _business_months(times: np.ndarray) -> Frequency | None:
    """A grid of the last, or first, business days of months."""
    for unit in ("BME", "BMS"):
        frequency = Frequency(unit, phase=int(times[0]) % DAY)
        if frequency.locate(times.astype("M8[ns]"))[1].all():
            return frequency
    return None


def _parts_of_months(times: np.ndarray) -> Frequency | None:
    """A grid of two or three days in each month: payrolls, dekads."""
    days = times.astype("M8[ns]").astype("M8[D]")
    begin = days.astype("M8[M]").astype("M8[D]")
    ends = (days + 1).astype("M8[M]") > days.astype("M8[M]")
    numbers = (days - begin).astype(np.int64) + 1
    late = ends & (numbers >= 28)
    found = np.unique(np.where(late, 31, numbers) if late.any() else numbers)
    if len(found) not in (2, 3):
        return None
    unit = ("S" if len(found) == 2 else "T") + ("ME" if found[-1] == 31 else "MS")
    own = tuple(int(d) for d in found)
    frequency = Frequency(
        unit, phase=int(times[0]) % DAY, days=() if own == PART_UNITS[unit] else own
    )
    return frequency if frequency.locate(times.astype("M8[ns]"))[1].all() else None


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


def _daily(days: int, times: np.ndarray, distinct: np.ndarray) -> Frequency | None:
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
