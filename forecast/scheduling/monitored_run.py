"""A run with its watchers: the monitor is pinged, the metrics file written, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from forecast.common.errors import ForecastError, LockedError
from forecast.common.progress import Listener
from forecast.scheduling.config import Job
from forecast.scheduling.job_facts import job_facts, job_metrics
from forecast.scheduling.ping import Event, ping
from forecast.scheduling.prometheus import write_metrics
from forecast.scheduling.run import RunOutcome, run_job
from forecast.scheduling.secrets import redacted, reveal


def run_attended(
    job: Job,
    listener: Listener,
    *,
    as_of: str | None = None,
    dry_run: bool = False,
    lock_wait: float | None = None,
) -> RunOutcome:
    """`run_job`, told to the job's monitor and metrics file; neither can fail the run.

    A rehearsal tells nobody. A run that finds another at work tells nobody either: that one will.
    """
    if dry_run:
        return run_job(job, as_of=as_of, listener=listener, dry_run=True, lock_wait=lock_wait)
    tell = _monitor(job, listener)
    try:
        outcome = run_job(
            job,
            as_of=as_of,
            listener=listener,
            lock_wait=lock_wait,
            begun=lambda: tell("start", job.name),
        )
    except LockedError:
        raise
    except BaseException as problem:
        _write_metrics(job, listener)
        tell("fail", redacted(str(problem) or type(problem).__name__, job.secrets()))
        raise
    _write_metrics(job, listener)
    tell("success", f"{outcome.outcome}: {outcome.run}, as of {outcome.as_of}")
    return outcome


def _monitor(job: Job, listener: Listener) -> Callable[[Event, str], None]:
    """Sends to the monitor, if the job has one; trouble is a warning."""
    address = _address(job, listener)

    def tell(event: Event, text: str) -> None:
        if address is None:
            return
        try:
            trouble = ping(address, event, text)
        except ForecastError as error:
            trouble = error.message
        if trouble is not None:
            listener.warn("run/ping", trouble)

    return tell


def _address(job: Job, listener: Listener) -> str | None:
    rules = job.section.ping
    setting = rules.url if rules.url is not None else rules.url_file and f"file:{rules.url_file}"
    if not setting:
        return None
    try:
        return reveal(setting, os.environ, job.config.parent, "ping.url")
    except ForecastError as error:
        listener.warn("run/ping", str(error))
        return None


def _write_metrics(job: Job, listener: Listener) -> None:
    name = job.section.metrics_file
    if name is None:
        return
    path = job.config.parent / Path(name).expanduser()
    try:
        write_metrics(path, job_metrics(job_facts(job)))
    except ForecastError as error:
        with suppress(OSError):
            listener.warn("run/metrics", str(error))
