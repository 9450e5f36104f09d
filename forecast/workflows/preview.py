"""The first rows of a table as they stand, before anything is understood of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forecast.config.schema import DataSettings
from forecast.data.io.dialect import detect_dialect
from forecast.data.io.files import ByteStream, Source, kind_of, open_source
from forecast.data.io.workbook import read_sheets

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 8


@dataclass(frozen=True)
class Preview:
    """names: of the columns; rows: the first of the table, cells as text."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def first_rows(source: str, settings: DataSettings) -> Preview:
    """The names of the columns and the first rows of a file; of a large one only its first bytes
    are read. Raises InputError."""
    opened = open_source(source, settings.max_expansion)
    kind = kind_of(opened)
    if kind == "delimited":
        dialect = detect_dialect(opened, settings)
        return Preview(dialect.names, tuple(dialect.sample[:ROWS]))
    columns = _first_of_columnar(opened, kind, settings.sheet)
    cells = [["" if v is None else str(v) for v in each.to_pylist()] for each in columns.columns]
    return Preview(tuple(columns.column_names), tuple(zip(*cells, strict=True)))


def _first_of_columnar(opened: Source, kind: str, sheet: str | None) -> pa.Table:
    """The first rows of a Parquet or Feather file or of a sheet; a workbook, or a file that is
    compressed, is read as a whole."""
    import pyarrow as pa
    from pyarrow import feather, parquet

    if kind == "workbook":
        return read_sheets(_content(opened), sheet, opened.name)[0].table.slice(0, ROWS)
    plain = opened.compression is None and opened.path is not None
    data = str(opened.path) if plain else pa.BufferReader(_content(opened))
    if kind == "feather":
        return feather.read_table(data, memory_map=plain).slice(0, ROWS)
    file = parquet.ParquetFile(data)
    head = next(file.iter_batches(ROWS), None)
    return file.schema_arrow.empty_table() if head is None else pa.Table.from_batches([head])


def _content(opened: Source) -> bytes:
    stream, parts = ByteStream(opened), []
    while part := stream.read(1 << 20):
        parts.append(part)
    return b"".join(parts)
