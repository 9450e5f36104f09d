"""How surprising a value is to a forecast: signed normal scores, and what is usual for a series.

Axes: S series, N observations of all series together, Q quantiles.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from forecast.analysis.anomaly_rules import before

MOST = 50.0  # a larger score says no more
CAP = 6.0  # a score counts as no more than this in what is usual: anomalies must not hide others
PRIOR = 30.0  # weight of "the forecast's own width is right", in scores


def surprise(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Signed normal score (N,) of each `actual` (N,) in the forecast `quantiles` (N, Q).

    0 at the median, 1.96 at the quantile 0.975: the standard normal's quantile at the forecast's
    own probability. Between known quantiles it is linear, beyond the outermost it goes on as the
    whole half does. NaN where there is no actual or no forecast, at most MOST either way.
    """
    normal = np.array([NormalDist().inv_cdf(q) for q in levels])
    middle = len(levels) // 2
    below = (actual[:, None] >= quantiles).sum(1)  # quantiles at or below the actual
    left = np.clip(below - 1, 0, len(levels) - 2)
    row = np.arange(len(actual))
    low, high = quantiles[row, left], quantiles[row, left + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = normal[left] + (actual - low) / (high - low) * (normal[left + 1] - normal[left])
        far = actual - quantiles[:, middle]
        above = normal[-1] * far / (quantiles[:, -1] - quantiles[:, middle])
        under = normal[0] * far / (quantiles[:, 0] - quantiles[:, middle])
        score = np.where(below == len(levels), above, np.where(below == 0, under, inside))
    score = np.where(np.isnan(score) & np.isfinite(far), 0.0, score)  # no width, and none needed
    return np.clip(np.where(np.isfinite(quantiles[:, middle]), score, np.nan), -MOST, MOST)


def usual(score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Root mean square (N,) of the capped scores before each one, drawn towards 1.

    How much wider than the forecast says a series' surprises are; from its past alone.
    """
    return typical(before(counted(score), offsets), before(np.isfinite(score), offsets))


def counted(score: np.ndarray) -> np.ndarray:
    """What each score adds to the sum of squares that `typical` takes; 0 for NaN."""
    return np.where(np.isfinite(score), np.minimum(np.abs(score), CAP) ** 2, 0.0)


def typical(total: np.ndarray | float, count: np.ndarray | float) -> np.ndarray:
    """The root mean square of scores from the sum of their squares and their count."""
    return np.asarray(np.sqrt((PRIOR + total) / (PRIOR + count)))


def expected(
    quantiles: np.ndarray, levels: np.ndarray, reach: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values (N,) whose scores are -reach and +reach, or of the outermost quantiles where reach
    (N,) is less: what is expected lies between them; not below zero before the series was ever
    `negative` (N,), bool."""
    outer = NormalDist().inv_cdf(levels[-1])
    median = quantiles[:, len(levels) // 2]
    far = np.maximum(reach / outer, 1.0)
    low = median - far * (median - quantiles[:, 0])
    return (
        np.where(negative, low, np.maximum(low, 0.0)),
        median + far * (quantiles[:, -1] - median),
    )
