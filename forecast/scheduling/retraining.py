"""A trial: a new model is trained and judged beside the one in service on the same origins.

Axes: S series, W held-out origins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.durations import seconds_in
from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS, Forecast
from forecast.data.panel import Panel
from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.inference.point import MEDIAN, quantile_of, with_point
from forecast.inference.predict import at_levels
from forecast.inference.tables import wanted_levels
from forecast.models.baselines.naive import seasonal_naive
from forecast.models.forecaster import Forecaster
from forecast.scheduling.as_of import AsOfSnapshot
from forecast.scheduling.config import Job
from forecast.scheduling.decisions import (
    CHALLENGER,
    CHAMPION,
    PRETRAINED,
    Decision,
    Trial,
    decide_service,
)
from forecast.scheduling.models import (
    FOLDER,
    Service,
    Trained,
    load_scored,
    naive_service,
    pretrained_service,
    save_trained,
    weights_digest,
)
from forecast.scheduling.models import TRAINED as TRAINED_KIND
from forecast.training.learn import Learnt, learn
from forecast.training.plan import (
    Plan,
    Reason,
    choose_horizon,
    choose_origins,
    choose_validation,
    make_plan,
)
from forecast.training.selection import calibrated, forecasters, lstm_windows
from forecast.workflows.combination import BLENDING, Combination, choose_combination
from forecast.workflows.demand import choose_point, usual_point

UNFINISHED = "training"
WEIGHING, WEIGHING_SHARE = 20.0, 0.1  # seconds to choose a blend's weights in; of what is left
NAMES = ("challenger", "champion", "pretrained", "naive")


class TrainingStopped(KeyboardInterrupt):
    """The run was asked to end while it trained; what training reached is saved."""


@dataclass(frozen=True)
class Judged:
    """The outcome of a trial: who serves from now on, why, the figures by which that was decided,
    and the MASE of the medians by candidate."""

    service: Service
    decision: Decision
    trial: Trial
    mase: dict[str, float | None]


def is_free(job: Job, panel: Panel, seasons: tuple[int, ...], trained_until: int | None) -> bool:
    """Whether all origins that would judge a new model lie beyond what `trained_until` covers.

    Only then may training go on from that model: else its start had seen what judges it.
    """
    network, training = job.settings.network, job.settings.training
    if trained_until is None or training.from_scratch or network.hidden_size is not None:
        return False
    typical = int(np.median(panel.lengths))
    horizon, _ = choose_horizon(panel, job.settings, seasons, typical)
    origins, _ = choose_origins(panel, job.settings, horizon, typical)
    keep = origins.min(0) if len(origins) else panel.lengths
    watched = choose_validation(panel.size, keep, horizon)
    if not watched.size:
        return False
    places = np.where(watched >= 0, panel.first + watched, np.iinfo(np.int64).max)
    return bool(places.min() > trained_until)


def run_trial(
    job: Job,
    snapshot: AsOfSnapshot,
    seasons: tuple[int, ...],
    learning: Decision,
    champion: Service | None,
    refused: Sequence[str],
    seconds_left: float | None,
    created: str,
    listener: Listener,
) -> Judged:
    """Trains, judges, and keeps the new model if it wins; the unfinished training stays behind.

    champion: the model in service if it can forecast these data; refused: digests of models that
    a rollback took out of service. Raises TrainingStopped, and whatever training raises.
    """
    settings = _settings(job, learning, champion, seconds_left)
    plan = make_plan(snapshot.panel, seasons, settings)
    _tell(plan.reasons, listener)
    listener.stage(f"Training the {plan.title}")
    learnt = _learnt(job, snapshot, plan, settings, listener)
    plan = replace(plan, reasons=plan.reasons + learnt.reasons)
    scored, final = forecasters(snapshot.panel, plan, learnt.members)
    listener.stage("Judging the new model")
    standing = pretrained_service(job, snapshot.panel, seasons)
    alone = _uncalibrated(standing, snapshot.panel, plan.validation)
    candidates = {
        "challenger": scored,
        "champion": _as_candidate(job, snapshot, plan, champion, listener),
        "pretrained": alone,
    }
    held = _held_out(snapshot.panel, plan, settings, candidates)
    table = _scores(snapshot.panel, held, plan, settings, MEDIAN)  # as live errors are: of medians
    point = choose_point(snapshot.panel, settings)[1]
    by_point = table if point == MEDIAN else _scores(snapshot.panel, held, plan, settings, point)
    mase = {name: _number(_figure(table, name, "mase")) for name in NAMES}
    judged = "mase" if by_point is None else by_point.judged
    trial = Trial(
        **{name: _figure(by_point, name, judged) for name in NAMES},
        metric=metric_named(judged).heading,
        champion_fits=champion is not None and champion.kind == TRAINED_KIND,
        refused=weights_digest(final) in refused,
    )
    decision = decide_service(trial)
    if decision.choice == CHAMPION and champion is not None:
        return Judged(champion, decision, trial, mase)
    network = {CHALLENGER: scored, PRETRAINED: alone}.get(decision.choice)
    if network is None:
        naive = naive_service(plan.season, plan.horizon, job.what_is_learnt())
        promise = promise_of(table, "naive", settings)
        return Judged(replace(naive, promise=promise), decision, trial, mase)
    blend, why = _blend(snapshot.panel, plan, network, settings, seconds_left, listener)
    if network is alone:
        promise = promise_of(table, "pretrained", settings)
        return Judged(replace(standing, promise=promise, blend=blend), decision, trial, mase)
    plan = replace(plan, reasons=plan.reasons + why)
    made = Trained(scored, final, _about(job, snapshot, plan, table, created, blend))
    service = save_trained(job.folder, made, snapshot.panel, snapshot.label)
    return Judged(service, decision, trial, mase)


def _learnt(
    job: Job, snapshot: AsOfSnapshot, plan: Plan, settings: Settings, listener: Listener
) -> Learnt:
    """What is learnt, the unfinished kept in the job's folder. Raises TrainingStopped."""
    kept = (job.folder / UNFINISHED, seconds_in(job.section.checkpoint))
    learnt = learn(snapshot.panel, plan, settings, listener, kept)
    if learnt.interrupted:
        raise TrainingStopped
    _tell(learnt.reasons, listener)
    return learnt


def promise_of(table: ScoreTable | None, name: str, settings: Settings) -> dict[str, Any]:
    """What the held-out origins promise: MASE and coverage, overall and by step; {} for nothing."""
    if table is None or name not in table.per_step:
        return {}
    values, steps = table.score(name).values, table.per_step[name]
    levels = {f"{level:g}": f"coverage-{level:g}" for level in settings.forecast.level}
    return {
        "mase": _number(values.get("mase", math.nan)),
        "coverage": {level: _number(values.get(key, math.nan)) for level, key in levels.items()},
        "by_step": {"mase": [_number(v) for v in steps["mase"]]} if "mase" in steps else {},
        "windows": table.windows,
        "series": table.score(name).series,
    }


def promise_of_pretrained(job: Job, service: Service, panel: Panel) -> dict[str, Any]:
    """The same for the pretrained network, which needs no trial: it has seen no data at all."""
    typical = int(np.median(panel.lengths))
    origins, _ = choose_origins(panel, job.settings, service.horizon, typical)
    if not len(origins):
        return {}
    before = choose_validation(panel.size, origins.min(0), service.horizon)
    forecaster = _uncalibrated(service, panel, before)
    negative = job.settings.forecast.allow_negative
    held = lstm_windows(forecaster, panel, origins, service.horizon, negative)
    table = score_forecasts(
        panel, {"pretrained": held}, service.season, job.settings.forecast.level
    )
    return promise_of(table, "pretrained", job.settings)


def _tell(reasons: Iterable[Reason], listener: Listener) -> None:
    for name, value, why in reasons:
        listener.note(f"{name}: {value} ({why})")


def _settings(
    job: Job, learning: Decision, champion: Service | None, seconds_left: float | None
) -> Settings:
    """The job's settings, with its deadline and, to fine-tune, the model to go on from."""
    more: dict[str, Any] = {}
    if seconds_left is not None:
        more["deadline"] = f"{max(1.0, seconds_left):.3f}s"
    known = champion.forecaster if champion is not None else None
    same = known is not None and known.network == job.settings.network.name
    if learning.choice == "fine-tune" and champion is not None and same:
        more["init"] = str(job.folder / FOLDER / champion.id)
    training = job.settings.training.model_copy(update=more)
    return job.settings.model_copy(update={"training": training})


def _as_candidate(
    job: Job, snapshot: AsOfSnapshot, plan: Plan, champion: Service | None, listener: Listener
) -> Forecaster | None:
    """The model in service as it may be judged: without anything seen after the first origin.

    Its last weights have seen everything up to `trained_until`; where an origin lies before that,
    those before its refit stand in for them; None where these cannot be read.
    """
    if champion is None or champion.kind != TRAINED_KIND or not len(plan.origins):
        return None
    first = (snapshot.panel.first + plan.origins.min(0)).min()
    if champion.trained_until is not None and first > champion.trained_until:
        return champion.forecaster
    try:
        return load_scored(job.folder, champion.id)
    except (ModelDamagedError, ModelNotFoundError) as error:
        listener.warn("run/champion-unjudged", f"the model in service is not judged: {error}")
        return None


def _held_out(
    panel: Panel, plan: Plan, settings: Settings, candidates: Mapping[str, Forecaster | None]
) -> dict[str, list[Forecast]]:
    """What all candidates forecast from the held-out origins."""
    held: dict[str, list[Forecast]] = {
        name: lstm_windows(
            forecaster, panel, plan.origins, plan.horizon, settings.forecast.allow_negative
        )
        for name, forecaster in candidates.items()
        if forecaster is not None
    }
    levels = np.array(LEVELS)
    held["naive"] = [
        seasonal_naive(panel, row, plan.horizon, levels, plan.season) for row in plan.origins
    ]
    return held


def _scores(
    panel: Panel,
    held: Mapping[str, Sequence[Forecast]],
    plan: Plan,
    settings: Settings,
    point: str,
) -> ScoreTable | None:
    """The scores of all candidates, with such points; None when no series is long enough."""
    if not len(plan.origins):
        return None
    pointed = {name: [with_point(each, point) for each in made] for name, made in held.items()}
    if (level := quantile_of(point)) is not None:
        wanted = wanted_levels((), (*LEVELS, level))
        pointed = {name: [at_levels(e, wanted) for e in made] for name, made in pointed.items()}
    intervals = settings.forecast.level
    return score_forecasts(panel, pointed, plan.season, intervals, point=point)


def _uncalibrated(service: Service, panel: Panel, validation: np.ndarray) -> Forecaster:
    """The pretrained network with intervals fitted to origins before the held-out ones alone."""
    assert service.forecaster is not None
    plain = replace(service.forecaster, factors=np.ones(len(LEVELS)))
    return calibrated(plain, panel, validation, service.horizon)


def _figure(table: ScoreTable | None, name: str, metric: str) -> float:
    if table is None or name not in table.per_step:
        return math.nan
    return float(table.score(name).values.get(metric, math.nan))


def _blend(
    panel: Panel,
    plan: Plan,
    network: Forecaster,
    settings: Settings,
    seconds_left: float | None,
    listener: Listener,
) -> tuple[Combination | None, tuple[Reason, ...]]:
    """How the network that will serve is combined with baselines, and why."""
    if not settings.baselines.blend:
        return None, ()
    budget = WEIGHING if seconds_left is None else min(WEIGHING, WEIGHING_SHARE * seconds_left)
    chosen, why = choose_combination(panel, plan, network, settings, budget, listener)
    _tell([why], listener)
    return chosen, (why,)


def _about(
    job: Job,
    snapshot: AsOfSnapshot,
    plan: Plan,
    table: ScoreTable | None,
    created: str,
    blend: Combination | None,
) -> dict[str, Any]:
    return {
        "kind": TRAINED_KIND,
        "created": created,
        "trained_until": snapshot.position,
        "trained_until_time": snapshot.time,
        "season": plan.season,
        "horizon": plan.horizon,
        "learnt": job.what_is_learnt(),
        "promise": promise_of(table, "challenger", job.settings),
        **({} if blend is None else {BLENDING: blend.to_dict()}),
        "data_sha256": snapshot.digest,
        "chosen": [
            {"name": n, "value": str(v), "why": why}
            for n, v, why in (*plan.reasons, usual_point(snapshot.panel, job.settings))
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def unfinished(folder: Path) -> Path:
    """Where a job's training keeps what it has reached."""
    return folder / UNFINISHED
