"""From scores to kinds of anomalies: points, runs, level shifts, values that stand still, gaps.

Every rule looks at a position and at what lies before it; `RULE_WINDOW` positions are enough.
Axes: N observations of all series together.
"""

from __future__ import annotations

import numpy as np

from forecast.common.segments import positions

POINT, RUN, SHIFT, STILL, GAP = "point", "run", "level shift", "standstill", "gap"
HOLD = 5  # values after a surprise that are judged by what was known before it
CROWD = 3 * HOLD  # with more than a third of so many values surprising, this is how the series is
LEAST_STILL = 8  # equal values in a row that may mean a broken sensor


def held(out: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Values (N,), bool, that the history leaves out: each surprise `out` (N,) and those HOLD - 1
    after it, so that one spike does not bend the forecasts that follow and a new level is seen as
    one. Where surprises crowd, the history takes them as they are."""
    surprises = out.astype(float)
    recent = _trailing(surprises, offsets, HOLD) > 0
    return recent & (_trailing(surprises, offsets, CROWD) <= CROWD // 3)


def consecutive(same: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many positions in a row, up to each one, hold (N,), bool; within its series. (N,)."""
    here = np.arange(len(same))
    broken = np.maximum.accumulate(np.where(same, -1, here))
    return np.minimum(here - broken, positions(offsets) + 1)


def kinds(score: np.ndarray, threshold: float, offsets: np.ndarray) -> np.ndarray:
    """Kind (N,) of each value, "" for none, from its tempered score (N,).

    A value beyond the threshold is a point; the second and following in a row, on the same side,
    a run; from the HOLD-th on the level has shifted.
    """
    length = np.maximum(
        consecutive(score > threshold, offsets), consecutive(score < -threshold, offsets)
    )
    kind = np.full(len(score), "", dtype=object)
    kind[length == 1] = POINT
    kind[(length > 1) & (length < HOLD)] = RUN
    kind[length >= HOLD] = SHIFT
    return kind


def standstill(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many equal values (N,) in a row end at each one, where there are at least LEAST_STILL and
    over twice as many as ever before in a series that usually moves; else 0."""
    first = positions(offsets) == 0
    same = np.concatenate([[False], values[1:] == values[:-1]]) & ~first
    length = consecutive(same, offsets) + 1
    # The longest stretch that had ended before: a maximum that starts anew with each series.
    ended = np.concatenate([[0], length[:-1]]) * ~(same | first)
    anew = np.cumsum(first) * (len(values) + 1)
    longest = np.maximum.accumulate(ended + anew) - anew
    repeats, known = before(same, offsets), before(np.isfinite(values), offsets)
    odd = (length >= LEAST_STILL) & (length > 2 * longest) & (longest > 0)
    return np.where(odd & (repeats - length < 0.5 * known), length, 0)


def gaps(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Length (N,) of the gap that ends just before each value, 0 where there is none."""
    length = consecutive(~np.isfinite(values), offsets)
    here = positions(offsets)
    ended = np.concatenate([[0], length[:-1]])
    return np.where(np.isfinite(values) & (here > 0), ended, 0)


def before(x: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum (N,) of x over the positions of the same series before each one."""
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    here = np.arange(len(x))
    return total[here] - total[here - positions(offsets)]


def _trailing(x: np.ndarray, offsets: np.ndarray, window: int) -> np.ndarray:
    """Sum (N,) over the last `window` positions of the same series, each one included."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    here = np.arange(len(x))
    return total[here + 1] - total[here - np.minimum(positions(offsets), window - 1)]
