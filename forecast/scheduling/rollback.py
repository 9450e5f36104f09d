"""`lstmcast rollback`: back to an earlier run, its model with it.

What is withdrawn is written first; link and ledger follow from it, now or at the next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forecast.common.errors import UsageError
from forecast.common.progress import Listener
from forecast.scheduling.clock import now, stamp
from forecast.scheduling.config import Job
from forecast.scheduling.database import deliver
from forecast.scheduling.lock import locked
from forecast.scheduling.publication import PublishedForecast, is_intact
from forecast.scheduling.recovery import (
    State,
    bring_ledger,
    bring_link,
    recover,
    rollback_to,
    write_rollbacks,
)

KEPT = 100  # rollbacks that are remembered


@dataclass(frozen=True)
class RolledBack:
    """From which run to which, and the names of all that no longer count."""

    job: str
    before: str
    to: str
    as_of: str
    model: str
    withdrawn: tuple[str, ...]


def roll_back(
    job: Job, listener: Listener, to: str | None = None, moment: datetime | None = None
) -> RolledBack:
    """Makes the last good run before the current one current again, or the run `to`.

    Runs after it are withdrawn: they no longer count in the ledger, a run of the same data, job and
    model does not publish them again, and a model that serves only there is not put into service
    again when it is trained to the same bits. Naming a withdrawn run brings it back. Raises
    UsageError when there is no such run, LockedError.
    """
    with locked(job.folder, job.lock_seconds):
        state = recover(job.folder, listener)
        target = _target(job, state, to)
        entry = _entry(state, target, stamp(moment or now()))
        rollbacks = [*state.rollbacks, entry][-KEPT:]
        write_rollbacks(job.folder, rollbacks)
        after = State(state.forecasts, tuple(rollbacks))
        bring_link(job.folder, after, listener)
        bring_ledger(job.folder, after, listener)
        deliver(job, after, listener, stamp(moment or now()))
    return RolledBack(
        job.name,
        entry["from"],
        target.run,
        target.manifest["as_of"],
        target.manifest["model"]["id"],
        tuple(entry["withdrawn"]),
    )


def _target(job: Job, state: State, to: str | None) -> PublishedForecast:
    current = state.current
    leading = [e for e in state.forecasts.values() if e.manifest["leads"]]
    if to is not None:
        target = next((e for e in leading if e.run == to), None)
    else:
        earlier = [e for e in state.standing if e.manifest["leads"] and e is not current]
        target = earlier[-1] if earlier else None
    if target is None or current is None or target is current:
        others = sorted((e for e in leading if e is not current), key=lambda e: -e.sequence)
        names = ", ".join(e.run for e in others[:5])
        raise UsageError(
            "there is no run to go back to" if to is None else "there is no such earlier run",
            code="rollback/nothing",
            where=str(job.folder),
            value=to,
            remedy=f"--to takes one of: {names}" if names else "No other run is kept",
        )
    if not is_intact(job.folder, target):
        raise UsageError(
            "the files of that run are missing or were changed",
            code="rollback/damaged",
            where=str(job.folder),
            value=target.run,
            remedy="Name another with --to",
        )
    return target


def _entry(state: State, target: PublishedForecast, at: str) -> dict[str, Any]:
    """What `rollbacks.json` says of it."""
    current = state.current
    assert current is not None
    later = [
        e for e in state.forecasts.values() if e.sequence > target.sequence and e.manifest["leads"]
    ]
    serving = {
        run: e
        for run, e in state.forecasts.items()
        if e.sequence <= target.sequence and run not in state.withdrawn
    }
    entry = rollback_to(target, {**serving, target.run: target}, later, at)
    return {**entry, "from": current.run, "trial": current.manifest.get("trial")}
