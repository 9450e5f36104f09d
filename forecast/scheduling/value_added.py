"""How stable published forecasts were, and who made them better: naive, the model, the planner;
and what the blend beside the model would have made of them.

Compared are the numbers that were published, medians or means; runs of one kind of point with each
other. Medians are told by their absolute errors, means, which these would call too high, by the
squared ones.

Axes: R rows (series and steps that several runs forecast, or that have come true).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.errors import OutputError
from forecast.data.io.arrow import as_numpy
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.panel import Panel
from forecast.inference.point import MEAN, MEDIAN, quantile_of
from forecast.inference.tables import read_written
from forecast.models.baselines.naive import seasonal_naive
from forecast.scheduling.config import MOST_RUNS
from forecast.scheduling.ledger import recorded
from forecast.scheduling.override import OVERRIDES
from forecast.scheduling.publication import RUNS, read_whole
from forecast.scheduling.recovery import State
from forecast.workflows.combination import BLENDING

NAIVE, MODEL, BLEND, OVERRIDE = "naive", "model", "blend", "override"
ABSOLUTE, SQUARED = "mae", "rmse"  # the errors of medians, and of means
COUNT = ("", "count")
SHOWN = 20  # series told of by name


@dataclass(frozen=True)
class Planning:
    """stability, value_added: JSON-able documents, {} where there is nothing to tell; of_quantiles,
    of_others: runs that value added leaves out, as they published a quantile, or another point than
    the newest run."""

    stability: dict[str, Any]
    value_added: dict[str, Any]
    of_quantiles: int = 0
    of_others: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All, as one document."""
        return {
            "stability": self.stability,
            "value_added": self.value_added,
            "quantile_runs": self.of_quantiles,
            "other_runs": self.of_others,
        }


@dataclass(frozen=True)
class _Run:
    """One run's forecasts: run, cutoff, season, value by (series number, grid position), and what
    these points are: "median", "mean" or a quantile."""

    run: str
    cutoff: int
    horizon: int
    season: int
    series: np.ndarray
    point: np.ndarray
    kind: str = MEDIAN


def planning(connection: sqlite3.Connection, state: State, folder: Path, panel: Panel) -> Planning:
    """Stability and forecast value added of the newest runs; `panel`: the actuals."""
    runs = list(_runs(connection))
    ids = dict(connection.execute("SELECT id, unique_id FROM series").fetchall())
    overrides = _overrides(state, folder)
    blends = _blends(state, folder, {run.cutoff for run in runs})
    moved = stability(runs, ids, lambda cutoff: _times(panel, cutoff, 1)[0])
    # An error says nothing of a stock level: most of what came should lie below it.
    middle = [run for run in runs if quantile_of(run.kind) is None]
    alike = [run for run in middle if run.kind == middle[-1].kind]
    added = value_added(alike, ids, overrides, panel, blends)
    return Planning(moved, added, len(runs) - len(middle), len(middle) - len(alike))


def _times(panel: Panel, first: int, steps: int) -> list[str]:
    """Grid positions from `first` on, as the data write times."""
    stamps = panel.frequency.stamps(first + np.arange(steps))
    return [str(t) for t in format_stamps(stamps, panel.time_format, panel.tz).to_pylist()]


def _runs(connection: sqlite3.Connection) -> Iterator[_Run]:
    rows = connection.execute(
        "SELECT id, runs.run, cutoff, horizon, season, coalesce(points.point, ?) FROM runs"
        " LEFT JOIN points ON points.run = id ORDER BY cutoff DESC LIMIT ?",
        (MEDIAN, MOST_RUNS),
    ).fetchall()
    for number, run, cutoff, horizon, season, kind in reversed(rows):
        parts = list(recorded(connection, number))
        if parts:
            series = np.concatenate([part.series for part in parts])
            point = np.concatenate([part.point for part in parts])
            yield _Run(run, cutoff, horizon, season, series, point, kind)


def stability(
    runs: list[_Run], ids: Mapping[int, str] | None = None, named: Callable[[int], str] = str
) -> dict[str, Any]:
    """How much the forecast of the same step changed from each run to the next, where both had the
    same kind of point.

    Mean absolute change over the mean absolute level of the later forecasts, in all, by age (the
    step ahead of the later run), by run (the later one, told by the name of its cutoff) and of the
    series that changed most: 0 where nothing changed. As the change-over-level measures of
    forecast stability (Van Belle, Crevits & Verbeke 2023, International Journal of Forecasting 39).
    """
    found = _Moves()
    for before, after in pairwise(runs):
        shift = after.cutoff - before.cutoff
        shared = min(before.horizon - shift, after.horizon)
        if shift < 1 or shared < 1 or before.kind != after.kind:
            continue
        series, old, new = np.intersect1d(before.series, after.series, return_indices=True)
        then, now = before.point[old, shift : shift + shared], after.point[new, :shared]
        found.add(after, series, then, now)
    if not found.count:
        return {}
    by_series = {(ids or {}).get(n, str(n)): found.share(("series", n)) for n in found.of("series")}
    moving = sorted(by_series.items(), key=lambda each: (-(each[1] or 0.0), each[0]))
    return {
        "pairs": found.count,
        "change": found.share(("all", 0)),
        "by_age": {str(step): found.share(("age", step)) for step in found.of("age")},
        "by_run": [
            {"as_of": named(cutoff), "change": found.share(("run", cutoff))}
            for cutoff in found.of("run")
        ],
        "series": dict(moving[:SHOWN]),
    }


class _Moves:
    """Absolute changes and levels: in all, by age, by run (its cutoff), by series (its number)."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[tuple[str, int], np.ndarray] = {}

    def add(self, run: _Run, series: np.ndarray, then: np.ndarray, now: np.ndarray) -> None:
        """series (R,): numbers; then and now (R, H): what was forecast of the same steps."""
        known = np.isfinite(then) & np.isfinite(now)
        self.count += int(known.sum())
        both = np.stack([np.where(known, np.abs(now - then), 0), np.where(known, np.abs(now), 0)])
        keys = [("all", 0, both.sum((1, 2))), ("run", run.cutoff, both.sum((1, 2)))]
        keys += [("age", step + 1, both[:, :, step].sum(1)) for step in range(now.shape[1])]
        keys += [("series", int(n), both[:, row].sum(1)) for row, n in enumerate(series)]
        for kind, number, amounts in keys:
            self.sums[kind, number] = self.sums.get((kind, number), 0.0) + amounts

    def of(self, kind: str) -> list[int]:
        """The steps, cutoffs or numbers that were added."""
        return sorted(number for each, number in self.sums if each == kind)

    def share(self, key: tuple[str, int]) -> float | None:
        """Mean change over mean level; None where the level is 0."""
        change, level = self.sums[key]
        return float(change / level) if level else None


def _overrides(state: State, folder: Path) -> dict[int, dict[tuple[str, str], tuple[float, str]]]:
    """By cutoff, of the forecast that stands for it: number and planner by id and time."""
    found: dict[int, dict[tuple[str, str], tuple[float, str]]] = {}
    for published in state.comparable:
        path = folder / RUNS / published.run / OVERRIDES
        found.pop(published.position, None)
        if path.is_file():
            found[published.position] = {
                (row["unique_id"], row["ds"]): (float(row["override"]), row["by"])
                for row in read_written(path).to_pylist()
            }
    return found


def _blends(state: State, folder: Path, cutoffs: Collection[int]) -> dict[int, dict[str, Any]]:
    """By cutoff, of the forecast that stands for it: the blend's points (H,) by id, where there is
    one and it can be read."""
    found: dict[int, dict[str, Any]] = {}
    for published in state.comparable:
        found.pop(published.position, None)
        if published.position not in cutoffs or BLENDING not in published.manifest["model"]:
            continue
        with suppress(OutputError, KeyError):
            table = read_whole(folder / RUNS / published.run, published)
            point = as_numpy(table.column("blend").combine_chunks())
            point = point.reshape(-1, int(published.manifest["horizon"]))
            names = table.column("series").to_pylist()[:: point.shape[1]]
            found[published.position] = dict(zip(names, point, strict=True))
    return found


def value_added(
    runs: list[_Run],
    ids: Mapping[int, str],
    overrides: Mapping[int, Mapping[tuple[str, str], tuple[float, str]]],
    panel: Panel,
    blends: Mapping[int, Mapping[str, np.ndarray]] | None = None,
) -> dict[str, Any]:
    """The error of each step of the way to the published number, on the same rows, and what each
    adds: the error before it less the error after it (Gilliland 2013, forecast value added). The
    runs have one kind of point: of medians it is the mean absolute error, of means the root of the
    mean squared one. In all, by run, of the series where most was won or lost, and by planner, the
    last on the overridden rows alone. Where any run had a blend beside the model, also what it
    would add in the model's place; the model stands for it where there was none."""
    sums = _Sums(bool(blends), means=any(run.kind == MEAN for run in runs))
    place = {str(name): s for s, name in enumerate(panel.ids)}
    for run in runs:
        rows = np.array([place.get(ids.get(int(n), ""), -1) for n in run.series])
        if (rows >= 0).any():
            beside = (blends or {}).get(run.cutoff, {})
            _add_run(sums, run, panel, rows, overrides.get(run.cutoff, {}), beside)
    return sums.document()


def _add_run(
    sums: _Sums,
    run: _Run,
    panel: Panel,
    rows: np.ndarray,
    given: Mapping[tuple[str, str], tuple[float, str]],
    beside: Mapping[str, np.ndarray],
) -> None:
    """What came true of one run, beside its forecasts, seasonal naive's, the blend's and the
    planner's. rows: the panel's series of each of its own, -1 without."""
    order = np.argsort(rows[rows >= 0])
    part = panel.select(rows[rows >= 0][order])
    model = run.point[rows >= 0][order]
    origins = np.clip(run.cutoff + 1 - part.first, 0, part.lengths)
    actual = part.window(origins, run.horizon)
    actual[part.first + origins != run.cutoff + 1] = np.nan
    naive = seasonal_naive(part, origins, run.horizon, np.empty(0), run.season).point
    final, who = model.copy(), np.full(model.shape, "", dtype=object)
    if given:
        times = _times(panel, run.cutoff + 1, run.horizon)
        step_of = {text: step for step, text in enumerate(times)}
        row_of = {str(name): row for row, name in enumerate(part.ids)}
        for (name, time), (number, by) in given.items():
            if name in row_of and time in step_of:
                final[row_of[name], step_of[time]] = number
                who[row_of[name], step_of[time]] = by
    blend = np.array(
        [beside.get(str(name), own) for name, own in zip(part.ids, model, strict=True)]
    )
    forecasts = {NAIVE: naive, MODEL: model, BLEND: blend, OVERRIDE: final}
    sums.add(_times(panel, run.cutoff, 1)[0], part.ids, actual, forecasts, who)


class _Sums:
    """Counts, absolute and squared errors by step of the way: in all, by run, by series, by
    planner; means: it is the squared ones that tell who made it better."""

    def __init__(self, blended: bool, means: bool) -> None:
        self.blended = blended
        self.judged = SQUARED if means else ABSOLUTE
        self.groups: dict[tuple[str, str], dict[tuple[str, str], float]] = {}

    def add(
        self,
        as_of: str,
        names: np.ndarray,
        actual: np.ndarray,
        forecasts: Mapping[str, np.ndarray],
        who: np.ndarray,
    ) -> None:
        """names (R,), actual, forecasts and who (R, H)."""
        known = np.isfinite(actual) & np.all([np.isfinite(f) for f in forecasts.values()], axis=0)
        wrong = {k: np.where(known, np.abs(f - actual), 0.0) for k, f in forecasts.items()}
        errors = {(ABSOLUTE, k): error for k, error in wrong.items()}
        errors |= {(SQUARED, k): error**2 for k, error in wrong.items()}
        self._take(("all", ""), known, errors)
        self._take(("run", as_of), known, errors)
        for row, name in enumerate(names.tolist()):
            if known[row].any():
                self._take(
                    ("series", str(name)), known[row], {k: e[row] for k, e in errors.items()}
                )
        for planner in sorted({str(w) for w in who[known].tolist()} - {""}):
            here = known & (who == planner)
            self._take(("by", planner), here, {k: np.where(here, e, 0) for k, e in errors.items()})

    def _take(
        self,
        key: tuple[str, str],
        known: np.ndarray,
        errors: Mapping[tuple[str, str], np.ndarray],
    ) -> None:
        sums = self.groups.setdefault(key, {COUNT: 0.0})
        sums[COUNT] += float(known.sum())
        for name, error in errors.items():
            sums[name] = sums.get(name, 0.0) + float(error.sum())

    def document(self) -> dict[str, Any]:
        """JSON-able: count, errors and what each step added; {} where nothing has come true."""
        if not self.groups.get(("all", ""), {}).get(COUNT):
            return {}
        series = sorted((key for key in self.groups if key[0] == "series"), key=self._importance)
        return {
            "all": self._figures(("all", "")),
            "series": {key[1]: self._figures(key) for key in series[:SHOWN]},
            "by": {key[1]: self._figures(key) for key in sorted(self.groups) if key[0] == "by"},
            "by_run": [
                {"as_of": key[1], **self._figures(key)}
                for key, sums in self.groups.items()
                if key[0] == "run" and sums[COUNT]
            ],
        }

    def _importance(self, key: tuple[str, str]) -> tuple[float, float, str]:
        """Sorts first what the planners changed most for better or worse, then what the model."""
        naive, model, override = (
            self.groups[key][self.judged, name] for name in (NAIVE, MODEL, OVERRIDE)
        )
        return (-abs(model - override), -abs(naive - model), key[1])

    def _figures(self, key: tuple[str, str]) -> dict[str, Any]:
        """Of means the mean absolute errors stand beside those that judge."""
        sums = self.groups[key]
        count = sums[COUNT]
        names = (NAIVE, MODEL, *([BLEND] if self.blended else []), OVERRIDE)
        mean = {of: total / count if count else math.nan for of, total in sums.items()}
        told = {ABSOLUTE: {name: mean[ABSOLUTE, name] for name in names}}
        if self.judged == SQUARED:
            told[SQUARED] = {name: math.sqrt(mean[SQUARED, name]) for name in names}
        error = told[self.judged]
        more = {"added_by_blend": error[MODEL] - error[BLEND]} if self.blended else {}
        return {
            "count": int(count),
            "judged": self.judged,
            **{f"{by}_{name}": value for by, of in told.items() for name, value in of.items()},
            "added_by_model": error[NAIVE] - error[MODEL],
            **more,
            "added_by_override": error[MODEL] - error[OVERRIDE],
        }
