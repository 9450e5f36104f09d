"""Python signatures made from the settings, so that completion and help() know every option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from forecast.config.options import PROCESSES_ONLY, Option, options_of

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
        function.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        lines = [f"    {option.parameter}: {option.help}" for option in options]
        text = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = "\n".join([text, "", "Options:", *lines])
        function.options = {o.parameter: o.path for o in options}  # type: ignore[attr-defined]
        return function

    return decorate


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
