"""What the LSTM is compared with: ARIMA, ETS, Theta and seasonal naive.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from forecast.baselines.seasonal_naive import NAME as SEASONAL_NAIVE
from forecast.baselines.seasonal_naive import seasonal_naive
from forecast.baselines.statistical import COLUMNS as STATISTICAL
from forecast.baselines.statistical import statistical_forecasts
from forecast.errors import UsageError
from forecast.events import Listener, Silent
from forecast.forecasts import Forecast
from forecast.panel import Panel

COLUMNS = {
    "arima": STATISTICAL["arima"],
    "ets": STATISTICAL["ets"],
    "theta": STATISTICAL["theta"],
    "seasonal-naive": SEASONAL_NAIVE,
}

__all__ = ["COLUMNS", "forecast_baselines", "seasonal_naive"]


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
) -> dict[str, Forecast]:
    """Forecasts of every baseline in `names` by column name, from values before `origins` alone.

    panel, origins (S,) observations seen of each series, horizon H in steps
    names     of COLUMNS: "arima", "ets", "theta", "seasonal-naive"
    levels    quantile levels between 0 and 1, (Q,)
    season    m in steps; 1 for none
    budget    wall-clock seconds that ARIMA, ETS and Theta share for all series, start of the
              worker processes included; seasonal naive is not counted (it takes milliseconds)
    jobs      worker processes, one thread each

    A series that was not fitted in the budget is not available; one that a model cannot be fitted
    to (too short, a failure inside the library) gets seasonal naive, with source "SeasonalNaive".
    Both are counted and named in the notes. Raises UsageError "usage/unknown-baseline".
    """
    _check_names(names)
    origins = np.asarray(origins, dtype=np.int64)
    levels = np.asarray(levels, dtype=float)
    naive = seasonal_naive(panel, origins, horizon, levels, season)
    result: dict[str, Forecast] = {}
    if any(name in STATISTICAL for name in names):
        result = statistical_forecasts(
            panel,
            origins,
            horizon,
            names,
            levels,
            season,
            budget,
            jobs,
            naive,
            listener or Silent(),
        )
    result[SEASONAL_NAIVE] = naive
    return {COLUMNS[name]: result[COLUMNS[name]] for name in dict.fromkeys(names)}


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
