"""Documents that are wrong in every way: each field set to each wrong value, removed, doubled."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 10**6, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, -1e308,
    float("inf"), 1e-320, "", "x", "0", "\x00", "../../etc/passwd", "9" * 5000, "2024-13-45", "NaN",
    [], [None], [[]], [1, "x"], {}, {"x": 1}, {"": {}},
)  # fmt: skip
EXTRA = "surplus"


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a document; of a list its first and its last entry."""
    if at:
        yield at
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*at, key))
    elif isinstance(document, list) and document:
        for n in sorted({0, len(document) - 1}):
            yield from places(document[n], (*at, n))


def value_at(document: Any, place: tuple[Any, ...]) -> Any:
    """What stands at `place`."""
    for key in place:
        document = document[key]
    return document


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the document with another value at `place`."""
    copied = copy.deepcopy(document)
    value_at(copied, place[:-1])[place[-1]] = value
    return copied


def without(document: Any, place: tuple[Any, ...]) -> Any:
    """A copy of the document without what stands at `place`."""
    copied = copy.deepcopy(document)
    del value_at(copied, place[:-1])[place[-1]]
    return copied


def hostile(document: Any) -> Iterator[tuple[str, Any]]:
    """(what was done, the document) for every field and every wrong value; deleted; with more."""
    for place in places(document):
        name = ".".join(map(str, place))
        yield f"{name} deleted", without(document, place)
        for value in WRONG:
            yield f"{name} = {str(value)[:30]!r}", changed(document, place, value)
    for place in [(), *places(document)]:
        inner = value_at(document, place)
        if isinstance(inner, dict):
            name = ".".join(map(str, place)) or "the whole"
            more = {**inner, EXTRA: "x" * 1000}
            yield f"{name} with a surplus field", changed(document, place, more) if place else more
    for value in (None, [], "x", 5, {}):
        yield f"the whole = {value!r}", value


def flipped(content: bytes, draw: random.Random) -> bytes:
    """The content with one bit of it the other way round."""
    blob = bytearray(content)
    blob[draw.randrange(len(blob))] ^= 1 << draw.randrange(8)
    return bytes(blob)
