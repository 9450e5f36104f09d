"""YAML that people write, read with the line of every key: bounded, and never as code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.common.errors import UsageError

_LARGEST = 1 << 20  # bytes; a settings file has a few thousand
_MOST_NODES = 100_000  # keys and values, aliases written out
_DEEPEST = 12  # levels of nesting; a job has four

Place = tuple[str, ...]  # the keys that lead to a value


@dataclass(frozen=True)
class YamlFile:
    """A document as plain values (keys are text); what to call its file; the line of each key."""

    path: Path
    label: str
    content: Any
    lines: dict[Place, int]

    def where(self, place: Place = ()) -> str:
        """File and line of a key, or of what it is missing in."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.label}, line {self.lines[place]}" if place in self.lines else self.label


def read_yaml(path: Path, what: str, remedy: str, label: str | None = None) -> YamlFile:
    """The YAML document in a file; an empty one is {}.

    what: "the settings file", as errors call it; remedy: what they advise; label: what they call
    the place (the path). Raises UsageError: no such file, not UTF-8, no YAML, a key given twice.
    """
    import yaml

    label = label or str(path)
    loader = yaml.SafeLoader(_text(path, what, remedy, label))
    lines: dict[Place, int] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return YamlFile(path, label, {}, lines)
        _check_size(root)
        return YamlFile(path, label, _plain(root, loader, (), lines, label), lines)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        reason = getattr(problem, "problem", None) or str(problem) or "nested too deeply"
        raise UsageError(
            f"this is not valid YAML: {reason}",
            code="config/not-yaml",
            where=f"{label}, line {mark.line + 1}, column {mark.column + 1}" if mark else label,
            remedy=remedy,
        ) from problem
    finally:
        loader.dispose()


def given_twice(name: str, where: str) -> UsageError:
    """The error for a key that stands there twice."""
    return UsageError(
        f"{name} is given twice",
        code="config/repeated-key",
        where=where,
        remedy="Keep one of the two",
    )


def _text(path: Path, what: str, remedy: str, label: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than 1 MiB")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        unread = remedy if isinstance(problem, OSError) else "Give a YAML file in UTF-8"
        raise UsageError(
            f"{what} cannot be read: {reason}",
            code="config/unreadable",
            where=label,
            remedy=unread,
        ) from problem


def _check_size(root: Any) -> None:
    """Raises ValueError for a document that its aliases (`*name`) make too large."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(map(size, _parts(node)))
        return sizes[id(node)]

    if size(root) > _MOST_NODES:
        raise ValueError("its aliases stand for too many values")


def _parts(node: Any) -> Iterator[Any]:
    """The nodes right inside a node: entries of a list, keys and values of a mapping."""
    for part in node.value if isinstance(node.value, list) else ():
        yield from part if isinstance(part, tuple) else (part,)


def _plain(node: Any, loader: Any, place: Place, lines: dict[Place, int], label: str) -> Any:
    import yaml

    if len(place) > _DEEPEST:
        raise ValueError("it is nested too deeply")
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, loader, (*place, "-"), lines, label) for each in node.value]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    found: dict[str, Any] = {}
    for key_node, value in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in found:
            raise given_twice(".".join((*place, key)), f"{label}, line {line}")
        lines[(*place, key)] = line
        found[key] = _plain(value, loader, (*place, key), lines, label)
    return found
