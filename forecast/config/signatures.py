"""Python signatures made from the settings, so that completion and help() know every option."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from forecast.common.errors import ForecastError
from forecast.config.options import PROCESSES_ONLY, Option, all_options, options_of

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

        @wraps(function)
        def called(*args: Any, **words: Any) -> Any:
            try:
                return function(*args, **words)
            except ForecastError as error:
                error.message = in_python(error.message)
                error.where = error.where and in_python(error.where)
                error.remedy = error.remedy and in_python(error.remedy)
                raise

        called.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        lines = [f"    {option.parameter}: {option.help}" for option in options]
        text = inspect.cleandoc(function.__doc__ or "")
        called.__doc__ = "\n".join([text, "", "Options:", *lines])
        called.options = {o.parameter: o.path for o in options}  # type: ignore[attr-defined]
        return called  # type: ignore[return-value]

    return decorate


def in_python(text: str) -> str:
    """A text with its flags as the parameters that stand for them: "na_values" for --na-values,
    "refit=False" for --no-refit; a flag alone, as where an error lies, by its name."""
    if re.fullmatch(r"--[a-z][a-z0-9-]*", text):
        return text[2:].replace("-", "_")
    switches = {o.flag for o in all_options() if o.switch}
    by_path = {o.path: o.parameter for o in all_options()}
    text = re.sub(r"--set ([a-z_.]+)(?==)", lambda m: by_path.get(m[1], m[0]), text)

    def parameter(match: re.Match[str]) -> str:
        flag = match[0]
        if flag in switches:
            return flag[2:].replace("-", "_") + "=True"
        if flag.replace("--no-", "--") in switches:
            return flag[5:].replace("-", "_") + "=False"
        return flag[2:].replace("-", "_")

    return re.sub(r"(?<![\w-])--[a-z][a-z0-9-]*", parameter, text)


def _annotation(option: Option) -> str:
    """The type of an option's value, in words that help() shows."""
    if option.switch:
        return "bool"
    kind = {"N": "int", "X": "float", "STEPS": "int"}.get(option.metavar, "str")
    if isinstance(option.default, tuple):
        return "Sequence | str"
    if isinstance(option.default, int | float):
        kind = type(option.default).__name__
    return kind if option.default is not None else f"{kind} | None"
