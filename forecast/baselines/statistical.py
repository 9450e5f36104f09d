"""ARIMA, ETS and Theta through StatsForecast, bounded in time: what does not get done is named.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from forecast.baselines.fits import Fit, Task, fit, prepare_worker
from forecast.baselines.history import longer_season, usable
from forecast.baselines.pool import Pool
from forecast.baselines.seasonal_naive import NAME as NAIVE
from forecast.events import Listener
from forecast.forecasts import Forecast
from forecast.panel import Panel

COLUMNS = {"theta": "DynamicOptimizedTheta", "ets": "AutoETS", "arima": "AutoARIMA"}
NAMED = 5  # series named in a note at most; `Forecast.available` tells all


def statistical_forecasts(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    names: Sequence[str],
    levels: np.ndarray,
    season: int,
    budget: float,
    jobs: int,
    naive: Forecast,
    listener: Listener,
) -> dict[str, Forecast]:
    """The forecasts of `names` ("theta", "ets", "arima"), by column name, in `budget` seconds.

    The cheap models come first, each with an equal share of the budget; what one leaves over goes
    to the next. All models take the series in the same shuffled order, so that a budget that ends
    early leaves a fair sample, and the same one for every model. `naive` stands in for series that
    a model cannot be fitted to.
    """
    chosen = [name for name in COLUMNS if name in names]
    order = np.random.default_rng(0).permutation(np.flatnonzero(naive.available))
    start = time.monotonic()
    result = {}
    with Pool(max(1, min(jobs, len(order))), prepare_worker) as pool:
        for rank, name in enumerate(chosen):
            deadline = start + budget * (rank + 1) / len(chosen)
            tasks = _tasks(panel, origins, horizon, levels, season, order, COLUMNS[name])
            began = time.monotonic()
            done: list[Fit] = []
            for task, each in pool.results_until(deadline, fit, tasks):
                done.append(each or Fit(task.series, None, None, "its worker process died"))
                if len(done) % 25 == 0 or len(done) == len(order):
                    listener.progress(len(done), len(order), {})
            seconds = time.monotonic() - began
            result[COLUMNS[name]] = _gather(COLUMNS[name], panel, done, naive, seconds, budget)
    return result


def _tasks(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    levels: np.ndarray,
    season: int,
    order: np.ndarray,
    model: str,
) -> Iterator[Task]:
    """One task per series, made when a worker is about to take it: only what the model can use."""
    candidates = panel.frequency.seasons
    for series in order.tolist():
        history = panel.series(series)[: origins[series]]
        longer = longer_season(season, candidates, len(history))
        cut = history[-usable(season, longer) :]
        yield Task(series, model, cut, season, longer, horizon, levels)


def _gather(
    column: str,
    panel: Panel,
    done: Sequence[Fit],
    naive: Forecast,
    seconds: float,
    budget: float,
) -> Forecast:
    """The forecast of one model from its fits; series without one are not available, and named."""
    point = np.full_like(naive.point, np.nan)
    quantiles = np.full_like(naive.quantiles, np.nan)
    source = np.full(panel.size, "", dtype=object)
    fitted = [each for each in done if each.point is not None]
    failed = [each for each in done if each.point is None]
    for each in fitted:
        point[each.series], quantiles[each.series] = each.point, each.quantiles
        source[each.series] = column
    rows = np.array([each.series for each in failed], dtype=int)
    point[rows], quantiles[rows], source[rows] = naive.point[rows], naive.quantiles[rows], NAIVE
    missing = naive.available & (source == "")
    return replace(
        naive,
        name=column,
        point=point,
        quantiles=quantiles,
        source=source,
        available=source != "",
        seconds=seconds,
        notes=(
            *_missing_notes(column, panel.ids, missing, len(fitted), budget),
            *_failure_notes(column, panel.ids, failed),
        ),
    )


def _missing_notes(
    column: str, ids: np.ndarray, missing: np.ndarray, fitted: int, budget: float
) -> tuple[str, ...]:
    count = int(missing.sum())
    if count == 0:
        return ()
    return (
        f"{column}: {fitted} of {fitted + count} series were fitted in {budget:g} s (all "
        f"statistical baselines together); not fitted: {_some(ids[missing])}",
    )


def _failure_notes(column: str, ids: np.ndarray, failed: Sequence[Fit]) -> tuple[str, ...]:
    """One note for each reason: how many series, and which."""
    reasons = Counter(each.reason for each in failed)
    notes = []
    for reason, count in reasons.most_common():
        rows = [each.series for each in failed if each.reason == reason]
        notes.append(
            f"{column}: seasonal naive stands in for {count} series ({reason}): {_some(ids[rows])}"
        )
    return tuple(notes)


def _some(ids: np.ndarray) -> str:
    """The first ids, in words."""
    text = ", ".join(str(each) for each in ids[:NAMED])
    return text if len(ids) <= NAMED else f"{text} and {len(ids) - NAMED} more"
