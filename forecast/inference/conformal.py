"""Conformal calibration: intervals as wide as the errors on validation origins say, and how the
errors of neighbouring steps hang together there.

Each pair of quantiles (q, 1-q) is stretched around the median by one factor, the split-conformal
quantile of how far the actuals lay out in units of the forecast half-width (Romano, Patterson &
Candes 2019, in its scaled form). With few actuals, or few origins in time, the factor is drawn
towards 1.
"""

from __future__ import annotations

import numpy as np

from forecast.models.forecaster import USUAL_DEPENDENCE

PRIOR_ACTUALS = 40.0  # weight of "the network's own width is right", in actuals
# Of one origin in time: what happens then happens to all series, and their errors, and those of its
# steps, are no independent witnesses (benchmarks/TRIED.md).
MOST_ACTUALS = 10
# The weights kept are those that were best on these very actuals, which makes errors look small:
# intervals are narrowed only on ten times the evidence that widens them.
CAUTION = 10.0
BOUNDS = (0.5, 4.0)
ENDLESS = 1e12  # widths that an actual lies out where there is no width: finite, as infinity is not
PRIOR_PAIRS, MOST_DEPENDENCE = 20.0, 0.99


def calibrate(
    quantiles: np.ndarray, levels: np.ndarray, actual: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Stretch factors (Q,), 1 for the median, from quantiles (S, H, Q) and actual (S, H).

    Actuals that are NaN are left out. times int64 (S,): the steps at which the origins lie; those
    that are less than a horizon apart count as one.
    """
    middle = len(levels) // 2
    factors = np.ones(len(levels))
    known = np.isfinite(actual) & np.isfinite(quantiles).all(-1)
    count = int(known.sum())
    if count == 0:
        return factors
    origins = len(np.unique(times[known.any(axis=1)] // actual.shape[1]))
    witnesses = min(count, MOST_ACTUALS * origins)
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
            narrow, np.where(distance == 0, 0.0, ENDLESS), distance / np.where(narrow, 1, width)
        )
        ratio = np.minimum(ratio, ENDLESS)  # a quotient of far numbers may overflow
        share = min(1.0, (levels[high] - levels[low]) * (count + 1) / count)
        exact = np.clip(np.quantile(ratio, share), *BOUNDS)
        trust = witnesses / (witnesses + PRIOR_ACTUALS * (CAUTION if exact < 1 else 1))
        factors[low] = factors[high] = float(np.exp(trust * np.log(exact)))
    return factors


def stretch(quantiles: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Quantiles (..., Q) with each one's distance from the median times its factor, in order."""
    middle = len(factors) // 2
    median = quantiles[..., middle : middle + 1]
    return np.sort(median + (quantiles - median) * factors, axis=-1)


def dependence(scores: np.ndarray) -> float:
    """Correlation of the forecast errors of neighbouring steps, from normal scores (S, H).

    The parameter of a Gaussian copula over steps, correlation rho^|i - j| (Pinson, Madsen, Nielsen,
    Papaefthymiou & Kloeckl 2009, with exponential covariance). Scores have mean zero where the
    forecast is calibrated, so none is taken off: errors that last a whole horizon are dependence.
    Few pairs are drawn towards USUAL_DEPENDENCE.
    """
    before, after = scores[:, :-1], scores[:, 1:]
    known = np.isfinite(before) & np.isfinite(after)
    before, after = before[known], after[known]
    spread = np.sqrt((before**2).sum() * (after**2).sum())
    weight = known.sum() / (known.sum() + PRIOR_PAIRS)
    found = (before * after).sum() / spread if spread > 0 else USUAL_DEPENDENCE
    mixed = weight * found + (1 - weight) * USUAL_DEPENDENCE
    return float(np.clip(mixed, -MOST_DEPENDENCE, MOST_DEPENDENCE))
