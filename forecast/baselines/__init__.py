"""What the LSTM is compared with: ARIMA, ETS, Theta and seasonal naive.

Axes: W windows (origins of each series), S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forecast.baselines import cache
from forecast.baselines.seasonal_naive import NAME as SEASONAL_NAIVE
from forecast.baselines.seasonal_naive import seasonal_naive
from forecast.baselines.statistical import COLUMNS as STATISTICAL
from forecast.baselines.statistical import statistical_forecasts
from forecast.errors import OutputError, UsageError
from forecast.events import Listener, Silent
from forecast.forecasts import Forecast
from forecast.panel import Panel
from forecast.ragged import sum_by_series

COLUMNS = {
    "arima": STATISTICAL["arima"],
    "ets": STATISTICAL["ets"],
    "theta": STATISTICAL["theta"],
    "seasonal-naive": SEASONAL_NAIVE,
}

__all__ = ["COLUMNS", "forecast_baselines", "forecast_baselines_windows", "seasonal_naive"]


def forecast_baselines(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    names: Sequence[str],
    levels: np.ndarray,
    season: int,
    budget: float,
    jobs: int,
    listener: Listener | None = None,
    cache_folder: Path | None = None,
    *,
    allow_negative: bool = False,
) -> dict[str, Forecast]:
    """Forecasts of every baseline in `names` by column name, from values before `origins` alone.

    origins: (S,) observations seen of each series. Everything else, and the errors raised, as in
    `forecast_baselines_windows`.
    """
    each = forecast_baselines_windows(
        panel,
        np.asarray(origins)[None, :],
        horizon,
        names,
        levels,
        season,
        budget,
        jobs,
        listener=listener,
        cache_folder=cache_folder,
        allow_negative=allow_negative,
    )
    return {column: forecasts[0] for column, forecasts in each.items()}


def forecast_baselines_windows(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    names: Sequence[str],
    levels: np.ndarray,
    season: int,
    budget: float,
    jobs: int,
    wanted: np.ndarray | None = None,
    listener: Listener | None = None,
    cache_folder: Path | None = None,
    *,
    allow_negative: bool = False,
) -> dict[str, list[Forecast]]:
    """Forecasts of every baseline in `names` from several origins: column name -> W forecasts.

    origins   (W, S) observations seen of each series at each origin; horizon H in steps
    names     of COLUMNS: "arima", "ets", "theta", "seasonal-naive"
    levels    quantile levels between 0 and 1, (Q,)
    season    m in steps; 1 for none
    budget    wall-clock seconds that ARIMA, ETS and Theta share for all series and origins, the
              start of the worker processes included; seasonal naive takes milliseconds
    jobs      worker processes, one thread each
    wanted    bool (W, S): the statistical models leave out the other pairs (default: all)
    cache_folder  where the statistical forecasts are kept and looked for (default: nowhere)

    allow_negative  False: a series without a negative value before its origin gets no negative
              forecast, as for the LSTM

    A series that was not fitted in the budget is not available; one that a model cannot be fitted
    to (too short, a failure inside the library) gets seasonal naive, with source "SeasonalNaive".
    Both are counted and named in the notes. Raises UsageError "usage/unknown-baseline".
    """
    _check_names(names)
    origins = np.asarray(origins, dtype=np.int64)
    levels = np.asarray(levels, dtype=float)
    wanted = np.ones(origins.shape, dtype=bool) if wanted is None else wanted
    listener = listener or Silent()
    naive = [seasonal_naive(panel, each, horizon, levels, season) for each in origins]
    models = [name for name in dict.fromkeys(names) if name in STATISTICAL]
    result: dict[str, list[Forecast]] = {SEASONAL_NAIVE: naive}
    key = ""
    if models and cache_folder is not None:
        key = cache.digest(panel, naive, wanted, season)
        for name in models:
            kept = cache.load(cache_folder, key, STATISTICAL[name], naive, budget)
            if kept is not None:
                result[STATISTICAL[name]] = kept
    todo = [name for name in models if STATISTICAL[name] not in result]
    if todo:
        fitted = statistical_forecasts(panel, todo, season, budget, jobs, naive, wanted, listener)
        result |= fitted
        if cache_folder is not None:
            _keep(cache_folder, key, fitted, naive, wanted, budget, listener)
    chosen = {COLUMNS[name]: result[COLUMNS[name]] for name in dict.fromkeys(names)}
    if allow_negative:
        return chosen
    never = [_never_negative(panel.truncate(each)) for each in origins]
    return {
        column: [_raised(each, rows) for each, rows in zip(forecasts, never, strict=True)]
        for column, forecasts in chosen.items()
    }


def _never_negative(past: Panel) -> np.ndarray:
    """Series without a negative value. (S,) bool."""
    return sum_by_series((past.values < 0).astype(float), past.offsets) == 0


def _raised(forecast: Forecast, rows: np.ndarray) -> Forecast:
    """The forecast with what is below zero raised to zero in the series `rows` (S,)."""
    floor = np.where(rows, 0.0, -np.inf)
    return replace(
        forecast,
        point=np.maximum(forecast.point, floor[:, None]),
        quantiles=np.maximum(forecast.quantiles, floor[:, None, None]),
    )


def _keep(
    folder: Path,
    key: str,
    fitted: dict[str, list[Forecast]],
    naive: list[Forecast],
    wanted: np.ndarray,
    budget: float,
    listener: Listener,
) -> None:
    """Stores the forecasts; that it could not be done is worth a warning, not the run."""
    possible = wanted & np.stack([each.available for each in naive])
    for forecasts in fitted.values():
        complete = bool(np.stack([each.available for each in forecasts])[possible].all())
        try:
            cache.store(folder, key, forecasts, budget, complete)
        except OutputError as error:
            listener.warn("baselines/cache-not-written", str(error))


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(
                "there is no such baseline",
                code="usage/unknown-baseline",
                where="--baselines",
                value=name,
                remedy=f"{hint}Choose from {', '.join(COLUMNS)}",
            )
