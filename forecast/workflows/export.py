"""The way of `export` from a model folder to files, with the figures of each.

Axes: V validation origins, S series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.files import check_output, one_command, text_kind, write_output
from forecast.common.folders import check_beside, write_beside
from forecast.common.progress import Listener
from forecast.common.resources import check_installed, least_seconds
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.evaluation.scores import ScoreTable
from forecast.inference.onnx.export import (
    forecast_with,
    largest_difference,
    metadata_of,
    quantised,
    session_of,
    to_onnx,
    trial_panel,
)
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.store import load_model, model_path, run_of
from forecast.models.trained_data import newest_trained
from forecast.training.plan import choose_origins, choose_validation
from forecast.training.selection import on_validation_origins
from forecast.workflows.combination import Combination
from forecast.workflows.demand import MEAN, MEDIAN, point_of
from forecast.workflows.load import read_for_model

MOST_LOSS = 0.01  # growth of the validation error at which int8 is not kept
COMPARED = ("wql", "mase")  # what must not grow by more
MODEL, FLOAT, INT8 = "the model", "float32", "int8"


NETWORK = text_kind("an exported network", rb".{0,16}\x12\x08lstmcast")


@dataclass(frozen=True)
class Variant:
    """One form of the forecaster and its figures.

    path: None where no file was written; bytes: of the file, of the model its weights'; seconds:
    for one series, typical; scores: on validation origins, empty where no data were read.
    """

    name: str
    path: Path | None
    size: int
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class ExportResult:
    """What `export` did: the files, their figures, whether int8 was kept (None: not asked), and
    what `predict` does with this model that the file does not."""

    model: Path
    variants: tuple[Variant, ...]
    difference: float
    kept: bool | None
    sentence: str
    beyond: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 where int8 was asked for and not kept."""
        return 3 if self.kept is False else 0


@one_command()
def export_run(
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    int8: bool = False,
    data: str | None = None,
    output: str | None = None,
) -> ExportResult:
    """Writes the ONNX file of a model, and its int8 form if that is as good.

    model: run or model folder (default: the newest below the root). data: what int8 is judged on
    (default: the file that the model was trained on). output: path of the file (default: model.onnx
    in the run folder; int8 beside it). Raises ForecastError.
    """
    check_installed("onnx", "onnx", "export")
    check_installed("onnxruntime", "onnx", "export")
    folder = model_path(Path(model)) if model else newest_trained(Path(settings.output.root))
    path = Path(output) if output else run_of(folder) / "model.onnx"
    paths: dict[str, Path | None] = {FLOAT: path, INT8: path.with_suffix(".int8.onnx")}
    for where in (path, path.with_suffix(".int8.onnx"))[: 1 + int8]:
        if output:
            check_output(where, NETWORK)
        else:
            check_beside(where.parent, where.name, NETWORK)
    forecaster, manifest = load_model(folder)
    listener.stage("Writing the network as a graph")
    point = point_of(Settings(), manifest)
    blobs = {FLOAT: to_onnx(forecaster, metadata_of(forecaster, manifest, point))}
    sessions = {FLOAT: session_of(blobs[FLOAT])}
    difference = largest_difference(forecaster, sessions[FLOAT])
    scores: ScoreTable | None = None
    panel: Panel | None = None
    if int8:
        blobs[INT8] = quantised(blobs[FLOAT])
        sessions[INT8] = session_of(blobs[INT8])
        listener.stage("Reading the data")
        panel, _ = read_for_model(data, settings, folder, forecaster, manifest, listener)
        listener.stage("Forecasting validation origins")
        scores = validation_scores(panel, forecaster, manifest, sessions)
    kept = (scores is not None and growth(scores) <= MOST_LOSS) if int8 else None
    if not kept:
        paths[INT8] = None
    for name, blob in blobs.items():
        place = paths[name]
        if place is not None and output:
            write_output(place, blob, NETWORK)
        elif place is not None:
            write_beside(place.parent, place.name, blob, NETWORK)
    variants = _figures(forecaster, blobs, sessions, paths, scores, panel)
    beyond = beyond_the_file(manifest, point)
    return ExportResult(folder, variants, difference, kept, sentence(kept, scores), beyond)


def beyond_the_file(manifest: dict[str, Any], point: str) -> tuple[str, ...]:
    """What `predict` does with the network's quantiles that the file does not, in words."""
    found = []
    if Settings(**manifest.get("settings", {})).data.hierarchy:
        found.append("predict forecasts the sums of the hierarchy and makes all levels add up; the "
                     "file forecasts each series by itself")  # fmt: skip
    if point == MEAN:
        found.append("predict's point forecast is the mean, not the median; with the file it is "
                     "the sum of its quantiles times mean_weights of its metadata")  # fmt: skip
    elif point != MEDIAN:
        found.append(f"predict's point forecast is the quantile {point}, not the median")
    if combination := Combination.read(manifest):
        found.append(f"predict adds the columns Blend ({combination.in_words()}); the file has the "
                     "network's forecast alone")  # fmt: skip
    return tuple(found)


def validation_scores(
    panel: Panel, forecaster: Forecaster, manifest: dict[str, Any], sessions: dict[str, Any]
) -> ScoreTable | None:
    """The model and the files on the validation origins of its training; None without any."""
    then = Settings(**manifest.get("settings", {}))
    horizon = forecaster.horizon
    held, _ = choose_origins(panel, then, horizon, int(np.median(panel.lengths)))
    keep = held.min(0) if len(held) else panel.lengths
    forecasters: dict[str, Any] = {
        MODEL: lambda past: forecast_panel(forecaster, past, horizon),
        **{name: partial(forecast_with, each, name=name) for name, each in sessions.items()},
    }
    validation = choose_validation(panel.size, keep, horizon)
    return on_validation_origins(panel, validation, forecasters, int(manifest.get("season", 1)))


def growth(scores: ScoreTable) -> float:
    """By what share int8's worst figure is above float32's; infinite where it is not a number."""
    small, full = scores.score(INT8).values, scores.score(FLOAT).values
    shares = [small[name] / full[name] - 1 for name in COMPARED if full.get(name)]
    return float(np.nan_to_num(max(shares, default=np.inf), nan=np.inf))


def sentence(kept: bool | None, scores: ScoreTable | None) -> str:
    """What became of int8, in words; empty where it was not asked for."""
    if kept is None:
        return ""
    if scores is None:
        return "int8 is not kept: there is no validation origin to judge it on."
    apart = f"its validation error differs by {growth(scores):+.2%} from float32's"
    if kept:
        return f"int8 is kept: {apart}."
    return f"int8 is not kept: {apart}, and at most {MOST_LOSS:+.0%} is allowed."


def _figures(
    forecaster: Forecaster,
    blobs: dict[str, bytes],
    sessions: dict[str, Any],
    paths: dict[str, Path | None],
    scores: ScoreTable | None,
    panel: Panel | None,
) -> tuple[Variant, ...]:
    one = _one_series(forecaster, panel)
    calls: dict[str, Any] = {
        MODEL: partial(forecast_panel, forecaster, one, forecaster.horizon),
        **{name: partial(forecast_with, session, one, name) for name, session in sessions.items()},
    }
    sizes = {MODEL: sum(a.nbytes for w in forecaster.members for a in w.values())}
    sizes |= {name: len(blob) for name, blob in blobs.items()}
    return tuple(
        Variant(
            name,
            paths.get(name),
            sizes[name],
            least_seconds(call),
            {k: scores.score(name).values[k] for k in COMPARED} if scores is not None else {},
        )
        for name, call in calls.items()
    )


def _one_series(forecaster: Forecaster, panel: Panel | None) -> Panel:
    """The series that a call is timed on: the longest of the data, or as long as is read."""
    if panel is not None:
        return panel.select(np.array([int(np.argmax(panel.lengths))]))
    return trial_panel(1, forecaster.context * forecaster.layout.width, forecaster.layout.season, 0)
