"""`Frame`: what a family is told about the series it is to draw, and their clocks.

Inside this package every array of paths is time-major, (T, S): a recursion over time then reads
and writes contiguous rows of all series at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Steps in a year for each season length: what turns a yearly growth rate into a slope.
STEPS_PER_YEAR = {1: 1, 4: 4, 5: 260, 6: 6, 7: 365, 12: 12, 13: 13, 24: 24, 52: 52}


@dataclass(frozen=True)
class Frame:
    """S series on one grid of T steps, right-aligned: series s occupies its last lengths[s] steps.

    length   T
    season   int64 (S,): season length in steps; 1 means no season
    lengths  int64 (S,): steps of each series, 1 <= lengths <= T
    """

    length: int
    season: np.ndarray
    lengths: np.ndarray

    @property
    def size(self) -> int:
        """S, the number of series."""
        return len(self.season)

    @cached_property
    def clock(self) -> np.ndarray:
        """float64 (T, S): steps since the series began; negative before it."""
        steps = np.arange(self.length, dtype=np.float64)[:, None]
        return steps - (self.length - self.lengths)[None, :]

    @cached_property
    def valid(self) -> np.ndarray:
        """bool (T, S): inside the series."""
        return self.clock >= 0

    @cached_property
    def progress(self) -> np.ndarray:
        """float64 (T, S): 0 at the first step of the series, towards 1 at its last; 0 before it."""
        return np.maximum(self.clock, 0.0) / self.lengths

    @cached_property
    def year(self) -> np.ndarray:
        """float64 (S,): steps in a year."""
        return np.array([STEPS_PER_YEAR.get(int(m), int(m)) for m in self.season], dtype=np.float64)

    def subset(self, rows: np.ndarray) -> Frame:
        """The frame of the series `rows` (positions or a boolean mask)."""
        return Frame(self.length, self.season[rows], self.lengths[rows])

    def moments(self, paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, each (S,), of `paths` (T, S) inside the series.

        The deviation is at least 1e-12, so that a constant path can be divided by it.
        """
        mean = np.where(self.valid, paths, 0.0).sum(axis=0) / self.lengths
        square = np.where(self.valid, (paths - mean) ** 2, 0.0).sum(axis=0) / self.lengths
        return mean, np.maximum(np.sqrt(square), 1e-12)

    def standardise(self, paths: np.ndarray) -> np.ndarray:
        """`paths` (T, S) with mean 0 and deviation 1 inside each series."""
        mean, deviation = self.moments(paths)
        return (paths - mean) / deviation
