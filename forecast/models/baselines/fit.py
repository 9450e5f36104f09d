"""One statistical model fitted to one series: runs inside a worker process.

Axes: n observations, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.models.baselines.history import CUT, CUT_LONG, SMALL_SEASON, filled, scale_of

STRONG = 0.64  # seasonal strength from which auto.arima calls a series seasonal
SHORTEST = 4  # known observations below which no model is fitted


@dataclass(frozen=True)
class Task:
    """One series to forecast from one origin: `history` (n,) ends there and may hold NaN."""

    window: int
    series: int
    model: str
    history: np.ndarray
    season: int
    longer: int | None
    horizon: int
    levels: np.ndarray


@dataclass(frozen=True)
class Fit:
    """point (H,) and quantiles (H, Q), or None and the reason why there is no fit.

    taken: lengths of the seasons that were taken out before the model was fitted.
    """

    point: np.ndarray | None
    quantiles: np.ndarray | None
    reason: str = ""
    taken: tuple[int, ...] = ()


def prepare_worker() -> None:
    """Pay for the import before the first task."""
    import statsforecast.models  # noqa: F401


def fit(task: Task) -> Fit:
    """Fit and forecast; whatever goes wrong is the returned reason, never an exception."""
    if int((~np.isnan(task.history)).sum()) < SHORTEST:
        return Fit(None, None, f"fewer than {SHORTEST} known values")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            point, quantiles, taken = _forecast(task)
    except Exception as error:  # a library meeting one odd series must not end the batch
        return Fit(None, None, _reason(error))
    if not (np.isfinite(point).all() and np.isfinite(quantiles).all()):
        return Fit(None, None, "the forecast is not finite")
    return Fit(point, quantiles, taken=taken)


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__


def _forecast(task: Task) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Point (H,) and quantiles (H, Q) in original units, and the seasons taken out."""
    history = filled(task.history, task.season)
    scale = scale_of(history)
    rest = history / scale
    components = taken_out(rest, task.season, task.longer)
    carried = np.zeros(task.horizon)
    for length, component in components.items():
        rest = rest - component
        carried += np.resize(component[-length:], task.horizon)
    season = task.season if task.season <= SMALL_SEASON else 1
    cut = CUT_LONG if season == 1 else max(CUT, 14 * season)
    widths = [100 * abs(1 - 2 * float(level)) for level in task.levels]
    wanted = sorted({width for width in widths if width > 0})
    result = _model(task.model, season).forecast(rest[-cut:], task.horizon, level=wanted or None)
    point = np.asarray(result["mean"], dtype=float)
    quantiles = [_quantile(result, point, q, w) for q, w in zip(task.levels, widths, strict=True)]
    stacked = np.stack(quantiles, axis=1) if quantiles else np.empty((task.horizon, 0))
    stacked = (np.sort(stacked, axis=1) + carried[:, None]) * scale
    return (point + carried) * scale, stacked, tuple(components)


def _quantile(result: dict[str, Any], point: np.ndarray, level: float, width: float) -> np.ndarray:
    """The forecast of one quantile: a bound of the central interval of `width` per cent."""
    if width == 0:
        return point
    side = "lo" if level < 0.5 else "hi"
    return np.asarray(result[f"{side}-{width}"], dtype=float)


def taken_out(history: np.ndarray, season: int, longer: int | None) -> dict[int, np.ndarray]:
    """Seasonal components (n,) by season length, to be taken out before a model is fitted.

    Seasons above SMALL_SEASON cost a state-space model its life (their time grows with the square
    of the season), so they are taken out by STL and their last cycle is repeated, as R's `stlf`
    does. The longer season goes only when it is as strong as the seasonal test of auto.arima
    asks for (Wang, Smith & Hyndman 2006: 1 - Var(remainder) / Var(component + remainder) above
    0.64); taking out one that is not there does harm.
    """
    from statsforecast.mstl import mstl

    if longer is not None and len(history) >= 2 * longer + 1:
        parts = mstl(x=history, period=[season, longer])
        component = parts[f"seasonal{longer}"].to_numpy()
        remainder = parts["remainder"].to_numpy()
        strength = 1 - np.var(remainder) / max(np.var(component + remainder), 1e-300)
        if strength >= STRONG:
            long_season = {season: parts[f"seasonal{season}"].to_numpy()}
            return {longer: component, **(long_season if season > SMALL_SEASON else {})}
    if season > SMALL_SEASON and len(history) >= 2 * season + 1:
        return {season: mstl(x=history, period=season)["seasonal"].to_numpy()}
    return {}


def _model(name: str, season: int) -> Any:
    """The StatsForecast model; the seasonal ARIMA search is held short where a fit is slow."""
    from statsforecast.models import AutoARIMA, AutoETS, DynamicOptimizedTheta

    if name == "AutoETS":
        return AutoETS(season_length=season)
    if name == "DynamicOptimizedTheta":
        return DynamicOptimizedTheta(season_length=season)
    if season > 12:
        # Measured on M4 hourly: a third of the time of the full search, and a lower error.
        return AutoARIMA(
            season_length=season,
            approximation=True,
            max_p=3,
            max_q=3,
            max_P=1,
            max_Q=1,
            nmodels=30,
        )
    # approximation=None is R's own rule: exact search for short series, approximate for long ones
    return AutoARIMA(season_length=season, approximation=None)
