"""Family: what the calendar does to totals: trading days, Easter, weeks that are not a year."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.base import Frame, chance, link, log_uniform, register, sometimes
from forecast.training.pretraining.components import ar1, broken_line, moving_season, random_walk

EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
DAYS_IN_YEAR = 365.2425


@register(
    "calendar", "step", seasons=(4, 12, 52, 7), source="Young (1965), trading-day regression, X-11"
)
def calendar(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Trend, season and small noise, times the effect of the days that each step holds."""
    size = frame.size
    daily = frame.season == 7
    sigma = np.where(daily, log_uniform(rng, 0.03, 0.5, size), log_uniform(rng, 0.005, 0.08, size))
    effect = np.zeros((frame.length, size))
    for season, make in ((4, _monthly), (12, _monthly), (52, _weekly), (7, _daily)):
        rows = np.flatnonzero(frame.season == season)
        if len(rows):
            effect[:, rows] = make(rng, frame.subset(rows))
    # Days come back to a steady level; months and weeks wander.
    level = (
        np.where(daily, 0.1, 1.0) * sometimes(rng, 0.5, log_uniform(rng, 0.05, 0.7, size)) * sigma
    )
    path = broken_line(rng, frame) + level * random_walk(rng, frame.length, size)
    path += log_uniform(rng, 0.01, 0.4, size) * moving_season(rng, frame)
    path += sigma * ar1(rng, sometimes(rng, 0.5, rng.uniform(0.0, 0.8, size)), frame.length)
    return link(
        rng, frame, path + log_uniform(rng, 0.3, 4.0, size) * np.where(daily, 0.07, 0.04) * effect
    )


def easter(year: np.ndarray) -> np.ndarray:
    """Days since 1 March of Easter Sunday in `year` (Gregorian; anonymous algorithm of 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    rest = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * rest) // 451
    month, day = (h + rest - 7 * m + 114) // 31, (h + rest - 7 * m + 114) % 31 + 1
    return (month - 3) * 31 + day - 1


def _monthly(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Working days of each month or quarter, and Easter's pull, for starts in 1950 to 2029."""
    width = 12 // int(frame.season[0])
    first = rng.integers(-20 * 12, 60 * 12, frame.size)
    month = first + width * np.arange(frame.length)[:, None]
    begin = month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    end = (month + width).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    weight = rng.standard_normal((7, frame.size))
    office = chance(rng, 0.6, frame.size)
    weight = np.where(office, np.array([1, 1, 1, 1, 1, -2.0, -3.0])[:, None], weight)
    held = np.zeros(month.shape)
    for weekday in range(7):
        held += weight[weekday] * _weekdays(begin, end, weekday)
    held = (held - held.mean(axis=0)) / np.maximum(held.std(axis=0), 1e-9)
    year, within = 1970 + month // 12, month % 12
    march, april = within <= 2, within + width > 3
    early = easter(year) <= 31
    holds = np.where(early, march & (within + width > 2), april & (within <= 3))
    return held + sometimes(rng, 0.4, rng.normal(0.0, 2.0, frame.size)) * holds


def _weekdays(begin: np.ndarray, end: np.ndarray, weekday: int) -> np.ndarray:
    """How many days of [begin, end) (days since 1970) fall on `weekday` (Monday 0)."""
    shift = EPOCH_WEEKDAY - weekday
    return (end + shift - 1) // 7 - (begin + shift - 1) // 7


def _weekly(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Up to three fixed days a year that fall in one week or the next, each with an echo."""
    start = rng.uniform(0, DAYS_IN_YEAR, frame.size)
    day = start + 7.0 * np.arange(frame.length)[:, None]
    effect = np.zeros(day.shape)
    for _ in range(3):
        since = np.mod(day - rng.uniform(0, DAYS_IN_YEAR, frame.size), DAYS_IN_YEAR)
        height = sometimes(rng, 0.8, rng.normal(0.0, 4.0, frame.size))
        echo = rng.uniform(-0.6, 0.6, frame.size)
        effect += height * ((since < 7) + echo * ((since >= 7) & (since < 14)))
    return effect


def _daily(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Pay days and month ends, a yearly wave, closed holidays."""
    day = np.arange(frame.length)[:, None] + rng.integers(0, 20_000, frame.size)
    date = day.astype("datetime64[D]")
    within = day - date.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    payday = rng.integers(0, 28, frame.size)
    near = np.abs(within - payday)
    effect = sometimes(rng, 0.5, rng.normal(0.0, 3.0, frame.size)) * np.exp(
        -0.5 * near.astype(float) ** 2
    )
    angle = 2 * np.pi * day / DAYS_IN_YEAR
    effect += sometimes(rng, 0.6, rng.normal(0.0, 2.5, frame.size)) * np.cos(
        angle + rng.uniform(0, 6.28, frame.size)
    )
    for _ in range(4):
        since = np.mod(day - rng.integers(0, 366, frame.size), 365)
        effect += sometimes(rng, 0.6, rng.normal(-3.0, 6.0, frame.size)) * (since == 0)
    return effect
