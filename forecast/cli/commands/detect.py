"""`lstmcast detect`: values that were not expected, gaps, and levels that have shifted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from forecast.cli import parameters
from forecast.cli.parameters import Data, Run, takes, wanted
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.workflows.detect import DetectResult

Model = Annotated[
    str | None, parameters.model("Run folder or its model folder (none: the pretrained network).")
]
Output = Annotated[
    str | None,
    parameters.output("Where the anomalies go, .csv, .parquet or .xlsx (standard output)."),
]
Page = Annotated[
    str | None, parameters.page("Write a page that shows every series with its anomalies.")
]
Follow = Annotated[
    bool,
    parameters.follow("DATA is the history; judge the rows that come on standard input, at once."),
]


@takes("detection", "data")
def detect(
    data: Data = None,
    model: Model = None,
    output: Output = None,
    report: Page = None,
    follow: Follow = False,
    *,
    run: Run,
) -> int:
    """Find anomalies: points, runs, level shifts, standstills, gaps.

    Trains nothing. On a terminal a table, in a pipe CSV.
    """
    source = wanted(data, "detect", run.settings.data.db, run.settings.data.query)
    parameters.refuse_two_outputs(run, output, "anomalies")
    if follow and report:
        raise UsageError(
            "--follow judges rows as they come and makes no page",
            code="usage/follow-report",
            remedy="Leave --report out, or run detect on the whole file",
        )
    if follow:
        return _follow(source, model, output, run)
    from forecast.cli import render
    from forecast.workflows.detect import detect_run, to_document

    on_screen = output is None and run.shows_tables()
    if output is None and (run.screen.json or on_screen):
        output = ""
    with run.watching() as listener:
        result = detect_run(
            source,
            run.settings,
            listener,
            model=model,
            output=output,
            page=report,
            draw=sys.stdout.isatty() and not run.screen.quiet,
        )
    if run.screen.json:
        render.show_document("detect", to_document(result))
    elif not run.screen.quiet:
        console = run.err() if result.path == "-" else run.out()
        render.show_chart(console, result.chart)
        if on_screen and result.anomalies.num_rows:
            render.show_rows(console, result.anomalies)
            console.print()
        render.show_facts(console, _facts(result))
    return result.exit_code


def _follow(source: str, model: str | None, output: str | None, run: Run) -> int:
    parameters.refuse_to_follow(source, output)
    from forecast.cli.stream import follow
    from forecast.workflows.detect import detect_stream

    return follow(run, detect_stream, source, model=model)


def _facts(result: DetectResult) -> list[tuple[str, object]]:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in result.kinds.items())
    return [
        ("anomalies", f"{sum(result.kinds.values()):,} ({kinds})" if kinds else "none"),
        ("judged", f"{result.judged:,} of {result.values:,} values, {result.series} series"),
        ("threshold", f"{result.threshold:g} usual deviations from the forecast"),
        ("judged by", result.model),
        *([("written to", _place(result.path))] if result.path else []),
        *([("page", result.page)] if result.page else []),
    ]


def _place(path: str) -> str:
    return "standard output" if path == "-" else path
