"""The table of scores as the page shows it: names, numbers, which figure is the best of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from forecast.common.durations import duration
from forecast.evaluation.catalogue import metric_named
from forecast.reporting.html.contents import ReportData, ScoreRow

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
    """The scores of `data`: the metric that judges, then those of the first row that has them.

    The best of a column is marked among the forecasters that were scored on the most series: a
    mean over the few series that another one finished says nothing about the rest.
    """
    known = dict.fromkeys(name for row in data.scores for name in row.values)
    metrics = sorted(known, key=lambda name: name != data.headline)
    most = max((row.series or 0 for row in data.scores), default=0)
    whole = tuple(row for row in data.scores if (row.series or 0) == most)
    best = {name: _best(name, whole) for name in metrics}
    extra = {name: _is_extra(name, data.headline) for name in metrics}
    lines = tuple(_line(row, extra, best, most) for row in data.scores)
    named = [metric_named(name) for name in metrics]
    heads = tuple(Head(each.heading, each.meaning, extra[each.name]) for each in named)
    return ShownTable(heads, lines, any(line.memory for line in lines))


def _line(
    row: ScoreRow, extra: dict[str, bool], best: dict[str, float | None], most: int
) -> ScoreLine:
    whole = (row.series or 0) == most
    return ScoreLine(
        row,
        tuple(
            _cell(name, row.values.get(name), best[name] if whole else None, aside)
            for name, aside in extra.items()
        ),
        "" if row.seconds is None else duration(row.seconds, tenths_below=10),
        "" if row.memory is None else f"{row.memory / 2**20:,.0f} MB",
        "" if whole else f"on {row.series or 0:,} of {most:,} series",
    )


def figure(value: float) -> str:
    """A figure with three or four digits that count."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e9 else f"{value:.3g}"
    return f"{value:.3g}" if size >= 100 or size < 0.001 else f"{value:.3f}"


def _best(metric: str, rows: tuple[ScoreRow, ...]) -> float | None:
    """The smallest badness of `metric`, where there are two to compare."""
    bad = [metric_named(metric).badness(row.values.get(metric)) for row in rows]
    defined = [value for value in bad if math.isfinite(value)]
    return min(defined) if len(defined) > 1 else None


def _cell(metric: str, value: float | None, best: float | None, extra: bool) -> Cell:
    if value is None or not math.isfinite(value):
        return Cell("–", extra=extra)
    named = metric_named(metric)
    is_best = best is not None and named.badness(value) <= best
    if metric.startswith("coverage-"):
        text = f"{100 * value:.1f}%"
    elif named.form[-2:] == "f}" and abs(value) < 1000:  # as on the terminal: a column lines up
        text = named.form.format(value)
    else:
        text = figure(value)
    return Cell(text, is_best, extra)


def _is_extra(metric: str, headline: str) -> bool:
    """Whether a metric is one of those that most readers do not look for first."""
    return metric not in (*FIRST, headline) and not metric.startswith("coverage-")
