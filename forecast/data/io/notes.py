"""`Note`: one thing that was repaired or deserves a warning, with its count and first places."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from forecast.common.errors import InputError
from forecast.common.files import table_kind, write_output

CODE = re.compile(r"[a-z]+/[a-z0-9-]+")
PLACES = 3  # so many places of a problem are named; the rest is a count


@dataclass(frozen=True)
class Note:
    """A stable code (`repair/...` or `warning/...`), a sentence, a count, the first places.

    Raises ValueError for what is no code: a sentence in its place would be told as one.
    """

    code: str
    text: str
    count: int = 1
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not CODE.fullmatch(self.code):
            raise ValueError(f"{self.code!r} is no code of a note")

    @property
    def is_repair(self) -> bool:
        """Whether something was changed on the way in (otherwise: a warning)."""
        return self.code.startswith("repair/")

    def to_dict(self) -> dict[str, object]:
        """The note as JSON-able data."""
        return {**asdict(self), "places": list(self.places)}


def quantity(count: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `12,345 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def shorten(value: object, width: int = 60) -> str:
    """`value` as text of at most `width` characters, control characters escaped."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))
    return text if len(text) <= width else text[: width - 3] + "..."


def quoted(text: str) -> str:
    """A name or text as it is typed behind a flag."""
    return text if re.fullmatch(r"[\w.,/%-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def refuse(
    code: str,
    message: str,
    *,
    where: str | None = None,
    value: object | None = None,
    remedy: str | None = None,
    count: int = 1,
    places: Sequence[str] = (),
) -> InputError:
    """An `InputError` that names the first places and how many there are in all."""
    named = [p for p in places[:PLACES]]
    if where and named:
        where = f"{where}, {named[0]}"
    elif named:
        where = named[0]
    others = count - 1
    if others > 0:
        also = f"; also {', '.join(named[1:])}" if len(named) > 1 else ""
        message += f" ({count:,} in all{also})"
    return InputError(
        message,
        code=code,
        where=where,
        value=shorten(value) if isinstance(value, str) else value,
        remedy=remedy,
    )


def listed(names: Iterable[object], limit: int = 8) -> str:
    """`a, b, c and 4 more`."""
    every = [shorten(n, 40) for n in names]
    shown = ", ".join(every[:limit])
    return f"{shown} and {len(every) - limit:,} more" if len(every) > limit else shown


# --- Cells and rows that cannot be read, put aside in a file instead of stopping the run ---------


REJECTED = ("file", "place", "column", "value", "code")
REJECTS = table_kind("a file of rejects", lambda columns: tuple(columns) == REJECTED)


@dataclass
class Rejects:
    """What was put aside, in the order in which it was found.

    entries  (file, line, column, value, error code); column is "" where the whole row is meant
    """

    entries: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(
        self, where: str, places: Sequence[str], column: str, values: Sequence[str], code: str
    ) -> None:
        """Put cells aside: one place and one value each."""
        for place, value in zip(places, values, strict=True):
            self.entries.append((where, place, column, value, code))

    def note(self, target: str) -> list[Note]:
        """A warning that counts them, or nothing."""
        if not self.entries:
            return []
        places = tuple(f"{e[1]}: {e[4]}" for e in self.entries[:PLACES])
        count = len(self.entries)
        text = f"{quantity(count, 'cell or row', 'cells or rows')} put aside in {target}"
        return [Note("warning/rejected", text, count, places)]

    def write(self, target: str | Path) -> None:
        """Write them as CSV, whole or not at all. Raises OutputError."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(REJECTED)
        writer.writerows(self.entries)
        write_output(target, text.getvalue().encode("utf-8", "surrogateescape"), REJECTS)
