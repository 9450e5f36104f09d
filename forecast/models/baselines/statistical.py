"""ARIMA, ETS and Theta through StatsForecast, bounded in time: what does not get done is named.

Axes: W windows (origins of each series), S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from forecast.common.progress import Listener
from forecast.common.ray_pool import RayPool
from forecast.common.resources import PeakMemory
from forecast.common.worker_pool import Pool
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.models.baselines.fit import Fit, Task, fit, prepare_worker
from forecast.models.baselines.history import longer_season, usable
from forecast.models.baselines.notes import failure_notes, method_notes, missing_notes
from forecast.models.baselines.seasonal_naive import NAME as NAIVE

COLUMNS = {"theta": "DynamicOptimizedTheta", "ets": "AutoETS", "arima": "AutoARIMA"}
Done = list[tuple[Task, Fit]]


def statistical_forecasts(
    panel: Panel,
    names: Sequence[str],
    season: int,
    budget: float,
    jobs: int,
    naive: Sequence[Forecast],
    wanted: np.ndarray,
    listener: Listener,
    ray: bool = False,
    ray_address: str | None = None,
) -> dict[str, list[Forecast]]:
    """The forecasts of `names` ("theta", "ets", "arima"), by column name, in `budget` seconds.

    The cheap models come first, each with an equal share of the budget; what one leaves over goes
    to the next. All models take the series in the same shuffled order, each with all its origins,
    so that a budget that ends early leaves a fair sample, and the same one for every model.
    `naive` (one for each window) says origins, horizon and levels, and stands in for series that a
    model cannot be fitted to. wanted: bool (W, S), pairs to forecast. ray: on a Ray cluster, at
    `ray_address` or of this machine's own.
    """
    chosen = [name for name in COLUMNS if name in names]
    wanted = wanted & np.stack([each.available for each in naive])
    first = _first_alike(np.stack([each.origins for each in naive]), wanted)
    count = int((first == np.arange(len(naive))[:, None]).sum())
    start = time.monotonic()
    result = {}
    jobs = max(1, min(jobs, count))
    workers = RayPool(jobs, ray_address) if ray else Pool(jobs, prepare_worker)
    with workers as pool:
        for rank, name in enumerate(chosen):
            column = COLUMNS[name]
            listener.stage(f"Fitting {column}")
            deadline = start + budget * (rank + 1) / len(chosen)
            began = time.monotonic()
            done: Done = []
            tasks = _tasks(panel, naive, first, season, column)
            with PeakMemory() as memory:
                for task, each in pool.results_until(deadline, fit, tasks):
                    done.append((task, each or Fit(None, None, "its worker process died")))
                    listener.progress(len(done), count, {})
            seconds = time.monotonic() - began
            made = _gather(column, panel, done, naive, first, seconds, budget)
            result[column] = [replace(each, memory=memory.peak) for each in made]
    return result


def _first_alike(origins: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted pair (W, S), the first window that wants the same origin; -1 if not wanted.

    A series too short to hold out anything has one origin, its end, in every window: one fit.
    """
    first = np.full(origins.shape, -1)
    for window in range(len(origins)):
        free = wanted[window].copy()
        for earlier in range(window):
            alike = free & wanted[earlier] & (origins[earlier] == origins[window])
            first[window, alike] = earlier
            free &= ~alike
        first[window, free] = window
    return first


def _tasks(
    panel: Panel, naive: Sequence[Forecast], first: np.ndarray, season: int, column: str
) -> Iterator[Task]:
    """One task per series and origin, made when a worker is about to take it, and with only the
    part of the history that the model can use."""
    candidates = panel.frequency.seasons
    wanted = first == np.arange(len(naive))[:, None]
    order = np.random.default_rng(0).permutation(np.flatnonzero(wanted.any(axis=0)))
    horizon, levels = naive[0].point.shape[1], naive[0].levels
    for series in order.tolist():
        for window in np.flatnonzero(wanted[:, series]).tolist():
            history = panel.series(series)[: naive[window].origins[series]]
            longer = longer_season(season, candidates, len(history))
            cut = history[-usable(season, longer) :]
            yield Task(window, series, column, cut, season, longer, horizon, levels)


def _gather(
    column: str,
    panel: Panel,
    done: Done,
    naive: Sequence[Forecast],
    first: np.ndarray,
    seconds: float,
    budget: float,
) -> list[Forecast]:
    """One model's forecasts from its fits, one for each window; what was not fitted is named."""
    points = [np.full_like(each.point, np.nan) for each in naive]
    quantiles = [np.full_like(each.quantiles, np.nan) for each in naive]
    sources = [np.full(panel.size, "", dtype=object) for _ in naive]
    for task, each in done:
        series = task.series
        base = naive[task.window]
        for window in np.flatnonzero(first[:, series] == task.window).tolist():
            fitted = each.point is not None
            points[window][series] = each.point if fitted else base.point[series]
            quantiles[window][series] = each.quantiles if fitted else base.quantiles[series]
            sources[window][series] = column if fitted else NAIVE
    notes = _notes(column, panel.ids, done, naive, first, budget)
    return [
        replace(
            base,
            name=column,
            point=points[window],
            quantiles=quantiles[window],
            source=sources[window],
            available=sources[window] != "",
            seconds=seconds / len(naive),
            notes=notes,
        )
        for window, base in enumerate(naive)
    ]


def _notes(
    column: str,
    ids: np.ndarray,
    done: Done,
    naive: Sequence[Forecast],
    first: np.ndarray,
    budget: float,
) -> tuple[str, ...]:
    """What is said about one model's forecasts of all windows."""
    wanted = first >= 0
    missing = first == np.arange(len(naive))[:, None]
    for task, _ in done:
        missing[task.window, task.series] = False
    wanted_series = int(wanted.any(axis=0).sum())
    failed = {(task.series, each.reason) for task, each in done if each.point is None}
    return (
        *missing_notes(column, ids, np.any(missing, axis=0), wanted_series, budget),
        *failure_notes(column, ids, failed),
        *method_notes(column, done, [each.origins for each in naive]),
    )
