"""`read_table`: the needed columns of any table, with where they came from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import InputError
from forecast.data.io.arrow import rows_of, word
from forecast.data.io.columns import Column, Mapping, describe
from forecast.data.io.csv import MISSING, MISSING_SIGNS, ragged, read_delimited
from forecast.data.io.database import is_database, read_query
from forecast.data.io.dialect import SAMPLE_ROWS, Dialect, detect_dialect
from forecast.data.io.files import ByteStream, Source, check_unchanged, kind_of, open_source
from forecast.data.io.folders import keys_of, with_keys
from forecast.data.io.frames import FRAME, arrow_of, plain_frame
from forecast.data.io.notes import Note, Rejects, refuse
from forecast.data.io.roles import map_columns
from forecast.data.io.time_forms import times_of_header
from forecast.data.io.transpose import Turned, in_header, turned
from forecast.data.io.vocabulary import TOTAL_WORDS, part_named
from forecast.data.io.workbook import Sheet, place_of, read_sheets

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    from forecast.config.schema import DataSettings


_ALWAYS_READ = 1 << 28  # bytes that any machine has


@dataclass(frozen=True)
class Table:
    """The columns of a table that are used, N rows each.

    where    the source's name in messages
    digest   sha256 of the bytes as stored ("" for a frame)
    columns  name -> array: dictionary-encoded strings, numbers or timestamps
    locate   row numbers (0 is the first) -> places ("line 2")
    rejects  where cells that cannot be read are put aside; None: they are refused
    unread   names of the columns that are not read
    whole    row numbers -> all cells of these rows, of unread columns as well; None: not to be had
    sheet    of a workbook; one_of_several: others of it are read as well
    called   what its file is called among those that are read with it; "": as it is alone
    """

    where: str
    digest: str
    columns: dict[str, pa.Array]
    mapping: Mapping
    locate: Callable[[Sequence[int]], list[str]]
    dialect: dict[str, object]
    decimal: str
    notes: tuple[Note, ...]
    rejects: Rejects | None = None
    unread: tuple[str, ...] = ()
    whole: Whole | None = None
    sheet: str = ""
    one_of_several: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        """What a series is called that is this whole table: as its sheet or its file."""
        if self.called or self.one_of_several:
            return self.called or self.sheet
        return as_bytes(Path(self.where).name.split(".")[0]).decode()

    @property
    def rows(self) -> int:
        """N, the number of rows."""
        return len(next(iter(self.columns.values())))

    def taken(self, index: np.ndarray) -> Table:
        """The rows `index` (int64), in its order; places in the file stay right, and what is left
        out is held no longer."""
        locate, whole = self.locate, self.whole
        return replace(
            self,
            columns={name: rows_of(column, index) for name, column in self.columns.items()},
            locate=lambda wanted: locate([int(index[w]) for w in wanted]),
            whole=whole_of(whole, index),
        )


Whole: TypeAlias = Callable[[Sequence[int]], list[tuple[object, ...]]]


def whole_of(whole: Whole | None, index: np.ndarray) -> Whole | None:
    """`Table.whole` of the rows `index` (int64)."""
    return None if whole is None else lambda wanted: whole([int(index[w]) for w in wanted])


def read_tables(source: str | Path, settings: DataSettings) -> list[Table]:
    """The table of a file, of standard input ("-") or of a database query; of a workbook those of
    the sheets that --sheet names by a pattern. Raises InputError."""
    if is_database(str(source)):
        rows, where, digest = read_query(str(source), settings.query, settings.db_password)
        return [_from_arrow(rows, where, digest, settings, "query")]
    opened = open_source(source, settings.max_expansion)
    kind = kind_of(opened)
    if kind == "delimited":
        return [_read_text(opened, settings)]
    if kind == "workbook":
        return _of_sheets(*_sheets(opened, settings), opened.name, settings)
    return [_read_columnar(opened, kind, settings)]


def _of_sheets(sheets: list[Sheet], digest: str, where: str, settings: DataSettings) -> list[Table]:
    tables = []
    for name, cells, notes in sheets:
        several = len(sheets) > 1
        place = place_of(where, name) if several else where
        made = _from_arrow(cells, place, digest, settings, "workbook")
        made = replace(made, notes=(*notes, *made.notes), sheet=name, one_of_several=several)
        tables.append(made)
    return tables


def read_table(source: str | Path, settings: DataSettings) -> Table:
    """As `read_tables`, of what is a single table. Raises InputError where it is not."""
    tables = read_tables(source, settings)
    if len(tables) > 1:
        raise refuse(
            "input/which-sheet", "only one sheet can be read here", where=str(source),
            value=settings.sheet, remedy=f"Choose one, e.g. --sheet '{tables[0].sheet}'",
        )  # fmt: skip
    return tables[0]


def column_names(source: object, settings: DataSettings) -> set[str]:
    """The names of the columns of a file or frame; none where they cannot be had without reading
    it (standard input, databases, other kinds of files)."""
    if not isinstance(source, (str, Path)):
        return {str(n) for n in getattr(source, "columns", ())}
    if str(source) == "-" or is_database(str(source)) or not Path(source).is_file():
        return set()
    try:
        opened = open_source(source, settings.max_expansion)
        if kind_of(opened) != "delimited":
            return set()
        return {*detect_dialect(opened, settings).names, *keys_of(opened.path)}
    except InputError:  # the reading itself will say so
        return set()


def read_plain(source: str | Path, settings: DataSettings) -> Table:
    """A small table of a file, every column as it stands, none of them chosen for anything."""
    opened = open_source(source, settings.max_expansion)
    nothing = Mapping((), (), (), (), False, {})
    if kind_of(opened) == "delimited":
        dialect = detect_dialect(opened, settings)
        read = read_delimited(opened, dialect, list(dialect.names), [])
        return Table(
            where=opened.name,
            digest=read.digest,
            columns=read.columns,
            mapping=nothing,
            locate=read.locate,
            dialect=dialect.to_dict(),
            decimal=dialect.decimal,
            notes=dialect.notes,
        )
    import pyarrow as pa
    from pyarrow import feather

    kind = kind_of(opened)
    try:
        if kind == "workbook":
            sheets, _ = _sheets(opened, settings.model_copy(update={"sheet": None}))
            whole = sheets[0].table
        else:
            data = _whole(ByteStream(opened))
            whole = (
                _open_parquet(data, settings, opened.name).read()
                if kind == "parquet"
                else feather.read_table(data)
            )
    except (pa.ArrowException, OSError) as error:
        raise refuse(
            "input/damaged", f"the file cannot be read: {error}", where=opened.name,
            remedy="Write or download the file again",
        ) from None  # fmt: skip
    columns = {name: _one_array(whole.column(name)) for name in whole.column_names}
    return Table(
        where=opened.name,
        digest="",
        columns=columns,
        mapping=nothing,
        locate=_counted_row,
        dialect={},
        decimal=settings.decimal or ".",
        notes=(),
    )


def _sheets(source: Source, settings: DataSettings) -> tuple[list[Sheet], str]:
    """The sheets of a workbook that are asked for, and its digest."""
    stream = ByteStream(source)
    content = b"".join(iter(lambda: stream.read(1 << 20), b""))
    digest = stream.digest()
    check_unchanged(source)
    return read_sheets(content, settings.sheet, source.name), digest


def read_frame(frame: pd.DataFrame | pa.Table, settings: DataSettings) -> Table:
    """The table of a pandas frame (its index as `plain_frame` has it) or of an Arrow table."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return _from_arrow(frame, FRAME, "", settings)
    return _from_arrow(arrow_of(plain_frame(frame)), FRAME, "", settings)


def _read_text(source: Source, settings: DataSettings) -> Table:
    dialect = detect_dialect(source, settings)
    width = len(dialect.names)
    sample = [row for row in dialect.sample if len(row) == width]
    if not sample:
        raise ragged(source, dialect)
    _refuse_aligned(dialect, sample, source.name)
    sample = _with_blanks(sample, settings)
    cells = list(zip(*sample, strict=True))
    described = [describe(n, c) for n, c in zip(dialect.names, cells, strict=True)]
    times = _header_times(dialect.names, settings, source.name)
    if times:
        return _turned(source, dialect, described, times, settings)
    keys = {k: v for k, v in keys_of(source.path).items() if k not in dialect.names}
    described += [describe(name, [value] * len(sample)) for name, value in keys.items()]
    shown = [(*row, *keys.values()) for row in sample]
    mapping = _mapped(described, shown, settings, source.name, keys.keys())
    texts = [n for n in mapping.used if n not in (*mapping.targets, *keys)]
    targets = [n for n in mapping.targets if n not in keys]
    rejects = Rejects() if settings.rejects else None
    if not (settings.decimal or settings.thousands):
        by_name: dict[str, Sequence[str]] = dict(zip(dialect.names, cells, strict=True))
        check_points(by_name, dialect.to_dict(), targets, source.name)
    plain = dict(zip(dialect.names, (all(map(_plain, c)) for c in cells), strict=True))
    if settings.thousands is not None or settings.na_values or not all(plain[t] for t in targets):
        texts, targets = [*texts, *targets], []  # for the strict parser, which knows more
    read = read_delimited(source, dialect, texts, targets, rejects)
    whole = read.whole
    return Table(
        where=source.name,
        digest=read.digest,
        columns=_with_used(read.columns, keys, mapping),
        mapping=mapping,
        locate=read.locate,
        dialect=dialect.to_dict(),
        decimal=dialect.decimal,
        notes=(*dialect.notes, *read.notes),
        rejects=rejects,
        unread=tuple(c.name for c in described if c.name not in mapping.used),
        whole=lambda wanted: [(*cells, *keys.values()) for cells in whole(wanted)],
    )


def _refuse_aligned(dialect: Dialect, rows: Sequence[Sequence[str]], where: str) -> None:
    """Refuse a text whose columns are kept below each other by blanks, which is one column else."""
    lines = [dialect.raw_names[0], *(row[0] for row in rows)]
    widths = [len(re.split(" {2,}", line.rstrip())) for line in lines]
    if len(dialect.names) > 1 or widths[0] < 2 or sum(w > 1 for w in widths) < 0.9 * len(widths):
        return
    remedy = "Save it as CSV where it comes from, or give the columns a separator, such as ;"
    alike = set(widths) == {widths[0]} and lines[0][0] != " " and not dialect.skip
    if alike and re.fullmatch(r"[\w./-]+", where):
        how = "sep=' {2,}', engine='python', dtype=str"
        read = f"pandas.read_csv('{where}', {how}, encoding='{dialect.encoding}')"
        names = (f"{Path(where).stem}{f'-{n}' * (n > 1)}.csv" for n in count(1))
        free = next(name for name in names if not Path(name).exists())
        made = f"{read}.to_csv('{free}', index=False)"
        remedy = f'Write it as CSV and name that: python3 -c "import pandas; {made}"'
    raise refuse(
        "input/fixed-width", "the columns are aligned by blanks, with no separator between them",
        where=where, value=dialect.names[0], remedy=remedy,
    )  # fmt: skip


def _with_used(
    columns: dict[str, pa.Array], keys: dict[str, str], mapping: Mapping
) -> dict[str, pa.Array]:
    """Columns of a file, and those that its folders stand for as far as they are used."""
    import pyarrow as pa

    used = {name: keys[name] for name in keys if name in mapping.used}
    if not used:
        return columns
    made = with_keys(pa.table(columns), used)
    return {name: _one_array(made.column(name)) for name in made.column_names}


GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")  # 1.040: little more than one, or a thousand
DECIMAL_POINT = re.compile(r"[+-]?\d+\.(\d{1,2}|\d{4,})|0\.\d+")
FAR_APART = 20  # times smaller than any whole number: 1.040 among 880 is a thousand and forty


def check_points(
    cells: dict[str, Sequence[str]], dialect: dict[str, object], names: Sequence[str], where: str,
    remedy: str = "Say which: --thousands . or --decimal .",
) -> None:  # fmt: skip
    """Refuse a column of `names` in which points may group thousands: 1.040 beside 880, or in every
    cell. dialect: as a `Table` has it.

    A point with one, two or four digits behind it, in any column, shows that it is the decimal
    mark; so does a comma between fields, unless the numbers would jump by far.
    """
    if dialect["decimal"] == ",":
        return
    for name in names:
        filled = (c.strip() for c in cells[name])
        known = [c for c in filled if c not in MISSING and c not in MISSING_SIGNS]
        points = [c for c in known if "." in c]
        whole = [abs(int(c)) for c in known if re.fullmatch(r"[+-]?[1-9]\d{0,2}", c)]
        rest = len(known) - len(points) - len(whole)
        if not points or rest > 0.1 * len(known) or not all(map(GROUPED.fullmatch, points)):
            continue
        largest = max(abs(float(c)) for c in points)
        jumps = bool(whole) and largest * FAR_APART < min(whole)
        sure = dialect["separator"] == "comma" or any(
            DECIMAL_POINT.fullmatch(c.strip()) for column in cells.values() for c in column
        )
        if jumps or not sure:
            raise refuse(
                "input/point-or-group",
                f"the point in column '{name}' may be the decimal mark or group thousands",
                where=where, value=points[0], remedy=remedy,
            )  # fmt: skip


def _header_times(names: Sequence[str], settings: DataSettings, where: str) -> tuple[str, ...]:
    """The names that are times, by which the table is to be turned; () where it is not.

    Raises InputError: the times stand in the header and nobody asked to turn it, or the reverse.
    """
    times = () if settings.wide or settings.time_col else times_of_header(names)
    if settings.transpose and not times:
        raise refuse(
            "input/no-times-in-header", "no names of columns are times", where=where,
            value=", ".join(names[:5]), remedy="Leave --transpose out",
        )  # fmt: skip
    if times and not settings.transpose:
        raise in_header(names, times, where)
    return times


def _turned(
    source: Source, dialect: Dialect, described: Sequence[Column], times: tuple[str, ...],
    settings: DataSettings,
) -> Table:  # fmt: skip
    """The table of a text whose times stand in the header, one row a value."""
    read = read_delimited(source, dialect, list(dialect.names), [])
    made = turned(read.columns, described, times, dialect.decimal, settings, source.name)
    return Table(
        where=source.name,
        digest=read.digest,
        columns=made.columns,
        mapping=made.mapping,
        locate=_places(made, read.locate),
        dialect=dialect.to_dict(),
        decimal=dialect.decimal,
        notes=(*dialect.notes, *read.notes, *made.notes),
        rejects=Rejects() if settings.rejects else None,
    )


def _places(
    made: Turned, locate: Callable[[Sequence[int]], list[str]]
) -> Callable[[Sequence[int]], list[str]]:
    """Places of a turned table's values, by the places of the rows that they were read from."""
    return lambda wanted: made.places(
        wanted, locate([int(made.rows[w % len(made.rows)]) for w in wanted])
    )


def _with_blanks(rows: Sequence[Sequence[str]], settings: DataSettings) -> list[tuple[str, ...]]:
    """Rows that show what the columns are: with blanks for what --na-values says is missing, and
    without rows that are none (blank, totals, units below the header)."""
    missing = set(settings.na_values)
    rows = [tuple("" if c.strip() in missing else c for c in r) for r in rows] if missing else rows
    kept = [tuple(r) for n, r in enumerate(rows) if not _no_row(r, n == 0)]
    return kept or [tuple(r) for r in rows]


def _no_row(row: Sequence[str], first: bool) -> bool:
    cells = [c.strip() for c in row if c.strip()]
    if not cells or any(TOTAL_WORDS.fullmatch(c) and len(c) < 20 for c in cells):
        return True
    return first and not any(c.isdigit() for cell in cells for c in cell)


def _plain(cell: str) -> bool:
    """Whether the fast parser takes a cell for a number or a blank."""
    return cell in MISSING or cell.strip()[:1].isdigit() or (cell.strip()[:1] in "+-." and (
        cell.strip()[1:2].isdigit()
    ))  # fmt: skip


def _read_columnar(source: Source, kind: str, settings: DataSettings) -> Table:
    import pyarrow as pa

    stream = ByteStream(source)
    with source.open() as file:
        data = pa.PythonFile(file, mode="r") if source.compression is None else _whole(stream)
        try:
            table, unread, keys = _columnar_table(data, kind, settings, source)
            table.validate(full=True)  # damaged offsets would crash whatever touches them
        except (pa.ArrowException, UnicodeDecodeError, OSError, MemoryError) as error:
            raise refuse(
                "input/damaged", f"the {kind.capitalize()} file cannot be read: {error}",
                where=source.name, remedy="Write or download the file again",
            ) from None  # fmt: skip
    digest = stream.digest()
    check_unchanged(source)
    return _from_arrow(table, source.name, digest, settings, kind, unread, keys)


def _whole(stream: ByteStream) -> pa.BufferReader:
    import pyarrow as pa

    parts = []
    while part := stream.read(1 << 20):
        parts.append(part)
    return pa.BufferReader(b"".join(parts))


def _columnar_table(
    data: pa.NativeFile, kind: str, settings: DataSettings, source: Source
) -> tuple[pa.Table, tuple[str, ...], frozenset[str]]:
    """The used columns of a Parquet or Feather file, those that its folders stand for among them;
    the names of those that were not read; and of those of the folders."""
    keys, where = keys_of(source.path), source.name
    if kind == "feather":
        from pyarrow import feather

        table = feather.read_table(data)
        keys = {name: keys[name] for name in keys if name not in table.column_names}
        return with_keys(table, keys), (), frozenset(keys)
    file = _open_parquet(data, settings, where)
    head = next(file.iter_batches(SAMPLE_ROWS), None)
    if head is None:
        return file.read(), (), frozenset()
    import pyarrow as pa

    sample = pa.Table.from_batches([head])
    sample.validate(full=True)
    if _header_times(sample.column_names, settings, where):
        return file.read(), (), frozenset()
    own = sample.column_names
    keys = {name: keys[name] for name in keys if name not in own}
    sample = _without_codes(with_keys(sample, keys))
    mapping = _mapped(*_described(sample), settings, where, keys)
    unread = tuple(n for n in sample.column_names if n not in mapping.used)
    table = file.read(columns=[name for name in own if name in mapping.used])
    return with_keys(table, keys), unread, frozenset(keys)


def _open_parquet(data: pa.NativeFile, settings: DataSettings, where: str) -> parquet.ParquetFile:
    """The file. Raises InputError where its few bytes stand for far more than they are: equal rows
    are stored once, and so is a text that many rows repeat."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    file = parquet.ParquetFile(data)
    about = file.metadata
    numbers = 8 * about.num_rows * about.num_columns
    texts = [
        about.schema.column(i).path
        for i in range(about.num_columns)
        if about.schema.column(i).physical_type == "BYTE_ARRAY"
    ]
    packed = parquet.ParquetFile(data, read_dictionary=texts)
    head = next(packed.iter_batches(SAMPLE_ROWS, columns=texts), None) if texts else None
    lengths = [
        pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        for column in (head.columns if head else ())
        if isinstance(column, pa.DictionaryArray)  # texts inside lists and structures are none
    ]
    size = data.size()
    grown = max(numbers, max(lengths, default=0) * about.num_rows)
    if grown > max(settings.max_expansion * size, _ALWAYS_READ):
        raise refuse(
            "input/expansion",
            f"the file grows to more than {settings.max_expansion:g} times its size",
            where=where, value=f"{about.num_rows:,} rows in {size:,} bytes",
            remedy="Raise --set data.max_expansion=TIMES if you trust it",
        )  # fmt: skip
    return file


def _without_codes(table: pa.Table) -> pa.Table:
    """The table with categories that are no texts (times, numbers) as what they are, and pandas'
    periods as the times at which they begin."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if period := _period_of(field):
            times = _begin_of(table.column(i), period)
            table = table.set_column(i, field.name, times)
            continue
        if not pa.types.is_dictionary(field.type):
            continue
        kind = field.type.value_type
        if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.null()):
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    return table


def _period_of(field: pa.Field) -> str:
    """The frequency of a column of pandas' periods, which are counted from 1970; "" of others.

    Arrow knows their type only where pandas is imported.
    """
    name, kind = b"pandas.period", field.type
    if getattr(kind, "extension_name", "").encode() == name:
        return str(kind.freq)
    told = field.metadata or {}
    if told.get(b"ARROW:extension:name") != name:
        return ""
    return str(json.loads(told[b"ARROW:extension:metadata"])["freq"])


def _begin_of(column: pa.ChunkedArray, period: str) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    counted = column.cast(pa.int64()).to_pandas().to_numpy(float, na_value=np.nan)
    blank = np.isnan(counted)
    known = np.where(blank, 0, counted).astype(np.int64)
    times = pd.PeriodIndex.from_ordinals(known, freq=period).to_timestamp()
    return pa.array(times.to_numpy(), mask=blank)


def _described(table: pa.Table) -> tuple[list[Column], list[tuple[str, ...]]]:
    """The kinds of the columns, by type and by the first rows, and these rows as text."""
    sample = table.slice(0, SAMPLE_ROWS)
    texts = [_as_text(sample.column(i)) for i in range(sample.num_columns)]
    columns = [
        _typed(name, sample.schema.field(i).type, texts[i])
        for i, name in enumerate(sample.column_names)
    ]
    return columns, list(zip(*texts, strict=True))


def _mapped(
    described: Sequence[Column], sample: Sequence[Sequence[str]], settings: DataSettings,
    where: str, keys: Collection[str],
) -> Mapping:  # fmt: skip
    """`map_columns` of a table some of whose columns, `keys`, are its folders' names: these are
    no numbers to forecast, and name the series where nothing else does."""
    described = [
        replace(c, kind="text", form="")
        if c.name in keys and c.kind in ("integer", "number") and not part_named(c.name)
        else c
        for c in described
    ]
    mapping = map_columns(described, sample, settings, where)
    free = [c.name for c in described if c.name in keys and c.kind == "text"]
    names = tuple(name for name in free if name not in mapping.used)
    if mapping.id or mapping.wide or settings.no_id or settings.id_col or not names:
        return mapping
    reasons = {**mapping.reasons, "id": "the names of the folders"}
    return replace(mapping, id=names, id_options=(), reasons=reasons)


def _as_text(column: pa.ChunkedArray) -> list[str]:
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    return ["" if v is None else str(v) for v in column.to_pylist()]


def _typed(name: str, kind: pa.DataType, cells: list[str]) -> Column:
    import pyarrow as pa

    by_text = describe(name, cells)
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        known = "time"
    elif pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0):
        known = "integer"
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        known = "number" if any(not c.endswith(".0") for c in cells if c) else "integer"
    elif pa.types.is_boolean(kind):
        known = "boolean"
    else:
        return by_text
    return Column(name, known, by_text.blank, by_text.distinct, by_text.sample)


def _from_arrow(
    table: pa.Table,
    where: str,
    digest: str,
    settings: DataSettings,
    kind: str = "frame",
    unread: tuple[str, ...] = (),
    keys: frozenset[str] = frozenset(),
) -> Table:
    """unread: names of columns that the source has and `table` has not; keys: of those that its
    folders stand for."""
    if len(set(table.column_names)) < table.num_columns:
        raise refuse("input/duplicate-column", "two columns have the same name", where=where,
                     remedy="Give each column its own name")  # fmt: skip
    if table.num_rows == 0:
        raise refuse("input/no-rows", "the table has no rows", where=where,
                     remedy="At least two times are needed")  # fmt: skip
    table = _without_codes(table.rename_columns([str(n) for n in table.column_names]))
    times = _header_times(table.column_names, settings, where)
    notes: tuple[Note, ...] = ()
    locate: Callable[[Sequence[int]], list[str]] = _counted_row
    if times:
        every = {name: _one_array(table.column(name)) for name in table.column_names}
        made = turned(every, _described(table)[0], times, settings.decimal or ".", settings, where)
        columns, mapping, notes = made.columns, made.mapping, made.notes
        locate = _places(made, _counted_row)
    else:
        mapping = _mapped(*_described(table), settings, where, keys)
        columns = {name: _one_array(table.column(name)) for name in mapping.used}
    there = () if times else tuple(n for n in table.column_names if n not in mapping.used)

    def whole(rows: Sequence[int]) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in table.take(list(rows)).to_pylist()]

    return Table(
        where=where,
        digest=digest,
        columns=columns,
        mapping=mapping,
        locate=locate,
        dialect={"format": kind},
        decimal=settings.decimal or ".",
        notes=notes,
        rejects=Rejects() if settings.rejects else None,
        unread=(*unread, *there),
        whole=whole if there and not unread else None,  # which keeps the whole table
    )


def _counted_row(rows: Sequence[int]) -> list[str]:
    return [f"row {r + 1:,}" for r in rows]


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """One array; strings dictionary-encoded with plain strings, nulls as the empty string."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    texts = (pa.string(), pa.large_string(), pa.string_view(), pa.null())
    if kind in texts:
        strings = pc.fill_null(column.cast(kind).cast(pa.string()), word(""))
        column = strings.dictionary_encode().unify_dictionaries()
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        return joined.chunk(0)
    return joined
