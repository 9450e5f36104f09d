"""Which model serves a run: the one in service, or, where a rule asks for it, a trial's winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.batch.config import Job
from forecast.batch.decisions import Decision, ModelFacts, decide_learning
from forecast.batch.diary import Diary
from forecast.batch.history import Changes
from forecast.batch.models import (
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
from forecast.batch.recovery import State
from forecast.batch.scoring import StepScore, live, of_model, promised
from forecast.batch.slot import Slot
from forecast.batch.time_limit import time_limit
from forecast.batch.trial import is_free, promise_of_pretrained, run_trial
from forecast.errors import ForecastError, ModelDamagedError, ModelNotFoundError
from forecast.panel import LoadReport

if TYPE_CHECKING:
    from forecast.batch.run import Watch

TRAINING_SHARE = 0.8  # of what the deadline leaves: the rest is for judging and forecasting
HARD_SHARE = 0.9  # then the training is stopped, however slow its steps are
LEAST_SECONDS = 5.0  # with less than this left, training would bring nothing but delay


def choose_model(
    job: Job,
    state: State,
    slot: Slot,
    report: LoadReport,
    changes: Changes,
    scores: Sequence[StepScore],
    diary: Diary,
    watch: Watch | None,
    created: str,
) -> tuple[Service, dict[str, Any]] | None:
    """The model that serves and the facts of the last trial, for the manifest.

    watch None: a rehearsal, which ends with the decision whether to train (None is returned).
    """
    if job.section.model == "pretrained":
        diary.decide(Decision("model", "pretrained", "as the job asks"))
        return None if watch is None else (_pretrained(job, state, slot, report), {})
    found, trial, misfit = in_service(job, state, slot, report.seasons)
    facts = model_facts(job, slot, report.seasons, found, trial, misfit, changes, scores)
    decision = diary.decide(decide_learning(facts, job.section.retrain))
    if watch is None:
        return None
    left = watch.left(TRAINING_SHARE)
    if decision.choice != "reuse" and left is not None and left < LEAST_SECONDS:
        decision = diary.decide(_no_time(found is not None and not misfit))
        if found is None or misfit:
            return _pretrained(job, state, slot, report), trial
    if decision.choice == "reuse":
        assert found is not None
        return found, trial
    usable = None if misfit or facts.changed else found
    refused = sorted(state.refused)
    with time_limit(watch.left(HARD_SHARE)) as limit:
        try:
            judged = run_trial(
                job, slot, report.seasons, decision, usable, refused, left, created, diary
            )
        except KeyboardInterrupt:
            if not limit.reached:
                raise
    if limit.reached:
        diary.warn("run/out-of-time", "training took longer than the deadline allows")
        diary.decide(_no_time(usable is not None))
        return usable or _pretrained(job, state, slot, report), trial
    diary.decide(judged.decision)
    figures = {
        name: None if math.isnan(value) else value
        for name, value in (
            ("challenger", judged.trial.challenger),
            ("champion", judged.trial.champion),
            ("pretrained", judged.trial.pretrained),
            ("naive", judged.trial.naive),
        )
    }
    record = {
        "position": slot.position,
        "time": slot.time,
        "learnt": job.what_is_learnt(),
        "choice": judged.decision.choice,
        "mase": figures,
        "held": True,
    }
    return judged.service, record


def in_service(
    job: Job, state: State, slot: Slot, seasons: tuple[int, ...]
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
    if until is not None and until > slot.position:
        return _older(job, slot), {}, ""
    if about["kind"] == NAIVE:
        horizon, season = current.manifest["horizon"], current.manifest["season"]
        service = naive_service(season, horizon, trial.get("learnt", {}))
        return replace(service, promise=about["promise"]), trial, ""
    if about["kind"] == PRETRAINED:
        service = pretrained_service(job, slot.panel, seasons)
        learnt = trial.get("learnt", service.learnt)
        return replace(service, promise=about["promise"], learnt=learnt), trial, ""
    try:
        return load_trained(job.folder, about["id"]), trial, _misfit(job, about["id"], slot)
    except (ModelDamagedError, ModelNotFoundError) as error:
        return None, trial, f"the model in service cannot be used: {error.message}"


def model_facts(
    job: Job,
    slot: Slot,
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
    steps = 0 if math.isinf(since) else slot.position - int(since)
    levels = {float(level) for level in job.settings.forecast.level}
    return ModelFacts(
        exists=True,
        changed=changed_settings(service.learnt, job.what_is_learnt()),
        misfit=misfit,
        steps=steps,
        seconds=_seconds(slot, steps),
        horizon=service.horizon,
        live=now.mase,
        promised=promised(mine, dict(service.promise)),
        scored=now.count,
        coverage={level: share for level, share in now.coverage.items() if level in levels},
        series_changed=changes.share,
        free=service.kind == TRAINED and is_free(job, slot.panel, seasons, service.trained_until),
    )


def _older(job: Job, slot: Slot) -> Service | None:
    """The newest trained model that has seen nothing after the slot; None where there is none."""
    place = job.folder / FOLDER
    found = []
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        try:
            service = load_trained(job.folder, path.name)
        except ForecastError:
            continue
        if service.trained_until is not None and service.trained_until <= slot.position:
            found.append(service)
    fitting = [s for s in found if not _misfit(job, s.id, slot)]
    return max(fitting, key=lambda s: s.trained_until or 0, default=None)


def _misfit(job: Job, name: str, slot: Slot) -> str:
    """Why a model cannot forecast the slot's data; "" when it can."""
    alias, integer = trained_on_grid(job.folder, name)
    here = slot.panel.frequency
    if (alias, integer) == (here.alias, here.integer):
        return ""
    return f"the data are now of frequency {here.alias}, the model's were {alias}"


def _pretrained(job: Job, state: State, slot: Slot, report: LoadReport) -> Service:
    """The pretrained network with its promise, taken over from the last run that had one."""
    service = pretrained_service(job, slot.panel, report.seasons)
    current = state.current
    if current is not None and current.manifest["model"]["id"] == service.id:
        return replace(service, promise=current.manifest["model"]["promise"])
    return replace(service, promise=promise_of_pretrained(job, service, slot.panel))


def _seconds(slot: Slot, steps: int) -> float | None:
    if slot.panel.frequency.integer:
        return None
    ends = slot.panel.frequency.stamps(np.array([slot.position - steps, slot.position]))
    return float((ends[1] - ends[0]) / np.timedelta64(1, "s"))


def _no_time(can_reuse: bool) -> Decision:
    return Decision(
        "model",
        "reuse" if can_reuse else "pretrained",
        "the deadline leaves no time to train",
    )
