"""What the commands of scheduled runs share: their arguments, and many jobs from one file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from forecast.cli.parameters import Run
    from forecast.scheduling.config import Job

NO_WORD = " "  # the metavar of a switch: Typer writes <bool> where there is none
PARTLY = 3

Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="File of jobs: lstmcast init --batch writes one.")
]
JobName = Annotated[
    str | None,
    typer.Option("--job", metavar="NAME", show_default=False, help="One job of the file (all)."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", metavar=NO_WORD, help="Say what would be done and why; change nothing."
    ),
]


def jobs_of(file: str, name: str | None) -> list[Job]:
    """The jobs that a command is for. Raises UsageError."""
    from forecast.scheduling.config_file import chosen_jobs, load_config

    return chosen_jobs(load_config(file), name)


def for_each(jobs: list[Job], run: Run, work: Callable[[Job], int]) -> int:
    """Does `work` for each job and returns the exit code of all.

    A job that fails does not keep the others from running: its error is shown, and its code is
    returned at the end (the first one's, if several fail). With a single job the error is raised.
    """
    if len(jobs) == 1:
        return work(jobs[0])
    failed, partly = 0, 0
    for job in jobs:
        try:
            partly = max(partly, work(job))
        except Exception as problem:
            from forecast.cli.console import print_error
            from forecast.cli.error_handler import as_forecast_error

            error = as_forecast_error(problem)
            error.where = f"job {job.name}: {error.where}" if error.where else f"job {job.name}"
            print_error(run.err(), error)
            failed = failed or error.exit_code
    return failed or partly
