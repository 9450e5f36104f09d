"""Seasonal naive with analytic intervals, for all series at once, on numpy alone.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from statistics import NormalDist

import numpy as np

from forecast.common.segments import lagged_mean, last_known
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel

NAME = "SeasonalNaive"


def seasonal_naive(
    panel: Panel, origins: np.ndarray, horizon: int, levels: np.ndarray, season: int
) -> Forecast:
    """Each step repeats the last known value at the same position of the season.

    Only values before origins[s] (S,) are used. A position of the season that was never observed
    takes the last known value, and so does every step of a series shorter than one season (said
    in the notes). A series without any known value is not available. Intervals: normal, with
    variance sigma^2 (k + 1) k whole seasons ahead, sigma^2 the mean squared seasonal difference
    (Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., table 5.2).
    """
    start = time.perf_counter()
    past = panel.truncate(origins)
    last = last_known(past.values, past.offsets)
    found = last >= 0
    short = found & (past.lengths < season)
    point = np.full((panel.size, horizon), np.nan)
    spread = np.full((panel.size, horizon), np.nan)
    for lag, rows in ((season, found & ~short), (1, short)):
        if rows.any():
            cycle = _last_cycle(past, last, rows, lag)
            point[rows] = cycle[:, np.arange(horizon) % lag]
            spread[rows] = _spread(past, lag, rows, horizon)
    quantiles = point[:, :, None] + spread[:, :, None] * normal_quantiles(levels)
    return Forecast(
        name=NAME,
        origins=np.asarray(origins, dtype=np.int64),
        point=point,
        levels=np.asarray(levels, dtype=float),
        quantiles=quantiles,
        source=np.where(found, NAME, "").astype(object),
        available=found,
        seconds=time.perf_counter() - start,
        notes=_notes(short, found, season),
    )


def normal_quantiles(levels: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal distribution at `levels`, (Q,)."""
    return np.array([NormalDist().inv_cdf(float(level)) for level in levels])


def _last_cycle(past: Panel, last: np.ndarray, rows: np.ndarray, season: int) -> np.ndarray:
    """The last known value at each position of the season that starts at the origin: (R, season).

    Walks back season by season, only for the series that still lack a position.
    """
    ends = past.lengths[rows]
    starts = past.offsets[:-1][rows]
    cycle = np.full((len(ends), season), np.nan)
    lacking = np.arange(len(ends))
    back = 1
    while len(lacking):
        position = ends[lacking, None] - back * season + np.arange(season)
        value = past.values[np.maximum(starts[lacking, None] + position, 0)]
        value[position < 0] = np.nan
        current = cycle[lacking]
        cycle[lacking] = np.where(np.isnan(current), value, current)
        more = (position[:, -1] >= season) & np.isnan(cycle[lacking]).any(axis=1)
        lacking = lacking[more]
        back += 1
    fallback = past.values[starts + last[rows]]
    return np.where(np.isnan(cycle), fallback[:, None], cycle)


def _spread(past: Panel, season: int, rows: np.ndarray, horizon: int) -> np.ndarray:
    """Standard deviation of each step's error, (R, H); 0 where no difference is known."""
    variance = np.nan_to_num(lagged_mean(past.values, past.offsets, season, power=2)[rows])
    seasons_ahead = np.arange(horizon) // season + 1
    return np.sqrt(variance[:, None] * seasons_ahead)


def _notes(short: np.ndarray, found: np.ndarray, season: int) -> tuple[str, ...]:
    notes = []
    if short.any():
        notes.append(f"{short.sum()} series shorter than one season of {season} use the last value")
    if not found.all():
        notes.append(f"{(~found).sum()} series have no value to repeat")
    return tuple(notes)
