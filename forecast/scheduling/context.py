"""One run of a job: what was asked of it, what it knows, and what it came to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forecast.common.documents import BadDocument, as_bytes, check_schema, read_document
from forecast.common.durations import seconds_in
from forecast.common.errors import ForecastError
from forecast.common.files import failed_to_write, write_bytes
from forecast.common.progress import Listener
from forecast.common.secrets import redacted
from forecast.data.load import LoadReport
from forecast.scheduling import clock
from forecast.scheduling.as_of import AsOfSnapshot
from forecast.scheduling.clock import now, stamp
from forecast.scheduling.config import Job
from forecast.scheduling.config_file import as_a_job_says
from forecast.scheduling.decisions import Decision
from forecast.scheduling.documents import LastAttempt
from forecast.scheduling.history import Changes
from forecast.scheduling.live_scores import StepScore
from forecast.scheduling.publication import PublishedForecast
from forecast.scheduling.recovery import State
from forecast.scheduling.retention import sweep_logs

# --- What an attempt leaves of itself: a log of JSON lines, and `last.json` ----------------------


LAST, LOGS = "last.json", "logs"
SCHEMA_VERSION = 1


class RunLog:
    """A listener that writes the story down and passes it on; holds the facts of the attempt.

    The log is for reading; that a line of it cannot be written stops nothing.
    """

    def __init__(
        self, folder: Path, job: str, moment: datetime, listener: Listener, secrets: tuple[str, ...]
    ) -> None:
        self._writes = False  # until `begin`: a rehearsal leaves nothing
        self._folder, self._listener, self._secrets = folder, listener, secrets
        self._began = time.monotonic()
        before = read_last(folder) or {}
        cut_off = before.get("state") == "running"  # killed, or the power went
        self._path = folder / LOGS / f"{stamp(moment).replace(':', '')}-{os.getpid()}.jsonl"
        self.warnings: list[dict[str, str]] = []
        self.decisions: list[Decision] = []
        self.facts: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "job": job,
            "state": "running",
            "pid": os.getpid(),
            "started": stamp(moment),
            "finished": None,
            "outcome": None,
            "exit_code": None,
            "run": None,
            "as_of": None,
            "error": None,
            "decisions": [],
            "seconds": None,
            "warnings": [],
            "last_success": before.get("last_success"),
            "failures_in_a_row": before.get("failures_in_a_row", 0) + cut_off,
            "log": str(self._path.relative_to(folder)),
        }

    def begin(self, keep_logs: int) -> None:
        """Says that the attempt runs. Raises OutputError."""
        self._writes = True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failed_to_write(self._path, error) from error
        self._write_last()
        with suppress(OSError):
            sweep_logs(self._path.parent, max(1, keep_logs - 1), self._path.name)
        self._line("begin", f"run of {self.facts['job']}")

    def decide(self, decision: Decision, *, said: bool = True) -> Decision:
        """Records a decision, and says it unless a warning or an error is about to."""
        self.decisions.append(decision)
        self._line("decision", f"{decision.what}: {decision.choice}", reason=decision.reason)
        if said:
            text = f"{decision.what}: {decision.choice} ({decision.reason})"
            self._listener.note(self._clean(text))
        return decision

    def stage(self, text: str) -> None:
        """A part of the work begins."""
        self._line("stage", text)
        self._listener.stage(self._clean(text))

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """For the screen alone."""
        self._listener.progress(done, total, figures)

    def note(self, text: str) -> None:
        """Something was chosen or found."""
        self._line("note", text)
        self._listener.note(self._clean(text))

    def warn(self, code: str, text: str) -> None:
        """Something that deserves a look; it stays in the facts."""
        text = self._clean(text)
        self.warnings.append({"code": code, "text": text})
        self._line("warning", text, code=code)
        self._listener.warn(code, text)

    def log(self) -> bytes:
        """The log so far; empty when none could be written."""
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def end(self, outcome: str, exit_code: int, moment: datetime, **facts: Any) -> None:
        """Says how the attempt ended well. Raises OutputError."""
        success = {"at": stamp(moment), "run": facts.get("run"), "as_of": facts.get("as_of")}
        self._close(outcome, exit_code, moment, **facts)
        self.facts |= {"last_success": success, "failures_in_a_row": 0}
        self._write_last()

    def fail(self, problem: BaseException, exit_code: int, moment: datetime) -> None:
        """Says how the attempt failed; that it cannot be written hides no error."""
        error: dict[str, Any] = {"code": type(problem).__name__, "message": str(problem)}
        if isinstance(problem, ForecastError):
            error = {k: getattr(problem, k) for k in ("code", "message", "where", "remedy")}
        error = {k: v if v is None else self._clean(str(v)) for k, v in error.items()}
        outcome = "interrupted" if isinstance(problem, KeyboardInterrupt) else "failed"
        if exit_code == 5:
            outcome = "stale"
        self._close(outcome, exit_code, moment, error=error)
        self.facts["failures_in_a_row"] += 1
        with suppress(ForecastError):
            self._write_last()

    def _close(self, outcome: str, exit_code: int, moment: datetime, **facts: Any) -> None:
        self.facts |= {
            "state": "finished",
            "finished": stamp(moment),
            "outcome": outcome,
            "exit_code": exit_code,
            "seconds": round(time.monotonic() - self._began, 3),
            "decisions": [d.to_dict() for d in self.decisions],
            "warnings": self.warnings,
            **facts,
        }
        self._line("end", outcome, exit_code=exit_code, **({"error": facts.get("error")}))

    def _write_last(self) -> None:
        text = json.dumps(self.facts, indent=2, ensure_ascii=False)
        write_bytes(self._folder / LAST, as_bytes(text))

    def _line(self, kind: str, text: str, **more: Any) -> None:
        if not self._writes:
            return
        at = now().isoformat(timespec="milliseconds")
        words = {"text": text, **{k: v for k, v in more.items() if v}}
        said = {k: as_a_job_says(v) if isinstance(v, str) else v for k, v in words.items()}
        line = json.dumps({"at": at, "kind": kind, **said}, ensure_ascii=True)
        written = redacted(line, self._secrets) + "\n"
        with suppress(OSError), self._path.open("ab") as file:
            file.write(written.encode())

    def _clean(self, text: str) -> str:
        return as_a_job_says(redacted(text, self._secrets))


def read_last(folder: Path) -> dict[str, Any] | None:
    """The facts of the latest attempt; None where there was none or they are not as written."""
    try:
        found = read_document(folder / LAST)
        check_schema(LastAttempt, found)
    except (OSError, BadDocument):
        return None
    return found


# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOutcome:
    """What a run did: "published", "already done", "rolled back" or "dry run"."""

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

    def __init__(self, deadline: str | None) -> None:
        self._began = time.monotonic()
        self._limit = seconds_in(deadline) if deadline else None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def left(self, share: float = 1.0) -> float | None:
        """`share` of the seconds until the deadline; None where there is none."""
        return None if self._limit is None else share * (self._limit - self.elapsed())


@dataclass(frozen=True)
class RunContext:
    """What a run is asked: the job, the as-of it is to have (None: what the data reach to), the
    moment that counts as the present; where it tells its story; and its watch."""

    job: Job
    as_of: str | None
    moment: datetime
    run_log: RunLog
    watch: Watch

    @property
    def stamp(self) -> str:
        """When this run is, ISO 8601."""
        return clock.stamp(self.moment)

    def outcome(
        self, word: str, code: int, published: PublishedForecast | None, snapshot: AsOfSnapshot
    ) -> RunOutcome:
        """For the screen and for Python."""
        manifest = dict(published.manifest) if published is not None else {}
        series = manifest.get("series", {})
        return RunOutcome(
            job=self.job.name,
            outcome=word,
            exit_code=code,
            run=published.run if published is not None else None,
            as_of=snapshot.time,
            folder=str(self.job.folder),
            decisions=tuple(self.run_log.decisions),
            warnings=tuple(self.run_log.warnings),
            series=int(series.get("forecast", snapshot.panel.size)),
            fallbacks=int(series.get("fallbacks", 0)),
            seconds=self.watch.elapsed(),
            manifest=manifest,
        )


@dataclass(frozen=True)
class Known:
    """What a run knows when it decides: what is published, the data up to the as-of and how they
    were read, what changed in the past, the live scores of what had come true by then, and the
    series of the published forecast that are gone or too late."""

    state: State
    report: LoadReport
    snapshot: AsOfSnapshot
    changes: Changes
    scores: Sequence[StepScore]
    lost: tuple[str, ...] = ()
