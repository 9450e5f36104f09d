"""`lstmcast train`: learn from a file, compare with the baselines, write the model folder."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from forecast.cli.parameters import Data, Run, model_words, takes, wanted
from forecast.common.durations import duration
from forecast.common.errors import UsageError
from forecast.common.progress import Silent
from forecast.config.options import BACKTEST_ONLY, options_of

if TYPE_CHECKING:
    from forecast.evaluation.scores import ScoreTable
    from forecast.workflows.train import TrainResult

SECTIONS = (
    "forecast",
    "data",
    "baselines",
    *(o.path for o in options_of("evaluation") if o.path not in BACKTEST_ONLY),
    "network",
    "training",
    "detection",
    "sampling",
    "output",
)


@takes(*SECTIONS)
def train(data: Data = None, *, run: Run) -> int:
    """Train on DATA, compare with ARIMA on held-out data, and forecast."""
    source = wanted(data, "train", run.settings.data.db, run.settings.data.query)
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.cli import render
    from forecast.cli.error_handler import INTERRUPTED
    from forecast.training.distributed import join
    from forecast.workflows.train import train_run

    ranks = join(run.settings.training.distributed)
    if ranks is not None:
        _refuse_stdin(source)
        if not ranks.first:
            train_run(source, run.settings, Silent(), ranks)
            return 0
    with run.watching() as listener:
        result = train_run(source, run.settings, listener, ranks)
    assert result is not None, "the first rank has the result"
    if run.screen.json:
        render.show_document("train", document(result))
    elif not run.screen.quiet:
        console = run.out()
        render.show_choices(console, result.chosen)
        if result.scores is not None:
            made = result.scores
            render.show_scores(console, made.to_rows(), made.caption(), made.judged)
        render.show_levels(console, result.levels)
        render.show_sentence(console, sentence(result.scores))
        render.show_chart(console, result.chart)
        render.show_files(console, sorted(result.files, key=lambda each: each[0].suffix != ".html"))
        run_folder = quote(str(result.folder))
        render.show_hint(
            console,
            f"Done in {duration(result.seconds)}",
            f"See it: lstmcast report {run_folder} --open",
            f"Forecast again: lstmcast predict {model_words(run, result.folder)}",
        )
    return INTERRUPTED if result.interrupted else int(result.exit_code)


def _refuse_stdin(source: str) -> None:
    """Raises UsageError: what one process reads from standard input, the others cannot."""
    if source == "-":
        raise UsageError(
            "several processes cannot share standard input",
            code="usage/distributed-stdin",
            value=source,
            remedy="Name a file that all of them can read",
        )


def sentence(scores: ScoreTable | None) -> str:
    """Who won, in one sentence; without scores, why there is no answer."""
    if scores is None:
        return (
            "No series is long enough to hold data back, so nothing can be said about accuracy: "
            "give more history or a shorter --horizon."
        )
    from forecast.evaluation.significance import verdict

    return verdict(scores)


def document(result: TrainResult) -> dict[str, Any]:
    """The JSON form of what was done, the forecast with it."""
    from forecast.cli import render
    from forecast.inference.tables import records

    return render.outcome(
        result,
        scores=result.scores,
        verdict=sentence(result.scores),
        forecast=records(result.predictions),
    )
