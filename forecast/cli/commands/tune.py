"""`lstmcast tune`: seek settings on validation origins, compare them on held-out ones."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from forecast.cli.commands.train import SECTIONS as OF_TRAIN
from forecast.cli.parameters import Data, Run, takes, wanted
from forecast.config.options import options_of

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.workflows.tune import TuneResult

# Not what no trial has: baselines, a refit, a model to start from.
NOT_TAKEN = (
    "training.refit", "training.init", "training.try_scratch", "training.distributed", "baselines",
)  # fmt: skip
SHOWN = 5  # trials, the best first
PARTS = (
    "tuning",
    "compare.networks",
    *(o.path for o in options_of(*OF_TRAIN) if not o.path.startswith(NOT_TAKEN)),
)


@takes(*PARTS)
def tune(data: Data = None, *, run: Run) -> int:
    """Search for better settings, and say what they gain.

    Trials are compared on validation origins of DATA; the best one is then measured on held-out
    origins.
    """
    source = wanted(data, "tune", run.settings.data.db, run.settings.data.query)
    # Late, so that a wrong command line is refused before anything heavy is imported.
    from forecast.cli import render
    from forecast.workflows.tune import tune_run

    with run.watching() as listener:
        result = tune_run(source, run.settings, listener)
    if run.screen.json:
        render.show_document("tune", document(result))
    elif not run.screen.quiet:
        console = run.out()
        render.show_choices(console, result.chosen)
        show_trials(console, result)
        if result.scores is not None:
            made = result.scores
            render.show_scores(console, made.to_rows(), made.caption(), made.judged)
        render.show_sentence(console, result.sentence)
        render.show_files(console, result.files)
        if result.judgement is not None and result.judgement.gained:
            config = quote(str(result.folder / "tuned.yaml"))
            render.show_hint(console, f"train with them: lstmcast train DATA --config {config}")
    return 3 if result.report.skipped else 0


def show_trials(console: Console, result: TuneResult) -> None:
    """The best trials, and those of the defaults, by their loss on the validation origins."""
    from forecast.cli.render import plain_table

    table = plain_table("trial", "loss", "start", "network", "shape", "dropout", "context", "rate")
    by_loss = sorted(result.trials, key=lambda each: each[2].loss)
    for place, (number, choice, outcome) in enumerate(by_loss):
        if place >= SHOWN and number >= result.usual:
            continue
        table.add_row(
            f"{number + 1}{' (defaults)' if number < result.usual else ''}",
            f"{outcome.loss:.4g}{' pruned' if outcome.ended == 'pruned' else ''}",
            choice.start,
            choice.network,
            f"{choice.layers} x {choice.hidden}",
            f"{choice.dropout:.2g}",
            str(choice.context),
            f"{choice.learning_rate:.2g}",
        )
    console.print()
    console.print(table)


def document(result: TuneResult) -> dict[str, Any]:
    """The JSON form of what was done."""
    from forecast.cli import render

    return {
        "folder": result.folder,
        "report": result.report,
        "chosen": render.choices(result.chosen),
        "trials": [
            {"trial": number + 1, "choice": choice, "outcome": outcome}
            for number, choice, outcome in result.trials
        ],
        "best": result.best + 1,
        "gained": bool(result.judgement and result.judgement.gained),
        "scores": result.scores,
        "sentence": result.sentence,
        "files": render.files(result.files),
        "seconds": result.seconds,
    }
