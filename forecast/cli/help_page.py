"""How help is laid out: usage, examples, arguments and options, at the width of the terminal.

One notation everywhere: DATA must be given, [DATA] may be, --flag VALUE takes a value. `--help`
shows what most people need, `--help-all` every option.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

from forecast.cli.console import make_console
from forecast.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ALL, FULL = "--help-all", "full"  # the flag, and its key in the context's `obj`
WIDEST = 100  # columns of text, however wide the terminal is
NAMES = 26  # columns for an option and its value; what is longer has its explanation below it
OWN_OPTIONS = "Options"
# What --help shows of the settings; all others are in --help-all.
USUAL = {
    "forecast.horizon", "forecast.level", "data.id_col", "data.time_col", "data.target_col",
    "data.freq", "data.future_cov", "data.future_covariates", "data.holidays", "network.name",
    "compare.networks", "training.seed", "training.jobs", "training.deadline", "baselines.names",
    "evaluation.windows", "engine.name", "engine.shard", "tuning.trials", "output.root",
    "output.out",
}  # fmt: skip
USUAL_OF = {"detect": {"detection.threshold"}, "predict": {"sampling.number"}}
_OF_THE_MODEL = {  # what a trained model knows, so that it is seldom said again
    "data.id_col", "data.time_col", "data.target_col", "data.freq", "data.future_cov",
    "data.holidays", "training.seed",
}  # fmt: skip
_IN_PARTS = {"engine.name", "engine.shard", "training.jobs"}
RARE_OF = {
    "forecast": {*_IN_PARTS, "training.seed"},
    "predict": _OF_THE_MODEL | _IN_PARTS,
    "explain": _OF_THE_MODEL,
    "export": _OF_THE_MODEL | {"data.future_covariates"},
    "distill": _OF_THE_MODEL | {"data.future_covariates"},
    "tune": {"network.name"},
}
RARE_WORDS = {"--set", "--verbose", "--debug", "--log-format"}  # of those that all commands have
LONG = 40  # signs of a list of choices that only --help-all shows

Row = tuple[str, str]


class Command(TyperCommand):
    """A command whose help is laid out here."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the page."""
        show_command(self, ctx)

    def get_help(self, ctx: Any) -> str:
        """Print the page; nothing is left to be printed."""
        show_command(self, ctx)
        return ""


class Group(TyperGroup):
    """The program, whose help lists the commands in groups."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the page."""
        show_program(self)

    def get_help(self, ctx: Any) -> str:  # noqa: ARG002
        """Print the page; nothing is left to be printed."""
        show_program(self)
        return ""


def show_command(command: Any, context: Any) -> None:
    """The page of one command on stdout."""
    console = _console()
    path, name = context.command_path, context.info_name or ""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    everything = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    full = bool((context.find_root().obj or {}).get(FULL))
    rare = set() if full else _rare_flags(name)
    if not (full or any({"--output", "--report"} & {*p.opts} for p in everything)):
        rare = rare | {"--force"}  # there it is for --rejects alone
    options = [p for p in everything if rare.isdisjoint(p.opts)]
    _paragraph(console, command.help or "")
    words = " ".join([path, *(_metavar(p) for p in arguments), "[OPTIONS]"])
    _title(console, "Usage", f" {words}")
    _examples(console, EXAMPLES.get(name, ()))
    if arguments:
        _title(console, "Arguments")
        _table(console, [(_metavar(p), p.help or "") for p in arguments])
    brief = [(names, _brief(text)) for names, text in _rows(options)]
    panels = _by_panel(options) if full else [(OWN_OPTIONS, brief)]
    for title, rows in panels:
        _title(console, title)
        _table(console, rows)
    if len(options) < len(everything):
        console.print()
        _paragraph(console, f"All {len(everything)} options: {path} {ALL}")


def show_program(group: Any) -> None:
    """The page of the program on stdout: what it is, and its commands in groups."""
    console = _console()
    _paragraph(console, group.help or "")
    _title(console, "Usage", " lstmcast COMMAND [OPTIONS]")
    panels: dict[str, list[Row]] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            panels.setdefault(command.rich_help_panel, []).append((name, command.short_help or ""))
    for title, rows in panels.items():
        _title(console, title)
        _table(console, rows, 10)
    _title(console, "Options")
    shown = [p for p in group.params if not p.hidden]
    _table(console, [(_names(p), p.help or "") for p in shown])
    console.print()
    for paragraph in (group.epilog or "").split("\n\n"):
        _paragraph(console, paragraph)


def _console() -> Console:
    console = make_console(sys.stdout)
    console.width = min(console.width, WIDEST)
    return console


def _paragraph(console: Console, text: str) -> None:
    from rich.text import Text

    for paragraph in text.strip().split("\n\n"):
        console.print(Text(" ".join(paragraph.split())))


def _title(console: Console, title: str, rest: str = "") -> None:
    from rich.text import Text

    console.print()
    console.print(Text.assemble((f"{title}:", "bold cyan"), rest), soft_wrap=True)


def _examples(console: Console, examples: Sequence[tuple[str, str]]) -> None:
    from rich.text import Text

    if not examples:
        return
    _title(console, "Examples")
    for what, line in examples:
        console.print(Text(f"  # {what}", "dim"), soft_wrap=True)
        console.print(Text(f"  lstmcast {line}"), soft_wrap=True)


def _rows(options: Iterable[Any]) -> list[Row]:
    return [(_names(option), option.help or "") for option in options]


def _by_panel(options: Iterable[Any]) -> list[tuple[str, list[Row]]]:
    """(heading, rows), the command's own options first."""
    panels: dict[str, list[Any]] = {OWN_OPTIONS: []}
    for option in options:
        panel = getattr(option, "rich_help_panel", None) or OWN_OPTIONS
        panels.setdefault(panel, []).append(option)
    return [(title, _rows(found)) for title, found in panels.items() if found]


@cache
def _rare_flags(command: str) -> set[str]:
    """Flags that --help leaves out; what an example shows is never one of them."""
    from forecast.config.options import all_options

    usual = (USUAL | USUAL_OF.get(command, set())) - RARE_OF.get(command, set())
    rare = [option for option in all_options() if option.path not in usual]
    twins = {option.off for option in rare if option.switch}
    shown = {word for _, line in EXAMPLES.get(command, ()) for word in line.split()}
    return ({option.flag for option in rare} | twins | RARE_WORDS) - shown


def _brief(text: str) -> str:
    """An explanation without long lists of choices and of defaults, which --help-all has."""
    text = re.sub(rf" (?:One|Any) of: [^:]{{{LONG},}}?\.(?= |$)", "", text)
    return re.sub(r" \([^()]{80,}\)(?=\.)", "", text)


def _names(option: Any) -> str:
    """`-o, --output FILE`."""
    names = sorted(option.opts, key=lambda name: name.startswith("--"))
    value = "" if option.is_flag or not (option.metavar or "").strip() else f" {option.metavar}"
    return ", ".join(names) + value


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _table(console: Console, rows: Sequence[Row], least: int = 0) -> None:
    """Names and explanations side by side; below each other where a name is too long for that."""
    from rich.table import Table

    width = min(NAMES, max(least, *(len(name) for name, _ in rows)))

    def empty() -> Table:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=width + 2, no_wrap=True)
        grid.add_column()
        return grid

    grid = empty()
    for name, text in rows:
        if len(name) > width:
            if grid.row_count:
                console.print(grid)
            grid = empty()
            console.print(_bold(f"  {name}"), soft_wrap=True)
            grid.add_row("", text)
        else:
            grid.add_row(_bold(f"  {name}"), text)
    console.print(grid)


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, "bold")
