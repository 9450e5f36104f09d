"""`lstmcast repair`: every file of a job looked at, and what is damaged set aside or made anew.

A run does the same with what it meets; this looks at everything, without the data and at once.
Nothing is deleted: what cannot be used lies in set-aside/ afterwards, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forecast.common.errors import ForecastError, OutputError
from forecast.common.progress import Listener, Silent
from forecast.scheduling import ledger
from forecast.scheduling.config import Job
from forecast.scheduling.context import LAST, read_last
from forecast.scheduling.ledger_checks import check_ledger
from forecast.scheduling.live_scores import step_scores
from forecast.scheduling.lock import locked
from forecast.scheduling.models import FOLDER as MODELS
from forecast.scheduling.models import load_scored, load_trained
from forecast.scheduling.publication import (
    CURRENT,
    RUNS,
    current_run,
    is_intact,
)
from forecast.scheduling.recovery import (
    ASIDE,
    State,
    read_state,
    recover,
    set_aside,
)

ASIDE_TOO = f"set aside, in {ASIDE}/"
REMADE = "made anew from the run folders; the old one is kept as ledger.damaged"


@dataclass(frozen=True)
class Repair:
    """What was looked at, what is wrong with it, and what is done about it."""

    what: str
    found: str
    action: str


def repair_job(job: Job, listener: Listener, *, dry_run: bool = True) -> list[Repair]:
    """What is damaged in a job's folder; dry_run: only said, else repaired. Raises LockedError."""
    if not job.folder.is_dir():
        return []
    if dry_run:
        return [repair for repair, _ in _repairs(job)]
    with locked(job.folder, job.lock_seconds):
        found = list(_repairs(job))
        for _, mend in found:
            mend()
        recover(job.folder, listener if not found else Silent())
        return [repair for repair, _ in found]


Found = tuple[Repair, Callable[[], object]]


def _repairs(job: Job) -> Iterator[Found]:
    """Each repair with what does it; what `recover` does by itself is done by that."""
    state = read_state(job.folder)
    for damage in state.damaged:
        action = ASIDE_TOO if damage.lasting else "left where it is"
        yield Repair(damage.path.name, damage.why, action), _nothing
    changed = [e for e in state.standing if not is_intact(job.folder, e)]
    for published in changed:
        place = job.folder / RUNS / published.run
        found = "its files are missing or are not as they were written"
        yield Repair(published.run, found, ASIDE_TOO), partial(set_aside, job.folder, place)
    gone = {published.run for published in changed}
    yield from _link(job.folder, state, gone)
    yield from _models(job.folder, state, gone)
    yield from _ledger(job.folder)
    if (job.folder / LAST).exists() and read_last(job.folder) is None:
        path = job.folder / LAST
        found = "what the last run did cannot be read"
        yield Repair(LAST, found, ASIDE_TOO), lambda: set_aside(job.folder, path)


def _link(folder: Path, state: State, gone: set[str]) -> Iterator[Found]:
    """Whether `current` names the newest run that stands and is whole."""
    whole = {run: e for run, e in state.forecasts.items() if run not in gone}
    wanted = State(whole, state.rollbacks).current
    if wanted is not None and current_run(folder) != wanted.run:
        yield (
            Repair(CURRENT, "it does not name the newest good run", f"names {wanted.run}"),
            (_nothing),
        )


def _models(folder: Path, state: State, gone: set[str]) -> Iterator[Found]:
    """The trained models that a kept run was made with."""
    used = {
        e.manifest["model"]["id"]
        for e in state.standing
        if e.manifest["model"]["kind"] == "trained" and e.run not in gone
    }
    for name in sorted(used):
        try:
            load_trained(folder, name)
            load_scored(folder, name)
        except ForecastError as error:
            place = folder / MODELS / name
            mend = (lambda p=place: set_aside(folder, p)) if place.exists() else _nothing
            action = ASIDE_TOO if place.exists() else "nothing"
            yield (
                Repair(f"model {name}", error.message, f"{action}; the next run trains a new one"),
                mend,
            )


def _ledger(folder: Path) -> Iterator[Found]:
    """The ledger, every row of every table and every forecast in it."""
    path = folder / ledger.NAME
    if not path.exists() and not path.is_symlink():
        return
    try:
        with ledger.opened(path) as connection:
            check_ledger(connection, path)
            step_scores(connection)
            for (run,) in connection.execute("SELECT id FROM runs").fetchall():
                for _ in ledger.recorded(connection, run):
                    pass
    except OutputError as error:
        if not ledger.is_damaged(error):
            raise
        yield Repair(ledger.NAME, error.message, REMADE), lambda: ledger.set_aside(path)


def _nothing() -> None:
    """`recover`, which follows, does it."""
