"""`lstmcast repair`: what is damaged in the folders of the jobs, and, with --yes, mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.parameters import Config, JobName, Run, for_each, jobs_of, takes

if TYPE_CHECKING:
    from forecast.scheduling.config import Job
    from forecast.scheduling.repair import Repair

NO_WORD = " "
Yes = Annotated[
    bool, typer.Option("--yes", metavar=NO_WORD, help="Do it (only say what would be done).")
]


@takes()
def repair(file: Config, job: JobName = None, yes: Yes = False, *, run: Run) -> int:
    """Set right what is damaged in the jobs' folders.

    Without --yes it says what is damaged, and what would be done.
    """
    jobs = jobs_of(file, job)
    from forecast.scheduling.repair import repair_job

    documents: list[dict[str, Any]] = []

    def work(each: Job) -> int:
        with run.watching() as listener:
            found = repair_job(each, listener, dry_run=not yes)
        documents.append({"job": each.name, "repairs": [vars(entry) for entry in found]})
        if not run.screen.json and not run.screen.quiet:
            show(run, each.name, found, yes)
        return 0

    code = for_each(jobs, run, work)
    if run.screen.json:
        from forecast.cli.render import show_document

        show_document("repair", {"done": yes, "jobs": documents})
    return code


def show(run: Run, name: str, found: list[Repair], done: bool) -> None:
    """What is wrong, and what was or would be done, for a person."""
    from forecast.cli.render import show_facts

    rows = [("job", name)]
    for each in found:
        rows += [(each.what, each.found), ("done" if done else "would be", each.action)]
    if not found:
        rows.append(("found", "nothing that is damaged"))
    elif not done:
        rows.append(("to do it", "say --yes"))
    show_facts(run.out(), rows)
