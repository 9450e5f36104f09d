"""`lstmcast explain`: what moved a forecast: past steps, covariates, gates, attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli import parameters
from forecast.cli.parameters import Run, takes

if TYPE_CHECKING:
    from forecast.workflows.explain import ExplainResult

Model = Annotated[
    str | None, parameters.run_folder("Run folder or its model folder (the newest below --root).")
]
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        show_default=False,
        help="Table of observations (the file the model was trained on).",
    ),
]
Series = Annotated[
    str | None, parameters.series("The series whose forecast is explained (the first).")
]
Step = Annotated[
    int | None,
    typer.Option(
        "--step", metavar="STEP", show_default=False, help="Step of the forecast, from 1 (all)."
    ),
]
Output = Annotated[
    str | None,
    parameters.output(
        "Table .csv, document .json or picture .png, .svg (all but PNG in the run folder)."
    ),
]


@takes("forecast.horizon", "data", "training.seed", "output.root")
def explain(
    model: Model = None,
    data: Data = None,
    series: Series = None,
    step: Step = None,
    output: Output = None,
    *,
    run: Run,
) -> int:
    """Show what moved a forecast: which past steps, which covariates."""
    from forecast.analysis.attribution import to_document
    from forecast.cli import render
    from forecast.workflows.explain import explain_run

    source = data or run.settings.data.db
    if run.screen.json and output is None:
        output = ""
    with run.watching() as listener:
        result = explain_run(
            source, run.settings, listener, model=model, series=series, step=step, output=output
        )
    if run.screen.json:
        render.show_document("explain", {"files": result.files, **to_document(result.found)})
    elif not run.screen.quiet:
        _show(run, result)
    return 0


def _show(run: Run, result: ExplainResult) -> None:
    from forecast.analysis.attribution import covariate_rows, lag_rows
    from forecast.cli import render

    found, console = result.found, run.out()
    made, baseline = found.point[found.steps].mean(), found.past.baseline.mean()
    first = found.numbers[0] + 1
    which = "mean of the explained steps" if len(found.steps) > 1 else f"step {first}"
    facts = [
        ("series", found.series),
        (
            "forecast",
            f"{made:.6g} ({which}); a series that had always been at "
            f"{found.past.level:.6g} would be forecast at {baseline:.6g}",
        ),
    ]
    render.show_facts(console, facts)
    table = render.plain_table("steps before", "moves a step by")
    for row in lag_rows(found, 6):
        table.add_row(str(row["lag"]), f"{row['contribution']:.4g}")
    console.print()
    console.print(table)
    if found.shares:
        table = render.plain_table("covariate", "moves this forecast by", "errors, shuffled")
        for row in covariate_rows(found):
            growth = row["importance"]
            known = growth == growth
            grown = f"{growth:+.1%} ± {row['spread']:.1%}" if known else "–"
            table.add_row(row["name"], f"{row['contribution']:+.4g}", grown)
        console.print()
        console.print(table)
    render.show_files(console, [(path, _WHAT[path.suffix.lower()]) for path in result.files])


_WHAT = {
    ".csv": "past values, lags and covariates, and what each moved",
    ".json": "the same as a document, with the gates' activity",
    ".svg": "the picture; lstmcast report RUN shows it in the page",
    ".png": "the picture",
}
