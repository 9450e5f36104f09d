"""`lstmcast schedule`: units for systemd, or lines for a crontab, that start a config's jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli.parameters import NO_WORD, Config, JobName, Run, jobs_of, takes
from forecast.common.errors import UsageError
from forecast.common.files import at_home

if TYPE_CHECKING:
    from forecast.scheduling.timers import Start

Systemd = Annotated[
    bool,
    typer.Option("--systemd", metavar=NO_WORD, help="A service and a timer a job (the default)."),
]
Cron = Annotated[bool, typer.Option("--cron", metavar=NO_WORD, help="Lines for a crontab.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        show_default=False,
        help="Folder to write the units into, e.g. ~/.config/systemd/user (standard output).",
    ),
]


@takes()
def schedule(
    file: Config,
    job: JobName = None,
    systemd: Systemd = False,
    cron: Cron = False,
    output: Output = None,
    *,
    run: Run,
) -> int:
    """Print systemd units or crontab lines that start the jobs."""
    _refuse_contradictions(systemd, cron, output)
    from forecast.scheduling.timers import start_of

    starts = [start_of(each, os.environ) for each in jobs_of(file, job)]
    texts = _crontab(starts) if cron else _units(starts)
    if output is not None:
        _write(at_home(output), texts)
    if run.look.json:
        from forecast.cli.render import show_document

        kind = "cron" if cron else "systemd"
        show_document("schedule", {"kind": kind, "folder": output, "files": texts})
    elif output is None:
        print("\n".join(texts.values()), end="")
    if not run.look.quiet and not run.look.json:
        for line in _hints(file, texts, cron, output):
            run.err().print(line, style="dim", soft_wrap=True)
    return 0


def _refuse_contradictions(systemd: bool, cron: bool, output: str | None) -> None:
    if cron and systemd:
        raise UsageError(
            "--cron and --systemd contradict each other",
            code="usage/contradiction",
            remedy="Leave one of them out",
        )
    if cron and output is not None:
        raise UsageError(
            "--output is for units; a crontab is one text for all that is in it",
            code="usage/contradiction",
            remedy="Add the lines by hand: crontab -e",
        )


def _units(starts: Iterable[Start]) -> dict[str, str]:
    from forecast.scheduling.timers import units

    now = datetime.now(UTC)
    return {name: text for start in starts for name, text in units(start, now).items()}


def _crontab(starts: Iterable[Start]) -> dict[str, str]:
    from forecast.scheduling.timers import crontab_lines, zone_of_machine

    here, now = zone_of_machine(os.environ), datetime.now(UTC)
    return {"crontab": "".join(crontab_lines(start, here, now) for start in starts)}


def _write(folder: Path, texts: dict[str, str]) -> None:
    from forecast.common.files import check_output, write_output
    from forecast.scheduling.timers import UNIT

    for name in texts:
        check_output(folder / name, UNIT)
    for name, text in texts.items():
        write_output(folder / name, text.encode(), UNIT)


def _hints(config: str, texts: dict[str, str], cron: bool, output: str | None) -> Iterable[str]:
    """What to do with it."""
    yield f"lstmcast doctor {quote(config)} says whether it would run there"
    if cron:
        yield "add the lines to yours: crontab -e"
        return
    if output is None:
        yield "write them with --output ~/.config/systemd/user, then:"
    timers = " ".join(name for name in texts if name.endswith(".timer"))
    yield f"systemctl --user daemon-reload && systemctl --user enable --now {timers}"
    yield 'loginctl enable-linger "$USER" lets them run while you are logged out'
