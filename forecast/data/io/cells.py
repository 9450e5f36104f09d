"""Cells of a column that may hold numbers, true and false, or names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_numpy, as_strings, word
from forecast.data.io.csv import MISSING
from forecast.data.io.notes import refuse
from forecast.data.io.numbers import number_strings

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings
    from forecast.data.io.table import Table

WORDS = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}
MOST_NAMES = 10_000  # different names in one column; more are no categories


@dataclass(frozen=True)
class Cells:
    """float64 (N,), NaN where blank; categories: the names that 0, 1, ... stand for, else None."""

    values: np.ndarray
    categories: tuple[str, ...] | None

    def taken(self, rows: np.ndarray) -> Cells:
        """The cells of these rows; a negative row is blank."""
        if not len(self.values):
            return Cells(np.full(len(rows), np.nan), self.categories)
        return Cells(np.where(rows >= 0, self.values[rows], np.nan), self.categories)


def cells_of(table: Table, name: str, settings: DataSettings, names: bool) -> Cells:
    """The cells of column `name`; `names`: numbers in it are names too.

    Raises InputError: an infinite number, more than 10,000 different names.
    """
    import pyarrow as pa

    column = table.columns[name]
    kinds = pa.types
    if kinds.is_boolean(column.type):
        column = column.cast(pa.uint8())
    typed = kinds.is_integer(column.type) or kinds.is_floating(column.type)
    if (typed or kinds.is_decimal(column.type) or kinds.is_null(column.type)) and not names:
        values = np.array(as_numpy(column.cast(pa.float64())))
        _check_finite(values, name, table)
        return Cells(values, None)
    texts = column if kinds.is_dictionary(column.type) else _encoded(column)
    return _from_texts(texts, name, table, settings, names)


def _encoded(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.string()).fill_null(word("")).dictionary_encode()


def _from_texts(
    texts: pa.Array, name: str, table: Table, settings: DataSettings, names: bool
) -> Cells:
    """Numbers, else true and false, else names: what all distinct cells are."""
    codes = as_numpy(texts.indices)
    distinct = [str(t).strip() for t in texts.dictionary.to_pylist()]
    blank = np.array([t in MISSING for t in distinct], bool)
    if not names:
        numbers, bad = number_strings(as_strings(distinct), table.decimal, settings.thousands)
        words = np.array([WORDS.get(t.lower(), np.nan) for t in distinct])
        if not bad.any():
            return Cells(numbers[codes] if len(numbers) else np.full(len(codes), np.nan), None)
        if (np.isfinite(words) | blank).all():
            return Cells(np.where(blank, np.nan, words)[codes], None)
    found = sorted({t for t, is_blank in zip(distinct, blank, strict=True) if not is_blank})
    if len(found) > MOST_NAMES:
        raise refuse(
            "input/too-many-categories", f"column '{name}' holds {len(found):,} different names",
            where=table.where, value=found[0],
            remedy="Write numbers where it is a number; leave it out where it names each row",
        )  # fmt: skip
    rank = {text: float(r) for r, text in enumerate(found)}
    return Cells(np.array([rank.get(t, np.nan) for t in distinct])[codes], tuple(found))


def _check_finite(values: np.ndarray, name: str, table: Table) -> None:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise refuse(
            "input/infinite", f"column '{name}' holds an infinite value", where=table.where,
            count=len(infinite), places=table.locate(infinite[:3].tolist()),
            remedy="Leave the cell blank where the value is unknown",
        )  # fmt: skip


def joined_cells(parts: Sequence[Cells]) -> list[Cells]:
    """The parts of one column with the same categories; numbers beside names become names."""
    if all(part.categories is None for part in parts):
        return list(parts)
    named = [part if part.categories is not None else _as_names(part) for part in parts]
    every = tuple(sorted({name for part in named for name in part.categories or ()}))
    rank = {name: r for r, name in enumerate(every)}
    joined = []
    for part in named:
        own = np.array([*(rank[name] for name in part.categories or ()), np.nan])
        at = np.where(np.isnan(part.values), len(own) - 1, part.values).astype(np.int64)
        joined.append(Cells(own[at], every))
    return joined


def _as_names(cells: Cells) -> Cells:
    distinct, codes = np.unique(cells.values, return_inverse=True)
    texts = [f"{value:.12g}" for value in distinct if np.isfinite(value)]
    order = sorted(texts)
    rank = np.array([*(float(order.index(t)) for t in texts), np.nan])
    return Cells(rank[np.minimum(codes, len(texts))], tuple(order))


def texts_of(column: pa.Array) -> list[str]:
    """The cells as text, blank where there is none."""
    import pyarrow as pa

    return ["" if t is None else str(t) for t in column.cast(pa.string()).to_pylist()]
