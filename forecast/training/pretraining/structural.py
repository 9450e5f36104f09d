"""Families built from parts: trend + season + noise; random walks, growth, cycles, volatility."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.base import (
    Frame,
    chance,
    leaning,
    link,
    log_uniform,
    noise_level,
    register,
    shocks,
    sometimes,
    spread,
)
from forecast.training.pretraining.components import (
    ar1,
    autoregression,
    broken_line,
    damped_line,
    garch,
    lay_out,
    long_cycle,
    moving_average,
    moving_season,
    profiles,
    random_walk,
    saturating,
    season_strength,
    seasonal_recursion,
    smooth_path,
    yearly_growth,
)

HARVEY = "Harvey (1989), structural time series models"


@register("structural", "step", source=HARVEY)
def structural(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Broken-line trend, moving season and autoregressive noise, at varied ratios."""
    size = frame.size
    sigma = noise_level(rng, frame, 0.005, 0.25)
    phi = sometimes(rng, 0.6, rng.uniform(-0.3, 0.95, size))
    level = sigma * sometimes(rng, 0.65, log_uniform(rng, 0.04, 1.5, size))
    # What wanders adds up over the time of a step, what is noise averages out.
    level = level * np.clip((12 / frame.year) ** 0.35, 1.0, 2.4)
    trend = sometimes(rng, 0.85, broken_line(rng, frame)) + level * random_walk(
        rng, frame.length, size
    )
    strength = season_strength(rng, sigma, 0.75, 0.2, 10.0)
    noise = sigma * ar1(rng, phi, frame.length)
    return link(rng, frame, trend + strength * moving_season(rng, frame) + noise)


@register("walk", "step", source="random walk with drift; Nelson and Plosser (1982)")
def walk(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A random walk with drift, short memory in its changes, sometimes a weak season and noise."""
    size = frame.size
    sigma = log_uniform(rng, 0.01, 0.3, size) / np.sqrt(np.minimum(frame.year, 52.0))
    change = ar1(rng, sometimes(rng, 0.4, rng.uniform(-0.4, 0.7, size)), frame.length)
    change = moving_average(
        change, sometimes(rng, 0.2, rng.uniform(-0.7, 0.0, size)), np.ones(size, int)
    )
    drift = sometimes(rng, 0.7, 0.3 * leaning(rng, size))
    path = np.cumsum(change, axis=0) + drift * np.maximum(frame.clock, 0.0)
    strength = sometimes(rng, 0.3, log_uniform(rng, 0.3, 5.0, size))
    speckle = sometimes(rng, 0.3, log_uniform(rng, 0.1, 2.0, size))
    noise = speckle * rng.standard_normal(path.shape)
    return link(rng, frame, sigma * (path + strength * moving_season(rng, frame) + noise))


@register("growth", "step", source="Gardner and McKenzie (1985), damped trend; logistic, Gompertz")
def growth(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Damped or saturating growth, seasonal or not, with quiet autoregressive noise."""
    size = frame.size
    curve = np.where(chance(rng, 0.5, size), damped_line(rng, frame), saturating(rng, frame))
    sigma = noise_level(rng, frame, 0.005, 0.2)
    strength = season_strength(rng, sigma, 0.6, 0.2, 8.0)
    phi = sometimes(rng, 0.7, rng.uniform(0.0, 0.97, size))
    noise = sigma * ar1(rng, phi, frame.length)
    return link(rng, frame, curve + strength * moving_season(rng, frame) + noise)


@register("cycle", "step", source=HARVEY + ", stochastic cycles")
def cycle(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A business cycle or another slow oscillation, with season, trend and noise."""
    size = frame.size
    strength = sometimes(rng, 0.6, log_uniform(rng, 0.1, 2.0, size))
    noise = log_uniform(rng, 0.03, 0.8, size) * ar1(rng, rng.uniform(0.0, 0.9, size), frame.length)
    slope = sometimes(rng, 0.6, 2 * leaning(rng, size)) * frame.progress
    path = long_cycle(rng, frame) + strength * moving_season(rng, frame) + slope + noise
    return link(rng, frame, spread(rng, frame, path))


@register(
    "volatility", "step", source="Bollerslev (1986), GARCH(1,1); Taylor (1986), log volatility"
)
def volatility(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Noise whose size comes in clusters, around a level, a walk or a season."""
    size = frame.size
    calm = garch(rng, frame.length, size)
    slow = rng.uniform(0.3, 1.0, size) * smooth_path(
        rng, frame.length, log_uniform(rng, 5, 80, size)
    )
    noise = np.where(chance(rng, 0.6, size), calm, np.exp(slow) * shocks(rng, frame.length, size))
    walking = chance(rng, 0.55, size)
    back = rng.uniform(0.0, 0.9, size)
    carried = moving_average(noise, back, np.ones(size, int))
    path = np.where(walking, np.cumsum(noise, axis=0), carried)
    sigma = np.where(
        walking, log_uniform(rng, 0.004, 0.08, size), log_uniform(rng, 0.02, 0.3, size)
    )
    strength = sometimes(rng, 0.4, log_uniform(rng, 0.3, 5.0, size))
    return link(rng, frame, sigma * (path + strength * moving_season(rng, frame)))


@register("envelope", "step", seasons=(4, 5, 6, 7, 12, 13, 24, 52), source="TempoPFN (2025)")
def envelope(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A fast carrier (the season) times a slow envelope, itself often periodic (7 x 52, 12 x 5)."""
    size = frame.size
    carrier = moving_season(rng, frame)
    memory = frame.season * log_uniform(rng, 3.0, 20.0, size)
    wave = 1 + rng.uniform(0.2, 1.2, size) * long_cycle(rng, frame)
    slow = np.where(
        chance(rng, 0.5, size), wave, np.exp(0.6 * smooth_path(rng, frame.length, memory))
    )
    base = sometimes(rng, 0.6, rng.normal(0.0, 1.5, size)) * slow
    noise = log_uniform(rng, 0.03, 0.7, size) * shocks(rng, frame.length, size)
    loud = np.where(chance(rng, 0.4, size), np.abs(slow), 1.0)
    return link(rng, frame, spread(rng, frame, carrier * slow + base + noise * loud))


# --- Family: exponential-smoothing state space ---------------------------------------------------


SMOOTHING_SOURCE = "Hyndman, Koehler, Ord and Snyder (2008), innovations form, chapter 2"


@register("smoothing", "step", source=SMOOTHING_SOURCE)
def smoothing(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """x_t = l + phi b + s + e; l += phi b + alpha e; b = phi b + beta e; s += gamma e.

    s is the season's state of m steps ago.

    In log units before the link, so that the exponential link gives the multiplicative forms.
    """
    size = frame.size
    sigma = noise_level(rng, frame, 0.006, 0.3)
    alpha = rng.beta(1.1, np.where(frame.year < 12, 0.9, 1.4))
    beta = sometimes(rng, 0.45, alpha * rng.beta(1.0, 6.0, size))
    gamma = sometimes(rng, 0.6, (1 - alpha) * rng.beta(1.0, 5.0, size))
    phi = np.where(chance(rng, 0.5, size), rng.uniform(0.8, 0.995, size), 1.0)
    noise = sigma * shocks(rng, frame.length, size)
    slope = (
        yearly_growth(rng, size) / frame.year
        + sometimes(rng, 0.4, 0.3 * leaning(rng, size)) * sigma
    )
    strength = season_strength(rng, sigma, 0.75, 0.2, 8.0)
    season = lay_out(
        profiles(rng, frame.season), frame.season, np.zeros(size), int(frame.season.max())
    )
    paths = _recursion(noise, (alpha, beta, gamma, phi), slope, season * strength, frame)
    return link(rng, frame, paths)


def _recursion(
    noise: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    slope: np.ndarray,
    season: np.ndarray,
    frame: Frame,
) -> np.ndarray:
    """The recursion above from level 0, `slope` (S,) and the seasonal states `season` (M, S).

    The slope acts inside the series only: a short series does not begin far from its level.
    """
    alpha, beta, gamma, phi = weights
    lead, columns = len(season), np.arange(frame.size)
    gamma = np.where(frame.season > 1, gamma, 0.0)
    states = np.concatenate([season, np.zeros_like(noise)])
    level, paths = np.zeros(frame.size), np.empty_like(noise)
    started = frame.length - frame.lengths
    for t in range(len(noise)):
        running = np.where(t >= started, phi * slope, 0.0)
        last = states[t + lead - frame.season, columns]
        paths[t] = level + running + last + noise[t]
        level = level + running + alpha * noise[t]
        slope = np.where(t >= started, running + beta * noise[t], slope)
        states[t + lead] = last + gamma * noise[t]
    return paths


# --- Family: seasonal ARIMA with random poles, stable by construction ----------------------------


SARIMA_SOURCE = "Box and Jenkins (1970); poles drawn directly as in SarSim0 (2025)"
BURN = 48  # steps before the series, for the autoregression to forget its start


@register("sarima", "step", source=SARIMA_SOURCE)
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
