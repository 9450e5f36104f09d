"""When a job starts: a clock time in a time zone, every hour, day, week or month."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Literal
from zoneinfo import ZoneInfo

from forecast.common.durations import seconds_in
from forecast.common.errors import UsageError
from forecast.common.files import at_home, text_kind
from forecast.common.secrets import path_below, variable_of
from forecast.config.options import all_options, options_of
from forecast.data.io.database import is_database
from forecast.scheduling.config import Job

Every = Literal["hour", "day", "week", "month"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEARS = 2  # how far ahead clock changes are looked for
_LISTED = 10  # years whose skipped starts a timer or a crontab line names


@dataclass(frozen=True)
class When:
    """A job's times. `weekday` counts for every="week", `day` (of the month) for "month".

    zone: a name of the time zone database; None: the machine's own.
    """

    every: Every
    hour: int
    minute: int
    weekday: str = "mon"
    day: int = 1
    zone: str | None = None

    @property
    def clock(self) -> str:
        """The time of day, 06:15."""
        return f"{self.hour:02d}:{self.minute:02d}"

    def words(self) -> str:
        """For a person: "every Monday at 06:15 (Europe/Berlin)"."""
        at = {
            "hour": f"every hour at {self.minute} past",
            "day": f"every day at {self.clock}",
            "week": f"every {_WEEKDAY_NAMES[self.weekday]} at {self.clock}",
            "month": f"on day {self.day} of every month at {self.clock}",
        }[self.every]
        return f"{at} ({self.zone})" if self.zone else at

    def calendar(self) -> str:
        """The times as systemd writes them (systemd.time(7))."""
        day = {
            "hour": "*-*-*",
            "day": "*-*-*",
            "week": f"{self.weekday.title()} *-*-*",
            "month": f"*-*-{self.day:02d}",
        }[self.every]
        hour = "*" if self.every == "hour" else f"{self.hour:02d}"
        return f"{day} {hour}:{self.minute:02d}:00" + (f" {self.zone}" if self.zone else "")


_WEEKDAY_NAMES = dict(
    zip(
        WEEKDAYS,
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        strict=True,
    )
)


@dataclass(frozen=True)
class CronTimes:
    """The five fields of a crontab line, and what must be true when it fires.

    guard: a format of date(1) in `zone` and the text that it must give; None: always start. also:
    days and times in `zone`, as SKIPPED writes them, at which it starts as well.
    """

    fields: str
    guard: tuple[str, str] | None = None
    also: tuple[str, ...] = ()


SKIPPED = "%Y-%m-%d.%H:%M"  # format of date(1)


def cron_times(when: When, here: str, now: datetime) -> CronTimes:
    """`when` for a cron that runs in the time zone `here`.

    Cron knows one zone, the machine's. For another, the line fires at every local time that can
    be the right one (summer or winter), and the guard lets one of them through.
    """
    if when.zone in (None, here):
        return CronTimes(own_fields(when))
    minutes, hours = local_clocks(when, here, now)
    written = ",".join(map(str, minutes))
    if when.every == "hour":
        guard = None if minutes == [when.minute] else ("%M", f"{when.minute:02d}")
        return CronTimes(f"{written} * * * *", guard)
    form, value = {
        "day": ("%H:%M", when.clock),
        "week": ("%u.%H:%M", f"{WEEKDAYS.index(when.weekday) + 1}.{when.clock}"),
        "month": ("%d.%H:%M", f"{when.day:02d}.{when.clock}"),
    }[when.every]
    skipped = [at.astimezone(ZoneInfo(when.zone)) for at in skipped_starts(when, now, _LISTED)]
    also = tuple(at.strftime(SKIPPED) for at in skipped)
    return CronTimes(f"{written} {','.join(map(str, hours))} * * *", (form, value), also)


def local_clocks(when: When, here: str, now: datetime) -> tuple[list[int], list[int]]:
    """The minutes and the hours of clocks in `here` when it is `when`'s time of day in its zone."""
    zone, local = ZoneInfo(when.zone or here), ZoneInfo(here)
    start = now.astimezone(zone).date()
    minutes, hours = set(), set()
    for days in range(366 * _YEARS):
        day = start + timedelta(days=days)
        at = datetime(day.year, day.month, day.day, when.hour, when.minute, tzinfo=zone)
        there = at.astimezone(UTC).astimezone(local)
        minutes.add(there.minute)
        hours.add(there.hour)
    return sorted(minutes), sorted(hours)


def skipped_starts(when: When, now: datetime, years: int = 1) -> list[datetime]:
    """The starts of the next years whose time of day does not exist, for clocks are put forward
    then: the moment (UTC) at which clocks would have shown it, an hour or so later by the new time.

    Neither systemd nor cron makes up for these by itself.
    """
    if when.zone is None or when.every == "hour":
        return []
    zone, start = ZoneInfo(when.zone), now.astimezone(ZoneInfo(when.zone)).date()
    found = []
    for days in range(years * 366):
        day = start + timedelta(days=days)
        at = datetime(day.year, day.month, day.day, when.hour, when.minute, tzinfo=zone)
        moment = at.astimezone(UTC)
        back = moment.astimezone(zone)
        due = {"day": True, "week": WEEKDAYS[day.weekday()] == when.weekday,
               "month": day.day == when.day}[when.every]  # fmt: skip
        if due and (back.hour, back.minute) != (when.hour, when.minute):
            found.append(moment)
    return found


def own_fields(when: When) -> str:
    """The five fields of a crontab line whose cron runs in the zone of `when`."""
    at = f"{when.minute} {when.hour}"
    return {
        "hour": f"{when.minute} * * * *",
        "day": f"{at} * * *",
        "week": f"{at} * * {(WEEKDAYS.index(when.weekday) + 1) % 7}",
        "month": f"{at} {when.day} * *",
    }[when.every]


def zone_of_machine(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """The machine's time zone as the database calls it; "UTC" where nothing says otherwise.

    environ is asked first (TZ), then /etc/localtime (a link into the database), then
    /etc/timezone.
    """
    named = environ.get("TZ", "").removeprefix(":")
    if is_zone(named):
        return named
    link = root / "etc/localtime"
    if link.is_symlink():
        _, found, name = os.readlink(link).partition("zoneinfo/")
        if found and is_zone(name):
            return name
    try:
        name = (root / "etc/timezone").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "UTC"
    return name if is_zone(name) else "UTC"


def is_zone(name: str) -> bool:
    """Whether the time zone database has `name`."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # an unknown key is a ZoneInfoNotFoundError, a KeyError
        return False
    except KeyError:
        return False
    return True


# --- How a job is started by something that knows no shell profile: program, folder,
# environment


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
    writes: folders that the run writes to; reads: its files; accelerator: whether it may use a GPU.
    """

    job: str
    config: Path
    when: When
    program: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    limit: float | None = None
    writes: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    accelerator: bool = True

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
        job=job.name,
        config=job.config,
        when=when_of(job),
        program=own_program(),
        environment=carried(environ, hidden),
        secrets=hidden,
        limit=_GRACE + _STRETCH * seconds_in(section.deadline) if section.deadline else None,
        writes=_written_by(job),
        reads=_read_by(job),
        accelerator=job.settings.training.device != "cpu",
    )


def _written_by(job: Job) -> tuple[Path, ...]:
    """The folders that a run of the job writes to; of what is not there yet the nearest above."""
    section = job.section
    places = [job.folder]
    if section.metrics_file is not None:
        places.append((job.config.parent / at_home(section.metrics_file)).parent)
    database = section.outputs.database or ""
    if database.startswith("sqlite:///"):
        places.append(Path(database.removeprefix("sqlite:///")).parent)
    return tuple(_nearest(place) for place in places)


def _read_by(job: Job) -> tuple[Path, ...]:
    """The files that a run of the job reads, where they are files."""
    data = job.settings.data
    found = (
        None if is_database(job.source) else job.source,
        *(getattr(data, o.field) for o in options_of("data") if o.is_path and o.field != "rejects"),
    )
    return tuple(Path(each) for each in found if each)


def _nearest(place: Path) -> Path:
    """The folder itself, or the first above it that is there: systemd makes none."""
    return next((each for each in (place, *place.parents) if each.is_dir()), place)


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
    settings = {o.variable: o for o in all_options() if o.path not in _SECRET}
    wanted = {*_CARRIED, *settings} - {*secrets}
    found = {name: value for name, value in sorted(environ.items()) if name in wanted}
    for name in found:
        if name in settings and settings[name].holds_path and found[name]:
            found[name] = path_below(Path.cwd(), found[name])  # it starts in another folder
    return {"LC_ALL": "C.UTF-8", **found}


def refuse_line_ends(*texts: str) -> None:
    """Raises UsageError for a text that no line of a unit or a crontab can hold."""
    for text in texts:
        if not text.isprintable():
            raise UsageError(
                "a path or variable with control characters, or bytes that are no UTF-8, cannot be "
                "scheduled",
                code="schedule/control-character",
                value=text,
                remedy="Rename it",
            )


# --- A job as systemd units: a service that runs once, and the timer that starts it --------------


_SERVICE = """\
# {file}
[Unit]
Description=lstmcast: forecast of job {job}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder}
{environment}ExecStart={command}
# 3: done in part. The forecast is published; some series come from a simpler forecaster.
SuccessExitStatus=3
# Time to keep the training's state after a stop; the next run goes on from there.
TimeoutStopSec=2min
TimeoutStartSec={limit}
Nice=10
UMask=0022
# All is read-only but the job's own folders; what is not there yet is no error (-).
ProtectSystem=strict
{writes}PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH
{devices}ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
# What a run keeps beside its folder: forecasts of baselines, the story of a bug.
_KEPT = ("%h/.cache/lstmcast", "%h/.local/state/lstmcast")

_TIMER = """\
# {file}
[Unit]
Description=lstmcast: {words}, job {job}

[Timer]
OnCalendar={calendar}
{skipped}# A start that was missed, for the machine was off, is made up for at once.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


UNIT = text_kind("a unit", rb"# lstmcast-[^\n]*\n\[Unit\]\n")


def units(start: Start, now: datetime) -> dict[str, str]:
    """File name -> text of the two units of a job. Raises UsageError for a control character.

    Days from `now` on whose clocks skip the time get a start of their own.
    """
    refuse_line_ends(*start.words, *start.environment.values(), str(start.config))
    stem = unit_stem(start.job)
    service, timer = f"{stem}.service", f"{stem}.timer"
    lines = [f"Environment={quoted(f'{k}={v}')}\n" for k, v in start.environment.items()]
    if start.secrets:
        lines.append(f"# {', '.join(start.secrets)}: NAME='value' lines, readable by you alone.\n")
        lines.append(f"EnvironmentFile=-{_raw(str(start.secrets_file))}\n")
    return {
        service: _SERVICE.format(
            file=service,
            job=_raw(start.job),
            folder=_raw(str(start.config.parent)),
            environment="".join(lines),
            command=_systemd_command(start.words),
            writes="".join(f"ReadWritePaths=-{path}\n" for path in _paths(start)),
            devices="" if start.accelerator else "PrivateDevices=yes\n",
            limit="infinity" if start.limit is None else f"{start.limit:.0f}s",
        ),
        timer: _TIMER.format(
            file=timer,
            words=_raw(start.when.words()),
            job=_raw(start.job),
            calendar=start.when.calendar(),
            skipped=_skipped_lines(start.when, now),
        ),
    }


def _skipped_lines(when: When, now: datetime) -> str:
    """The starts that clocks skip in the years to come, an hour or so later."""
    starts = skipped_starts(when, now, _LISTED)
    if not starts:
        return ""
    lines = [f"OnCalendar={at:%Y-%m-%d %H:%M}:00 UTC\n" for at in starts]
    return f"# {when.clock} does not exist on days when clocks go forward.\n" + "".join(lines)


def _paths(start: Start) -> list[str]:
    """What the job writes to: its folders, and beside them what every run keeps."""
    return [*dict.fromkeys(quoted(str(path)) for path in start.writes), *_KEPT]


def _systemd_command(words: Sequence[str]) -> str:
    """The words as systemd takes them; a program with signs that it refuses is started by env."""
    if re.search(r"[\"'\\$]", words[0]):
        words = ["/usr/bin/env", *words]
    return " ".join(quoted(word).replace("$", "$$") for word in words)


def unit_stem(job: str) -> str:
    """The units' name without its ending: the job's, and a digest where that had to be changed."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", job).strip("-.")[:60]
    if safe and safe == job:
        return f"lstmcast-{safe}"
    return f"lstmcast-{safe or 'job'}-{hashlib.sha256(job.encode()).hexdigest()[:8]}"


def quoted(word: str) -> str:
    """`word` as one word of a unit's value: quoted where needed, percent signs doubled."""
    word = _raw(word)
    if re.fullmatch(r"[A-Za-z0-9_./:=,@%+-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _raw(text: str) -> str:
    """`text` where a unit takes the rest of a line as it is, but for percent signs."""
    return text.replace("%", "%%")


# --- A job as lines of a crontab, for whichever cron there is: Vixie's, cronie, BusyBox ----------


_LONGEST = 998  # signs of a line; Vixie's cron refuses longer commands


def crontab_lines(start: Start, here: str, now: datetime) -> str:
    """The lines of a job: comments, its times, and once after each start of the machine.

    Nothing is set for other lines of the crontab: environment and folder stand in the command.
    The line at the start of the machine makes up for a start that was missed while it was off:
    a run that finds nothing new ends at once.
    here: the time zone that cron runs in. Raises UsageError for a control character and a line
    that cron would refuse.
    """
    refuse_line_ends(*start.words, *start.environment.values(), str(start.config))
    times = cron_times(start.when, here, now)
    command = _cron_command(start)
    guard = ""
    if times.guard is not None and start.when.zone is not None:
        guard = _cron_guard(start.when.zone, *times.guard, times.also)
    lines = [f"# lstmcast: job {start.job} of {start.config}, {start.when.words()}"]
    if start.secrets:
        lines.append(f"# {', '.join(start.secrets)}: from {start.secrets_file}, NAME='value' lines")
    lines.append(_line(times.fields, guard + command))
    lines.append(_line("@reboot", f"sleep 120 && {command}"))
    return "".join(f"{line}\n" for line in lines)


def _cron_guard(zone: str, form: str, wanted: str, also: Sequence[str]) -> str:
    """What lets the line go on at the right one of its times, and where clocks skip that time."""
    shown = f"TZ={quote(zone)} date +"
    if not also:
        return f'test "$({shown}{form})" = {quote(wanted)} && '
    pattern = f"^({wanted} .*|.* ({'|'.join(also)}))$"
    return f"{shown}'{form} {SKIPPED}' | grep -qE {quote(pattern)} && "


def _cron_command(start: Start) -> str:
    variables = [f"{name}={quote(value)}" for name, value in start.environment.items()]
    command = " ".join([*variables, *map(quote, start.words)])
    if start.secrets:
        file = quote(str(start.secrets_file))
        command = f"set -a && . {file} && set +a && {command}"
    return f"cd {quote(str(start.config.parent))} && {command}"


def _line(fields: str, command: str) -> str:
    """One line; cron takes a bare percent sign for a line end, whatever quotes are around it."""
    line = f"{fields} {command.replace('%', chr(92) + '%')}"
    if len(line.encode()) > _LONGEST:
        raise UsageError(
            f"the crontab line has {len(line.encode())} bytes, and cron takes {_LONGEST}",
            code="schedule/line-too-long",
            remedy="Use shorter paths, unset LSTMCAST_* variables, or use --systemd",
        )
    return line
