"""Several files read as one table: a folder or a pattern of files, one or many series in each."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forecast.data.io.notes import Note, refuse
from forecast.data.io.table import Table
from forecast.data.rows import LongRows

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".feather", ".arrow")
COMPRESSED = ("", ".gz", ".bz2", ".xz", ".zst")


def files_of(source: str | Path) -> list[str | Path]:
    """The files that `source` names: itself, the tables of a folder, or those of a pattern.

    Raises InputError for a folder or a pattern without a table.
    """
    name = str(source)
    path = Path(name)
    if name == "-" or path.is_file():
        return [source]
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and _is_table(p))
    elif glob.has_magic(name) and "://" not in name:
        found = sorted(Path(p) for p in glob.glob(name) if Path(p).is_file())
    else:
        return [source]
    if not found:
        raise refuse(
            "input/no-files", "no table is to be found here", where=name,
            remedy="Name a file, a folder of CSV or Parquet files, or a pattern such as 'in/*.csv'",
        )  # fmt: skip
    return list(found)


def _is_table(path: Path) -> bool:
    return any(path.name.lower().endswith(s + c) for s in SUFFIXES for c in COMPRESSED)


def joined_rows(parts: Sequence[LongRows], tables: Sequence[Table], source: str) -> LongRows:
    """One table of all rows; files without an id column are series of their own, named by file.

    Raises InputError when the files do not agree on columns, on the kind of times or on the zone.
    """
    if len(parts) == 1:
        return parts[0]
    parts = [named_by_file(p, t) for p, t in zip(parts, tables, strict=True)]
    first = parts[0]
    for part in parts[1:]:
        _check_alike(first, part)
    names = sorted({i for p in parts for i in p.ids})
    rank = {name: n for n, name in enumerate(names)}
    codes = [np.array([rank[i] for i in p.ids], np.int32)[p.codes] for p in parts]
    starts = np.cumsum([0, *(len(p.codes) for p in parts)])
    ids = np.empty(len(names), object)
    ids[:] = names

    def locate(rows: Sequence[int]) -> list[str]:
        found = []
        for row in rows:
            file = int(np.searchsorted(starts, row, side="right")) - 1
            place = parts[file].locate([int(row - starts[file])])[0]
            found.append(f"{Path(parts[file].where).name} {place}")
        return found

    return replace(
        first, ids=ids, codes=np.concatenate(codes),
        stamps=np.concatenate([p.stamps for p in parts]),
        values=np.concatenate([p.values for p in parts]),
        where=source, locate=locate,
    )  # fmt: skip


def named_by_file(rows: LongRows, table: Table) -> LongRows:
    """The rows of one file among several: without ids they are one series, named like the file."""
    if rows.id_name is not None or len(rows.ids) > 1:
        return rows
    ids = np.empty(1, object)
    ids[0] = Path(table.where).name.split(".")[0]
    return replace(rows, ids=ids, id_name="file")


def _check_alike(first: LongRows, other: LongRows) -> None:
    for what, a, b in (
        ("time column", first.time_name, other.time_name),
        ("target column", first.target_name, other.target_name),
        ("id column", first.id_name or "none", other.id_name or "none"),
        ("kind of times", _kind(first), _kind(other)),
        ("time zone", first.tz or "none", other.tz or "none"),
    ):
        if a != b:
            raise refuse(
                "input/files-differ", f"the {what} is {b}, and {a} in {first.where}",
                where=other.where, remedy="Read alike files together, the others on their own",
            )  # fmt: skip


def _kind(rows: LongRows) -> str:
    return "integers" if rows.integer else "dates"


def joined_digest(tables: Sequence[Table]) -> str:
    """One digest of all files: sha256 over their names and digests."""
    if len(tables) == 1:
        return tables[0].digest
    text = "".join(f"{Path(t.where).name} {t.digest}\n" for t in tables)
    return hashlib.sha256(text.encode()).hexdigest()


def joined_notes(notes: Sequence[Note]) -> list[Note]:
    """Notes with the same code and text made one, their counts added."""
    found: dict[tuple[str, str], Note] = {}
    for note in notes:
        key = note.code, note.text
        if key in found:
            note = replace(found[key], count=found[key].count + note.count)
        found[key] = note
    return list(found.values())
