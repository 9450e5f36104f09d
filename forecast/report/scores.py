"""The table of scores as the page shows it: names, numbers, which figure is the best of each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from forecast.report.contents import ReportData, ScoreRow

MEANINGS = {
    "mase": ("MASE", "absolute error relative to seasonal naive on the past; below 1 is better"),
    "smape": ("sMAPE", "symmetric percentage error, 0 to 200"),
    "owa": ("OWA", "sMAPE and MASE relative to Naive2; below 1 is better than Naive2"),
    "wql": ("WQL", "weighted quantile loss: the whole forecast distribution"),
    "rmsse": ("RMSSE", "root mean squared error relative to seasonal naive on the past"),
    "mae": ("MAE", "mean absolute error, in the data's unit"),
    "rmse": ("RMSE", "root mean squared error, in the data's unit"),
    "mape": ("MAPE", "percentage error; undefined where the actual is zero"),
    "scaled_crps": ("sCRPS", "scaled continuous ranked probability score"),
}


@dataclass(frozen=True)
class Cell:
    """One figure: its text, and whether no forecaster has a better one."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class ScoreLine:
    """One forecaster: figures, time, and on which part of the series if not on all."""

    row: ScoreRow
    cells: tuple[Cell, ...]
    seconds: str
    part: str


@dataclass(frozen=True)
class ShownTable:
    """Heads (name, meaning) of the columns, and the lines."""

    heads: tuple[tuple[str, str], ...]
    lines: tuple[ScoreLine, ...]


def score_table(data: ReportData) -> ShownTable:
    """The scores of `data`, metrics in the order of the first row that has them.

    The best of a column is marked among the forecasters that were scored on the most series: a
    mean over the few series that another one finished says nothing about the rest.
    """
    metrics = list(dict.fromkeys(name for row in data.scores for name in row.values))
    most = max((row.series or 0 for row in data.scores), default=0)
    whole = tuple(row for row in data.scores if (row.series or 0) == most)
    best = {name: _best(name, whole) for name in metrics}
    lines = tuple(_line(row, metrics, best, most) for row in data.scores)
    return ShownTable(tuple(meaning(name) for name in metrics), lines)


def _line(row: ScoreRow, metrics: list[str], best: dict[str, float | None], most: int) -> ScoreLine:
    whole = (row.series or 0) == most
    return ScoreLine(
        row,
        tuple(_cell(name, row.values.get(name), best[name] if whole else None) for name in metrics),
        "" if row.seconds is None else duration(row.seconds),
        "" if whole else f"on {row.series or 0:,} of {most:,} series",
    )


def meaning(metric: str) -> tuple[str, str]:
    """A metric's name for people, and what it is."""
    known = MEANINGS.get(metric)
    if known:
        return known
    level = re.fullmatch(r"(coverage|msis)-([\d.]+)", metric)
    if level and level[1] == "coverage":
        return f"{level[2]} % holds", f"share of values inside the {level[2]} % interval"
    if level:
        return f"MSIS {level[2]}", f"mean scaled interval score of the {level[2]} % interval"
    return metric, ""


def figure(value: float) -> str:
    """A figure with three or four digits that count."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e9 else f"{value:.3g}"
    return f"{value:.3g}" if size >= 100 or size < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A span of time for people: under 0.1 s, 4.2 s, 26 s, 5 min 11 s, 2 h 4 min."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else "under 0.1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _best(metric: str, rows: tuple[ScoreRow, ...]) -> float | None:
    """The smallest badness of `metric`: its value, or for a coverage the distance to its level."""
    bad = [_badness(metric, row.values.get(metric)) for row in rows]
    defined = [value for value in bad if math.isfinite(value)]
    return min(defined) if len(defined) > 1 else None


def _badness(metric: str, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        return math.inf
    if metric.startswith("coverage-"):
        return abs(value - float(metric.removeprefix("coverage-")) / 100)
    return value


def _cell(metric: str, value: float | None, best: float | None) -> Cell:
    if value is None or not math.isfinite(value):
        return Cell("–")
    text = f"{100 * value:.1f} %" if metric.startswith("coverage-") else figure(value)
    return Cell(text, best is not None and _badness(metric, value) <= best)
