"""`lstmcast override`: a planner's numbers in place of the model's."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from forecast.cli.parameters import Config, JobName, Run, for_each, jobs_of, takes
from forecast.common.errors import UsageError

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", show_default=False, help="Table of unique_id, ds and the planner's number."
    ),
]
By = Annotated[str, typer.Option("--by", metavar="WHO", show_default=False, help="Who overrides.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", show_default=False, help="Why.")]


@takes()
def override(
    file: Config, numbers: File, by: By, reason: Reason, job: JobName = None, *, run: Run
) -> int:
    """Publish a planner's numbers in place of the model's."""
    jobs = jobs_of(file, job)
    if len(jobs) > 1:
        raise UsageError(
            "an override is of one job's forecast",
            code="usage/override-which-job",
            where="--job",
            value=", ".join(each.name for each in jobs),
            remedy="Name it with --job",
        )
    from forecast.cli import render
    from forecast.scheduling.override import override_job

    documents: list[dict[str, Any]] = []

    def work(each: Any) -> int:
        with run.watching() as listener:
            made = override_job(each, numbers, listener, by=by, reason=reason)
        documents.append(dataclasses.asdict(made))
        if not run.screen.json and not run.screen.quiet:
            told = (
                f"{made.steps} steps overridden; the sum of all goes from "
                f"{made.total_before:,.6g} to {made.total_after:,.6g}. Published as {made.run}."
            )
            nothing = "these numbers are published already; nothing is changed."
            render.show_sentence(run.out(), f"{made.job}: {told if made.steps else nothing}")
        return 0

    code = for_each(jobs, run, work)
    if run.screen.json:
        render.show_document("override", {"jobs": documents})
    return code
