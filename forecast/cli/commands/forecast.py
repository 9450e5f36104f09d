"""`lstmcast forecast`: a forecast at once, from the pretrained network, without training."""

from __future__ import annotations

from typing import Annotated

from forecast.cli import parameters
from forecast.cli.commands.predict import show_result
from forecast.cli.parameters import Data, Run, forecast_in_parts, in_parts, takes, wanted
from forecast.common.errors import UsageError

Output = Annotated[
    str | None,
    parameters.output("Where the forecast goes, .csv, .parquet or .xlsx (standard output)."),
]
Report = Annotated[str | None, parameters.page("Also write a page with the charts of the series.")]


@takes("forecast", "data", "engine", "training.jobs", "sampling", "training.seed")
def forecast(data: Data = None, output: Output = None, report: Report = None, *, run: Run) -> int:
    """Forecast DATA at once with the pretrained network.

    Trains nothing. On a terminal a chart and a table, in a pipe CSV.
    """
    source = wanted(data, "forecast", run.settings.data.db, run.settings.data.query)
    parameters.refuse_two_outputs(run, output)
    parameters.refuse_samples(run)
    if in_parts(run):
        refuse_report_in_parts(report)
        return forecast_in_parts(run, "forecast", source, output)
    from forecast.workflows.predict import forecast_run

    on_screen = output is None and run.shows_tables()
    if output is None and (run.screen.json or on_screen):
        output = ""
    with run.watching() as listener:
        result = forecast_run(source, run.settings, listener, output=output, page=report)
    show_result(run, "forecast", result, table=on_screen)
    return int(result.exit_code)


def refuse_report_in_parts(report: str | None) -> None:
    """Raises UsageError for --report where no process has the whole table."""
    if report is not None:
        raise UsageError(
            "--report is for a forecast of one table in one process",
            code="usage/report-in-parts",
            value=report,
            remedy="Leave --engine, --jobs and --shard out",
        )
