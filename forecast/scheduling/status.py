"""What ran, what is published, how old it is and how good: the facts of a job as a document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forecast.common.durations import duration
from forecast.common.errors import ForecastError
from forecast.scheduling import ledger
from forecast.scheduling.as_of import usual_age
from forecast.scheduling.config import PERIODS, Job
from forecast.scheduling.context import read_last
from forecast.scheduling.decisions import ROLLED_BACK
from forecast.scheduling.forecast import ARIMA_SOURCE, NAIVE_SOURCE
from forecast.scheduling.ledger_checks import check_ledger
from forecast.scheduling.live_scores import (
    Live,
    StepScore,
    by_age,
    by_step,
    live,
    of_model,
    promised,
)
from forecast.scheduling.live_scores import step_scores as read_scores
from forecast.scheduling.lock import holder
from forecast.scheduling.models import NAIVE, choice_of
from forecast.scheduling.monitoring import JobMetrics
from forecast.scheduling.publication import PublishedForecast, current_run
from forecast.scheduling.recovery import in_words, read_state, what_is_aside

# --- What is known of a job, gathered for a person, a monitor and the score command --------------


@dataclass(frozen=True)
class JobFacts:
    """A job as it stands; nothing is changed by looking.

    last: `last.json` of the latest attempt; running: {pid, since} of a run at work, or None;
    killed: the latest attempt never ended and nobody is at work; current: the published run;
    runs: how many are kept; withdrawn: how many of them a rollback took out; recent: live scores
    of the newest runs of the model in service; expected: the backtest's MASE at the same steps;
    ages, steps: live scores by age of the forecast and by step ahead; trouble: why part of this
    could not be read; aside: what was damaged and lies in set-aside/ (or will, at the next run);
    spoilt: whether what `current` shows is damaged; period: seconds from one start of its schedule
    to the next; planning: how stable forecasts
    were and who made them better, where `score` has told it.
    """

    job: str
    folder: Path
    last: Mapping[str, Any] | None
    running: Mapping[str, Any] | None
    current: PublishedForecast | None
    runs: int
    withdrawn: int
    recent: Live
    expected: float
    ages: Mapping[str, Live]
    steps: Mapping[int, Live]
    bytes_kept: int
    trouble: str | None = None
    aside: tuple[str, ...] = ()
    spoilt: bool = False
    period: float = PERIODS["day"]
    planning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        """Whether the latest attempt was cut off."""
        return bool(self.last) and self.last.get("state") == "running" and not self.running  # type: ignore[union-attr]

    @property
    def promise(self) -> Mapping[str, Any]:
        """What the backtest of the model in service promised."""
        return self.current.manifest["model"]["promise"] if self.current is not None else {}

    @property
    def last_success(self) -> datetime | None:
        """When a run last published, or found that it had already."""
        found = (self.last or {}).get("last_success")
        return datetime.fromisoformat(found["at"]) if found else None

    def scores_document(self) -> dict[str, Any]:
        """The live scores, JSON-able; of the medians, while `point` is what is published."""
        return {
            "model": self.current.manifest["model"]["id"] if self.current is not None else None,
            "point": self.current.point if self.current is not None else None,
            "recent": self.recent.to_dict(),
            "expected_mase": None if math.isnan(self.expected) else self.expected,
            "promise": dict(self.promise),
            "by_age": {name: scores.to_dict() for name, scores in self.ages.items()},
            "by_step": {str(step): scores.to_dict() for step, scores in self.steps.items()},
            **self.planning,
        }


def job_facts(job: Job) -> JobFacts:
    """Gathers the facts of a job. What cannot be read is said in `trouble`, and left out."""
    scores: Sequence[StepScore] = []
    trouble = []
    state = read_state(job.folder)
    trouble += [in_words(each) for each in state.damaged]
    try:
        scores = ledger_scores(job.folder)
    except ForecastError as error:
        trouble.append(str(error))
    damaged = [each.path.name for each in state.damaged]
    current = state.current
    nothing: dict[str, Any] = {"id": "", "promise": {}}
    model = current.manifest["model"] if current is not None else nothing
    mine = of_model(scores, model["id"])
    return JobFacts(
        job=job.name,
        folder=job.folder,
        last=read_last(job.folder),
        running=holder(job.folder),
        current=current,
        runs=len(state.forecasts),
        withdrawn=len(state.withdrawn & set(state.forecasts)),
        recent=live(mine),
        expected=promised(mine, model["promise"]),
        ages=by_age(scores),
        steps=by_step(scores),
        bytes_kept=folder_size(job.folder),
        trouble="; ".join(trouble) or None,
        period=PERIODS[job.section.schedule.every],
        aside=(*what_is_aside(job.folder), *damaged),
        spoilt=current_run(job.folder) in damaged,
    )


def ledger_scores(folder: Path) -> Sequence[StepScore]:
    """All live scores; none where there is no ledger yet. Raises OutputError."""
    path = folder / ledger.NAME
    if not path.exists():
        return []
    with ledger.opened(path) as connection:
        check_ledger(connection, path)
        return read_scores(connection)


def folder_size(folder: Path) -> int:
    """Bytes of all files below `folder`; links are not followed."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
        except OSError:  # removed meanwhile
            continue
    return total


def job_metrics(facts: JobFacts) -> JobMetrics:
    """The facts as Prometheus is told them."""
    last = facts.last or {}
    manifest: Mapping[str, Any] = facts.current.manifest if facts.current is not None else {}
    series = manifest.get("series", {})
    model = manifest.get("model", {})
    success = facts.last_success
    return JobMetrics(
        job=facts.job,
        last_run=_moment(last.get("finished") or last.get("started")) or math.nan,
        exit_code=int(last.get("exit_code") or 0),
        seconds=float(last.get("seconds") or 0.0),
        last_success=success.timestamp() if success is not None else None,
        published=_moment(manifest.get("created")),
        origin=_moment(manifest.get("as_of_moment")),
        trained=_moment(model.get("created")),
        series=series.get("forecast"),
        fallbacks=by_baselines(manifest) if series else None,
        baseline_serves=int(model["kind"] == NAIVE) if model else None,
        warnings=len(last.get("warnings") or ()),
        set_aside=len(facts.aside),
        lost=series.get("lost", 0) if series else None,
        period=facts.period,
        age_limit=usual_age(manifest.get("input", {}).get("step_seconds"), facts.period),
        rows=series["forecast"] * manifest["horizon"] if series else None,
        bytes_kept=facts.bytes_kept,
        live_mase=None if math.isnan(facts.recent.mase) else facts.recent.mase,
        promised_mase=None if math.isnan(facts.expected) else facts.expected,
        coverage=facts.recent.coverage,
        promised_coverage={
            float(level): share
            for level, share in (facts.promise.get("coverage") or {}).items()
            if share is not None
        },
    )


def by_baselines(manifest: Mapping[str, Any]) -> int:
    """Series of a run that no network forecast, whether one failed or none is in service."""
    by_source = manifest["series"]["by_source"]
    return sum(by_source.get(name, 0) for name in (ARIMA_SOURCE, NAIVE_SOURCE))


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


# -------------------------------------------------------------------------------------------------


# States of a job, the gravest first.
NEVER, UNKNOWN, RUNNING, KILLED, FAILED, DAMAGED, OLD, FINE = (
    "never run", "unknown", "running", "cut off", "failed", "damaged", "too old", "in order",
)  # fmt: skip


CUT_OFF, SPOILT = 130, 12  # exit codes of what was interrupted, and of what is damaged
AHEAD = 300.0  # seconds that a clock may have been ahead; more says that it was wrong


def describe(facts: JobFacts, now: datetime, most: float | None) -> dict[str, Any]:
    """The facts, JSON-able, with ages in seconds at `now` and the job's state in a word.

    most: seconds that the last success may be old; None: any age will do. A success of the future,
    of a clock that was ahead, says nothing: it counts as too old.
    """
    success = _success(facts, now)
    too_old = most is not None and (
        success is None or success["in_the_future"] or success["age_seconds"] > most
    )
    return {
        "job": facts.job,
        "state": _state(facts, too_old),
        "folder": str(facts.folder),
        "too_old": too_old,
        "running": dict(facts.running) if facts.running else None,
        "last_attempt": _attempt(facts, now),
        "last_success": success,
        "published": _published(facts, now),
        "scores": facts.scores_document(),
        "set_aside": list(facts.aside),
        "kept": {"runs": facts.runs, "withdrawn": facts.withdrawn, "bytes": facts.bytes_kept},
        "trouble": facts.trouble,
    }


def exit_code(documents: Iterable[Mapping[str, Any]]) -> int:
    """5 when the last success of any job is too old, else the code of the first job whose last run
    failed (130 where it was cut off) or whose published forecast is damaged (12), else 0."""
    documents = list(documents)
    if any(document["too_old"] for document in documents):
        return 5
    codes = {
        FAILED: lambda document: int(document["last_attempt"]["exit_code"] or 1),
        KILLED: lambda document: CUT_OFF,
        DAMAGED: lambda document: SPOILT,
    }
    bad = (document for document in documents if document["state"] in codes)
    return next((codes[document["state"]](document) for document in bad), 0)


def sentence(document: Mapping[str, Any]) -> str:
    """What a person should know first."""
    attempt = document["last_attempt"]
    if attempt is None:
        known = document["published"] is not None
        return "what the last run did is not recorded" if known else "it has never run"
    error = attempt["error"]
    held = "a rollback holds: nothing has changed since"
    done = f"the last run ended well: {attempt['outcome']}"
    fine = held if attempt["outcome"] == ROLLED_BACK else done
    success = document["last_success"]
    ahead = f"the last success lies in the future ({success['at']}): a clock was wrong" if (
        success and success["in_the_future"]) else None  # fmt: skip
    words = {
        RUNNING: f"a run is at work since {(document['running'] or {}).get('since')}",
        KILLED: f"the run that began {attempt['started']} was cut off; the next one cleans up",
        FAILED: f"{_times(attempt['failures_in_a_row'])}: {error['message'] if error else ''}",
        DAMAGED: "what is published is damaged; the next run publishes anew",
        OLD: ahead or "no run has ended well for too long",
        FINE: ahead or fine,
    }
    return words[document["state"]]


def ago(seconds: float) -> str:
    """How long ago something was, by a clock that may have been set back since."""
    return "in the future" if seconds <= -AHEAD else f"{duration(max(0.0, seconds))} ago"


def _state(facts: JobFacts, too_old: bool) -> str:
    last = facts.last or {}
    if facts.running:
        return RUNNING
    if facts.killed:
        return KILLED
    if last.get("outcome") in ("failed", "stale", "interrupted"):
        return FAILED
    if facts.spoilt:
        return DAMAGED
    if not facts.last:
        return NEVER if facts.current is None else UNKNOWN
    return OLD if too_old else FINE


def _success(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    at = facts.last_success
    if at is None or facts.last is None:
        return None
    seconds = (now - at).total_seconds()
    return {
        **facts.last["last_success"], "age_seconds": seconds, "in_the_future": seconds <= -AHEAD,
    }  # fmt: skip


def _attempt(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    if facts.last is None:
        return None
    names = ("outcome", "exit_code", "started", "finished", "seconds", "run", "as_of", "error",
             "warnings", "failures_in_a_row", "decisions", "log")  # fmt: skip
    found = {name: facts.last.get(name) for name in names}
    return {**found, "age_seconds": _age_of(found["started"], now)}


def _published(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    if facts.current is None:
        return None
    manifest = facts.current.manifest
    return {
        "run": facts.current.run,
        "folder": str(facts.folder / "current"),
        "as_of": manifest["as_of"],
        "created": manifest["created"],
        "age_seconds": _age_of(manifest["created"], now),
        "horizon": manifest["horizon"],
        "point": facts.current.point,
        "series": {**manifest["series"], "by_baselines": by_baselines(manifest)},
        "model": {name: manifest["model"].get(name) for name in ("id", "kind", "trained_until")},
        "covariates": choice_of(facts.folder, manifest["model"].get("id") or "", "covariates"),
        "files": sorted(n for n in manifest["outputs"] if n.startswith("predictions")),
        "intervals": dict(manifest["intervals"]),
        "exit_code": manifest["exit_code"],
    }


def _age_of(moment: str | None, now: datetime) -> float | None:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else None


def _times(failures: int | None) -> str:
    return "the last run failed" if (failures or 1) == 1 else f"the last {failures} runs failed"
