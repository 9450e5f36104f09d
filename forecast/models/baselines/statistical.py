"""ARIMA, ETS and Theta through StatsForecast, bounded in time: what does not get done is named.

Axes: W windows (origins of each series), S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory
from forecast.common.workers import Pool, RayPool
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.models.baselines.history import (
    CUT,
    CUT_LONG,
    SMALL_SEASON,
    filled,
    longer_season,
    scale_of,
    usable,
)
from forecast.models.baselines.naive import NAME as NAIVE

# --- One statistical model fitted to one series: runs inside a worker process --------------------
# Axes: n observations, H horizon (steps), Q quantiles.


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


# --- What is said about a baseline's forecasts: which series lack one, why, and how it was
# fitted


NAMED = 5  # series named in a note at most; `Forecast.available` and `source` tell all


def missing_notes(
    column: str, ids: np.ndarray, missing: np.ndarray, wanted: int, budget: float
) -> tuple[str, ...]:
    """Series that the budget did not reach, `missing` (S,) of `wanted`."""
    count = int(missing.sum())
    if count == 0:
        return ()
    return (
        f"{column}: {wanted - count} of {wanted} series were fitted in {budget:g} s (all "
        f"statistical baselines together); not fitted: {_some(ids[missing])}",
    )


def failure_notes(
    column: str, ids: np.ndarray, failed: Collection[tuple[int, str]]
) -> tuple[str, ...]:
    """Series that another forecast stands in for: (series, reason) pairs, a note a reason."""
    notes = []
    for reason, count in Counter(reason for _, reason in failed).most_common():
        rows = sorted(series for series, each in failed if each == reason)
        notes.append(
            f"{column}: seasonal naive stands in for {count} series ({reason}): {_some(ids[rows])}"
        )
    return tuple(notes)


def method_notes(
    column: str, done: Sequence[tuple[Task, Fit]], origins: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """What was done to the histories before the fit. origins: (S,) for each window."""
    notes = []
    taken = {(task.series, length) for task, fit in done for length in fit.taken}
    for length, count in sorted(Counter(length for _, length in taken).items()):
        notes.append(
            f"{column}: the season of {length} steps is taken out of {count} series by STL "
            "and repeated"
        )
    tasks = [task for task, _ in done]
    cut = [t for t in tasks if len(t.history) < origins[t.window][t.series]]
    if cut:
        longest = max(len(t.history) for t in cut)
        count = len({t.series for t in cut})
        notes.append(f"{column}: {count} series are fitted to their last {longest} observations")
    gaps = len({t.series for t in tasks if np.isnan(t.history).any()})
    if gaps:
        notes.append(f"{column}: gaps of {gaps} series were filled for the fit")
    return tuple(notes)


def _some(ids: np.ndarray) -> str:
    """The first ids, in words."""
    text = ", ".join(str(each) for each in ids[:NAMED])
    return text if len(ids) <= NAMED else f"{text} and {len(ids) - NAMED} more"


# -------------------------------------------------------------------------------------------------


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
