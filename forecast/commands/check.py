"""`lstmcast check`: what the loader understands of a file; nothing is trained."""

from __future__ import annotations

from forecast.commands.own_options import Data, wanted
from forecast.commands.parameters import Run, takes


@takes("data")
def check(data: Data = None, *, run: Run) -> int:
    """Say what DATA holds: series, span, gaps, repairs, warnings, what train would do with it."""
    source = wanted(data, "check", run.settings.data.db)
    from forecast.commands import screens
    from forecast.commands.report_screen import show_report
    from forecast.outlook import outlook
    from forecast.panel import load_panel

    panel, report = load_panel(source, run.settings.data)
    document = screens.plain(report)
    rows = outlook(panel, report, run.settings)
    if run.look.json:
        would = {"report": document, "train_would": screens.choices(rows)}
        screens.show_document("check", would)
    elif not run.look.quiet:
        show_report(run.out(), document, run.look.verbose, rows)
    return 0
