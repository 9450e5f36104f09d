"""From a process to a record of it: outliers, scale, rounding, missing values."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.random_draws import chance, log_uniform


def with_outliers(
    rng: np.random.Generator, frame: Frame, values: np.ndarray, share: float
) -> np.ndarray:
    """Values (T, S) of which a `share` of series have single wild steps; signs are kept.

    A step is pushed by 3 to 20 times the series' own mean change; positive values stay positive,
    zeros zero.
    """
    rows = np.flatnonzero(chance(rng, share, frame.size))
    if len(rows) == 0:
        return values
    part, chosen = frame.subset(rows), values[:, rows]
    rate = log_uniform(rng, 0.5, 6.0, len(rows)) / part.lengths
    hit = (rng.random(chosen.shape) < rate) & (chosen != 0)
    change = np.abs(np.diff(chosen, axis=0, prepend=chosen[:1]))
    typical = np.where(part.valid, change, 0.0).sum(axis=0) / part.lengths
    wild = log_uniform(rng, 3.0, 20.0, len(rows))
    push = hit * rng.normal(0.0, 1.0, chosen.shape) * wild * typical
    pushed = np.where(chosen > 0, np.maximum(chosen + push, 0.1 * chosen), chosen + push)
    changed = values.copy()
    changed[:, rows] = pushed
    return changed


def rescaled(
    rng: np.random.Generator, frame: Frame, values: np.ndarray, counts: np.ndarray, rounded: float
) -> np.ndarray:
    """Values (T, S) brought to units between 0.1 and 100,000, a share `rounded` of them rounded.

    Rounding is to a power of ten, two to four digits below the mean absolute value. `counts` (S,)
    are left as they are.
    """
    size = frame.size
    typical = np.where(frame.valid, np.abs(values), 0.0).sum(axis=0) / frame.lengths
    unit = log_uniform(rng, 0.1, 1e5, size)
    scaled = values * np.where(counts, 1.0, unit / np.maximum(typical, 1e-9))
    quantum = 10.0 ** (np.floor(np.log10(unit)) - rng.integers(2, 5, size))
    quantum = np.where(chance(rng, rounded, size) & ~counts, quantum, np.inf)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(quantum), np.round(scaled / quantum) * quantum, scaled)


def observed(rng: np.random.Generator, frame: Frame, points: float, stretches: float) -> np.ndarray:
    """bool (T, S): True where a value was recorded, False where it is missing or too early.

    A share `points` of the series miss single steps (1 to 20 per cent), a share `stretches` one
    or two runs (up to an eighth of the length each). First and last step are always recorded.
    """
    size, steps = frame.size, frame.length
    rate = log_uniform(rng, 0.01, 0.2, size) * chance(rng, points, size)
    missing = rng.random((steps, size)) < rate
    torn = chance(rng, stretches, size)
    for again in (1.0, 0.4):
        begin = rng.uniform(0.0, 1.0, size) * frame.lengths
        run = 1 + rng.uniform(0.0, 0.125, size) * frame.lengths
        inside = (frame.clock >= begin) & (frame.clock < begin + run)
        missing |= inside & (torn & chance(rng, again, size))
    ends = (frame.clock == 0) | (frame.clock == frame.lengths - 1)
    return frame.valid & (~missing | ends)


def never_constant(rng: np.random.Generator, frame: Frame, values: np.ndarray) -> np.ndarray:
    """Values (T, S) with one step of each constant series raised by one: scales stay above zero."""
    low = np.where(frame.valid, values, np.inf).min(axis=0)
    high = np.where(frame.valid, values, -np.inf).max(axis=0)
    rows = np.flatnonzero(high <= low)
    changed = values.copy()
    place = frame.length - 1 - rng.integers(0, frame.lengths[rows])
    changed[place, rows] += 1.0
    return changed
