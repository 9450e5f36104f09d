"""Which model serves a run: the one in service, or, where a rule asks for it, a trial's winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.errors import (
    ForecastError,
    ModelDamagedError,
    ModelNotFoundError,
    TrainingError,
)
from forecast.data.panel import Panel
from forecast.scheduling.as_of import AsOfSnapshot
from forecast.scheduling.config import Job
from forecast.scheduling.config_file import as_a_job_says
from forecast.scheduling.context import Known, RunContext
from forecast.scheduling.decisions import (
    Decision,
    ModelFacts,
    decide_learning,
    decide_time_to_learn,
)
from forecast.scheduling.history import Changes
from forecast.scheduling.live_scores import StepScore, live, of_model, promised
from forecast.scheduling.lock import time_limit
from forecast.scheduling.models import (
    FOLDER,
    NAIVE,
    PRETRAINED,
    TRAINED,
    Service,
    changed_settings,
    load_trained,
    naive_service,
    pretrained_service,
    trained_on_grid,
)
from forecast.scheduling.recovery import State
from forecast.scheduling.retraining import Judged, is_free, promise_of_pretrained, run_trial
from forecast.workflows.combination import Combination
from forecast.workflows.demand import POINT, usual_point

TRAINING_SHARE = 0.8  # of what the deadline leaves: the rest is for judging and forecasting
HARD_SHARE = 0.9  # then the training is stopped, however slow its steps are


@dataclass(frozen=True)
class Due:
    """Whether to learn, and from what: the model in service as far as it can forecast these data
    (fitting) and as far as a new one is to be judged beside it (rival); the last trial's facts."""

    decision: Decision
    fitting: Service | None = None
    rival: Service | None = None
    trial: dict[str, Any] | None = None


def decide_model(run: RunContext, known: Known) -> Due:
    """Whether this run learns; nothing is learnt yet."""
    job, snapshot, seasons = run.job, known.snapshot, known.report.seasons
    if job.section.model == "pretrained":
        return Due(run.run_log.decide(Decision("model", "pretrained", "as the job asks")))
    found, trial, misfit = in_service(job, known.state, snapshot, seasons)
    facts = model_facts(
        job=job,
        snapshot=snapshot,
        seasons=seasons,
        service=found,
        trial=trial,
        misfit=misfit,
        changes=known.changes,
        scores=known.scores,
    )
    decision = run.run_log.decide(decide_learning(facts, job.section.retrain))
    fitting = None if misfit else found
    return Due(decision, fitting, None if facts.changed else fitting, trial)


def choose_model(run: RunContext, known: Known) -> tuple[Service, dict[str, Any]]:
    """The model that serves this run and the facts of the last trial, for the manifest."""
    due = decide_model(run, known)
    trial = due.trial or {}
    if due.decision.choice == "pretrained":
        return _pretrained(run, known), trial
    if due.decision.choice == "reuse":
        assert due.fitting is not None
        return due.fitting, trial
    left = run.watch.left(TRAINING_SHARE)
    if (late := decide_time_to_learn(left, due.fitting is not None)) is not None:
        run.run_log.decide(late)
        return due.fitting or _pretrained(run, known), trial
    judged = _tried(run, known, due, left)
    if isinstance(judged, Untried):
        run.run_log.warn(judged.code, judged.why)
        choice = "reuse" if due.rival is not None else "pretrained"
        run.run_log.decide(Decision("model", choice, judged.reason))
        return due.rival or _pretrained(run, known), trial
    run.run_log.decide(judged.decision)
    return judged.service, _record(judged, run.job, known.snapshot)


@dataclass(frozen=True)
class Untried:
    """Why there is no trial: a warning's code and text, and the reason in a few words."""

    code: str
    why: str
    reason: str


def _tried(run: RunContext, known: Known, due: Due, seconds: float | None) -> Judged | Untried:
    """The outcome of a trial; or that the deadline came before its end, or the training died: what
    is there already can forecast."""
    with time_limit(run.watch.left(HARD_SHARE)) as limit:
        try:
            return run_trial(
                job=run.job,
                snapshot=known.snapshot,
                seasons=known.report.seasons,
                learning=due.decision,
                champion=due.rival,
                refused=sorted(known.state.refused),
                seconds_left=seconds,
                created=run.stamp,
                listener=run.run_log,
            )
        except KeyboardInterrupt:
            if not limit.reached:
                raise
        except (TrainingError, ModelDamagedError, ModelNotFoundError, MemoryError) as error:
            why = f"training failed: {error or type(error).__name__}"
            return Untried("run/training-failed", why, "training failed; the next run tries again")
    why = "training took longer than the deadline allows"
    return Untried("run/out-of-time", why, "the deadline leaves no time to train")


def _record(judged: Judged, job: Job, snapshot: AsOfSnapshot) -> dict[str, Any]:
    """A trial as a manifest holds it."""
    trial = judged.trial
    figures = {
        "challenger": trial.challenger,
        "champion": trial.champion,
        "pretrained": trial.pretrained,
        "naive": trial.naive,
    }
    return {
        "position": snapshot.position,
        "time": snapshot.time,
        "learnt": job.what_is_learnt(),
        "choice": judged.decision.choice,
        "metric": trial.metric,
        "figures": {name: None if math.isnan(v) else v for name, v in figures.items()},
        "mase": judged.mase,
        "held": True,
    }


def in_service(
    job: Job, state: State, snapshot: AsOfSnapshot, seasons: tuple[int, ...]
) -> tuple[Service | None, dict[str, Any], str]:
    """The model in service for this as-of, the last trial, and why the model does not fit.

    For an as-of before the model's own data, the newest model that has seen nothing later.
    """
    current = state.current
    if current is None:
        return None, {}, ""
    trial = {**(current.manifest.get("trial") or {}), "held": False}
    for entry in state.rollbacks[-1:]:
        if (entry.get("trial") or {}).get("position", -math.inf) > trial.get("position", math.inf):
            trial = {**entry["trial"], "held": False}
    about = current.manifest["model"]
    until = about["trained_until"]
    if until is not None and until > snapshot.position:
        older = _older(job, snapshot)
        return older, {}, "" if older else "no model has seen the data up to the as-of alone"
    if about["kind"] == NAIVE:
        horizon, season = current.manifest["horizon"], current.manifest["season"]
        service = naive_service(season, horizon, trial.get("learnt", {}))
        return replace(service, promise=about["promise"]), trial, ""
    if about["kind"] == PRETRAINED:
        service = pretrained_service(job, snapshot.panel, seasons)
        learnt = trial.get("learnt", service.learnt)
        blend = Combination.read(about)
        return replace(service, promise=about["promise"], learnt=learnt, blend=blend), trial, ""
    try:
        return load_trained(job.folder, about["id"]), trial, _misfit(job, about["id"], snapshot)
    except (ModelDamagedError, ModelNotFoundError) as error:
        return None, trial, f"the model in service cannot be used: {error.message}"


def model_facts(
    job: Job,
    snapshot: AsOfSnapshot,
    seasons: tuple[int, ...],
    service: Service | None,
    trial: dict[str, Any],
    misfit: str,
    changes: Changes,
    scores: Sequence[StepScore],
) -> ModelFacts:
    """What `decide_learning` looks at."""
    if service is None:
        return ModelFacts(exists=bool(misfit), misfit=misfit)
    mine = of_model(scores, service.id)
    now = live(mine)
    since = max(trial.get("position", -math.inf), service.trained_until or -math.inf)
    steps = 0 if math.isinf(since) else snapshot.position - int(since)
    levels = {float(level) for level in job.settings.forecast.level}
    return ModelFacts(
        exists=True,
        changed=changed_settings(service.learnt, job.what_is_learnt()),
        misfit=misfit,
        steps=steps,
        seconds=_seconds(snapshot, steps),
        horizon=service.horizon,
        live=now.mase,
        promised=promised(mine, dict(service.promise)),
        scored=now.count,
        coverage={level: share for level, share in now.coverage.items() if level in levels},
        series_changed=changes.share,
        free=service.kind == TRAINED
        and is_free(job, snapshot.panel, seasons, service.trained_until),
    )


def decide_point(job: Job, service: Service, panel: Panel) -> Decision:
    """The point forecast that is published: as the job asks, else that of the model in service;
    where none is noted for it, what `forecast` would take of these data."""
    if job.settings.forecast.point is not None:
        return Decision(POINT, job.settings.forecast.point, "as the job asks")
    if service.point is not None:
        return Decision(POINT, service.point, "it suits what the model in service was trained on")
    _, point, why = usual_point(panel, job.settings)
    return Decision(POINT, point, as_a_job_says(why))


def _older(job: Job, snapshot: AsOfSnapshot) -> Service | None:
    """The newest trained model that has seen nothing after the snapshot, or None."""
    place = job.folder / FOLDER
    found = []
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        try:
            service = load_trained(job.folder, path.name)
        except ForecastError:
            continue
        if service.trained_until is not None and service.trained_until <= snapshot.position:
            found.append(service)
    fitting = [s for s in found if not _misfit(job, s.id, snapshot)]
    return max(fitting, key=lambda s: s.trained_until or 0, default=None)


def _misfit(job: Job, name: str, snapshot: AsOfSnapshot) -> str:
    """Why a model cannot forecast the snapshot's data; "" when it can."""
    alias, integer = trained_on_grid(job.folder, name)
    here = snapshot.panel.frequency
    if (alias, integer) == (here.alias, here.integer):
        return ""
    return f"the data are now of frequency {here.alias}, the model's were {alias}"


def _pretrained(run: RunContext, known: Known) -> Service:
    """The pretrained network with its promise, taken over from the last run that had one."""
    service = pretrained_service(run.job, known.snapshot.panel, known.report.seasons)
    current = known.state.current
    if current is not None and current.manifest["model"]["id"] == service.id:
        return replace(service, promise=current.manifest["model"]["promise"])
    return replace(service, promise=promise_of_pretrained(run.job, service, known.snapshot.panel))


def _seconds(snapshot: AsOfSnapshot, steps: int) -> float | None:
    if snapshot.panel.frequency.integer:
        return None
    ends = snapshot.panel.frequency.stamps(np.array([snapshot.position - steps, snapshot.position]))
    return float((ends[1] - ends[0]) / np.timedelta64(1, "s"))
