"""`train` from a table to a run folder, read top to bottom.

Data's way: table -> Panel -> plan -> members -> forecasts on held-out origins -> scores -> files.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.files import one_command
from forecast.common.folders import remove_folder, whole_folder
from forecast.common.marks import RUN, TRAINING
from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory, available_cores
from forecast.config.schema import TRAIN_BASELINES, Settings, seconds
from forecast.data.forecast import Forecast
from forecast.data.load import LoadReport
from forecast.data.panel import Panel, check_ahead
from forecast.evaluation.sample_paths import scores_of_paths
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.inference.predict import at_levels
from forecast.inference.sample_paths import refuse_too_many
from forecast.inference.tables import wanted_levels
from forecast.models.baselines.forecast import forecast_baselines_windows
from forecast.models.forecaster import Forecaster
from forecast.reporting.run_folder import RunRecord, check_place, run_path, write_run
from forecast.training.distributed import Team
from forecast.training.plan import (
    Plan,
    Reason,
    make_plan,
)
from forecast.training.selection import forecasters, learn, lstm_windows
from forecast.workflows.load import read, to_learn_from
from forecast.workflows.predict import draw_samples

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.workflows.load import Source

SAVE_EVERY = 10.0  # seconds between two savings of where a team's training stands


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


@one_command()
def train_run(
    source: Source, settings: Settings, listener: Listener, team: Team | None = None
) -> TrainResult | None:
    """Reads, trains, compares, forecasts, and writes the run folder whole or not at all.

    source: a path, "-" or a pandas frame. team: the processes that train together; None is
    returned on all of them but the first. Raises ForecastError.
    """
    clock = Clock(settings)
    check_place(settings, RUN)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    shown, masked = to_learn_from(panel, report, settings)
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
    return written(record, shown, clock)


def written(record: RunRecord, shown: Panel, clock: Clock) -> TrainResult:
    """Writes the run folder. shown: the panel as it was learnt from, which sample paths go on
    from. Raises OutputError."""
    report, settings, horizon = record.report, record.settings, record.plan.horizon
    folder = run_path(settings, report.source)
    with whole_folder(folder, RUN) as staging:
        files, chart, table = write_run(staging, record)
        if record.sampled is not None:
            draw_samples(staging / "samples.csv", record.forecaster, shown, horizon, settings)
            files.append((staging / "samples.csv", "whole futures of each series, step by step"))
    replaced = bool((record.upcoming[0].source != record.forecaster.name).any())
    return TrainResult(
        folder,
        report,
        record.plan.reasons,
        record.scores,
        [(folder / path.relative_to(staging), what) for path, what in files],
        chart,
        record.interrupted,
        3 if report.skipped or replaced else 0,
        clock.elapsed(),
        table,
    )


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
        remove_folder(folder, TRAINING)


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
