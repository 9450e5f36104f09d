"""Settings files: YAML in, with the line of every value, and a commented default file out."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any

from forecast.common.errors import UsageError
from forecast.common.files import at_home, reading
from forecast.config.options import Option, all_options, show

PRESETS = ("default", "fast", "accurate")
_LARGEST = 1 << 20  # bytes; a settings file has a few thousand
_MOST_NODES = 100_000  # keys and values, aliases written out


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
    import yaml

    label = label or str(path)
    loader = yaml.SafeLoader(_text(path, label))
    try:
        root = loader.get_single_node()
        check_size(root)
        return _sections(root, loader, label) if root else {}
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        what = getattr(problem, "problem", None) or str(problem) or "nested too deeply"
        raise UsageError(
            f"this is not valid YAML: {what}",
            code="config/not-yaml",
            where=f"{label}, line {mark.line + 1}, column {mark.column + 1}" if mark else label,
            remedy="Write sections and keys as in configs/default.yaml",
        ) from problem
    finally:
        loader.dispose()


def check_size(root: Any) -> None:
    """Raises ValueError for a document that its aliases (`*name`) make too large to be written out.

    root: the node of a whole YAML document, or None.
    """
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if id(node) not in sizes:
            inner = node.value if isinstance(node.value, list) else ()
            parts = (each for part in inner for each in (part if type(part) is tuple else (part,)))
            sizes[id(node)] = 1 + sum(map(size, parts))
        return sizes[id(node)]

    if root is not None and size(root) > _MOST_NODES:
        raise ValueError("its aliases stand for too many values")


def _text(path: Path, label: str) -> str:
    reading(path)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than 1 MiB")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise UsageError(
            f"the settings file cannot be read: {reason}",
            code="config/unreadable",
            where=label,
            remedy="Give a YAML file in UTF-8",
        ) from problem


def _sections(root: Any, loader: Any, label: str) -> dict[str, Given]:
    by_section: dict[str, dict[str, Option]] = {}
    for option in all_options():
        by_section.setdefault(option.section, {})[option.field] = option
    paths = {option.path: option for option in all_options()}
    found: dict[str, Given] = {}
    for name, place, value in _entries(root, label, "", list(by_section), paths):
        if value.tag == "tag:yaml.org,2002:null":
            continue
        if name in paths:
            here = [(paths[name], place, value)]
        else:
            fields = by_section[name]
            inside = _entries(value, label, name + ".", list(fields))
            here = [(fields[field], where, node) for field, where, node in inside]
        for option, where, node in here:
            if option.path in found:
                raise given_twice(option.path, where)
            found[option.path] = Given(loader.construct_object(node, deep=True), option.path, where)
    return found


def _entries(
    node: Any, label: str, prefix: str, known: list[str], paths: Container[str] = ()
) -> list[tuple[str, str, Any]]:
    """(key, place, value node) of a mapping whose keys, all `known` or in `paths`, must differ."""
    import yaml

    place = f"{label}, line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"{prefix.rstrip('.') or 'a settings file'} must hold keys and values",
            code="config/not-a-mapping",
            where=place,
            value=getattr(node, "value", None) if isinstance(node, yaml.ScalarNode) else None,
            remedy=f"Keys here are: {', '.join(known)}",
        )
    entries: dict[str, tuple[str, str, Any]] = {}
    for key_node, value in node.value:
        key, where = str(key_node.value), f"{label}, line {key_node.start_mark.line + 1}"
        if key not in known and key not in paths:
            raise unknown_key(key, prefix, known, where)
        if key in entries:
            raise given_twice(prefix + key, where)
        entries[key] = (key, where, value)
    return list(entries.values())


def given_twice(name: str, where: str) -> UsageError:
    """The error for a key that stands there twice."""
    return UsageError(
        f"{name} is given twice",
        code="config/repeated-key",
        where=where,
        remedy="Keep one of the two",
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
