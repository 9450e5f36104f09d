"""`lstmcast init`: a commented configuration that runs as it is, and data to try it on."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from forecast.cli.parameters import Run, takes
from forecast.common.files import at_home

NO_WORD = " "

Folder = Annotated[
    str, typer.Argument(metavar="[DIR]", help="Folder to write into, made if missing.")
]
Batch = Annotated[
    bool,
    typer.Option("--batch", metavar=NO_WORD, help="Scheduled jobs instead of settings for train."),
]


@takes()
def init(folder: Folder = ".", batch: Batch = False, *, run: Run) -> int:
    """Write a configuration and sample data to start from.

    Overwrites nothing.
    """
    from forecast.cli import render
    from forecast.scheduling.init import BATCH, SETTINGS, starter_files, write_starter

    where = at_home(folder)
    files = write_starter(where, starter_files(batch))
    config = where / (BATCH if batch else SETTINGS)
    data = next(str(path) for path, _ in files if path.suffix == ".csv")
    steps = (
        (f"run {_shown(config)}", f"status {_shown(config)}", f"schedule {_shown(config)}")
        if batch
        else (f"train {_shown(data)} --config {_shown(config)}",)
    )
    commands = [f"lstmcast {step}" for step in steps]
    if run.screen.json:
        render.show_document("init", {"files": render.files(files), "next": commands})
    elif not run.screen.quiet:
        console = run.out()
        render.show_files(console, files)
        render.show_hint(console, f"next: {commands[0]}")
        for command in commands[1:]:
            console.print(f"then: {command}", style="dim", soft_wrap=True)
    return 0


def _shown(path: Path | str) -> str:
    return quote(os.path.normpath(path))
