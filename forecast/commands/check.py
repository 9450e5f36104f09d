"""`lstmcast check`: what the loader understands of a file; nothing is trained."""

from __future__ import annotations

from forecast.commands.parameters import Run, takes
from forecast.commands.train import Data, wanted


@takes("data")
def check(data: Data = None, *, run: Run) -> int:
    """Say what DATA holds: series, frequency, span, gaps, repairs, warnings. Trains nothing."""
    source = wanted(data, "check", run.settings.data.db)
    from forecast.commands import screens
    from forecast.commands.report_screen import show_report
    from forecast.panel import load_panel

    _, report = load_panel(source, run.settings.data)
    document = screens.plain(report)
    if run.look.json:
        screens.show_document("check", {"report": document})
    elif not run.look.quiet:
        show_report(run.out(), document, run.look.verbose)
    return 0
