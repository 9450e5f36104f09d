"""How a text table is written: encoding, field separator, header, decimal mark, lines above it."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.common.errors import InputError
from forecast.data.io.files import (
    HEAD,
    Source,
    TextStream,
    detect_encoding,
    open_source,
    without_padding,
)
from forecast.data.io.notes import Note, listed, quantity, refuse
from forecast.data.io.time_forms import is_time, times_of_header
from forecast.data.io.vocabulary import names_time

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MAX_COLUMNS = 10_000
LINES_ABOVE = 30  # a header below more lines than these is not sought
FEWEST_LINES, LONGEST_HEAD = 4, 1 << 24  # of the start that is looked at, where lines are long
SAMPLE_ROWS = 2_000
LEAST_DAY = 9  # letters of a day's date in words: May 2024 is a month
LONGEST_CELL = 30  # letters of a number or a time, as they are written

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ].*)?")
DAY = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?"
    r"|[12]\d{3}(0[1-9]|1[0-2])([0-2]\d|3[01])"
)


@dataclass(frozen=True)
class Dialect:
    """How one text table is written.

    raw_names are the header's cells as they stand in the file, names the same cleaned; sample is
    the first rows (lists of cells). skip: lines of the file above the header; padded: whether
    blanks stand between a separator and an opening quote.
    """

    encoding: str
    bom: int
    separator: str
    raw_names: tuple[str, ...]
    names: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    decimal: str
    notes: tuple[Note, ...] = ()
    skip: int = 0
    padded: bool = False

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
    except (LookupError, UnicodeError):  # "undefined" is a codec that refuses every text
        raise refuse(
            "input/encoding", "there is no such text encoding", where=source.name,
            value=settings.encoding, remedy="Name one that exists: --encoding utf-8 or cp1252",
        ) from None  # fmt: skip
    text, whole = _first_text(source, encoding, bom)
    named = re.match(r'"?sep=(.)"?[;,\t|]*\r?(\n|\r|$)', text)
    separator = settings.delimiter or (named[1] if named else _find_separator(text, whole))
    placed = _rows(text, separator, whole)
    padded = any(re.match(' +"', cell) for _, row in placed for cell in row[1:])
    if padded:
        placed = _rows(without_padding(text, separator), separator, whole)
    skip, above = _above(placed, separator, named is not None)
    rows = [row for line, row in placed if line > skip]
    _check_shape(rows, source.name)
    raw_names = tuple(rows[0])
    sample = tuple(tuple(r) for r in rows[1 : SAMPLE_ROWS + 1])
    _check_header([n.strip() for n in raw_names], sample[0], source.name)
    names, notes = _clean_names(raw_names, source.name)
    decimal, decimal_notes = _find_decimal(settings.decimal, separator, sample)
    notes += decimal_notes + _encoding_notes(encoding, settings.encoding) + above
    if separator != "," and not settings.delimiter:
        name = SEPARATOR_NAMES.get(separator, repr(separator))
        notes.append(Note("repair/separator", f"fields are separated by {name}"))
    return Dialect(
        encoding=encoding,
        bom=bom,
        separator=separator,
        raw_names=raw_names,
        names=names,
        sample=sample,
        decimal=decimal,
        notes=tuple(notes),
        skip=skip,
        padded=padded,
    )


def _above(
    rows: list[tuple[int, list[str]]], separator: str, named: bool
) -> tuple[int, list[Note]]:
    """How many lines stand above the header, and a note that quotes them."""
    lines = [r for r in rows if not (named and r[0] == 1)]
    first = _header_at(lines)
    skip = lines[first][0] - 1 if lines and (first or named) else 0
    if not first:
        return skip, []
    text = separator.join(lines[0][1]).strip()
    what = quantity(first, "line")
    return skip, [Note("repair/preamble", f"{what} above the table: left out", first, (text[:60],))]


def _header_at(rows: list[tuple[int, list[str]]]) -> int:
    """The row that is the header: the first as wide as most, or one below it that names a time."""
    widths = [len(r) for _, r in rows]
    if len(rows) < 3:
        return 0
    common, count = Counter(widths[1:]).most_common(1)[0]
    first = next((i for i, w in enumerate(widths) if w == common), 0)
    few = first > LINES_ABOVE or count <= max(1, 0.6 * (len(rows) - first))
    if few or (first == 1 and 1 < widths[0] == common - 1):
        return 0  # damage or a field too many, of which the full reading says more
    if first == 0 and common == 1:
        return 0
    for at in range(first, min(first + LINES_ABOVE, len(rows) - 2)):
        cells = [c.strip() for c in rows[at][1]]
        if widths[at] == common and at > first and times_of_header(cells):
            titles = all(2 * sum(map(bool, r)) < sum(map(bool, cells)) for _, r in rows[first:at])
            return at if titles else first
        if widths[at] != common or any(re.search(r"\d{2}", c) for c in cells):
            continue
        if at == first and any(names_time(c) for c in cells):
            return at
        beneath = [c.strip() for c in rows[at + 1][1]]
        data = sum(bool(NUMBER.fullmatch(c) or DATE.match(c)) for c in beneath)
        above = [c for _, r in rows[first:at] for c in r if len(r) == common]
        if at > first and any(NUMBER.fullmatch(c.strip()) for c in above):
            return first  # a row of data above the header is no remark
        if at > first and all(cells) and any(names_time(c) for c in cells) and data:
            return at
    return first


def _first_text(source: Source, encoding: str, bom: int) -> tuple[str, bool]:
    """The text of the file's start, a header and two rows at least, and whether it is all of it."""
    stream = TextStream(source, encoding, bom)
    parts, size, lines = [], 0, 0
    while (size < HEAD or (lines < FEWEST_LINES and size < LONGEST_HEAD)) and (
        part := stream.read(HEAD)
    ):
        parts.append(part)
        size += len(part)
        lines += part.count(b"\n") or part.count(b"\r")
    whole = not stream.read(1)
    return b"".join(parts).decode("utf-8", errors="ignore"), whole


def _rows(
    text: str, separator: str, whole: bool, limit: int = SAMPLE_ROWS + 1
) -> list[tuple[int, list[str]]]:
    """Up to `limit` rows of `text` and the line each begins on; the last only when complete."""
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(_split_lines(text), delimiter=separator)
    line = 1
    try:
        for row in reader:
            if row:
                rows.append((line, row))
            line = reader.line_num + 1
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
        widths = [len(r) for _, r in _rows(text, separator, whole, limit=200)]
        if not widths or max(widths) < 2:
            continue
        common, count = Counter(widths).most_common(1)[0]
        if common > 1:
            scored.append((count / len(widths), widths[0] == common, common, -rank, separator))
    return max(scored)[-1] if scored else ","


def _check_shape(rows: list[list[str]], name: str) -> None:
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


def _clean_names(raw: tuple[str, ...], where: str) -> tuple[tuple[str, ...], list[Note]]:
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


def _check_header(names: Sequence[str], beneath: Sequence[str], where: str) -> None:
    """Refuse a first line that is data: a number or date among its cells, and no name; or one date
    above another, which no column of a table of dates side by side has."""
    numbers = [n for n in names if NUMBER.fullmatch(n)]
    dates = [n for n in names if DATE.fullmatch(n) and n not in numbers]
    days = [i for i, n in enumerate(names) if _is_day(n)]
    above = len(days) == 1 and any(_is_day(c.strip()) for c in beneath[days[0] :][:1])
    if above or (len(dates) == 1 and len(numbers) >= 1) or len(numbers) == len(names):
        raise refuse(
            "input/no-header", "the first line looks like data, not like column names",
            where=f"{where}, line 1", value=listed(names),
            remedy="Add a header line, e.g. ds,y",
        )  # fmt: skip


def _is_day(cell: str) -> bool:
    return bool(DAY.fullmatch(cell)) or (len(cell) > LEAST_DAY and is_time(cell))


def first_lines(path: Path) -> list[str]:
    """The lines of the start of a text file that hold something; none where it cannot be read, or
    is no text."""
    try:
        head = open_source(path, float("inf")).head
    except InputError:
        return []
    encoding, bom = detect_encoding(head, None)
    text = head[bom:].decode(encoding, "replace")
    lines = [line.strip() for line in _split_lines(text)]
    return [] if "\0" in text else [line for line in lines if line][:SAMPLE_ROWS]


def are_rows(lines: Sequence[str]) -> bool:
    """Whether lines of text are a table's: of those below the first, half hold several fields, one
    of which is a number or a time."""
    return any(
        2 * sum(_has_fields(line, separator) for line in lines[1:]) >= max(len(lines) - 1, 1)
        for separator in (*SEPARATORS, None)
    )


def _has_fields(line: str, separator: str | None) -> bool:
    cells = [cell.strip(' "') for cell in line.split(separator)]
    if len(cells) < 2:
        return False
    if separator is None:  # between words are spaces as well
        return bool(NUMBER.fullmatch(cells[0]) or DATE.match(cells[0]))
    return any(len(c) <= LONGEST_CELL and re.match(r"[^\w\s]{0,2}\s?\d", c) for c in cells)


def _find_decimal(
    wanted: str | None, separator: str, sample: tuple[tuple[str, ...], ...]
) -> tuple[str, list[Note]]:
    """The decimal mark; a comma is taken without asking only where it cannot be anything else."""
    if wanted:
        return wanted, []
    if separator == ",":
        return ".", []
    around = re.compile(r"^[^\d.,+-]{0,4}|(?<=\d)[^\d.,]\D{0,15}$")  # a currency sign, Mio. €
    cells = [around.sub("", c) for row in sample for c in row if "," in c or "." in c]
    cells = [re.sub(r"(?<=\d)[ \u00a0\u202f\u2009'’](?=\d{3})", "", c) for c in cells]
    comma = [c for c in cells if re.fullmatch(r"[+-]?\d+,\d+", c)]
    mixed = any(re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+,\d+", c) for c in cells)
    dots = [c for c in cells if re.fullmatch(r"[+-]?\d+\.\d+", c)]
    grouped = all(re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", c) for c in dots)
    certain = any(not re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", c) for c in comma)
    if (comma and certain and grouped) or (mixed and grouped):
        text = "a comma is the decimal mark"
        seen = comma or [c for c in cells if "," in c]
        return ",", [Note("repair/decimal-comma", text, len(comma), (seen[0],))]
    return ".", []


def _encoding_notes(encoding: str, wanted: str | None) -> list[Note]:
    if wanted and encoding == "utf-8" and not codecs.lookup(wanted).name.startswith("utf"):
        return [Note("repair/encoding", f"the text is UTF-8, not {wanted}, and is read so")]
    if encoding == "utf-8" or wanted:
        return []
    return [Note("repair/encoding", f"the text is {encoding.upper()}")]
