"""A job as systemd units: a service that runs once, and the timer that starts it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from forecast.scheduling.start_command import Start, refuse_line_ends

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
NoNewPrivileges=yes
"""

_TIMER = """\
# {file}
[Unit]
Description=lstmcast: {words}, job {job}

[Timer]
OnCalendar={calendar}
# A start that was missed, for the machine was off, is made up for at once.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def units(start: Start) -> dict[str, str]:
    """File name -> text of the two units of a job. Raises UsageError for a control character."""
    refuse_line_ends(*start.words, *start.environment.values(), str(start.config))
    stem = unit_stem(start.job)
    service, timer = f"{stem}.service", f"{stem}.timer"
    lines = [f"Environment={quoted(f'{k}={v}')}\n" for k, v in start.environment.items()]
    if start.secrets:
        lines.append(f"# {', '.join(start.secrets)}: NAME=value lines, readable by you alone.\n")
        lines.append(f"EnvironmentFile=-{_raw(str(start.secrets_file))}\n")
    return {
        service: _SERVICE.format(
            file=service,
            job=_raw(start.job),
            folder=_raw(str(start.config.parent)),
            environment="".join(lines),
            command=_command(start.words),
            limit="infinity" if start.limit is None else f"{start.limit:.0f}s",
        ),
        timer: _TIMER.format(
            file=timer,
            words=_raw(start.when.words()),
            job=_raw(start.job),
            calendar=start.when.calendar(),
        ),
    }


def _command(words: Sequence[str]) -> str:
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
