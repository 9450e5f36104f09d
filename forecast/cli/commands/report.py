"""`lstmcast report`: the page of a finished run, made again with the series that are named."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from forecast.cli import parameters
from forecast.cli.parameters import Run, takes

RunFolder = Annotated[
    str | None,
    parameters.run_folder("Folder of a train or backtest run (the newest below --root)."),
]
Series = Annotated[
    list[str] | None,
    parameters.series("A series to draw; repeatable (the worst, the best, and evenly between)."),
]
Data = Annotated[
    str | None, parameters.observations("The observations (the file that the run read).")
]
Output = Annotated[
    str | None, parameters.output("Page to write; - is standard output (report.html of the run).")
]
Open = Annotated[
    bool,
    typer.Option(
        "--open", metavar=parameters.NO_WORD, help="Show the page in the browser when it is made."
    ),
]


@takes("output.root")
def report(
    folder: RunFolder = None,
    series: Series = None,
    data: Data = None,
    output: Output = None,
    show: Open = False,
    *,
    run: Run,
) -> int:
    """Write the page of a run again, with the series that you name."""
    parameters.refuse_two_outputs(run, output, "page")
    from forecast.cli import render
    from forecast.reporting.finished_run import newest_run
    from forecast.reporting.finished_run_report import rebuilt_report
    from forecast.reporting.html.page import check_report, render_report, write_report
    from forecast.workflows.load import load_levels

    where = Path(folder) if folder else newest_run(Path(run.settings.output.root))
    inside = where.parent if where.absolute().name == "model" else where
    if output != "-":
        check_report(inside, output)
    with run.watching() as listener:
        listener.stage("Making the page")
        page = rebuilt_report(
            where,
            series or (),
            data,
            listener,
            run.settings.output.root,
            read=lambda source, asked: load_levels(source, asked)[:2],
        )
    if output == "-":
        from forecast.common.documents import as_bytes

        sys.stdout.buffer.write(as_bytes(render_report(page)))
        sys.stdout.buffer.flush()
        return 0
    path = write_report(inside, output, page)
    if run.screen.json:
        drawn = [entry.title for entry in page.series]
        render.show_document(
            "report", {"run": inside, "path": path, "verdict": page.verdict, "series": drawn}
        )
    elif not run.screen.quiet:
        render.show_facts(run.out(), [("run", inside), ("page", path)])
        render.show_sentence(run.out(), page.verdict)
    if show:
        webbrowser.open(path.resolve().as_uri())
    return 0
