"""The continuous ranked probability score, from quantiles and from samples.

CRPS(F, y) = integral of (F(x) - 1{x >= y})^2 dx = 2 * integral over q of rho_q(y, F^-1(q)): the
absolute error where the forecast is one value (Gneiting & Raftery 2007). In the data's units.

Axes: S series, H horizon (steps), Q quantiles, N samples.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def crps(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """CRPS of each series and step from its quantiles, (S, H); NaN where the actual is missing.

    actual (S, H); quantiles (S, H, Q), ascending; levels (Q,), at least two. Between the levels and
    beyond the outermost a quantile moves linearly in the standard normal's, as everywhere in this
    package, which is exact for a normal distribution. On each piece, where x = slope * z + c, the
    integral is slope * (A(z2) - A(z1)) below the actual and the mirror image above it.
    """
    scores = np.array([NormalDist().inv_cdf(q) for q in levels])
    slope = np.diff(quantiles, axis=-1) / np.diff(scores)  # (S, H, Q-1)
    below, above = _rising(scores), -_rising(-scores)
    below[0], above[-1] = 0.0, 0.0  # the outermost pieces reach to infinity
    passed = _before(slope * np.diff(below))
    coming = _before((slope * np.diff(above))[..., ::-1])[..., ::-1]
    piece = np.clip((quantiles < actual[..., None]).sum(-1) - 1, 0, len(levels) - 2)[..., None]

    def here(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, piece, -1)[..., 0]

    left, steep = here(quantiles[..., :-1]), here(slope)
    first = piece[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        at = scores[first] + (actual - left) / steep
        inside = steep * (_rising(at) - below[first] + above[first + 1] + _rising(-at))
    # Where quantiles coincide, F leaps: what lies between them and the actual is all that counts.
    inside = np.where((steep > 0) & np.isfinite(inside), inside, np.abs(actual - left))
    made: np.ndarray = here(passed) + inside + here(coming)
    return made


def crps_of_samples(actual: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """CRPS from samples, E|X - y| - E|X - X'| / 2, without the bias of few of them (Ferro 2014).

    actual (...); samples (..., N), N >= 2 -> (...).
    """
    count = samples.shape[-1]
    distance = np.abs(samples - actual[..., None]).mean(-1)
    rank = 2 * np.arange(count) - (count - 1)  # how often a value is the larger less the smaller
    between = (np.sort(samples, -1) * rank).sum(-1) / (count * (count - 1))
    made: np.ndarray = distance - between
    return made


def _before(x: np.ndarray) -> np.ndarray:
    """Sum of what stands before each entry of the last axis."""
    total = np.cumsum(x, -1) - x
    return np.asarray(total)


def _rising(z: np.ndarray) -> np.ndarray:
    """Integral of Phi(t)^2 from minus infinity to z: z Phi^2 + 2 phi Phi - Phi(z 2^.5) / pi^.5."""
    from scipy.special import ndtr

    share = ndtr(z)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    made: np.ndarray = z * share**2 + 2 * density * share - ndtr(np.sqrt(2) * z) / np.sqrt(np.pi)
    return made
