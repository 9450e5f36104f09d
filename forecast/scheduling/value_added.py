"""How stable published forecasts were, and who made them better: naive, the model, the planner.

Axes: R rows (series and steps that several runs forecast, or that have come true).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.panel import Panel
from forecast.models.baselines.naive import seasonal_naive
from forecast.scheduling.config import MOST_RUNS
from forecast.scheduling.ledger import recorded
from forecast.scheduling.override import OVERRIDES
from forecast.scheduling.publication import RUNS
from forecast.scheduling.recovery import State

NAIVE, MODEL, OVERRIDE = "naive", "model", "override"
SHOWN = 20  # series told of by name


@dataclass(frozen=True)
class Planning:
    """stability, value_added: JSON-able documents, {} where there is nothing to tell."""

    stability: dict[str, Any]
    value_added: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Both, as one document."""
        return {"stability": self.stability, "value_added": self.value_added}


@dataclass(frozen=True)
class _Run:
    """One run's forecasts: run, cutoff, season, and value by (series number, grid position)."""

    run: str
    cutoff: int
    horizon: int
    season: int
    series: np.ndarray
    point: np.ndarray


def planning(connection: sqlite3.Connection, state: State, folder: Path, panel: Panel) -> Planning:
    """Stability and forecast value added of the newest runs; `panel`: the actuals."""
    runs = list(_runs(connection))
    ids = dict(connection.execute("SELECT id, unique_id FROM series").fetchall())
    overrides = _overrides(state, folder)
    return Planning(stability(runs), value_added(runs, ids, overrides, panel))


def _runs(connection: sqlite3.Connection) -> Iterator[_Run]:
    rows = connection.execute(
        "SELECT id, run, cutoff, horizon, season FROM runs ORDER BY cutoff DESC LIMIT ?",
        (MOST_RUNS,),
    ).fetchall()
    for number, run, cutoff, horizon, season in reversed(rows):
        parts = list(recorded(connection, number))
        if parts:
            series = np.concatenate([part.series for part in parts])
            point = np.concatenate([part.point for part in parts])
            yield _Run(run, cutoff, horizon, season, series, point)


def stability(runs: list[_Run]) -> dict[str, Any]:
    """How much the forecast of the same step changed from each run to the next.

    Mean absolute change over the mean absolute level of the later forecasts, in all and by age (the
    step ahead of the later run): 0 where nothing changed. As the change-over-level measures of
    forecast stability (Van Belle, Crevits & Verbeke 2023, International Journal of Forecasting 39).
    """
    change: dict[int, float] = {}
    level: dict[int, float] = {}
    count = 0
    for before, after in pairwise(runs):
        shift = after.cutoff - before.cutoff
        shared = min(before.horizon - shift, after.horizon)
        if shift < 1 or shared < 1:
            continue
        _, old, new = np.intersect1d(before.series, after.series, return_indices=True)
        then = before.point[old, shift : shift + shared]
        now = after.point[new, :shared]
        known = np.isfinite(then) & np.isfinite(now)
        count += int(known.sum())
        for step in range(shared):
            here = known[:, step]
            moved = np.abs(now[here, step] - then[here, step]).sum()
            change[step + 1] = change.get(step + 1, 0.0) + float(moved)
            level[step + 1] = level.get(step + 1, 0.0) + float(np.abs(now[here, step]).sum())
    if not count:
        return {}
    total = sum(level.values())
    return {
        "pairs": count,
        "change": sum(change.values()) / total if total else None,
        "by_age": {
            str(step): change[step] / level[step] if level[step] else None
            for step in sorted(change)
        },
    }


def _overrides(state: State, folder: Path) -> dict[int, dict[tuple[str, str], tuple[float, str]]]:
    """By cutoff, of the edition that stands for it: number and planner by id and time."""
    import pyarrow as pa
    from pyarrow import csv

    found: dict[int, dict[tuple[str, str], tuple[float, str]]] = {}
    for edition in state.comparable:
        path = folder / RUNS / edition.run / OVERRIDES
        found.pop(edition.position, None)
        if path.is_file():
            texts = {name: pa.string() for name in ("unique_id", "ds", "by", "reason", "at")}
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=texts))
            found[edition.position] = {
                (row["unique_id"], row["ds"]): (float(row["override"]), row["by"])
                for row in table.to_pylist()
            }
    return found


def value_added(
    runs: list[_Run],
    ids: Mapping[int, str],
    overrides: Mapping[int, Mapping[tuple[str, str], tuple[float, str]]],
    panel: Panel,
) -> dict[str, Any]:
    """Mean absolute error of each step of the way to the published number, on the same rows, and
    what each adds: the error before it less the error after it (Gilliland 2013, forecast value
    added). In all, by series and by planner, the last on the overridden rows alone."""
    sums = _Sums()
    place = {str(name): s for s, name in enumerate(panel.ids)}
    for run in runs:
        rows = np.array([place.get(ids.get(int(n), ""), -1) for n in run.series])
        if (rows >= 0).any():
            _add_run(sums, run, panel, rows, overrides.get(run.cutoff, {}))
    return sums.document()


def _add_run(
    sums: _Sums,
    run: _Run,
    panel: Panel,
    rows: np.ndarray,
    given: Mapping[tuple[str, str], tuple[float, str]],
) -> None:
    """What came true of one run, beside its forecasts, seasonal naive's and the planner's. rows:
    the panel's series of each of its own, -1 without."""
    order = np.argsort(rows[rows >= 0])
    part = panel.select(rows[rows >= 0][order])
    model = run.point[rows >= 0][order]
    origins = np.clip(run.cutoff + 1 - part.first, 0, part.lengths)
    actual = part.window(origins, run.horizon)
    actual[part.first + origins != run.cutoff + 1] = np.nan
    naive = seasonal_naive(part, origins, run.horizon, np.empty(0), run.season).point
    final, who = model.copy(), np.full(model.shape, "", dtype=object)
    if given:
        stamps = panel.frequency.stamps(run.cutoff + 1 + np.arange(run.horizon))
        texts = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
        step_of = {str(text): step for step, text in enumerate(texts)}
        row_of = {str(name): row for row, name in enumerate(part.ids)}
        for (name, time), (number, by) in given.items():
            if name in row_of and time in step_of:
                final[row_of[name], step_of[time]] = number
                who[row_of[name], step_of[time]] = by
    sums.add(part.ids, actual, {NAIVE: naive, MODEL: model, OVERRIDE: final}, who)


class _Sums:
    """Counts and absolute errors by step of the way: in all, by series, by planner."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], dict[str, float]] = {}

    def add(
        self,
        names: np.ndarray,
        actual: np.ndarray,
        forecasts: Mapping[str, np.ndarray],
        who: np.ndarray,
    ) -> None:
        """names (R,), actual, forecasts and who (R, H)."""
        known = np.isfinite(actual) & np.all([np.isfinite(f) for f in forecasts.values()], axis=0)
        errors = {k: np.where(known, np.abs(f - actual), 0.0) for k, f in forecasts.items()}
        self._take(("all", ""), known, errors)
        for row, name in enumerate(names.tolist()):
            if known[row].any():
                self._take(
                    ("series", str(name)), known[row], {k: e[row] for k, e in errors.items()}
                )
        for planner in sorted({str(w) for w in who[known].tolist()} - {""}):
            here = known & (who == planner)
            self._take(("by", planner), here, {k: np.where(here, e, 0) for k, e in errors.items()})

    def _take(
        self, key: tuple[str, str], known: np.ndarray, errors: Mapping[str, np.ndarray]
    ) -> None:
        sums = self.groups.setdefault(key, {"count": 0.0})
        sums["count"] += float(known.sum())
        for name, error in errors.items():
            sums[name] = sums.get(name, 0.0) + float(error.sum())

    def document(self) -> dict[str, Any]:
        """JSON-able: count, errors and what each step added; {} where nothing has come true."""
        if not self.groups.get(("all", ""), {}).get("count"):
            return {}
        made: dict[str, Any] = {"all": self._figures(("all", "")), "series": {}, "by": {}}
        for key in sorted(self.groups, key=lambda k: (-self.groups[k]["count"], k)):
            kind, name = key
            if kind != "all" and (kind == "by" or len(made["series"]) < SHOWN):
                made[kind][name] = self._figures(key)
        return made

    def _figures(self, key: tuple[str, str]) -> dict[str, Any]:
        sums = self.groups[key]
        count = sums["count"]
        mae = {n: sums[n] / count if count else math.nan for n in (NAIVE, MODEL, OVERRIDE)}
        return {
            "count": int(count),
            **{f"mae_{name}": value for name, value in mae.items()},
            "added_by_model": mae[NAIVE] - mae[MODEL],
            "added_by_override": mae[MODEL] - mae[OVERRIDE],
        }
