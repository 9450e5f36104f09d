"""Settings as a program gives them: JSON values with a schema, and the words of a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from forecast.common.errors import UsageError
from forecast.config.options import Option, options_of, show
from forecast.config.schema import Settings

NONE = "none"  # the word of the command line for an empty list


@cache
def schema_of(option: Option) -> dict[str, Any]:
    """The JSON schema of a setting's value, with its description."""
    section = Settings.model_fields[option.section].annotation
    found = section.model_json_schema()["properties"][option.field]  # type: ignore[union-attr]
    kinds = [kind for kind in found.get("anyOf", [found]) if kind.get("type") != "null"]
    own = {
        k: v
        for k, v in kinds[0].items()
        if k not in ("metavar", "flag", "variable", "seldom", "title")
    }
    own.pop("default", None)
    if "minItems" not in own and "enum" in own.get("items", {}):
        own["items"] = {**own["items"], "enum": [*own["items"]["enum"], NONE]}
    made = {**own, "description": option.help}
    if option.default is not None and option.default != ():
        made["default"] = option.default
    return made


def properties_of(*parts: str) -> dict[str, dict[str, Any]]:
    """The settings of sections ("forecast") and single ones ("data.freq") as schema properties."""
    return {option.parameter: schema_of(option) for option in options_of(*parts)}


def words_of(given: Mapping[str, Any], parts: Iterable[str]) -> list[str]:
    """The flags that say what `given` does, by parameter name; None is left out.

    Raises UsageError for a name that is none of the settings in `parts`.
    """
    options = {option.parameter: option for option in options_of(*parts)}
    words = []
    for name, value in given.items():
        if name not in options:
            raise UsageError(
                "there is no such option",
                code="usage/unknown-option",
                value=name,
                remedy=f"There are: {', '.join(options)}",
            )
        if value is not None:
            words.append(_word(options[name], value))
    return words


def _word(option: Option, value: Any) -> str:
    """--horizon=12, or of a switch --wide and --no-wide; --set=training.clip=2 without a flag."""
    if option.switch:
        if not isinstance(value, bool):
            raise UsageError(
                f"{option.parameter} must be true or false",
                code="config/bad-value",
                value=value,
                remedy=option.help,
            )
        if not option.has_flag:
            return f"--set={option.path}={str(value).lower()}"
        return option.flag if value else option.off
    if isinstance(value, bool | dict):
        raise UsageError(
            f"{option.parameter} is a text, a number or a list",
            code="config/bad-value",
            value=value,
            remedy=option.help,
        )
    if isinstance(value, list | tuple) and NONE in value and len(value) > 1:
        raise UsageError(
            f"{option.parameter} holds none and something else",
            code="config/bad-value",
            value=value,
            remedy=f'Say ["{NONE}"] alone, or leave it out of the list',
        )
    name = option.flag if option.has_flag else f"--set={option.path}"
    return f"{name}={show(value)}"
