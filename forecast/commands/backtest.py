"""`lstmcast backtest`: the LSTM and the baselines from rolling origins, with every metric."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.commands.parameters import Run, takes
from forecast.commands.train import Data, wanted
from forecast.options import all_options

if TYPE_CHECKING:
    from forecast.backtest_run import BacktestResult
    from forecast.config import Settings

# Not --quantiles, which names columns of a forecast; not the settings that --baselines and --refit
# of this command stand for.
PARTS = (
    "forecast.horizon",
    "forecast.level",
    "forecast.allow_negative",
    "data",
    "baselines.budget",
    "evaluation",
    "network",
    *(o.path for o in all_options() if o.section == "training" and o.field != "refit"),
    "output",
)
ORIGINS = "On which held-out origins the forecasters are scored"

Baselines = Annotated[
    str | None,
    typer.Option(
        "--baselines",
        metavar="NAMES",
        show_default=False,
        help="Forecasters to compare with; none: no comparison (arima,ets,theta,seasonal-naive; "
        "Naive2 comes along).",
        rich_help_panel="What the LSTM is compared with",
    ),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="DIR",
        show_default=False,
        help="Run or model folder of a trained model to compare as well; repeatable.",
        rich_help_panel="What the LSTM is compared with",
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit/--no-refit",
        help="Train anew before every origin, not once before the first.",
        rich_help_panel=ORIGINS,
    ),
]
Gap = Annotated[
    int,
    typer.Option(
        "--gap",
        min=0,
        max=1000,
        metavar="STEPS",
        help="Steps after each origin that are forecast but not scored.",
        rich_help_panel=ORIGINS,
    ),
]


@takes(*PARTS)
def backtest(
    data: Data = None,
    baselines: Baselines = None,
    model: Model = None,
    refit: Refit = False,
    gap: Gap = 0,
    *,
    run: Run,
) -> int:
    """Score the LSTM, ARIMA and others on DATA from rolling origins, with every metric."""
    source = wanted(data, "backtest")
    settings = _settings(run.settings, baselines)
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.backtest_run import backtest_run
    from forecast.commands import screens
    from forecast.failures import INTERRUPTED

    with run.watching() as listener:
        result = backtest_run(source, settings, listener, models=model or (), refit=refit, gap=gap)
    if run.look.json:
        screens.show_document("backtest", document(result))
    elif not run.look.quiet:
        console = run.out()
        screens.show_choices(console, result.chosen)
        screens.show_scores(console, result.scores.to_rows(), result.scores.caption())
        screens.show_sentence(console, result.verdict)
        if result.about_arima:
            screens.show_sentence(console, result.about_arima, "")
        screens.show_files(console, result.files)
        screens.show_hint(
            console,
            f"other series on the page: lstmcast report {quote(str(result.folder))} --series ID",
        )
    return INTERRUPTED if result.interrupted else int(result.exit_code)


def document(result: BacktestResult) -> dict[str, Any]:
    """The JSON form of what was done; the forecasts themselves are in their file."""
    from forecast.backtest_run.comparing import pair_document

    return {
        "folder": result.folder,
        "report": result.report,
        "chosen": [{"name": n, "value": value, "why": why} for n, value, why in result.chosen],
        "scores": result.scores,
        "verdict": result.verdict,
        "against_arima": result.about_arima or None,
        "comparisons": [pair_document(pair) for pair in result.pairs],
        "files": [{"path": path, "what": what} for path, what in result.files],
        "interrupted": result.interrupted,
        "exit_code": result.exit_code,
        "seconds": result.seconds,
    }


def _settings(settings: Settings, baselines: str | None) -> Settings:
    """The settings with the baselines of the command line. Raises UsageError for a wrong name."""
    if baselines is None:
        return settings
    from forecast.settings_sources import resolve

    asked = resolve({"baselines.names": baselines}, {}, None).settings.baselines.names
    given = settings.baselines.model_dump(exclude_unset=True)
    section = type(settings.baselines)(**{**given, "names": asked})
    return settings.model_copy(update={"baselines": section})
