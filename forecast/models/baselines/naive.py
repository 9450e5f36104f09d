"""Seasonal naive and Naive2: the forecasts that every other one has to beat."""

from __future__ import annotations

import itertools
import time

import numpy as np

from forecast.common.quantiles import normal_quantiles
from forecast.common.segments import lagged_mean, last_known, positions, sum_by_series
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel

# --- Seasonal naive with analytic intervals, for all series at once, on numpy alone --------------
# Axes: S series, H horizon (steps), Q quantiles.


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


# --- Naive2, M4's benchmark: naive on the multiplicatively deseasonalised series, vectorised -----
# Source: the M4 competition's own benchmark code (Mcompetitions/M4-methods, `SeasonalityTest` and
# R's `decompose`). Axes: S series, H horizon (steps), N observations of all series together.


CRITICAL = 1.645  # two-sided 90 per cent limit of the normal distribution, as in M4
CHUNK = 2_000_000  # observations worked on at once, to bound memory


def naive2(values: np.ndarray, offsets: np.ndarray, horizon: int, m: int) -> np.ndarray:
    """Naive2 forecasts of every series. values (N,) NaN where missing, offsets (S+1,) -> (S, H).

    The last known value, carried forward; where the series is at least 3m long and its lag-m
    autocorrelation passes the 90 per cent limit, divided by its seasonal index and multiplied by
    the index of each future step. A series without a known value gives NaN. A series whose
    indices are not all positive (it is not a positive series) is not deseasonalised.
    """
    result = np.empty((len(offsets) - 1, horizon))
    for first, last in _chunks(offsets):
        start, end = offsets[first], offsets[last]
        result[first:last] = _naive2(
            values[start:end], offsets[first : last + 1] - start, horizon, m
        )
    return result


def _chunks(offsets: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of series of about CHUNK observations each."""
    groups = offsets[:-1] // CHUNK
    edges = np.flatnonzero(np.diff(groups)) + 1
    bounds = [0, *edges.tolist(), len(offsets) - 1]
    return list(itertools.pairwise(bounds))


def _naive2(values: np.ndarray, offsets: np.ndarray, horizon: int, m: int) -> np.ndarray:
    lengths = np.diff(offsets)
    last = last_known(values, offsets)
    found = last >= 0
    value = np.where(found, values[np.where(found, offsets[:-1] + last, 0)], np.nan)
    forecast = np.repeat(value[:, None], horizon, axis=1)
    if m == 1:
        return forecast
    chosen = np.flatnonzero(found & is_seasonal(values, offsets, m))
    if len(chosen) == 0:
        return forecast
    index = _seasonal_indices(values, offsets, chosen, m)  # (C, m)
    positive = (index > 0).all(axis=1) & np.isfinite(index).all(axis=1)
    chosen, index = chosen[positive], index[positive]
    steps = (lengths[chosen, None] + np.arange(horizon)) % m
    base = value[chosen] / index[np.arange(len(chosen)), last[chosen] % m]
    forecast[chosen] = base[:, None] * np.take_along_axis(index, steps, axis=1)
    return forecast


def is_seasonal(values: np.ndarray, offsets: np.ndarray, m: int) -> np.ndarray:
    """Whether each series' lag-m autocorrelation passes the 90 per cent limit. (S,) bool.

    |r_m| > 1.645 * sqrt((1 + 2 * sum of r_k^2 for k < m) / n), and n >= 3m.
    """
    lengths = np.diff(offsets)
    known = ~np.isnan(values)
    count = sum_by_series(known.astype(float), offsets)
    total = sum_by_series(np.where(known, values, 0.0), offsets)
    mean = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
    centred = np.where(known, values - np.repeat(mean, lengths), 0.0)
    variance = sum_by_series(centred**2, offsets)
    squares = np.zeros(len(lengths))
    r = np.zeros(len(lengths))
    position = positions(offsets)
    for lag in range(1, m + 1):
        product = np.zeros(len(values))
        product[lag:] = centred[lag:] * centred[:-lag] * (position[lag:] >= lag)
        covariance = sum_by_series(product, offsets)
        r = np.divide(covariance, variance, out=np.zeros(len(lengths)), where=variance > 0)
        if lag < m:
            squares += r**2
    limit = CRITICAL * np.sqrt((1 + 2 * squares) / np.maximum(count, 1))
    return (lengths >= 3 * m) & (count >= 2) & (np.abs(r) > limit)


def _seasonal_indices(
    values: np.ndarray, offsets: np.ndarray, chosen: np.ndarray, m: int
) -> np.ndarray:
    """Multiplicative seasonal index of each position of the season, (C, m), mean 1 per series.

    R's `decompose`: value over the centred moving average of length m (2 x m for an even m),
    averaged by position in the season, divided by the mean of the m averages.
    """
    lengths = np.diff(offsets)[chosen]
    position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = values[np.repeat(offsets[:-1][chosen], lengths) + position]
    ratio = flat / _centred_average(flat, position, np.repeat(lengths, lengths), m)
    cell = np.repeat(np.arange(len(chosen)), lengths) * m + position % m
    known = np.isfinite(ratio)
    total = np.bincount(cell[known], ratio[known], minlength=len(chosen) * m)
    count = np.bincount(cell[known], minlength=len(chosen) * m)
    with np.errstate(invalid="ignore", divide="ignore"):
        figure = (total / count).reshape(-1, m)
        return figure / figure.mean(axis=1, keepdims=True)


def _centred_average(
    flat: np.ndarray, position: np.ndarray, length: np.ndarray, m: int
) -> np.ndarray:
    """Centred moving average of length m (2 x m when m is even); NaN beyond the ends."""
    half = m // 2
    weights = np.full(2 * half + 1, 1.0 / m)
    if m % 2 == 0:
        weights[[0, -1]] = 0.5 / m
    average = np.zeros(len(flat))
    padded = np.concatenate([np.zeros(half), flat, np.zeros(half)])
    for shift, weight in enumerate(weights):
        average += weight * padded[shift : shift + len(flat)]
    inside = (position >= half) & (position < length - half)
    average[~inside | (average == 0)] = np.nan
    return average
