"""What the page's script draws, as a JSON document of moderate size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from forecast.reporting.charts.fan import clean_label
from forecast.reporting.html.contents import LearningCurve, ReportData
from forecast.reporting.html.packing import json_number, packed_series
from forecast.reporting.html.score_table import score_table

POINTS = 600  # of one curve; a longer one is thinned


def payload(data: ReportData) -> dict[str, Any]:
    """All that is drawn: the packed series, and the curves of the other charts."""
    models = model_names(data)
    return {
        "models": [clean_label(name, 30) for name in models],
        "parts": {
            clean_label(line.row.model, 30): line.part
            for line in score_table(data).lines
            if line.part
        },
        "headline": clean_label(data.headline, 30),
        "rival": clean_label(data.rival, 30),
        "total": max(data.total_series, len(data.series)),
        "packed": packed_series(data.series, models),
        "stepMetric": clean_label(data.step_metric, 30),
        "steps": [
            [clean_label(name, 30), *_thinned(np.arange(1, len(values) + 1), values)]
            for name, values in data.step_errors.items()
        ],
        "reliability": [
            [clean_label(name, 30), _numbers(each.promised), _numbers(each.observed)]
            for name, each in data.reliability.items()
        ],
        "residuals": [
            [
                clean_label(name, 30),
                _numbers(each.autocorrelation[:POINTS]),
                json_number(each.limit),
            ]
            for name, each in data.residuals.items()
        ],
        "learning": [_learning(curve, 6 * POINTS // len(data.learning)) for curve in data.learning],
    }


def model_names(data: ReportData) -> list[str]:
    """All forecasters of the page in one order, which is that of their colours.

    The main one of the first chart, those with scores in the order of the table, then the others.
    """
    names = [entry.chart.main for entry in data.series[:1] if entry.chart.main]
    names += [row.model for row in data.scores]
    for entry in data.series:
        names += entry.chart.medians
    return list(dict.fromkeys([*names, *data.step_errors]))


def _learning(curve: LearningCurve, points: int) -> dict[str, Any]:
    """One network's curves, each with its own steps: what was not measured is left out."""
    return {
        "name": clean_label(curve.name, 30),
        "training": _thinned(curve.steps, curve.training, points),
        "validation": _thinned(curve.steps, curve.validation, points),
        "rate": _thinned(curve.steps, curve.rate, points),
    }


def _thinned(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> list[list[float | None]]:
    """x and y where y is known, evenly thinned to at most `points`, first and last kept."""
    known = np.flatnonzero(np.isfinite(y))
    points = min(points, POINTS)
    if len(known) > points:
        known = known[np.unique(np.linspace(0, len(known) - 1, max(points, 2)).astype(int))]
    return [_numbers(np.asarray(x)[known]), _numbers(np.asarray(y)[known])]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [json_number(float(value)) for value in values]
