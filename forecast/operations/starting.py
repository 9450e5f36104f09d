"""How a job is started by something that knows no shell profile: program, folder, environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forecast.errors import UsageError
from forecast.operations.when import When

# What a run needs of the environment of the person who schedules it, beside our own settings.
_CARRIED = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SSL_CERT_FILE", "TZ")
_PREFIX = "LSTMCAST_"


@dataclass(frozen=True)
class Start:
    """One job to be started.

    config: absolute path; the job runs in its folder. program: the words before `run`.
    environment: what is set for the run. secrets: variables that the configuration reads and
    whose values are written nowhere. limit: seconds after which the run is stopped, None: never.
    """

    job: str
    config: Path
    when: When
    program: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    limit: float | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The command."""
        return (*self.program, "run", str(self.config), "--job", self.job, "--quiet")

    @property
    def secrets_file(self) -> Path:
        """Where the secrets are read from, if there are any: NAME=value lines."""
        return self.config.with_suffix(".env")


def own_program() -> tuple[str, ...]:
    """How this very installation is started, with absolute paths."""
    script = Path(sys.executable).with_name("lstmcast")
    if script.is_file():
        return (str(script),)
    # -P: a file of the working folder must not pass for a module.
    return (sys.executable, "-P", "-m", "forecast")


def carried(environ: Mapping[str, str], secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """The part of `environ` that a scheduled run needs too, and a character set."""
    found = {
        name: value
        for name, value in sorted(environ.items())
        if (name in _CARRIED or name.startswith(_PREFIX)) and name not in secrets
    }
    return {"LC_ALL": "C.UTF-8", **found}


def refuse_line_ends(*texts: str) -> None:
    """Raises UsageError for a text that no line of a unit or a crontab can hold."""
    for text in texts:
        if not text.isprintable():
            raise UsageError(
                "a path or variable with control characters cannot be scheduled",
                code="schedule/control-character",
                value=text,
                remedy="Rename it",
            )
