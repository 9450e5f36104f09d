"""Family: seasonal ARIMA with random poles, stable by construction."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.link import link, spread
from forecast.training.pretraining.noise import autoregression, moving_average, seasonal_recursion
from forecast.training.pretraining.random_draws import chance, leaning, shocks, sometimes
from forecast.training.pretraining.registry import register
from forecast.training.pretraining.seasonal import profiles

SOURCE = "Box and Jenkins (1970); poles drawn directly as in SarSim0 (2025)"
BURN = 48  # steps before the series, for the autoregression to forget its start


@register("sarima", "step", source=SOURCE)
def sarima(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """(1 - poles) (1 - Phi B^m) (1 - B)^d (1 - B^m)^D x = (1 + theta B) (1 + Theta B^m) e."""
    size, season = frame.size, frame.season
    noise = shocks(rng, frame.length + BURN, size)
    noise = moving_average(
        noise, sometimes(rng, 0.6, rng.uniform(-0.9, 0.6, size)), np.ones(size, int)
    )
    seasonal = (season > 1) & chance(rng, 0.75, size)
    differenced = seasonal & chance(rng, 0.6, size)
    theta = np.where(
        differenced,
        rng.uniform(-0.95, -0.1, size),
        sometimes(rng, 0.3, rng.uniform(-0.6, 0.6, size)),
    )
    noise = moving_average(noise, np.where(seasonal, theta, 0.0), season)
    noise = autoregression(noise, random_poles(rng, size))[BURN:]
    root = np.where(differenced, 1.0, np.where(seasonal, rng.uniform(0.2, 0.95, size), 0.0))
    size_of_cycle = np.where(seasonal, rng.lognormal(0.6, 0.9, size), 0.0)
    paths = seasonal_recursion(noise, root, season, _before(rng, season) * size_of_cycle)
    order = np.where(chance(rng, 0.6, size), 1, np.where(chance(rng, 0.08, size), 2, 0))
    drift = sometimes(rng, 0.5, 0.3 * leaning(rng, size))
    return link(rng, frame, spread(rng, frame, _integrate(paths, order, drift, frame)))


def random_poles(rng: np.random.Generator, size: int) -> np.ndarray:
    """AR(2) coefficients, (2, size), from two poles inside the unit circle, real or conjugate."""
    real = chance(rng, 0.7, size)
    first, second = rng.beta(2.0, 1.2, size), rng.beta(1.0, 2.0, size)
    first = np.where(chance(rng, 0.8, size), first, -first) * 0.98
    second = np.where(chance(rng, 0.5, size), second, -second) * chance(rng, 0.5, size)
    radius, angle = 0.98 * rng.beta(3.0, 1.5, size), rng.uniform(0.05, np.pi, size)
    return np.stack(
        [
            np.where(real, first + second, 2 * radius * np.cos(angle)),
            np.where(real, -first * second, -(radius**2)),
        ]
    )


def _before(rng: np.random.Generator, season: np.ndarray) -> np.ndarray:
    """A cycle of each series laid so that its last row is the step before the first, (M, S)."""
    cycle = profiles(rng, season)
    longest = len(cycle)
    row = np.arange(longest)[:, None] - (longest - season)[None, :]
    return np.where(row >= 0, cycle[np.maximum(row, 0), np.arange(len(season))[None, :]], 0.0)


def _integrate(paths: np.ndarray, order: np.ndarray, drift: np.ndarray, frame: Frame) -> np.ndarray:
    """`paths` (T, S) summed `order` (0, 1, 2) times, with `drift` a step where summed at all."""
    steady = np.maximum(frame.clock, 0.0) * drift * (order > 0)
    once = np.cumsum(paths, axis=0)
    twice = np.cumsum(once - once.mean(axis=0), axis=0)
    return np.where(order == 0, paths, np.where(order == 1, once, twice)) + steady
