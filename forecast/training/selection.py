"""What is trained and what is kept of it: from which start, with covariates or without."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.training.candidates import SCRATCH, TUNED, as_it_is, blend_of, uncalibrated, with_kind
from forecast.training.covariate_selection import better, known_of, parts_of, uses_covariates
from forecast.training.distributed import Team
from forecast.training.ensemble import Lesson, Member, resumes, train_members
from forecast.training.ensemble_distributed import ready, train_together
from forecast.training.held_out import calibrated
from forecast.training.plan import PRETRAINED, Plan, Reason

REFIT_SHARE, REFIT_RATE = 0.3, 0.3  # of the chosen steps; of the learning rate
RESUMING = {
    "new": "training starts; where it stands is saved on the way",
    "resumed": "an unfinished training of the same data and settings was found and goes on",
    "refused": "an unfinished training of other data or settings was found and left; a new starts",
}
SCRATCH_SEEDS = 500  # added to the seeds of members that start from random weights

Kept = tuple[Path, float]


class Learnt(NamedTuple):
    """The members that were kept, the history of all, whether the user interrupted, and why these
    members."""

    members: list[Member]
    history: list[dict[str, Any]]
    interrupted: bool
    reasons: tuple[Reason, ...]


def learn(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None = None,
    team: Team | None = None,
) -> Learnt:
    """Trains the ensemble, and keeps what forecasts the validation origins best.

    Where there are covariates, all is trained once without and once with them.

    kept: a folder where training saves where it stands every so many seconds, and goes on from
    where an earlier one on the same data stood; then, interrupted, only finished members return.
    team: the ranks that train together, which need such a folder; all return the same.
    """
    trained: list[Learnt] = []
    for called, part in parts_of(plan):
        if called:
            listener.stage(f"Training the {plan.title} {called}")
        learnt = best_of_part(panel, part, settings, listener, _inside(kept, called), team)
        trained.append(learnt)
        if learnt.interrupted:
            break
    if len(trained) == 1:
        return trained[0]
    members, reasons = better(panel, plan, *(each.members for each in trained))
    used = uses_covariates(members)
    for name, value, why in reasons:
        listener.note(f"{name} {value}: {why}")
    mine = trained[used]
    return mine._replace(members=members, reasons=mine.reasons + reasons)


def best_of_part(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None,
    team: Team | None = None,
) -> Learnt:
    """As `learn`, with the covariates that the plan has or without any."""
    started = plan.initial is not None
    members, history, interrupted = _train(panel, plan, settings, listener, kept, team)
    mine = with_kind(members, TUNED if started else SCRATCH)
    trained = {TUNED if started else SCRATCH: mine}
    if interrupted or plan.design is not None or plan.initial is None or not plan.compare:
        return Learnt(mine, history, interrupted, ())
    if plan.whole_start:
        trained = {PRETRAINED: with_kind([as_it_is(plan.initial)], PRETRAINED), **trained}
    if plan.scratch is not None:
        listener.stage(f"Training the {plan.title} from scratch")
        seeds = [seed + SCRATCH_SEEDS for seed in plan.seeds]
        fresh = replace(plan, recipe=plan.scratch, initial=None, seeds=seeds)
        try:
            members, rows, interrupted = _train(
                panel, fresh, settings, listener, _inside(kept, SCRATCH), team
            )
        except KeyboardInterrupt:
            return Learnt(mine, history, True, ())
        history += [{**row, "member": row["member"] + len(seeds)} for row in rows]
        if interrupted:
            return Learnt(mine, history, True, ())
        trained[SCRATCH] = with_kind(members, SCRATCH)
    chosen, reasons = blend_of(panel, plan, trained)
    for name, value, why in reasons:
        listener.note(f"{name} {value}: {why}")
    return Learnt(chosen, history, False, reasons)


def _inside(kept: Kept | None, name: str) -> Kept | None:
    """A folder of its own for one of several trainings."""
    return (kept[0] / name.replace(" ", "-"), kept[1]) if kept and name else kept


def _train(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None,
    team: Team | None = None,
) -> tuple[list[Member], list[dict[str, Any]], bool]:
    """Trains one kind of members; they, their history, and whether the user interrupted."""
    refit = settings.training.refit
    lesson = Lesson(
        panel.values,
        panel.offsets,
        plan.keep,
        plan.validation,
        plan.layout,
        {**plan.recipe, "views": plan.views},
        REFIT_SHARE if refit else 0.0,
        REFIT_RATE,
        plan.initial,
        checkpoint_every=kept[1] if kept else None,
        known=known_of(panel, plan),
        teacher=plan.teacher,
    )
    history: list[dict[str, Any]] = []
    done: dict[int, float] = {}
    first = plan.recipe["steps"]
    second = round(first * REFIT_SHARE) if refit else 0

    def heard(member: int, event: dict[str, Any]) -> None:
        if event.pop("evaluated"):
            history.append({"member": member + 1, **event})
        past = first if event["phase"] == "refit" else 0
        done[member] = min(past + event["step"], first + second)
        figures = {"loss": event["train_loss"], "lr": event["learning_rate"]}
        if np.isfinite(event["best"]):
            figures["best"] = event["best"]
        listener.progress(int(sum(done.values())), (first + second) * len(plan.seeds), figures)

    if kept and team is not None:
        listener.note(RESUMING[ready(lesson, plan.seeds, kept[0], team)])
        members, interrupted = train_together(lesson, plan.seeds, kept[0], team, heard)
    elif kept:
        listener.note(RESUMING[resumes(lesson, plan.seeds, kept[0])])
        members, interrupted = train_members(lesson, plan.seeds, kept[0], plan.jobs, heard)
    else:
        with tempfile.TemporaryDirectory(prefix="lstmcast-") as folder:
            members, interrupted = train_members(lesson, plan.seeds, Path(folder), plan.jobs, heard)
    if interrupted and not kept:
        listener.note("interrupted: the best weights so far are kept")
    if not members:
        raise KeyboardInterrupt
    history.sort(key=lambda row: (row["member"], row["phase"] == "refit", row["step"]))
    return members, history, interrupted


def forecasters(
    panel: Panel, plan: Plan, members: Sequence[Member]
) -> tuple[Forecaster, Forecaster]:
    """The ensemble that the held-out windows judge, and the one that has seen all data.

    Both get the interval calibration of the first: the second has learnt from the origins that it
    would be calibrated on.
    """
    design = plan.design if uses_covariates(members) else None
    base = uncalibrated(plan, members, design)
    scored = calibrated(base, panel, plan.validation, plan.horizon)
    return scored, replace(scored, members=tuple(member.final for member in members))
