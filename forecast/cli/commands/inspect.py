"""`lstmcast inspect`: what a model folder holds, read without torch."""

from __future__ import annotations

from pathlib import Path

from forecast.cli.parameters import Run, Trained, takes


@takes("output.root")
def inspect(model: Trained = None, *, run: Run) -> int:
    """Show what a trained model holds: data, settings, scores.

    Versions too. Needs no torch.
    """
    from forecast.cli import render
    from forecast.cli.render import show_model
    from forecast.models.store import describe, newest_model

    folder = Path(model) if model else newest_model(Path(run.settings.output.root))
    document = describe(folder)
    if run.screen.json:
        render.show_document("inspect", {"folder": folder, "model": document})
    elif not run.screen.quiet:
        show_model(run.out(), folder, document, run.screen.verbose)
    return 0
