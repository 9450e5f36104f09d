"""Family: draws from Gaussian processes with composed kernels, by spectral sampling."""

from __future__ import annotations

import numpy as np
from scipy.special import ive

from forecast.training.pretraining.base import (
    Frame,
    add_noise,
    chance,
    link,
    log_uniform,
    pick,
    register,
    spread,
)
from forecast.training.pretraining.components import ar1

SOURCE = (
    "KernelSynth (Ansari et al. 2024); spectral draws after Rahimi and Recht (2007); the product "
    "of independent draws has the product of their kernels as covariance"
)
WAVES = 24  # random frequencies a draw
HARMONICS = 8


def rbf(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Squared exponential: Gaussian frequencies; length scale 2 per cent to twice the series."""
    scale = log_uniform(rng, 0.02, 2.0, frame.size) * frame.lengths
    return _waves(rng, frame.clock, rng.standard_normal((WAVES, frame.size)) / scale)


def rational_quadratic(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A gamma mixture of squared exponentials: smooth and rough at once."""
    scale = log_uniform(rng, 0.02, 1.0, frame.size) * frame.lengths
    alpha = log_uniform(rng, 0.3, 5.0, frame.size)
    precision = rng.standard_gamma(alpha, (WAVES, frame.size)) / alpha
    return _waves(
        rng, frame.clock, np.sqrt(precision) * rng.standard_normal((WAVES, frame.size)) / scale
    )


def periodic(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """exp(-2 sin^2(pi t / p) / l^2): harmonics with Bessel weights; p the season or a multiple."""
    size = frame.size
    period = np.where(chance(rng, 0.8, size), frame.season, frame.season * rng.integers(2, 6, size))
    free = log_uniform(rng, 3.0, 60.0, size)
    period = np.where(
        frame.season > 1, period, np.where(chance(rng, 0.5, size), free, 4.0 * frame.lengths)
    )
    width = log_uniform(rng, 0.4, 3.0, size)
    path = np.zeros((frame.length, size))
    angle = 2 * np.pi * frame.clock / period
    for order in range(1, HARMONICS + 1):
        power = 2 * ive(order, 1 / width**2)
        # A harmonic above the grid's own highest frequency would come back as another one.
        amplitude = np.sqrt(power) * (order <= period / 2) * rng.standard_normal((2, size))
        path += amplitude[0] * np.cos(order * angle) + amplitude[1] * np.sin(order * angle)
    return path / np.sqrt(np.maximum(1 - ive(0, 1 / width**2), 1e-3))


def linear(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A straight line through a random point."""
    return rng.standard_normal(frame.size) * 2 * (frame.progress - rng.random(frame.size))


def matern(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Matern 1/2, the Ornstein-Uhlenbeck process: an AR(1)."""
    memory = log_uniform(rng, 0.5, 100.0, frame.size)
    return ar1(rng, np.exp(-1 / memory), frame.length)


KERNELS = (rbf, rational_quadratic, periodic, linear, matern)
WEIGHTS = np.array([0.22, 0.13, 0.35, 0.15, 0.15])


def _waves(rng: np.random.Generator, clock: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """sqrt(2/W) sum_w cos(frequency_w t + phase_w), (T, S); frequency (W, S) in radians a step."""
    phase = rng.uniform(0, 2 * np.pi, frequency.shape)
    path = np.zeros_like(clock)
    for row, start in zip(frequency, phase, strict=True):
        path += np.cos(row * clock + start)
    return path * np.sqrt(2 / len(frequency))


def _draw(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    choice = pick(rng, np.arange(len(KERNELS)), WEIGHTS, frame.size)
    paths = np.empty((frame.length, frame.size))
    for number, kernel in enumerate(KERNELS):
        rows = np.flatnonzero(choice == number)
        if len(rows):
            paths[:, rows] = kernel(rng, frame.subset(rows))
    return paths


@register("kernel", "step", source=SOURCE)
def kernel(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """One to four kernels joined by random sums and products, then noise and a link."""
    paths = _draw(rng, frame)
    for more in (0.9, 0.5, 0.25):
        rows = np.flatnonzero(chance(rng, more, frame.size))
        if len(rows) == 0:
            continue
        other = _draw(rng, frame.subset(rows))
        joined = paths[:, rows]
        paths[:, rows] = np.where(chance(rng, 0.65, len(rows)), joined + other, joined * other)
    return link(rng, frame, add_noise(rng, frame, spread(rng, frame, paths)))
