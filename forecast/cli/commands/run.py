"""`lstmcast run`: the scheduled jobs of a config, each from reading to publishing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.parameters import Config, DryRun, JobName, Run, for_each, jobs_of, takes
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.scheduling.config import Job
    from forecast.scheduling.run import RunOutcome

AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        show_default=False,
        help="The last time that is seen, e.g. 2024-01-31T23:00 (what the data reach to).",
    ),
]
LockWait = Annotated[
    str | None,
    typer.Option(
        "--lock-wait",
        metavar="DURATION",
        show_default=False,
        help="Wait so long for another run of the job: 60s (as the config says).",
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        metavar="DURATION",
        show_default=False,
        help="Publish within this time, with the best there is: 20m (as the config says).",
    ),
]
MaxFailed = Annotated[
    str | None,
    typer.Option(
        "--max-failed",
        metavar="SHARE",
        show_default=False,
        help="Publish nothing when more series fail: 5% (as the config says).",
    ),
]


@takes()
def run(
    file: Config,
    job: JobName = None,
    as_of: AsOf = None,
    dry_run: DryRun = False,
    lock_wait: LockWait = None,
    deadline: Deadline = None,
    max_failed: MaxFailed = None,
    *,
    run: Run,
) -> int:
    """Run scheduled jobs: read, decide, forecast, publish, score."""
    given = {"deadline": deadline, "max_failed": max_failed, "lock_wait": lock_wait}
    jobs = [_with_flags(each, given) for each in jobs_of(file, job)]
    from forecast.scheduling.run import run_monitored

    documents: list[dict[str, Any]] = []

    def work(each: Job) -> int:
        with run.watching(job=each.name) as listener:
            outcome = run_monitored(each, listener, as_of=as_of, dry_run=dry_run)
        documents.append(document(outcome))
        if not run.screen.json and not run.screen.quiet:
            show(run, outcome)
        return outcome.exit_code

    code = for_each(jobs, run, work)
    if run.screen.json:
        from forecast.cli.render import show_document

        show_document("run", {"jobs": documents, "exit_code": code})
    return code


def document(outcome: RunOutcome) -> dict[str, Any]:
    """The JSON form of what one job's run did."""
    return {
        "job": outcome.job,
        "outcome": outcome.outcome,
        "exit_code": outcome.exit_code,
        "run": outcome.run,
        "as_of": outcome.as_of,
        "folder": outcome.folder,
        "decisions": [decision.to_dict() for decision in outcome.decisions],
        "warnings": list(outcome.warnings),
        "series": outcome.series,
        "fallbacks": outcome.fallbacks,
        "seconds": round(outcome.seconds, 3),
    }


def show(run: Run, outcome: RunOutcome) -> None:
    """What was done and why, for a person."""
    from forecast.cli import render

    console = run.out()
    render.show_choices(console, [(d.what, d.choice, d.reason) for d in outcome.decisions])
    facts = [("job", outcome.job), ("outcome", outcome.outcome), ("as of", outcome.as_of)]
    if outcome.run is not None:
        facts.append(("run", f"{outcome.folder}/runs/{outcome.run}"))
        facts.append(("series", f"{outcome.series}, {outcome.fallbacks} by a fallback"))
    console.print()
    render.show_facts(console, [*facts, ("took", f"{outcome.seconds:.1f} s")])


def _with_flags(job: Job, given: dict[str, str | None]) -> Job:
    """The job with the flags that were given in place of its own lines. Raises UsageError."""
    from pydantic import ValidationError

    from forecast.scheduling.config import JobSection

    flags = {name: value for name, value in given.items() if value is not None}
    if not flags:
        return job
    try:
        section = JobSection.model_validate({**job.section.model_dump(), **flags})
    except (ValidationError, ValueError) as problem:
        errors = problem.errors(include_url=False) if isinstance(problem, ValidationError) else []
        name = str(errors[0]["loc"][0]) if errors else next(iter(flags))
        raise UsageError(
            f"--{name.replace('_', '-')} is not understood",
            code="config/bad-value",
            value=flags.get(name),
            remedy="For example: --lock-wait 60s, --deadline 20m, --max-failed 5%",
        ) from problem
    return replace(job, section=section)
