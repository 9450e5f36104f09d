"""`learn`: every candidate of a training is fitted, and what validates best is kept.

The candidates are fine-tuned members and members from random weights, with covariates or without;
selection.py says which of them, and of the pretrained network, is kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.progress import BEST, Listener
from forecast.common.scratch import ScratchFolder
from forecast.config.schema import Settings
from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.training.config import BEHIND
from forecast.training.distributed import DistributedContext
from forecast.training.ensemble import (
    Member,
    MemberTask,
    ready,
    resumes,
    train_members,
    train_together,
)
from forecast.training.plan import PRETRAINED, RANDOM, Plan, Reason, in_part_of_the_time
from forecast.training.selection import (
    SCRATCH,
    TUNED,
    better,
    blend_of,
    known_of,
    untaught,
    uses_covariates,
    with_kind,
)

REFIT_SHARE, REFIT_RATE = 0.3, 0.3  # of the chosen steps; of the learning rate
RESUMING = {
    "new": "training starts; where it stands is saved on the way",
    "resumed": "an unfinished training of the same data and settings was found and goes on",
    "damaged": "an unfinished training goes on; what of it is damaged starts anew",
    "refused": "an unfinished training of other data or settings was found and left; a new starts",
}
SCRATCH_SEEDS = 500  # added to the seeds of members that start from random weights
# Of the fine-tuned members' validation loss. After a third of their steps, members from scratch
# stood at 1.01 and 1.02 on NN5 and M1 quarterly, which kept them, at 1.07 on M3 and M4 weekly.
NEAR = 1.05
GIVEN_UP: tuple[Reason, ...] = (
    (SCRATCH, "given up", f"its loss was over {NEAR - 1:.0%} behind after a third of its steps"),
)
MANY_WATCHED = 50  # series at validation origins, from which on their losses alone may end it

Kept = tuple[Path, float]


class Learnt(NamedTuple):
    """The members that were kept, the history of all, whether the user interrupted, and why these
    members."""

    members: list[Member]
    history: list[dict[str, Any]]
    interrupted: bool
    reasons: tuple[Reason, ...]


@dataclass
class TimeLimit:
    """When all training has to be over: `until`, in seconds of time.monotonic().

    trainings: how many share what is left; started: the longest time that one took until its first
    step; skipped: what there was no time for, in words.
    """

    until: float
    trainings: int = 1
    started: float = 0.0
    skipped: list[str] = field(default_factory=list)

    def end_of_next(self) -> float:
        """When the next of the trainings has to be over: each gets the same share."""
        now = time.monotonic()
        share = (self.until - now) / max(self.trainings, 1)
        self.trainings -= 1
        return now + share

    def leaves_no_time(self, what: str) -> bool:
        """Whether a training would hardly have begun when it had to end; it is noted as skipped."""
        if self.until - time.monotonic() > 2 * self.started:
            return False
        self.skipped.append(what)
        self.trainings -= 1
        return True


def learn(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None = None,
    ranks: DistributedContext | None = None,
    limit: TimeLimit | None = None,
) -> Learnt:
    """Trains the ensemble, and keeps what forecasts the validation origins best.

    Where there are covariates, all is trained once without and once with them.

    kept: a folder where training saves where it stands every so many seconds, and goes on from
    where an earlier one on the same data stood; then, interrupted, only finished members return.
    ranks: the ranks that train together, which need such a folder; all return the same.
    limit: when training has to be over, with whatever is best by then: the pretrained network as it
    is where nothing was learnt. Raises UsageError where there is none.
    """
    trained: list[Learnt] = []
    parts = parts_of(plan)
    if limit is not None:
        limit.trainings = len(parts) + (plan.scratch is not None and plan.compare)
    for called, part in parts:
        if trained and limit is not None and limit.leaves_no_time(f"training {called}"):
            break
        if called:
            listener.stage(f"Training the {plan.title} {called}")
        if trained and plan.tried and (plan.validation >= 0).sum() >= MANY_WATCHED:
            least = _worth_going_on(trained[0].members)
            part = replace(part, config=replace(part.config, behind=least))
        learnt = best_of_part(panel, part, settings, listener, _inside(kept, called), ranks, limit)
        if not learnt.members:
            break
        trained.append(learnt)
        if learnt.interrupted:
            break
    if len(trained) == 1:
        return trained[0]
    if all(member.ended == BEHIND for member in trained[1].members):
        why = f"without it the loss was over {NEAR - 1:.0%} higher after a third of the steps"
        return trained[0]._replace(reasons=(("covariates", "used", f"calendar: {why}"),))
    without, with_them = reversed(trained) if plan.tried else trained
    members, reasons = better(panel, plan, without.members, with_them.members)
    mine = with_them if uses_covariates(members) else without
    return mine._replace(members=members, reasons=mine.reasons + reasons)


def parts_of(plan: Plan) -> list[tuple[str, Plan]]:
    """What is to be trained, the usual plan alone, or first without covariates, or first with the
    calendar that is tried; and what to call it. Where there are two, each has half the time.
    """
    if plan.design is None:
        return [("", plan)]
    half = in_part_of_the_time(plan, 2)
    if plan.tried:
        return [("with the calendar", half), ("without the calendar", replace(half, design=None))]
    return [("without covariates", replace(half, design=None)), ("with covariates", half)]


def best_of_part(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None,
    ranks: DistributedContext | None = None,
    limit: TimeLimit | None = None,
) -> Learnt:
    """As `learn`, with the covariates that the plan has or without any; no members where a time
    limit left none with covariates."""
    started = plan.start.model is not None
    members, history, interrupted = _train(panel, plan, settings, listener, kept, ranks, limit)
    if not members:
        return _untrained(plan)
    whole = [member for member in members if member.ended != BEHIND]
    mine = with_kind(whole or members, TUNED if started else SCRATCH)
    trained = {TUNED if started else SCRATCH: mine}
    if interrupted or plan.design is not None or not (started and plan.compare and whole):
        return Learnt(mine, history, interrupted, ())
    if plan.start.whole:
        trained = {PRETRAINED: untaught(plan)}
        if moved := [member for member in mine if member.best_step]:  # the others are the same
            trained[TUNED] = moved
    from_scratch = f"training {SCRATCH}"
    given_up: tuple[Reason, ...] = ()
    if plan.scratch is not None and not (limit and limit.leaves_no_time(from_scratch)):
        listener.stage(f"Training the {plan.title} from scratch")
        seeds = [seed + SCRATCH_SEEDS for seed in plan.seeds]
        config = replace(plan.scratch, behind=_worth_going_on(mine))
        fresh = replace(plan, config=config, start=RANDOM, seeds=seeds)
        try:
            members, rows, interrupted = _train(
                panel, fresh, settings, listener, _inside(kept, SCRATCH), ranks, limit
            )
        except KeyboardInterrupt:
            return Learnt(mine, history, True, ())
        history += [{**row, "member": row["member"] + len(seeds)} for row in rows]
        if interrupted:
            return Learnt(mine, history, True, ())
        if whole := [member for member in members if member.ended != BEHIND]:
            trained[SCRATCH] = with_kind(whole, SCRATCH)
        given_up = GIVEN_UP if members and not whole else ()
    chosen, reasons = blend_of(panel, plan, trained)
    return Learnt(chosen, history, False, reasons + given_up)


def _worth_going_on(trained: Sequence[Member]) -> float | None:
    """The validation loss that other members must come below to be worth training on, None for any:
    from random weights near it they may still be kept in a blend.

    By the members, not by what was heard of their progress: another rank heard nothing, nor did a
    training that goes on where it was stopped.
    """
    least = min(member.best_loss for member in trained)
    return NEAR * least if least > 0 else None


def _untrained(plan: Plan) -> Learnt:
    """The start as it is, where a time limit came before anything was learnt."""
    if plan.design is not None:
        return Learnt([], [], False, ())
    if not plan.start.whole:
        raise UsageError(
            "the deadline came before the network had learnt anything",
            code="train/deadline-too-short",
            where="--deadline",
            remedy="Give more time; a training from the pretrained network always has a result",
        )
    why = "the deadline left no time to train"
    return Learnt(untaught(plan), [], False, (("kept", PRETRAINED, why),))


def _inside(kept: Kept | None, name: str) -> Kept | None:
    """A folder of its own for one of several trainings."""
    return (kept[0] / name.replace(" ", "-"), kept[1]) if kept and name else kept


def _task(panel: Panel, plan: Plan, refit: bool, kept: Kept | None) -> MemberTask:
    return MemberTask(
        values=as_read(panel),
        offsets=panel.offsets,
        keep=plan.keep,
        validation=plan.validation,
        layout=plan.layout,
        config=replace(plan.config, views=plan.views),
        refit_share=REFIT_SHARE if refit else 0.0,
        refit_rate=REFIT_RATE,
        initial=plan.start.weights,
        checkpoint_every=kept[1] if kept else None,
        known=known_of(panel, plan),
        teacher=plan.teacher,
    )


def _train(
    panel: Panel,
    plan: Plan,
    settings: Settings,
    listener: Listener,
    kept: Kept | None,
    ranks: DistributedContext | None = None,
    limit: TimeLimit | None = None,
) -> tuple[list[Member], list[dict[str, Any]], bool]:
    """Trains one kind of members; they (none where the time limit came first), their history, and
    whether the user interrupted."""
    begun, until = time.monotonic(), limit.end_of_next() if limit is not None else None
    refit = settings.training.refit
    task = _task(panel, plan, refit, kept)
    history: list[dict[str, Any]] = []
    done: dict[int, float] = {}
    best: dict[int, float] = {}
    first = plan.config.steps
    second = round(first * REFIT_SHARE) if refit else 0

    def heard(member: int, event: dict[str, Any]) -> None:
        if limit is not None and not done:
            limit.started = max(limit.started, time.monotonic() - begun)
        if event.pop("evaluated"):
            history.append({"member": member + 1, **event})
        past = first if event["phase"] == "refit" else 0
        done[member] = min(past + event["step"], first + second)
        figures = {"loss": event["train_loss"], "lr": event["learning_rate"]}
        # A refit, which watches nothing, still has the best of the first fit.
        best[member] = float(np.fmin(best.get(member, np.nan), event["best"]))
        if np.isfinite(best[member]):
            figures[BEST] = best[member]
        listener.progress(int(sum(done.values())), (first + second) * len(plan.seeds), figures)

    if kept and ranks is not None:
        listener.note(RESUMING[ready(task, plan.seeds, kept[0], ranks)])
        members, interrupted = train_together(task, plan.seeds, kept[0], ranks, heard)
    elif kept:
        listener.note(RESUMING[resumes(task, plan.seeds, kept[0])])
        members, interrupted = train_members(task, plan.seeds, kept[0], plan.jobs, heard)
    else:
        with ScratchFolder() as folder:
            members, interrupted = train_members(
                task, plan.seeds, Path(folder), plan.jobs, heard, until
            )
    if limit is not None and until is not None and time.monotonic() >= until:
        limit.skipped.append("the rest of the training steps")
        limit.started = max(limit.started, 0.0 if done else time.monotonic() - begun)
    if interrupted and not kept:
        listener.note("interrupted: the best weights so far are kept")
    if not members and (interrupted or limit is None):
        raise KeyboardInterrupt
    history.sort(key=lambda row: (row["member"], row["phase"] == "refit", row["step"]))
    return members, history, interrupted
