"""What the year does to daily series that are long enough to show it twice."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.random_draws import chance, log_uniform
from forecast.training.pretraining.seasonal import lay_out, profiles

DAYS = 365
SHARE = 0.75  # of the daily series of two years or more


def with_years(rng: np.random.Generator, frame: Frame, values: np.ndarray) -> np.ndarray:
    """Values (T, S), three in four of the long daily series with a yearly profile of their own.

    Smooth, rough by the day, or flat with a few dates of the year; it multiplies positive series
    and is added to others. The 365th day falls on another weekday than the first: so do real ones.
    """
    long = (frame.season == 7) & (frame.lengths >= 2 * DAYS)
    if not long.any():
        return values
    rows = np.flatnonzero(long & chance(rng, SHARE, frame.size))
    year = np.full(len(rows), DAYS)
    phase = rng.integers(0, DAYS, len(rows)).astype(np.float64)
    effect = lay_out(profiles(rng, year), year, phase, frame.length)
    effect *= log_uniform(rng, 0.03, 0.6, len(rows))
    chosen = values[:, rows]
    _, deviation = frame.subset(rows).moments(chosen)
    changed = values.copy()
    changed[:, rows] = np.where(
        (chosen >= 0).all(axis=0), chosen * np.exp(effect), chosen + 2 * deviation * effect
    )
    return changed
