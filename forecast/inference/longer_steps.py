"""Longer steps: weeks beside days, fortnights beside weeks, whose means are forecast too.

A network that reads days sees some months; of weeks it sees years, and less noise. A forecast of
days is drawn halfway to that of their weeks' means: each day keeps its share of its week (multiple
temporal aggregation: Kourentzes, Petropoulos & Trapero 2014, "Improving forecasting by estimating
time series structural components across multiple frequencies"; where it is done by least squares,
temporal hierarchies: Athanasopoulos, Hyndman, Kourentzes & Petropoulos 2017).

Axes: S series, H horizon (steps), J longer steps of the horizon, W steps of one, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecast.common.segments import positions
from forecast.data.limits import never_negative
from forecast.data.open_steps import is_open
from forecast.data.panel import Panel
from forecast.models.forecaster import Longer
from forecast.transforms.demand import INTERVAL, mean_interval

SHARE = 0.5  # of the way to the means; seven tenths are no better (benchmarks/TRIED.md)
MOST = 2.0  # times that a mean may be as high or as low as the steps say
LEAST_BEYOND = 2  # longer steps of history beyond a season, below which nothing is read of a series
YEAR_OF_WEEKS = 52  # of days there must be one: without it, weeks forecast no better than days
WEEKS = {(7, 365): 7, (5, 260): 5, (YEAR_OF_WEEKS,): 1}  # steps of a week, by a grid's seasons
TIMES = {7: (1, 2), 5: (1, 2), 1: (2, 4)}  # weeks in a longer step, by the steps of a week
MOST_READ = 72  # longer steps


def longer_steps(panel: Panel) -> tuple[Longer, ...]:
    """One and two weeks for series of days, two and four for those of weeks, if there is a year
    to look back on in the typical one of those that are `regular`; () for others."""
    week, lengths = WEEKS.get(panel.frequency.seasons, 0), panel.lengths[regular(panel)]
    found = []
    for times in TIMES.get(week, ()) if len(lengths) else ():
        counts, season = lengths // (week * times), YEAR_OF_WEEKS // times
        if np.median(counts) >= season + LEAST_BEYOND:
            found.append(Longer(week * times, season, min(MOST_READ, int(counts.max()))))
    return tuple(found)


def regular(panel: Panel) -> np.ndarray:
    """bool (S,): series whose demand is not intermittent; of others the median of a week says
    nothing of the medians of its days."""
    return ~(mean_interval(panel) > INTERVAL)


def whole_steps(longer: Sequence[Longer], horizon: int) -> int:
    """The steps to forecast for the longer ones to be whole, the last of the horizon too."""
    most = max((each.steps for each in longer), default=1)
    return -(-horizon // most) * most


def means_of(panel: Panel, steps: int) -> Panel:
    """The panel of the means of every `steps` values, counted back from each series' end; NaN where
    less than half as many are known as elsewhere in it. What it says of times is not theirs."""
    counts = panel.lengths // steps
    offsets = np.concatenate([[0], np.cumsum(counts)])
    owner = np.repeat(np.arange(panel.size), panel.lengths)
    within = positions(panel.offsets) - (panel.lengths - counts * steps)[owner]
    used = (within >= 0) & np.isfinite(panel.values)
    place = offsets[owner[used]] + within[used] // steps
    known = np.bincount(place, minlength=offsets[-1])
    total = np.bincount(place, weights=panel.values[used], minlength=offsets[-1])
    most = np.zeros(panel.size, np.int64)
    np.maximum.at(most, np.repeat(np.arange(panel.size), counts), known)
    enough = (known > 0) & (2 * known >= np.repeat(most, counts))
    values = np.divide(total, known, out=np.full(len(total), np.nan), where=enough)
    return replace(panel, values=values, offsets=offsets)


def towards_means(
    quantiles: np.ndarray, panel: Panel, means: Sequence[tuple[int, np.ndarray]]
) -> np.ndarray:
    """Quantiles (S, H, Q) after the ends of `panel`, drawn towards `means`: pairs of W and the
    medians (S, J) of what the mean of W steps will be, NaN where unknown; H is a multiple of W.

    Series that were never negative are multiplied, others shifted. Steps that never are, such as
    the Sundays of a shop, count for nothing.
    """
    size, horizon, count = quantiles.shape
    ahead = (panel.first + panel.lengths)[:, None] + np.arange(horizon)
    there = is_open(panel, np.broadcast_to(np.arange(size)[:, None], ahead.shape), ahead)
    median = np.where(there, quantiles[..., count // 2], np.nan)
    signed = ~never_negative(panel)[:, None]
    factor, shift = np.ones((size, horizon)), np.zeros((size, horizon))
    for steps, wanted in means:
        own = _mean_of_known(median.reshape(size, -1, steps))
        share = SHARE / len(means)
        above = (own > 0) & (wanted > 0) & ~signed
        ratio = np.clip(np.divide(wanted, own, out=np.ones_like(own), where=above), 1 / MOST, MOST)
        apart = np.where(signed, np.nan_to_num(wanted - own), 0.0)
        factor += share * np.repeat(ratio - 1, steps, axis=1)
        shift += share * np.repeat(apart, steps, axis=1)
    return np.asarray(quantiles * factor[..., None] + shift[..., None])


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """The means (S, J) of `values` (S, J, W), NaN where none is known."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=2), known.sum(axis=2)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
