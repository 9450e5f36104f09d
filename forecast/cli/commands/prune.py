"""`lstmcast prune`: what retention lets go, now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forecast.cli.parameters import Config, DryRun, JobName, Run, for_each, jobs_of, takes

if TYPE_CHECKING:
    from forecast.scheduling.config import Job


@takes()
def prune(file: Config, job: JobName = None, dry_run: DryRun = False, *, run: Run) -> int:
    """Delete the runs and models that retention does not keep."""
    jobs = jobs_of(file, job)
    from forecast.scheduling.retention import prune_job

    documents: list[dict[str, Any]] = []

    def work(each: Job) -> int:
        with run.watching(job=each.name) as listener:
            done = prune_job(each, listener, dry_run=dry_run)
        documents.append({"job": each.name, **done})
        if not run.screen.json and not run.screen.quiet:
            show(run, each.name, done, dry_run)
        return 0

    code = for_each(jobs, run, work)
    if run.screen.json:
        from forecast.cli.render import show_document

        show_document("prune", {"dry_run": dry_run, "jobs": documents})
    return code


def show(run: Run, name: str, done: dict[str, Any], dry_run: bool) -> None:
    """What goes and what stays, for a person."""
    from forecast.cli.render import show_facts

    gone = "would go" if dry_run else "let go"
    nothing = () if done["runs"] or done["models"] else ((gone, "nothing"),)
    show_facts(
        run.out(),
        [
            ("job", name),
            *nothing,
            *((gone, run_name) for run_name in done["runs"]),
            *((gone, f"model {model}") for model in done["models"]),
            *(("kept", f"{run_name}: {why}") for run_name, why in done["kept"].items()),
        ],
    )
