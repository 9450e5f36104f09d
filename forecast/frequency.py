"""The grid in time that a series lies on: its frequency, season lengths and future times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frequency:
    """A regular grid in time; position p (int64) on it has a time, and every time on it a position.

    alias    pandas offset alias: "YS-JAN" "YE-DEC" "QS-JAN" "QE-DEC" "MS" "ME" "W-SUN" "D" "B"
             "h" "30min" "15min" "s" "7D" ...; for integer steps "1" (or "5": every fifth integer),
             or the alias that the user said one step stands for
    integer  times are integers, not dates
    phase    offset of the grid: nanoseconds (fixed steps), day of month (months), step (integers)
    """

    alias: str
    integer: bool = False
    phase: int = 0

    def positions(self, stamps: np.ndarray) -> np.ndarray:
        """Grid positions (int64) of `stamps` (datetime64[ns], or int64 for integer steps).

        Raises ValueError when a stamp is not on the grid.
        """
        raise NotImplementedError

    def stamps(self, positions: np.ndarray) -> np.ndarray:
        """Times (datetime64[ns], or int64 for integer steps) of grid `positions`."""
        raise NotImplementedError

    @property
    def seasons(self) -> tuple[int, ...]:
        """Candidate season lengths in steps, most usual first: h (24, 168), D (7, 365), MS (12,)."""
        raise NotImplementedError

    @property
    def steps_per_day(self) -> int | None:
        """Steps in one day for sub-daily frequencies that divide it, else None."""
        raise NotImplementedError
