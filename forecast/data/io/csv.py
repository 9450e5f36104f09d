"""Text tables read by pyarrow's streaming CSV parser, strictly: every row has its fields."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from forecast.common.errors import ForecastError, InputError
from forecast.data.io.arrow import as_arrow, as_numpy, as_strings
from forecast.data.io.dialect import Dialect
from forecast.data.io.files import Source, TextStream, check_unchanged, text_lines
from forecast.data.io.notes import PLACES, Note, Rejects, listed, quantity, refuse
from forecast.data.io.vocabulary import TOTAL_WORDS

if TYPE_CHECKING:
    import pyarrow as pa


# --- Columns put together batch by batch: each value is written once, to the place where it
# stays
# Arrays grow in place (the system moves pages, not bytes), and codes are as narrow as the number of
# distinct texts allows, so that a table costs little more memory than its numbers.


START = 1 << 16  # rows that an array has room for at first
WIDTHS = (np.int8, np.int16, np.int32)


class Numbers:
    """A column of float64, blanks as NaN.

    strict  nothing but plain finite numbers and blanks so far: the parser also takes "inf",
            "nan(x)" and 1e400, which must be looked at as text
    """

    def __init__(self) -> None:
        self.strict = True
        self._values = np.empty(START)
        self._rows = 0

    def add(self, part: pa.Array) -> None:
        """Append a batch."""
        values = as_numpy(part)
        self.strict &= int(np.isfinite(values).sum()) == len(part) - part.null_count
        end = self._rows + len(values)
        self._values = _with_room(self._values, end)
        self._values[self._rows : end] = values
        self._rows = end

    def column(self) -> pa.Array:
        """The whole column, without a copy; nothing may be added afterwards."""
        self._values.resize(self._rows, refcheck=False)
        return as_arrow(self._values)


class Texts:
    """A dictionary-encoded column of strings.

    Where most texts differ (the times of one long series) the batches' dictionaries are only laid
    end to end: a text may then stand in the dictionary more than once.
    """

    def __init__(self) -> None:
        self._codes = np.empty(START, WIDTHS[0])
        self._rows = 0
        self._parts: list[pa.Array] = []  # the dictionary so far
        self._size = 0
        self._known: dict[str, int] | None = {}  # text -> code, unless most differ

    def add(self, part: pa.DictionaryArray) -> None:
        """Append a batch."""
        end = self._rows + len(part)
        ranks = self._ranks(part.dictionary)
        width = next(w for w in WIDTHS if self._size - 1 <= np.iinfo(w).max)
        if np.dtype(width).itemsize > self._codes.itemsize:
            self._codes = self._codes.astype(width)
        self._codes = _with_room(self._codes, end)
        np.take(ranks, as_numpy(part.indices), out=self._codes[self._rows : end], mode="clip")
        self._rows = end

    def column(self) -> pa.DictionaryArray:
        """The whole column; nothing may be added afterwards."""
        import pyarrow as pa

        self._codes.resize(self._rows, refcheck=False)
        return pa.DictionaryArray.from_arrays(as_arrow(self._codes), self._dictionary())

    def _ranks(self, texts: pa.Array) -> np.ndarray:
        """The codes of a batch's distinct texts; new ones are added to the dictionary."""
        if self._known is not None and self._size * 2 > self._rows + START:
            self._known = None
        if self._known is None:
            self._parts.append(texts)
            self._size += len(texts)
            return np.arange(self._size - len(texts), self._size)
        ranks = self._found(texts, self._known)
        new = np.flatnonzero(ranks < 0)
        if len(new):
            ranks[new] = np.arange(self._size, self._size + len(new))
            added = texts.take(as_arrow(new))
            self._known.update(zip(added.to_pylist(), ranks[new].tolist(), strict=True))
            self._parts.append(added)
            self._size += len(new)
        return ranks

    def _found(self, texts: pa.Array, known: dict[str, int]) -> np.ndarray:
        """Codes of the texts that are known, -1 for the others."""
        import pyarrow.compute as pc

        if self._size > 4 * len(texts):  # a table of all known ones would cost more to build
            return np.array([known.get(t, -1) for t in texts.to_pylist()], np.int64)
        at = pc.index_in(texts, value_set=self._dictionary())
        return as_numpy(at.fill_null(as_arrow(np.full(1, -1, np.int32))[0])).astype(np.int64)

    def _dictionary(self) -> pa.Array:
        import pyarrow as pa

        if len(self._parts) != 1:
            self._parts = [pa.concat_arrays(self._parts or [as_strings([])])]
        return self._parts[0]


def _with_room(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` grown in place to hold `rows`, by an eighth at least: what is new is touched."""
    if rows > len(array):
        array.resize(max(rows, len(array) * 9 // 8), refcheck=False)
    return array


# -------------------------------------------------------------------------------------------------


MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>")
# What people write for "missing" among numbers; text elsewhere.
MISSING_SIGNS = frozenset((
    ".", "..", "...", "?", "-", "--", "---", "–", "—", "*", "n/a", "n.a.", "na", "none", "nil",
    "nd", "n.d.", "k.A.", "k. A.", "s/d", "missing", "unknown", "NONE", "Null", "Nan", "NAN",
    "NaT", "Na", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "-nan", "1.#QNAN",
    "1.#IND",
))  # fmt: skip
BLOCK = 1 << 22  # bytes a block: large enough for long rows, small enough to bound memory


@dataclass(frozen=True)
class Rows:
    """Columns read from a table, and how to say where a row stands in the file.

    columns  name -> dictionary array of strings (ids and times) or float64 array (numbers, NaN
             where blank)
    digest   sha256 of the source's bytes
    whole    row numbers -> all cells of these rows, of columns that are not read as well
    """

    columns: dict[str, pa.Array]
    digest: str
    locate: Callable[[Sequence[int]], list[str]]
    whole: Callable[[Sequence[int]], list[tuple[object, ...]]]
    notes: tuple[Note, ...] = ()


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

    lenient, notes = rejects is not None, tuple[Note, ...]()
    try:
        try:
            parts = _parse_any(source, dialect, texts, numbers, lenient)
        except InputError as error:
            below = _below(source, dialect) if error.code in RAGGED else None
            if below is None:
                raise
            notes = (below,)
            parts = _parse_any(source, dialect, texts, numbers, True)
    except pa.ArrowInvalid as error:
        raise _structure_error(source, dialect, str(error)) from None
    assert parts is not None, "texts are always taken as they are"
    columns, digest, ragged_rows = parts
    check_unchanged(source)
    if rejects is not None and ragged_rows:
        _put_aside(source, dialect, rejects)
    return Rows(
        columns,
        digest,
        lambda rows: _lines(source, dialect, rows),
        lambda rows: _cells(source, dialect, rows),
        notes,
    )


RAGGED = ("input/ragged-row", "input/truncated", "input/short-row", "input/long-row")
MOST_BELOW = 30  # lines of text below a table
MOST_NAMES = 10_000


def _below(source: Source, dialect: Dialect) -> Note | None:
    """A note on lines of text that stand below the last row, if nothing else has wrong fields."""
    found: list[tuple[int, list[str]]] = []
    width, row_after = len(dialect.names), False
    names: set[str] = set()  # what the first column holds: a row that is cut begins with one
    for line, cells in islice(_csv_rows(source, dialect, strict=False), 1, None):
        if len(cells) == width:
            row_after = row_after or bool(found)
            if len(names) < MOST_NAMES:
                names.add(cells[0].strip())
        else:
            found.append((line, cells))
        if row_after or len(found) > MOST_BELOW:
            return None
    if any(len(cells) > width or not _is_remark(cells, names) for _, cells in found):
        return None
    told = [(n, dialect.separator.join(c).strip()) for n, c in found if any(x.strip() for x in c)]
    text = f"{quantity(len(found), 'line')} below the table: left out"
    return Note("repair/below", text, len(found), tuple(f"line {n}: {t[:60]}" for n, t in told[:3]))


def _is_remark(cells: Sequence[str], names: set[str]) -> bool:
    """Whether the cells of a line are words (or nothing), not the beginning of a row."""
    filled = [c.strip() for c in cells if c.strip()]
    if not filled:
        return True
    digits = re.compile(r"[+-]?[\d.,]*\d")
    if filled[0] in names or digits.match(filled[0]) or any(digits.match(c) for c in filled[1:]):
        return False
    sentence = re.search(r"\s|:", filled[0]) or TOTAL_WORDS.fullmatch(filled[0])
    return bool(sentence and re.search(r"[^\W\d_]{3}", filled[0]))


def _parse_any(
    source: Source, dialect: Dialect, texts: Sequence[str], numbers: Sequence[str], lenient: bool
) -> tuple[dict[str, pa.Array], str, int] | None:
    """`_parse`, all columns as text where one of `numbers` holds more than plain numbers."""
    parts = _parse(source, dialect, texts, numbers, lenient)
    if parts is None:
        parts = _parse(source, dialect, [*texts, *numbers], [], lenient)
    return parts


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
        with closing(_batches(stream, dialect, texts, numbers, bad)) as batches:
            for batch in batches:
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
) -> Generator[pa.RecordBatch]:
    """The columns `texts`, then `numbers`, block by block; `bad` gets an entry for a ragged row."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    twins = len(set(dialect.raw_names)) < len(dialect.raw_names)  # several without a name
    called = dialect.names if twins else dialect.raw_names
    raw = dict(zip(dialect.names, called, strict=True))
    types: dict[str, pa.DataType] = {raw[n]: pa.dictionary(pa.int32(), pa.string()) for n in texts}
    types |= {raw[n]: pa.float64() for n in numbers}

    def collect(_row: pacsv.InvalidRow) -> str:
        bad.append("skipped")
        return "skip"

    lent: list[ref[Any]] = [ref(collect)]
    reader = pacsv.open_csv(
        _Lent(stream, lent),
        read_options=pacsv.ReadOptions(
            block_size=BLOCK,
            skip_rows=dialect.skip,
            column_names=called if twins else None,
            skip_rows_after_names=int(twins),
        ),
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
    try:
        yield from reader
    finally:
        del reader, collect
        _wait_for_the_return_of(lent)


_PATIENCE = 10.0  # seconds: a read of a server that hangs is left to itself


class _Lent:
    """A stream as Arrow has it: `lent` gets a reference to it and to each block that is read."""

    closed = False

    def __init__(self, stream: TextStream, lent: list[ref[Any]]) -> None:
        def read(size: int = -1) -> memoryview:  # no method: an error's frames would hold `self`
            block = memoryview(stream.read(size))
            lent.append(ref(block))
            return block

        lent.append(ref(self))
        self.read = read

    def close(self) -> None:
        """Nothing: the stream is not Arrow's."""


def _wait_for_the_return_of(lent: list[ref[Any]]) -> None:
    """Wait until no thread of Arrow has a hold on an object of Python any more.

    They read and parse ahead, past the last batch too, and one that lets go of an object while
    Python ends takes the process down with it (`terminate called`, exit code 134). A reference is
    dead only once the thread that let go is done with Python: nothing of it runs in between.
    """
    until = time.monotonic() + _PATIENCE
    while any(each() is not None for each in lent) and time.monotonic() < until:
        time.sleep(0.001)


def open_text(source: Source, dialect: Dialect) -> TextStream:
    """The text of `source` in UTF-8, from the start."""
    padded = dialect.separator if dialect.padded else ""
    return TextStream(source, dialect.encoding, dialect.bom, padded)


def _csv_rows(source: Source, dialect: Dialect, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """(line where it starts, cells) of every row, the header included, by the csv module."""
    lines = islice(text_lines(open_text(source, dialect)), dialect.skip, None)
    reader = csv.reader(lines, delimiter=dialect.separator, strict=strict)
    start = dialect.skip + 1
    for cells in reader:
        if cells:
            yield start, cells
        start = dialect.skip + reader.line_num + 1


def _lines(source: Source, dialect: Dialect, rows: Sequence[int]) -> list[str]:
    """`line 7` for each of a few row numbers (0 is the first row below the header)."""
    found = _found(source, dialect, rows)
    # a place is a courtesy: the row number serves where the line is not to be had
    return [f"line {found[r][0]:,}" if r in found else f"row {r + 1:,}" for r in rows]


def _cells(source: Source, dialect: Dialect, rows: Sequence[int]) -> list[tuple[object, ...]]:
    """All cells of some rows; of one that is not to be had its number alone, equal to no other."""
    found = _found(source, dialect, rows)
    return [tuple(found[r][1]) if r in found else (r,) for r in rows]


def _found(
    source: Source, dialect: Dialect, rows: Sequence[int]
) -> dict[int, tuple[int, list[str]]]:
    """Line and cells of row numbers, as far as they are to be had."""
    wanted = set(rows)
    found: dict[int, tuple[int, list[str]]] = {}
    width = len(dialect.names)
    number, last = -1, max(wanted, default=-1)
    if not wanted:
        return found
    try:
        for line, cells in islice(_csv_rows(source, dialect, strict=False), 1, None):
            number += len(cells) == width  # rows that were put aside do not count
            if number in wanted and len(cells) == width:
                found[number] = line, cells
            if number >= last:
                break
    except csv.Error:
        pass
    return found


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
            remedy="Quote fields that hold the separator, or name it with --delimiter",
        )  # fmt: skip
    return refuse(
        "input/short-row", f"the row has {has}", where=where, value=value, count=count,
        remedy=f"Fill the row; {listed(places)} too" if places else "Fill the row",
    )  # fmt: skip
