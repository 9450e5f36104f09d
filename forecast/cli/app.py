"""The command line: parses, dispatches, and nothing else.

Only the command that was asked for is imported, so that help is quick and `predict` pays for
nothing that it does not use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from forecast.cli.help_page import ALL, FULL, Command, Group

# Heading -> name -> its line in the list of commands. The command is the function of that name in
# forecast/cli/commands/<name>.py.
GROUPS: dict[str, dict[str, str]] = {
    "Forecast": {
        "check": "Show what DATA holds: series, frequency, span, gaps.",
        "train": "Train on DATA, compare with ARIMA on held-out data, and forecast.",
        "predict": "Forecast from the end of DATA with a trained model.",
        "forecast": "Forecast DATA at once with the pretrained network.",
        "studio": "Open a page in the browser to do all this without a terminal.",
        "merge": "Make one table of a forecast in parts.",
    },
    "Understand": {
        "backtest": "Score the LSTM, ARIMA and others from rolling origins.",
        "compare": "Train networks under one budget and score them beside ARIMA.",
        "tune": "Search for better settings, and say what they gain.",
        "detect": "Find anomalies: points, runs, level shifts, standstills, gaps.",
        "explain": "Show what moved a forecast: which past steps, which covariates.",
        "plot": "Draw one series of a run, in the terminal or as a picture.",
        "report": "Write the page of a run again, with the series that you name.",
        "inspect": "Show what a trained model holds: data, settings, scores.",
        "runs": "List what was trained and tuned, with scores.",
    },
    "Operate": {
        "init": "Write a configuration and sample data to start from.",
        "run": "Run scheduled jobs: read, decide, forecast, publish, score.",
        "status": "Show what the jobs did last, what is published, how good it is.",
        "score": "Score published forecasts against what came since.",
        "serve": "Serve the published forecasts over HTTP, read only.",
        "schedule": "Print units, crontab lines or CronJobs that start the jobs.",
        "doctor": "Check whether the jobs would run from cron.",
        "override": "Publish a planner's numbers in place of the model's.",
        "rollback": "Withdraw a job's newest run: the one before it serves again.",
        "repair": "Set right what is damaged in the jobs' folders.",
        "prune": "Delete the runs and models that retention does not keep.",
    },
    "Hand over": {
        "export": "Write a trained model as one ONNX file.",
        "distill": "Train a small student of a model, and say what it loses.",
        "federate": "Train one network at several sites.",
        "mcp": "Offer the commands to an agent as tools, inside some folders.",
    },
    "Help": {
        "help": "Explain an error code or a word, or show the help of a command.",
    },
}
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}

ABOUT = (
    "Forecast any CSV with an LSTM that shows honestly how it compares with ARIMA. "
    "Start with: lstmcast train DATA, then: lstmcast predict"
)

NO_WORD = " "  # the metavar of a switch: Typer writes <bool> where there is none

EPILOG = (
    "lstmcast COMMAND --help shows examples and the usual options, --help-all every option; "
    "lstmcast help CODE explains an error, lstmcast help MASE a word."
)
MORE = (
    "Every setting can also be given as LSTMCAST_<FLAG> in the environment or in a settings file "
    "(--config); flags win over the environment, the environment over the file.\n\n"
    "Exit codes: 0 done, 2 wrong usage, 3 done in part, 4 bad input, 5 stale, 10 no model, "
    "11 locked, 12 damaged model, 70 a bug, 74 disk, 130 interrupted, 143 terminated, "
    "141 the reader of the output went away."
)


def build_app(words: Iterable[str]) -> typer.Typer:
    """The application, with the full parameters of those commands that occur in `words`."""
    app = typer.Typer(
        name="lstmcast",
        cls=Group,
        help=ABOUT,
        epilog=f"{EPILOG}\n\n{MORE}" if ALL in words else EPILOG,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={
            "help_option_names": ["--help", "-h", ALL],
            "obj": {FULL: ALL in words},
        },
    )
    app.callback(invoke_without_command=True)(_main)
    for group, commands in GROUPS.items():
        for name, line in commands.items():
            add = app.command(name, cls=Command, short_help=line, rich_help_panel=group)
            add(_command(name) if name in words else _unread)
    return app


def _command(name: str) -> Callable[..., Any]:
    return getattr(import_module(f"forecast.cli.commands.{name}"), name)


def _unread() -> None:
    """Stands for a command that is not on the command line and so need not be imported."""


def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar=NO_WORD, help="Print the version.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar=NO_WORD, help="With --version: Python, torch and CUDA too, as JSON."
        ),
    ] = False,
) -> int:
    if context.invoked_subcommand:
        return 0
    if version:
        from forecast.cli.commands.version import show_version

        return show_version(as_json)
    print(context.get_help())
    return 2


def run(words: Sequence[str]) -> int:
    """Parses `words` and does what they say: the exit code. Raises whatever the command raises."""
    completing = os.environ.get("_LSTMCAST_COMPLETE")
    app = build_app(COMMANDS if completing else words)
    command = typer.main.get_command(app)
    outcome = command.main(args=list(words), prog_name="lstmcast", standalone_mode=False)
    if isinstance(outcome, int):
        return outcome
    return outcome.work() if outcome is not None else 0
