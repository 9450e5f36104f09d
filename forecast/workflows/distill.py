"""The way of `distill`: a small student of a trained model, as an ordinary run folder.

Axes: V validation origins, S series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.files import one_command
from forecast.common.folders import whole_folder
from forecast.common.marks import RUN
from forecast.common.progress import Listener
from forecast.common.resources import least_seconds
from forecast.config.schema import Settings
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation.scores import ScoreTable
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.tables import wanted_levels
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.store import load_model, model_path
from forecast.reporting.run_folder import RunRecord, check_place, run_path, write_run
from forecast.training.distillation import Teacher
from forecast.training.learn import Learnt, learn
from forecast.training.plan import Plan, Reason, make_plan
from forecast.training.selection import forecasters, on_validation_origins
from forecast.workflows.load import data_settings, read_for_model
from forecast.workflows.train import Clock

SHARE = 0.5  # of the student's loss that is its distance from the teacher
SMALLER = 4  # times fewer units than the teacher's widest member, where none are asked for
TEACHER, STUDENT = "teacher", "student"


@dataclass(frozen=True)
class NetworkFigures:
    """One of the two and its figures: bytes of its weights, parameters of all members, seconds for
    one series at its quickest."""

    name: str
    shape: str
    size: int
    parameters: int
    seconds: float


@dataclass(frozen=True)
class DistillResult:
    """What `distill` did. scores: both on the validation origins, None without any."""

    folder: Path
    teacher: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    networks: tuple[NetworkFigures, ...]
    scores: ScoreTable | None
    files: list[tuple[Path, str]]
    interrupted: bool
    seconds: float


@one_command()
def distill_run(
    model: str, data: str | None, settings: Settings, listener: Listener
) -> DistillResult:
    """Trains a student on the quantiles of `model` and on the values of `data`, and compares them.

    data: default, the file that the model was trained on. Raises ForecastError.
    """
    clock = Clock(settings)
    check_place(settings, RUN)
    folder = model_path(Path(model))
    teacher, manifest = load_model(folder)
    _check(teacher)
    listener.stage("Reading the data")
    panel, report = read_for_model(data, settings, folder, teacher, manifest, listener)
    asked = student_settings(settings, teacher, manifest, folder)
    plan = student_plan(panel, report, asked, teacher)
    listener.stage(f"Training a student of {plan.config.hidden_size} units")
    learnt = learn(panel, plan, asked, listener)
    watched, student = forecasters(panel, plan, learnt.members)
    listener.stage("Forecasting validation origins")
    scores = _compared(panel, plan, teacher, watched)
    networks = (_figures_of(TEACHER, teacher, panel), _figures_of(STUDENT, student, panel))
    about = {
        "model": str(folder),
        "sha256": manifest["weights_sha256"],
        "share": SHARE,
        "figures": [vars(network) for network in networks],
        "scores": scores.to_rows() if scores is not None else [],
    }
    record = _record(
        panel=panel,
        report=report,
        plan=plan,
        settings=asked,
        student=student,
        learnt=learnt,
        clock=clock,
        about=about,
    )
    path = run_path(asked, report.source)
    with whole_folder(path, RUN) as staging:
        files, _, _ = write_run(staging, record)
    return DistillResult(
        folder=path,
        teacher=folder,
        report=report,
        chosen=plan.reasons,
        networks=networks,
        scores=scores,
        files=[(path / each.relative_to(staging), what) for each, what in files],
        interrupted=learnt.interrupted,
        seconds=clock.elapsed(),
    )


def _compared(
    panel: Panel, plan: Plan, teacher: Forecaster, student: Forecaster
) -> ScoreTable | None:
    """Both on the validation origins; student: before the refit, which sees these."""
    forecasters = {
        name: partial(_forecast, each, horizon=plan.horizon)
        for name, each in ((TEACHER, teacher), (STUDENT, student))
    }
    return on_validation_origins(panel, plan.validation, forecasters, plan.season)


def student_settings(
    settings: Settings, teacher: Forecaster, manifest: Mapping[str, Any], folder: Path
) -> Settings:
    """How the student learns: horizon, context and network as the teacher; random weights; one
    member and a quarter of the units, unless the settings say otherwise."""
    then, now = manifest.get("settings", {}), settings.model_dump(exclude_unset=True)
    widest = max(len(weights["norm.bias"]) for weights in teacher.members)
    network = {"hidden_size": max(4, widest // SMALLER), **now.get("network", {})}
    network |= {"name": teacher.network, "context": teacher.context}
    training = {"members": 1, **now.get("training", {}), "from_scratch": True}
    data = data_settings(settings, dict(manifest), teacher.design, folder)
    document = {
        "data": data,
        "forecast": {**then.get("forecast", {}), "horizon": teacher.horizon},
        "evaluation": then.get("evaluation", {}),
        "network": network,
        "training": training,
        "baselines": {"names": ()},
        "output": now.get("output", {}),
    }
    return Settings(**document)


def student_plan(panel: Panel, report: LoadReport, settings: Settings, teacher: Forecaster) -> Plan:
    """The plan of the student's training: it reads as the teacher does and is drawn to it."""
    plan = make_plan(panel, report.seasons, settings)
    drawn = Teacher.of(teacher.members, teacher.network, SHARE)
    return replace(
        plan,
        layout=teacher.layout,
        config=replace(plan.config, views=teacher.views),
        teacher=drawn,
        reasons=tuple(r for r in plan.reasons if r[0] != "held-out windows"),
    )


def _check(teacher: Forecaster) -> None:
    """Raises UsageError for a teacher that none can be drawn to yet."""
    what, without = ("with covariates", "covariates") if teacher.design is not None else ("", "")
    if teacher.likelihood != QUANTILES:
        what, without = f"of likelihood {teacher.likelihood}", "--likelihood"
    if what:
        raise UsageError(
            f"a model {what} cannot be distilled: a student is drawn to quantiles of plain series",
            code="distill/no-teacher",
            remedy=f"Distil a model trained without {without}",
        )


def _forecast(forecaster: Forecaster, past: Panel, horizon: int) -> Any:
    return forecast_panel(forecaster, past, horizon)


def _figures_of(name: str, forecaster: Forecaster, panel: Panel) -> NetworkFigures:
    one = panel.select(np.array([int(np.argmax(panel.lengths))]))
    widths = sorted({len(weights["norm.bias"]) for weights in forecaster.members})
    members = len(forecaster.members)
    units = " and ".join(str(width) for width in widths)
    return NetworkFigures(
        name,
        f"{units} units, {members} member{'s' * (members > 1)}",
        sum(a.nbytes for weights in forecaster.members for a in weights.values()),
        sum(a.size for weights in forecaster.members for a in weights.values()),
        least_seconds(partial(_forecast, forecaster, one, forecaster.horizon)),
    )


def _record(
    panel: Panel,
    report: LoadReport,
    plan: Plan,
    settings: Settings,
    student: Forecaster,
    learnt: Learnt,
    clock: Clock,
    about: dict[str, Any],
) -> RunRecord:
    """The run folder's content: no held-out windows, for the teacher may have learnt from them."""
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    negative = settings.forecast.allow_negative
    made = forecast_panel(student, panel, plan.horizon, allow_negative=negative)
    return RunRecord(
        panel=panel,
        report=report,
        plan=replace(plan, origins=plan.origins[:0], teacher=None),
        settings=settings,
        forecaster=student,
        members=learnt.members,
        history=learnt.history,
        held_out={},
        upcoming=[at_levels(made, levels)],
        scores=None,
        interrupted=learnt.interrupted,
        seconds=clock.elapsed(),
        more={"distilled": about},
    )
