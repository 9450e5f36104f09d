"""Trends, (T, S): broken lines, damped and saturating growth, long cycles; all in log units."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.random_draws import heavy, leaning, log_uniform, sometimes


def yearly_growth(rng: np.random.Generator, size: int) -> np.ndarray:
    """Growth rates a year in log units, (size,): heavy-tailed around 4.5 per cent, some zero."""
    return sometimes(rng, 0.9, 0.045 + 0.075 * heavy(rng, 3.0, (size,)))


def broken_line(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Piecewise linear growth: a slope with up to three breaks at random places."""
    slope = yearly_growth(rng, frame.size)
    line = slope * frame.clock / frame.year
    for _ in range(3):
        place = rng.uniform(0.1, 0.98, frame.size) * frame.lengths
        change = sometimes(rng, 0.25, 1.5 * yearly_growth(rng, frame.size) - slope * rng.random())
        line += change * np.maximum(frame.clock - place, 0.0) / frame.year
    return line


def damped_line(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Growth that dies away: total (1 - exp(-rate progress)), from Gardner and McKenzie's idea."""
    total = 0.8 * leaning(rng, frame.size)
    rate = log_uniform(rng, 0.7, 8.0, frame.size)
    return total * (1 - np.exp(-rate * frame.progress)) / (1 - np.exp(-rate))


def saturating(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Logistic, Gompertz or exponential growth or decline, in log units."""
    size = frame.size
    middle = rng.uniform(-0.2, 1.3, size)
    speed = log_uniform(rng, 2.0, 16.0, size)
    total = 1.2 * leaning(rng, size)
    argument = np.clip(speed * (frame.progress - middle), -30.0, 30.0)
    logistic = 1 / (1 + np.exp(-argument))
    gompertz = np.exp(-np.exp(-argument))
    power = frame.progress ** log_uniform(rng, 0.5, 3.0, size)
    kind = rng.integers(0, 3, size)
    return total * np.where(kind == 0, logistic, np.where(kind == 1, gompertz, power))


def long_cycle(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A cycle much longer than the season, its length and strength wandering; unit amplitude.

    After the stochastic cycle of Harvey (1989): the cosine of a random walk with drift.
    """
    size = frame.size
    shortest = np.maximum(2.5 * frame.season, 5.0)
    period = np.exp(
        rng.uniform(np.log(shortest), np.log(np.maximum(2.0 * frame.lengths, 8.0 * shortest)))
    )
    wander = rng.uniform(0.0, 0.35, size) * np.sqrt(2 * np.pi / period)
    pace = 2 * np.pi / period + wander * rng.standard_normal((frame.length, size)) / np.sqrt(period)
    skew = sometimes(rng, 0.4, rng.uniform(-0.7, 0.7, size))
    angle = rng.uniform(0, 2 * np.pi, size) + np.cumsum(pace, axis=0)
    return np.cos(angle + skew * np.sin(angle))
