"""`lstmcast compare`: networks of the family side by side, beside ARIMA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forecast.cli.parameters import Data, Run, takes, wanted
from forecast.config.options import TRAIN_ONLY, options_of

if TYPE_CHECKING:
    from forecast.workflows.compare import ComparisonResult

SECTIONS = (
    "compare", "forecast", "data", "baselines", "evaluation", "network", "training", "output"
)  # fmt: skip
# What is decided here: every network learns once, from random weights, and sees no held-out data.
DECIDED = (
    *TRAIN_ONLY, "network.name", "training.init", "training.from_scratch", "training.try_scratch",
    "evaluation.variants", "evaluation.refit", "baselines.blend",
)  # fmt: skip
PARTS = tuple(o.path for o in options_of(*SECTIONS) if o.path not in DECIDED)


@takes(*PARTS)
def compare(data: Data = None, *, run: Run) -> int:
    """Train networks under one budget and score them beside ARIMA.

    From rolling origins, on DATA.
    """
    source = wanted(data, "compare", run.settings.data.db, run.settings.data.query)
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.cli import render
    from forecast.cli.error_handler import INTERRUPTED
    from forecast.workflows.compare import compare_run

    with run.watching() as listener:
        result = compare_run(source, run.settings, listener)
    if run.screen.json:
        render.show_document("compare", document(result))
    elif not run.screen.quiet:
        console = run.out()
        render.show_choices(console, result.chosen)
        render.show_scores(console, result.rows, result.caption, result.judged)
        if result.apart:
            words = "apart: the LSTM as it comes pretrained, untrained here, and trained from there"
            render.show_scores(console, result.apart, words, result.judged)
        render.show_sentence(console, result.sentence)
        render.show_files(console, result.files)
    return INTERRUPTED if result.interrupted else int(result.exit_code)


def document(result: ComparisonResult) -> dict[str, Any]:
    """The JSON form of what was done; the forecasts themselves are in their file."""
    from forecast.cli import render

    return render.outcome(
        result,
        models=result.rows,
        apart=result.apart,
        scored_on=result.caption,
        sentence=result.sentence,
    )
