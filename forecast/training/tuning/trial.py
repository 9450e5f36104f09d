"""One trial: one member trained in a process of its own, its loss on the validation origins.

The running loss is handed to a judge, who may end the trial early.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forecast.common.errors import TrainingError
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.training.covariate_selection import known_of
from forecast.training.ensemble import Lesson, train_members
from forecast.training.plan import Plan, choose_recipe, choose_start
from forecast.training.tuning.space import Choice

PARTS = 20  # of a training, at whose ends its loss is compared with that of others

DONE, PRUNED, FAILED = "done", "pruned", "failed"
Judge = Callable[[dict[int, float]], bool]


@dataclass
class Outcome:
    """What a trial came to.

    ended: "done", "pruned" or "failed" (a loss that is no number); loss: the best on the
    validation origins so far; running: part of the training (of PARTS) -> best loss until then
    """

    ended: str = DONE
    loss: float = math.inf
    seconds: float = 0.0
    running: dict[int, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Plain values, to be kept."""
        return {**vars(self), "running": {str(k): v for k, v in self.running.items()}}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Outcome:
        """What `document` made plain."""
        running = {int(k): v for k, v in document["running"].items()}
        return cls(**{**document, "running": running})


class _Enough(Exception):
    """Ends a training from inside its own report."""


def lesson_of(
    panel: Panel, plan: Plan, choice: Choice, settings: Settings, limit: float | None
) -> Lesson:
    """What one member learns with `choice`: the plan's own validation origins, no refit.

    limit: seconds that its training may take, None for no limit.
    """
    chosen = choice.settings(settings)
    _, initial, _ = choose_start(chosen, plan.layout)
    recipe = choose_recipe(panel, chosen, plan.layout, plan.horizon, initial)
    recipe |= {"views": plan.recipe["views"], "seconds": limit}
    return Lesson(
        panel.values,
        panel.offsets,
        plan.keep,
        plan.validation,
        plan.layout,
        recipe,
        refit_share=0.0,
        refit_rate=1.0,
        initial=initial,
        known=known_of(panel, plan),
    )


def run_trial(
    lesson: Lesson, seed: int, prune: Judge, stopped: Callable[[], bool], until: float | None
) -> Outcome:
    """Trains the member and returns what it came to.

    prune: told the running losses after each part; stopped: whether nobody waits for it any more;
    until: time.monotonic() at which it must have ended, with the best so far.
    """
    outcome, started = Outcome(), time.monotonic()

    def heard(member: int, event: dict[str, Any]) -> None:
        if event["evaluated"] and math.isfinite(event["best"]):
            outcome.loss = event["best"]
            outcome.running[round(PARTS * event["step"] / event["steps"])] = outcome.loss
            if prune(outcome.running):
                outcome.ended = PRUNED
                raise _Enough
        if stopped():
            raise _Enough
        if until is not None and time.monotonic() > until:
            raise _Enough  # the best so far is what there was time for

    try:
        with tempfile.TemporaryDirectory(prefix="lstmcast-") as folder:
            members, _ = train_members(lesson, [seed], Path(folder), 1, heard)
        outcome.loss = members[0].best_loss
    except _Enough:
        pass
    except TrainingError as error:
        if error.code != "train/not-finite":  # of other numbers, others may go well
            raise
        outcome.ended, outcome.loss = FAILED, math.inf
    outcome.seconds = time.monotonic() - started
    return outcome
