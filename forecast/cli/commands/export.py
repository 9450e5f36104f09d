"""`lstmcast export`: a trained model as an ONNX file, to run without this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli import parameters
from forecast.cli.parameters import NO_WORD, Run, takes
from forecast.common.errors import UsageError, without_password

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.workflows.export import ExportResult

Onnx = Annotated[bool, typer.Option("--onnx", metavar=NO_WORD, help="Write an ONNX file.")]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        metavar=NO_WORD,
        help="Write its weights as int8 as well, if the validation error grows by less than 1%.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FILE",
        show_default=False,
        help="Table that int8 is judged on (the file the model was trained on).",
    ),
]
Output = Annotated[str | None, parameters.output("Where the file goes (model.onnx of the run).")]


@takes("data", "output.root")
def export(
    model: parameters.Trained = None,
    onnx: Onnx = False,
    int8: Int8 = False,
    data: Data = None,
    output: Output = None,
    *,
    run: Run,
) -> int:
    """Write a trained model as one ONNX file.

    A series' values go in, its quantiles come out.
    """
    if not onnx:
        raise UsageError(
            "the form to write is missing",
            code="usage/missing-form",
            remedy="Name it: lstmcast export MODEL --onnx",
        )
    db = run.settings.data.db
    source = parameters.wanted(data, "export", db) if data or db else None
    if source is not None and not int8:
        raise UsageError(
            "data are what --int8 is judged on; without that nothing is read",
            code="usage/data-unused",
            value=without_password(source),
            remedy="Add --int8, or leave --data or --db out",
        )
    from forecast.cli import render
    from forecast.workflows.export import export_run

    with run.watching() as listener:
        result = export_run(
            run.settings, listener, model=model, int8=int8, data=source, output=output
        )
    if run.screen.json:
        render.show_document("export", document(result))
    elif not run.screen.quiet:
        show(run.out(), result)
    return result.exit_code


def show(console: Console, result: ExportResult) -> None:
    """Size, latency and error of each form, and where the files are."""
    from forecast.cli import render

    scored = any(variant.scores for variant in result.variants)
    table = render.plain_table("", "size", "one series", *(["WQL", "MASE"] if scored else []))
    for column in table.columns[1:]:
        column.justify = "right"
    for each in result.variants:
        errors = [f"{each.scores[name]:.4f}" for name in ("wql", "mase")] if scored else []
        table.add_row(
            each.name, f"{each.size / 1024:,.0f} KiB", f"{each.seconds * 1e3:.2f} ms", *errors
        )
    console.print()
    console.print(table)
    render.show_sentence(
        console,
        f"The file forecasts as the model does, to {result.difference:.1g} of a series' size. "
        + result.sentence,
    )
    for text in result.beyond:
        render.show_sentence(console, f"Note: {text}.", "")
    words = "ONNX Runtime runs it: values in, quantiles out"
    render.show_files(console, [(v.path, words) for v in result.variants if v.path is not None])


def document(result: ExportResult) -> dict[str, Any]:
    """The JSON form of what was done."""
    return {
        "model": result.model,
        "variants": [
            {
                "name": v.name,
                "path": v.path,
                "bytes": v.size,
                "seconds_one_series": v.seconds,
                "scores": v.scores,
            }
            for v in result.variants
        ],
        "largest_difference": result.difference,
        "int8_kept": result.kept,
        "sentence": result.sentence,
        "not_in_the_file": list(result.beyond),
        "exit_code": result.exit_code,
    }
