"""`Panel`: many series of one frequency in flat arrays, ragged and without padding.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data import column_names
from forecast.data.covariates import Covariates
from forecast.data.frequency import Frequency
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Panel:
    """Regular series of one frequency, sorted by id, laid end to end.

    ids        object (S,): unique strings, sorted by code point
    offsets    int64 (S+1,): series s is values[offsets[s]:offsets[s+1]]
    values     float64 (N,): NaN where missing (a gap, a blank); otherwise finite
    first      int64 (S,): grid position of each series' first value; the time of its n-th value
               is frequency.stamps(first + n)
    frequency  the grid that all series lie on
    time_format  how to write a time: a strftime pattern, "integer", "epoch:s", ...; see
               frequency.format_stamps
    tz         None, "UTC" or an offset ("+01:00"): the stamps are wall-clock times as written;
               an IANA name: the stamps are instants (UTC), to be written as its wall-clock times
    covariates what stands beside the values, some of it for steps to come; None without any
    """

    ids: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    first: np.ndarray
    frequency: Frequency
    time_format: str = "%Y-%m-%d"
    tz: str | None = None
    covariates: Covariates | None = None

    @property
    def size(self) -> int:
        """S, the number of series."""
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (S,): observations of each series, missing ones included."""
        return np.diff(self.offsets)

    def series(self, s: int) -> np.ndarray:
        """The values of series `s` (a view)."""
        return self.values[self.offsets[s] : self.offsets[s + 1]]

    def truncate(self, keep: np.ndarray) -> Panel:
        """The panel with only the first `keep[s]` observations of each series.

        Covariates keep all their rows: who reads them looks at those known ahead beyond the end,
        and at others up to it.

        keep: int64 (S,), each 0 <= keep <= length.
        """
        keep = np.asarray(keep, dtype=np.int64)
        if (keep < 0).any() or (keep > self.lengths).any():
            raise ValueError("keep must lie between 0 and each series' length")
        offsets = np.concatenate([[0], np.cumsum(keep)])
        edge = np.zeros(len(self.values) + 1, np.int8)  # up where a series begins, down past keep
        np.add.at(edge, self.offsets[:-1], 1)
        np.add.at(edge, self.offsets[:-1] + keep, -1)
        kept = np.cumsum(edge[:-1], dtype=np.int8).view(bool)
        return replace(self, offsets=offsets, values=self.values[kept])

    def select(self, chosen: np.ndarray) -> Panel:
        """The panel of the series at the (ascending) positions `chosen`."""
        lengths = self.lengths[chosen]
        starts = np.repeat(self.offsets[:-1][chosen], lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return replace(
            self,
            ids=self.ids[chosen],
            offsets=offsets,
            values=self.values[starts + within],
            first=self.first[chosen],
            covariates=self.covariates and self.covariates.select(chosen),
        )

    def window(self, origins: np.ndarray, horizon: int) -> np.ndarray:
        """float64 (S, H): the `horizon` values from `origins[s]` on, NaN past a series' end."""
        steps = origins[:, None] + np.arange(horizon)[None, :]
        inside = (steps >= 0) & (steps < self.lengths[:, None])
        index = np.where(inside, self.offsets[:-1, None] + steps, 0)
        return np.where(inside, self.values[index], np.nan)


def panel_to_arrow(panel: Panel) -> pa.Table:
    """The long table of a panel: unique_id, ds (in the input's form), y (null where missing)."""
    import pyarrow as pa

    lengths = panel.lengths
    within = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1], lengths)
    stamps = panel.frequency.stamps(np.repeat(panel.first, lengths) + within)
    codes = as_arrow(np.repeat(np.arange(panel.size), lengths))
    return pa.table(
        {
            column_names.ID: as_strings(panel.ids.tolist()).take(codes),
            column_names.TIME: format_stamps(stamps, panel.time_format, panel.tz),
            column_names.TARGET: _with_nulls(panel.values),
        }
    )


def _with_nulls(values: np.ndarray) -> pa.Array:
    """A float array with NaN as null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(as_arrow(np.isfinite(values)), as_arrow(values), pa.nulls(1, pa.float64())[0])
