"""From a path in log units to values: growing by factors, additive, or of either sign."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.random_draws import chance, log_uniform

WIDEST = 1.3  # largest standard deviation of a log path: values then span about e^5


def spread(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """Dimensionless `paths` (T, S), scaled to a random deviation of 0.03 to 0.8 log units."""
    return frame.standardise(paths) * log_uniform(rng, 0.03, 0.8, frame.size)


def noise_level(rng: np.random.Generator, frame: Frame, low: float, high: float) -> np.ndarray:
    """Size of the noise in log units, (S,): log-uniform, smaller where a step sums a longer time.

    Totals of twelve months are quieter than months: times (steps a year / 12)^0.2, at most 1.6.
    """
    return log_uniform(rng, low, high, frame.size) * np.minimum((frame.year / 12) ** 0.2, 1.6)


def link(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """Values (T, S) of about unit size from `paths` in log units.

    Two thirds exp(path); a fifth level + path, lifted until positive; the rest level + path of
    either sign. Paths wider than `WIDEST` are narrowed first.
    """
    mean, deviation = frame.moments(paths)
    centred = (paths - mean) * np.minimum(1.0, WIDEST / deviation)
    multiplied = np.exp(np.clip(centred, -8.0, 8.0))
    lowest = np.where(frame.valid, centred, np.inf).min(axis=0)
    margin = log_uniform(rng, 0.02, 2.0, frame.size) * np.minimum(deviation, WIDEST)
    lifted = centred + np.maximum(1.0, margin - lowest)
    level = rng.standard_normal(frame.size) * log_uniform(rng, 0.1, 10.0, frame.size)
    signed = centred + level * deviation
    kind = rng.random(frame.size)
    return np.where(kind < 0.66, multiplied, np.where(kind < 0.86, lifted, signed))


def add_noise(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """`paths`, two in three with white noise of 2 to 100 per cent of their own deviation."""
    share = log_uniform(rng, 0.02, 1.0, frame.size) * chance(rng, 0.66, frame.size)
    _, deviation = frame.moments(paths)
    return paths + share * deviation * rng.standard_normal(paths.shape)
