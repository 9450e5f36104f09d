"""How a text table is written: encoding, field separator, header, decimal mark."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forecast.data.io.files import HEAD, Source, TextStream, detect_encoding
from forecast.data.io.notes import Note, listed, quantity, refuse

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MAX_COLUMNS = 10_000
SAMPLE_ROWS = 2_000

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ].*)?")


@dataclass(frozen=True)
class Dialect:
    """How one text table is written.

    raw_names are the header's cells as they stand in the file, names the same cleaned; sample is
    the first rows (lists of cells).
    """

    encoding: str
    bom: int
    separator: str
    raw_names: tuple[str, ...]
    names: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    decimal: str
    notes: tuple[Note, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """What is worth telling a person."""
        return {
            "encoding": self.encoding,
            "separator": SEPARATOR_NAMES.get(self.separator, self.separator),
            "decimal": self.decimal,
        }


def detect_dialect(source: Source, settings: DataSettings) -> Dialect:
    """The dialect of `source`, from its first bytes.

    Raises InputError: only a header, a duplicate or missing header, a preamble above it.
    """
    try:
        encoding, bom = detect_encoding(source.head, settings.encoding)
    except LookupError:
        raise refuse(
            "input/encoding", "there is no such text encoding", where=source.name,
            value=settings.encoding, remedy="Name one that exists: --encoding utf-8 or cp1252",
        ) from None  # fmt: skip
    text, whole = _first_text(source, encoding, bom)
    separator = settings.delimiter or _find_separator(text, whole)
    rows = _rows(text, separator, whole)
    _check_shape(rows, source.name, separator)
    raw_names = tuple(rows[0])
    sample = tuple(tuple(r) for r in rows[1 : SAMPLE_ROWS + 1])
    names, notes = _clean_names(raw_names, sample, source.name)
    _check_header(names, sample, source.name)
    decimal, decimal_notes = _find_decimal(settings.decimal, separator, sample)
    notes += decimal_notes + _encoding_notes(encoding, bom, settings.encoding)
    if separator != "," and not settings.delimiter:
        notes.append(
            Note("repair/separator", f"fields are separated by {SEPARATOR_NAMES[separator]}")
        )
    return Dialect(encoding, bom, separator, raw_names, names, sample, decimal, tuple(notes))


def _first_text(source: Source, encoding: str, bom: int) -> tuple[str, bool]:
    """The text of the file's start, and whether it is all of it."""
    stream = TextStream(source, encoding, bom)
    parts, size = [], 0
    while size < HEAD and (part := stream.read(HEAD - size)):
        parts.append(part)
        size += len(part)
    whole = not stream.read(1)
    return b"".join(parts).decode("utf-8", errors="ignore"), whole


def _rows(text: str, separator: str, whole: bool, limit: int = SAMPLE_ROWS + 1) -> list[list[str]]:
    """Up to `limit` rows of `text`; the last one only when it is certainly complete."""
    rows: list[list[str]] = []
    lines = text.splitlines(keepends=True) if False else _split_lines(text)
    try:
        for row in csv.reader(lines, delimiter=separator):
            if row:
                rows.append(row)
            if len(rows) > limit:
                break
    except csv.Error:
        pass  # the full reading names what is wrong, with its line
    if not whole and len(rows) <= limit and len(rows) > 1:
        rows.pop()
    return rows[:limit]


def _split_lines(text: str) -> list[str]:
    """Lines by \\n, \\r\\n or \\r only (str.splitlines also cuts at form feeds and the like)."""
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", text)


def _find_separator(text: str, whole: bool) -> str:
    """The separator that cuts most rows into the header's number of fields."""
    scored = []
    for rank, separator in enumerate(SEPARATORS):
        widths = [len(r) for r in _rows(text, separator, whole, limit=200)]
        if not widths or max(widths) < 2:
            continue
        common, count = Counter(widths).most_common(1)[0]
        if common > 1:
            scored.append((count / len(widths), widths[0] == common, common, -rank, separator))
    return max(scored)[-1] if scored else ","


def _check_shape(rows: list[list[str]], name: str, separator: str) -> None:
    if not rows:
        raise refuse("input/empty", "the file holds no rows", where=name,
                     remedy="A table needs a header line and at least two rows")  # fmt: skip
    width = len(rows[0])
    if width > MAX_COLUMNS:
        raise refuse(
            "input/too-many-columns", f"the table has {width:,} columns", where=name,
            remedy=f"At most {MAX_COLUMNS:,} are read: use one row per series and time",
        )  # fmt: skip
    if len(rows) == 1:
        raise refuse("input/no-rows", "there is a header but no row below it", where=name,
                     remedy="Check that the export finished")  # fmt: skip
    common, count = Counter(len(r) for r in rows[1:]).most_common(1)[0]
    first = next((i for i, r in enumerate(rows) if len(r) == common), 0)
    if width < common and first >= 1 and count > (len(rows) - first) * 0.9 and count > 1:
        if width == common - 1 and len(rows) > 2 and first == 1 and len(rows[0]) > 1:
            return  # one field too many on every row: the full reading says so
        raise refuse(
            "input/preamble",
            f"{quantity(first, 'line')} above the table: line 1 has {quantity(width, 'field')}, "
            f"most have {common}",
            where=f"{name}, line 1", value=separator.join(rows[0]),
            remedy="Delete the lines above the header",
        )  # fmt: skip


def _clean_names(
    raw: tuple[str, ...], sample: tuple[tuple[str, ...], ...], where: str
) -> tuple[tuple[str, ...], list[Note]]:
    """Header cells without padding; blank ones numbered. Raises InputError on duplicates."""
    notes = []
    names = [n.strip() for n in raw]
    padded = [n for n, r in zip(names, raw, strict=True) if n != r and n]
    blank = [i + 1 for i, n in enumerate(names) if not n]
    names = [n or f"column {i + 1}" for i, n in enumerate(names)]
    if padded:
        text = f"spaces around column names were removed: {listed(padded)}"
        notes.append(Note("repair/padded-header", text, len(padded)))
    if blank:
        text = f"columns without a name were numbered: {listed(names[i - 1] for i in blank)}"
        notes.append(Note("repair/blank-header", text, len(blank)))
    twins = [n for n, count in Counter(names).items() if count > 1]
    if twins:
        raise refuse(
            "input/duplicate-column", "two columns have the same name",
            where=f"{where}, line 1", value=twins[0], remedy="Give each column its own name",
            count=len(twins),
        )  # fmt: skip
    return tuple(names), notes


def _check_header(names: tuple[str, ...], sample: tuple[tuple[str, ...], ...], where: str) -> None:
    """Refuse a first line that is data: a number or date among its cells, and no name."""
    numbers = [n for n in names if NUMBER.fullmatch(n)]
    dates = [n for n in names if DATE.fullmatch(n) and n not in numbers]
    if (len(dates) == 1 and len(numbers) >= 1) or len(numbers) == len(names):
        raise refuse(
            "input/no-header", "the first line looks like data, not like column names",
            where=f"{where}, line 1", value=listed(names),
            remedy="Add a header line, e.g. ds,y",
        )  # fmt: skip


def _find_decimal(
    wanted: str | None, separator: str, sample: tuple[tuple[str, ...], ...]
) -> tuple[str, list[Note]]:
    """The decimal mark; a comma is taken without asking only where it cannot be anything else."""
    if wanted:
        return wanted, []
    if separator == ",":
        return ".", []
    cells = [c.strip() for row in sample for c in row]
    comma = [c for c in cells if re.fullmatch(r"[+-]?\d+,\d+", c)]
    dot = any(re.fullmatch(r"[+-]?\d+\.\d+", c) for c in cells)
    certain = any(not re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", c) for c in comma)
    if comma and certain and not dot:
        text = "a comma is the decimal mark"
        return ",", [Note("repair/decimal-comma", text, len(comma), (comma[0],))]
    return ".", []


def _encoding_notes(encoding: str, bom: int, wanted: str | None) -> list[Note]:
    if encoding == "utf-8" or wanted:
        return []
    return [Note("repair/encoding", f"the text is {encoding.upper()}")]
