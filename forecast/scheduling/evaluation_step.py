"""The step of a run that looks back: what came true, what was restated, how good it was."""

from __future__ import annotations

from collections.abc import Sequence

from forecast.scheduling import ledger
from forecast.scheduling.actuals import notice_changes, take_in
from forecast.scheduling.as_of import Slot
from forecast.scheduling.context import Attempt
from forecast.scheduling.history import NOTHING, Changes
from forecast.scheduling.live_scores import StepScore, score_runs, step_scores, touched_runs
from forecast.scheduling.load_step import NAMED


def what_came_true(run: Attempt, slot: Slot) -> tuple[Changes, list[StepScore]]:
    """Stores new actuals and restatements and scores the runs that they touch.

    A run for an as-of before the newest one sees part of the data only: it stores nothing.
    """
    with ledger.opened(run.job.folder / ledger.NAME) as connection:
        newest = max(ledger.recorded_runs(connection), default=None)
        changes = NOTHING
        if newest is None or slot.position >= newest or run.as_of is None:
            changes = notice_changes(connection, slot.seen)
            _tell(run, changes)
            touched, restated = take_in(connection, slot.seen, changes, run.stamp)
            score_runs(connection, touched_runs(connection, touched))
            if restated:
                run.diary.note(f"{restated} values that had been forecast were restated")
        return changes, _by_then(slot, step_scores(connection))


def what_would_come_true(run: Attempt, slot: Slot) -> tuple[Changes, list[StepScore]]:
    """The same as far as it is known, for a rehearsal: nothing is stored."""
    path = run.job.folder / ledger.NAME
    if not path.exists():
        return NOTHING, []
    with ledger.opened(path) as connection:
        return notice_changes(connection, slot.seen), _by_then(slot, step_scores(connection))


def _by_then(slot: Slot, scores: Sequence[StepScore]) -> list[StepScore]:
    """The scores of what had come true by the as-of: a rehearsed past does not know its future."""
    return [s for s in scores if s.cutoff + s.step <= slot.position]


def _tell(run: Attempt, changes: Changes) -> None:
    """Says what is different in the past."""
    if changes.shorter:
        names = ", ".join(changes.shorter[:NAMED])
        text = f"{len(changes.shorter)} series lost values at their end: {names}"
        run.diary.warn("input/history-shrunk", text)
    if len(changes.restated):
        text = f"the past of {len(changes.restated)} series is not what it was at the last run"
        run.diary.warn("input/history-restated", text)
    if len(changes.moved):
        run.diary.note(f"{len(changes.moved)} series begin later than at the last run")
    for word, ids in (("new", changes.new), ("gone", changes.gone)):
        if ids:
            run.diary.note(f"{len(ids)} series are {word}: {', '.join(ids[:NAMED])}")
