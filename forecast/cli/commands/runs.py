"""`lstmcast runs`: what was trained and tuned here, and how good it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli.parameters import Run, takes
from forecast.common.durations import duration
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.reporting.tracking import TrackedRun

Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="NAME",
        help="Order: created, name, mase, smape, wql, rmse or seconds.",
    ),
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        metavar="URI",
        show_default=False,
        help="Hand those runs over to MLflow that it does not have: http://HOST:PORT, or "
        "sqlite:///FILE.",
    ),
]


@takes("output.root")
def runs(sort: Sort = "created", mlflow: Mlflow = None, *, run: Run) -> int:
    """List what was trained and tuned, with scores.

    Those below --root: data, network, seed, scores, time.
    """
    from forecast.cli import render
    from forecast.reporting.tracking import SORTED_BY, in_order, runs_below

    if sort not in SORTED_BY:
        raise UsageError(
            "runs cannot be sorted by that",
            code="usage/no-such-order",
            where="--sort",
            value=sort,
            remedy=f"One of: {', '.join(SORTED_BY)}",
        )
    root = Path(run.settings.output.root)
    found, damaged = runs_below(root)
    found = in_order(found, sort)
    handed = None
    if mlflow is not None:
        from forecast.reporting.tracking import hand_over

        handed = hand_over(found, mlflow)
    with run.watching() as listener:
        for folder, why in damaged:
            listener.warn("runs/unreadable", f"{folder.name} is left out: {why}")
    if run.screen.json:
        document = {"root": root, "runs": [each.row() for each in found]}
        counts = {} if handed is None else {"mlflow": {"written": handed[0], "known": handed[1]}}
        render.show_document("runs", {**document, **counts})
    elif not run.screen.quiet:
        show(run.out(), found, root)
        if handed is not None:
            written, known = handed
            render.show_sentence(
                run.out(), f"{written} handed over to MLflow, {known} were there already."
            )
    return 3 if damaged else 0


def show(console: Console, found: list[TrackedRun], root: Path) -> None:
    """A line a run."""
    from rich.text import Text

    from forecast.cli.render import plain_table, show_sentence
    from forecast.common.progress import clean

    if not found:
        show_sentence(console, f"There is no finished run below {root}.")
        return
    columns = _columns(found)
    for heading in (*FIRST_TO_GO, ""):
        table = plain_table(*columns)
        for column, name in zip(table.columns, columns, strict=True):
            column.no_wrap = True  # a name has to be copied as it is
            column.justify = "right" if name in FIGURES else "left"
        for row in zip(*columns.values(), strict=True):
            table.add_row(*(Text(clean(cell)) for cell in row))
        unbounded = console.options.update(max_width=10_000)
        needed = console.measure(table, options=unbounded).maximum
        if needed <= console.width:
            break
        columns.pop(heading, None)
    console.width = max(needed, console.width)
    console.print(table, crop=False)


FIGURES = ("MASE", "ARIMA", "sMAPE", "WQL", "seed", "time")
# Columns that a narrow terminal has no room for, in this order.
FIRST_TO_GO = ("WQL", "seed", "sMAPE", "network", "time", "data", "kind", "ARIMA")


def _columns(found: list[TrackedRun]) -> dict[str, list[str]]:
    """Heading -> the cell of each run."""

    return {
        "run": [each.name for each in found],
        "kind": [each.kind for each in found],
        "data": [Path(each.data).name for each in found],
        "network": [f"{each.network} {each.shape}" for each in found],
        "MASE": [_figure(each.scores.get("mase"), ".3f") for each in found],
        "ARIMA": [_figure(each.arima, ".3f") for each in found],
        "sMAPE": [_figure(each.scores.get("smape"), ".2f") for each in found],
        "WQL": [_figure(each.scores.get("wql"), ".4f") for each in found],
        "seed": ["" if each.seed is None else str(each.seed) for each in found],
        "time": [duration(e.seconds) if e.seconds == e.seconds else "–" for e in found],
    }


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else format(value, form)
