"""Families of counts: overdispersed, zero-inflated, intermittent."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.base import (
    Frame,
    chance,
    link,
    log_uniform,
    noise_level,
    register,
    sometimes,
    spread,
)
from forecast.training.pretraining.components import (
    ar1,
    autoregression,
    broken_line,
    jumps,
    moving_season,
    random_walk,
    season_strength,
    smooth_path,
)

LARGEST = 1e6  # of a mean count


@register(
    "counts", "step", count=True, source="negative binomial regression; Cameron and Trivedi (1998)"
)
def counts(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Poisson or negative binomial counts around a slowly moving, weakly seasonal mean."""
    size = frame.size
    path = sometimes(rng, 0.7, np.ones(size)) * broken_line(rng, frame)
    path += sometimes(rng, 0.6, log_uniform(rng, 0.03, 0.8, size)) * moving_season(rng, frame)
    memory = log_uniform(rng, 3.0, 120.0, size)
    path += sometimes(rng, 0.6, log_uniform(rng, 0.03, 0.6, size)) * smooth_path(
        rng, frame.length, memory
    )
    dispersion = np.where(chance(rng, 0.35, size), 1e4, log_uniform(rng, 1.0, 100.0, size))
    drawn = overdispersed(rng, _mean(path, log_uniform(rng, 0.6, 800.0, size), frame), dispersion)
    closed = sometimes(rng, 0.12, rng.uniform(0.02, 0.4, size))
    return drawn * (rng.random(drawn.shape) >= closed)


@register("intermittent", "step", count=True, source="Croston (1972); Syntetos and Boylan (2005)")
def intermittent(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Demand at some steps only, in runs or alone, more often in season; sizes above one unit."""
    size, steps = frame.size, frame.length
    base = log_uniform(rng, 0.04, 0.8, size)
    path = sometimes(rng, 0.4, rng.uniform(0.2, 1.2, size)) * moving_season(rng, frame)
    path += sometimes(rng, 0.4, rng.normal(0.0, 1.0, size)) * (frame.progress - 0.5)
    path += sometimes(rng, 0.3, rng.uniform(0.3, 1.5, size)) * smooth_path(
        rng, steps, np.full(size, 12.0)
    )
    happens = rng.random((steps, size)) < np.clip(base * np.exp(path), 0.0, 0.97)
    mean = log_uniform(rng, 0.2, 60.0, size)
    sizes = 1 + overdispersed(
        rng, np.broadcast_to(mean, (steps, size)), log_uniform(rng, 0.5, 30.0, size)
    )
    return np.where(happens, sizes, 0.0)


@register("stock", "step", count=True, source="integer autoregression (AR of the log mean)")
def stock(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Counts whose mean follows a mean-reverting walk: cases, orders, people present."""
    size = frame.size
    pull = rng.uniform(0.7, 0.995, size)
    noise = rng.standard_normal((frame.length, size)) * log_uniform(rng, 0.02, 0.3, size)
    path = np.where(
        chance(rng, 0.8, size),
        autoregression(noise, pull[None, :]),
        0.05 * random_walk(rng, frame.length, size),
    )
    strength = sometimes(rng, 0.5, log_uniform(rng, 0.05, 0.6, size))
    mean = _mean(
        path + strength * moving_season(rng, frame), log_uniform(rng, 1.0, 500.0, size), frame
    )
    return overdispersed(rng, mean, log_uniform(rng, 3.0, 1000.0, size))


def overdispersed(rng: np.random.Generator, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Negative binomial counts, (T, S), variance mean + mean^2/dispersion: gamma-mixed Poisson."""
    factor = rng.standard_gamma(dispersion, mean.shape) / dispersion
    return rng.poisson(np.minimum(mean * factor, 10 * LARGEST)).astype(np.float64)


def _mean(path: np.ndarray, level: np.ndarray, frame: Frame) -> np.ndarray:
    centre, _ = frame.moments(path)
    return np.minimum(level * np.exp(np.clip(path - centre, -4.0, 3.0)), LARGEST)


# --- Families in which something happens: level shifts, and shots that come and die away ---------


@register("shifts", "step", source="Chen and Liu (1993), level shifts and ramps")
def shifts(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A level that jumps now and then, with or without a season that goes on through it."""
    size = frame.size
    sigma = noise_level(rng, frame, 0.01, 0.2)
    rate = log_uniform(rng, 0.6, 8.0, size) / frame.lengths
    steps = np.cumsum(jumps(rng, frame.length, rate), axis=0) * log_uniform(rng, 1.5, 12.0, size)
    strength = season_strength(rng, sigma, 0.6, 0.3, 6.0)
    noise = ar1(rng, sometimes(rng, 0.5, rng.uniform(0.0, 0.9, size)), frame.length)
    return link(rng, frame, sigma * (steps + noise) + strength * moving_season(rng, frame))


@register("shots", "step", source="shot noise, Rice (1944); sawtooth of stocks refilled")
def shots(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Sudden rises (or falls) and slow returns: news, epidemics, replenished stocks, price cycles.

    The events come at random or with a rhythm; the return is exponential, each event adding to what
    is left of the last, or a straight line back until the next event.
    """
    size = frame.size
    gap = np.maximum(log_uniform(rng, 3.0, 60.0, size), 2.0)
    gap = np.where((frame.season > 1) & chance(rng, 0.3, size), frame.season, gap)
    happens = _events(rng, frame, gap)
    height = happens * rng.gamma(2.0, 0.5, happens.shape)
    left = np.exp(-1 / (gap * log_uniform(rng, 0.05, 1.0, size)))
    fading = autoregression(height, left[None, :], start=1 / (gap * (1 - left)))
    steps = np.arange(frame.length)[:, None]
    since = steps - np.maximum.accumulate(np.where(happens, steps, 0), axis=0)
    sawtooth = -since / gap * rng.uniform(0.6, 1.0, size)
    path = np.where(chance(rng, 0.7, size), fading, sawtooth) * np.where(
        chance(rng, 0.8, size), 1, -1
    )
    walk = random_walk(rng, frame.length, size) / np.sqrt(frame.lengths)
    path += sometimes(rng, 0.6, log_uniform(rng, 0.1, 2.0, size)) * walk
    path += sometimes(rng, 0.3, log_uniform(rng, 0.1, 0.7, size)) * moving_season(rng, frame)
    path += log_uniform(rng, 0.01, 0.4, size) * rng.standard_normal(path.shape)
    return link(rng, frame, spread(rng, frame, path))


def _events(rng: np.random.Generator, frame: Frame, gap: np.ndarray) -> np.ndarray:
    """bool (T, S): events `gap` (S,) steps apart on average, Poisson or nearly regular."""
    random = rng.random((frame.length, frame.size)) < 1 / gap
    jitter = rng.uniform(0.0, 0.25, frame.size) * rng.standard_normal(random.shape)
    turns = np.floor(np.arange(frame.length)[:, None] / gap + rng.random(frame.size) + 0.2 * jitter)
    turns = np.maximum.accumulate(turns, axis=0)
    regular = np.diff(turns, axis=0, prepend=turns[:1]) > 0
    return np.where(chance(rng, 0.5, frame.size), random, regular)
