"""ARIMA, ETS and Theta through StatsForecast, bounded in time: what does not get done is named.

Axes: W windows (origins of each series), S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.progress import LIMIT, Listener
from forecast.common.resources import PeakMemory
from forecast.common.workers import Pool, RayPool
from forecast.config.baselines import COLUMNS, INTERMITTENT
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.models.baselines.fit import Fit, Task, fit, fit_forward, prepare_worker
from forecast.models.baselines.history import longer_season, usable
from forecast.models.baselines.naive import NAME as NAIVE

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
    carried = sum(fit.carried for _, fit in done)
    if carried:
        notes.append(
            f"{column}: for {carried} of {len(done)} forecasts the order of an earlier origin was "
            "kept; for the others it was chosen there"
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


CARRIED = ("AutoARIMA",)  # whose search takes so long that one has to do for all origins at first
Done = list[tuple[Task, Fit]]


@dataclass(frozen=True)
class Statistical:
    """Forecasts by column name, one for each window, and the columns that more time would better:
    series were not reached, or models carried forward."""

    forecasts: dict[str, list[Forecast]]
    unfinished: frozenset[str]


def statistical_forecasts(
    panel: Panel,
    names: Sequence[str],
    season: int,
    budget: float,
    jobs: int,
    naive: Sequence[Forecast],
    wanted: np.ndarray,
    listener: Listener,
    urgent: np.ndarray,
    ray: bool = False,
    ray_address: str | None = None,
) -> Statistical:
    """The forecasts of `names` (keys of COLUMNS), in `budget` seconds.

    The cheap models come first, each with an equal share of the budget; what one leaves over goes
    to the next. All models take the series in the same order: the `urgent` (bool, (S,)), then the
    short ones, those of one length shuffled. ARIMA's order is chosen at the first origin of each
    series and kept for its others as long as it tells of them (`fit_forward`); the time that is
    left goes into choosing it anew at those.
    `naive` (one for each window) says origins, horizon and levels, and stands in for series that a
    model cannot be fitted to. wanted: bool (W, S), pairs to forecast. ray: on a Ray cluster, at
    `ray_address` or of this machine's own.
    """
    chosen = [name for name in COLUMNS if name in names]
    wanted = wanted & np.stack([each.available for each in naive])
    first = _first_alike(np.stack([each.origins for each in naive]), wanted)
    count = int((first == np.arange(len(naive))[:, None]).sum())
    start = time.monotonic()
    result, unfinished = {}, set()
    jobs = max(1, min(jobs, count))
    workers = RayPool(jobs, ray_address) if ray else Pool(jobs, prepare_worker)
    with workers as pool:
        for rank, name in enumerate(chosen):
            batch = _Batch(panel, naive, first, season, COLUMNS[name], urgent)
            # Of intermittent demand's models none takes long: they share their time.
            quick = COLUMNS[name] in INTERMITTENT
            last = sum(COLUMNS[each] in INTERMITTENT for each in chosen) if quick else rank + 1
            deadline = start + budget * last / len(chosen)
            began = time.monotonic()
            with PeakMemory() as memory:
                done = _fitted(pool, deadline, batch, listener)
            seconds = time.monotonic() - began
            made = _gather(batch.column, panel, done, naive, first, seconds, budget)
            result[batch.column] = [replace(each, memory=memory.peak) for each in made]
            if len(done) < count or any(each.carried for _, each in done):
                unfinished.add(batch.column)
    return Statistical(result, frozenset(unfinished))


def _fitted(pool: Pool | RayPool, deadline: float, batch: _Batch, listener: Listener) -> Done:
    """What gets done until the deadline, by pairs of series and origin."""
    done: dict[tuple[int, int], tuple[Task, Fit]] = {}
    died = Fit(None, None, "its worker process died")
    listener.stage(f"Fitting {batch.column}")
    if batch.column in CARRIED and batch.chains:
        for task, fits in pool.results_until(deadline, fit_forward, batch.forward()):
            for (window, history), each in zip(
                ((task.window, task.history), *task.later), fits or [died], strict=False
            ):
                if each.point is not None or window == task.window:
                    one = replace(task, window=window, history=history, later=())
                    done[window, task.series] = (one, each)
            listener.progress(len(done), batch.count, {LIMIT: deadline - time.monotonic()})
        if time.monotonic() < deadline:
            listener.stage(f"Fitting {batch.column} anew from the later origins")
    tasks = batch.anew({pair: each for pair, (_, each) in done.items()})
    results = pool.results_until(deadline, fit, batch.made(tasks))
    for number, (task, made) in enumerate(results, 1):
        pair, result = (task.window, task.series), made or died
        if result.point is not None or pair not in done:
            done[pair] = (task, result)
        listener.progress(number, len(tasks), {LIMIT: deadline - time.monotonic()})
    return list(done.values())


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


@dataclass(frozen=True)
class _Batch:
    """The pairs of series and origin that one model is to forecast."""

    panel: Panel
    naive: Sequence[Forecast]
    first: np.ndarray
    season: int
    column: str
    urgent: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """bool (W, S): pairs that are fitted themselves."""
        return np.asarray(self.first == np.arange(len(self.naive))[:, None])

    @property
    def count(self) -> int:
        """Pairs in all."""
        return int(self.wanted.sum())

    @property
    def chains(self) -> bool:
        """Whether any series is forecast from several origins."""
        return bool((self.wanted.sum(axis=0) > 1).any())

    def order(self) -> list[tuple[int, list[int]]]:
        """Series and their windows, earliest origin first: what is urgent, then short series first,
        those of one length shuffled, the same for every model."""
        wanted = self.wanted
        series = np.random.default_rng(0).permutation(np.flatnonzero(wanted.any(axis=0)))
        origins = np.stack([each.origins for each in self.naive])
        longest = np.where(wanted, origins, 0).max(axis=0)[series]
        series = series[np.lexsort((longest, ~self.urgent[series]))]
        return [
            (s, sorted(np.flatnonzero(wanted[:, s]).tolist(), key=lambda w: origins[w, s]))
            for s in series.tolist()
        ]

    def task(self, series: int, window: int) -> Task:
        """One series from one origin, with only the part of the history that a model can use."""
        history = self.panel.series(series)[: self.naive[window].origins[series]]
        longer = longer_season(self.season, self.panel.frequency.seasons, len(history))
        cut = history[-usable(self.season, longer) :]
        horizon, levels = self.naive[0].point.shape[1], self.naive[0].levels
        return Task(
            window=window,
            series=series,
            model=self.column,
            history=cut,
            season=self.season,
            longer=longer,
            horizon=horizon,
            levels=levels,
        )

    def forward(self) -> Iterator[Task]:
        """One task a series: its earliest origin, and the later ones to carry the model to."""
        for series, (window, *others) in self.order():
            later = tuple((w, self.task(series, w).history) for w in others)
            yield replace(self.task(series, window), later=later)

    def anew(self, done: Mapping[tuple[int, int], Fit]) -> list[tuple[int, int]]:
        """Pairs (series, window) without a fit of their own: those without any first, then those
        whose history has grown most since the model was chosen."""
        pairs = [(s, w) for s, windows in self.order() for w in windows]
        left = [(s, w) for s, w in pairs if (w, s) not in done or done[w, s].carried]
        if not done:
            return left
        start = {s: self.naive[windows[0]].origins[s] for s, windows in self.order()}

        def growth(pair: tuple[int, int]) -> float:
            series, window = pair
            if (window, series) not in done:
                return float("-inf")
            return -float(self.naive[window].origins[series] / max(start[series], 1))

        return sorted(left, key=growth)

    def made(self, pairs: Sequence[tuple[int, int]]) -> Iterator[Task]:
        """The tasks of these pairs, made when a worker is about to take them."""
        return (self.task(series, window) for series, window in pairs)


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
