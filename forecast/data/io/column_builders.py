"""Columns put together batch by batch: each value is written once, to the place where it stays.

Arrays grow in place (the system moves pages, not bytes), and codes are as narrow as the number of
distinct texts allows, so that a table costs little more memory than its numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, as_strings

if TYPE_CHECKING:
    import pyarrow as pa

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
