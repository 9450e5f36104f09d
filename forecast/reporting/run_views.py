"""What a run holds beside one forecast of each series: sums of a hierarchy, futures compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.data.panel import ID, TIME
from forecast.inference.tables import whole_of
from forecast.reporting.finished_run import FinishedRun, read_table_of

if TYPE_CHECKING:
    import pyarrow as pa

LEVEL, SCENARIO, CHANGE = "level", "scenario", "change"  # columns of a forecast
MOST_NODES, MOST_TIMES = 30, 60  # of a level and of a scenario that are shown
BEFORE = "before reconciliation"


@dataclass(frozen=True)
class LevelView:
    """One level of a hierarchy.

    nodes: how many series it has; sums: the largest of them with the sum of their forecast over
    the horizon; score, before: the network's MASE, and what it was before the levels were made to
    add up; None where nothing was held out.
    """

    name: str
    nodes: int
    sums: tuple[tuple[str, float], ...]
    score: float | None
    before: float | None


@dataclass(frozen=True)
class ScenarioView:
    """One file of scenarios: names in order, and per time the sum over all series of each one.

    totals: sum over all series and steps of each scenario; changes: less that of the first.
    """

    file: str
    names: tuple[str, ...]
    times: tuple[tuple[str, tuple[float, ...]], ...]
    totals: tuple[float, ...]
    changes: tuple[float, ...]


def levels_of(run: FinishedRun) -> list[LevelView]:
    """The levels of a run's hierarchy, the highest first; none where it has no hierarchy."""
    table = run.predictions
    if table is None or LEVEL not in table.column_names:
        return []
    point = _point(table)
    sums = table.group_by([LEVEL, ID], use_threads=False).aggregate([(point, "sum")]).to_pylist()
    found: dict[str, list[tuple[str, float]]] = {}
    for row in sums:
        found.setdefault(str(row[LEVEL]), []).append((str(row[ID]), row[f"{point}_sum"] or 0.0))
    metrics = run.metrics or {}
    scores, judged = metrics.get("levels") or [], metrics.get("judged", "mase")
    views = []
    for name, nodes in found.items():
        largest = sorted(nodes, key=lambda node: -abs(node[1]))[:MOST_NODES]
        views.append(
            LevelView(
                name,
                len(nodes),
                tuple(largest),
                _score(scores, name, point, judged),
                _score(scores, name, f"{point} {BEFORE}", judged),
            )
        )
    return sorted(views, key=lambda view: view.nodes)


def scenarios_of(folder: Path) -> list[ScenarioView]:
    """What `predict --scenario` left in a run's folder, the newest first. Raises
    ModelDamagedError."""
    views = []
    for path in sorted(folder.glob("predictions-*.csv"), reverse=True):
        table = read_table_of(path)
        if table is not None and {SCENARIO, CHANGE} <= set(table.column_names):
            views.append(_scenarios(path.name, table))
    return views


def _scenarios(file: str, table: pa.Table) -> ScenarioView:
    point = _point(table)
    names = tuple(dict.fromkeys(str(n) for n in table.column(SCENARIO).to_pylist()))
    rows = whole_of(table).group_by([TIME, SCENARIO], use_threads=False).aggregate([(point, "sum")])
    by_time: dict[str, dict[str, float]] = {}
    for row in rows.to_pylist():
        by_time.setdefault(row[TIME], {})[str(row[SCENARIO])] = row[f"{point}_sum"] or 0.0
    totals = tuple(sum(of.get(name, 0.0) for of in by_time.values()) for name in names)
    times = tuple(
        (time, tuple(of.get(name, float("nan")) for name in names)) for time, of in by_time.items()
    )
    return ScenarioView(
        file, names, times[:MOST_TIMES], totals, tuple(t - totals[0] for t in totals)
    )


def _point(table: pa.Table) -> str:
    """The column of the network's point forecast: the first behind ids, times and words."""
    return next(n for n in table.column_names if n not in (ID, TIME, LEVEL, SCENARIO))


def _score(rows: list[dict[str, Any]], level: str, model: str, judged: str) -> float | None:
    return next(
        (row.get(judged) for row in rows if row["level"] == level and row["model"] == model), None
    )
