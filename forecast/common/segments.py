"""Series of a flat, ragged array: sums and lags inside each, without a loop; some of very many.

Axes: S series, N observations of all series together; series s is flat[offsets[s]:offsets[s+1]].
"""

from __future__ import annotations

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """`most` positions of `count`, evenly spread from the first to the last; all, where there are
    no more. int64."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def positions(offsets: np.ndarray) -> np.ndarray:
    """Position of each observation in its own series, int64 (N,)."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def sum_by_series(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of `flat` (N,) inside each series, float64 (S,); an empty series sums to 0."""
    total = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if filled.any():
        total[filled] = np.add.reduceat(flat, offsets[:-1][filled])
    return total


def last_known(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Position in its series of each series' last value that is not NaN, -1 without one. (S,)."""
    last = np.full(len(offsets) - 1, -1)
    filled = np.diff(offsets) > 0
    if filled.any():
        known = np.where(np.isnan(values), -1, positions(offsets))
        last[filled] = np.maximum.reduceat(known, offsets[:-1][filled])
    return last


def lagged_mean(values: np.ndarray, offsets: np.ndarray, lag: int, power: int = 1) -> np.ndarray:
    """Mean |y_t - y_{t-lag}|**power inside each series, float64 (S,).

    values (N,), NaN where missing: such pairs are left out. NaN for a series without a pair.
    Differences no larger than the rounding error of the values count as zero, so a series that
    repeats itself exactly gives 0 however it was computed.
    """
    gap = np.full(len(values), np.nan)
    gap[lag:] = np.abs(values[lag:] - values[:-lag])
    lengths = np.diff(offsets)
    starts, lengths = offsets[:-1][lengths > 0], lengths[lengths > 0]
    for step in range(lag):  # the first `lag` values of a series have no partner in it
        gap[starts[step < lengths] + step] = np.nan
    known = ~np.isnan(gap)
    if power != 1:
        gap **= power
    gap[~known] = 0.0
    count = sum_by_series(known.astype(float), offsets)
    total = sum_by_series(gap, offsets)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    largest = np.zeros(len(offsets) - 1)
    size = np.where(np.isnan(values), 0.0, np.abs(values))
    if len(starts):
        largest[np.diff(offsets) > 0] = np.maximum.reduceat(size, starts)
    return np.where(mean <= (1e-13 * largest) ** power, 0.0, mean)
