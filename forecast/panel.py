"""`Panel`: many series of one frequency in flat arrays, ragged and without padding.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecast.frequency import Frequency


@dataclass(frozen=True)
class Panel:
    """Regular series of one frequency, sorted by id, laid end to end.

    ids        object (S,): unique strings, sorted by code point
    offsets    int64 (S+1,): series s is values[offsets[s]:offsets[s+1]]
    values     float64 (N,): NaN where missing (a gap, a blank); otherwise finite
    first      int64 (S,): grid position of each series' first value; the time of its n-th value
               is frequency.stamps(first + n)
    frequency  the grid that all series lie on
    time_format  how to write a time: a strftime pattern, "iso" with its separator, ...; see
               frequency.format_stamps
    tz         IANA name or fixed offset that the times were written in, or None
    """

    ids: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    first: np.ndarray
    frequency: Frequency
    time_format: str = "%Y-%m-%d"
    tz: str | None = None

    @property
    def size(self) -> int:
        """S, the number of series."""
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (S,): observations of each series, missing ones included."""
        return np.diff(self.offsets)

    def series(self, s: int) -> np.ndarray:
        """The values of series `s` (a view)."""
        return self.values[self.offsets[s] : self.offsets[s + 1]]

    def truncate(self, keep: np.ndarray) -> Panel:
        """The panel with only the first `keep[s]` observations of each series; none is copied twice.

        keep: int64 (S,), each 0 <= keep <= length.
        """
        keep = np.asarray(keep, dtype=np.int64)
        if (keep < 0).any() or (keep > self.lengths).any():
            raise ValueError("keep must lie between 0 and each series' length")
        position = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        offsets = np.concatenate([[0], np.cumsum(keep)])
        return replace(
            self, offsets=offsets, values=self.values[position < np.repeat(keep, self.lengths)]
        )

    def select(self, chosen: np.ndarray) -> Panel:
        """The panel of the series at the (ascending) positions `chosen`."""
        lengths = self.lengths[chosen]
        starts = np.repeat(self.offsets[:-1][chosen], lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return replace(
            self,
            ids=self.ids[chosen],
            offsets=offsets,
            values=self.values[starts + within],
            first=self.first[chosen],
        )

    def window(self, origins: np.ndarray, horizon: int) -> np.ndarray:
        """The `horizon` values after position `origins[s]` of each series: float64 (S, H), NaN past the end."""
        steps = origins[:, None] + np.arange(horizon)[None, :]
        inside = (steps >= 0) & (steps < self.lengths[:, None])
        index = np.where(inside, self.offsets[:-1, None] + steps, 0)
        return np.where(inside, self.values[index], np.nan)
