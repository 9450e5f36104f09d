"""Jobs of the page: commands in processes of their own, known by a folder each.

A job outlives the page and the server: its folder holds what was asked, what happens, and the
result, so that any server of the same folder shows it. FOLDER/.lstmcast-studio/jobs/ID/ holds
about.json beside what `doors/process.py` writes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.cli.doors.process import (
    LOCK,
    CommandProcess,
    Event,
    Outcome,
    Spare,
    events_after,
    is_running,
    read_outcome,
)
from forecast.common.errors import ModelNotFoundError, UsageError
from forecast.common.files import write_bytes

HOME = ".lstmcast-studio"
ABOUT = "about.json"
KEPT = 60  # jobs, the newest; of those that have ended
AT_ONCE = 4
STARTING = 30.0  # seconds within which a process takes its lock
_ID = re.compile(r"[0-9a-z]{12,40}")


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    about: command, words, title, file, created; outcome: None while it runs.
    """

    id: str
    folder: Path
    about: Mapping[str, Any]
    outcome: Outcome | None

    @property
    def running(self) -> bool:
        """Whether its process is at work."""
        return self.outcome is None

    @property
    def state(self) -> str:
        """A word for people."""
        if self.outcome is None:
            return "running"
        if self.outcome.error is not None:
            stopped = self.outcome.error["code"] in ("process/stopped", "run/interrupted")
            return "stopped" if stopped else "failed"
        return "stopped early" if self.outcome.document.get("interrupted") else "done"

    def events(self, start: int = 0) -> tuple[list[Event], int]:
        """What has happened after byte `start`, and the byte after it."""
        return events_after(self.folder, start)


class Work:
    """The jobs of one folder."""

    def __init__(self, root: Path, spare: Spare) -> None:
        self.root = root
        self._home = root / HOME / "jobs"
        self._spare = spare
        self._mine: dict[str, CommandProcess] = {}

    def start(self, words: Sequence[str], about: Mapping[str, Any], folder: str = "") -> Job:
        """Starts the command `words`; {job} in them stands for the job's folder.

        Raises UsageError where too many are at work.
        """
        if sum(job.running for job in self.all()) >= AT_ONCE:
            raise UsageError(
                "enough is being computed already",
                code="studio/busy",
                remedy="Wait for one of the jobs, or stop one",
            )
        self._sweep()
        name = folder or f"{time.strftime('%y%m%d%H%M%S')}{secrets.token_hex(6)}"
        place = self._home / name
        place.mkdir(parents=True)
        made = [word.replace("{job}", str(place)) for word in words]
        told = {**about, "words": made, "created": time.time()}
        command = self._spare.run(made, place, self.root)
        told["pid"] = command.process.pid
        write_bytes(place / ABOUT, json.dumps(told).encode())
        self._mine[name] = command
        return self.get(name)

    def get(self, name: str) -> Job:
        """The job called `name`. Raises ModelNotFoundError."""
        place = self._home / name
        try:
            if not _ID.fullmatch(name):
                raise ValueError(name)
            about = json.loads((place / ABOUT).read_bytes())
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                "there is no such job",
                code="studio/no-such-job",
                value=name,
                remedy="The first page lists the jobs that are kept",
            ) from error
        return Job(name, place, about, self._outcome(name, place, about))

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        found = []
        for place in sorted(self._home.glob("*"), reverse=True) if self._home.is_dir() else ():
            with suppress(ModelNotFoundError):
                found.append(self.get(place.name))
        return found

    def stop(self, name: str) -> None:
        """Asks a job to end with the best it has, as Ctrl-C in a terminal does."""
        job = self.get(name)
        if not job.running:
            return
        mine = self._mine.get(name)
        if mine is not None:
            mine.interrupt()
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(job.about["pid"]), signal.SIGINT)

    def _outcome(self, name: str, place: Path, about: Mapping[str, Any]) -> Outcome | None:
        mine = self._mine.get(name)
        if mine is not None:
            code = mine.process.poll()
            return None if code is None else read_outcome(place, code)
        young = time.time() - float(about["created"]) < STARTING
        if is_running(place) or (young and not (place / LOCK).exists()):
            return None
        return read_outcome(place, None)

    def _sweep(self) -> None:
        """Forgets the oldest jobs that have ended; the runs that they made stay."""
        for job in [job for job in self.all() if not job.running][KEPT:]:
            shutil.rmtree(job.folder, ignore_errors=True)
            self._mine.pop(job.id, None)
