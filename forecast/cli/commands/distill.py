"""`lstmcast distill`: a small network that forecasts nearly as a large one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.completion import complete_run
from forecast.cli.parameters import Run, model_words, takes, wanted

if TYPE_CHECKING:
    from forecast.workflows.distill import DistillResult

PARTS = (
    "data",
    "network.hidden_size",
    "network.layers",
    "network.dropout",
    "training.members",
    "training.max_steps",
    "training.batch_size",
    "training.learning_rate",
    "training.patience",
    "training.refit",
    "training.seed",
    "training.device",
    "training.jobs",
    "training.deadline",
    "output",
)
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="Run folder or model folder of the teacher.",
        autocompletion=complete_run,
    ),
]
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        show_default=False,
        help="Table of observations to learn from (the file the model was trained on).",
    ),
]


@takes(*PARTS)
def distill(model: Model, data: Data = None, *, run: Run) -> int:
    """Train a small student of a model, and say what it loses.

    The student learns the quantiles of MODEL.
    """
    from forecast.cli import render
    from forecast.cli.error_handler import INTERRUPTED
    from forecast.workflows.distill import distill_run

    db = run.settings.data.db
    source = wanted(data, "distill", db) if data or db else None
    with run.watching() as listener:
        result = distill_run(model, source, run.settings, listener)
    if run.screen.json:
        render.show_document("distill", document(result))
    elif not run.screen.quiet:
        show(run, result)
    return INTERRUPTED if result.interrupted else (3 if result.report.skipped else 0)


def show(run: Run, result: DistillResult) -> None:
    """Size, latency and error of both, and where the student is."""
    from forecast.cli import render

    console = run.out()
    render.show_choices(console, result.chosen)
    errors = ("wql", "mase") if result.scores is not None else ()
    table = render.plain_table(
        "", "network", "weights", "parameters", "one series", *(name.upper() for name in errors)
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for network in result.networks:
        figures = result.scores.score(network.name).values if result.scores is not None else {}
        table.add_row(
            network.name,
            network.shape,
            f"{network.size / 1024:,.0f} KiB",
            f"{network.parameters:,}",
            f"{network.seconds * 1e3:.2f} ms",
            *(f"{figures[name]:.4f}" for name in errors),
        )
    console.print()
    console.print(table)
    render.show_sentence(console, sentence(result))
    render.show_files(console, result.files)
    render.show_hint(
        console, f"forecast with it: lstmcast predict {model_words(run, result.folder)}"
    )


def sentence(result: DistillResult) -> str:
    """How much smaller the student is, what that costs, and what the figures do not say."""
    teacher, student = result.networks
    times = f"{teacher.parameters / student.parameters:.1f} times fewer parameters"
    if result.scores is None:
        return f"The student has {times}. No series is long enough to compare the two on."
    figures = (result.scores.score(network.name).values["mase"] for network in (teacher, student))
    before, after = figures
    return (
        f"The student has {times}; its MASE on the validation origins is {after / before - 1:+.1%} "
        "beside the teacher's, before it has seen them itself. The teacher may have learnt from "
        "them, and the student through it: the figures compare the two and promise nothing."
    )


def document(result: DistillResult) -> dict[str, Any]:
    """The JSON form of what was done."""
    from forecast.cli import render

    return {
        "folder": result.folder,
        "teacher": result.teacher,
        "report": result.report,
        "chosen": render.choices(result.chosen),
        "figures": result.networks,
        "scores": result.scores,
        "sentence": sentence(result),
        "files": render.files(result.files),
        "interrupted": result.interrupted,
        "seconds": result.seconds,
    }
