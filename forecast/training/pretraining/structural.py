"""Families built from parts: trend + season + noise; random walks, growth, cycles, volatility."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.link import link, noise_level, spread
from forecast.training.pretraining.noise import ar1, garch, moving_average, random_walk, smooth_path
from forecast.training.pretraining.random_draws import (
    chance,
    leaning,
    log_uniform,
    shocks,
    sometimes,
)
from forecast.training.pretraining.registry import register
from forecast.training.pretraining.seasonal import moving_season, season_strength
from forecast.training.pretraining.trends import broken_line, damped_line, long_cycle, saturating

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
