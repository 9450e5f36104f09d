"""`Frequency`: a regular grid in time, and the arithmetic between times and positions on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

DAY = 86_400 * 10**9  # nanoseconds
UNITS = {
    "D": DAY, "h": 3600 * 10**9, "min": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1,
}  # fmt: skip
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTH_UNITS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
ALIAS = re.compile(
    r"(?P<n>\d*)(?P<unit>YS|YE|QS|QE|MS|ME|W|D|B|h|min|s|ms|us|ns)(-(?P<anchor>[A-Z]{3}))?"
)
SEASONS: dict[str, tuple[int, ...]] = {  # candidate seasons in units of the alias' own unit
    "h": (24, 168), "min": (1440, 10080), "s": (60, 3600), "D": (7, 365), "B": (5, 260),
    "W": (52,), "MS": (12,), "ME": (12,), "QS": (4,), "QE": (4,), "YS": (1,), "YE": (1,),
}  # fmt: skip


@dataclass(frozen=True)
class Frequency:
    """A regular grid in time; position p (int64) on it has a time, and every time on it a position.

    alias    pandas offset alias: "YS-JAN" "YE-DEC" "QS-JAN" "QE-DEC" "MS" "ME" "W-SUN" "D" "B"
             "h" "30min" "15min" "s" "7D" ...; for integer steps "1" (or "5": every fifth integer),
             or the alias that the user said one step stands for
    integer  times are integers, not dates
    phase    nanoseconds from the alias' own grid (midnight, the first or last day of the month)
             to this one: hourly at half past is 1.8e12, monthly on the 15th 14 days; for integer
             steps the integer of position 0
    stride   integers between two steps when the alias does not say it ("h" with times 0, 5, 10)
    start    month of position 0 for aliases such as "2MS", counted from January 1970
    """

    alias: str
    integer: bool = False
    phase: int = 0
    stride: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        self.parts  # noqa: B018  raises ValueError where the alias is none

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

    def _month_positions(self, nanos: np.ndarray) -> np.ndarray:
        step, zero = self._months
        shifted = (nanos - self.phase).astype("M8[ns]")
        months = shifted.astype("M8[M]").astype(np.int64)
        return np.asarray((months - zero) // step)

    def stamps(self, positions: np.ndarray) -> np.ndarray:
        """Times (datetime64[ns], or int64 for integer steps) of grid `positions`.

        Raises OverflowError beyond the years 1678 to 2261.
        """
        positions = np.asarray(positions, np.int64)
        if self.integer:
            return positions * self._integer_step + self.phase
        unit = self.parts[1]
        if unit in MONTH_UNITS:
            step, zero = self._months
            month = (positions * step + zero).astype("M8[M]")
            next_month = int(unit.endswith("E"))
            days = (month + next_month).astype("M8[D]") - next_month
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
    """Raise OverflowError where `positions` steps of `days` days leave 64-bit nanoseconds."""
    if (
        positions.size
        and max(abs(int(positions.min())), abs(int(positions.max()))) * days > 106_700
    ):
        raise OverflowError("the times lie outside the years 1678 to 2261")
