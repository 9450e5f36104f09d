"""Stochastic paths, (T, S): autoregressions, random walks, smooth drifts, volatility, jumps."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.random_draws import shocks


def autoregression(
    noise: np.ndarray, coefficients: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """x_t = sum_i coefficients[i] x_{t-i-1} + noise_t, each series with its own coefficients.

    noise (T, S); coefficients (P, S); start (S,), the value of x before the first step (default 0).
    """
    order, size = coefficients.shape
    steps = len(noise)
    path = np.zeros((steps + order, size))
    if start is not None:
        path[:order] = start
    for t in range(steps):
        row = noise[t].copy()
        for lag in range(order):
            row += coefficients[lag] * path[t + order - 1 - lag]
        path[t + order] = row
    return path[order:]


def ar1(rng: np.random.Generator, phi: np.ndarray, steps: int) -> np.ndarray:
    """Stationary AR(1) of unit variance, (steps, S); `phi` (S,) in (-1, 1)."""
    size = len(phi)
    noise = shocks(rng, steps, size) * np.sqrt(1 - phi**2)
    return autoregression(noise, phi[None, :], rng.standard_normal(size))


def seasonal_recursion(
    noise: np.ndarray, phi: np.ndarray, season: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """x_t = phi x_{t-m} + noise_t with m = season of the series.

    noise (T, S); phi, season (S,); start (M, S) holds x before the first step, M >= the longest
    season, its last row being the step just before.
    """
    lead, columns = len(start), np.arange(noise.shape[1])
    path = np.concatenate([start, np.zeros_like(noise)])
    for t in range(lead, len(path)):
        path[t] = phi * path[t - season, columns] + noise[t - lead]
    return path[lead:]


def moving_average(noise: np.ndarray, theta: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """noise_t + theta noise_{t-lag}, (T, S); `theta`, `lag` (S,); nothing before the first step."""
    steps, size = noise.shape
    source = np.arange(steps)[:, None] - lag[None, :]
    past = noise[np.maximum(source, 0), np.arange(size)[None, :]]
    return noise + theta * np.where(source >= 0, past, 0.0)


def random_walk(rng: np.random.Generator, steps: int, size: int) -> np.ndarray:
    """Sum of unit shocks, (steps, size)."""
    return np.cumsum(shocks(rng, steps, size), axis=0)


def smooth_path(rng: np.random.Generator, steps: int, memory: np.ndarray) -> np.ndarray:
    """A slowly changing path of unit variance, (steps, S): an AR(1) filtered by a second one.

    memory (S,): its correlation time in steps.
    """
    phi = np.exp(-2.0 / np.maximum(memory, 1.0))
    once = ar1(rng, phi, steps)
    twice = autoregression(once * (1 - phi), phi[None, :], once[0])
    # Variance of an AR(1) filtered by 1/(1 - phi B), after Wold: (1+phi^2)/(1+phi)^2 of the input.
    return twice * (1 + phi) / np.sqrt(1 + phi**2)


def garch(rng: np.random.Generator, steps: int, size: int) -> np.ndarray:
    """GARCH(1,1) noise of unit unconditional variance, (steps, size); Bollerslev (1986).

    v_t = (1 - a - b) + a e_{t-1}^2 + b v_{t-1}, e_t = sqrt(v_t) z_t.
    """
    reaction = rng.uniform(0.05, 0.35, size)
    memory = rng.uniform(0.5, 0.98, size) * (1 - reaction)
    z = rng.standard_normal((steps, size))
    variance = np.ones(size)
    noise = np.empty((steps, size))
    for t in range(steps):
        noise[t] = np.sqrt(variance) * z[t]
        variance = (1 - reaction - memory) + reaction * noise[t] ** 2 + memory * variance
        variance = np.minimum(variance, 50.0)
    return noise


def jumps(rng: np.random.Generator, steps: int, rate: np.ndarray) -> np.ndarray:
    """Unit normal shocks at random steps, zero elsewhere, (steps, S); `rate` (S,) a step."""
    size = len(rate)
    hit = rng.random((steps, size)) < rate
    return np.where(hit, rng.standard_normal((steps, size)), 0.0)
