"""`lstmcast merge`: the parts of a forecast made one, once all are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forecast.cli import parameters
from forecast.cli.parameters import Run, amounts, failures, takes
from forecast.common.errors import UsageError

Folder = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER",
        show_default=False,
        help="The --output folder of forecasts with --shard or --engine.",
    ),
]
Output = Annotated[
    str | None,
    parameters.output(
        "One table of all parts, .csv or .parquet (the parts stay files of their own)."
    ),
]


@takes()
def merge(folder: Folder = None, output: Output = None, *, run: Run) -> int:
    """Make one table of a forecast in parts.

    None may be missing, and no series may be in two.
    """
    from forecast.cli import render
    from forecast.workflows.partitions.merge import merge_run

    if folder is None:
        raise UsageError(
            "FOLDER is missing: where the parts are",
            code="usage/missing-folder",
            remedy="For example: lstmcast merge forecasts",
        )
    result = merge_run(Path(folder), output=_file(output))
    if run.screen.json:
        document = {**vars(result), "failed": failures(result.failed)}
        render.show_document("merge", {**document, "exit_code": result.exit_code})
    elif not run.screen.quiet:
        facts = [("parts", f"{result.parts:,}"), ("written to", output or folder)]
        render.show_facts(run.out(), [*amounts(result), *facts])
    return result.exit_code


def _file(output: str | None) -> Path | None:
    """The path of the single table. Raises UsageError for another kind of file."""
    path = None if output is None else Path(output)
    if path is not None and path.suffix not in (".csv", ".parquet"):
        raise UsageError(
            "the table of all parts is a .csv or a .parquet file",
            code="usage/merge-output",
            where="--output",
            value=output,
            remedy="For example: --output forecasts.parquet",
        )
    return path
