"""Families in which something happens: level shifts, and shots that come and die away."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.link import link, noise_level, spread
from forecast.training.pretraining.noise import ar1, autoregression, jumps, random_walk
from forecast.training.pretraining.random_draws import chance, log_uniform, sometimes
from forecast.training.pretraining.registry import register
from forecast.training.pretraining.seasonal import moving_season, season_strength


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
