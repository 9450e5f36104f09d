"""Which files a folder or a pattern names, and what their folders say of them.

Folders called KEY=VALUE are those of a table in partitions, as Spark, DuckDB and pandas write it:
the files in them lack the columns whose values the folders name.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from forecast.common.documents import as_bytes
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.dialect import are_rows, first_lines
from forecast.data.io.files import HIDDEN_MEMBER
from forecast.data.io.notes import Note, listed, refuse

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = r"(?i)\.(csv|tsv|txt|parquet|pq|feather|arrow)(\.(gz|bz2|xz|zst|zip))?$"  # of tables
WORKBOOKS = (".xlsx", ".xlsm")  # of a folder without other tables


def files_of(source: str | Path) -> list[str | Path]:
    """The files that `source` names: itself, the tables of a folder, or those of a pattern.

    Raises InputError for a folder or a pattern without a table.
    """
    return files_in(source)[0]


def files_in(source: str | Path) -> tuple[list[str | Path], list[Note]]:
    """As `files_of`, and a note on what else lies there and is left out."""
    name = str(source)
    path = Path(name)
    if not name:
        raise refuse("input/not-found", "the name of the file is empty", where="DATA",
                     remedy="Name a file; - reads standard input")  # fmt: skip
    if name == "-" or os.path.isfile(path):
        return [source], []
    if os.path.isdir(path):
        there, inner = _entries(path)
        found = [p for p in there if _is_table(p)]
        found = found or [p for p in there if p.name.lower().endswith(WORKBOOKS)]
        if not found and (found := _of_partitions(path)):
            inner = [p for p in inner if not is_partition(p.parent.name)]
    elif glob.has_magic(name) and "://" not in name:
        found, inner = _matching(name), []
        there = found
    else:
        return [source], []
    if not found:
        inside = f"; there are tables in {inner[0].parent.name}" if inner else ""
        pattern = _deeper(inner[0]) if inner else "'in/*.csv'"
        raise refuse(
            "input/no-files", f"no table is to be found here{inside}", where=name,
            remedy="Name a file, a folder of CSV, Parquet or Excel files, or a pattern such as "
            + pattern,
        )  # fmt: skip
    found = _tables_among(found)
    read = set(found)
    return list(found), _left_out([p for p in there if p not in read], inner)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder, and the first table of each folder in it. Raises InputError where it
    may not be looked into."""
    _check_readable(folder)
    entries = sorted(p for p in folder.iterdir() if not _is_hidden(p))
    inner: list[Path] = []
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir():
                tables = (p for p in entry.iterdir() if _is_table(p) and not _is_hidden(p))
                inner += sorted(tables)[:1]
    return [p for p in entries if _is_file(p)], inner


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern names. Raises InputError where one of the folders in which it looks
    may not be looked into."""
    above = [str(p) for p in Path(pattern).parents]
    fixed = sum(map(glob.has_magic, above))  # the folder that the pattern begins in
    for folder in (p for n in above[: fixed + 1] for p in glob.glob(n, recursive=True)):
        _check_readable(folder)
    matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
    return [p for p in matches if _is_file(p) and not _is_hidden(p)]


def _check_readable(folder: str | Path) -> None:
    """Raises InputError for a folder whose files cannot be seen: a pattern would pass it over."""
    try:
        for name in os.listdir(folder)[:1]:
            os.lstat(os.path.join(folder, name))
    except PermissionError:
        raise refuse(
            "input/permission", "the folder may not be read", where=str(folder),
            remedy="Give yourself permission to read it (chmod u+rx)",
        ) from None  # fmt: skip
    except OSError:
        return  # no folder, or gone by now


def _deeper(table: Path) -> str:
    """A pattern of the tables in the folders beside that of `table`."""
    ending = re.search(ENDING, table.name)
    return f"'{glob.escape(str(table.parent.parent))}/*/*{ending[0] if ending else ''}'"


def _is_file(path: Path) -> bool:
    """Whether it is a file, or a link to one that is gone, which its reading will say."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _of_partitions(folder: Path) -> list[Path]:
    """The tables below the folders that are called KEY=VALUE."""
    found: list[Path] = []
    for below in sorted(folder.iterdir()):
        if is_partition(below.name) and below.is_dir():
            _check_readable(below)
            files = (p for p in below.iterdir() if _is_table(p) and _is_file(p))
            found += [*sorted(p for p in files if not _is_hidden(p)), *_of_partitions(below)]
    return found


def _is_hidden(path: Path) -> bool:
    """Whether a program keeps the file for itself: ._a.csv of a Mac, ~$a.xlsx of Excel."""
    return HIDDEN_MEMBER.search(path.name) is not None


def _is_table(path: Path) -> bool:
    return re.search(ENDING, path.name) is not None


def _tables_among(found: Sequence[Path]) -> list[Path]:
    """The files without texts that are no tables: a README.txt beside them. All, where none is."""
    heads = {p: first_lines(p) for p in found if p.name.lower().endswith(".txt")}
    prose = {p for p, lines in heads.items() if lines and not are_rows(lines)}
    if not prose or len(prose) == len(found):
        return list(found)
    # A table of which but the header is there yet, or half of it, begins as the others do.
    headers = {lines[0] for p in found if p not in prose and (lines := first_lines(p))}
    begun = {p for p in prose if any(h.startswith(heads[p][0]) for h in headers)}
    return [p for p in found if p not in prose or p in begun]


def _left_out(files: Sequence[Path], inner: Sequence[Path]) -> list[Note]:
    """Notes on files, and on the folders of the tables `inner`, that are not read."""
    notes = []
    if files:
        text = f"left out (not CSV, Parquet or Feather): {listed([p.name for p in files], 3)}"
        notes.append(Note("repair/left-out", text, len(files)))
    if inner:
        folders = listed([p.parent.name for p in inner], 3)
        text = f"folders in this one are not read: {folders} ({_deeper(inner[0])} does)"
        notes.append(Note("repair/left-out", text, len(inner)))
    return notes


def told_apart(places: Sequence[str], whole: bool = False) -> list[str]:
    """What files are called that are read together: by their names without an ending, or with it
    where `whole`; those that are called alike also by the folders in which they differ
    (north/2024), or by their endings in one folder (a.csv, a.parquet)."""
    split = [os.path.split(place) for place in places]
    names = [name if whole else name.split(".")[0] for _, name in split]
    count = Counter(names)
    at = [n for n, name in enumerate(names) if count[name] > 1]
    if at:
        twins = [os.path.join(split[n][0], names[n]) for n in at]
        if len(set(twins)) < len(twins):
            twins = [places[n] for n in at]
        common = os.path.commonpath([split[n][0] for n in at]) or "."
        for n, twin in zip(at, twins, strict=True):
            names[n] = os.path.relpath(twin, common)
    return [as_bytes(name).decode() for name in names]


# --- Folders called KEY=VALUE ------------------------------------------------------------------


_PARTITION = re.compile(r"(?P<key>[^=/.][^=/]*)=(?P<value>[^/]*)")
BLANK = "__HIVE_DEFAULT_PARTITION__"


def is_partition(name: str) -> bool:
    """Whether a folder is called KEY=VALUE."""
    return _PARTITION.fullmatch(name) is not None


def keys_of(path: Path | None) -> dict[str, str]:
    """The columns that the folders right above a file stand for, and their values there."""
    found: dict[str, str] = {}
    for folder in path.resolve().parents if path is not None else ():
        named = _PARTITION.fullmatch(folder.name)
        if named is None:
            break
        value = "" if named["value"] == BLANK else unquote(named["value"])
        found = {unquote(named["key"]): value, **found}
    return found


def with_keys(table: pa.Table, keys: Mapping[str, str]) -> pa.Table:
    """The table with a column of one value for each key."""
    import pyarrow as pa

    rows = as_arrow(np.zeros(table.num_rows, np.int32))
    for name, value in keys.items():
        column = pa.DictionaryArray.from_arrays(rows, as_strings([value]))
        table = table.append_column(name, column)
    return table
