"""`lstmcast inspect`: what a model folder holds, read without torch."""

from __future__ import annotations

from pathlib import Path

from forecast.commands.own_options import Trained
from forecast.commands.parameters import Run, takes


@takes("output.root")
def inspect(model: Trained = None, *, run: Run) -> int:
    """Say what a trained MODEL holds: data, settings, scores, versions."""
    from forecast.commands import screens
    from forecast.commands.model_screen import show_model
    from forecast.model_folder import describe, newest_model

    folder = Path(model) if model else newest_model(Path(run.settings.output.root))
    document = describe(folder)
    if run.look.json:
        screens.show_document("inspect", {"folder": folder, "model": document})
    elif not run.look.quiet:
        show_model(run.out(), document, run.look.verbose)
    return 0
