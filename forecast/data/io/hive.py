"""Folders called KEY=VALUE, as Spark, DuckDB and pandas write a table in partitions.

The files in them lack the columns whose values the folders name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from forecast.data.io.arrow import as_arrow, as_strings

if TYPE_CHECKING:
    import pyarrow as pa

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


def name_below(path: Path) -> str:
    """What a file is called, with the folders KEY=VALUE above it: all may hold a part-0."""
    names = [path.name]
    for folder in path.parents:
        if not is_partition(folder.name):
            break
        names.append(folder.name)
    return "/".join(reversed(names))


def with_keys(table: pa.Table, keys: Mapping[str, str]) -> pa.Table:
    """The table with a column of one value for each key."""
    import pyarrow as pa

    rows = as_arrow(np.zeros(table.num_rows, np.int32))
    for name, value in keys.items():
        column = pa.DictionaryArray.from_arrays(rows, as_strings([value]))
        table = table.append_column(name, column)
    return table
