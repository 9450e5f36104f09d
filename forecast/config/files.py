"""Settings files: YAML in, with the line of every value, and a commented default file out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any

from forecast.common.errors import UsageError
from forecast.common.files import at_home, reading
from forecast.common.yaml_file import Place, YamlFile, given_twice, read_yaml
from forecast.config.options import all_options, show

PRESETS = ("default", "fast", "accurate")


@dataclass(frozen=True)
class Given:
    """A value that somebody gave: the value as written, what it was called, and where it stood."""

    value: Any
    name: str
    where: str | None

    @property
    def source(self) -> str:
        """How the origin is shown to the user."""
        return self.where or self.name


def preset_folder() -> Path:
    """The folder of the presets: inside the installed package, or beside it in a clone."""
    inside = Path(__file__).parent / "presets"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "configs"


def presets() -> dict[str, Path]:
    """The presets by name (configs/ holds files of other kinds too)."""
    return {name: preset_folder() / f"{name}.yaml" for name in PRESETS}


def find_settings_file(name: str) -> tuple[Path, str]:
    """The preset called `name`, or `name` itself as a path; and what to call it in messages.

    Raises UsageError when there is neither.
    """
    known = presets()
    if name in known:
        return known[name], f"preset {name}"
    path = at_home(name)
    if path.exists():
        return path, name
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean the preset {near[0]}? " if near else ""
    raise UsageError(
        "there is no such settings file or preset",
        code="config/not-found",
        value=name,
        remedy=f"{hint}--config takes a YAML file or one of: {', '.join(known)}",
    )


def read_settings_file(path: Path, label: str | None = None) -> dict[str, Given]:
    """The values of a settings file by option path ("forecast.horizon"), each with its line.

    label: what messages call the file; default, its path.
    Raises UsageError, with file and line, for anything but known sections of known keys.
    """
    reading(path)
    remedy = "Write sections and keys as in configs/default.yaml"
    file = read_yaml(path, "the settings file", remedy, label)
    _check_mapping(file.content, list(_fields_by_section()), file.where(), "a settings file")
    return given_settings(file, file.content)


def given_settings(
    file: YamlFile, sections: Mapping[str, Any], place: Place = ()
) -> dict[str, Given]:
    """The values in `sections` of a file, which stand at `place` in it, by option path.

    Both `data: {missing: zero}` and `data.missing: zero` are read; a section that is left empty is
    not given. Raises UsageError for an unknown key and one given twice.
    """
    found: dict[str, Given] = {}
    for path, value, where in _values(file, sections, place):
        if path in found:
            raise given_twice(path, where)
        found[path] = Given(value, path, where)
    return found


def _values(
    file: YamlFile, sections: Mapping[str, Any], place: Place
) -> Iterator[tuple[str, Any, str]]:
    """(option path, value, where it stands)."""
    known, paths = _fields_by_section(), {option.path for option in all_options()}
    for name, fields in sections.items():
        inside = (*place, name)
        if name in paths:
            yield name, fields, file.where(inside)
            continue
        if name not in known:
            raise unknown_key(name, "", list(known), file.where(inside))
        if fields is None:
            continue
        _check_mapping(fields, known[name], file.where(inside), ".".join(inside))
        for field, value in fields.items():
            where = file.where((*inside, field))
            if field not in known[name]:
                raise unknown_key(field, f"{name}.", known[name], where)
            yield f"{name}.{field}", value, where


def _fields_by_section() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for option in all_options():
        found.setdefault(option.section, []).append(option.field)
    return found


def _check_mapping(content: Any, known: list[str], where: str, name: str) -> None:
    if not isinstance(content, dict):
        raise UsageError(
            f"{name} must hold keys and values",
            code="config/not-a-mapping",
            where=where,
            value=None if isinstance(content, list) else content,
            remedy=f"Keys here are: {', '.join(known)}",
        )


def unknown_key(key: str, prefix: str, known: list[str], where: str) -> UsageError:
    """The error for a key that nothing reads, naming the one that was probably meant."""
    elsewhere = [
        o.path for o in all_options() if key.replace("-", "_") in (o.field, o.parameter, o.path)
    ]
    near = elsewhere or [prefix + match for match in get_close_matches(key, known, n=1, cutoff=0.6)]
    if not near:
        near = get_close_matches(key, [o.path for o in all_options()], n=1, cutoff=0.6)
    return UsageError(
        "there is no such setting",
        code="config/unknown-key",
        where=where,
        value=prefix + key,
        remedy=f"Did you mean {near[0]}?" if near else f"Keys here are: {', '.join(known)}",
    )


def commented_defaults() -> str:
    """The text of configs/default.yaml: every setting with its default, explained."""
    lines = [
        "# Every setting with its default. Copy this file, keep the lines you change, and pass it",
        "# as --config FILE. A flag or an LSTMCAST_* variable wins over a line of the file.",
        "# null: not given; then the tool chooses as the words in brackets say.",
    ]
    section = ""
    for option in all_options():
        if option.section != section:
            section = option.section
            lines += ["", f"# {option.heading}", f"{section}:"]
        lines += [f"  # {line}" for line in wrap(option.help, 94)]
        lines.append(f"  {option.field}: {_yaml_value(option.default)}")
    return "\n".join(lines) + "\n"


def _yaml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(show(entry) for entry in value)}]"
    return "null" if value is None else show(value)
