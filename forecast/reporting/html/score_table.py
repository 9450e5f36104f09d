"""The table of scores as the page shows it: names, numbers, which figure is the best of each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from forecast.reporting.html.contents import ReportData, ScoreRow

MEANINGS = {
    "mase": ("MASE", "mean error as a multiple of seasonal naive's on the past; below 1 is better"),
    "smape": ("sMAPE", "error in per cent of the size of forecast and value, from 0 to 200"),
    "owa": ("OWA", "mean of sMAPE and MASE as multiples of Naive2's; below 1 is better than it"),
    "wql": ("WQL", "error of the whole distribution, as a share of the values' size"),
    "rmsse": ("RMSSE", "like MASE, with large errors counting more"),
    "mae": ("MAE", "mean error, in the unit of the data"),
    "crps": ("CRPS", "mean error of the whole distribution, in the unit of the data"),
    "rmse": ("RMSE", "error in the unit of the data, large ones counting more"),
    "mape": ("MAPE", "mean error in per cent of the value; undefined where that is zero"),
    "wape": ("WAPE", "sum of all errors as a share of the sum of the values"),
    "bias_pct": ("bias", "sum of the forecasts less that of the values, in per cent of it"),
    "bias": ("mean error", "mean of forecast less value, in the unit of the data"),
    "pis": ("PIS", "pieces too many in stock times steps that they lie there; below 0: lacking"),
    "service_level": ("service level", "share of the steps whose demand the stock would have met"),
    "stock_cost": ("stock cost", "mean cost of a step, of pieces too few and too many"),
    "scaled_crps": ("sCRPS", "CRPS as a share of the values' size, series by series"),
}


FIRST = ("mase", "smape", "owa", "wql", "rmse")  # with the coverages; the rest on request


@dataclass(frozen=True)
class Head:
    """One column: a metric's name for people, what it is, and whether it is shown on request."""

    name: str
    what: str
    extra: bool


@dataclass(frozen=True)
class Cell:
    """One figure: its text, and whether no forecaster has a better one; extra: as its column."""

    text: str
    best: bool = False
    extra: bool = False


@dataclass(frozen=True)
class ScoreLine:
    """One forecaster: figures, time, memory, and on which part of the series if not on all."""

    row: ScoreRow
    cells: tuple[Cell, ...]
    seconds: str
    memory: str
    part: str


@dataclass(frozen=True)
class ShownTable:
    """Heads of the columns, the lines, and whether there is a column of memory."""

    heads: tuple[Head, ...]
    lines: tuple[ScoreLine, ...]
    memory: bool


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
    heads = tuple(Head(*meaning(name), _extra(name)) for name in metrics)
    return ShownTable(heads, lines, any(line.memory for line in lines))


def _line(row: ScoreRow, metrics: list[str], best: dict[str, float | None], most: int) -> ScoreLine:
    whole = (row.series or 0) == most
    return ScoreLine(
        row,
        tuple(_cell(name, row.values.get(name), best[name] if whole else None) for name in metrics),
        "" if row.seconds is None else duration(row.seconds),
        "" if row.memory is None else f"{row.memory / 2**20:,.0f} MB",
        "" if whole else f"on {row.series or 0:,} of {most:,} series",
    )


def meaning(metric: str) -> tuple[str, str]:
    """A metric's name for people, and what it is."""
    known = MEANINGS.get(metric)
    if known:
        return known
    level = re.fullmatch(r"(coverage|msis)-([\d.]+)", metric)
    if level and level[1] == "coverage":
        what = f"how often the value lay inside the {level[2]} % interval; best when that often"
        return f"coverage {level[2]} %", what
    if level:
        what = f"width of the {level[2]} % interval and a penalty for each value outside, scaled"
        return f"MSIS {level[2]} %", what
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
        return Cell("–", extra=_extra(metric))
    text = f"{100 * value:.1f} %" if metric.startswith("coverage-") else figure(value)
    return Cell(text, best is not None and _badness(metric, value) <= best, _extra(metric))


def _extra(metric: str) -> bool:
    """Whether a metric is one of those that most readers do not look for first."""
    return metric not in FIRST and not metric.startswith("coverage-")
