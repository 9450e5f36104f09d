"""`lstmcast federate`: train together without sharing data."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.parameters import Run, model_words, takes
from forecast.common.errors import UsageError

if TYPE_CHECKING:
    from forecast.workflows.federate import SimulateResult

SIMULATE, APP = "simulate", "app"
PARTS = (
    "data.id_col", "data.time_col", "data.target_col", "data.freq", "data.season", "data.wide",
    "data.encoding", "data.delimiter", "data.decimal", "data.thousands", "data.dayfirst",
    "data.time_unit", "data.tz", "data.duplicates", "data.missing", "data.resample", "data.agg",
    "data.drop_partial", "data.stamps", "data.no_id", "data.no_time",
    "federation",
    "forecast.horizon", "forecast.level", "forecast.quantiles", "forecast.allow_negative",
    "network",
    "training.max_steps", "training.batch_size", "training.init", "training.from_scratch",
    "training.learning_rate", "training.patience", "training.refit", "training.seed",
    "training.jobs",
    "baselines.names", "baselines.budget", "evaluation.windows",
    "output",
)  # fmt: skip
Action = Annotated[
    str,
    typer.Argument(
        metavar="ACTION",
        show_default=False,
        help="simulate: train all sites together in this process. app: write what flwr run takes.",
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DATA]...",
        show_default=False,
        help="Tables of observations, a site each; or one, with --site-col. For app: a new folder.",
    ),
]


@takes(*PARTS)
def federate(action: Action, files: Files = None, *, run: Run) -> int:
    """Train one network at several sites, none of which hands over its rows.

    Only weights and counts travel. Compares the network with each site alone and with ARIMA.
    """
    from forecast.cli import render
    from forecast.workflows.federate import simulate_run

    if action == APP:
        return write_app_to(files or [], run)
    if action != SIMULATE:
        raise UsageError(
            "this is nothing that federate does",
            code="federate/action",
            value=action,
            remedy="For example: lstmcast federate simulate A.csv B.csv C.csv",
        )
    with run.watching() as listener:
        result = simulate_run(tuple(files or ()), run.settings, listener)
    if run.screen.json:
        render.show_document("federate", document(result))
    elif not run.screen.quiet:
        show(run, result)
    return 3 if result.left_out else 0


def write_app_to(files: list[str], run: Run) -> int:
    """Writes the app of a deployment into the one folder that is named."""
    from forecast.cli import render
    from forecast.workflows.federate import write_app

    if len(files) != 1:
        raise UsageError(
            "federate app takes one folder",
            code="federate/action",
            value=" ".join(files),
            remedy="For example: lstmcast federate app federated",
        )
    typed = [source for source in run.resolved.sources.values() if source.startswith("--")]
    if typed:
        raise UsageError(
            "federate app takes no options: how sites train is said when the app is run",
            code="federate/action",
            value=typed[0],
            remedy="Leave it out, and write it into the settings file that --run-config names",
        )
    found = write_app(files[0])
    if run.screen.json:
        render.show_document("federate", {"files": render.files(found)})
    elif not run.screen.quiet:
        render.show_files(run.out(), found)
        start = f"flwr run {quote(files[0])} --run-config \"state='rounds' sites=2\""
        render.show_hint(run.out(), f"start the rounds, once SuperLink and SuperNodes run: {start}")
    return 0


def show(run: Run, result: SimulateResult) -> None:
    """What was agreed, the scores of every site, and what they say."""
    from forecast.cli import render

    console = run.out()
    render.show_choices(console, result.chosen)
    models = list(dict.fromkeys(row["model"] for row in result.rows))
    table = render.plain_table("", "MASE of site", "series", *models)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(row["site"] for row in result.rows):
        mine = {row["model"]: row for row in result.rows if row["site"] == name}
        series = max(row["series"] for row in mine.values())
        figures = (mine.get(model, {}).get("mase") for model in models)
        table.add_row(name, f"{series:,}", *("-" if f is None else f"{f:.3f}" for f in figures))
    console.print()
    console.print(table)
    for text in sentences(result):
        render.show_sentence(console, text)
    render.show_files(console, result.files)
    words = model_words(run, result.sites[0].folder)
    render.show_hint(console, f"forecast at the first site: lstmcast predict DATA {words}")


def sentences(result: SimulateResult) -> list[str]:
    """What the figures say, and what was spent to hide who contributed what."""
    from forecast.workflows.federate import ALONE, FEDERATED, MEAN

    mean = {row["model"]: row["mase"] for row in result.rows if row["site"] == MEAN}
    found = []
    if mean.get(ALONE) and mean.get(FEDERATED) is not None:
        change = mean[FEDERATED] / mean[ALONE] - 1
        better = sum(
            _mase(site, FEDERATED) < _mase(site, ALONE) for site in result.sites if site.scores
        )
        found.append(
            f"Trained together, the average site's MASE is {change:+.1%} beside training alone; "
            f"{better} of {len(result.sites)} sites gain."
        )
    if "mase" in result.gap:
        found.append(
            f"Of what sharing all rows gains over training alone, {result.gap['mase']:.0%} is "
            "gained without sharing any."
        )
    if result.privacy is not None and result.privacy["epsilon"] is not None:
        spent = result.privacy
        found.append(
            f"Differential privacy of a site's contribution: epsilon {spent['epsilon']:.2f} at "
            f"delta {spent['delta']:g}, over {spent['releases']} releases. It holds against those "
            "who see the networks, not against the server, and not for what a site chose with its "
            "own data."
        )
    return found


def _mase(site: Any, model: str) -> float:
    value = site.scores.score(model).values.get("mase")
    return float("nan") if value is None else float(value)


def document(result: SimulateResult) -> dict[str, Any]:
    """The JSON form of what was done."""
    from forecast.cli import render

    return {
        "folder": result.folder,
        "chosen": render.choices(result.chosen),
        "sites": [
            {"name": s.name, "folder": s.folder, "series": s.series, "kept": s.kept}
            for s in result.sites
        ],
        "left_out": result.left_out,
        "scores": result.rows,
        "gap_closed": result.gap,
        "rounds": result.history,
        "privacy": result.privacy,
        "sentences": sentences(result),
        "files": render.files(result.files),
        "seconds": result.seconds,
    }
