"""Everything that `backtest` leaves behind, in one folder.

manifest.json, backtest.csv, metrics.json, metrics.csv, series.csv, history.csv, report.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import as_bytes, sealed
from forecast.config.schema import Settings
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import LoadReport
from forecast.data.panel import ID
from forecast.evaluation.rolling import Backtest, backtest_table, held_out
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.evaluation.significance import Comparison, pair_document, with_more
from forecast.inference.tables import csv_bytes
from forecast.models.store import MANIFEST, versions
from forecast.reporting.run_folder import HISTORY, rows_csv
from forecast.workflows.backtest_plan import BacktestPlan

if TYPE_CHECKING:
    import pyarrow as pa

Files = list[tuple[Path, str]]
SCHEMA_VERSION = 1
MANIFEST_VERSION = 2  # version 1 had no sum of its own
FORMAT = "lstmcast-backtest"


@dataclass(frozen=True)
class BacktestRecord:
    """All that is known at the end of a backtest.

    rivals: the forecasters that the verdict compares the LSTM with
    """

    report: LoadReport
    plan: BacktestPlan
    settings: Settings
    result: Backtest
    history: list[dict[str, Any]]
    pairs: list[Comparison]
    rivals: tuple[str, ...]
    verdict: str
    about_arima: str
    models: Mapping[str, str]
    interrupted: bool
    seconds: float


def write_backtest(folder: Path, record: BacktestRecord) -> tuple[Files, pa.Table]:
    """Writes all files into the existing `folder`.

    Returns them with what each is, and the table of all forecasts.
    """
    levels, scores = record.settings.forecast.level, record.result.scores
    table = backtest_table(record.result, levels, as_written=True)
    contents = (
        (MANIFEST, _json(sealed(about(record))), "data, settings and choices of this backtest"),
        (
            "backtest.csv",
            csv_bytes(table),
            "every forecast beside the actual, with its cutoff",
        ),
        (
            "metrics.json",
            _json(metrics_document(record)),
            "all scores: overall, by origin, by step ahead; every comparison",
        ),
        ("metrics.csv", rows_csv(scores.to_rows()), "the score table"),
        ("series.csv", csv_bytes(series_table(scores)), "all scores of each series"),
        ("history.csv", rows_csv(record.history, HISTORY), "loss and learning rate in training"),
        ("report.html", page(record), "scores, charts and settings as a page to look at"),
    )
    for name, content, _ in contents:
        (folder / name).write_bytes(content)
    return [(folder / name, what) for name, _, what in contents], table


def about(record: BacktestRecord) -> dict[str, Any]:
    """manifest.json: what was read and decided; with it the page can be made again."""
    report = record.report
    path = Path(report.source)
    return {
        "schema_version": MANIFEST_VERSION,
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "data": {**report.to_dict(), "path": str(path.resolve()) if path.exists() else None},
        "settings": record.settings.model_dump(mode="json", exclude_unset=True),
        "chosen": [{"name": n, "value": v, "why": why} for n, v, why in record.plan.reasons],
        "season": record.plan.training.season,
        "gap": record.plan.gap,
        "refit": record.settings.evaluation.refit,
        "models": dict(record.models),
        "rivals": list(record.rivals),
        "interrupted": record.interrupted,
    }


def metrics_document(record: BacktestRecord) -> dict[str, Any]:
    """metrics.json: the score table with the verdict, every comparison, and scores by origin."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": record.verdict,
        "against_arima": record.about_arima or None,
        "comparisons": [pair_document(pair) for pair in record.pairs],
        "gap": record.plan.gap,
        "refit": record.settings.evaluation.refit,
        "seconds": round(record.seconds, 3),
        **record.result.scores.to_dict(),
        "origins": origin_rows(record.result, record.settings.forecast.level),
    }


def origin_rows(result: Backtest, levels: Sequence[float]) -> list[dict[str, Any]]:
    """One row per origin and forecaster, pooled over the series of that origin alone.

    cutoff_first and cutoff_last: the times of the last observation seen, the earliest and the
    latest of all series, as the input writes times.
    """
    rows = []
    scored = held_out(result.panel, result.origins)
    for window in np.flatnonzero(scored.any(axis=1)).tolist():
        made = {name: each[window : window + 1] for name, each in result.forecasts.items()}
        season = result.scores.season
        table = score_forecasts(result.panel, made, season, levels, result.gap)
        first, last = _cutoffs(result, window, scored[window])
        place = {"origin": window + 1, "cutoff_first": first, "cutoff_last": last}
        rows += [{**place, **row} for row in table.to_rows()]
    return rows


def _cutoffs(result: Backtest, window: int, scored: np.ndarray) -> tuple[Any, Any]:
    panel = result.panel
    seen = (panel.first + result.origins[window] - 1)[scored]
    stamps = panel.frequency.stamps(np.array([seen.min(), seen.max()]))
    first, last = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
    return first, last


def series_table(scores: ScoreTable) -> pa.Table:
    """Means over the origins, a row for each series and forecaster: unique_id, model, metrics."""
    import pyarrow as pa

    names = list(scores.per_series)
    metrics = [
        metric
        for metric in scores.metrics
        if any(metric in each for each in scores.per_series.values())
    ]
    size = len(scores.ids)
    order = np.repeat(np.arange(size), len(names))
    empty = np.full(size, np.nan)
    columns: dict[str, pa.Array] = {
        ID: as_strings(scores.ids.tolist()).take(as_arrow(order)),
        "model": as_strings(names).take(as_arrow(np.tile(np.arange(len(names)), size))),
    }
    for metric in metrics:
        each = [scores.per_series[name].get(metric, empty) for name in names]
        flat = np.stack(each, axis=1).reshape(-1)
        columns[metric] = pa.array(flat, mask=~np.isfinite(flat))
    return pa.table(columns)


def page(record: BacktestRecord) -> bytes:
    """The HTML report of the backtest."""
    from forecast.reporting.html.gather import run_report
    from forecast.reporting.html.page import render_report

    data = run_report(
        record.result.panel,
        record.report,
        record.result.forecasts,
        [],
        record.result.scores,
        record.settings,
        history=record.history,
        chosen=record.plan.reasons,
        rivals=record.rivals,
    )
    words = with_more(record.verdict, record.about_arima)
    return as_bytes(render_report(replace(data, verdict=words)))


def _json(document: Any) -> bytes:
    return as_bytes(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
