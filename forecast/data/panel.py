"""`Panel`: many series of one frequency in flat arrays, ragged and without padding.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import last_known
from forecast.data.frequency import Frequency
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.notes import refuse
from forecast.data.io.timestamp_writing import format_stamps

if TYPE_CHECKING:
    import pyarrow as pa


# --- Covariates: what stands beside the values of a panel, some of it known for steps to come ----
# Axes: S series, N rows of one table, M rows of all series on the grid, steps to come among them.


FUTURE, PAST, STATIC = "future", "past", "static"


@dataclass(frozen=True)
class Covariate:
    """One column: its role, its numbers, NaN where missing.

    values: float64 (M,), or (S,) of what never changes; categories: what the numbers 0, 1, ...
    stand for where the column holds names, else None.
    """

    name: str
    role: str
    values: np.ndarray
    categories: tuple[str, ...] | None = None


class Unseen(NamedTuple):
    """A series without any value: its id, and its number in each column that never changes, by the
    column's name."""

    id: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Covariates:
    """All columns of a panel's covariates.

    offsets int64 (S+1,): rows of each series; row n belongs to the n-th step of the series, and
    there may be more rows than the series has values: steps to come. unseen: series without any
    value, which the panel has not, with their numbers in the columns of --static.
    """

    offsets: np.ndarray
    columns: tuple[Covariate, ...]
    unseen: tuple[Unseen, ...] = ()

    def of(self, *roles: str) -> tuple[Covariate, ...]:
        """The columns of these roles."""
        return tuple(c for c in self.columns if c.role in roles)

    def select(self, chosen: np.ndarray) -> Covariates:
        """The covariates of the series at the (ascending) positions `chosen`."""
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        rows = np.repeat(self.offsets[:-1][chosen], lengths) + within
        columns = (
            replace(c, values=c.values[chosen if c.role == STATIC else rows]) for c in self.columns
        )
        return Covariates(offsets, tuple(columns), self.unseen)


EVENT = "event: "  # before an event's name: the name of its column (--events)
COV_SHORT = "or say --cov-short mask (missing from there) or last (as it was)"


def check_ahead(panel: Panel, horizon: int, names: Sequence[str] | None = None) -> None:
    """Raises InputError where a covariate known ahead ends before the horizon does.

    names: the columns that matter (all that are known ahead). Names the first series and time.
    """
    covariates = panel.covariates
    if covariates is None:
        return
    for column in covariates.of(FUTURE):
        if names is not None and column.name not in names:
            continue
        reached = last_known(column.values, covariates.offsets)
        short = np.flatnonzero(reached < panel.lengths + horizon - 1)
        if len(short):
            raise _too_short(panel, column.name, short, reached, horizon)


def _too_short(
    panel: Panel, name: str, short: np.ndarray, reached: np.ndarray, horizon: int
) -> InputError:
    s = int(short[0])
    first = max(int(reached[s]) + 1, int(panel.lengths[s]))
    steps = panel.first[s] + np.array([first, panel.lengths[s] + horizon - 1])
    stamps = format_stamps(panel.frequency.stamps(steps), panel.time_format, panel.tz).to_pylist()
    others = f" ({len(short):,} series in all)" if len(short) > 1 else ""
    where = "--events" if name.startswith(EVENT) else None
    remedy = (
        "The model knows own events: give them, past and to come, with --events FILE"
        if where
        else "Give the steps to come in --future-covariates FILE or as rows after the last value; "
        f"what is not known ahead: --past-cov; {COV_SHORT}"
    )
    return refuse(
        "input/covariates-short",
        f"covariate '{name}' does not cover the horizon: series '{panel.ids[s]}' has no value at "
        f"{stamps[0]}, and {horizon:,} steps, up to {stamps[1]}, are to be forecast{others}",
        where=where, remedy=remedy,
    )  # fmt: skip


# --- The column names of every table that is read or written, in one place -----------------------


ID = "unique_id"
TIME = "ds"
TARGET = "y"
CUTOFF = "cutoff"
SAMPLE = "sample"

LSTM = "LSTM"


def interval_names(model: str, level: float) -> tuple[str, str]:
    """Names of the lower and upper bound of `model`'s `level` per cent interval."""
    return f"{model}-lo-{level:g}", f"{model}-hi-{level:g}"


def quantile_name(model: str, quantile: float) -> str:
    """Name of the column that holds `model`'s `quantile` (between 0 and 1)."""
    return f"{model}-q{quantile:g}"


# -------------------------------------------------------------------------------------------------


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
    tz         the zone whose clock the stamps go by: an IANA name, "UTC", an offset, None unknown
    shut       bool (1, K) or (S, K): slots of the week on which all, or each, series never have a
               value (`data.open_steps`); None: there are none. They are NaN, and no gaps
    covariates what stands beside the values, some of it for steps to come; None without any
    closed     places (countries, exchanges) on whose holidays no series ever has a value
    """

    ids: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    first: np.ndarray
    frequency: Frequency
    time_format: str = "%Y-%m-%d"
    tz: str | None = None
    covariates: Covariates | None = None
    shut: np.ndarray | None = None
    closed: tuple[str, ...] = ()

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
            shut=self.shut if self.shut is None or len(self.shut) == 1 else self.shut[chosen],
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
            ID: as_strings(panel.ids.tolist()).take(codes),
            TIME: format_stamps(stamps, panel.time_format, panel.tz),
            TARGET: _with_nulls(panel.values),
        }
    )


def _with_nulls(values: np.ndarray) -> pa.Array:
    """A float array with NaN as null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(as_arrow(np.isfinite(values)), as_arrow(values), pa.nulls(1, pa.float64())[0])
