"""Conformal calibration: intervals as wide as the errors on validation origins say.

Each pair of quantiles (q, 1-q) is stretched around the median by one factor, the split-conformal
quantile of how far the actuals lay out in units of the forecast half-width (Romano, Patterson &
Candes 2019, in its scaled form). With few actuals the factor is drawn towards 1.
"""

from __future__ import annotations

import numpy as np

PRIOR_ACTUALS = 40.0  # weight of "the network's own width is right", in actuals
# The weights kept are those that were best on these very actuals, which makes errors look small:
# intervals are narrowed only on ten times the evidence that widens them.
CAUTION = 10.0
BOUNDS = (0.5, 4.0)


def calibrate(quantiles: np.ndarray, levels: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Stretch factors (Q,), 1 for the median, from quantiles (S, H, Q) and actual (S, H).

    Actuals that are NaN are left out.
    """
    middle = len(levels) // 2
    factors = np.ones(len(levels))
    known = np.isfinite(actual) & np.isfinite(quantiles).all(-1)
    count = int(known.sum())
    if count == 0:
        return factors
    median = quantiles[..., middle][known]
    above = actual[known] >= median
    distance = np.abs(actual[known] - median)
    for low in range(middle):
        high = len(levels) - 1 - low
        upper = quantiles[..., high][known] - median
        lower = median - quantiles[..., low][known]
        width = np.where(above, upper, lower)
        # No width at all (a constant series) calibrates nothing, unless the actual is right there.
        narrow = width <= 1e-9 * np.abs(median)
        ratio = np.where(
            narrow, np.where(distance == 0, 0.0, np.inf), distance / np.where(narrow, 1, width)
        )
        share = min(1.0, (levels[high] - levels[low]) * (count + 1) / count)
        exact = np.clip(np.quantile(ratio, share), *BOUNDS)
        trust = count / (count + PRIOR_ACTUALS * (CAUTION if exact < 1 else 1))
        factors[low] = factors[high] = float(np.exp(trust * np.log(exact)))
    return factors


def stretch(quantiles: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Quantiles (..., Q) with each one's distance from the median times its factor, in order."""
    middle = len(factors) // 2
    median = quantiles[..., middle : middle + 1]
    return np.sort(median + (quantiles - median) * factors, axis=-1)
