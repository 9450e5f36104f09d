"""Level, units and transform of one series, kept up to date value by value.

What `scaling.scale_panel` makes of a whole series stands here for its end alone: sums that grow,
and the last values in a buffer, so that a value costs the same however long the series is.

Axes: N observations so far, R those that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from forecast.transforms.scaling import SCALE_FLOOR, Transform, scale_panel
from forecast.transforms.windows import Layout

Z, LEVEL, SCALE, MOVE = range(4)  # rows of the buffer; NaN where missing or unknown
UNKNOWN = np.array([[0.0], [0.0], [1.0]])  # level, scale and move before there is any


class RunningScale:
    """One series so far: its last `keep` values with the level and the units at each.

    logged: whether values are taken as logarithms; those that have none count as missing.
    """

    def __init__(self, values: np.ndarray, layout: Layout, logged: bool, keep: int) -> None:
        self.layout, self.logged, self.keep = layout, logged, keep
        self.length = len(values)
        self.lags = tuple(dict.fromkeys((1, *(lag for lag in layout.lags if lag))))
        z = self._identity(values)
        self._seed(z)
        self._buffer = np.full((4, 2 * keep), np.nan)
        kept = min(self.length, keep)
        self._end = kept
        if kept:
            self._buffer[:, :kept] = self._past(values)[:, -kept:]

    def _identity(self, values: np.ndarray) -> np.ndarray:
        """Logarithms or the values themselves, float64 (N,)."""
        if not self.logged:
            return np.asarray(values, np.float64)
        usable = np.where(values > 0, values, np.nan)
        return np.asarray(np.log(usable))

    def _seed(self, z: np.ndarray) -> None:
        """Sums over all values so far: of each lag's differences, of the values, of their steps."""
        self._total, self._count = [0.0] * len(self.lags), [0] * len(self.lags)
        for k, lag in enumerate(self.lags):
            gap = np.abs(z[lag:] - z[:-lag])
            known = np.isfinite(gap)
            self._total[k], self._count[k] = float(gap[known].sum()), int(known.sum())
        valid = z[np.isfinite(z)]
        self._sum, self._valid = float(valid.sum()), len(valid)
        self._steps = float(np.abs(np.diff(valid)).sum())
        self._last = float(valid[-1]) if len(valid) else math.nan

    def _past(self, values: np.ndarray) -> np.ndarray:
        """The buffer's rows (4, N) for a whole series."""
        usable = np.where(values > 0, values, np.nan) if self.logged else values
        scaled = scale_panel(
            usable,
            np.array([0, len(values)]),
            lags=[lag for lag in self.layout.lags if lag],
            level_window=self.layout.level_window,
            logged=np.array([self.logged]),
        )
        shift, unit = scaled.transform.shift[0], scaled.transform.unit[0]
        begun = np.maximum.accumulate(np.isfinite(scaled.values))
        known = scaled.scale > 0
        return np.stack(
            [
                self._identity(values),
                np.where(begun, scaled.level * unit + shift, np.nan),
                np.where(known, scaled.scale * unit, np.nan),
                np.where(known, scaled.move * unit, np.nan),
            ]
        )

    def append(self, value: float) -> None:
        """Takes the next value, NaN where it is missing."""
        z = self._one(value)
        if self._end == self._buffer.shape[1]:
            self._buffer[:, : self.keep] = self._buffer[:, -self.keep :]
            self._end = self.keep
        at = self._end
        self._buffer[Z, at] = z
        self._end, self.length = at + 1, self.length + 1
        if z == z:
            self._count_in(z, at)
        self._buffer[LEVEL, at] = self._level(at)
        self._buffer[SCALE, at], self._buffer[MOVE, at] = self._units()

    def _one(self, value: float) -> float:
        if not self.logged:
            return value
        return math.log(value) if value > 0 else math.nan

    def _count_in(self, z: float, at: int) -> None:
        for k, lag in enumerate(self.lags):
            gap = abs(z - float(self._buffer[Z, at - lag])) if lag <= at else math.nan
            if gap == gap:
                self._total[k] += gap
                self._count[k] += 1
        if self._valid:
            self._steps += abs(z - self._last)
        self._sum += z
        self._valid += 1
        self._last = z

    def _level(self, at: int) -> float:
        window = self._buffer[Z, max(0, at + 1 - self.layout.level_window) : at + 1]
        known = window[window == window]
        if len(known):
            return float(known.sum()) / len(known)
        return float(self._buffer[LEVEL, at - 1]) if at else math.nan

    def _units(self) -> tuple[float, float]:
        means = list(self._means())
        most = max(means, default=0.0)
        if most <= 0:
            return math.nan, math.nan
        return max(min(means), SCALE_FLOOR * most), most

    def _means(self) -> Iterator[float]:
        """Mean difference at each lag of which half has been seen twice."""
        for lag, total, count in zip(self.lags, self._total, self._count, strict=True):
            if count >= max(2, lag // 2):
                yield total / count

    def transform(self) -> Transform:
        """What `scale_panel` would choose for the series so far; arrays of one."""
        shift = self._sum / self._valid if self._valid else 0.0
        step = self._steps / max(self._valid - 1, 1)
        unit = step if step > 1e-12 * abs(shift) else max(0.01 * abs(shift), 1e-300)
        if step == 0:
            unit = max(unit, 0.01) if self.logged else unit
            unit = 1.0 if shift == 0 else unit
        return Transform(np.array([self.logged]), np.array([shift]), np.array([unit]))

    def rows(self, transform: Transform) -> np.ndarray:
        """Values, level, scale and move (4, R) at the kept positions, as windows are gathered from
        them (windows.Flat)."""
        shift, unit = float(transform.shift[0]), float(transform.unit[0])
        kept = self._buffer[:, max(0, self._end - self.keep) : self._end]
        rows = np.empty(kept.shape)
        rows[:2] = (kept[:2] - shift) / unit
        rows[2:] = kept[2:] / unit
        rows[LEVEL:] = np.where(np.isnan(rows[LEVEL:]), UNKNOWN, rows[LEVEL:])
        return rows.astype(np.float32)
