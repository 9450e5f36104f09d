"""A scheduled run, read top to bottom: `run_job` holds the lock, `_work` is the way.

lock -> recover -> read -> as-of -> fresh? -> what came true -> done already? -> model -> forecast
-> good enough? -> publish -> ledger -> database -> tidy.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from forecast.batch import clock, ledger
from forecast.batch.actuals import notice_changes, remember, take_in
from forecast.batch.config import Job, span
from forecast.batch.decisions import (
    Decision,
    Past,
    decide_freshness,
    decide_publication,
    decide_whether_to_run,
    exit_code,
)
from forecast.batch.diary import Diary
from forecast.batch.forecasting import Made, forecast_all
from forecast.batch.history import Changes
from forecast.batch.lock import locked
from forecast.batch.manifest import about_the_data, about_the_forecast, newly_left_out
from forecast.batch.models import Service
from forecast.batch.publish import (
    Edition,
    is_intact,
    output_files,
    point_at,
    prediction_table,
    run_name,
    whole_table,
    write_edition,
)
from forecast.batch.recalibration import METHOD, stretches
from forecast.batch.recovery import State, published, read_state, recover
from forecast.batch.scoring import StepScore, score_runs, step_scores, touched_runs
from forecast.batch.service import choose_model
from forecast.batch.slot import Slot, choose_slot
from forecast.batch.table_output import deliver
from forecast.batch.termination import noticed_termination
from forecast.batch.tidying import tidy
from forecast.batch.trial import unfinished
from forecast.errors import ForecastError, InputError, OutputError, StaleInputError
from forecast.events import Listener, Silent, Terminated
from forecast.forecasts import LEVELS
from forecast.metrics.accuracy import seasonal_errors
from forecast.model_folder import versions
from forecast.panel import LoadReport
from forecast.panel.covariates import FUTURE, check_ahead
from forecast.pipeline import read, refuse_covariates
from forecast.plan import choose_horizon

INTERRUPTED, TERMINATED = 130, 143
ARIMA_SHARE = 0.5  # of what the deadline leaves when the networks are done


@dataclass(frozen=True)
class RunOutcome:
    """What a run did: "published", "already done" or, for a dry run, "dry run"."""

    job: str
    outcome: str
    exit_code: int
    run: str | None
    as_of: str
    folder: str
    decisions: tuple[Decision, ...]
    warnings: tuple[dict[str, str], ...]
    series: int
    fallbacks: int
    seconds: float
    manifest: dict[str, Any] = field(default_factory=dict)


class Watch:
    """Time since the start, and what the job's deadline leaves."""

    def __init__(self, job: Job) -> None:
        self._began = time.monotonic()
        self._limit = span(job.section.deadline) if job.section.deadline else None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def left(self, share: float = 1.0) -> float | None:
        """`share` of the seconds until the deadline; None where there is none."""
        return None if self._limit is None else share * (self._limit - self.elapsed())


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
    that counts as the present; dry_run: decides, and changes nothing but what an interrupted run
    left behind; lock_wait: seconds to wait for another run (default: the job's own);
    begun: called once the lock is held.
    """
    moment = now or clock.now()
    wait = job.section.lock_wait
    seconds = lock_wait if lock_wait is not None else span(wait) if wait else 0.0
    diary = Diary(job.folder, job.name, moment, listener or Silent(), job.secrets())
    if dry_run and not job.folder.exists():
        return _Run(job, as_of, moment, diary).rehearse()
    with locked(job.folder, seconds), noticed_termination() as signals:
        if dry_run:
            return _Run(job, as_of, moment, diary).rehearse()
        diary.begin(job.section.retention.keep_logs)
        begun()
        try:
            outcome = _Run(job, as_of, moment, diary).work()
        except BaseException as problem:
            diary.fail(problem, _code(problem, bool(signals)), now or clock.now())
            raise
        diary.end(
            outcome.outcome,
            outcome.exit_code,
            now or clock.now(),
            run=outcome.run,
            as_of=outcome.as_of,
        )
        return outcome


@dataclass
class _Run:
    """The parts of one run; each method is one step."""

    job: Job
    as_of: str | None
    moment: datetime
    diary: Diary

    def __post_init__(self) -> None:
        self.watch = Watch(self.job)

    def work(self) -> RunOutcome:
        """The whole way."""
        state = recover(self.job.folder, self.diary)
        deliver(self.job, state, self.diary, self.stamp)  # what an interrupted run still owes
        report, slot = self.look()
        changes, scores = self.what_came_true(slot)
        if past := self.done_already(state, slot):
            return self.outcome("already done", 0, past, slot)
        service, trial = self.model(state, slot, report, changes, scores)
        made, intervals = self.forecast(slot, report, service, scores)
        edition = self.publish(state, slot, report, service, made, trial, intervals)
        self.settle(state, edition, slot)
        shutil.rmtree(unfinished(self.job.folder), ignore_errors=True)
        tidy(self.job, State({**state.editions, edition.run: edition}, state.rollbacks), self.diary)
        return self.outcome("published", int(edition.manifest["exit_code"]), edition, slot)

    def rehearse(self) -> RunOutcome:
        """Every decision up to the training, and nothing after it."""
        state = read_state(self.job.folder)
        report, slot = self.look()
        path = self.job.folder / ledger.NAME
        changes, scores = _no_changes(), []
        if path.exists():
            with ledger.opened(path) as connection:
                changes = notice_changes(connection, slot.seen)
                scores = _true_by(slot, step_scores(connection))
        if past := self.done_already(state, slot):
            return self.outcome("dry run", 0, past, slot)
        choose_model(self.job, state, slot, report, changes, scores, self.diary, None, self.stamp)
        return self.outcome("dry run", 0, None, slot)

    @property
    def stamp(self) -> str:
        """When this run is, ISO 8601."""
        return clock.stamp(self.moment)

    def look(self) -> tuple[LoadReport, Slot]:
        """Reads the data, settles the as-of and asks whether they are fresh enough."""
        if self.job.section.model == "pretrained":
            refuse_covariates(self.job.settings)
        self.diary.stage("Reading the data")
        panel, report = read(self.job.source, self.job.settings.data, self.diary)
        typical = int(np.median(panel.lengths))
        horizon, _ = choose_horizon(panel, self.job.settings, report.seasons, typical)
        slot = choose_slot(panel, self.job, horizon, self.as_of, self.moment)
        self.diary.facts["as_of"] = slot.time
        self.diary.note(f"as of {slot.time}: {slot.panel.size} series")
        if slot.dropped and self.as_of is None:
            self.diary.note(f"up to {slot.dropped} steps that are not over yet were left out")
        for name, reason in slot.left_out[:5]:
            self.diary.note(f"left out: {name} {reason}")
        if slot.late:
            names = ", ".join(slot.late[:5])
            self.diary.warn("input/late-series", f"{len(slot.late)} series are late: {names}")
        fresh = self.diary.decide(decide_freshness(slot.age, self.job.section.freshness))
        if fresh.choice == "stale":
            raise StaleInputError(
                fresh.reason,
                code="input/stale",
                where=self.job.source,
                value=slot.time,
                remedy="See why no newer data came; what is published stays as it is",
            )
        if fresh.choice == "old":
            self.diary.warn("input/old", fresh.reason)
        return report, slot

    def what_came_true(self, slot: Slot) -> tuple[Changes, list[StepScore]]:
        """Stores new actuals and restatements and scores the runs that they touch."""
        with ledger.opened(self.job.folder / ledger.NAME) as connection:
            newest = max(ledger.recorded_runs(connection), default=None)
            changes = _no_changes()
            if newest is None or slot.position >= newest or self.as_of is None:
                changes = notice_changes(connection, slot.seen)
                self.tell(changes)
                touched, restated = take_in(connection, slot.seen, changes, self.stamp)
                score_runs(connection, touched_runs(connection, touched))
                if restated:
                    self.diary.note(f"{restated} values that had been forecast were restated")
            return changes, _true_by(slot, step_scores(connection))

    def tell(self, changes: Changes) -> None:
        """Says what is different in the past."""
        if changes.shorter:
            names = ", ".join(changes.shorter[:5])
            text = f"{len(changes.shorter)} series lost values at their end: {names}"
            self.diary.warn("input/history-shrunk", text)
        if len(changes.restated):
            text = f"the past of {len(changes.restated)} series is not what it was at the last run"
            self.diary.warn("input/history-restated", text)
        if len(changes.moved):
            self.diary.note(f"{len(changes.moved)} series begin later than at the last run")
        for word, ids in (("new", changes.new), ("gone", changes.gone)):
            if ids:
                self.diary.note(f"{len(ids)} series are {word}: {', '.join(ids[:5])}")

    def done_already(self, state: State, slot: Slot) -> Edition | None:
        """The run that was already made of the same data, job and model, if there is one."""
        edition = state.of_position(slot.position)
        past = None
        if edition is not None:
            manifest = edition.manifest
            past = Past(
                edition.run,
                manifest["input"]["seen_sha256"],
                manifest["config_sha256"],
                manifest["model"]["id"],
                is_intact(self.job.folder, edition),
            )
        current = state.current
        serving = current.manifest["model"]["id"] if edition is current and current else None
        decision = decide_whether_to_run(slot.digest, self.job.digest, serving, past)
        self.diary.decide(decision)
        return edition if decision.choice == "already done" else None

    def model(
        self,
        state: State,
        slot: Slot,
        report: LoadReport,
        changes: Changes,
        scores: Sequence[StepScore],
    ) -> tuple[Service, dict[str, Any]]:
        """The model that serves this run: reused, or the outcome of a trial."""
        chosen = choose_model(
            self.job, state, slot, report, changes, scores, self.diary, self.watch, self.stamp
        )
        assert chosen is not None  # None is for rehearsals
        return chosen

    def forecast(
        self, slot: Slot, report: LoadReport, service: Service, scores: Sequence[StepScore]
    ) -> tuple[Made, dict[str, Any]]:
        """Forecasts every series; refuses when too many of them fail."""
        self.diary.stage("Forecasting")
        if service.forecaster is not None and service.forecaster.design is not None:
            ahead = [entry.name for entry in service.forecaster.design.of(FUTURE)]
            check_ahead(slot.panel, service.horizon, ahead)
        levels = np.array(LEVELS)
        factors, updates = np.ones(len(levels)), 0
        if self.job.section.recalibrate:
            factors, updates = stretches(scores, LEVELS)
        budget = self.job.section.fallback_seconds
        left = self.watch.left(ARIMA_SHARE)
        seconds = budget if left is None else max(0.1, min(budget, left))
        made = forecast_all(self.job, slot, service, report.seasons, factors, seconds, self.diary)
        decision = decide_publication(made.failed, slot.panel.size, self.job.section.max_failed)
        self.diary.decide(decision)
        if decision.choice == "refuse":
            raise InputError(
                decision.reason,
                code="run/too-many-failed",
                where=self.job.source,
                remedy="See the log for the reasons; what is published stays. max_failed allows "
                "more",
            )
        adjusted = {
            f"{100 * (LEVELS[-1 - n] - LEVELS[n]):g}": round(float(factors[n]), 6)
            for n in range(len(LEVELS) // 2)
        }
        return made, {"adjusted": adjusted, "updates": updates, "method": METHOD}

    def publish(
        self,
        state: State,
        slot: Slot,
        report: LoadReport,
        service: Service,
        made: Made,
        trial: dict[str, Any],
        intervals: dict[str, Any],
    ) -> Edition:
        """Writes the run folder and moves the link."""
        self.diary.stage("Publishing")
        current, before = state.current, state.of_position(slot.position)
        sequence = state.next_sequence()
        leads = self.as_of is None or current is None or slot.position >= current.position
        name = run_name(slot, slot.digest, self.job.digest, service.id, str(sequence))
        scale = seasonal_errors(slot.panel.values, slot.panel.offsets, service.season)
        table = prediction_table(slot, made, self.job.settings.forecast)
        kinds = self.job.section.outputs.files
        files = output_files(table, whole_table(slot, made, scale), kinds, self.diary.log())
        lost = newly_left_out(current, slot) if leads else 0
        manifest = {
            "job": self.job.name,
            "sequence": sequence,
            "leads": leads,
            "created": self.stamp,
            "replaces": before.run if before is not None else None,
            "config_sha256": self.job.digest,
            **about_the_data(report, slot),
            **about_the_forecast(service, slot, made),
            "trial": trial,
            "decisions": [d.to_dict() for d in self.diary.decisions],
            "intervals": intervals,
            "warnings": self.diary.warnings,
            "exit_code": exit_code(made.fallbacks, lost),
            "seconds": round(self.watch.elapsed(), 3),
            "versions": versions(),
        }
        edition = write_edition(self.job.folder, name, files, manifest)
        if leads:
            point_at(self.job.folder, name)
        return edition

    def settle(self, state: State, edition: Edition, slot: Slot) -> None:
        """Ledger and database take the published run in."""
        with ledger.opened(self.job.folder / ledger.NAME) as connection:
            ledger.record(connection, published(self.job.folder, edition))
            newest = max(ledger.recorded_runs(connection))
            if slot.position >= newest or self.as_of is None:
                remember(connection, slot.seen)
        state = State({**state.editions, edition.run: edition}, state.rollbacks)
        deliver(self.job, state, self.diary, self.stamp)

    def outcome(self, word: str, code: int, edition: Edition | None, slot: Slot) -> RunOutcome:
        """For the screen and for Python."""
        manifest = dict(edition.manifest) if edition is not None else {}
        series = manifest.get("series", {})
        return RunOutcome(
            self.job.name,
            word,
            code,
            edition.run if edition is not None else None,
            slot.time,
            str(self.job.folder),
            tuple(self.diary.decisions),
            tuple(self.diary.warnings),
            int(series.get("forecast", slot.panel.size)),
            int(series.get("fallbacks", 0)),
            self.watch.elapsed(),
            manifest,
        )


def _true_by(slot: Slot, scores: Sequence[StepScore]) -> list[StepScore]:
    """The scores of what had come true by the as-of: a rehearsed past does not know its future."""
    return [s for s in scores if s.cutoff + s.step <= slot.position]


def _no_changes() -> Changes:
    none = np.empty(0, np.int64)
    return Changes((), (), (), none, none, 0.0)


def _code(problem: BaseException, terminated: bool) -> int:
    """The exit code that the command will end with, as far as it is known here."""
    if isinstance(problem, ForecastError):
        return problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        return TERMINATED if terminated or isinstance(problem, Terminated) else INTERRUPTED
    return OutputError.exit_code if isinstance(problem, OSError) else ForecastError.exit_code
