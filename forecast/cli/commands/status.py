"""`lstmcast status`: what the jobs of a config did last, what is published, how old, how good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.parameters import Config, JobName, Run, jobs_of, seconds_of, takes

if TYPE_CHECKING:
    from rich.console import Console

MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="DURATION",
        show_default=False,
        help="End with exit code 5 when a job's last success is older: 26h, 2d (else with the code "
        "of the last run, where that failed).",
    ),
]
_STYLES = {"in order": "green", "running": "green", "never run": "yellow"}


@takes()
def status(file: Config, job: JobName = None, max_age: MaxAge = None, *, run: Run) -> int:
    """Show what the jobs did last, what is published, how good it is."""
    from forecast.cli import render
    from forecast.scheduling import clock
    from forecast.scheduling.status import describe, exit_code, job_facts

    most, now = seconds_of(max_age, "--max-age"), clock.now()
    documents = [describe(job_facts(each), now, most) for each in jobs_of(file, job)]
    code = exit_code(documents)
    if run.screen.json:
        render.show_document("status", {"jobs": documents, "exit_code": code})
    elif not run.screen.quiet:
        console = run.out()
        show_overview(console, documents)
        for document in documents if len(documents) == 1 or run.screen.verbose else ():
            show_job(console, document)
    return code


def show_overview(console: Console, documents: Sequence[Mapping[str, Any]]) -> None:
    """One line a job."""
    from rich.text import Text

    from forecast.cli.render import plain_table
    from forecast.common.progress import clean
    from forecast.scheduling.status import sentence

    rows = plain_table("job", "state", "last success", "as of", "live MASE", "promised", "")
    for document in documents:
        success, published = document["last_success"], document["published"]
        scores = document["scores"]
        rows.add_row(
            clean(document["job"]),
            Text(document["state"], _STYLES.get(document["state"], "bold red")),
            _ago(success) if success else "never",
            clean(published["as_of"]) if published else "",
            _figure(scores["recent"]["mase"]),
            _figure(scores["expected_mase"] or (scores["promise"] or {}).get("mase")),
            Text(clean(sentence(document)), "dim"),
        )
    console.print(rows)


def _ago(dated: Mapping[str, Any]) -> str:
    from forecast.scheduling.status import ago

    return ago(dated["age_seconds"])


def show_job(console: Console, document: Mapping[str, Any]) -> None:
    """Everything that is known of a job."""
    from forecast.cli.render import show_choices, show_facts

    console.print()
    show_facts(console, [(name, text) for name, text in _facts(document) if text])
    attempt = document["last_attempt"] or {}
    decisions = attempt.get("decisions") or ()
    show_choices(console, [(d["what"], d["choice"], d["reason"]) for d in decisions])
    _show_scores(console, document["scores"])


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, sentence); "" where nothing is known."""
    published, attempt = document["published"], document["last_attempt"] or {}
    error = attempt.get("error") or {}
    yield "error", " ".join(str(p) for p in (error.get("message"), error.get("remedy")) if p)
    yield "log", f"{document['folder']}/{attempt['log']}" if attempt.get("log") else ""
    if published:
        series = published["series"]
        sources = ", ".join(f"{n:,} {name}" for name, n in series["by_source"].items())
        yield "published", f"{published['folder']}: {', '.join(published['files'])}"
        yield "made", f"{published['created']}, {_ago(published)}"
        yield "reaches", f"{published['horizon']} steps after {published['as_of']}"
        yield "point", published["point"]
        yield "series", f"{series['forecast']:,} ({sources})"
        yield "left out", ", ".join(f"{e['series']}: {e['reason']}" for e in series["left_out"][:5])
        model = published["model"]
        yield "model", " ".join(str(p) for p in (model["kind"], model["id"]) if p)
        about = published["covariates"]
        yield "covariates", f"{about['value']}: {about['why']}" if about else ""
    for warning in attempt.get("warnings") or ():
        yield "warning", f"{warning['text']} [{warning['code']}]"
    kept = document["kept"]
    withdrawn = f", {kept['withdrawn']} of them withdrawn" if kept["withdrawn"] else ""
    runs = "1 run" if kept["runs"] == 1 else f"{kept['runs']} runs"
    yield "kept", f"{runs}{withdrawn}, {kept['bytes'] / 2**20:,.1f} MB"
    if document["set_aside"]:
        yield "set aside", f"{', '.join(document['set_aside'])}: damaged, to be looked at"
    yield "trouble", document["trouble"] or ""


def _show_scores(console: Console, scores: Mapping[str, Any]) -> None:
    """Live scores by age of the forecast, the promise below."""
    from forecast.cli.render import plain_table, show_sentence

    ages = scores["by_age"]
    if not ages:
        show_sentence(console, "no forecast has come true yet", "dim")
        return
    levels = list(next(iter(ages.values()))["coverage"])
    rows = plain_table("runs", "values", "MASE", *(f"in {level}%" for level in levels))
    for name, live in ages.items():
        rows.add_row(name, f"{live['count']:,}", _figure(live["mase"]), *_shares(live, levels))
    promise = scores["promise"]
    if promise:
        rows.add_row("promised", "", _figure(promise.get("mase")), *_shares(promise, levels))
    console.print()
    console.print(rows)


def _shares(scores: Mapping[str, Any], levels: Iterable[str]) -> list[str]:
    found = scores.get("coverage") or {}
    return [f"{found[level]:.0%}" if found.get(level) is not None else "" for level in levels]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
