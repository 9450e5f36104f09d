"""Command-line parameters, made from the settings: a command names the parts that it takes.

A command is a plain function `(its own arguments, run: Run) -> exit code`. `takes` turns it into
what Typer parses: the command's own parameters, one option for each setting, and those that all
commands share. Parsing does not run the command; it returns a `Plan`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli import completion
from forecast.cli.console import Screen
from forecast.common.durations import duration
from forecast.common.errors import UsageError
from forecast.common.files import one_command
from forecast.common.progress import Listener
from forecast.common.resources import check_dependency
from forecast.config.files import presets, unknown_key
from forecast.config.options import Option, all_options, options_of, show
from forecast.config.schema import Settings
from forecast.config.sources import DEFAULT, Resolved, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from forecast.scheduling.config import Job
    from forecast.workflows.partitions.merge import Merged
    from forecast.workflows.partitions.run import EngineResult


SCREEN = "Settings and screen"
LOG_FORMATS = ("text", "json")
NO_WORD = " "  # the metavar of a switch: Typer writes <bool> where there is none

Command = Callable[..., int]


@dataclass(frozen=True)
class Plan:
    """What the command line asked for, not yet begun."""

    work: Callable[[], int]


@dataclass(frozen=True)
class Run:
    """What every command is given: the settings with their sources, and how to talk."""

    resolved: Resolved
    screen: Screen

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.resolved.settings

    def out(self) -> Console:
        """stdout: for the results."""
        import sys

        from forecast.cli.console import make_console

        return make_console(sys.stdout)

    def err(self) -> Console:
        """stderr: for everything else."""
        import sys

        from forecast.cli.console import make_console

        return make_console(sys.stderr)

    def shows_tables(self) -> bool:
        """Whether rows are to be read by a person: a terminal, and neither --json nor --quiet."""
        import sys

        return sys.stdout.isatty() and not self.screen.json and not self.screen.quiet

    def watching(self, **fields: str) -> AbstractContextManager[Listener]:
        """A listener on stderr; fields: what each line of a JSON log says besides."""
        from forecast.cli.console import watching

        return watching(self.err(), self.screen, **fields)


def _flag(text: str, *names: str) -> Any:
    info = typer.Option(*names, metavar=NO_WORD, help=text, rich_help_panel=SCREEN)
    return Annotated[bool, info]


_SCREEN: dict[str, Any] = {
    "json": _flag("Print one JSON document instead of text.", "--json"),
    "quiet": _flag("Print nothing but warnings, errors and the data asked for.", "--quiet", "-q"),
    "verbose": _flag("Say more on the way.", "--verbose", "-v"),
    "debug": _flag("Show the traceback when something fails.", "--debug"),
    "log_format": Annotated[
        str,
        typer.Option(
            "--log-format",
            metavar="WORD",
            help="What is said on the way, and errors, as text or as a JSON document a line: text "
            "or json.",
            rich_help_panel=SCREEN,
            autocompletion=completion.of_choices(LOG_FORMATS),
        ),
    ],
}
NAMED_FILES = ("output", "report")  # parameters that name a file to be written
_FORCE: dict[str, Any] = {
    "force": _flag("Replace a file that lstmcast did not write, if an option names it.", "--force")
}
_SHARED: dict[str, Any] = {
    "config": Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help=f"Settings file (YAML), or a preset: {', '.join(presets())}.",
            rich_help_panel=SCREEN,
            autocompletion=completion.complete_config,
        ),
    ],
    "set": Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Give a setting by its name, e.g. training.patience=20; --show-config lists them. "
            "Repeat it for several.",
            rich_help_panel=SCREEN,
            autocompletion=completion.of_choices(tuple(f"{o.path}=" for o in all_options())),
        ),
    ],
    "show_config": _flag(
        "Print each setting, its value and where that came from; do nothing else.", "--show-config"
    ),
}


def takes(*parts: str) -> Callable[[Command], Callable[..., Plan]]:
    """Gives a command the options of the named `Settings` sections or single settings.

    With no part at all, the command has no settings and no --config.
    """
    options = options_of(*parts)

    def decorate(function: Command) -> Callable[..., Plan]:
        def parsed(**given: Any) -> Plan:
            return Plan(partial(_run, function, options, given))

        own = inspect.signature(function, eval_str=True).parameters
        writes = not own.keys().isdisjoint(NAMED_FILES)
        writes |= any(option.path == "data.rejects" for option in options)
        parsed.__doc__ = function.__doc__
        parsed.__name__ = function.__name__
        parsed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                *(p.replace(kind=p.KEYWORD_ONLY) for name, p in own.items() if name != "run"),
                *(p for option in options if option.has_flag for p in _parameters(option)),
                *_plain(_FORCE if writes else {}),
                *_plain(_SHARED if parts else {}),
                *_plain(_SCREEN),
            ]
        )
        return parsed

    return decorate


def _plain(kinds: Mapping[str, Any]) -> Iterable[inspect.Parameter]:
    for name, kind in kinds.items():
        default = {"config": None, "set": None, "log_format": LOG_FORMATS[0]}.get(name, False)
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )


def _parameters(option: Option) -> Iterable[inspect.Parameter]:
    """The Typer parameters of a setting; None, the default, means "not given".

    A switch has two, --wide and --no-wide, of which the help shows the one that changes something.
    """
    if not option.switch:
        complete = completion.of_choices(option.choices) if option.choices else None
        kind = list[str] | None if option.several else str | None  # twice is refused, not the last
        yield _one(option.parameter, option, kind, _help(option), autocompletion=complete)
        return
    turned_on = option.default is True
    off = f"Turn off: {option.help[0].lower()}{option.help[1:]}"
    yield _one(option.parameter, option, bool | None, option.help, hidden=turned_on)
    yield _one(no(option), option, bool | None, off, hidden=not turned_on)


def _one(name: str, option: Option, kind: Any, words: str, **more: Any) -> inspect.Parameter:
    info = typer.Option(
        "--" + name.replace("_", "-"),
        metavar=option.metavar or NO_WORD,
        help=words,
        show_default=False,
        rich_help_panel=option.heading,
        **more,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info]
    )


def no(option: Option) -> str:
    """The parameter that turns a switch off: "no_wide"."""
    return f"no_{option.parameter}"


def _help(option: Option) -> str:
    default = show(option.default)
    return f"{option.help} (default: {default})" if default else option.help


def _run(function: Command, options: Iterable[Option], given: dict[str, Any]) -> int:
    """Settles the settings, then runs the command, or prints the settings if that was asked."""
    screen = Screen(**{name: given.pop(name) for name in _SCREEN})
    if screen.log_format not in LOG_FORMATS:
        raise UsageError(
            "a log is text or json",
            code="usage/log-format",
            where="--log-format",
            value=screen.log_format,
            remedy=f"One of: {', '.join(LOG_FORMATS)}",
        )
    config, show_config = given.pop("config", None), given.pop("show_config", False)
    named = _named_values(given.pop("set", None) or (), options)
    flags = {option.path: _flag_value(option, given) for option in options if option.has_flag}
    for path in named.keys() & {path for path, value in flags.items() if value is not None}:
        raise _given_twice(path)
    with one_command(force=given.pop("force", False), apart=True):
        run = Run(resolve({**flags, **named}, os.environ, config), screen)
        if show_config:
            from forecast.cli.render import show_settings

            return show_settings(run.resolved, run.out(), screen)
        if screen.verbose:
            _show_given(run)
        if any(option.path == "training.max_steps" for option in options):
            check_dependency("torch", "training")
        return function(**given, run=run)


def _named_values(words: Iterable[str], options: Iterable[Option]) -> dict[str, str]:
    """The values of --set by option path; UsageError for what the command does not take."""
    known, found = [option.path for option in options], {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(
                "--set takes a setting and its value",
                code="usage/set",
                value=word,
                remedy="Write it as --set training.patience=20",
            )
        if name not in known:
            others = name in (option.path for option in all_options())
            raise _unused(name) if others else unknown_key(name, "", known, "--set")
        if name in found:
            raise _given_twice(name)
        found[name] = value
    return found


def _unused(path: str) -> UsageError:
    return UsageError(
        "this command does not use the setting",
        code="config/unknown-key",
        where="--set",
        value=path,
        remedy="Leave it out here: it is one of other commands",
    )


def _given_twice(path: str) -> UsageError:
    return UsageError(
        f"{path} is given twice",
        code="usage/contradiction",
        where="--set",
        remedy="Leave one of them out",
    )


def _flag_value(option: Option, given: dict[str, Any]) -> Any:
    """Takes the value of an option out of `given`; None when it was not on the command line."""
    value = given.pop(option.parameter)
    if option.several:
        return _only(option, value or ())
    if not option.switch or not given.pop(no(option)):
        return value
    if value:
        raise UsageError(
            f"{option.flag} and --{no(option).replace('_', '-')} contradict each other",
            code="usage/contradiction",
            remedy="Leave one of them out",
        )
    return False


def _only(option: Option, given: Sequence[str]) -> str | None:
    """The one value of a list's flag; UsageError for more: whether the last counts or all do is
    not said."""
    if len(given) < 2:
        return given[0] if given else None
    raise UsageError(
        f"{option.flag} is given more than once",
        code="usage/contradiction",
        value=" ".join(f"{option.flag} {quote(each)}" for each in given),
        remedy=f"Write {option.flag} {quote(','.join(given))} for all, or leave all but one out",
    )


def _show_given(run: Run) -> None:
    """Which settings are not the defaults, and who set them."""
    with run.watching() as listener:
        for row in run.resolved.rows():
            if row["source"] != DEFAULT:
                listener.note(f"{row['name']} = {show(row['value'])} ({row['source']})")


# --- What several commands have and is no setting: DATA and options, each declared once ----------


Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help="Table of observations: CSV (also .gz), Parquet, Feather, a folder or pattern of such "
        "files, a database with --query; - reads standard input.",
    ),
]

Trained = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        show_default=False,
        autocompletion=completion.complete_run,
        help="Run folder or its model folder (the newest below --root).",
    ),
]


def wanted(data: str | None, command: str, db: str | None = None, query: str | None = None) -> str:
    """`data` or `db`, without which the command cannot do; query: what a database is asked.
    Raises UsageError: none, or both."""
    if data is not None and db is not None:
        raise UsageError(
            "DATA and --db are two sources of the same thing",
            code="usage/two-sources",
            value=data,
            remedy="Leave one of them out",
        )
    if db is not None:
        return db
    if data is None and query is not None:
        raise UsageError(
            "--query asks a database, and none is named",
            code="usage/missing-data",
            value=query,
            remedy="Add --db, for example --db sqlite:///sales.db",
        )
    if data is None:
        raise UsageError(
            "DATA is missing: the file to read",
            code="usage/missing-data",
            remedy=f"For example: lstmcast {command} sample_data/airline_passengers.csv",
        )
    return data


def model_words(run: Run, folder: Path) -> str:
    """The options by which a later command finds the model in a new run's folder, and its data."""
    from forecast.models.store import is_below

    words = f"--model {quote(str(folder))}"
    if is_below(folder, run.settings.output.root):
        return words
    return f"--root {quote(str(folder.absolute().parent))} {words}"


def output(words: str) -> Any:
    """--output FILE; `words` say what goes there and, in brackets, where it goes without it."""
    return typer.Option("--output", "-o", metavar="FILE", show_default=False, help=words)


def page(words: str) -> Any:
    """--report FILE.html; `words` say what the page shows."""
    return typer.Option("--report", metavar="FILE.html", show_default=False, help=words)


def observations(words: str) -> Any:
    """--data FILE: where a finished run's observations are, if not where they were."""
    return typer.Option("--data", metavar="FILE", show_default=False, help=words)


def series(words: str) -> Any:
    """--series ID."""
    return typer.Option(
        "--series",
        metavar="ID",
        show_default=False,
        help=words,
        autocompletion=completion.complete_series,
    )


def run_folder(words: str) -> Any:
    """RUN, an argument that may be left out."""
    return typer.Argument(
        metavar="[RUN]", show_default=False, help=words, autocompletion=completion.complete_run
    )


def model(words: str, panel: str | None = None) -> Any:
    """--model DIR, under the heading `panel` of the help (default: the general one)."""
    return typer.Option(
        "--model",
        "-m",
        metavar="DIR",
        show_default=False,
        help=words,
        rich_help_panel=panel,
        autocompletion=completion.complete_run,
    )


def refuse_two_outputs(run: Run, output: str | None, what: str = "forecast") -> None:
    """Raises UsageError when both the document and `what` was made go to standard output."""
    if run.screen.json and output == "-":
        raise UsageError(
            "--json and --output - both want standard output",
            code="usage/one-stdout",
            remedy=f"Write the {what} to a file, or leave --json out",
        )


def follow(words: str) -> Any:
    """--follow; `words` say what is done with each row."""
    return typer.Option("--follow", metavar=" ", show_default=False, help=words)


def refuse_to_follow(source: str | None, output: str | None) -> None:
    """Raises UsageError when --follow is to read its history from standard input as well, or is to
    write to a file."""
    if source == "-":
        raise UsageError(
            "--follow reads rows from standard input, so the history must be elsewhere",
            code="usage/one-stdin",
            value="-",
            remedy="Name the file of the history",
        )
    if output not in (None, "-"):
        raise UsageError(
            "--follow answers each row on standard output",
            code="usage/follow-to-file",
            where="--output",
            value=output,
            remedy="Leave --output out and redirect: > FILE",
        )


def refuse_samples(run: Run, *, follow: bool = False) -> None:
    """Raises UsageError for --samples where the forecast is not of one table in one process, and
    for --seed without it: nothing else in a forecast is drawn."""
    number = run.settings.sampling.number
    if number is None:
        if run.resolved.sources["training.seed"].startswith("--"):
            raise UsageError(
                "--seed is about the draws of --samples; a forecast itself has none",
                code="usage/seed-without-samples",
                remedy="Add --samples N, or leave --seed out",
            )
        return

    if follow or in_parts(run):
        raise UsageError(
            "--samples is for a forecast of one table in one process",
            code="usage/samples-elsewhere",
            where="--samples",
            value=number,
            remedy="Leave --follow, --engine, --jobs and --shard out",
        )


def refuse_idle_address(run: Run) -> None:
    """Raises UsageError for --ray-address without --engine ray."""
    engine = run.settings.engine
    if engine.ray_address is not None and engine.name != "ray":
        raise UsageError(
            "--ray-address is about --engine ray",
            code="usage/ray-address-without-ray",
            value=engine.ray_address,
            remedy="Add --engine ray, or leave --ray-address out",
        )


# --- What the commands of scheduled runs share: their arguments, and many jobs from one file -----


Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="File of jobs: lstmcast init --batch writes one.")
]
JobName = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="NAME",
        show_default=False,
        help="One job of the file (all).",
        autocompletion=completion.complete_job,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", metavar=NO_WORD, help="Say what would be done and why; change nothing."
    ),
]


def jobs_of(file: str, name: str | None) -> list[Job]:
    """The jobs that a command is for. Raises UsageError."""
    from forecast.scheduling.config_file import chosen_jobs, load_config

    return chosen_jobs(load_config(file), name)


def seconds_of(text: str | None, flag: str) -> float | None:
    """Seconds in the duration that `flag` was given, such as 26h or 2d. Raises UsageError."""
    from forecast.common.durations import seconds_in

    if text is None:
        return None
    try:
        return seconds_in(text)
    except ValueError as problem:
        raise UsageError(
            f"{flag} {problem}", code="config/bad-value", value=text, remedy="For example: 26h"
        ) from problem


def for_each(jobs: list[Job], run: Run, work: Callable[[Job], int]) -> int:
    """Does `work` for each job and returns the exit code of all.

    A job that fails does not keep the others from running: its error is shown, and its code is
    returned at the end (the first one's, if several fail). With a single job the error is raised.
    """
    if len(jobs) == 1:
        return work(jobs[0])
    failed, partly = 0, 0
    for job in jobs:
        try:
            partly = max(partly, work(job))
        except Exception as problem:
            from forecast.cli.console import print_error
            from forecast.cli.error_handler import as_forecast_error

            error = as_forecast_error(problem)
            error.where = f"job {job.name}: {error.where}" if error.where else f"job {job.name}"
            print_error(run.err(), error)
            failed = failed or error.exit_code
    return failed or partly


# --- What `predict` and `forecast` do with --engine, --jobs, --shard: a forecast file by file ----


def in_parts(run: Run) -> bool:
    """Whether the options ask for it. Raises UsageError for a contradiction.

    --jobs and --attempts do where they are on the command line: a settings file or an environment
    may name them for training.
    """
    refuse_idle_address(run)
    engine, sources = run.settings.engine, run.resolved.sources
    typed = [sources[path].startswith("--") for path in ("engine.attempts", "training.jobs")]
    return any(typed) or {engine.name, engine.shard, engine.partitions} != {None}


def forecast_in_parts(
    run: Run, command: str, source: str, output: str | None, model: str | None = None
) -> int:
    """Runs the engine and says what it made: the exit code."""
    from forecast.cli import render
    from forecast.workflows.partitions.run import engine_run

    with run.watching() as listener:
        result = engine_run(
            source,
            run.settings,
            listener,
            output=output,
            model=model,
            pretrained_network=command == "forecast",
        )
    if run.screen.json:
        document = {**vars(result), "failed": failures(result.failed)}
        render.show_document(command, {**document, "exit_code": result.exit_code})
    elif not run.screen.quiet:
        render.show_facts(run.out(), _facts(result))
        if run.settings.engine.shard is not None:
            folder = quote(str(result.folder))
            render.show_hint(run.out(), f"once every shard is done: lstmcast merge {folder}")
    return result.exit_code


def amounts(result: EngineResult | Merged) -> list[tuple[str, Any]]:
    """What was forecast, for a person."""
    facts: list[tuple[str, Any]] = [
        (
            "forecast",
            f"{result.series:,} series, {result.horizon} steps, {result.rows:,} rows",
        )
    ]
    if result.fallbacks:
        facts.append(("fallbacks", f"{result.fallbacks:,} series"))
    if result.skipped:
        facts.append(("skipped", f"{result.skipped:,} series without any value"))
    if result.failed:
        facts.append(("failed", "\n".join(record.name for record in result.failed)))
    return facts


def failures(failed: Any) -> list[dict[str, Any]]:
    """Partitions that were given up, for a program."""
    return [{"partition": record.name, **record.error} for record in failed]


def _facts(result: EngineResult) -> list[tuple[str, Any]]:
    parts = f"{result.parts - len(result.failed):,} of {result.of:,}"
    if result.kept:
        parts += f", {result.kept:,} of them from before"
    pace = result.series / result.seconds if result.seconds else 0
    took = f"{duration(result.seconds)}, {pace:,.0f} series a second"
    where = str(result.folder)
    return [
        *amounts(result),
        ("parts", parts),
        ("time", took if not result.kept else duration(result.seconds)),
        ("written to", where),
    ]
