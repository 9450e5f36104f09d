"""Python signatures made from the settings, so that completion and help() know every option."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from datetime import tzinfo
from functools import wraps
from typing import Any, TypeVar

from forecast.common.errors import ForecastError, UsageError
from forecast.config.options import (
    PROCESSES_ONLY,
    Option,
    all_options,
    options_of,
    with_settings,
)

COLUMNS = ("COLUMN", "COLUMNS")  # metavars of options that name columns
Function = TypeVar("Function", bound=Callable[..., Any])


def takes_options(*parts: str) -> Callable[[Function], Function]:
    """Gives a function the signature and the documentation of the settings that it takes, and
    `options`: parameter -> path."""
    options = [option for option in options_of(*parts) if option.path not in PROCESSES_ONLY]

    def decorate(function: Function) -> Function:
        own = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        taken = {p.name for p in own}
        more = [
            inspect.Parameter(
                option.parameter,
                inspect.Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=_annotation(option),
            )
            for option in options
            if option.parameter not in taken
        ]

        called: Any = speaks_python(function)
        called.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        lines = [f"    {option.parameter}: {in_python(option.help)}" for option in options]
        text = inspect.cleandoc(function.__doc__ or "")
        called.__doc__ = "\n".join([text, "", "Options:", *lines])
        called.options = {o.parameter: o.path for o in options}  # type: ignore[attr-defined]
        return called  # type: ignore[return-value]

    return decorate


def speaks_python(function: Function) -> Function:
    """The errors of the function name parameters where those of a command name flags."""

    @wraps(function)
    def called(*args: Any, **words: Any) -> Any:
        try:
            return function(*args, **words)
        except ForecastError as error:
            error.message = in_python(error.message)
            error.where = error.where and in_python(error.where)
            error.remedy = error.remedy and in_python(error.remedy)
            raise

    return called  # type: ignore[return-value]


def as_given(path: str, value: Any) -> Any:
    """An option's value as Python has it, as the settings take it: paths, columns by number,
    sequences of any kind, frequencies and time zones of pandas and the standard library.

    path: of the option. Raises UsageError for a table, where one is named by its file.
    """
    option = next(o for o in all_options() if o.path == path)
    if hasattr(value, "columns"):
        raise UsageError(
            f"{option.parameter} takes a file, and a frame is given",
            code="config/bad-value",
            value=type(value).__name__,
            remedy="Write the frame to a file, and name that: frame.to_csv(path, index=False)",
        )
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if hasattr(value, "tolist"):  # of numpy and pandas
        value = value.tolist()
    if isinstance(value, range):
        value = list(value)
    value = getattr(value, "freqstr", value)
    if isinstance(value, tzinfo):
        return str(value)
    if option.metavar in COLUMNS and isinstance(value, list | tuple):
        value = [str(name) for name in value]
        return value if isinstance(option.default, tuple) else ",".join(value)
    if option.metavar in COLUMNS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def in_python(text: str) -> str:
    """A text with its flags as the parameters that stand for them: na_values="x" for --na-values x,
    refit=False for --no-refit; a flag alone, as where an error lies, by its name; and commands that
    are functions by these."""
    if re.fullmatch(r"--[a-z][a-z0-9-]*", text):
        return text[2:].replace("-", "_")

    def called(option: Option | None, flag: str) -> str:
        return flag.replace("-", "_") if option is None else option.parameter

    text = _COMMAND.sub(lambda found: f"forecast.{found[1]}(data)", text)
    return with_settings(text, called, lambda name, value: f"{name}={_literal(value)}")


_FUNCTIONS = "train|predict|forecast|backtest|compare|tune|detect|explain"
_COMMAND = re.compile(rf"`?\blstmcast ({_FUNCTIONS})( DATA)?(?=[`.,;]|$)`?")


def _literal(value: str | bool) -> str:
    """A flag's value as Python has it: numbers, yes and no as they are, all else in quotes."""
    if isinstance(value, bool):
        return str(value)
    number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", value)
    return value if number or value[0] in "'\"" else f'"{value}"'


def _annotation(option: Option) -> str:
    """The type of an option's value, in words that help() shows."""
    kind = {"N": "int", "X": "float", "STEPS": "int"}.get(option.metavar, "str")
    if isinstance(option.default, int | float):
        kind = type(option.default).__name__
    if option.is_path:
        kind = "str | Path"
    if option.several:
        kind = "Sequence | str"
    if option.switch:
        kind = "bool"
    return kind if option.default is not None else f"{kind} | None"
