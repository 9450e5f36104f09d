"""Text tables read by pyarrow's streaming CSV parser, strictly: every row has its fields."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from forecast.common.errors import ForecastError, InputError
from forecast.data.io.column_builders import Numbers, Texts
from forecast.data.io.csv_dialect import Dialect
from forecast.data.io.files import Source, TextStream, check_unchanged, text_lines
from forecast.data.io.notes import PLACES, Rejects, listed, quantity, refuse

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>")
BLOCK = 1 << 22  # bytes a block: large enough for long rows, small enough to bound memory


@dataclass(frozen=True)
class Rows:
    """Columns read from a table, and how to say where a row stands in the file.

    columns  name -> dictionary array of strings (ids and times) or float64 array (numbers, NaN
             where blank)
    digest   sha256 of the source's bytes
    """

    columns: dict[str, pa.Array]
    digest: str
    locate: Callable[[Sequence[int]], list[str]]


def read_delimited(
    source: Source,
    dialect: Dialect,
    texts: Sequence[str],
    numbers: Sequence[str],
    rejects: Rejects | None = None,
) -> Rows:
    """The columns `texts` as dictionary-encoded strings and `numbers` as float64.

    Where a number column holds anything but plain finite numbers and blanks, all come back as
    strings, for the strict parser to accept or to refuse. Raises InputError on damaged structure;
    with `rejects`, rows of the wrong number of fields are put aside there.
    """
    import pyarrow as pa

    lenient = rejects is not None
    try:
        parts = _parse(source, dialect, texts, numbers, lenient)
        if parts is None:
            parts = _parse(source, dialect, [*texts, *numbers], [], lenient)
    except pa.ArrowInvalid as error:
        raise _structure_error(source, dialect, str(error)) from None
    assert parts is not None, "texts are always taken as they are"
    columns, digest, ragged_rows = parts
    check_unchanged(source)
    if rejects is not None and ragged_rows:
        _put_aside(source, dialect, rejects)
    return Rows(columns, digest, lambda rows: _lines(source, dialect, rows))


def _parse(
    source: Source,
    dialect: Dialect,
    texts: Sequence[str],
    numbers: Sequence[str],
    lenient: bool,
) -> tuple[dict[str, pa.Array], str, int] | None:
    """The columns, the digest of the bytes and the number of rows with too few or many fields.

    None: a column of `numbers` holds more than plain finite numbers and blanks. Raises ArrowInvalid
    where the rows cannot be told apart, InputError for ragged ones unless `lenient`.
    """
    import pyarrow as pa

    stream = open_text(source, dialect)
    gathered: dict[str, Numbers | Texts] = {n: Texts() for n in texts}
    gathered |= {n: Numbers() for n in numbers}
    bad: list[str] = []
    try:
        for batch in _batches(stream, dialect, texts, numbers, bad):
            for column, part in zip(gathered.values(), batch.columns, strict=True):
                column.add(part)
            if bad and not lenient:
                break
            if any(isinstance(c, Numbers) and not c.strict for c in gathered.values()):
                return None
    except pa.ArrowInvalid as error:
        if numbers and "conversion error" in str(error):
            return None
        raise
    if bad and not lenient:
        raise ragged(source, dialect, stream)
    digest = stream.bytes.digest()
    if stream.quotes % 2:
        _check_quotes(source, dialect)
    return {name: column.column() for name, column in gathered.items()}, digest, len(bad)


def _batches(
    stream: TextStream,
    dialect: Dialect,
    texts: Sequence[str],
    numbers: Sequence[str],
    bad: list[str],
) -> Iterator[pa.RecordBatch]:
    """The columns `texts`, then `numbers`, block by block; `bad` gets an entry for a ragged row."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    raw = dict(zip(dialect.names, dialect.raw_names, strict=True))
    types: dict[str, pa.DataType] = {raw[n]: pa.dictionary(pa.int32(), pa.string()) for n in texts}
    types |= {raw[n]: pa.float64() for n in numbers}

    def collect(row: pacsv.InvalidRow) -> str:
        bad.append("skipped")
        return "skip"

    yield from pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(block_size=BLOCK),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.separator, newlines_in_values=True, invalid_row_handler=collect
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=list(MISSING),
            strings_can_be_null=False,
            quoted_strings_can_be_null=True,
            decimal_point=dialect.decimal,
        ),
    )


def open_text(source: Source, dialect: Dialect) -> TextStream:
    """The text of `source` in UTF-8, from the start."""
    return TextStream(source, dialect.encoding, dialect.bom)


def _csv_rows(source: Source, dialect: Dialect, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """(line where it starts, cells) of every row, the header included, by the csv module."""
    reader = csv.reader(
        text_lines(open_text(source, dialect)), delimiter=dialect.separator, strict=strict
    )
    start = 1
    for cells in reader:
        if cells:
            yield start, cells
        start = reader.line_num + 1


def _lines(source: Source, dialect: Dialect, rows: Sequence[int]) -> list[str]:
    """`line 7` for each of a few row numbers (0 is the first row below the header)."""
    wanted = set(rows)
    if not wanted:
        return []
    found: dict[int, str] = {}
    width = len(dialect.names)
    number, last = -1, max(wanted)
    try:
        for line, cells in islice(_csv_rows(source, dialect, strict=False), 1, None):
            number += len(cells) == width  # rows that were put aside do not count
            if number in wanted and len(cells) == width:
                found[number] = f"line {line:,}"
            if number >= last:
                break
    except csv.Error:
        pass  # a place is a courtesy: the row number serves where the line is not to be had
    return [found.get(r, f"row {r + 1:,}") for r in rows]


def _put_aside(source: Source, dialect: Dialect, rejects: Rejects) -> None:
    width = len(dialect.names)
    every = islice(_csv_rows(source, dialect, strict=False), 1, None)
    bad = [(line, cells) for line, cells in every if len(cells) != width]
    rejects.add(
        source.name,
        [f"line {line:,}" for line, _ in bad],
        "",
        [dialect.separator.join(cells) for _, cells in bad],
        "input/ragged-row",
    )


def _structure_error(source: Source, dialect: Dialect, text: str) -> ForecastError:
    if "UTF8" in text or "UTF-8" in text:
        return refuse("input/encoding", "the text is not UTF-8", where=source.name,
                      remedy="Name the file's encoding, e.g. --encoding cp1252")  # fmt: skip
    return ragged(source, dialect, None)


def _check_quotes(source: Source, dialect: Dialect) -> None:
    """Refuse a quote that is opened and never closed; a lone quote inside a field is text."""
    line = 1
    try:
        for start, _cells in _csv_rows(source, dialect, strict=True):
            line = start
    except csv.Error as error:
        raise refuse(
            "input/unclosed-quote", f"a quotation mark is never closed: {error}",
            where=f"{source.name}, after line {line:,}", remedy="Close or double the mark",
        ) from None  # fmt: skip


def ragged(source: Source, dialect: Dialect, stream: TextStream | None = None) -> InputError:
    """The error for rows whose number of fields differs from the header's.

    Raises InputError when a quotation mark that is never closed is the cause.
    """
    if stream is not None and stream.quotes % 2:
        _check_quotes(source, dialect)
    width = len(dialect.names)
    bad: list[tuple[int, list[str]]] = []
    count = rows = long = 0
    last: tuple[int, list[str]] = (1, [])
    for line, cells in islice(_csv_rows(source, dialect, strict=False), 1, None):
        rows += 1
        last = (line, cells)
        if len(cells) != width:
            count += 1
            long += len(cells) > width
            if len(bad) < PLACES:
                bad.append((line, cells))
    if not bad:
        return refuse("input/structure", "the rows cannot be told apart", where=source.name,
                      remedy="Check quotation marks and line ends")  # fmt: skip
    line, cells = bad[0]
    has = f"{quantity(len(cells), 'field')} where the header names {width}"
    where, value = f"{source.name}, line {line:,}", dialect.separator.join(cells)
    places = [f"line {n:,}" for n, _ in bad[1:]]
    if count == 1 and bad[0] == last and len(cells) < width:
        return refuse(
            "input/truncated", f"the last row is cut off: {has}", where=where, value=value,
            remedy="The export or download stopped early; repeat it",
        )  # fmt: skip
    if long == count == rows:
        return refuse("input/extra-field", f"every row has {has}", where=where, value=value,
                      remedy="Name every column in the header", count=1)  # fmt: skip
    if len(cells) > width:
        return refuse(
            "input/long-row", f"the row has {has}", where=where, value=value, count=count,
            places=["", *places][:0] or [],
            remedy="Quote fields that hold the separator, or name it with --delimiter",
        )  # fmt: skip
    return refuse(
        "input/short-row", f"the row has {has}", where=where, value=value, count=count,
        remedy=f"Fill the row; lines {listed(places)} too" if places else "Fill the row",
    )  # fmt: skip
