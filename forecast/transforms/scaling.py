"""Causal scaling: every series in units in which one network can read all of them.

Two steps, both free of the future:

1. A transform for each series, chosen from the values seen: the logarithm for clearly positive
   ones, else nothing; then a shift and a division that only serve float32 (the network's inputs
   do not change with them).
2. At each position n a level (mean of the last `level_window` values), a unit of errors (what the
   best naive skip got wrong so far) and a unit of inputs, all from values up to n alone.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# A unit of errors below this share of the unit of inputs would only blow up rounding noise.
SCALE_FLOOR = 0.002
BLOCK = 1 << 20  # values scaled at a time
# Log only where the smallest value is not a sliver of the typical one: log(0.001) would rule.
LOG_MINIMUM_SHARE = 0.05


@dataclass(frozen=True)
class Transform:
    """z = (log(y) if logged else y - shift) / unit, for each series; arrays of shape (S,)."""

    logged: np.ndarray
    shift: np.ndarray
    unit: np.ndarray

    def apply(self, values: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Transformed `values` (...,) of the series numbered `series` (same shape), float64."""
        logged = self.logged[series]
        with np.errstate(invalid="ignore", divide="ignore"):
            raw = np.where(logged, np.log(np.where(logged, values, 1.0)), values)
        return (raw - self.shift[series]) / self.unit[series]

    def invert(self, scaled: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Original units of `scaled` (...,), float64; the exponential is capped, never infinite."""
        raw = scaled.astype(np.float64) * self.unit[series] + self.shift[series]
        logged = self.logged[series]
        return np.where(logged, np.exp(np.clip(np.where(logged, raw, 0.0), -700, 700)), raw)


@dataclass(frozen=True)
class Scaled:
    """A panel in the network's units; flat float32 arrays of shape (N,).

    values  transformed values, NaN where missing
    level   mean of the last values up to and including this position
    scale   unit of errors there: mean absolute error so far of the best naive skip; 0 where the
            series has not moved yet, so that no unit is known
    move    unit of inputs there: the largest typical step so far; 1 where none is known
    """

    values: np.ndarray
    level: np.ndarray
    scale: np.ndarray
    move: np.ndarray
    offsets: np.ndarray
    transform: Transform


def scale_panel(
    values: np.ndarray,
    offsets: np.ndarray,
    *,
    lags: Sequence[int],
    level_window: int,
    logged: np.ndarray | None = None,
) -> Scaled:
    """Scales ragged series laid end to end: values float64 (N,), NaN = missing; offsets (S+1,).

    lags: of the naive skips, in steps; level_window: values in the level; logged bool (S,): which
    series to take logarithms of, those that `calls_for_log` names unless given.
    """
    chosen = calls_for_log(values, offsets) if logged is None else logged
    blocks = [
        _scale_block(
            values[offsets[a] : offsets[b]],
            offsets[a : b + 1] - offsets[a],
            chosen[a:b],
            lags,
            level_window,
        )
        for a, b in _blocks(offsets)
    ]
    join = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("values", "level", "scale", "move")
    }
    transform = Transform(
        *(
            np.concatenate([getattr(block.transform, name) for block in blocks])
            for name in ("logged", "shift", "unit")
        )
    )
    return Scaled(**join, offsets=offsets, transform=transform)


def calls_for_log(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Series, bool (S,), whose values are all positive and none tiny beside their mean."""
    size = len(offsets) - 1
    series = np.repeat(np.arange(size), np.diff(offsets))
    valid = np.isfinite(values)
    series, seen = series[valid], values[valid]
    count = np.maximum(np.bincount(series, minlength=size), 1)
    mean = np.bincount(series, weights=seen, minlength=size) / count
    smallest = np.full(size, np.inf)
    np.minimum.at(smallest, series, seen)
    return (smallest > 0) & (smallest > LOG_MINIMUM_SHARE * mean) & np.isfinite(smallest)


def _blocks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last-but-one series of blocks of about BLOCK values: little is needed at a time."""
    start = 0
    while True:
        stop = int(np.searchsorted(offsets, offsets[start] + BLOCK, "right")) - 1
        stop = min(max(stop, start + 1), len(offsets) - 1)
        yield start, stop
        if stop >= len(offsets) - 1:
            return
        start = stop


def _scale_block(
    values: np.ndarray,
    offsets: np.ndarray,
    logged: np.ndarray,
    lags: Sequence[int],
    level_window: int,
) -> Scaled:
    lengths = np.diff(offsets)
    series = np.repeat(np.arange(len(lengths)), lengths)
    valid = np.isfinite(values)
    transform = _choose_transform(values, valid, series, logged)
    z = np.where(valid, transform.apply(np.where(valid, values, 1.0), series), 0.0)
    position = np.arange(len(values)) - offsets[:-1][series]
    least, most = _causal_steps(z, valid, position, lags)
    moved = most > 0
    return Scaled(
        np.where(valid, z, np.nan).astype(np.float32),
        _rolling_mean(z, valid, position, level_window).astype(np.float32),
        np.where(moved, np.maximum(least, SCALE_FLOOR * most), 0.0).astype(np.float32),
        np.where(moved, most, 1.0).astype(np.float32),
        offsets,
        transform,
    )


def _choose_transform(
    values: np.ndarray, valid: np.ndarray, series: np.ndarray, logged: np.ndarray
) -> Transform:
    """The transform of series `logged` (S,) or not; shift and unit from all values seen."""
    size = len(logged)
    count = np.maximum(np.bincount(series[valid], minlength=size), 1)
    identity = Transform(logged, np.zeros(size), np.ones(size))
    z = identity.apply(np.where(valid, values, 1.0), series)
    shift = np.bincount(series[valid], weights=z[valid], minlength=size) / count
    step = _mean_step(z, valid, series, size)
    spread = np.bincount(series[valid], weights=np.abs(z - shift[series])[valid], minlength=size)
    unit = np.where(step > 0, step, spread / count)
    # A constant series: one per cent of its own size stands for its unknown spread.
    unit = np.where(unit > 1e-12 * np.abs(shift), unit, np.maximum(0.01 * np.abs(shift), 1e-300))
    unit = np.where(logged & (step == 0), np.maximum(unit, 0.01), unit)
    unit = np.where((shift == 0) & (step == 0), 1.0, unit)
    return Transform(logged, shift, unit)


def _mean_step(z: np.ndarray, valid: np.ndarray, series: np.ndarray, size: int) -> np.ndarray:
    """Mean absolute difference between neighbouring valid values of each series: (S,)."""
    at = np.flatnonzero(valid)
    same = series[at[1:]] == series[at[:-1]]
    steps = np.abs(np.diff(z[at]))[same]
    owner = series[at[1:]][same]
    pairs = np.maximum(np.bincount(owner, minlength=size), 1)
    return np.bincount(owner, weights=steps, minlength=size) / pairs


def _rolling_mean(
    z: np.ndarray, valid: np.ndarray, position: np.ndarray, window: int
) -> np.ndarray:
    """Mean of the valid ones among the last `window` values; where there is none, the one before.

    Sums run over the flat array; a series' own start bounds each window, so none crosses over.
    """
    n = np.arange(len(z))
    start = n - np.minimum(position, window - 1)
    total = np.concatenate([[0.0], np.cumsum(np.where(valid, z, 0.0))])
    count = np.concatenate([[0], np.cumsum(valid)])
    inside = count[n + 1] - count[start]
    mean = (total[n + 1] - total[start]) / np.maximum(inside, 1)
    return _carry_forward(mean, inside > 0, position, default=0.0)


def _causal_steps(
    z: np.ndarray, valid: np.ndarray, position: np.ndarray, lags: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest, over `lags` and one step, of the mean absolute difference so far.

    The smallest is what the best naive skip gets wrong: the unit of errors. The largest is how far
    values move: the unit of inputs. A lag counts once half of it has been seen twice.
    """
    n = np.arange(len(z))
    least, most = np.full(len(z), np.inf), np.zeros(len(z))
    for lag in dict.fromkeys((1, *lags)):
        before = np.maximum(n - lag, 0)
        pair = valid & valid[before] & (position >= lag)
        total = _running(np.where(pair, np.abs(z - z[before]), 0.0), position)
        count = _running(pair.astype(np.float64), position)
        enough = count >= max(2, lag // 2)
        mean = total / np.maximum(count, 1)
        least = np.where(enough, np.minimum(least, mean), least)
        most = np.where(enough, np.maximum(most, mean), most)
    return np.where(np.isfinite(least), least, 0.0), most


def _running(x: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Sum of x from the series' start to each position, inclusive."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    n = np.arange(len(x))
    return total[n + 1] - total[n - position]


def _carry_forward(
    x: np.ndarray, good: np.ndarray, position: np.ndarray, default: float
) -> np.ndarray:
    """x where good, else the last good x of the same series, else `default`."""
    n = np.arange(len(x))
    last = np.maximum.accumulate(np.where(good, n, -1))
    own = last >= n - position
    return np.where(own, x[np.maximum(last, 0)], default)
