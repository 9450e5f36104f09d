"""`lstmcast forecast`: a forecast at once, from the pretrained network, without training."""

from __future__ import annotations

from typing import Annotated

from forecast.cli import parameters
from forecast.cli.commands.predict import show_result
from forecast.cli.parameters import Data, Run, forecast_in_parts, in_parts, takes, wanted

Output = Annotated[
    str | None, parameters.output("Where the forecast goes, .csv or .parquet (standard output).")
]


@takes("forecast", "data", "engine", "training.jobs", "sampling", "training.seed")
def forecast(data: Data = None, output: Output = None, *, run: Run) -> int:
    """Forecast DATA at once with the pretrained network.

    Trains nothing. On a terminal a chart and a table, in a pipe CSV.
    """
    source = wanted(data, "forecast", run.settings.data.db)
    parameters.refuse_two_outputs(run, output)
    parameters.refuse_samples(run)
    if in_parts(run):
        return forecast_in_parts(run, "forecast", source, output)
    from forecast.workflows.predict import forecast_run

    if run.look.json and output is None:
        output = ""
    with run.watching() as listener:
        result = forecast_run(source, run.settings, listener, output=output)
    show_result(run, "forecast", result)
    return int(result.exit_code)
