"""`lstmcast score`: what has come true is taken in and scored, outside of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from forecast.common.progress import Listener
from forecast.scheduling import clock, ledger
from forecast.scheduling.as_of import take_snapshot
from forecast.scheduling.config import Job
from forecast.scheduling.dated_files import data_as_of
from forecast.scheduling.live_scores import notice_changes, take_in
from forecast.scheduling.lock import locked
from forecast.scheduling.recovery import recover
from forecast.scheduling.status import JobFacts, job_facts
from forecast.scheduling.value_added import planning
from forecast.workflows.load import read


def score_job(
    job: Job, listener: Listener, *, rebuild: bool = False, now: datetime | None = None
) -> JobFacts:
    """Reads the job's data, scores every forecast that has come true, and returns the facts.

    rebuild: the ledger is made anew from the run folders first. Raises InputError, LockedError.
    """
    moment = now or clock.now()
    with locked(job.folder, job.lock_seconds):
        if rebuild:
            set_aside(job)
        state = recover(job.folder, listener)
        panel, _ = read(job.source, data_as_of(job, moment)[0], listener)
        snapshot = take_snapshot(panel, job, int(np.iinfo(np.int32).max), None, moment)
        with ledger.opened(job.folder / ledger.NAME) as connection:
            if not ledger.is_on(connection, snapshot.grid):
                return job_facts(job)
            changes = notice_changes(connection, snapshot.seen)
            take_in(connection, snapshot.seen, changes, clock.stamp(moment))
            told = planning(connection, state, job.folder, snapshot.seen)
        return replace(job_facts(job), planning=told.to_dict())


def set_aside(job: Job) -> None:
    """Moves the ledger away, so that the next look makes one from the run folders."""
    path = job.folder / ledger.NAME
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    if path.exists():
        path.replace(path.with_name("ledger.before"))
