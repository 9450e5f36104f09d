"""`Known`: covariates as numbers in the network's units.

Runs on numpy arrays and torch tensors alike.
Axes: S series, B batch, L steps of a stretch, M rows, K features.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.transforms.windows import Layout, namespace

Array = Any


@dataclass(frozen=True)
class Known:
    """Covariates as numbers in the network's units, gathered by index; nothing after an origin
    is read from `past`.

    own     float32 (M+1, K): features of each series' steps laid end to end, known ahead; starts,
            lengths int64 (S,) say where; the last row stands for every step outside
    past    float32 (M+1, E): features known up to the origin only, in the same rows
    shared  float32 (P+1, C): one row for each position of the grid in time (the calendar), the last
            row zeros; shared_starts int64 (S,): the row of each series' first value
    static  float32 (S, G): what never changes
    """

    own: Array
    past: Array
    starts: Array
    lengths: Array
    shared: Array
    shared_starts: Array
    static: Array

    @property
    def ahead(self) -> int:
        """Features of one step that are known ahead, what never changes among them.

        What never changes has no effect of its own, so without the others there is none.
        """
        own = int(self.own.shape[1] + self.shared.shape[1])
        return own + int(self.static.shape[1]) if own else 0

    def beside(self, layout: Layout) -> int:
        """Features that stand beside the inputs of one LSTM step."""
        return int(self.past.shape[1]) * layout.segment_points + int(self.static.shape[1])

    def rows(self, series: Array, position: Array) -> Array:
        """Row of `own` and `past` (B, L) of the steps `position` (B, L) of `series` (B,)."""
        inside = (position >= 0) & (position < self.lengths[series][:, None])
        last = len(self.own) - 1
        return namespace(position).where(inside, position + self.starts[series][:, None], last)

    def read(self, series: Array, position: Array) -> Array:
        """Features known ahead, (B, L, K + C + G), of the steps `position` (B, L)."""
        xp = namespace(position)
        row = position + self.shared_starts[series][:, None]
        last = len(self.shared) - 1
        shared = self.shared[xp.where((row >= 0) & (row < last), row, last)]
        static = self.static[series][:, None, :] + shared[:, :, :1].sum(-1)[:, :, None] * 0
        return xp.concatenate([self.own[self.rows(series, position)], shared, static], -1)

    @property
    def alike(self) -> bool:
        """Whether the features known ahead are those of the calendar alone, the same for all."""
        return not self.own.shape[1] and not self.static.shape[1]

    def row_of_every(self, series: Array, position: Array) -> Array:
        """Row of `every` (B, L) of the steps `position` (B, L); the one after the last outside."""
        if not self.alike:
            return self.rows(series, position)
        row, last = position + self.shared_starts[series][:, None], len(self.shared) - 1
        return namespace(position).where((row >= 0) & (row < last), row, last)

    def every(self) -> Array:
        """Features known ahead, (1, M, K + C + G), of every row of `own`, or, where they are alike
        for all series, of `shared`; of tensors."""
        if self.alike:
            return self.shared[:-1][None]
        xp = namespace(self.lengths)
        series = xp.repeat_interleave(arange_like(self.lengths, len(self.lengths)), self.lengths)
        step = arange_like(self.lengths, len(self.own) - 1) - self.starts[series]
        shared = xp.clip(step + self.shared_starts[series], 0, len(self.shared) - 1)
        parts = [self.own[:-1], self.shared[shared], self.static[series]]
        return xp.concatenate(parts, -1)[None]


def arange_like(like: Array, n: int) -> Array:
    """0 to n - 1: an array, or a tensor where `like` is one."""
    if isinstance(like, np.ndarray):
        return np.arange(n)
    return sys.modules["torch"].arange(n, device=like.device)
