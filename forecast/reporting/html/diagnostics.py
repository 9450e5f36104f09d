"""What the report shows of a forecaster's errors: reliability, autocorrelation, which series.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import numpy as np

from forecast.reporting.html.contents import Reliability, Residuals


def reliability(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> Reliability:
    """Share of actual values at or below each forecast quantile, over all series and steps.

    actual (S, H), NaN where unknown; quantiles (S, H, Q); levels (Q,) between 0 and 1. A perfectly
    calibrated forecaster observes what it promised (Gneiting, Balabdaoui and Raftery 2007).
    """
    known = np.isfinite(actual)[:, :, None] & np.isfinite(quantiles)
    below = (actual[:, :, None] <= quantiles) & known
    with np.errstate(invalid="ignore"):
        observed = below.sum(axis=(0, 1)) / known.sum(axis=(0, 1))
    return Reliability(promised=np.asarray(levels, dtype=float), observed=observed)


def residual_autocorrelation(errors: np.ndarray, lags: int) -> Residuals:
    """Autocorrelation of forecast errors along the horizon at lags 1..lags, pooled over series.

    errors: (S, H), actual minus forecast, NaN where unknown; each row is one series (or one series
    and origin) and is divided by its own root mean square, so that large series do not drown
    small ones. r_k = sum e_t e_{t+k} / sqrt(sum e_t^2 * sum e_{t+k}^2) over the pairs that are
    known. Errors are not centred: a forecast that is too high throughout shows as correlation.
    limit: 1.96 / sqrt(number of errors), the 95 per cent limit of white noise (Bartlett 1946).
    Lags without a pair are NaN.
    """
    errors = np.asarray(errors, dtype=float)
    known = np.isfinite(errors)
    filled = np.where(known, errors, 0.0)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    scale = np.sqrt((filled**2).sum(axis=1, keepdims=True) / counts)
    filled = filled / np.where(scale > 0, scale, 1.0)
    lags = min(lags, errors.shape[1] - 1)
    found = np.array([_correlation(filled, known, lag) for lag in range(1, lags + 1)])
    total = int(known.sum())
    return Residuals(found, 1.96 / np.sqrt(total) if total else np.inf)


def _correlation(errors: np.ndarray, known: np.ndarray, lag: int) -> float:
    """Correlation of scaled errors `lag` steps apart; NaN without a pair."""
    both = known[:, :-lag] & known[:, lag:]
    first, second = errors[:, :-lag][both], errors[:, lag:][both]
    weight = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / weight) if weight > 0 else float("nan")


def chosen_series(scores: np.ndarray, limit: int) -> np.ndarray:
    """Positions of at most `limit` series for the page: the worst, the best, and evenly between.

    scores (S,): each series' error, NaN where it was not scored (such series come last). The
    result begins with the middle of the scores, then the extremes, then ever finer steps between
    them, so that any first part of it is a fair sample as well.
    """
    order = np.argsort(np.where(np.isfinite(scores), scores, np.inf), kind="stable")
    scored = int(np.isfinite(scores).sum())
    count = min(limit, len(order))
    ranks = _spread(scored)[:count] if scored else np.empty(0, dtype=np.int64)
    rest = np.arange(scored, len(order))[: count - len(ranks)]
    return order[np.concatenate([ranks, rest]).astype(np.int64)]


def _spread(count: int) -> np.ndarray:
    """0..count-1: the middle, both ends, then the van der Corput order of the rest (base 2)."""
    bits = max(1, int(np.ceil(np.log2(max(count, 2)))))
    index = np.arange(2**bits)
    mirrored = sum(((index >> bit) & 1) << (bits - 1 - bit) for bit in range(bits))
    order = np.asarray(mirrored)[np.asarray(mirrored) < count]
    first = np.array([count // 2, count - 1, 0])
    _, where = np.unique(np.concatenate([first, order]), return_index=True)
    return np.concatenate([first, order])[np.sort(where)]
