"""What several commands have and is no setting: DATA and options, each declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.cli.parameters import Run

Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help="Table of observations: CSV (also .gz), Parquet, Feather, a folder or pattern of such "
        "files, a database with --query; - reads standard input.",
    ),
]

Trained = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        show_default=False,
        help="Run folder or its model folder (the newest below --root).",
    ),
]


def wanted(data: str | None, command: str, db: str | None = None) -> str:
    """`data` or `db`, without which the command cannot do. Raises UsageError: none, or both."""
    if data is not None and db is not None:
        raise UsageError(
            "DATA and --db are two sources of the same thing",
            code="usage/two-sources",
            value=data,
            remedy="Leave one of them out",
        )
    if db is not None:
        return db
    if data is None:
        raise UsageError(
            "DATA is missing: the file to read",
            code="usage/missing-data",
            remedy=f"For example: lstmcast {command} sample_data/airline_passengers.csv",
        )
    return data


def output(words: str) -> Any:
    """--output FILE; `words` say what goes there and, in brackets, where it goes without it."""
    return typer.Option("--output", "-o", metavar="FILE", show_default=False, help=words)


def observations(words: str) -> Any:
    """--data FILE: where a finished run's observations are, if not where they were."""
    return typer.Option("--data", metavar="FILE", show_default=False, help=words)


def series(words: str) -> Any:
    """--series ID."""
    return typer.Option("--series", metavar="ID", show_default=False, help=words)


def run_folder(words: str) -> Any:
    """RUN, an argument that may be left out."""
    return typer.Argument(metavar="[RUN]", show_default=False, help=words)


def model(words: str, panel: str | None = None) -> Any:
    """--model DIR, under the heading `panel` of the help (default: the general one)."""
    return typer.Option(
        "--model", "-m", metavar="DIR", show_default=False, help=words, rich_help_panel=panel
    )


def refuse_two_outputs(run: Run, output: str | None, what: str = "forecast") -> None:
    """Raises UsageError when both the document and `what` was made go to standard output."""
    if run.look.json and output == "-":
        raise UsageError(
            "--json and --output - both want standard output",
            code="usage/one-stdout",
            remedy=f"Write the {what} to a file, or leave --json out",
        )


def follow(words: str) -> Any:
    """--follow; `words` say what is done with each row."""
    return typer.Option("--follow", metavar=" ", show_default=False, help=words)


def refuse_to_follow(source: str | None, output: str | None) -> None:
    """Raises UsageError when --follow is to read its history from standard input as well, or is to
    write to a file."""
    if source == "-":
        raise UsageError(
            "--follow reads rows from standard input, so the history must be elsewhere",
            code="usage/one-stdin",
            value="-",
            remedy="Name the file of the history",
        )
    if output not in (None, "-"):
        raise UsageError(
            "--follow answers each row on standard output",
            code="usage/follow-to-file",
            where="--output",
            value=output,
            remedy="Leave --output out and redirect: > FILE",
        )


def refuse_samples(run: Run, *, follow: bool = False) -> None:
    """Raises UsageError for --samples where the forecast is not of one table in one process, and
    for --seed without it: nothing else in a forecast is drawn."""
    number = run.settings.sampling.number
    if number is None:
        if run.resolved.sources["training.seed"].startswith("--"):
            raise UsageError(
                "--seed is about the draws of --samples; a forecast itself has none",
                code="usage/seed-without-samples",
                remedy="Add --samples N, or leave --seed out",
            )
        return
    from forecast.cli.partitioned import in_parts

    if follow or in_parts(run):
        raise UsageError(
            "--samples is for a forecast of one table in one process",
            code="usage/samples-elsewhere",
            where="--samples",
            value=number,
            remedy="Leave --follow, --engine, --jobs and --shard out",
        )


def refuse_idle_address(run: Run) -> None:
    """Raises UsageError for --ray-address without --engine ray."""
    engine = run.settings.engine
    if engine.ray_address is not None and engine.name != "ray":
        raise UsageError(
            "--ray-address is about --engine ray",
            code="usage/ray-address-without-ray",
            value=engine.ray_address,
            remedy="Add --engine ray, or leave --ray-address out",
        )
