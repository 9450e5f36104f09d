"""Accuracy of forecasts, one definition each; every function is vectorised over series.

Axes: S series, H horizon (steps), Q quantiles, N training observations of all series together.
A masked actual is NaN and left out of every mean; a series without any actual scores NaN. A
forecast that is NaN where the actual is known makes the score NaN: a missing forecast is never
mistaken for a good one.
"""

from __future__ import annotations

import numpy as np

from forecast.common.quantiles import normal_quantiles
from forecast.common.segments import lagged_mean


def mean_where(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean along the last axis of `values` where `known`; NaN where nothing is known."""
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, NaN where the bottom is zero or NaN."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def mae(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Mean absolute error of each series, in the data's units. actual, point (S, H) -> (S,)."""
    return mean_where(np.abs(actual - point), ~np.isnan(actual))


def rmse(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of each series. actual, point (S, H) -> (S,)."""
    return np.sqrt(mean_where((actual - point) ** 2, ~np.isnan(actual)))


def smape(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Symmetric MAPE as in M4, mean of 200|y-f| / (|y|+|f|), between 0 and 200. (S, H) -> (S,).

    A step where actual and forecast are both zero counts 0.
    """
    return mean_where(symmetric_errors(actual, point), ~np.isnan(actual))


def symmetric_errors(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """What `smape` is the mean of, (S, H); NaN where the actual or the forecast is missing."""
    size = np.abs(actual) + np.abs(point)
    error = 200 * np.abs(actual - point)
    return np.divide(error, size, out=np.zeros(size.shape), where=size != 0)


def mape(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Mean of 100|y-f| / |y| over the steps where y is not zero, per cent. (S, H) -> (S,).

    NaN for a series whose known actuals are all zero; `zero_actuals` counts the steps left out.
    """
    term = _ratio(100 * np.abs(actual - point), np.abs(actual))
    return mean_where(term, ~np.isnan(actual) & (actual != 0))


def zero_actuals(actual: np.ndarray) -> int:
    """Number of steps where the actual is zero, for which `mape` is undefined."""
    return int((actual == 0).sum())


def mase(actual: np.ndarray, point: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Mean absolute scaled error (Hyndman & Koehler 2006). (S, H), (S,) -> (S,).

    scale: `seasonal_errors` of the training part; NaN (constant training) gives NaN.
    """
    return _ratio(mae(actual, point), scale)


def rmsse(actual: np.ndarray, point: np.ndarray, squared_scale: np.ndarray) -> np.ndarray:
    """Root mean squared scaled error (as in M5). (S, H), (S,) -> (S,).

    squared_scale: `seasonal_errors(..., power=2)` of the training part.
    """
    return _ratio(rmse(actual, point), np.sqrt(squared_scale))


def pinball(actual: np.ndarray, quantile: np.ndarray, level: float) -> np.ndarray:
    """Mean quantile loss rho_q(y, f) = max(q(y-f), (q-1)(y-f)) of each series. (S, H) -> (S,)."""
    error = actual - quantile
    return mean_where(np.maximum(level * error, (level - 1) * error), ~np.isnan(actual))


def wql(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    """Weighted quantile loss: 2 * sum of rho_q / sum of |y|, pooled, mean over q.

    actual (S, H), quantiles (S, H, Q), levels (Q,). NaN when no actual differs from zero.
    Source: Salinas et al. 2020 (DeepAR), as in GluonTS' mean weighted quantile loss.
    """
    known = ~np.isnan(actual)
    size = np.abs(actual[known]).sum()
    if size == 0 or len(levels) == 0:
        return float("nan")
    return float(2 * pinball_sums(actual, quantiles, levels).sum() / (size * len(levels)))


def scaled_crps(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Per series 2 * mean over q of the sum of rho_q / sum of |y| (Rangapuram et al. 2021).

    actual (S, H), quantiles (S, H, Q), levels (Q,) -> (S,). NaN where the actuals are all zero.
    """
    if len(levels) == 0:
        return np.full(len(actual), np.nan)
    loss = 2 * pinball_sums(actual, quantiles, levels) / len(levels)
    return _ratio(loss, np.nansum(np.abs(actual), axis=1))


def pinball_sums(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Sum over known steps and quantiles of rho_q, (S,); one quantile at a time to spare memory."""
    known = ~np.isnan(actual)
    total = np.zeros(len(actual))
    for index, level in enumerate(levels):
        error = actual - quantiles[:, :, index]
        loss = np.maximum(level * error, (level - 1) * error)
        total += np.where(known, loss, 0.0).sum(axis=1)
    return total


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Share of the actuals with low <= y <= high, between 0 and 1. (S, H) -> (S,)."""
    inside = ((low <= actual) & (actual <= high)).astype(float)
    inside[np.isnan(low) | np.isnan(high)] = np.nan
    return mean_where(inside, ~np.isnan(actual))


def msis(
    actual: np.ndarray, low: np.ndarray, high: np.ndarray, scale: np.ndarray, level: float
) -> np.ndarray:
    """Mean scaled interval score of the `level` per cent interval (M4). (S, H), (S,) -> (S,).

    mean[(hi-lo) + 2/a (lo-y) if y < lo + 2/a (y-hi) if y > hi] / seasonal error, a = 1 - level/100.
    """
    penalty = 2 / (1 - level / 100)
    outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return _ratio(mean_where(high - low + penalty * outside, ~np.isnan(actual)), scale)


def wape(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Sum of |y - f| over sum of |y| of each series (Kolassa & Schuetz 2007, "MAD/Mean ratio").

    (S, H) -> (S,). NaN where the actuals are all zero. Also called WMAPE.
    """
    error, _, size, _ = pooled_sums(actual, point)
    return _ratio(error, size)


def bias(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Mean error f - y of each series, in the data's units: above zero where forecasts are too
    high. (S, H) -> (S,). Source: the mean error of Hyndman & Koehler 2006, with the sign that
    planners use."""
    return mean_where(point - actual, ~np.isnan(actual))


def bias_percent(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """100 times the sum of f - y over the sum of y of each series. (S, H) -> (S,). NaN where that
    sum is not above zero."""
    _, error, _, total = pooled_sums(actual, point)
    return _ratio(100 * error, total)


def pooled_sums(
    actual: np.ndarray, point: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums over known steps of |f - y|, f - y, |y| and y, each (S,); NaN where a forecast lacks."""
    known = ~np.isnan(actual)
    parts = (np.abs(point - actual), point - actual, np.abs(actual), actual)
    sums = [np.where(known, part, 0.0).sum(axis=-1) for part in parts]
    return sums[0], sums[1], sums[2], sums[3]


def periods_in_stock(actual: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Periods in stock (Wallstroem & Segerstedt 2010, IJPE 128: 625-636). (S, H) -> (S,).

    The sum over steps of the forecasts so far less the demand so far: pieces that would have lain
    in stock, times the steps that they lay there, had as many been brought in as were forecast;
    below zero where they would have lacked. A masked step counts as forecast rightly.
    """
    ahead = np.cumsum(np.where(np.isnan(actual), 0.0, point - actual), axis=-1)
    made: np.ndarray = ahead.sum(axis=-1)
    return np.where((~np.isnan(actual)).any(axis=-1), made, np.nan)


def service_level(actual: np.ndarray, stock: np.ndarray) -> np.ndarray:
    """Share of the steps whose demand `stock` would have met, between 0 and 1. (S, H) -> (S,).

    The cycle (type 1) service level of Silver, Pyke & Thomas 2017, Inventory and Production
    Management in Supply Chains, ch. 6.
    """
    met = np.where(np.isnan(stock), np.nan, (actual <= stock).astype(float))
    return mean_where(met, ~np.isnan(actual))


def stock_cost(actual: np.ndarray, stock: np.ndarray, cost: tuple[float, float]) -> np.ndarray:
    """Mean newsvendor cost of a step: cost[0] for each piece too few, cost[1] for each too many.

    (S, H) -> (S,). The stock that makes it lowest is the quantile cost[0] / (cost[0] + cost[1])
    (Arrow, Harris & Marschak 1951).
    """
    short, left = np.maximum(actual - stock, 0.0), np.maximum(stock - actual, 0.0)
    return mean_where(cost[0] * short + cost[1] * left, ~np.isnan(actual))


def owa(smape_: float, mase_: float, naive2_smape: float, naive2_mase: float) -> float:
    """Overall weighted average of M4 from averages over all series: 1 is as good as Naive2.

    NaN when Naive2's averages are zero or undefined.
    """
    ratios = _ratio(np.array([smape_, mase_]), np.array([naive2_smape, naive2_mase]))
    return float(ratios.mean())


def lag_of_scale(lengths: np.ndarray, m: int) -> np.ndarray:
    """The lag that scales each series' errors: m, or 1 for a series shorter than m+1. (S,) int."""
    return np.where(np.asarray(lengths) > m, m, 1)


def seasonal_errors(values: np.ndarray, offsets: np.ndarray, m: int, power: int = 1) -> np.ndarray:
    """Mean |y_t - y_{t-m}|**power over each series' training part: the scale of MASE and RMSSE.

    values (N,) NaN where missing, offsets (S+1,) -> (S,). Pairs with a missing value are left
    out. `lag_of_scale` says where 1 stands in for m. NaN, for undefined, where the training part
    is constant at that lag (nothing but rounding error) or has no pair of values.
    """
    lags = lag_of_scale(np.diff(offsets), m)
    result = np.full(len(lags), np.nan)
    for lag in np.unique(lags):
        chosen = lags == lag
        result[chosen] = lagged_mean(values, offsets, int(lag), power)[chosen]
    return np.where(result > 0, result, np.nan)


# --- The continuous ranked probability score, from quantiles and from samples --------------------
# CRPS(F, y) = integral of (F(x) - 1{x >= y})^2 dx = 2 * integral over q of rho_q(y, F^-1(q)): the
# absolute error where the forecast is one value (Gneiting & Raftery 2007). In the data's units.
#
# Axes: S series, H horizon (steps), Q quantiles, N samples.


def crps(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """CRPS of each series and step from its quantiles, (S, H); NaN where the actual is missing.

    actual (S, H); quantiles (S, H, Q), ascending; levels (Q,), at least two. Between the levels and
    beyond the outermost a quantile moves linearly in the standard normal's, as everywhere in this
    package, which is exact for a normal distribution. On each piece, where x = slope * z + c, the
    integral is slope * (A(z2) - A(z1)) below the actual and the mirror image above it.
    """
    scores = normal_quantiles(levels)
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
