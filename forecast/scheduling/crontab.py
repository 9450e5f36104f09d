"""A job as lines of a crontab, for whichever cron there is: Vixie's, cronie, BusyBox."""

from __future__ import annotations

from datetime import datetime
from shlex import quote

from forecast.common.errors import UsageError
from forecast.scheduling.start_command import Start, refuse_line_ends
from forecast.scheduling.timers import cron_times

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
    command = _command(start)
    guard = ""
    if times.guard is not None and start.when.zone is not None:
        form, wanted = times.guard
        guard = f'test "$(TZ={quote(start.when.zone)} date +{form})" = {quote(wanted)} && '
    lines = [f"# lstmcast: job {start.job} of {start.config}, {start.when.words()}"]
    if start.secrets:
        lines.append(f"# {', '.join(start.secrets)}: from {start.secrets_file}, NAME=value lines")
    lines.append(_line(times.fields, guard + command))
    lines.append(_line("@reboot", f"sleep 120 && {command}"))
    return "".join(f"{line}\n" for line in lines)


def _command(start: Start) -> str:
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
