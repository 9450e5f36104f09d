"""Where settings come from: flags, then LSTMCAST_* variables, then a file, then the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from forecast.common.errors import UsageError
from forecast.config.files import Given, find_settings_file, read_settings_file
from forecast.config.options import ENVIRONMENT_PREFIX, Option, all_options
from forecast.config.schema import Settings

CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"
DEFAULT = "default"


@dataclass(frozen=True)
class Resolved:
    """The settings of a run, and by option path ("forecast.horizon") where each came from.

    `settings` has exactly the given values in its `model_fields_set`s, so that a value which
    somebody asked for can be told from a default.
    """

    settings: Settings
    sources: dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """One row a setting: name, value, source."""
        dump = self.settings.model_dump(mode="json")
        return [
            {"name": o.path, "value": dump[o.section][o.field], "source": self.sources[o.path]}
            for o in all_options()
        ]


def resolve(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> Resolved:
    """The settings from all sources; the first that names a value wins.

    flags: by option path, None meaning "not given". environ: the environment; LSTMCAST_CONFIG
    names a settings file when `config` does not. config: a YAML file or the name of a preset.
    Raises UsageError naming the flag, variable or line at fault.
    """
    environ = environ or {}
    name = config or environ.get(CONFIG_VARIABLE)
    given = read_settings_file(*find_settings_file(name)) if name else {}
    given |= _from_environment(environ)
    given |= _from_flags(flags or {})
    settings = _validated(given)
    sources = {o.path: DEFAULT for o in all_options()}
    return Resolved(settings, sources | {path: g.source for path, g in given.items()})


def settled(given: Mapping[str, Given], environ: Mapping[str, str]) -> Settings:
    """The settings of values that were read elsewhere, by option path; the environment wins.

    Raises UsageError naming the variable or line at fault.
    """
    return _validated({**given, **_from_environment(environ)})


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Given]:
    by_path = {option.path: option for option in all_options()}
    return {
        path: Given(value, _spelling(by_path[path], value), None)
        for path, value in flags.items()
        if value is not None
    }


def _spelling(option: Option, value: object) -> str:
    """The option as it was typed: --no-wide for a switch turned off."""
    return option.off if value is False and option.has_flag else option.typed


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    by_name = {option.variable: option for option in all_options()}
    found = {}
    for name in sorted(environ):
        if name in by_name and environ[name].strip():
            found[by_name[name].path] = Given(environ[name], name, None)
        elif name.startswith(ENVIRONMENT_PREFIX) and name not in by_name:
            _refuse_if_mistyped(name, by_name)
    return found


def _refuse_if_mistyped(name: str, known: Iterable[str]) -> None:
    """Raises UsageError for what is nearly a setting's variable; others may be somebody else's."""
    endings = {full.removeprefix(ENVIRONMENT_PREFIX): full for full in [*known, CONFIG_VARIABLE]}
    ending = name.removeprefix(ENVIRONMENT_PREFIX)
    near = get_close_matches(ending, endings, n=1, cutoff=0.7)
    if near and ending not in endings:
        raise UsageError(
            "there is no setting behind this environment variable",
            code="config/unknown-variable",
            value=name,
            remedy=f"Did you mean {endings[near[0]]}?",
        )


def _validated(given: Mapping[str, Given]) -> Settings:
    from pydantic import ValidationError

    nested: dict[str, dict[str, Any]] = {}
    for path, entry in given.items():
        section, field = path.split(".")
        nested.setdefault(section, {})[field] = entry.value
    try:
        return Settings.model_validate(nested)
    except ValidationError as problem:
        errors = problem.errors(include_url=False)
        raise _bad_value(errors[0], given, len(errors) - 1) from problem


def _bad_value(error: Any, given: Mapping[str, Given], others: int) -> UsageError:
    path = ".".join(str(part) for part in error["loc"][:2])
    option = next(o for o in all_options() if o.path == path)
    entry = given[path]
    remedy = _remedy(error, option, entry)
    if others:
        remedy += f" ({others} more setting{'s are' if others > 1 else ' is'} wrong)"
    return UsageError(
        f"{entry.name} {_complaint(error, option)}",
        code="config/bad-value",
        where=entry.where,
        value=entry.value,
        remedy=remedy,
    )


def _complaint(error: Any, option: Option) -> str:
    """What is wrong with a value, from pydantic's error."""
    kind, limits = error["type"], error.get("ctx") or {}
    bounds = {
        "greater_than": ("above", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("below", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in bounds:
        word, key = bounds[kind]
        return f"must be {word} {limits[key]:g}"
    if kind == "literal_error":
        return f"must be one of: {', '.join(option.choices)}"
    if kind == "string_pattern_mismatch":
        return "is not one that can be used"
    if kind == "value_error":
        return str(limits["error"])
    words = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    words |= {"string": "text", "finite": "a finite number"}
    return f"must be {words[kind.split('_')[0]]}" if kind.split("_")[0] in words else error["msg"]


def _remedy(error: Any, option: Option, entry: Given) -> str:
    near = get_close_matches(str(error["input"]), option.choices, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]}?"
    if error["type"] == "string_type" and isinstance(entry.value, int | float):
        return "Put the value in quotes"
    meaning = option.help
    if meaning[1:2].islower():
        meaning = meaning[0].lower() + meaning[1:]
    return f"Give one that fits, or leave it out: {meaning}"
