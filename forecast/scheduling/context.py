"""One run of a job: what was asked of it, what it knows, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from forecast.data.load import LoadReport
from forecast.scheduling import clock
from forecast.scheduling.as_of import Slot
from forecast.scheduling.config import Job, span
from forecast.scheduling.decisions import Decision
from forecast.scheduling.history import Changes
from forecast.scheduling.live_scores import StepScore
from forecast.scheduling.publication import Edition
from forecast.scheduling.recovery import State
from forecast.scheduling.run_log import Diary


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
        self._limit = span(deadline) if deadline else None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def left(self, share: float = 1.0) -> float | None:
        """`share` of the seconds until the deadline; None where there is none."""
        return None if self._limit is None else share * (self._limit - self.elapsed())


@dataclass(frozen=True)
class Attempt:
    """What a run is asked: the job, the as-of it is to have (None: what the data reach to), the
    moment that counts as the present; where it tells its story; and its watch."""

    job: Job
    as_of: str | None
    moment: datetime
    diary: Diary
    watch: Watch

    @property
    def stamp(self) -> str:
        """When this run is, ISO 8601."""
        return clock.stamp(self.moment)

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


@dataclass(frozen=True)
class Known:
    """What a run knows when it decides: what is published, the data up to the as-of and how they
    were read, what changed in the past, and the live scores of what had come true by then."""

    state: State
    report: LoadReport
    slot: Slot
    changes: Changes
    scores: Sequence[StepScore]
