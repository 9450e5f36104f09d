"""A scheduled run, read top to bottom.

lock -> recover -> read -> as-of -> fresh? -> what came true -> done already? -> model -> forecast
-> good enough? -> publish -> ledger -> database -> tidy.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from forecast.batch import clock
from forecast.batch.attempt import Attempt, Known, RunOutcome, Watch
from forecast.batch.came_true import what_came_true, what_would_come_true
from forecast.batch.config import Job, span
from forecast.batch.diary import Diary
from forecast.batch.lock import locked
from forecast.batch.making import make_forecast
from forecast.batch.publishing import publish, settle
from forecast.batch.reading import look, nothing_to_do
from forecast.batch.recovery import read_state, recover
from forecast.batch.service import choose_model, decide_model
from forecast.batch.table_output import deliver
from forecast.batch.termination import noticed_termination
from forecast.errors import ForecastError, OutputError
from forecast.events import Listener, Silent, Terminated

INTERRUPTED, TERMINATED = 130, 143


def run_job(
    job: Job,
    *,
    as_of: str | None = None,
    now: datetime | None = None,
    listener: Listener | None = None,
    dry_run: bool = False,
    lock_wait: float | None = None,
    begun: Callable[[], None] = lambda: None,
) -> RunOutcome:
    """One run of a job. Raises ForecastError, or KeyboardInterrupt when it was asked to end.

    as_of: the last time that is seen, as text (default: what the data reach to); now: the moment
    that counts as the present; dry_run: decides, and changes nothing; lock_wait: seconds to wait
    for another run (default: the job's own); begun: called once the lock is held.
    """
    moment = now or clock.now()
    wait = job.section.lock_wait
    seconds = lock_wait if lock_wait is not None else span(wait) if wait else 0.0
    diary = Diary(job.folder, job.name, moment, listener or Silent(), job.secrets())
    run = Attempt(job, as_of, moment, diary, Watch(job.section.deadline))
    if dry_run and not job.folder.exists():
        return _rehearse(run)
    with locked(job.folder, seconds), noticed_termination() as signals:
        if dry_run:
            return _rehearse(run)
        diary.begin(job.section.retention.keep_logs)
        begun()
        try:
            outcome = _work(run)
        except BaseException as problem:
            diary.fail(problem, _code(problem, bool(signals)), now or clock.now())
            raise
        words = {"run": outcome.run, "as_of": outcome.as_of}
        diary.end(outcome.outcome, outcome.exit_code, now or clock.now(), **words)
        return outcome


def _work(run: Attempt) -> RunOutcome:
    """The whole way."""
    state = recover(run.job.folder, run.diary)
    deliver(run.job, state, run.diary, run.stamp)  # what an interrupted run still owes
    report, slot = look(run)
    changes, scores = what_came_true(run, slot)
    if done := nothing_to_do(run, state, slot):
        return run.outcome(done[0], 0, done[1], slot)
    known = Known(state, report, slot, changes, scores)
    service, trial = choose_model(run, known)
    made, intervals = make_forecast(run, known, service)
    edition = publish(run, known, service, made, trial, intervals)
    settle(run, known, edition)
    return run.outcome("published", int(edition.manifest["exit_code"]), edition, slot)


def _rehearse(run: Attempt) -> RunOutcome:
    """Every decision up to the training, and nothing after it; nothing is changed."""
    state = read_state(run.job.folder)
    report, slot = look(run)
    changes, scores = what_would_come_true(run, slot)
    if done := nothing_to_do(run, state, slot):
        return run.outcome("dry run", 0, done[1], slot)
    decide_model(run, Known(state, report, slot, changes, scores))
    return run.outcome("dry run", 0, None, slot)


def _code(problem: BaseException, terminated: bool) -> int:
    """The exit code that the command will end with, as far as it is known here."""
    if isinstance(problem, ForecastError):
        return problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        return TERMINATED if terminated or isinstance(problem, Terminated) else INTERRUPTED
    return OutputError.exit_code if isinstance(problem, OSError) else ForecastError.exit_code
