"""What the LSTM is compared with: ARIMA, ETS, Theta and seasonal naive.

Axes: W windows (origins of each series), S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from forecast.common.errors import OutputError, UsageError
from forecast.common.progress import Listener, Silent
from forecast.common.resources import PeakMemory
from forecast.config.baselines import COLUMNS as STATISTICAL
from forecast.config.baselines import Baseline
from forecast.data.forecast import Forecast
from forecast.data.limits import Limits
from forecast.data.panel import Panel
from forecast.models.baselines import cache
from forecast.models.baselines.naive import NAME as SEASONAL_NAIVE
from forecast.models.baselines.naive import seasonal_naive
from forecast.models.baselines.statistical import Statistical, statistical_forecasts

COLUMNS: dict[str, str] = {
    name: SEASONAL_NAIVE if name == "seasonal-naive" else STATISTICAL[name]
    for name in get_args(Baseline)
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
        panel=panel,
        origins=np.asarray(origins)[None, :],
        horizon=horizon,
        names=names,
        levels=levels,
        season=season,
        budget=budget,
        jobs=jobs,
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
    urgent: np.ndarray | None = None,
    allow_negative: bool = False,
    ray: bool = False,
    ray_address: str | None = None,
) -> dict[str, list[Forecast]]:
    """Forecasts of every baseline in `names` from several origins: column name -> W forecasts.

    origins   (W, S) observations seen of each series at each origin; horizon H in steps
    names     of COLUMNS: "arima", "ets", "theta", "seasonal-naive", "croston", ...
    levels    quantile levels between 0 and 1, (Q,)
    season    m in steps; 1 for none
    budget    wall-clock seconds that ARIMA, ETS and Theta share for all series and origins, the
              start of the worker processes included; seasonal naive takes milliseconds
    jobs      worker processes, one thread each
    wanted    bool (W, S): the statistical models leave out the other pairs (default: all)
    cache_folder  where the statistical forecasts are kept and looked for (default: nowhere)
    urgent    bool (S,): series that are fitted before all others, as the sums of a hierarchy
    allow_negative  False: a series never negative before its origin gets no negative forecast
    ray       the models run on a Ray cluster, at `ray_address`, or (None) of `jobs` cores here

    A series that was not fitted in the budget is not available; one that a model cannot be fitted
    to (too short, a failure inside the library) gets seasonal naive, with source "SeasonalNaive".
    Both are counted and named in the notes. Raises UsageError "usage/unknown-baseline".
    """
    _check_names(names)
    origins = np.asarray(origins, dtype=np.int64)
    wanted = np.ones(origins.shape, dtype=bool) if wanted is None else wanted
    naive = _naive(panel, origins, horizon, np.asarray(levels, dtype=float), season)
    models = [name for name in dict.fromkeys(names) if name in STATISTICAL]
    job = Job(
        panel=panel,
        season=season,
        budget=budget,
        jobs=jobs,
        naive=naive,
        wanted=wanted,
        listener=listener or Silent(),
        cache_folder=cache_folder,
        urgent=np.zeros(panel.size, dtype=bool) if urgent is None else urgent,
        ray=ray,
        ray_address=ray_address,
    )
    result = {SEASONAL_NAIVE: naive, **_statistical(models, job)}
    chosen = {COLUMNS[name]: result[COLUMNS[name]] for name in dict.fromkeys(names)}
    return _within_limits(panel, origins, chosen, allow_negative)


def _within_limits(
    panel: Panel, origins: np.ndarray, made: Mapping[str, list[Forecast]], allow_negative: bool
) -> dict[str, list[Forecast]]:
    """The forecasts from each row of `origins` without what the past says that cannot be."""
    steps = next(iter(made.values()))[0].point.shape[1] if made else 0
    limits = [
        Limits.of(panel.truncate(each), steps, allow_negative=allow_negative) for each in origins
    ]
    return {
        column: [bounds.keep(each) for bounds, each in zip(limits, forecasts, strict=True)]
        for column, forecasts in made.items()
    }


@dataclass(frozen=True)
class Job:
    """What the statistical models are to forecast, in which bounds; as in the function above.

    naive: seasonal naive from each origin, which says origins, horizon and levels
    """

    panel: Panel
    season: int
    budget: float
    jobs: int
    naive: list[Forecast]
    wanted: np.ndarray
    listener: Listener
    cache_folder: Path | None
    urgent: np.ndarray
    ray: bool
    ray_address: str | None


def _naive(
    panel: Panel, origins: np.ndarray, horizon: int, levels: np.ndarray, season: int
) -> list[Forecast]:
    """Seasonal naive from each row of `origins` (W, S)."""
    with PeakMemory() as memory:
        made = [seasonal_naive(panel, each, horizon, levels, season) for each in origins]
    return [replace(each, memory=memory.peak) for each in made]


def _statistical(models: Sequence[str], job: Job) -> dict[str, list[Forecast]]:
    """ARIMA, ETS and Theta, as far as they are in `models`: kept from before, or fitted now."""
    kept, key = {}, ""
    if models and job.cache_folder is not None:
        key = cache.digest(job.panel, job.naive, job.wanted, job.season)
        found = {
            STATISTICAL[name]: cache.load(
                job.cache_folder, key, STATISTICAL[name], job.naive, job.budget
            )
            for name in models
        }
        kept = {column: made for column, made in found.items() if made is not None}
    todo = [name for name in models if STATISTICAL[name] not in kept]
    if not todo:
        return kept
    fitted = statistical_forecasts(
        panel=job.panel,
        names=todo,
        season=job.season,
        budget=job.budget,
        jobs=job.jobs,
        naive=job.naive,
        wanted=job.wanted,
        listener=job.listener,
        urgent=job.urgent,
        ray=job.ray,
        ray_address=job.ray_address,
    )
    if job.cache_folder is not None:
        _keep(job.cache_folder, key, fitted, job)
    return {**kept, **fitted.forecasts}


def _keep(folder: Path, key: str, fitted: Statistical, job: Job) -> None:
    """Stores the forecasts; that it could not be done is worth a warning, not the run."""
    for column, forecasts in fitted.forecasts.items():
        complete = column not in fitted.unfinished
        try:
            cache.store(folder, key, forecasts, job.budget, complete)
        except OutputError as error:
            job.listener.warn("baselines/cache-not-written", str(error))
    cache.prune(folder)


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
