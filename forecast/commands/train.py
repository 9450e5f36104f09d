"""`lstmcast train`: learn from a file, compare with the baselines, write the model folder."""

from __future__ import annotations

from typing import Annotated

import typer

from forecast.commands.parameters import Run, takes
from forecast.errors import UsageError

SECTIONS = ("forecast", "data", "baselines", "evaluation", "network", "training", "output")

Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help="Table of observations: CSV (also .gz), Parquet, Feather; - reads standard input.",
    ),
]


def wanted(data: str | None, command: str) -> str:
    """`data`, which the command cannot do without. Raises UsageError when it was not given."""
    if data is None:
        raise UsageError(
            "DATA is missing: the file to read",
            code="usage/missing-data",
            remedy=f"For example: lstmcast {command} sample_data/airline_passengers.csv",
        )
    return data


@takes(*SECTIONS)
def train(data: Data = None, *, run: Run) -> int:
    """Train the LSTM on DATA, score it against ARIMA on held-out data, and forecast."""
    source = wanted(data, "train")
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.pipeline import train_run

    from forecast.commands import screens
    from forecast.failures import INTERRUPTED
    from forecast.metrics import verdict

    with run.watching() as listener:
        result = train_run(source, run.settings, listener)
    if run.look.json:
        said = {"verdict": verdict(result.scores)}
        fields = screens.plain(result)
        fields.pop("chart", None)
        screens.show_document("train", fields | said)
    elif not run.look.quiet:
        console = run.out()
        screens.show_choices(console, result.chosen)
        screens.show_scores(console, result.scores.to_rows(), result.scores.caption())
        screens.show_sentence(console, verdict(result.scores))
        screens.show_chart(console, result.chart)
        screens.show_files(console, result.files)
        screens.show_hint(console, f"forecast again: lstmcast predict --model {result.folder}")
    return INTERRUPTED if result.interrupted else int(result.exit_code)
