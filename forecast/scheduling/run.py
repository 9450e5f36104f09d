"""A scheduled run, read top to bottom.

lock -> recover -> read -> as-of -> fresh? -> what came true -> done already? -> model -> forecast
-> good enough? -> publish -> ledger -> database -> tidy.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from forecast.common.errors import ForecastError, OutputError
from forecast.common.progress import Listener, Silent, Terminated
from forecast.scheduling import clock
from forecast.scheduling.config import Job, span
from forecast.scheduling.context import Attempt, Known, RunOutcome, Watch
from forecast.scheduling.database import deliver
from forecast.scheduling.evaluation_step import what_came_true, what_would_come_true
from forecast.scheduling.forecast_step import make_forecast
from forecast.scheduling.load_step import look, nothing_to_do
from forecast.scheduling.lock import locked
from forecast.scheduling.publication_step import publish, settle
from forecast.scheduling.recovery import read_state, recover
from forecast.scheduling.run_log import Diary
from forecast.scheduling.serving import choose_model, decide_model
from forecast.scheduling.termination import noticed_termination

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
