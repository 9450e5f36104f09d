"""A scheduled run, read top to bottom.

lock -> recover -> read -> as-of -> fresh? -> what came true -> done already? -> model -> forecast
-> good enough? -> publish -> ledger -> database -> tidy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from forecast.common.errors import (
    ForecastError,
    InputError,
    LockedError,
    OutputError,
    StaleInputError,
)
from forecast.common.files import at_home, one_command, refuse_address
from forecast.common.folders import remove_folder
from forecast.common.marks import TRAINING
from forecast.common.progress import Listener, Silent, Terminated
from forecast.common.secrets import redacted
from forecast.common.segments import last_known
from forecast.data.forecast import BLEND, LEVELS, Forecast
from forecast.data.io.folders import files_of
from forecast.data.load import LoadReport
from forecast.data.panel import FUTURE, Panel, check_ahead
from forecast.data.seasonality import confirm_seasons
from forecast.evaluation.metrics import seasonal_errors
from forecast.models.store import versions
from forecast.scheduling import clock, ledger
from forecast.scheduling.as_of import AsOfSnapshot, step_seconds, take_snapshot, usual_age
from forecast.scheduling.config import PERIODS, Job
from forecast.scheduling.config_file import advice_by_keys
from forecast.scheduling.context import Known, RunContext, RunLog, RunOutcome, Watch
from forecast.scheduling.database import deliver
from forecast.scheduling.dated_files import data_as_of
from forecast.scheduling.decisions import (
    ROLLED_BACK,
    Decision,
    Past,
    decide_completeness,
    decide_freshness,
    decide_publication,
    decide_whether_to_run,
    exit_code,
)
from forecast.scheduling.forecast import (
    METHOD,
    Made,
    blend_of,
    forecast_all,
    steps_ahead,
    stretches,
)
from forecast.scheduling.history import NOTHING, Changes
from forecast.scheduling.live_scores import (
    StepScore,
    notice_changes,
    remember,
    step_scores,
    take_in,
)
from forecast.scheduling.lock import locked, noticed_termination
from forecast.scheduling.models import NAIVE, Service
from forecast.scheduling.monitoring import Event, ping, write_metrics
from forecast.scheduling.publication import (
    PublishedForecast,
    about_the_data,
    about_the_forecast,
    is_intact,
    lost_series,
    output_files,
    point_at,
    prediction_table,
    run_name,
    whole_table,
    write_published,
)
from forecast.scheduling.recovery import (
    State,
    is_on,
    ledger_entry,
    read_state,
    recorded_runs,
    recover,
    with_sound_ledger,
)
from forecast.scheduling.retention import apply_retention, to_keep
from forecast.scheduling.retraining import unfinished
from forecast.scheduling.serving import choose_model, decide_model, decide_point
from forecast.scheduling.status import job_facts, job_metrics
from forecast.training.plan import choose_horizon
from forecast.transforms.covariates import unknown_ahead
from forecast.workflows.load import read, refuse_covariates

# --- The first steps of a run: read the data, settle the as-of; is there anything to do? ---------


NAMED = 5  # series that a line names


def read_snapshot(run: RunContext) -> tuple[LoadReport, AsOfSnapshot]:
    """Reads the data and settles the as-of. Raises StaleInputError when they are too old."""
    job = run.job
    if job.section.model == "pretrained":
        refuse_covariates(job.settings)
    run.run_log.stage(f"{job.name}: reading the data")
    for text in job.without_effect():
        run.run_log.note(text)
    data, which = data_as_of(job, run.moment, run.as_of)
    if which:
        run.run_log.note(which)
    panel, report = read(job.source, data, run.run_log)
    snapshot = take_snapshot(panel, job, partial(_horizon_of, job), run.as_of, run.moment)
    report = replace(report, seasons=_seasons_of(job, snapshot.seen))
    run.run_log.facts["as_of"] = snapshot.time
    _report_as_of(run, snapshot)
    period = PERIODS[job.section.schedule.every]
    usual = usual_age(step_seconds(snapshot.seen), period) if run.as_of is None else None
    fresh = decide_freshness(snapshot.age, job.section.freshness, usual)
    run.run_log.decide(fresh, said=fresh.choice not in ("stale", "old"))
    if fresh.choice == "stale":
        raise StaleInputError(
            fresh.reason,
            code="input/stale",
            where=job.source,
            value=snapshot.time,
            remedy="See why no newer data came; what is published stays as it is",
        )
    if fresh.choice == "old":
        run.run_log.warn("input/old", fresh.reason)
    return report, snapshot


def _seasons_of(job: Job, seen: Panel) -> tuple[int, ...]:
    """The seasons that what is seen confirms: of what comes after, a run does not know."""
    asked = job.settings.data.season
    return (asked,) if asked else confirm_seasons(seen)


def _horizon_of(job: Job, seen: Panel) -> int:
    seasons = _seasons_of(job, seen)
    return choose_horizon(seen, job.settings, seasons, int(np.median(seen.lengths)))[0]


def _report_as_of(run: RunContext, snapshot: AsOfSnapshot) -> None:
    run.run_log.note(f"as of {snapshot.time}: {snapshot.panel.size} series")
    if snapshot.dropped and run.as_of is None:
        run.run_log.note(f"up to {snapshot.dropped} steps that are not over yet were left out")
    for name, reason in snapshot.left_out[:NAMED]:
        run.run_log.note(f"left out: {name} {reason}")
    if snapshot.late:
        names = ", ".join(snapshot.late[:NAMED])
        run.run_log.warn("input/late-series", f"{len(snapshot.late)} series are late: {names}")


def nothing_to_do(
    run: RunContext, state: State, snapshot: AsOfSnapshot
) -> tuple[str, PublishedForecast] | None:
    """("already done", the run that stands for the as-of) or ("rolled back", the current run)
    where a run would publish what there is, or what was withdrawn; None where there is work."""
    published, current = state.of_position(snapshot.position, snapshot.grid), state.current
    behind = current is not None and run.as_of is None and not goes_on(current, snapshot)
    if published is None and current is not None and behind:
        let_go = recorded_runs(run.job.folder).get(snapshot.position)
        if let_go is not None:  # a clock or data that went back: the record must not be rewritten
            why = f"{let_go} was published for it, and has been let go by retention"
            return run.run_log.decide(Decision("this as-of", "already done", why)).choice, current
    past = _past(run, published) if published is not None else None
    serving = current.manifest["model"]["id"] if current is not None else None
    withheld = [
        Past(e["run"], e["seen"], e["config"], e["model"], True)
        for e in state.withheld
        if e["position"] == snapshot.position and e["model"] == serving and run.as_of is None
    ]
    judged = serving if published is current else None
    decision = decide_whether_to_run(snapshot.digest, run.job.digest, judged, past, withheld)
    run.run_log.decide(decision)
    if decision.choice == "already done" and published is not None:
        return decision.choice, published
    if decision.choice == ROLLED_BACK and current is not None:
        return decision.choice, current
    return None


def _past(run: RunContext, published: PublishedForecast) -> Past:
    manifest = published.manifest
    return Past(
        published.run,
        manifest["input"]["seen_sha256"],
        manifest["config_sha256"],
        manifest["model"]["id"],
        is_intact(run.job.folder, published),
    )


# --- The step of a run that forecasts: every series, within its time, or a refusal ---------------


ARIMA_SHARE = 0.5  # of what the deadline leaves when the networks are done


def make_forecast(run: RunContext, known: Known, service: Service) -> tuple[Made, dict[str, Any]]:
    """Forecasts every series; also how the intervals were adjusted.

    Raises InputError when more series fail than the job allows.
    """
    job, snapshot = run.job, known.snapshot
    run.run_log.stage("Forecasting")
    unknown = _not_covered(snapshot, service, job.settings.data.cov_short)
    factors, updates = np.ones(len(LEVELS)), 0
    if job.section.recalibrate:
        factors, updates = stretches(known.scores, LEVELS)
    design = service.forecaster.design if service.forecaster is not None else None
    steps = snapshot.lags + steps_ahead(snapshot, service.horizon)
    for code, text in unknown_ahead(design, snapshot.panel, steps):
        run.run_log.warn(code, text)
    point = run.run_log.decide(decide_point(job, service, snapshot.panel)).choice
    made = forecast_all(
        job=job,
        snapshot=snapshot,
        service=service,
        seasons=known.report.seasons,
        factors=factors,
        arima_seconds=_seconds_to_fit(run),
        listener=run.run_log,
        unable=unknown,
        point=point,
    )
    made = replace(made, blend=_blend(run, snapshot, service, made))
    decision = decide_publication(made.failed, snapshot.panel.size, job.section.max_failed)
    run.run_log.decide(decision)
    if decision.choice == "refuse":
        raise InputError(
            decision.reason,
            code="run/too-many-failed",
            where=job.source,
            remedy="See the log for the reasons; what is published stays. max_failed allows more",
        )
    adjusted = {
        f"{100 * (LEVELS[-1 - n] - LEVELS[n]):g}": round(float(factors[n]), 6)
        for n in range(len(LEVELS) // 2)
    }
    return made, {"adjusted": adjusted, "updates": updates, "method": METHOD}


def _seconds_to_fit(run: RunContext) -> float:
    """How long statistical models may be fitted now."""
    left, budget = run.watch.left(ARIMA_SHARE), run.job.section.fallback_seconds
    return budget if left is None else max(0.1, min(budget, left))


def _blend(
    run: RunContext, snapshot: AsOfSnapshot, service: Service, made: Made
) -> Forecast | None:
    """The blend beside the forecast; a bug in it must not cost the forecast, which then stands in
    its columns as well."""
    try:
        return blend_of(run.job, snapshot, service, made, _seconds_to_fit(run), run.run_log)
    except Exception as problem:
        text = f"{BLEND}: {type(problem).__name__}: {problem}"
        run.run_log.warn("run/forecaster-failed", text)
        return replace(made.forecast, name=BLEND)


def _not_covered(snapshot: AsOfSnapshot, service: Service, cov_short: str | None) -> np.ndarray:
    """object (S,): why the model in service lacks covariates of the steps to come, "" if it does
    not. Raises InputError when every series lacks some: then it is the file that is wrong."""
    found = np.full(snapshot.panel.size, "", object)
    covariates, design = snapshot.panel.covariates, None
    if service.forecaster is not None:
        design = service.forecaster.design
    if design is None or covariates is None or cov_short == "mask":
        return found
    names = [entry.name for entry in design.of(FUTURE)]
    steps = steps_ahead(snapshot, service.horizon)
    for column in covariates.of(FUTURE):
        if column.name in names:
            reached = last_known(column.values, covariates.offsets)
            short = reached < snapshot.panel.lengths + snapshot.lags + steps - 1
            found[short & (found == "")] = f"covariate {column.name} does not cover the horizon"
    if (found != "").all():
        check_ahead(snapshot.panel, steps, names)
    return found


# --- The last steps of a run: its folder and the link, then ledger, database and tidiness --------


def publish(
    run: RunContext,
    known: Known,
    service: Service,
    made: Made,
    trial: dict[str, Any],
    intervals: dict[str, Any],
) -> PublishedForecast:
    """Writes the run folder, the manifest last, and moves the link unless a later as-of is
    published: `current` never goes back. Raises OutputError."""
    job, snapshot, state = run.job, known.snapshot, known.state
    run.run_log.stage("Publishing")
    current, before = state.current, state.of_position(snapshot.position, snapshot.grid)
    sequence = state.next_sequence()
    leads = goes_on(current, snapshot)
    if current is not None and not leads and run.as_of is None:
        text = f"the data end before what is published, {current.manifest['as_of']}, which stays"
        run.run_log.warn("run/not-leading", text)
    if service.kind == NAIVE:
        run.run_log.warn("run/baseline-serves", "seasonal naive is in service: no model beats it")
    name = run_name(snapshot, snapshot.digest, job.digest, service.id, str(sequence))
    manifest = {
        "job": job.name,
        "sequence": sequence,
        "leads": leads,
        "created": run.stamp,
        "replaces": before.run if before is not None else None,
        "config_sha256": job.digest,
        **about_the_data(known.report, snapshot),
        **about_the_forecast(service, snapshot, made, len(known.lost)),
        "trial": trial,
        "decisions": [d.to_dict() for d in run.run_log.decisions],
        "intervals": intervals,
        "warnings": run.run_log.warnings,
        "exit_code": exit_code(made.fallbacks, len(known.lost)),
        "seconds": round(run.watch.elapsed(), 3),
        "versions": versions(),
    }
    published = write_published(job.folder, name, _files(run, snapshot, service, made), manifest)
    if leads:
        point_at(job.folder, name)
    return published


def goes_on(current: PublishedForecast | None, snapshot: AsOfSnapshot) -> bool:
    """Whether a forecast for the snapshot is not older than the published one: `current` never goes
    back. On another grid it is another forecast; else times are compared where there are any."""
    if current is None or not is_on(current, snapshot.grid):
        return True
    before = current.manifest.get("as_of_moment")
    if before is not None and snapshot.moment is not None:
        return datetime.fromisoformat(snapshot.moment) >= datetime.fromisoformat(before)
    return snapshot.position >= current.position


def refuse_incomplete(run: RunContext, state: State, snapshot: AsOfSnapshot) -> tuple[str, ...]:
    """Series of the published forecast that this one cannot have; said. Raises InputError where
    they are more than the job allows."""
    if not goes_on(state.current, snapshot):
        return ()
    lost, before = lost_series(run.job.folder, state.current, snapshot)
    if not lost:
        return ()
    names = ", ".join(lost[:NAMED])
    text = f"{len(lost)} of {before} series are gone or too late: {names}"
    run.run_log.warn("input/series-lost", text)
    decision = decide_completeness(len(lost), before, run.job.section.max_lost)
    if decision is not None and run.as_of is None:
        run.run_log.decide(decision)
        raise InputError(
            decision.reason,
            code="run/too-many-lost",
            where=run.job.source,
            value=names,
            remedy=_of_the_lost(run.job.source, before, snapshot),
        )
    return tuple(lost)


def _of_the_lost(source: str, before: int, snapshot: AsOfSnapshot) -> str:
    """What to do about series that are gone: one of a single file is called otherwise beside
    another file."""
    if before == 1 < len(snapshot.seen.ids) and len(files_of(source)) > 1:
        return (
            "The one series was called by its column; of several files each is called by its name. "
            "What is published stays. Give the new file a folder and a job of its own; or, to have "
            "all forecast under their files' names from now on, say max_lost: 1 for one run"
        )
    return "See why they are gone; what is published stays. Where it is right: max_lost allows more"


def _files(
    run: RunContext, snapshot: AsOfSnapshot, service: Service, made: Made
) -> dict[str, bytes]:
    """What the run folder holds beside its manifest."""
    scale = seasonal_errors(snapshot.panel.values, snapshot.panel.offsets, service.season)
    table = prediction_table(snapshot, made, run.job.settings.forecast, service.horizon)
    kinds = run.job.section.outputs.files
    return output_files(table, whole_table(snapshot, made, scale), kinds, run.run_log.log())


def settle(run: RunContext, known: Known, published: PublishedForecast) -> None:
    """Ledger and database take the published run in; what is no longer needed goes. Raises
    OutputError or UsageError where the database could not be written: all else is done then."""
    job, snapshot = run.job, known.snapshot
    state = State({**known.state.forecasts, published.run: published}, known.state.rollbacks)
    run.run_log.facts["run"] = published.run

    def record() -> None:
        with ledger.opened(job.folder / ledger.NAME) as connection:
            if published.manifest["leads"] and not ledger.is_on(connection, snapshot.grid):
                ledger.begin_on(connection, snapshot.grid)
            if not ledger.is_on(connection, snapshot.grid):
                return
            ledger.note_grid(connection, snapshot.grid)
            ledger.record(connection, ledger_entry(job.folder, published))
            newest = max(ledger.recorded_runs(connection))
            if snapshot.position >= newest or run.as_of is None:
                remember(connection, snapshot.seen)

    with_sound_ledger(job.folder, state, run.run_log, record)
    trouble = hand_over(run, state)
    remove_folder(unfinished(job.folder), TRAINING)
    apply_retention(job, state, run.run_log)
    if trouble is not None:
        raise trouble


def hand_over(run: RunContext, state: State) -> ForecastError | None:
    """Brings the user's database up to date; why that failed, or None. What is published as files
    does not wait for it."""
    try:
        with_sound_ledger(
            run.job.folder,
            state,
            run.run_log,
            lambda: deliver(run.job, state, run.run_log, run.stamp),
        )
    except ForecastError as error:
        run.run_log.warn(error.code, str(error))
        return error
    return None


# --- The step of a run that looks back: what came true, what was restated, how good it was -------


def what_came_true(run: RunContext, snapshot: AsOfSnapshot) -> tuple[Changes, list[StepScore]]:
    """Stores new actuals and restatements and scores the runs that they touch.

    A run for an as-of before the newest one sees part of the data only: it stores nothing.
    """
    with ledger.opened(run.job.folder / ledger.NAME) as connection:
        if not ledger.is_on(connection, snapshot.grid):
            run.run_log.warn("input/other-grid", "the data are of another frequency than before: "
                           "what was forecast until now cannot be compared with them")  # fmt: skip
            return NOTHING, []
        newest = max(ledger.recorded_runs(connection), default=None)
        changes = NOTHING
        if newest is None or snapshot.position >= newest or run.as_of is None:
            changes = notice_changes(connection, snapshot.seen)
            _report_changes(run, changes)
            _, restated = take_in(connection, snapshot.seen, changes, run.stamp)
            if restated:
                run.run_log.note(f"{restated} values that had been forecast were restated")
        return changes, _by_then(snapshot, step_scores(connection))


def what_would_come_true(
    run: RunContext, snapshot: AsOfSnapshot
) -> tuple[Changes, list[StepScore]]:
    """The same as far as it is known, for a rehearsal: nothing is stored."""
    path = run.job.folder / ledger.NAME
    if not path.exists():
        return NOTHING, []
    with ledger.opened(path) as connection:
        if not ledger.is_on(connection, snapshot.grid):
            return NOTHING, []
        return notice_changes(connection, snapshot.seen), _by_then(
            snapshot, step_scores(connection)
        )


def _by_then(snapshot: AsOfSnapshot, scores: Sequence[StepScore]) -> list[StepScore]:
    """The scores of what had come true by the as-of: a rehearsed past does not know its future."""
    return [s for s in scores if s.cutoff + s.step <= snapshot.position]


def _report_changes(run: RunContext, changes: Changes) -> None:
    """Says what is different in the past."""
    if changes.shorter:
        names = ", ".join(changes.shorter[:NAMED])
        text = f"{len(changes.shorter)} series lost values at their end: {names}"
        run.run_log.warn("input/history-shrunk", text)
    if len(changes.restated):
        text = f"the past of {len(changes.restated)} series is not what it was at the last run"
        run.run_log.warn("input/history-restated", text)
    if len(changes.moved):
        run.run_log.note(f"{len(changes.moved)} series begin later than at the last run")
    for word, ids in (("new", changes.new), ("gone", changes.gone)):
        if ids:
            run.run_log.note(f"{len(ids)} series are {word}: {', '.join(ids[:NAMED])}")


# -------------------------------------------------------------------------------------------------


INTERRUPTED, TERMINATED = 130, 143


@one_command(apart=True)
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
    seconds = job.lock_seconds if lock_wait is None else lock_wait
    run_log = RunLog(job.folder, job.name, moment, listener or Silent(), job.secrets())
    run = RunContext(job, as_of, moment, run_log, Watch(job.section.deadline))
    if dry_run and not job.folder.exists():
        return _dry_run(run)
    with locked(job.folder, seconds), noticed_termination() as signals:
        if dry_run:
            return _dry_run(run)
        run_log.begin(job.section.retention.keep_logs)
        begun()
        try:
            outcome = _work(run)
        except BaseException as problem:
            run_log.fail(problem, _code(problem, bool(signals)), now or clock.now())
            raise
        words = {"run": outcome.run, "as_of": outcome.as_of}
        run_log.end(outcome.outcome, outcome.exit_code, now or clock.now(), **words)
        return outcome


@advice_by_keys()
def _work(run: RunContext) -> RunOutcome:
    """The whole way."""
    folder = run.job.folder
    state = recover(folder, run.run_log)
    trouble = hand_over(run, state)  # what an interrupted run still owes
    report, snapshot = read_snapshot(run)
    changes, scores = with_sound_ledger(
        folder, state, run.run_log, lambda: what_came_true(run, snapshot)
    )
    if done := nothing_to_do(run, state, snapshot):
        if state.forecasts.keys() - to_keep(run.job, state).keys():
            apply_retention(
                run.job, state, run.run_log
            )  # what a run that was killed has left to do
        if trouble is not None:
            raise trouble
        return run.outcome(done[0], 0, done[1], snapshot)
    lost = refuse_incomplete(run, state, snapshot)
    known = Known(state, report, snapshot, changes, scores, lost)
    service, trial = choose_model(run, known)
    made, intervals = make_forecast(run, known, service)
    published = publish(run, known, service, made, trial, intervals)
    settle(run, known, published)
    return run.outcome("published", int(published.manifest["exit_code"]), published, snapshot)


@advice_by_keys()
def _dry_run(run: RunContext) -> RunOutcome:
    """Every decision up to the training, and nothing after it; nothing is changed."""
    state = read_state(run.job.folder)
    report, snapshot = read_snapshot(run)
    changes, scores = what_would_come_true(run, snapshot)
    if done := nothing_to_do(run, state, snapshot):
        return run.outcome("dry run", 0, done[1], snapshot)
    decide_model(run, Known(state, report, snapshot, changes, scores))
    return run.outcome("dry run", 0, None, snapshot)


def _code(problem: BaseException, terminated: bool) -> int:
    """The exit code that the command will end with, as far as it is known here."""
    if isinstance(problem, ForecastError):
        return problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        return TERMINATED if terminated or isinstance(problem, Terminated) else INTERRUPTED
    return OutputError.exit_code if isinstance(problem, OSError) else ForecastError.exit_code


# --- A run with its watchers: the monitor is pinged, the metrics file written, whatever happens


def run_monitored(
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
    try:
        return job.ping_address()
    except ForecastError as error:
        listener.warn("run/ping", str(error))
        return None


def _write_metrics(job: Job, listener: Listener) -> None:
    name = job.section.metrics_file
    if name is None:
        return
    path = job.config.parent / at_home(name)
    try:
        refuse_address(name)
        write_metrics(path, job_metrics(job_facts(job)))
    except ForecastError as error:
        with suppress(OSError):
            listener.warn("run/metrics", str(error))
