"""The metrics of one forecaster at one held-out origin: by series, and by step ahead.

Axes: S series, H horizon (steps scored), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation import metrics
from forecast.evaluation.crps import crps
from forecast.models.baselines.naive2 import naive2


@dataclass(frozen=True)
class Window:
    """What every forecaster is measured against at one held-out origin.

    origins (S,); gap: forecast steps after them that are not scored; actual (S, H), NaN where
    masked; scale and squared_scale (S,) of the training part; naive2_smape and naive2_mase (S,):
    the scores of Naive2 at this origin.
    """

    origins: np.ndarray
    gap: int
    actual: np.ndarray
    scale: np.ndarray
    squared_scale: np.ndarray
    naive2_smape: np.ndarray
    naive2_mase: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Series with an actual to be compared with. (S,) bool."""
        return ~np.isnan(self.actual).all(axis=1)


def window_of(panel: Panel, origins: np.ndarray, steps: int, season: int, gap: int) -> Window:
    """The actuals after `origins` (S,), and the scales of the values before them alone."""
    training = panel.truncate(origins)
    actual = panel.window(origins + gap, steps)
    scale = metrics.seasonal_errors(training.values, training.offsets, season)
    reference = naive2(training.values, training.offsets, steps + gap, season)[:, gap:]
    return Window(
        origins=origins,
        gap=gap,
        actual=actual,
        scale=scale,
        squared_scale=metrics.seasonal_errors(training.values, training.offsets, season, power=2),
        naive2_smape=metrics.smape(actual, reference),
        naive2_mase=metrics.mase(actual, reference, scale),
    )


def has_forecast(forecast: Forecast) -> np.ndarray:
    """Series with a whole forecast: available, and no step of it missing. (S,) bool."""
    return np.asarray(forecast.available & ~np.isnan(forecast.point).any(axis=1), dtype=bool)


def own_rows(forecast: Forecast) -> np.ndarray:
    """Series that the forecaster forecast itself, without falling back on another. (S,) bool."""
    return has_forecast(forecast) & np.asarray(forecast.source == forecast.name, dtype=bool)


def _scored(forecast: Forecast, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Actuals, NaN where the forecaster is not scored, and its point forecasts: (S, H) each."""
    actual = np.where(own_rows(forecast)[:, None], window.actual, np.nan)
    return actual, forecast.point[:, window.gap :]


def _interval(
    forecast: Forecast, window: Window, level: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds of the `level` per cent interval, (S, H) each; None when it was not forecast."""
    try:
        low, high = forecast.interval(level)
    except KeyError:
        return None
    return low[:, window.gap :], high[:, window.gap :]


def series_metrics(
    forecast: Forecast, window: Window, levels: Sequence[float], quantiles: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric of each series at one origin, (S,), NaN where it is not scored.

    levels: intervals, per cent, for coverage and MSIS; quantiles: levels for the CRPS.
    """
    actual, point = _scored(forecast, window)
    result = {
        "mase": metrics.mase(actual, point, window.scale),
        "smape": metrics.smape(actual, point),
        "rmse": metrics.rmse(actual, point),
        "rmsse": metrics.rmsse(actual, point, window.squared_scale),
        "mae": metrics.mae(actual, point),
        "mape": metrics.mape(actual, point),
    }
    if len(forecast.levels) and len(quantiles):
        chosen = _quantiles(forecast, quantiles, window.gap)
        result["scaled_crps"] = metrics.scaled_crps(actual, chosen, quantiles)
    if has_distribution(forecast, quantiles):
        result["crps"] = metrics.mean_where(crps(actual, chosen, quantiles), ~np.isnan(actual))
    for level in levels:
        bounds = _interval(forecast, window, level)
        if bounds is not None:
            result[f"coverage-{level:g}"] = metrics.coverage(actual, *bounds)
            result[f"msis-{level:g}"] = metrics.msis(actual, *bounds, window.scale, level)
    return result


def has_distribution(forecast: Forecast, quantiles: np.ndarray) -> bool:
    """Whether a forecast has the quantiles that a CRPS takes: two at the least."""
    return len(forecast.levels) > 0 and len(quantiles) > 1


def _quantiles(forecast: Forecast, levels: np.ndarray, gap: int) -> np.ndarray:
    """The forecast's quantiles at `levels`, without the gap's steps: (S, H, Q)."""
    columns = [int(np.argmin(np.abs(forecast.levels - level))) for level in levels]
    return forecast.quantiles[:, gap:, columns]


def wql_parts(forecast: Forecast, window: Window, quantiles: np.ndarray) -> tuple[float, float]:
    """Sums that the WQL is the ratio of: 2 * mean over q of rho_q, and |y|. NaN if none."""
    if len(forecast.levels) == 0 or len(quantiles) == 0:
        return float("nan"), float("nan")
    rows = own_rows(forecast)
    actual = window.actual[rows]
    chosen = _quantiles(forecast, quantiles, window.gap)[rows]
    loss = metrics.pinball_sums(actual, chosen, quantiles).sum()
    return float(2 * loss / len(quantiles)), float(np.nansum(np.abs(actual)))


def step_metrics(
    each: Sequence[Forecast],
    windows: Sequence[Window],
    levels: Sequence[float],
    quantiles: np.ndarray,
) -> dict[str, np.ndarray]:
    """Metrics at each step ahead, (H,): means over all series and origins with an actual there."""
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for forecast, window in zip(each, windows, strict=True):
        for name, term in _step_terms(forecast, window, levels, quantiles).items():
            defined = ~np.isnan(term)
            sums[name] = sums.get(name, 0) + np.where(defined, term, 0.0).sum(axis=0)
            counts[name] = counts.get(name, 0) + defined.sum(axis=0)
    with np.errstate(invalid="ignore"):
        result = {name: sums[name] / counts[name] for name in sums}
    result["rmse"] = np.sqrt(result["rmse"])
    return result


def _step_terms(
    forecast: Forecast, window: Window, levels: Sequence[float], quantiles: np.ndarray
) -> dict[str, np.ndarray]:
    """What each metric averages, (S, H), NaN where not scored; for "rmse" the squared error."""
    actual, point = _scored(forecast, window)
    error = np.abs(actual - point)
    size = np.abs(actual) + np.abs(point)
    ratio = np.divide(200 * error, size, out=np.zeros(size.shape), where=size != 0)
    terms = {
        "mase": error / window.scale[:, None],
        "smape": np.where(np.isnan(error), np.nan, ratio),
        "mae": error,
        "rmse": error**2,
    }
    if has_distribution(forecast, quantiles):
        terms["crps"] = crps(actual, _quantiles(forecast, quantiles, window.gap), quantiles)
    for level in levels:
        bounds = _interval(forecast, window, level)
        if bounds is not None:
            inside = ((bounds[0] <= actual) & (actual <= bounds[1])).astype(float)
            terms[f"coverage-{level:g}"] = np.where(np.isnan(error), np.nan, inside)
    return terms
