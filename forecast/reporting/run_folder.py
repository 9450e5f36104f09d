"""Everything that `train` leaves behind, in one folder.

model/ (manifest.json, weights.safetensors), predictions.csv, backtest.csv, metrics.json,
metrics.csv, history.csv, forecast.png, report.html.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import UsageError
from forecast.common.files import failed_to_write, refuse_address, refuse_missing_folders
from forecast.common.folders import check_folder
from forecast.common.marks import FolderKind
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.io.database import lasting
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import LoadReport
from forecast.data.open_steps import rows_ahead
from forecast.data.panel import CUTOFF, TARGET, Panel
from forecast.evaluation.scores import ScoreTable
from forecast.evaluation.significance import verdict
from forecast.inference.point import MEDIAN, quantile_of
from forecast.inference.predict import at_levels
from forecast.inference.tables import csv_bytes, forecast_table, with_level, with_rows_of
from forecast.models.forecaster import Forecaster
from forecast.models.store import save_model
from forecast.models.trained_data import remember
from forecast.training.ensemble import Member
from forecast.training.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.reporting.charts.fan import FanChart

Files = list[tuple[Path, str]]
HISTORY = ("member", "phase", "step", "train_loss", "validation_loss", "best", "learning_rate")


@dataclass(frozen=True)
class RunRecord:
    """All that is known at the end of a training run; more: what else the manifest is to say;
    sampled: how good sample paths were on the held-out windows, where they were asked for; levels:
    (S,) the level of a hierarchy that each series is of; level_scores: a row for each level and
    forecaster; unseen: series without any value and their forecast, as of their class."""

    panel: Panel
    report: LoadReport
    plan: Plan
    settings: Settings
    forecaster: Forecaster
    members: list[Member]
    history: list[dict[str, Any]]
    held_out: dict[str, list[Forecast]]
    upcoming: list[Forecast]
    scores: ScoreTable | None
    interrupted: bool
    seconds: float
    more: dict[str, Any] = field(default_factory=dict)
    sampled: dict[str, float] | None = None
    levels: np.ndarray | None = None
    level_scores: list[dict[str, Any]] = field(default_factory=list)
    unseen: tuple[Panel, Forecast] | None = None


def check_place(settings: Settings, kind: FolderKind, *, replaced: bool = True) -> None:
    """Before any work: raises UsageError where a run's folder of this kind may not be written,
    OutputError where none can be."""
    if settings.output.out:
        check_folder(settings.output.out, kind, replaced=replaced)
        _check_writable(Path(os.path.realpath(settings.output.out)).parent, settings.output.out)
        return
    root = settings.output.root
    refuse_address(root)
    refuse_missing_folders(Path(os.path.realpath(root)) / "run", root)
    if Path(root).is_file():
        raise UsageError(
            "the folder of all runs is a file",
            code="output/foreign-folder",
            where="--root",
            value=root,
            remedy="Name a folder, or leave --root out: runs",
        )
    _check_writable(Path(os.path.realpath(root)), root)


def _check_writable(folder: Path, called: str) -> None:
    """Raises OutputError where nothing can be made in `folder`, or in what it will be in."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise failed_to_write(Path(called), PermissionError(errno.EACCES, "Permission denied"))


def run_path(settings: Settings, source: str, kind: str = "") -> Path:
    """The run's folder: as asked, or below the root by the data's name and the time, `kind` before
    them, which is made at once: the name is then taken for every other process. Raises
    OutputError."""
    if settings.output.out:
        return Path(settings.output.out)
    stem = Path(source).name.split(".")[0] if source not in ("<stdin>", "<frame>") else source
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:60] or "data"
    first = Path(settings.output.root) / f"{kind}{safe}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = first, 2
    try:
        first.parent.mkdir(parents=True, exist_ok=True)
        while not _is_taken_by_us(path):
            path = first.with_name(f"{first.name}.{number}")
            number += 1
    except OSError as error:
        raise failed_to_write(path, error) from error
    return path


def _is_taken_by_us(path: Path) -> bool:
    """Makes an empty folder, which goes when the process ends and nothing was written; False where
    something has that name already. Raises OSError."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    atexit.register(_remove_empty, os.path.abspath(path))
    return True


def _remove_empty(folder: str) -> None:
    with suppress(OSError):
        os.rmdir(folder)


def _forecasts(record: RunRecord) -> pa.Table:
    """The table of the forecasts of the future, series without any value at the level of their
    class among them."""
    asked, horizon, made = record.settings.forecast, record.plan.horizon, record.upcoming
    table = forecast_table(record.panel, made, asked.level, asked.quantiles, horizon)
    if record.unseen is None:
        return table
    panel, new = record.unseen
    new = at_levels(new, made[0].levels)
    names = [each.name for each in made]
    return with_rows_of(table, panel, new, names, asked.level, asked.quantiles, horizon)


def write_run(folder: Path, record: RunRecord) -> tuple[Files, str, pa.Table]:
    """Writes all files below the existing `folder`.

    Returns them, a chart for the terminal and the forecast table.
    """
    files: Files = []

    def write(name: str, content: bytes, what: str) -> None:
        (folder / name).write_bytes(content)
        files.append((folder / name, what))

    table = _forecasts(record)
    table = with_level(table, record.panel, record.levels)
    beside = ", beside the baselines" if len(record.upcoming) > 1 else ""
    write("predictions.csv", csv_bytes(table), f"the forecast, with intervals{beside}")
    save_model(folder / "model", record.forecaster, record.panel.frequency, about(record))
    files.append((folder / "model", "the trained model: lstmcast predict --model takes it"))
    if record.scores is not None:
        document = metrics_document(record)
        write(
            "metrics.json",
            _json(document),
            "all scores: overall, by step ahead, unavailable series",
        )
        write("metrics.csv", rows_csv(record.scores.to_rows()), "the score table")
        if record.level_scores:
            what = "the score table of each level, before and after reconciliation"
            write("levels.csv", rows_csv(record.level_scores), what)
        write(
            "backtest.csv",
            csv_bytes(held_out_table(record)),
            "held-out forecasts beside the actuals",
        )
    write(
        "history.csv", rows_csv(record.history, HISTORY), "loss and learning rate through training"
    )
    chart = draw(folder, record, files)
    write("report.html", report_page(record), "scores, charts and settings as a page to look at")
    return files, chart, table


def report_page(record: RunRecord) -> bytes:
    """The HTML report of the run."""
    from forecast.reporting.html.gather import run_report
    from forecast.reporting.html.page import render_report

    data = run_report(
        record.panel,
        record.report,
        record.held_out,
        record.upcoming,
        record.scores,
        record.settings,
        history=record.history,
        chosen=record.plan.reasons,
        members=len(record.plan.seeds),
        level_scores=record.level_scores,
        horizon=record.plan.horizon,
    )
    return as_bytes(render_report(data))


def about(record: RunRecord) -> dict[str, Any]:
    """What the manifest says beyond the network itself."""
    report = record.report
    given = record.settings.model_dump(mode="json", exclude_unset=True)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            **report.to_dict(),
            "path": lasting(report.source),
            "past": remember(record.panel),
        },
        "settings": given,
        "chosen": [{"name": n, "value": v, "why": why} for n, v, why in record.plan.reasons],
        "season": record.plan.season,
        "training": {
            "seeds": record.plan.seeds,
            "recipe": {
                "forks" if k == "origins_per_window" else k: v
                for k, v in record.plan.config.document().items()
                if k != "levels"
            },
            "members": [
                {
                    "best_step": m.best_step,
                    "best_loss": _number(m.best_loss),
                    "ended": m.ended,
                    "device": m.device,
                }
                for m in record.members
            ],
            "interrupted": record.interrupted,
        },
        "scores": record.scores.to_rows() if record.scores is not None else [],
        **record.more,
    }


def metrics_document(record: RunRecord) -> dict[str, Any]:
    """metrics.json: the whole score table with the verdict."""
    assert record.scores is not None
    return {
        "schema_version": 1,
        "verdict": verdict(record.scores),
        "seconds": round(record.seconds, 3),
        **({"samples": record.sampled} if record.sampled is not None else {}),
        **record.scores.to_dict(),
        **({"levels": record.level_scores} if record.level_scores else {}),
    }


def held_out_table(record: RunRecord) -> pa.Table:
    """Held-out forecasts in the long format: unique_id, ds, cutoff, y, a column per forecaster; the
    quantile by which they are judged, if they are, among the others."""
    import pyarrow as pa

    panel, parts, asked = record.panel, [], record.settings.forecast
    own = quantile_of(record.scores.point if record.scores is not None else MEDIAN)
    quantiles = tuple(dict.fromkeys((*asked.quantiles, *([] if own is None else [own]))))
    for window in range(len(record.plan.origins)):
        made = [each[window] for each in record.held_out.values()]
        origins = made[0].origins
        scored = np.flatnonzero(origins < panel.lengths)
        if not len(scored):
            continue
        some = panel.select(scored)
        chosen = [_rows(forecast, scored) for forecast in made]
        table = forecast_table(some, chosen, asked.level, quantiles)
        kept = np.flatnonzero(np.any([f.available for f in chosen], axis=0))
        horizon = made[0].point.shape[1]
        series, step, _ = rows_ahead(some, kept, origins[scored], horizon, None)
        cutoffs = some.frequency.stamps((some.first + origins[scored] - 1)[kept])
        written = format_stamps(cutoffs, panel.time_format, panel.tz)
        actual = some.window(origins[scored], horizon)[kept[series], step]
        table = table.add_column(2, CUTOFF, written.take(pa.array(series)))
        table = table.add_column(3, TARGET, pa.array(actual, pa.float64(), from_pandas=True))
        parts.append(with_level(table, panel, record.levels))
    return pa.concat_tables(parts, promote_options="default")


def draw(folder: Path, record: RunRecord, files: Files) -> str:
    """The chart of the first series: a PNG of the last held-out window, the future as text."""
    from forecast.reporting.charts.fan import fan_chart
    from forecast.reporting.charts.image import forecast_png
    from forecast.reporting.charts.terminal import terminal_chart

    levels = record.settings.forecast.level
    shown = [f for f in record.upcoming if f.name != "SeasonalNaive" or len(record.upcoming) == 1]
    windows = len(record.plan.origins)
    if windows:
        first = int(np.argmax(record.plan.origins[-1] < record.panel.lengths))
        tried = [made[-1] for made in record.held_out.values()]
        picture: FanChart = fan_chart(record.panel, first, tried[:2], levels)
        path = forecast_png(folder / "forecast.png", picture)
        files.append((path, "a held-out window of the first series, forecast and actual"))
    if not record.upcoming[0].available[0]:
        return ""
    most = record.plan.horizon
    return terminal_chart(fan_chart(record.panel, 0, shown[:1], levels, most=most))


def rows_csv(rows: Iterable[Mapping[str, Any]], names: Iterable[str] | None = None) -> bytes:
    """Rows of plain values as CSV; empty where a value is missing or not a number."""
    import csv
    import io

    rows = list(rows)
    header = list(names) if names is not None else list(rows[0]) if rows else []
    text = io.StringIO()
    writer = csv.DictWriter(text, header, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v is None or v != v else v for k, v in row.items()})
    return as_bytes(text.getvalue())


def _rows(forecast: Forecast, rows: np.ndarray) -> Forecast:
    return Forecast(
        name=forecast.name,
        origins=forecast.origins[rows],
        point=forecast.point[rows],
        levels=forecast.levels,
        quantiles=forecast.quantiles[rows],
        source=forecast.source[rows],
        available=forecast.available[rows],
        seconds=forecast.seconds,
        notes=forecast.notes,
        memory=forecast.memory,
    )


def _json(document: Any) -> bytes:
    return as_bytes(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
