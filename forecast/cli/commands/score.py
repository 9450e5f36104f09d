"""`lstmcast score`: how published forecasts compare with what came true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli import parameters
from forecast.cli.parameters import NO_WORD, Config, JobName, Run, for_each, jobs_of, takes

if TYPE_CHECKING:
    from forecast.scheduling.config import Job
    from forecast.scheduling.live_scores import Live
    from forecast.scheduling.status import JobFacts

Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild", metavar=NO_WORD, help="Make the ledger anew from the run folders first."
    ),
]

Page = Annotated[
    str | None,
    parameters.page("Write a page of live scores, stability, overrides and value added."),
]


@takes()
def score(
    file: Config,
    job: JobName = None,
    rebuild: Rebuild = False,
    report: Page = None,
    *,
    run: Run,
) -> int:
    """Score published forecasts against what came since."""
    jobs = jobs_of(file, job)
    from forecast.reporting.html.live_page import check_live_page, write_live_page
    from forecast.scheduling.score import score_job

    if report is not None:
        check_live_page(report)
    documents: list[dict[str, Any]] = []

    def work(each: Job) -> int:
        with run.watching(job=each.name) as listener:
            facts = score_job(each, listener, rebuild=rebuild)
        documents.append({"job": facts.job, **facts.scores_document()})
        if not run.screen.json and not run.screen.quiet:
            show(run, facts)
        return 0

    code = for_each(jobs, run, work)
    page = None if report is None else write_live_page(report, Path(file).name, documents)
    from forecast.cli import render

    if run.screen.json:
        render.show_document("score", {"jobs": documents} | ({"page": page} if page else {}))
    elif page is not None and not run.screen.quiet:
        render.show_facts(run.out(), [("page", page)])
    return code


def show(run: Run, facts: JobFacts) -> None:
    """The live scores for a person: by age of the forecast, with -v by step ahead too."""
    from rich import box
    from rich.table import Table

    from forecast.cli import render
    from forecast.reporting.html.live_page import about_point

    console = run.out()
    if not facts.ages:
        render.show_sentence(console, f"{facts.job}: nothing that was forecast has come true yet.")
        return
    table = Table(facts.job, box=box.SIMPLE_HEAD, pad_edge=False, header_style="cyan")
    for heading in ("values", "MASE", "MAE", "in 80%", "in 95%"):
        table.add_column(heading, justify="right")
    rows = {f"{name} runs": scores for name, scores in facts.ages.items()}
    if run.screen.verbose:
        rows |= {f"step {step}": scores for step, scores in facts.steps.items()}
    for name, scores in rows.items():
        table.add_row(name, *_cells(scores))
    console.print(table)
    if facts.current is not None and (words := about_point(facts.current.point)):
        render.show_sentence(console, f"{words[0].upper()}{words[1:]}.")
    render.show_sentence(console, sentence(facts))
    for line in about_planning(facts.planning):
        render.show_sentence(console, line)


def about_planning(planning: Mapping[str, Any]) -> list[str]:
    """How stable the forecasts were, and what model and planners added, in sentences."""
    lines = []
    stability = planning.get("stability") or {}
    if stability.get("change") is not None:
        ages = stability["by_age"]
        first, last = next(iter(ages)), list(ages)[-1]
        lines.append(
            f"Stability: from one run to the next the forecast of a step changed by "
            f"{stability['change']:.1%} of its level ({ages[first] or 0:.1%} at step {first}, "
            f"{ages[last] or 0:.1%} at step {last})."
        )
    if left_out := planning.get("quantile_runs"):
        lines.append(
            f"Value added leaves out {left_out} of the runs, which published a quantile: an "
            "error says nothing of it."
        )
    if left_out := planning.get("other_runs"):
        lines.append(
            f"Value added leaves out {left_out} of the runs, which published another point than "
            "the newest: means and medians are judged by errors of their own."
        )
    added = planning.get("value_added") or {}
    return [*lines, *(_about_value(added) if added else ())]


def _about_value(added: Mapping[str, Any]) -> list[str]:
    """What model and planners added, by the error that judges the points."""
    every = added["all"]
    by = str(every["judged"])
    error = by.upper()
    lines = [
        f"Value added over {every['count']:,} values: seasonal naive {error} "
        f"{every[f'{by}_naive']:.4g}, model {every[f'{by}_model']:.4g} "
        f"({-every['added_by_model']:+.4g}){_overridden(every, added['by'])}."
    ]
    if f"{by}_blend" in every:
        lines.append(
            f"The blend in the model's place: {error} {every[f'{by}_blend']:.4g} "
            f"({-every['added_by_blend']:+.4g})."
        )
    for name, figures in added["by"].items():
        gain = figures["added_by_override"]
        better = "better" if gain > 0 else "worse" if gain < 0 else "no better"
        lines.append(
            f"Overrides by {name}: {better} on {figures['count']:,} values, {error} "
            f"{figures[f'{by}_model']:.4g} -> {figures[f'{by}_override']:.4g}."
        )
    return lines


def _overridden(every: Mapping[str, Any], by: Mapping[str, Any]) -> str:
    """What planners added, in words; nothing where nobody changed anything."""
    if not by:
        return ""
    error = every[f"{every['judged']}_override"]
    return f", with overrides {error:.4g} ({-every['added_by_override']:+.4g})"


def sentence(facts: JobFacts) -> str:
    """How the model in service keeps what its backtest promised."""
    if math.isnan(facts.recent.mase):
        return "Nothing that the model in service forecast has come true yet."
    if math.isnan(facts.expected) or not facts.expected:
        return "The backtest of the model in service made no promise to compare with."
    ratio = facts.recent.mase / facts.expected
    return (
        f"Live MASE {facts.recent.mase:.3f} over {facts.recent.count:,} values; the backtest "
        f"promised {facts.expected:.3f} at these steps: {ratio:.2f} times as much."
    )


def _cells(scores: Live) -> list[str]:
    """Count, MASE, MAE and coverage of the two usual intervals."""
    shares = [scores.coverage.get(level) for level in (80.0, 95.0)]
    return [
        f"{scores.count:,}",
        "-" if math.isnan(scores.mase) else f"{scores.mase:.3f}",
        "-" if math.isnan(scores.mae) else f"{scores.mae:.4g}",
        *("-" if share is None else f"{share:.0%}" for share in shares),
    ]
