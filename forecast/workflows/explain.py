"""`explain`: what moved one series' forecast, from a model and a table to files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.analysis.attribution import (
    COLUMNS,
    Explanation,
    covariate_rows,
    csv_text,
    explain,
    explained_point,
    to_document,
)
from forecast.common.documents import as_bytes
from forecast.common.errors import InputError, UsageError
from forecast.common.files import (
    FileKind,
    check_output,
    one_command,
    table_kind,
    text_kind,
    write_output,
)
from forecast.common.folders import check_beside, write_beside
from forecast.common.progress import Listener
from forecast.common.resources import check_installed
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.inference.point import quantile_of
from forecast.inference.predict import LEAST_VALUES
from forecast.models.store import run_of
from forecast.reporting.charts.image import CHART, ExplanationChart, explanation_image
from forecast.reporting.finished_run import DOCUMENT, PICTURE
from forecast.workflows.demand import point_of
from forecast.workflows.load import find_model

if TYPE_CHECKING:
    from forecast.workflows.load import Source

TABLE = "explanation.csv"
SCHEMA_VERSION = 1  # of the document
SEARCHED = 10_000  # ids among which a mistyped one is looked for


@dataclass(frozen=True)
class ExplainResult:
    """What `explain` found, and the files it wrote."""

    model: Path
    found: Explanation
    files: list[Path]


@one_command()
def explain_run(
    source: Source | None,
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    series: str | None = None,
    step: int | None = None,
    output: str | None = None,
) -> ExplainResult:
    """Explains the forecast from the end of `series` (default: the first) of `source` (default: the
    file that the model was trained on).

    step: of the forecast, from 1 (default: all). output: a file ending in .csv, .json, .png or
    .svg, "" for none; default: table, document and picture in the model's run folder, where
    `report` finds them. Raises ForecastError.
    """
    check_installed("captum", "explain", "explain")
    if output:
        check_output(output, _kind(Path(output)))
    found_model = find_model(source, settings, listener, model)
    folder, forecaster, panel = found_model.folder, found_model.forecaster, found_model.panel
    if output is None:
        for name in USUAL:
            check_beside(run_of(folder), name, _kind(Path(name)))
    horizon = settings.forecast.horizon or forecaster.horizon
    number = _number(panel, series)
    if step is not None and not 1 <= step <= horizon:
        raise UsageError(
            f"the forecast has steps 1 to {horizon}",
            code="explain/no-such-step",
            where="--step",
            value=step,
            remedy="Choose one of these, or a longer --horizon",
        )
    point, explained = point_of(settings, found_model.manifest), explained_point(forecaster)
    if point != explained:
        said = f"the quantile {point}" if quantile_of(point) else f"the {point}"
        listener.warn(
            "explain/point",
            f"the {explained} is explained, and the point forecast of predict is {said}",
        )
    listener.stage("Explaining the forecast")
    first = None if step is None else step - 1
    seed = settings.training.seed

    def report(done: int, of: int) -> None:
        listener.progress(done, of, {})

    found = explain(forecaster, panel, number, horizon, first, seed, report)
    return ExplainResult(folder, found, _written(found, folder, output))


def _number(panel: Panel, series: str | None) -> int:
    """The series' number. Raises UsageError for an unknown one, InputError for one too short."""
    number = 0
    if series is not None:
        if series not in set(panel.ids.tolist()):
            ids = panel.ids[:SEARCHED].tolist()
            near = get_close_matches(series, ids, n=3, cutoff=0.5)
            raise UsageError(
                "the data have no such series",
                code="explain/unknown-series",
                where="--series",
                value=series,
                remedy=f"Did you mean {', '.join(near)}?"
                if near
                else f"There are: {', '.join(ids[:5])}",
            )
        number = int(np.flatnonzero(panel.ids == series)[0])
    count = int(np.isfinite(panel.series(number)).sum())
    if count < LEAST_VALUES:
        raise InputError(
            "the series is too short for a forecast of the network's own",
            code="explain/too-short",
            where=f"series {panel.ids[number]}",
            value=count,
            remedy=f"Name one of at least {LEAST_VALUES} values with --series",
        )
    return number


USUAL = (TABLE, DOCUMENT, PICTURE)  # names in the run's folder
KINDS: dict[str, FileKind] = {
    ".csv": table_kind("an explanation", lambda columns: tuple(columns) == COLUMNS),
    ".json": text_kind("an explanation", rb'\s*\{\s*"schema_version": \d+,\s*"series": "'),
    ".png": CHART,
    ".svg": CHART,
}


def _kind(path: Path) -> FileKind:
    if path.suffix.lower() not in KINDS:
        raise UsageError(
            "an explanation is written as a table, a document or a picture",
            code="explain/format",
            where="--output",
            value=str(path),
            remedy="Give a name that ends in .csv, .json, .png or .svg",
        )
    return KINDS[path.suffix.lower()]


def _written(found: Explanation, folder: Path, output: str | None) -> list[Path]:
    if output == "":
        return []
    if output is not None:
        path = Path(output)
        write_output(path, _content(found, path), _kind(path))
        return [path]
    run = run_of(folder)
    contents = {name: _content(found, run / name) for name in USUAL}
    return [write_beside(run, n, content, _kind(Path(n))) for n, content in contents.items()]


def _content(found: Explanation, path: Path) -> bytes:
    kind = path.suffix.lower()
    if kind == ".csv":
        return as_bytes(csv_text(found))
    if kind == ".json":
        document = {"schema_version": SCHEMA_VERSION, **to_document(found)}
        return as_bytes(json.dumps(_plain(document), ensure_ascii=False, indent=1) + "\n")
    return explanation_image(chart_of(found), "svg" if kind == ".svg" else "png")


def chart_of(found: Explanation) -> ExplanationChart:
    """The picture's contents."""
    length = found.past.contribution.shape[1]
    every = len(found.steps) > 1 or len(found.point) == 1
    panel = found.panel
    end = int(panel.first[0] + panel.lengths[0])
    return ExplanationChart(
        title=found.series,
        what="mean of all steps" if every else f"step {found.numbers[0] + 1}",
        times=panel.frequency.stamps(np.arange(end - length, end + len(found.point))),
        past=panel.values[-length:],
        contribution=found.past.contribution.mean(0),
        ahead=found.point,
        by_lag=found.past.by_lag(),
        covariates=[
            (row["name"], row["contribution"], np.nan_to_num(row["importance"]))
            for row in covariate_rows(found)
        ],
        attention=found.inside.attention,
    )


def _plain(value: object) -> object:
    """NaN as null, throughout."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
