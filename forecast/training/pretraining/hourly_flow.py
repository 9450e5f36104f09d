"""Families of hourly series that count or flow: traffic, calls, free weeks, smoothing, kernels."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.counts import overdispersed
from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.gaussian_process import matern, rational_quadratic, rbf
from forecast.training.pretraining.hourly_profiles import (
    HOURS,
    Week,
    any_profile,
    hourly_noise,
    make_week,
    persistent_days,
    profile_anomalies,
    weekly_profile,
)
from forecast.training.pretraining.link import add_noise, link
from forecast.training.pretraining.noise import smooth_path
from forecast.training.pretraining.random_draws import chance, log_uniform, shocks, sometimes
from forecast.training.pretraining.registry import register
from forecast.training.pretraining.seasonal import lay_out

WEEK = 7 * HOURS


def _busy(rng: np.random.Generator, frame: Frame, week: Week, strongest: float) -> np.ndarray:
    """The log of how busy each hour is, (T, S): double season, day anomalies, growth."""
    size = frame.size
    swing = log_uniform(rng, 0.25, strongest, size)
    profile = weekly_profile(rng, week, any_profile(rng, size, (0.4, 0.1, 0.45, 0.05)), 0.85)
    level = week.hourly(persistent_days(rng, len(week.kind), size)) * log_uniform(
        rng, 0.01, 0.25, size
    )
    shape = profile_anomalies(rng, week, rng.uniform(0.0, 0.9, size)) * log_uniform(
        rng, 0.01, 0.2, size
    )
    growth = sometimes(rng, 0.5, rng.normal(0.0, 0.4, size)) * frame.progress
    slow = log_uniform(rng, 0.01, 0.3, size) * smooth_path(rng, frame.length, np.full(size, 300.0))
    return swing * profile + level + shape + growth + slow


@register("traffic", "day", source="log-linear flows with rush hours")
def traffic(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Road, foot and web traffic, hourly sales: multiplicative, quiet nights, busy at rush."""
    size, week = frame.size, make_week(rng, frame)
    path = _busy(rng, frame, week, 1.4)
    path += hourly_noise(rng, frame, 0.95) * log_uniform(rng, 0.01, 0.35, size)
    centre, _ = frame.moments(path)
    flow = np.exp(np.clip(path - centre, -5.0, 5.0))
    base = sometimes(rng, 0.4, log_uniform(rng, 0.02, 1.0, size))
    return flow + base


@register("calls", "day", count=True, source="negative binomial counts; Cameron and Trivedi (1998)")
def calls(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Counts by the hour, often small: calls, arrivals, orders; closed hours are exactly zero."""
    size, week = frame.size, make_week(rng, frame)
    path = _busy(rng, frame, week, 1.5)
    centre, _ = frame.moments(path)
    mean = log_uniform(rng, 0.3, 300.0, size) * np.exp(np.clip(path - centre, -5.0, 3.0))
    quiet = np.where(
        chance(rng, 0.3, size), np.quantile(path, rng.uniform(0.1, 0.5), axis=0), -np.inf
    )
    drawn = overdispersed(rng, mean, log_uniform(rng, 1.5, 300.0, size))
    return np.where(path < quiet, 0.0, drawn)


@register("week", "day", source="free 168-hour season; Fourier with daily and weekly harmonics")
def week_season(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Any weekly cycle: every day a profile of its own or a common one, slowly replaced."""
    size = frame.size
    week = make_week(rng, frame)
    common = any_profile(rng, size, (0.4, 0.3, 0.2, 0.1))
    own = np.concatenate([any_profile(rng, size, (0.4, 0.3, 0.2, 0.1)) for _ in range(7)])
    share = rng.uniform(0.0, 0.6, size)
    levels = np.repeat(rng.standard_normal((7, size)), HOURS, axis=0) * rng.uniform(0.0, 0.8, size)
    cycle = (1 - share) * np.tile(common, (7, 1)) + share * own + levels
    season = np.full(size, WEEK)
    phase = rng.integers(0, WEEK, size).astype(np.float64)
    path = lay_out(cycle, season, phase, frame.length)
    memory = log_uniform(rng, 100.0, 1000.0, size)
    path *= np.exp(log_uniform(rng, 0.02, 0.4, size) * smooth_path(rng, frame.length, memory))
    path += profile_anomalies(rng, week, rng.uniform(0.0, 0.95, size)) * log_uniform(
        rng, 0.02, 0.5, size
    )
    path += hourly_noise(rng, frame, 0.97) * log_uniform(rng, 0.02, 0.6, size)
    path += sometimes(rng, 0.6, rng.normal(0.0, 0.8, size)) * frame.progress
    return link(rng, frame, path * log_uniform(rng, 0.05, 0.8, size))


@register("double_smoothing", "day", source="Taylor (2003), double-seasonal exponential smoothing")
def double_smoothing(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """x = l + d_{t-24} + w_{t-168} + e; each of the three states takes up a share of e."""
    size = frame.size
    sigma = log_uniform(rng, 0.02, 0.4, size)
    noise = sigma * shocks(rng, frame.length, size)
    alpha, delta, omega = (rng.beta(1.0, b, size) for b in (5.0, 5.0, 7.0))
    delta, omega = 0.5 * delta, 0.5 * omega
    day = np.empty((frame.length + HOURS, size))
    day[:HOURS] = any_profile(rng, size, (0.4, 0.3, 0.2, 0.1))
    weekly = np.empty((frame.length + WEEK, size))
    weekly[:WEEK] = np.repeat(rng.standard_normal((7, size)), HOURS, axis=0) * rng.uniform(
        0, 0.8, size
    )
    weekly[:WEEK] += 0.3 * np.concatenate(
        [any_profile(rng, size, (0.6, 0.4, 0.0, 0.0)) for _ in range(7)]
    )
    turn = int(rng.integers(0, WEEK))
    weekly[:WEEK] = np.roll(weekly[:WEEK], turn, axis=0)
    day[:HOURS] = np.roll(day[:HOURS], turn, axis=0)
    level, path = np.zeros(size), np.empty((frame.length, size))
    for t in range(frame.length):
        path[t] = level + day[t] + weekly[t] + noise[t]
        level = level + alpha * noise[t]
        day[t + HOURS] = day[t] + delta * noise[t]
        weekly[t + WEEK] = weekly[t] + omega * noise[t]
    return link(rng, frame, path * log_uniform(rng, 0.05, 0.7, size))


@register("day_kernel", "day", source="KernelSynth (Ansari et al. 2024) with periods 24 and 168")
def day_kernel(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A periodic draw times and plus smooth and rough Gaussian-process draws."""
    size = frame.size
    cycle = lay_out(
        np.tile(any_profile(rng, size, (0.3, 0.3, 0.2, 0.2)), (7, 1)),
        np.full(size, WEEK),
        rng.integers(0, WEEK, size).astype(np.float64),
        frame.length,
    )
    smooth = np.where(chance(rng, 0.6, size), rbf(rng, frame), rational_quadratic(rng, frame))
    locally = 1 + log_uniform(rng, 0.05, 1.0, size) * rbf(rng, frame)
    path = cycle * locally + log_uniform(rng, 0.1, 2.0, size) * smooth
    path += sometimes(rng, 0.6, log_uniform(rng, 0.03, 0.8, size)) * matern(rng, frame)
    return link(rng, frame, add_noise(rng, frame, path) * log_uniform(rng, 0.05, 0.6, size))


@register("day_walk", "day", source="random walks and autoregressions with a weak daily season")
def day_walk(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Hourly series that hardly know the hour: rates, levels, queues."""
    size, week = frame.size, make_week(rng, frame)
    walk = np.cumsum(shocks(rng, frame.length, size), axis=0) / np.sqrt(frame.length)
    noise = hourly_noise(rng, frame, 0.995)
    path = np.where(chance(rng, 0.5, size), walk * 2, noise)
    profile = any_profile(rng, size, (0.4, 0.3, 0.2, 0.1))[week.hour, np.arange(size)[None, :]]
    path += sometimes(rng, 0.6, log_uniform(rng, 0.05, 0.7, size)) * profile
    return link(rng, frame, path * log_uniform(rng, 0.02, 0.4, size))
