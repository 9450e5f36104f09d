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

# Name -> its line in the list of commands. The command is the function of that name in
# forecast/cli/commands/<name>.py.
COMMANDS = {
    "train": "Train the LSTM on DATA, score it against ARIMA on held-out data, and forecast.",
    "predict": "Forecast from the end of DATA with a trained model.",
    "forecast": "Forecast DATA at once with the pretrained network. Trains nothing.",
    "merge": "Make the parts of a forecast one: none missing, no series twice.",
    "tune": "Seek settings for DATA on validation origins, and say what they gain.",
    "backtest": "Score the LSTM, ARIMA and others on DATA from rolling origins.",
    "compare": "Train networks on DATA under one budget, and score them beside ARIMA.",
    "detect": "Find what is odd in DATA: points, runs, level shifts, standstills, gaps. Trains "
    "nothing.",
    "explain": "Say what moved the forecast of one series: which past steps, which covariates.",
    "check": "Say what DATA holds: series, frequency, span, gaps. Trains nothing.",
    "plot": "Draw one series of a RUN: its history, the forecasts and their intervals.",
    "report": "Make the page of a RUN again, with the series that are named.",
    "inspect": "Say what a trained MODEL holds: data, settings, scores, versions.",
    "runs": "List what was trained and tuned below --root: data, network, seed, scores, time.",
    "distill": "Train a small student on the quantiles of MODEL, and say what is lost and won.",
    "export": "Write a trained MODEL as one ONNX file: a series' values in, its quantiles out.",
    "run": "Run the scheduled jobs of CONFIG: read, decide, forecast, publish, record, score, "
    "tidy.",
    "score": "Score the published forecasts of CONFIG's jobs against what has come true since.",
    "rollback": "Take the newest run of a job back: the one before it serves again.",
    "prune": "Let go of the runs and models that the retention of CONFIG's jobs does not keep.",
    "status": "Say what the jobs of CONFIG did last, what is published, how old it is and how "
    "good.",
    "serve": "Serve the published forecasts of CONFIG's jobs over HTTP, read only.",
    "schedule": "Print what starts the jobs of CONFIG: systemd units or crontab lines.",
    "doctor": "Say whether the jobs of CONFIG would run from cron, and what is missing.",
    "init": "Write a commented configuration and sample data to start from.",
}

ABOUT = """Forecast any CSV with an LSTM that shows honestly how it compares with ARIMA.

Start with: lstmcast train DATA, then: lstmcast predict"""

NO_WORD = " "  # the metavar of a switch: Typer writes <bool> where there is none

EPILOG = (
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
        help=ABOUT,
        epilog=EPILOG,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(_main)
    for name, line in COMMANDS.items():
        app.command(name, short_help=line)(_command(name) if name in words else _unread)
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
