"""How a job is started by something that knows no shell profile: program, folder, environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forecast.common.errors import UsageError
from forecast.config.options import all_options
from forecast.scheduling.config import Job, span
from forecast.scheduling.secrets import variable_of
from forecast.scheduling.timers import When, is_zone

# What a run needs of the environment of the person who schedules it, beside our own settings.
_CARRIED = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SSL_CERT_FILE", "TZ")
_SECRET = ("data.db",)  # an address may hold a password; a job names its own
# A run keeps to its deadline by itself; one that hangs is stopped well after it.
_STRETCH, _GRACE = 1.5, 600.0


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


def start_of(job: Job, environ: Mapping[str, str]) -> Start:
    """How `job` is started by this installation. Raises UsageError for an unknown time zone.

    environ: of the person who schedules it; what a run needs of it is set for the run.
    """
    section = job.section
    hidden = secret_variables(job)
    return Start(
        job.name,
        job.config,
        when_of(job),
        own_program(),
        carried(environ, hidden),
        hidden,
        _GRACE + _STRETCH * span(section.deadline) if section.deadline else None,
    )


def when_of(job: Job) -> When:
    """The times that the job's schedule names. Raises UsageError for an unknown time zone."""
    schedule = job.section.schedule
    if schedule.time_zone is not None and not is_zone(schedule.time_zone):
        raise UsageError(
            "there is no such time zone",
            code="config/unknown-zone",
            where=f"{job.config}, jobs.{job.name}.schedule.time_zone",
            value=schedule.time_zone,
            remedy="Write it as in the time zone database, e.g. Europe/Berlin",
        )
    hour, minute = map(int, schedule.at.split(":"))
    zone = schedule.time_zone
    return When(schedule.every, hour, minute, schedule.weekday, schedule.day, zone)


def secret_variables(job: Job) -> tuple[str, ...]:
    """The environment variables that the job's addresses are read from."""
    section = job.section
    password = job.settings.data.db_password
    settings = (job.source, password, section.outputs.database, section.ping.url)
    return tuple(dict.fromkeys(name for name in map(variable_of, settings) if name))


def own_program() -> tuple[str, ...]:
    """How this very installation is started, with absolute paths."""
    script = Path(sys.executable).with_name("lstmcast")
    if script.is_file():
        return (str(script),)
    # -P: a file of the working folder must not pass for a module.
    return (sys.executable, "-P", "-m", "forecast")


def carried(environ: Mapping[str, str], secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """The part of `environ` that a scheduled run needs too, and a character set.

    That is settings and a few names; whatever else is there may be a secret.
    """
    settings = (option.variable for option in all_options() if option.path not in _SECRET)
    wanted = {*_CARRIED, *settings} - {*secrets}
    found = {name: value for name, value in sorted(environ.items()) if name in wanted}
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
