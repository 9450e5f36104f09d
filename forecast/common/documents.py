"""Documents that are read back: bounded, with the sum they were written with, of their schema.

A file on disk may be damaged, edited or somebody else's. What is read passes three doors before
anything is done with it: `read_bounded` (a plain file of a size that can be), `open_seal` (not a
bit is another than was written) and `check_schema` (every field that is used has its type and its
range, and no number asks for more room than there is).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

SEAL = "document_sha256"  # field of a document: the sum of all its others
LARGEST = 16 * 2**20  # bytes of a document, where nothing else is said
_SHOWN = 60  # signs of a wrong value that an error quotes


class BadDocument(ValueError):
    """What is wrong with a file that is read back, as the end of a sentence: "is cut short"."""


class Document(BaseModel):
    """Base of the schemas of what is read back: strict types, finite numbers; fields that are not
    named are nobody's business."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Closed(Document):
    """Base of the schemas of what is handed on whole, by its names: there a field that nobody
    knows (a letter of a name is another) is wrong."""

    model_config = ConfigDict(extra="forbid")


def _is_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("must be a time with its zone (ISO 8601)")
    return text


def signs(most: int, least: int = 0) -> AfterValidator:
    """Lets a text have `least` to `most` signs. (A length in `Field` refuses the names of files
    that are not UTF-8.)"""

    def checked(text: str) -> str:
        if not least <= len(text) <= most:
            raise ValueError(f"must have {least} to {most:,} signs")
        return text

    return AfterValidator(checked)


Count = Annotated[int, Field(ge=0, le=2**53)]
Text = Annotated[str, signs(10_000)]
Name = Annotated[str, signs(1000, least=1)]
Sum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256 in hexadecimal digits
Moment = Annotated[str, Field(max_length=40), AfterValidator(_is_moment)]  # ISO 8601 with its zone
Place = Annotated[int, Field(ge=-(2**62), le=2**62)]  # a position on a grid in time


def read_bounded(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a plain file. Raises BadDocument for one of another kind (a pipe or a device
    has no end) or of more than `largest` bytes; OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise BadDocument("is no plain file")
        if about.st_size > largest:
            raise BadDocument(f"is larger than it can be ({about.st_size:,} bytes)")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise BadDocument("grows while it is read")
    return content


def parse_document(content: bytes | str) -> dict[str, Any]:
    """The JSON object that `content` holds. Raises BadDocument."""
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadDocument("is nested too deeply") from None
    except ValueError as error:
        raise BadDocument(f"is no JSON document ({error})") from None
    if not isinstance(found, dict):
        raise BadDocument("is no JSON object")
    return found


def read_document(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The JSON object in a file. Raises BadDocument or OSError."""
    return parse_document(read_bounded(path, largest))


def as_bytes(text: str) -> bytes:
    """A text as UTF-8. What UTF-8 cannot hold, a byte in the name of a file that is not UTF-8, is
    written \\udcff, which JSON reads back as the very name."""
    return text.encode("utf-8", "backslashreplace")


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the sum of its content, for `open_seal` to look at."""
    plain = {key: value for key, value in document.items() if key != SEAL}
    return {**plain, SEAL: _digest(plain)}


def open_seal(document: Mapping[str, Any], required: bool) -> None:
    """Raises BadDocument where the content is not what the document's sum is of.

    required: also where it has none (documents of earlier versions did without).
    """
    if SEAL not in document:
        if required:
            raise BadDocument(f"has lost its checksum: {SEAL}")
        return
    plain = {key: value for key, value in document.items() if key != SEAL}
    if document[SEAL] != _digest(plain):
        raise BadDocument(f"was changed after it was written: it does not match its {SEAL}")


_Schema = TypeVar("_Schema")


def check_schema(schema: type[_Schema] | TypeAdapter[_Schema], document: Any) -> _Schema:
    """The document as its schema reads it. Raises BadDocument, which names the first field that is
    wrong, with its value."""
    adapter = schema if isinstance(schema, TypeAdapter) else TypeAdapter(schema)
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        raise BadDocument(_said(error)) from None
    except RecursionError:
        raise BadDocument("is nested too deeply") from None


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    if first["type"] == "missing":
        return f"lacks {place}"
    if first["type"] == "extra_forbidden":
        return f"is wrong at {place}: no field is called so"
    said = str(first["msg"]).removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    if not place:
        return f"does not fit together: {said}"
    value = repr(first["input"])
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
    return f"is wrong at {place}: {said} (found {shown})"


def _digest(plain: Mapping[str, Any]) -> str:
    """Of the values, however they are written down."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")
