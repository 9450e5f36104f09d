"""Every setting as the user meets it: its flag, environment variable, help and choices.

All of it is read off `schema.py`, so that an option is declared once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from forecast.config.schema import Section, Settings, list_type

ENVIRONMENT_PREFIX = "LSTMCAST_"
# Settings of one command that another must not take: a setting that is ignored is a bug.
BACKTEST_ONLY = ("evaluation.gap", "evaluation.refit", "evaluation.variants")
# Of the command line alone: they are about several processes or machines.
PROCESSES_ONLY = (
    "engine.name", "engine.ray_address", "engine.shard", "engine.partitions", "engine.attempts",
    "training.distributed",
)  # fmt: skip
TRAIN_ONLY = (
    "training.refit", "training.distributed", "training.mask_anomalies", "forecast.quantiles",
    "sampling.number",
)  # fmt: skip
# Metavars of settings that are paths, and of those that name where a value stands: file:PATH.
PATHS = ("FILE", "DIR", "MODEL", "PATH", "FOLDER")
PLACE = "PLACE"


@dataclass(frozen=True)
class Option:
    """One setting.

    heading  title of its group in the help: the first line of its section's docstring
    metavar  the word that stands for the value; "" for a switch
    has_flag whether a flag gives it; else --set, a variable or a settings file do
    choices  the allowed words, or () when they are not a closed list
    switch   true or false, so the flag has a --no- twin
    several  a list, whose values stand behind one flag: A,B
    variable its environment variable: LSTMCAST_HIDDEN
    """

    section: str
    field: str
    flag: str
    heading: str
    help: str
    metavar: str
    has_flag: bool
    choices: tuple[str, ...]
    switch: bool
    several: bool
    default: object
    variable: str

    @property
    def path(self) -> str:
        """Its name in a settings file: "forecast.horizon"."""
        return f"{self.section}.{self.field}"

    @property
    def parameter(self) -> str:
        """Its name as a Python parameter: "hidden" for --hidden."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def is_path(self) -> bool:
        """Whether its value is a path."""
        return self.metavar in PATHS

    @property
    def holds_path(self) -> bool:
        """Whether its value is a path, or file: with one behind it."""
        return self.is_path or self.metavar == PLACE

    @property
    def typed(self) -> str:
        """How a command line gives it: --horizon, or --set data.max_gap_share without a flag."""
        return self.flag if self.has_flag else f"--set {self.path}"

    @property
    def off(self) -> str:
        """The flag that turns a switch off: --no-wide."""
        return "--no-" + self.flag.removeprefix("--")


@cache
def all_options() -> tuple[Option, ...]:
    """Every setting, in the order of `Settings`."""
    return tuple(
        _option(name, section.annotation, field, info)
        for name, section in Settings.model_fields.items()
        for field, info in section.annotation.model_fields.items()  # type: ignore[union-attr]
    )


def options_of(*parts: str) -> tuple[Option, ...]:
    """The options of the named sections ("data") and single settings ("training.device")."""
    known = {option.path for option in all_options()} | set(Settings.model_fields)
    if not known.issuperset(parts):
        raise KeyError(f"no such section or setting: {sorted(set(parts) - known)}")
    return tuple(o for part in parts for o in all_options() if part in (o.section, o.path))


_GIVEN = re.compile(
    r"--(?P<set>set )?(?P<name>[a-z][\w.-]*\w)"
    r"(?:[ =](?!--)(?P<value>'[^']*'|\"[^\"]*\"|[^\s;:)`]+(:[^\s;:)`]+)*))?"
)
# Words of a sentence that may follow a flag and are no value of it.
_NO_VALUE = re.compile(
    r"("
    r"a|all|alone|and|are|as|asks|at|beside|brings|by|can|cannot|counts|cuts|do|does|every|for|"
    r"from|has|holds|how|if|in|is|it|joins|leaves|lists|makes|may|means|must|names|needs|nor|not|"
    r"of|or|out|put|puts|reads|repeats|saves|says|shows|so|stands|starts|takes|that|the|them|there|"
    r"those|to|treats|turns|was|were|what|where|which|who|why|with|without|writes"
    r")$",
    re.IGNORECASE,
)


def in_a_settings_file(text: str, without: Container[str] = ()) -> str:
    """Return `text` with each flag of a setting as a settings file has it: data.missing: zero.

    Flags of a command that the text names (lstmcast check FILE --rejects) stay as they are, and
    those of settings in `without`, by path.
    """

    def called(option: Option | None, _: str) -> str | None:
        return None if option is None else option.path

    def assigned(name: str, value: str | bool) -> str:
        if isinstance(value, bool):
            return f"{name}: {str(value).lower()}"
        quoted = value if value[0].isalnum() or value[0] in "'\"+-" else f"'{value}'"
        return f"{name}: {quoted}"

    return with_settings(text, called, assigned, without)


def with_settings(
    text: str,
    called: Callable[[Option | None, str], str | None],
    assigned: Callable[[str, str | bool], str],
    without: Container[str] = (),
) -> str:
    """Return `text` with each flag in other words, but those of a command that it names.

    called: option (None: of no setting) and flag without dashes -> its name, None: as it stands;
    assigned: name and value -> both; without: paths of options that are taken for none.
    """
    by_flag = {option.flag: option for option in all_options() if option.path not in without}
    by_path = {option.path: option for option in by_flag.values()}

    def rewrite(found: re.Match[str]) -> str:
        flag, value = found["name"], found["value"] or ""
        after = found[0][found.end("name") - found.start() :]
        option = by_path.get(flag) if found["set"] else by_flag.get(f"--{flag}")
        twin = by_flag.get(f"--{flag.removeprefix('no-')}")
        off = option is None and twin is not None and twin.switch
        name = called(twin if off else option, flag)
        if name is None or re.search(r"(lstmcast|-m forecast) [^;,.`]*$", text[: found.start()]):
            return found[0]
        if off or (option is not None and option.switch and value != "must"):
            return assigned(name, not off) + after
        plain = _given_value(value, option.choices if option is not None else ())
        return assigned(name, plain) + value[len(plain) :] if plain else name + after

    return _GIVEN.sub(rewrite, text)


def _given_value(word: str, choices: Container[str] = ()) -> str:
    """What of the word after a flag is the flag's value; "" where it goes on with the sentence."""
    plain = word if len(word) == 1 else word.rstrip(",")
    goes_on = plain not in choices and (_NO_VALUE.match(plain.rstrip(".")) or plain[:1] in "({")
    return "" if goes_on else plain


def show(value: object) -> str:
    """A setting's value as the user would write it: 80,95 for (80.0, 95.0)."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, tuple | list):
        return ",".join(show(entry) for entry in value) or "none"
    return "" if value is None else str(value)


def _option(section: str, kind: Any, field: str, info: FieldInfo) -> Option:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    inner = _inner_types(info.annotation)
    choices = tuple(c for kind_ in inner if get_origin(kind_) is Literal for c in get_args(kind_))
    words = info.description or ""
    several = get_origin(list_type(info.annotation)) is tuple or bool(extra.get("several"))
    if choices:
        words += f" {'Any' if several else 'One'} of: {', '.join(map(_quoted, choices))}."
    flag = str(extra.get("flag", "--" + field.replace("_", "-")))
    return Option(
        section=section,
        field=field,
        flag=flag,
        heading=_heading(kind),
        help=words,
        metavar=str(extra.get("metavar", _metavar(inner, choices))),
        has_flag=not extra.get("seldom"),
        choices=choices,
        switch=bool in inner,
        several=several,
        default=info.default,
        variable=ENVIRONMENT_PREFIX
        + str(extra.get("variable", flag.removeprefix("--").replace("-", "_").upper())),
    )


def _inner_types(annotation: Any) -> tuple[Any, ...]:
    """The types inside an optional or a tuple: (int,) of `int | None`."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        return (annotation,)
    inner = [a for a in get_args(annotation) if a not in (type(None), Ellipsis)]
    return tuple(t for a in inner for t in _inner_types(a) if isinstance(t, type) or get_args(t))


def _metavar(inner: tuple[Any, ...], choices: tuple[str, ...]) -> str:
    if bool in inner:
        return ""
    if choices:
        return "WORD"
    return "N" if int in inner else "X" if float in inner else "TEXT"


def _quoted(choice: str) -> str:
    return choice if choice.isalnum() or "-" in choice else f'"{choice}"'


def _heading(section: type[Section]) -> str:
    return (section.__doc__ or section.__name__).splitlines()[0].rstrip(".")
