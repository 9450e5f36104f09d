"""`lstmcast rollback`: back to the last good run, its model with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.parameters import Config, JobName, Run, for_each, jobs_of, takes
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.scheduling.config import Job

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="RUN",
        show_default=False,
        help="The run to go back to, or a withdrawn one to bring back (the last good one).",
    ),
]


@takes()
def rollback(file: Config, job: JobName = None, to: To = None, *, run: Run) -> int:
    """Withdraw a job's newest run: the one before it serves again.

    Its model serves again with it.
    """
    jobs = jobs_of(file, job)
    if len(jobs) > 1 and to is not None:
        raise UsageError(
            "--to names a run of one job, and the config holds several",
            code="usage/which-job",
            remedy=f"Name it: --job {jobs[0].name}",
        )
    from forecast.scheduling.rollback import roll_back

    documents: list[dict[str, Any]] = []

    def work(each: Job) -> int:
        with run.watching(job=each.name) as listener:
            done = roll_back(each, listener, to)
        documents.append(dict(vars(done)))
        if not run.screen.json and not run.screen.quiet:
            from forecast.cli.render import show_facts

            show_facts(
                run.out(),
                [
                    ("job", done.job),
                    ("published again", done.to),
                    ("as of", done.as_of),
                    ("model", done.model),
                    ("withdrawn", ", ".join(done.withdrawn) or "none"),
                ],
            )
        return 0

    code = for_each(jobs, run, work)
    if run.screen.json:
        from forecast.cli.render import show_document

        show_document("rollback", {"jobs": documents})
    return code
