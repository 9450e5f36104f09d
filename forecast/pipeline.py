"""`train` and `predict` from a table to files, read top to bottom.

Data's way: table -> Panel -> plan -> members -> forecasts on held-out origins -> scores -> files.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.backbone import FOLDER as BACKBONES
from forecast.backbone import kind_of, load_backbone
from forecast.baselines import forecast_baselines_windows
from forecast.cleaning import without_anomalies
from forecast.config import TRAIN_BASELINES, DataSettings, Settings, seconds
from forecast.distributed import Team
from forecast.errors import InputError, UsageError
from forecast.events import Listener
from forecast.features import Design
from forecast.files import whole_folder, write_bytes
from forecast.forecast_table import csv_bytes, forecast_table, wanted_levels
from forecast.forecasts import Forecast
from forecast.held_out import calibrated, lstm_windows
from forecast.learning import forecasters, learn
from forecast.likelihoods import check_counts
from forecast.machine import available_cores
from forecast.memory import PeakMemory
from forecast.metrics import ScoreTable, score_forecasts
from forecast.model_folder import (
    frequency_of,
    load_model,
    model_path,
    newest_model,
)
from forecast.options import show
from forecast.panel import LoadReport, Panel, load_panel, panel_from_frame
from forecast.panel.covariates import FUTURE, check_ahead
from forecast.plan import (
    Plan,
    Reason,
    choose_context,
    choose_horizon,
    choose_layout,
    choose_season,
    choose_validation,
    make_plan,
)
from forecast.prediction import Forecaster, at_levels, forecast_panel
from forecast.run_folder import RunRecord, run_path, write_run
from forecast.samples import path_beside, refuse_too_many, scores_of_paths, write_samples
from forecast.tables.database import is_database

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Source = str | pd.DataFrame

# Settings that say which covariates a model reads, and those that say where they are found.
CHOOSES_COVARIATES = (
    "future_cov", "past_cov", "static_cov", "categorical", "calendar", "holidays", "calendar_tz",
)  # fmt: skip
SAVE_EVERY = 10.0  # seconds between two savings of where a team's training stands
ABOUT_COVARIATES = (*CHOOSES_COVARIATES, "future_covariates", "static")


@dataclass(frozen=True)
class TrainResult:
    """What `train` did: for the screen, for JSON and for Python."""

    folder: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    scores: ScoreTable | None
    files: list[tuple[Path, str]]
    chart: str
    interrupted: bool
    exit_code: int
    seconds: float
    predictions: pa.Table


@dataclass(frozen=True)
class PredictResult:
    """What `predict` did; samples: the file of the sample paths, "" without."""

    path: str
    rows: int
    series: int
    model: Path
    horizon: int
    span: tuple[str, str]
    fallbacks: int
    exit_code: int
    chart: str
    predictions: pa.Table
    samples: str = ""


def train_run(
    source: Source, settings: Settings, listener: Listener, team: Team | None = None
) -> TrainResult | None:
    """Reads, trains, compares, forecasts, and writes the run folder whole or not at all.

    source: a path, "-" or a pandas frame. team: the processes that train together; None is
    returned on all of them but the first. Raises ForecastError.
    """
    clock = Clock(settings)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    shown, masked = _shown(panel, report, settings)
    plan = make_plan(shown, report.seasons, settings)
    check_ahead(panel, plan.horizon)
    listener.stage(f"Training the {plan.title}")
    with PeakMemory() as memory, learning_together(team, report, settings) as kept:
        members, history, interrupted, why = learn(shown, plan, settings, listener, kept, team)
    if team is not None and not team.first:
        return None
    plan = replace(plan, reasons=plan.reasons + masked + why)
    cost = (clock.elapsed(), memory.peak)

    listener.stage("Forecasting the held-out windows")
    scored, final = forecasters(shown, plan, members)
    held_out, upcoming = lstm_forecasts(shown, plan, scored, final, settings, cost)
    for name, made in baseline_forecasts(panel, plan, settings, clock, listener).items():
        held_out[name], upcoming = made[:-1], [*upcoming, made[-1]]
    scores = score(panel, plan, held_out, settings)
    sampled = sampled_scores(shown, panel, plan, scored, settings)

    listener.stage("Writing the results")
    record = RunRecord(
        panel,
        report,
        plan,
        settings,
        final,
        members,
        history,
        held_out,
        upcoming,
        scores,
        interrupted,
        clock.elapsed(),
        sampled=sampled,
    )
    folder = run_path(settings, report.source)
    with whole_folder(folder) as staging:
        files, chart, table = write_run(staging, record, listener)
        if sampled is not None:
            draw_samples(staging / "samples.csv", final, shown, plan.horizon, settings)
            files.append((staging / "samples.csv", "whole futures of each series, step by step"))
    return TrainResult(
        folder,
        report,
        plan.reasons,
        scores,
        [(folder / path.relative_to(staging), what) for path, what in files],
        chart,
        interrupted,
        3 if report.skipped or bool((upcoming[0].source != final.name).any()) else 0,
        clock.elapsed(),
        table,
    )


def predict_run(
    source: Source | None,
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    output: str | None = None,
) -> PredictResult:
    """Forecasts from the end of `source` (default: the file the model was trained on, read again).

    model: run folder or its model folder (default: the newest below the root). output: a path
    (.csv or .parquet), "-" for standard output, "" for none, default predictions.csv of the
    model's run.
    """
    folder = model_path(Path(model)) if model else newest_model(Path(settings.output.root))
    forecaster, manifest = load_model(folder)
    listener.stage("Reading the data")
    panel, report = read_for_model(source, settings, forecaster, manifest, listener)
    horizon = settings.forecast.horizon or forecaster.horizon
    if horizon > forecaster.horizon:
        listener.note(
            f"the model was trained for {forecaster.horizon} steps; the intervals of the steps "
            f"after those are as wide as the last ones"
        )
    listener.stage("Forecasting")
    usual = folder.parent / "predictions.csv"
    return deliver(panel, report, forecaster, horizon, settings, folder, output, usual)


def forecast_run(
    source: Source, settings: Settings, listener: Listener, *, output: str | None = None
) -> PredictResult:
    """Forecasts from the end of `source` with the pretrained network as it is: nothing is trained.

    Intervals are stretched to fit the last origins of the data. output: a path (.csv or .parquet),
    "" for none, default and "-" standard output. Raises ForecastError.
    """
    refuse_covariates(settings)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    listener.stage("Forecasting")
    forecaster, horizon = pretrained(panel, report.seasons, settings, listener)
    model = BACKBONES / kind_of(forecaster.layout)
    return deliver(
        panel, report, forecaster, horizon, settings, model, "-" if output is None else output, None
    )


def pretrained(
    panel: Panel, seasons: tuple[int, ...], settings: Settings, listener: Listener
) -> tuple[Forecaster, int]:
    """The pretrained network with intervals stretched to fit the panel, and the horizon (steps).

    seasons: those that the data confirm, the main one first.
    """
    typical = int(np.median(panel.lengths))
    horizon, why = choose_horizon(panel, settings, seasons, typical)
    season, _ = choose_season(panel, settings, seasons, typical)
    layout, (reading, why_reading) = choose_layout(panel, settings, season, typical)
    listener.note(f"horizon {horizon}: {why}; one LSTM step is {reading}: {why_reading}")
    origins = choose_validation(panel.size, panel.lengths, horizon)
    backbone = replace(load_backbone(layout), context=choose_context(panel, layout))
    return calibrated(backbone, panel, origins, horizon), horizon


def refuse_covariates(settings: Settings) -> None:
    """Raises UsageError where covariates are named for a network that has not learnt from any."""
    for name in ABOUT_COVARIATES:
        value = getattr(settings.data, name)
        if value:
            raise UsageError(
                "the pretrained network has learnt from no covariates, so it can use none",
                code="usage/covariates-untrained",
                where=f"--{name.replace('_', '-')}",
                value=show(value),
                remedy="Train on the data with them: lstmcast train, or leave the option out",
            )


def deliver(
    panel: Panel,
    report: LoadReport,
    forecaster: Forecaster,
    horizon: int,
    settings: Settings,
    model: Path,
    output: str | None,
    usual: Path | None,
) -> PredictResult:
    """Forecasts every series and writes the table to `output`, or to `usual` if that is None."""
    beside = samples_path(settings, output, usual)
    made, table = forecast_of(panel, forecaster, horizon, settings)
    if beside is not None:
        draw_samples(beside, forecaster, panel, horizon, settings)
    path = write_predictions(table, output, usual)
    fallbacks = int((made.source != forecaster.name).sum())
    stamps = table.column("ds")
    return PredictResult(
        path,
        table.num_rows,
        panel.size,
        model,
        horizon,
        (str(stamps[0]), str(stamps[horizon - 1])) if table.num_rows else ("", ""),
        fallbacks,
        3 if fallbacks or report.skipped else 0,
        chart_of_first(panel, made, settings.forecast.level),
        table,
        "" if beside is None else str(beside),
    )


def samples_path(settings: Settings, output: str | None, usual: Path | None) -> Path | None:
    """Where sample paths go, None where none are wanted. Raises UsageError where the forecast goes
    to no file that they could stand beside."""
    if settings.sampling.number is None:
        return None
    where = Path(output) if output not in (None, "", "-") else usual if output is None else None
    if where is None:
        raise UsageError(
            "sample paths go into a file beside the forecast's",
            code="usage/samples-without-file",
            where="--samples",
            value=settings.sampling.number,
            remedy="Name that one: --output forecast.csv, or .parquet",
        )
    return path_beside(where)


def draw_samples(
    path: Path, forecaster: Forecaster, panel: Panel, horizon: int, settings: Settings
) -> None:
    """Writes as many sample paths as the settings ask for. Raises as `write_samples`."""
    number = settings.sampling.number
    assert number is not None
    negative, seed = settings.forecast.allow_negative, settings.training.seed
    write_samples(path, forecaster, panel, horizon, number, seed, allow_negative=negative)


def sampled_scores(
    shown: Panel, panel: Panel, plan: Plan, scored: Forecaster, settings: Settings
) -> dict[str, float] | None:
    """How good sample paths were on the held-out windows; None where none are wanted."""
    number = settings.sampling.number
    if number is None:
        return None
    refuse_too_many(number, plan.horizon)
    negative, seed = settings.forecast.allow_negative, settings.training.seed
    return scores_of_paths(
        scored, shown, panel, plan.origins, plan.horizon, number, seed, allow_negative=negative
    )


def forecast_of(
    panel: Panel, forecaster: Forecaster, horizon: int, settings: Settings
) -> tuple[Forecast, pa.Table]:
    """The forecast of every series, and its table. Raises InputError where covariates lack."""
    if forecaster.design is not None:
        check_ahead(panel, horizon, [entry.name for entry in forecaster.design.of(FUTURE)])
    asked = settings.forecast
    if forecaster.whole:
        check_counts(panel)
    made = forecast_panel(forecaster, panel, horizon, allow_negative=asked.allow_negative)
    made = at_levels(made, wanted_levels(asked.level, asked.quantiles))
    return made, forecast_table(panel, [made], asked.level, asked.quantiles)


def read(source: Source, settings: DataSettings, listener: Listener) -> tuple[Panel, LoadReport]:
    """The panel and what the loader had to say, repairs and warnings passed on to the listener."""
    if isinstance(source, str):
        panel, report = load_panel(source, settings)
    else:
        panel, report = panel_from_frame(source, settings)
    for note in report.repairs:
        listener.note(note.text)
    for note in report.warnings:
        listener.warn(note.code, note.text)
    return panel, report


def read_for_model(
    source: Source | None,
    settings: Settings,
    forecaster: Forecaster,
    manifest: dict[str, Any],
    listener: Listener,
) -> tuple[Panel, LoadReport]:
    """`source` (default: the file that the model was trained on) read as at training, where no
    option says otherwise. Raises InputError when it is of another frequency."""
    data = data_settings(settings, manifest, forecaster.design)
    panel, report = read(_source(source, manifest), data, listener)
    check_grid(panel, manifest)
    return panel, report


def _shown(
    panel: Panel, report: LoadReport, settings: Settings
) -> tuple[Panel, tuple[Reason, ...]]:
    """What the LSTM learns and forecasts from, and how it differs from the panel. All is scored on
    the panel as it is."""
    if not settings.training.mask_anomalies:
        return panel, ()
    return without_anomalies(panel, report.seasons, settings)


@contextmanager
def learning_together(
    team: Team | None, report: LoadReport, settings: Settings
) -> Iterator[tuple[Path, float] | None]:
    """Where a team saves how far it is, below the root of all runs; the folder goes at the end.

    A training of the same data and settings goes on from there, with any number of ranks; by one
    process alone (None) nothing is saved.
    """
    if team is None:
        yield None
        return
    asked = f"{report.digest} {settings.model_dump_json()}"
    name = f".training-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    folder = Path(settings.output.root) / name
    with team.together():
        yield folder, SAVE_EVERY
    if team.first:
        shutil.rmtree(folder, ignore_errors=True)


def lstm_forecasts(
    panel: Panel,
    plan: Plan,
    scored: Forecaster,
    final: Forecaster,
    settings: Settings,
    cost: tuple[float, float],
) -> tuple[dict[str, list[Forecast]], list[Forecast]]:
    """The LSTM's held-out forecasts by column name, and in a list its forecast of the future.

    cost: seconds and bytes of memory that training took; they are the first held-out forecast's.
    """
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    negative = settings.forecast.allow_negative
    tried = lstm_windows(scored, panel, plan.origins, plan.horizon, negative)
    future = lstm_windows(final, panel, panel.lengths[None], plan.horizon, negative)
    if tried:
        tried[0] = replace(tried[0], seconds=tried[0].seconds + cost[0], memory=cost[1])
    return (
        {final.name: [at_levels(each, levels) for each in tried]},
        [at_levels(each, levels) for each in future],
    )


def baseline_forecasts(
    panel: Panel, plan: Plan, settings: Settings, clock: Clock, listener: Listener
) -> dict[str, list[Forecast]]:
    """Each baseline's forecasts from the held-out origins and, last, from the end of the data."""
    names = settings.baselines.chosen(TRAIN_BASELINES)
    if not names:
        return {}
    listener.stage("Fitting the baselines")
    return forecast_baselines_windows(
        panel,
        np.concatenate([plan.origins, panel.lengths[None]]),
        plan.horizon,
        names,
        wanted_levels(settings.forecast.level, settings.forecast.quantiles),
        plan.season,
        clock.left_for(settings.baselines.budget),
        settings.training.jobs or available_cores(),
        listener=listener,
        allow_negative=settings.forecast.allow_negative,
    )


def score(
    panel: Panel, plan: Plan, held_out: dict[str, list[Forecast]], settings: Settings
) -> ScoreTable | None:
    """The score table, or None when no series was long enough to hold a window out."""
    if not len(plan.origins):
        return None
    return score_forecasts(panel, held_out, plan.season, settings.forecast.level)


def chart_of_first(panel: Panel, made: Forecast, levels: Sequence[float]) -> str:
    """The first series' forecast in characters, drawn only where a terminal will show it."""
    if not sys.stdout.isatty() or not made.available[0]:
        return ""
    from forecast.charts import fan_chart, terminal_chart

    return terminal_chart(fan_chart(panel, 0, [made], levels))


def write_predictions(table: pa.Table, output: str | None, usual: Path | None) -> str:
    """Writes the forecast table, whole or not at all; returns where."""
    if output == "":
        return ""
    if output == "-":
        sys.stdout.buffer.write(csv_bytes(table))
        sys.stdout.buffer.flush()
        return "-"
    path = Path(output) if output else usual
    assert path is not None
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink)
        write_bytes(path, bytes(sink.getvalue()))
    else:
        write_bytes(path, csv_bytes(table))
    return str(path)


class Clock:
    """Time since the start, and how much of the deadline is left."""

    def __init__(self, settings: Settings) -> None:
        self.started = time.monotonic()
        deadline = settings.training.deadline
        self.limit = seconds(deadline) if deadline else None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def left_for(self, wanted: float) -> float:
        """`wanted` seconds, or what the deadline leaves when a tenth is kept for writing."""
        if self.limit is None:
            return wanted
        return max(0.1, min(wanted, self.limit * 0.9 - self.elapsed()))


def _source(source: Source | None, manifest: dict[str, Any]) -> Source:
    """The given data, or the file that the model was trained on."""
    if source is not None:
        return source
    path = manifest.get("data", {}).get("path")
    if not path or not (is_database(path) or Path(path).exists()):
        raise InputError(
            "the data that the model was trained on cannot be read again",
            code="input/training-data-gone",
            value=path,
            remedy="Name the file: lstmcast predict DATA",
        )
    return str(path)


def data_settings(
    settings: Settings, manifest: dict[str, Any], design: Design | None
) -> DataSettings:
    """How to read: as at training, unless an option says otherwise now; of covariates, those that
    the model reads. Raises UsageError where an option would change which they are."""
    then = manifest.get("settings", {}).get("data", {})
    now = settings.data.model_dump(include=settings.data.model_fields_set)
    trained = DataSettings(**then)
    for name in CHOOSES_COVARIATES:
        if name in now and now[name] != getattr(trained, name):
            raise UsageError(
                "a trained model reads the covariates and the calendar that it was trained with",
                code="usage/covariates-of-the-model",
                where=f"--{name.replace('_', '-')}",
                value=show(now[name]),
                remedy="Leave the option out here, or train anew with it",
            )
    if design is None:
        then = {name: value for name, value in then.items() if name not in ABOUT_COVARIATES}
        return DataSettings(**{**then, **now})
    ahead = tuple(entry.name for entry in design.of(FUTURE))
    return DataSettings(**{**then, **now, "future_cov": ahead})


def check_grid(panel: Panel, manifest: dict[str, Any]) -> None:
    """Raises InputError when the data are of another frequency than the model's."""
    trained = frequency_of(manifest)
    if (trained.alias, trained.integer) != (panel.frequency.alias, panel.frequency.integer):
        raise InputError(
            f"the data are of another frequency than the model's, {trained.alias}",
            code="input/other-frequency",
            value=panel.frequency.alias,
            remedy="Train a model on these data, or say with --freq what a step is",
        )
