"""`lstmcast schedule`: what starts a config's jobs, for systemd, cron or Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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
Kubernetes = Annotated[
    bool,
    typer.Option("--kubernetes", metavar=NO_WORD, help="A CronJob a job, for Kubernetes."),
]
Image = Annotated[
    str,
    typer.Option(
        "--image",
        metavar="NAME",
        help="Image that a CronJob runs, with lstmcast in it (the Dockerfile makes one).",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        show_default=False,
        help="Folder to write into, e.g. ~/.config/systemd/user (standard output).",
    ),
]


@takes()
def schedule(
    file: Config,
    job: JobName = None,
    systemd: Systemd = False,
    cron: Cron = False,
    kubernetes: Kubernetes = False,
    image: Image = "lstmcast",
    output: Output = None,
    *,
    run: Run,
) -> int:
    """Print units, crontab lines or CronJobs that start the jobs."""
    kind = _kind(systemd, cron, kubernetes, output)
    from forecast.scheduling.timers import start_of

    starts = [start_of(each, os.environ) for each in jobs_of(file, job)]
    texts = _texts(kind, starts, image)
    if output is not None:
        _write(at_home(output), texts, kind)
    if run.screen.json:
        from forecast.cli.render import show_document

        show_document("schedule", {"kind": kind, "folder": output, "files": texts})
    elif output is None:
        print("\n".join(texts.values()), end="")
    if not run.screen.quiet and not run.screen.json:
        for line in _hints(file, texts, kind, output):
            run.err().print(line, style="dim", soft_wrap=True)
    return 0


def _kind(systemd: bool, cron: bool, kubernetes: bool, output: str | None) -> str:
    """ "systemd", "cron" or "kubernetes". Raises UsageError for two of them."""
    given = {"systemd": systemd, "cron": cron, "kubernetes": kubernetes}
    chosen = [name for name, wanted in given.items() if wanted] or ["systemd"]
    if len(chosen) > 1:
        flags = [f"--{name}" for name in chosen]
        raise UsageError(
            f"{' and '.join(flags[-2:][::-1])} contradict each other",
            code="usage/contradiction",
            remedy="Leave one of them out",
        )
    if cron and output is not None:
        raise UsageError(
            "--output is for units; a crontab is one text for all that is in it",
            code="usage/contradiction",
            remedy="Add the lines by hand: crontab -e",
        )
    return chosen[0]


def _texts(kind: str, starts: Sequence[Start], image: str) -> dict[str, str]:
    if kind == "kubernetes":
        from forecast.scheduling.kubernetes import cron_job

        made = (cron_job(start, image, os.environ) for start in starts)
        return {name: text for each in made for name, text in each.items()}
    return _crontab(starts) if kind == "cron" else _units(starts)


def _units(starts: Iterable[Start]) -> dict[str, str]:
    from forecast.scheduling.timers import units

    now = datetime.now(UTC)
    return {name: text for start in starts for name, text in units(start, now).items()}


def _crontab(starts: Iterable[Start]) -> dict[str, str]:
    from forecast.scheduling.timers import crontab_lines, zone_of_machine

    here, now = zone_of_machine(os.environ), datetime.now(UTC)
    return {"crontab": "".join(crontab_lines(start, here, now) for start in starts)}


def _write(folder: Path, texts: dict[str, str], kind: str) -> None:
    from forecast.common.files import check_output, write_output
    from forecast.scheduling.kubernetes import MANIFEST
    from forecast.scheduling.timers import UNIT

    form = MANIFEST if kind == "kubernetes" else UNIT

    for name in texts:
        check_output(folder / name, form)
    for name, text in texts.items():
        write_output(folder / name, text.encode(), form)


def _hints(config: str, texts: dict[str, str], kind: str, output: str | None) -> Iterable[str]:
    """What to do with it."""
    if kind == "kubernetes":
        yield f"the volume claim lstmcast holds what lies beside {quote(config)}, and that file"
        yield f"kubectl apply -f {quote(output) if output else '-'}"
        return
    yield f"lstmcast doctor {quote(config)} says whether it would run there"
    if kind == "cron":
        yield "add the lines to yours: crontab -e"
        return
    if output is None:
        yield "write them with --output ~/.config/systemd/user, then:"
    timers = " ".join(name for name in texts if name.endswith(".timer"))
    yield f"systemctl --user daemon-reload && systemctl --user enable --now {timers}"
    yield 'loginctl enable-linger "$USER" lets them run while you are logged out'
