"""`lstmcast predict`: forecast with a trained model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli import parameters
from forecast.cli.parameters import Run, forecast_in_parts, in_parts, takes
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.workflows.predict import PredictResult

PARTS = (
    "forecast", "data", "engine", "training.jobs", "sampling", "training.seed", "output.root",
    "baselines.blend",
)  # fmt: skip
_NOT_IN_JSON = ("chart", "predictions")  # drawn for people; in its file

Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        show_default=False,
        help="Table of observations; - reads standard input (the file the model was trained on).",
    ),
]
Model = Annotated[
    str | None, parameters.model("Run folder or its model folder (the newest of these data).")
]
Output = Annotated[
    str | None,
    parameters.output(
        "Where the forecast goes; - is standard output (a new file in the run's folder)."
    ),
]
Follow = Annotated[
    bool, parameters.follow("DATA is the history; forecast anew from each row on standard input.")
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        metavar=" ",
        show_default=False,
        help="With --follow: read exactly as far back as without it, for more work a row.",
    ),
]


Scenario = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario",
        metavar="NAME=FILE",
        show_default=False,
        help="A future of the covariates known ahead; repeat it to compare several (the first is "
        "what the others change).",
    ),
]


@takes(*PARTS)
def predict(
    data: Data = None,
    model: Model = None,
    output: Output = None,
    follow: Follow = False,
    exact: Exact = False,
    scenario: Scenario = None,
    *,
    run: Run,
) -> int:
    """Forecast from the end of DATA with a trained model.

    Without --model, the newest model of this data is taken; nothing that is there is replaced.
    """
    parameters.refuse_two_outputs(run, output)
    db = run.settings.data.db
    if scenario:
        return _scenarios(scenario, data, model, output, follow, run)
    parameters.refuse_samples(run, follow=follow)
    if follow:
        source = parameters.wanted(data, "predict", db) if data or db else None
        return _follow(source, output, model, exact, run)
    if exact:
        raise UsageError(
            "--exact says how --follow reads",
            code="usage/exact-without-follow",
            remedy="Add --follow, or leave --exact out",
        )
    if in_parts(run):
        return forecast_in_parts(
            run, "predict", parameters.wanted(data, "predict", db), output, model
        )
    from forecast.workflows.predict import predict_run

    source = parameters.wanted(data, "predict", db) if data or db else None
    with run.watching() as listener:
        result = predict_run(source, run.settings, listener, model=model, output=output)
    show_result(run, "predict", result)
    return int(result.exit_code)


def _scenarios(
    given: list[str],
    data: str | None,
    model: str | None,
    output: str | None,
    follow: bool,
    run: Run,
) -> int:
    """Several futures side by side."""
    from forecast.cli import render
    from forecast.workflows.scenarios import parse_scenarios, scenarios_run

    for flag, wrong in (
        ("--follow", follow),
        ("--samples", run.settings.sampling.number is not None),
        ("--engine", in_parts(run)),
    ):
        if wrong:
            raise UsageError(
                f"{flag} knows one future, and --scenario names several",
                code="usage/scenario-alone",
                where=flag,
                remedy=f"Leave {flag} or --scenario out",
            )
    db = run.settings.data.db
    source = parameters.wanted(data, "predict", db) if data or db else None
    with run.watching() as listener:
        result = scenarios_run(
            source, parse_scenarios(given), run.settings, listener, model=model, output=output
        )
    if run.screen.json:
        names = [f.name for f in dataclasses.fields(result) if f.name not in _NOT_IN_JSON]
        render.show_document("predict", {name: getattr(result, name) for name in names})
    elif not run.screen.quiet:
        console = run.err() if result.path == "-" else run.out()
        render.show_chart(console, result.chart)
        render.show_scenarios(console, result)
    return int(result.exit_code)


def _follow(
    source: str | None, output: str | None, model: str | None, exact: bool, run: Run
) -> int:
    parameters.refuse_to_follow(source, output)
    if in_parts(run):
        raise UsageError(
            "--follow forecasts in one process",
            code="usage/follow-in-parts",
            remedy="Leave --engine, --jobs and --shard out",
        )
    from forecast.cli.stream import follow
    from forecast.workflows.stream import predict_stream

    return follow(run, predict_stream, source, model=model, exact=exact)


def show_result(run: Run, command: str, result: PredictResult, *, table: bool = False) -> None:
    """What was forecast and where it is, as a document or for a person; table: the rows too."""
    from forecast.cli import render
    from forecast.inference.tables import records

    if run.screen.json:
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        kept = {name: value for name, value in fields.items() if name not in _NOT_IN_JSON}
        if result.path == "":  # no file has it
            kept["forecast"] = records(result.predictions)
        render.show_document(command, kept)
    elif not run.screen.quiet and not (result.path == "-" and run.screen.log_format == "json"):
        # The forecast itself may be on stdout: then the rest must not be.
        console = run.err() if result.path == "-" else run.out()
        render.show_chart(console, result.chart)
        if table:
            render.show_rows(console, result.predictions)
            console.print()
        render.show_prediction(console, result)
