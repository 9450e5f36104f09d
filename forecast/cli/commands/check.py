"""`lstmcast check`: what the loader understands of a file; nothing is trained."""

from __future__ import annotations

from forecast.cli.parameters import Data, Run, takes, wanted


@takes("data", "forecast.horizon")
def check(data: Data = None, *, run: Run) -> int:
    """Show what DATA holds: series, frequency, span, gaps.

    Columns, repairs, warnings, and what train would do with it. Trains nothing.
    """
    source = wanted(data, "check", run.settings.data.db, run.settings.data.query)
    from forecast.cli import render
    from forecast.cli.render import show_report
    from forecast.training.plan import outlook
    from forecast.workflows.load import load_levels

    settings = run.settings.data
    panel, report, _ = load_levels(source, settings)
    document = render.plain(report)
    rows = outlook(panel, report, run.settings)
    for flag, asked in (("--hierarchy", settings.hierarchy), ("--by", settings.by)):
        if asked:
            rows = (
                *rows,
                ("series forecast", panel.size, f"as {flag} {asked} sums them"),
            )
    if run.screen.json:
        would = {"report": document, "train_would": render.choices(rows)}
        render.show_document("check", would)
    elif not run.screen.quiet:
        show_report(run.out(), document, run.screen.verbose, rows)
    return 0
