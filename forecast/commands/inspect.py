"""`lstmcast inspect`: what a model folder holds, read without torch."""

from __future__ import annotations

from typing import Annotated

import typer

from forecast.commands.parameters import Run, takes

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Run folder or its model folder.", show_default=False)
]


@takes()
def inspect(model: Model, *, run: Run) -> int:
    """Say what a trained MODEL holds: data, settings, scores, versions."""
    from forecast.commands import screens
    from forecast.commands.model_screen import show_model
    from forecast.model_folder import describe

    document = describe(model)
    if run.look.json:
        screens.show_document("inspect", {"model": document})
    else:
        show_model(run.out(), document, run.look.verbose)
    return 0
