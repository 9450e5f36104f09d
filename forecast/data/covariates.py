"""Covariates: what stands beside the values of a panel, some of it known for steps to come.

Axes: S series, N rows of one table, M rows of all series on the grid, steps to come among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import last_known
from forecast.data.io.notes import refuse
from forecast.data.io.timestamp_writing import format_stamps

if TYPE_CHECKING:
    from forecast.data.panel import Panel

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


@dataclass(frozen=True)
class Covariates:
    """All columns of a panel's covariates.

    offsets int64 (S+1,): rows of each series; row n belongs to the n-th step of the series, and
    there may be more rows than the series has values: steps to come.
    """

    offsets: np.ndarray
    columns: tuple[Covariate, ...]

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
        return Covariates(offsets, tuple(columns))


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
    return refuse(
        "input/covariates-short",
        f"covariate '{name}' does not cover the horizon: series '{panel.ids[s]}' has no value at "
        f"{stamps[0]}, and {horizon:,} steps, up to {stamps[1]}, are to be forecast{others}",
        remedy="Give the steps to come in --future-covariates FILE or as rows after the last "
        "value; what is not known ahead: --past-cov",
    )  # fmt: skip
