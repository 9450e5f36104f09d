"""`lstmcast plot`: one series of a finished run, in the terminal or as an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from forecast.cli import parameters
from forecast.cli.parameters import Run, takes

if TYPE_CHECKING:
    from forecast.reporting.charts.fan import FanChart

RunFolder = Annotated[
    str | None, parameters.run_folder("Run folder or its model folder (the newest below --root).")
]
Series = Annotated[str | None, parameters.series("The series to draw (the first).")]
Data = Annotated[
    str | None, parameters.observations("The history (the file that the model was trained on).")
]
Output = Annotated[str | None, parameters.output("Image to write, .png or .svg (the terminal).")]


@takes("output.root")
def plot(
    folder: RunFolder = None,
    series: Series = None,
    data: Data = None,
    output: Output = None,
    *,
    run: Run,
) -> int:
    """Draw one series of a run, in the terminal or as a picture.

    Its history, the forecasts and their intervals.
    """
    from forecast.cli import render
    from forecast.models.store import newest_model
    from forecast.reporting.charts.image import check_chart, forecast_png
    from forecast.reporting.charts.terminal import terminal_chart
    from forecast.reporting.finished_run import run_chart, run_of

    if output is not None:
        check_chart(output)
    where = Path(folder) if folder else newest_model(Path(run.settings.output.root))
    chart = run_chart(where, series, data, run.settings.output.root)
    if output is not None:
        forecast_png(output, chart)
    if run.screen.json:
        render.show_document("plot", {"output": output, **numbers(chart)})
    elif output is None:
        if not (folder or run.screen.quiet):
            run.err().print(f"run  {run_of(where)}, the newest", style="dim", highlight=False)
        print(terminal_chart(chart, plain=None if sys.stdout.isatty() else True))
    elif not run.screen.quiet:
        render.show_facts(run.out(), [("series", chart.title), ("written to", output)])
    return 0


def numbers(chart: FanChart) -> dict[str, Any]:
    """What the chart shows, for a program to draw: times of the history, then of the forecast."""
    return {
        "series": chart.title,
        "times": chart.times.astype(str),
        "history": chart.history,
        "actual": chart.actual,
        "medians": chart.medians,
        "bands": chart.bands,
    }
