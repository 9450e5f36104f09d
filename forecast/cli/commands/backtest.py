"""`lstmcast backtest`: the LSTM and the baselines from rolling origins, with every metric."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from forecast.cli import parameters
from forecast.cli.parameters import Data, Run, takes, wanted
from forecast.config.options import TRAIN_ONLY, options_of

if TYPE_CHECKING:
    from forecast.workflows.backtest import BacktestResult

SECTIONS = ("forecast", "data", "baselines", "evaluation", "network", "training", "output")
# Not --quantiles, which names columns of a forecast; not the --refit of train: no network of a
# backtest ever sees all data.
ENGINE = ("engine.name", "engine.ray_address")  # the baselines may be fitted on a cluster
PARTS = (*(o.path for o in options_of(*SECTIONS) if o.path not in TRAIN_ONLY), *ENGINE)

Model = Annotated[
    list[str] | None,
    parameters.model(
        "Run or model folder of a trained model to compare as well; repeatable.",
        "What the LSTM is compared with",
    ),
]


@takes(*PARTS)
def backtest(data: Data = None, model: Model = None, *, run: Run) -> int:
    """Score the LSTM, ARIMA and others from rolling origins."""
    source = wanted(data, "backtest", run.settings.data.db, run.settings.data.query)
    parameters.refuse_idle_address(run)
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.cli import render
    from forecast.cli.error_handler import INTERRUPTED
    from forecast.evaluation.significance import with_more
    from forecast.workflows.backtest import backtest_run

    with run.watching() as listener:
        result = backtest_run(source, run.settings, listener, models=model or ())
    if run.screen.json:
        render.show_document("backtest", document(result))
    elif not run.screen.quiet:
        console = run.out()
        render.show_choices(console, result.chosen)
        made = result.scores
        render.show_scores(console, made.to_rows(), made.caption(), made.judged)
        render.show_sentence(console, with_more(result.verdict, result.about_arima))
        render.show_files(console, result.files)
        render.show_hint(
            console,
            f"other series on the page: lstmcast report {quote(str(result.folder))} --series ID",
        )
    return INTERRUPTED if result.interrupted else int(result.exit_code)


def document(result: BacktestResult) -> dict[str, Any]:
    """The JSON form of what was done; the forecasts themselves are in their file."""
    from forecast.cli import render
    from forecast.evaluation.significance import pair_document

    return render.outcome(
        result,
        scores=result.scores,
        verdict=result.verdict,
        against_arima=result.about_arima or None,
        comparisons=[pair_document(pair) for pair in result.pairs],
    )
