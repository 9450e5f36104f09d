"""`lstmcast forecast`: a forecast at once, from the pretrained network, without training."""

from __future__ import annotations

from typing import Annotated

from forecast.commands import own_options as own
from forecast.commands.own_options import Data, wanted
from forecast.commands.parameters import Run, takes
from forecast.commands.predict import show_result

Output = Annotated[
    str | None, own.output("Where the forecast goes, .csv or .parquet (standard output).")
]


@takes("forecast", "data")
def forecast(data: Data = None, output: Output = None, *, run: Run) -> int:
    """Forecast DATA at once with the pretrained network. Trains nothing."""
    from forecast.pipeline import forecast_run

    source = wanted(data, "forecast", run.settings.data.db)
    own.refuse_two_outputs(run, output)
    if run.look.json and output is None:
        output = ""
    with run.watching() as listener:
        result = forecast_run(source, run.settings, listener, output=output)
    show_result(run, "forecast", result)
    return int(result.exit_code)
