"""The one registry of the formats in which tables are written.

Every module of this package with a `FORMAT` is one: a new format is one new file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules
from typing import IO, TYPE_CHECKING, Protocol

from forecast.common.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

USUAL = ".csv"


class Writer(Protocol):
    """An open file of one format: any number of tables of one schema, then `close`."""

    def write_table(self, table: pa.Table) -> None:
        """Adds the table's rows."""

    def close(self) -> None:
        """Writes what is still to be written; the file itself stays open."""


@dataclass(frozen=True)
class Format:
    """A format: the suffix of its files, its name, and what opens a writer on an open file.

    beside: whether other tables (scores, settings) go into the same file, by name; then `open`
    gets them. dated: whether times are handed over as timestamps instead of as they were read.
    """

    suffix: str
    name: str
    open: Callable[[IO[bytes], pa.Schema, Mapping[str, pa.Table]], Writer]
    beside: bool = False
    dated: bool = False


@cache
def formats() -> dict[str, Format]:
    """All formats by suffix, the usual one first."""
    package = import_module("forecast.inference.formats")
    found = {}
    for module in iter_modules(package.__path__):
        made = getattr(import_module(f"{package.__name__}.{module.name}"), "FORMAT", None)
        if made is not None:
            found[made.suffix] = made
    return dict(sorted(found.items(), key=lambda item: (item[0] != USUAL, item[0])))


def suffix_of(path: str | Path) -> str:
    """The suffix of a path or an address, in small letters."""
    return PurePosixPath(str(path)).suffix.lower()


def format_of(path: str | Path) -> Format:
    """The format that a path or address asks for; CSV where its suffix is no table's."""
    return formats().get(suffix_of(path), formats()[USUAL])


# What a table is often called that is not written, and what is no table at all.
OTHER_TABLES = {
    ".xls", ".ods", ".json", ".jsonl", ".feather", ".arrow", ".tsv", ".pq", ".xlsm", ".xlsb",
    ".gz", ".bz2", ".xz", ".zst", ".zip", ".orc", ".avro", ".pkl", ".pickle", ".db", ".sqlite",
}  # fmt: skip
NO_TABLES = {
    ".html", ".htm", ".pdf", ".png", ".svg", ".jpg", ".jpeg", ".md", ".xml", ".yaml", ".yml",
    ".doc", ".docx", ".ppt", ".pptx",
}  # fmt: skip


def refuse_other_tables(output: str | None) -> None:
    """Raises UsageError for a file whose name promises another kind of table than is written."""
    suffix = suffix_of(output or "")
    if suffix in OTHER_TABLES | NO_TABLES and suffix not in formats():
        *most, last = formats()
        raise UsageError(
            f"a table is written as {', '.join(most)} or {last}, not as {suffix}",
            code="usage/output-kind",
            where="--output",
            value=output,
            remedy="For example: --output forecast.csv"
            if suffix in OTHER_TABLES
            else "For example: --output forecast.csv; pages and pictures are made by "
            "lstmcast report, lstmcast plot and detect --report",
        )


def write_tables(
    file: IO[bytes],
    chosen: Format,
    tables: Iterable[pa.Table],
    beside: Mapping[str, pa.Table] | None = None,
) -> int:
    """Writes tables of one schema to `file`, one after the other, and those `beside` where the
    format has room for them; returns the rows. Raises UsageError (more than a format can hold)."""
    writer: Writer | None = None
    rows = 0
    for table in tables:
        if writer is None:
            writer = chosen.open(file, table.schema, beside or {})
        writer.write_table(table)
        rows += table.num_rows
    if writer is not None:
        writer.close()
    return rows


def table_bytes(
    path: str | Path, table: pa.Table, beside: Mapping[str, pa.Table] | None = None
) -> bytes:
    """One table in the format that `path` asks for."""
    sink = io.BytesIO()
    write_tables(sink, format_of(path), [table], beside)
    return sink.getvalue()


def file_bytes(table: pa.Table, suffix: str) -> bytes:
    """The content of a file of that suffix with one table. Raises UsageError."""
    file = io.BytesIO()
    write_tables(file, formats()[suffix], [table])
    return file.getvalue()
