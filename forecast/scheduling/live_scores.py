"""Live scores: published forecasts against what has come true since.

Errors are those of the medians, whichever point was published: so are those that a backtest
promises, and the absolute error of a mean or of a stock level says nothing of how good a model is.
A run's scores are kept by horizon step as sums, so that any mean over runs and steps is exact and
only the runs that new or restated actuals touch are scored again.
Axes: H horizon (steps), Q quantiles, R rows (series and steps that have come true).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forecast.data.panel import Panel
from forecast.scheduling.history import Changes, Known, compare, fingerprints
from forecast.scheduling.ledger import (
    NAME,
    known_history,
    moment_number,
    oldest_forecast,
    recorded,
    remember_history,
    series_numbers,
    transaction,
)
from forecast.scheduling.ledger_checks import check_shares, damaged

RECENT = 28  # runs that the retrain policy looks at


@dataclass(slots=True)  # not frozen: that makes a hundred thousand of them slow
class StepScore:
    """Sums of one run at one step: values that came true, absolute and scaled errors (the scaled
    ones of series with a scale), and by interval level in per cent how many lay inside."""

    run: str
    cutoff: int
    model: str
    step: int
    count: int
    absolute: float
    scaled: float
    scaled_count: int
    inside: dict[str, int]


@dataclass(frozen=True)
class Live:
    """Means over some runs and steps; NaN where nothing has come true."""

    runs: int
    count: int
    mase: float
    mae: float
    coverage: dict[float, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: NaN as null, levels as text."""
        return {
            "runs": self.runs,
            "count": self.count,
            "mase": None if math.isnan(self.mase) else self.mase,
            "mae": None if math.isnan(self.mae) else self.mae,
            "coverage": {f"{level:g}": share for level, share in self.coverage.items()},
        }


def touched_runs(connection: sqlite3.Connection, positions: Iterable[int]) -> list[int]:
    """Numbers of the kept runs that forecast any of these grid positions, and of those without a
    score though an actual is there: forecasts for an earlier as-of, made after it."""
    changed = np.unique(np.fromiter(positions, np.int64))
    rows = connection.execute(
        "SELECT id, cutoff, horizon, id NOT IN (SELECT run FROM scores) AND EXISTS (SELECT 1 FROM"
        " actuals WHERE position BETWEEN cutoff + 1 AND cutoff + horizon AND value IS NOT NULL)"
        " FROM runs WHERE id IN (SELECT run FROM forecasts)"
    ).fetchall()
    found = []
    for number, cutoff, horizon, unscored in rows:
        left, right = np.searchsorted(changed, [cutoff + 1, cutoff + horizon + 1])
        if right > left or unscored:
            found.append(number)
    return found


def score_runs(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Scores these runs anew from their forecasts and the latest actuals."""
    with transaction(connection):
        for number in numbers:
            rows = _scores_of(connection, number)
            connection.execute("DELETE FROM scores WHERE run = ?", (number,))
            connection.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _scores_of(connection: sqlite3.Connection, number: int) -> list[tuple[Any, ...]]:
    """Rows of the table `scores` for one run; none where nothing has come true."""
    cutoff, horizon, text = connection.execute(
        "SELECT cutoff, horizon, levels FROM runs WHERE id = ?", (number,)
    ).fetchone()
    known = np.array(
        connection.execute(
            "SELECT position, series, value FROM actuals"
            " WHERE position > ? AND position <= ? AND value IS NOT NULL",
            (cutoff, cutoff + horizon),
        ).fetchall(),
        dtype=[("position", "i8"), ("series", "i8"), ("value", "f8")],
    )
    step, series = known["position"] - cutoff, known["series"]
    taken = []
    for part in recorded(connection, number):
        order = np.argsort(part.series)
        at = np.searchsorted(part.series, series, sorter=order)
        row = order[np.minimum(at, len(order) - 1)]
        here = part.series[row] == series
        row, ahead = row[here], step[here] - 1
        taken.append((step[here], part.medians[row, ahead], part.quantiles[row, ahead],
                      known["value"][here], part.scale[row]))  # fmt: skip
    if not taken:
        return []
    steps, median, quantiles, actual, scale = (np.concatenate(c) for c in zip(*taken, strict=True))
    levels = json.loads(text)
    return score_rows(
        number=number,
        horizon=horizon,
        step=steps,
        point=median,
        levels=levels,
        quantiles=quantiles,
        actual=actual,
        scale=scale,
    )


def score_rows(
    number: int,
    horizon: int,
    step: np.ndarray,
    point: np.ndarray,
    levels: Sequence[float],
    quantiles: np.ndarray,
    actual: np.ndarray,
    scale: np.ndarray,
) -> list[tuple[Any, ...]]:
    """Sums by step of R rows: step, point, actual, scale (R,), NaN or 0 for no scale;
    quantiles (R, Q). An actual on an interval's bound lies inside (to float32's precision)."""
    size = horizon + 1
    error = np.abs(actual - point)
    usable = scale > 0
    count = np.bincount(step, minlength=size)
    absolute = np.bincount(step, error, minlength=size)
    scaled = np.bincount(step[usable], error[usable] / scale[usable], minlength=size)
    scaled_count = np.bincount(step[usable], minlength=size)
    slack = 1e-6 * np.abs(actual)
    inside: dict[str, np.ndarray] = {}
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        within = (actual >= quantiles[:, low] - slack) & (actual <= quantiles[:, high] + slack)
        name = f"{100 * (levels[high] - levels[low]):g}"
        inside[name] = np.bincount(step[within], minlength=size)
    return [
        (
            number, h, int(count[h]), float(absolute[h]), float(scaled[h]), int(scaled_count[h]),
            json.dumps({name: int(n[h]) for name, n in inside.items()}),
        )
        for h in np.flatnonzero(count).tolist()
    ]  # fmt: skip


def step_scores(connection: sqlite3.Connection) -> list[StepScore]:
    """All scores, by cutoff and step."""
    rows = connection.execute(
        "SELECT r.run, r.cutoff, r.model, s.step, s.count, s.absolute, s.scaled, s.scaled_count,"
        " s.inside FROM scores s JOIN runs r ON r.id = s.run ORDER BY r.cutoff, s.step"
    ).fetchall()
    try:
        inside = json.loads(f"[{','.join(row[-1] for row in rows)}]")  # at once: ten times as fast
        check_shares(inside, Path(NAME))
        return [StepScore(*(*row[:-1], each)) for row, each in zip(rows, inside, strict=True)]
    except (ValueError, TypeError) as error:
        raise damaged(Path(NAME), f"scores.inside is not as it was written ({error})") from error


def live(scores: Sequence[StepScore]) -> Live:
    """The means over `scores`."""
    count = sum(s.count for s in scores)
    scaled_count = sum(s.scaled_count for s in scores)
    levels = {level for s in scores for level in s.inside}
    return Live(
        runs=len({s.run for s in scores}),
        count=count,
        mase=sum(s.scaled for s in scores) / scaled_count if scaled_count else math.nan,
        mae=sum(s.absolute for s in scores) / count if count else math.nan,
        coverage={
            float(level): sum(s.inside.get(level, 0) for s in scores) / count
            for level in sorted(levels, key=float)
        }
        if count
        else {},
    )


def by_step(scores: Sequence[StepScore]) -> dict[int, Live]:
    """Means for each step ahead."""
    groups: dict[int, list[StepScore]] = {}
    for score in scores:
        groups.setdefault(score.step, []).append(score)
    return {step: live(groups[step]) for step in sorted(groups)}


def by_age(scores: Sequence[StepScore]) -> dict[str, Live]:
    """Means over the newest run that has scores, the newest 7, the newest 28, and all."""
    newest = sorted({s.cutoff for s in scores}, reverse=True)
    found = {}
    for name, size in (("newest", 1), ("7 newest", 7), ("28 newest", 28), ("all", len(newest))):
        if newest and (size <= len(newest)):
            edge = newest[size - 1]
            found[name] = live([s for s in scores if s.cutoff >= edge])
    return found


def of_model(scores: Sequence[StepScore], model: str) -> list[StepScore]:
    """The scores of one model's newest runs: what says how it does now."""
    mine = [s for s in scores if s.model == model]
    newest = sorted({s.cutoff for s in mine}, reverse=True)[:RECENT]
    return [s for s in mine if newest and s.cutoff >= newest[-1]]


def promised(scores: Sequence[StepScore], promise: dict[str, Any]) -> float:
    """The backtest's MASE at the very steps that came true; NaN where it made no promise.

    promise: {"mase": overall, "by_step": {"mase": [...]}} as in a model's about.json.
    """
    steps = (promise.get("by_step") or {}).get("mase") or []
    total = weight = 0.0
    for score in scores:
        value = steps[score.step - 1] if score.step <= len(steps) else promise.get("mase")
        if value is not None and score.scaled_count:
            total, weight = total + value * score.scaled_count, weight + score.scaled_count
    return total / weight if weight else math.nan


# --- What came true: actuals of the steps that were forecast, with their revisions ---------------
# Axes: S series, N observations of all series together.


COMPARED = 8  # horizons that are compared value for value where a series' past has moved


def notice_changes(connection: sqlite3.Connection, panel: Panel) -> Changes:
    """What is different in the past from what the last run saw; nothing is written."""
    return compare(panel, known_history(connection))


def take_in(
    connection: sqlite3.Connection, panel: Panel, changes: Changes, seen: str
) -> tuple[set[int], int]:
    """Stores new and restated actuals and scores the runs that they touch; doing it twice changes
    nothing. Returns the grid positions that changed and the number of restatements.

    seen: when (ISO 8601). One step: actuals whose scores a full disk or a kill has kept from the
    ledger would touch no run again, and intervals would follow a coverage that lags behind.
    """
    with transaction(connection):
        touched, restated = _take_in(connection, panel, changes, seen)
        score_runs(connection, touched_runs(connection, touched))
    return touched, restated


def _take_in(
    connection: sqlite3.Connection, panel: Panel, changes: Changes, seen: str
) -> tuple[set[int], int]:
    """Stores them; as `take_in`."""
    first = oldest_forecast(connection)
    with transaction(connection):
        numbers = np.array(series_numbers(connection, panel.ids.tolist()), np.int64)
        touched: set[int] = set()
        restated = 0
        if first is not None:
            since = _since(connection, panel, changes, first)
            moment = moment_number(connection, seen)
            touched, restated = _store(connection, panel, numbers, since, moment)
    return touched, restated


def remember(connection: sqlite3.Connection, panel: Panel) -> None:
    """Keeps the history as it is now, for the next run to compare with."""
    prints = fingerprints(panel, panel.first, panel.lengths)
    with transaction(connection):
        remember_history(connection, Known(panel.ids.tolist(), panel.first, panel.lengths, prints))


def _since(
    connection: sqlite3.Connection, panel: Panel, changes: Changes, first: int
) -> np.ndarray:
    """int64 (S,): the grid position from which each series is looked at.

    Where the past is as it was, only what is new, and what came after forecasts that have no score
    yet (one for an earlier as-of is made when its actuals are known); where the past was restated,
    all that was forecast.
    """
    known = known_history(connection)
    horizon = connection.execute("SELECT max(horizon) FROM runs").fetchone()[0]
    ends = dict(zip(known.ids, (known.first + known.length).tolist(), strict=True))
    start = first + 1
    since = np.array([max(start, ends.get(i, start)) for i in panel.ids.tolist()], np.int64)
    unscored = oldest_forecast(connection, unscored=True)
    if unscored is not None:
        since = np.minimum(since, unscored + 1)
    since[changes.restated] = start
    recent = (panel.first + panel.lengths)[changes.moved] - COMPARED * horizon
    since[changes.moved] = np.minimum(since[changes.moved], np.maximum(recent, start))
    return since


def _store(
    connection: sqlite3.Connection, panel: Panel, numbers: np.ndarray, since: np.ndarray, seen: int
) -> tuple[set[int], int]:
    ends = panel.first + panel.lengths
    counts = np.maximum(ends - np.maximum(since, panel.first), 0)
    series = np.repeat(np.arange(panel.size), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.repeat(ends - counts, counts) + within
    values = panel.values[panel.offsets[:-1][series] + place - panel.first[series]]
    keys = list(zip(place.tolist(), numbers[series].tolist(), strict=True))
    before = _before(connection, keys, place)
    fresh, changed = [], []
    for key, value in zip(keys, values.tolist(), strict=True):
        old = before.get(key)
        if old is None:
            if not math.isnan(value):
                fresh.append((*key, value, 0, seen))
        elif not _alike(old[0], value):
            changed.append((key, old, None if math.isnan(value) else value))
    connection.executemany("INSERT INTO actuals VALUES (?, ?, ?, ?, ?)", fresh)
    connection.executemany(
        "INSERT INTO restated (position, series, value, revision, seen) VALUES (?, ?, ?, ?, ?)",
        ((*key, *old) for key, old, _ in changed),
    )
    connection.executemany(
        "UPDATE actuals SET value = ?, revision = ?, seen = ? WHERE position = ? AND series = ?",
        ((value, old[1] + 1, seen, *key) for key, old, value in changed),
    )
    return {row[0] for row in fresh} | {key[0] for key, _, _ in changed}, len(changed)


Key = tuple[int, int]  # grid position, number of the series
Old = tuple[float | None, int, int]


def _before(connection: sqlite3.Connection, keys: list[Key], place: np.ndarray) -> dict[Key, Old]:
    """(value, revision, number of the moment) of what is stored for `keys`."""
    if not keys:
        return {}
    wanted = {number for _, number in keys}
    rows = connection.execute(
        "SELECT position, series, value, revision, seen FROM actuals WHERE position >= ?",
        (int(place.min()),),
    )
    return {(p, s): (value, n, seen) for p, s, value, n, seen in rows if s in wanted}


def _alike(old: float | None, new: float) -> bool:
    return old == new or (old is None and math.isnan(new))
