"""Command-line parameters, made from the settings: a command names the parts that it takes.

A command is a plain function `(its own arguments, run: Run) -> exit code`. `takes` turns it into
what Typer parses: the command's own parameters, one option for each setting, and those that all
commands share. Parsing does not run the command; it returns a `Plan`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecast.cli.console import Look
from forecast.common.errors import UsageError
from forecast.common.progress import Listener
from forecast.config.files import presets
from forecast.config.options import Option, options_of, show
from forecast.config.schema import Settings
from forecast.config.sources import DEFAULT, Resolved, resolve

if TYPE_CHECKING:
    from rich.console import Console

SCREEN = "Settings and screen"
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
    look: Look

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

    def watching(self) -> AbstractContextManager[Listener]:
        """A listener on stderr."""
        from forecast.cli.console import watching

        return watching(self.err(), self.look)


def _flag(text: str, *names: str) -> Any:
    info = typer.Option(*names, metavar=NO_WORD, help=text, rich_help_panel=SCREEN)
    return Annotated[bool, info]


_LOOK: dict[str, Any] = {
    "json": _flag("Print one JSON document instead of text.", "--json"),
    "quiet": _flag("Print nothing but warnings, errors and the data asked for.", "--quiet", "-q"),
    "verbose": _flag("Say more on the way.", "--verbose", "-v"),
    "debug": _flag("Show the traceback when something fails.", "--debug"),
}
_SHARED: dict[str, Any] = {
    "config": Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help=f"Settings file (YAML), or a preset: {', '.join(presets())}.",
            rich_help_panel=SCREEN,
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
        parsed.__doc__ = function.__doc__
        parsed.__name__ = function.__name__
        parsed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                *(p.replace(kind=p.KEYWORD_ONLY) for name, p in own.items() if name != "run"),
                *(parameter for option in options for parameter in _parameters(option)),
                *_plain(_SHARED if parts else {}),
                *_plain(_LOOK),
            ]
        )
        return parsed

    return decorate


def _plain(kinds: Mapping[str, Any]) -> Iterable[inspect.Parameter]:
    for name, kind in kinds.items():
        default = None if name == "config" else False
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )


def _parameters(option: Option) -> Iterable[inspect.Parameter]:
    """The Typer parameters of a setting; None, the default, means "not given".

    A switch has two, --wide and --no-wide, of which the help shows the one that changes something.
    """
    if not option.switch:
        completion = _completion(option) if option.choices else None
        yield _one(option.parameter, option, str | None, _help(option), autocompletion=completion)
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


def _completion(option: Option) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        done, comma, last = incomplete.rpartition(",")
        return [done + comma + c for c in option.choices if c.startswith(last)]

    return complete


def _run(function: Command, options: Iterable[Option], given: dict[str, Any]) -> int:
    """Settles the settings, then runs the command, or prints the settings if that was asked."""
    look = Look(**{name: given.pop(name) for name in _LOOK})
    config, show_config = given.pop("config", None), given.pop("show_config", False)
    flags = {option.path: _flag_value(option, given) for option in options}
    run = Run(resolve(flags, os.environ, config), look)
    if show_config:
        from forecast.cli.render import show_settings

        return show_settings(run.resolved, run.out(), look)
    if look.verbose:
        _show_given(run)
    return function(**given, run=run)


def _flag_value(option: Option, given: dict[str, Any]) -> Any:
    """Takes the value of an option out of `given`; None when it was not on the command line."""
    value = given.pop(option.parameter)
    if not option.switch or not given.pop(no(option)):
        return value
    if value:
        raise UsageError(
            f"{option.flag} and --{no(option).replace('_', '-')} contradict each other",
            code="usage/contradiction",
            remedy="Leave one of them out",
        )
    return False


def _show_given(run: Run) -> None:
    """Which settings are not the defaults, and who set them."""
    with run.watching() as listener:
        for row in run.resolved.rows():
            if row["source"] != DEFAULT:
                listener.note(f"{row['name']} = {show(row['value'])} ({row['source']})")
