"""`Rows of one table`, checked and typed: the step between a file's columns and a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class LongRows:
    """A long table's rows, N of them, in file order.

    ids      object (S,): distinct ids, sorted by code point
    codes    int32 (N,): position of each row's series in ids
    stamps   int64 (N,): nanoseconds on the written clock (or instants), or integers
    values   float64 (N,): NaN where missing
    integer  the times are integers
    format   how times are written; tz: see Panel
    locate   row numbers -> places in the file
    """

    ids: np.ndarray
    codes: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    integer: bool
    format: str
    tz: str | None
    where: str
    locate: Callable[[Sequence[int]], list[str]]
    time_name: str
    target_name: str
    id_name: str | None
    id_hint: str = ""

    def taken(self, index: np.ndarray) -> LongRows:
        """The rows `index` (int64), in its order; places in the file stay right."""
        return replace(
            self,
            codes=self.codes[index],
            stamps=self.stamps[index],
            values=self.values[index],
            locate=lambda wanted: self.locate([int(index[w]) for w in wanted]),
        )

    def without(self, bad: np.ndarray) -> LongRows:
        """The rows that are not `bad` (bool, (N,)); series that have none left disappear."""
        if not bad.any():
            return self
        rows = self.taken(np.flatnonzero(~bad))
        used = np.bincount(rows.codes, minlength=len(self.ids)) > 0
        rank = (np.cumsum(used) - 1).astype(np.int32)
        return replace(rows, ids=self.ids[used], codes=rank[rows.codes])
