"""Options that are no settings but that several commands have: each is declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from forecast.errors import UsageError

if TYPE_CHECKING:
    from forecast.commands.parameters import Run


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
