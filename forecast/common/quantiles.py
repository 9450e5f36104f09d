"""Quantiles as a function of the level: linear in the standard normal's quantile ("normal score").

Between two known levels and beyond the outermost a quantile moves linearly in the normal score,
which is exact where a distribution is piecewise normal. Whoever asks for other levels, for the
level of a value or for the value at a level goes by this.

Axes: Q known levels, W wanted levels; others lead.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

FAR = 4.0  # normal score beyond which an actual is only "far out"


def normal_quantiles(levels: np.ndarray) -> np.ndarray:
    """The standard normal's quantiles at `levels`, (Q,)."""
    return np.array([NormalDist().inv_cdf(float(level)) for level in levels])


def at_other_levels(quantiles: np.ndarray, levels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Quantiles (..., W) at the `wanted` levels of those (..., Q) at `levels`."""
    left, part = _place(levels, normal_quantiles(wanted))
    low, high = quantiles[..., left], quantiles[..., left + 1]
    made: np.ndarray = low + part * (high - low)
    return made


def weights_between(levels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights (Q, W) of the quantiles at `levels` in those at `wanted`: `at_other_levels`."""
    left, part = _place(levels, normal_quantiles(wanted))
    weights = np.zeros((len(levels), len(wanted)))
    weights[left, np.arange(len(wanted))] = 1 - part
    weights[left + 1, np.arange(len(wanted))] += part
    return weights


def values_at_scores(quantiles: np.ndarray, levels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Values (...,) at normal `scores` (...,) of distributions with `quantiles` (..., Q); leading
    axes are broadcast."""
    piece, part = _place(levels, scores)
    left, right = (
        np.take_along_axis(quantiles, (piece + k)[..., None], -1)[..., 0] for k in (0, 1)
    )
    made: np.ndarray = left + part * (right - left)
    return made


def normal_scores(quantiles: np.ndarray, levels: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Where each actual (...,) lies in its forecast, as the standard normal's quantile, (...,).

    quantiles (..., Q), ascending; levels (Q,). Between and beyond the levels a quantile moves
    linearly in the normal's; where several coincide with the actual, the middle of them counts
    (for counts the mid-PIT, Czado, Gneiting & Held 2009). NaN where the actual is missing.
    """
    scores = normal_quantiles(levels)

    def found(count: np.ndarray) -> np.ndarray:
        """The score by the piece that begins at the `count`-th quantile."""
        piece = np.clip(count - 1, 0, len(levels) - 2)
        left, right = (
            np.take_along_axis(quantiles, (piece + k)[..., None], -1)[..., 0] for k in (0, 1)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            part = (actual - left) / (right - left)
            part = np.where(right > left, part, np.sign(actual - left) * np.inf)
        part = np.where((right <= left) & (actual == left), count > piece + 1, part)
        return np.clip(scores[piece] + part * (scores[piece + 1] - scores[piece]), -FAR, FAR)

    low = (quantiles < actual[..., None]).sum(-1)
    high = (quantiles <= actual[..., None]).sum(-1)
    made: np.ndarray = np.where(np.isfinite(actual), (found(low) + found(high)) / 2, np.nan)
    return made


def _place(levels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The piece that each normal score lies in, by the level on its left, and how far along it."""
    known = normal_quantiles(levels)
    left = np.clip(np.searchsorted(known, scores) - 1, 0, len(known) - 2)
    part: np.ndarray = (scores - known[left]) / (known[left + 1] - known[left])
    return left, part
