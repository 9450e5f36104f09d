"""Synthetic hourly series: the flow of a day and the level that days follow."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.base import (
    Frame,
    add_noise,
    chance,
    link,
    log_uniform,
    register,
    shocks,
    sometimes,
)
from forecast.training.pretraining.components import (
    HOURS,
    Week,
    any_profile,
    ar1,
    garch,
    hourly_noise,
    lay_out,
    make_week,
    persistent_days,
    profile_anomalies,
    smooth_path,
    unit,
    weekly_profile,
)
from forecast.training.pretraining.counts import overdispersed
from forecast.training.pretraining.gaussian_process import matern, rational_quadratic, rbf

# --- Families of hourly series that count or flow: traffic, calls, free weeks, smoothing,
# kernels


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


# --- Families of hourly levels: load, smooth days, temperature, sun, price -----------------------


@register("load", "day", source="double-seasonal electricity load; Taylor (2003)")
def load(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Electricity, heat, water: smooth double season; weather moves level and swing for days."""
    size, week = frame.size, make_week(rng, frame)
    swing = log_uniform(rng, 0.05, 0.45, size)
    profile = weekly_profile(rng, week, any_profile(rng, size, (0.4, 0.35, 0.2, 0.05)), 0.85)
    level = week.glide(persistent_days(rng, len(week.kind), size)) * log_uniform(
        rng, 0.05, 0.9, size
    )
    strength = week.glide(persistent_days(rng, len(week.kind), size)) * log_uniform(
        rng, 0.02, 0.4, size
    )
    shape = profile_anomalies(rng, week, rng.uniform(0.0, 0.9, size)) * log_uniform(
        rng, 0.03, 0.5, size
    )
    noise = hourly_noise(rng, frame, 0.98) * log_uniform(rng, 0.005, 0.2, size)
    season = smooth_path(rng, frame.length, np.full(size, 400.0)) * sometimes(
        rng, 0.7, log_uniform(rng, 0.05, 1.0, size)
    )
    return link(rng, frame, swing * (profile * np.exp(strength) + level + shape + noise + season))


@register("smooth_day", "day", source="amplitude- and level-modulated daily wave")
def smooth_day(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A nearly noiseless daily wave whose level and swing drift, with or without a weekend."""
    size, week = frame.size, make_week(rng, frame)
    columns = np.arange(size)[None, :]
    first, other = (any_profile(rng, size, (0.2, 0.7, 0.08, 0.02)) for _ in range(2))
    last = unit(first + rng.uniform(0.0, 0.6, size) * other)
    change = sometimes(rng, 0.6, rng.uniform(0.2, 1.0, size)) * frame.progress
    profile = (1 - change) * first[week.hour, columns] + change * last[week.hour, columns]
    weekly = weekly_profile(rng, week, first, 1.0)
    profile = np.where(chance(rng, 0.25, size), weekly, profile)
    memory = log_uniform(rng, 60.0, 1500.0, size)
    drift = rng.normal(0.0, 1.5, size) * frame.progress ** log_uniform(rng, 0.5, 2.0, size)
    level = sometimes(rng, 0.8, drift) + log_uniform(rng, 0.005, 0.5, size) * smooth_path(
        rng, frame.length, memory
    )
    swing = rng.normal(0.0, 0.3, size) * frame.progress + log_uniform(
        rng, 0.003, 0.2, size
    ) * smooth_path(rng, frame.length, 2 * memory)
    noise = hourly_noise(rng, frame, 0.98) * log_uniform(rng, 0.001, 0.1, size)
    days = week.glide(persistent_days(rng, len(week.kind), size)) * log_uniform(
        rng, 0.0005, 0.12, size
    )
    path = profile * np.exp(swing) + level + noise + days
    return link(rng, frame, path * log_uniform(rng, 0.04, 0.5, size))


@register("temperature", "day", source="daily wave times cloudiness on an AR(1) of weather")
def temperature(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Air temperature and its kin: fronts pass within days, clear days swing more; either sign."""
    size, week = frame.size, make_week(rng, frame)
    profile = any_profile(rng, size, (0.1, 0.9, 0.0, 0.0))[week.hour, np.arange(size)[None, :]]
    clear = np.exp(0.4 * week.glide(persistent_days(rng, len(week.kind), size)))
    weather = smooth_path(rng, frame.length, log_uniform(rng, 12.0, 150.0, size))
    noise = ar1(rng, rng.uniform(0.5, 0.97, size), frame.length) * log_uniform(
        rng, 0.03, 0.35, size
    )
    path = profile * clear + log_uniform(rng, 0.15, 2.0, size) * weather + noise
    return path + rng.normal(3.0, 4.0, size)


@register("solar", "day", source="clear-sky half sine times an AR(1) of clouds, zero at night")
def solar(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Sunshine and what it drives: exactly zero at night, cloudy days low, clear days alike."""
    size, week = frame.size, make_week(rng, frame)
    noon, half = rng.uniform(0.0, HOURS, size), rng.uniform(3.5, 8.5, size)
    half = half + rng.normal(0.0, 1.0, size) * frame.progress
    away = np.mod(week.hour - noon + HOURS / 2, HOURS) - HOURS / 2
    height = np.cos(np.clip(away / half, -1, 1) * np.pi / 2)
    sky = np.where(np.abs(away) < half, height, 0.0) ** rng.uniform(0.7, 1.6, size)
    day = week.glide(persistent_days(rng, len(week.kind), size))
    cloud = rng.normal(-1.0, 1.5, size) + rng.uniform(0.3, 2.0, size) * day
    cloud += log_uniform(rng, 0.05, 1.0, size) * ar1(
        rng, rng.uniform(0.4, 0.95, size), frame.length
    )
    return sky * (1 - rng.uniform(0.3, 0.95, size) / (1 + np.exp(-np.clip(cloud, -30, 30))))


@register("price", "day", source="spot prices: double season, GARCH noise, spikes; Weron (2014)")
def price(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Prices: a load-like season, clustered noise, spikes at peak hours that die within hours."""
    size, week = frame.size, make_week(rng, frame)
    profile = weekly_profile(rng, week, any_profile(rng, size, (0.7, 0.1, 0.15, 0.05)), 0.85)
    level = week.glide(persistent_days(rng, len(week.kind), size)) * rng.uniform(0.2, 1.2, size)
    noise = garch(rng, frame.length, size)
    noise = noise * log_uniform(rng, 0.05, 0.6, size)
    hit = rng.random(noise.shape) < log_uniform(rng, 0.0005, 0.02, size) * np.exp(0.8 * profile)
    height = hit * rng.gamma(1.5, 1.5, noise.shape) * np.where(chance(rng, 0.85, size), 1.0, -1.0)
    spikes = np.zeros_like(noise)
    fade, left = rng.uniform(0.1, 0.7, size), np.zeros(size)
    for t in range(frame.length):
        left = fade * left + height[t]
        spikes[t] = left
    slow = 0.5 * smooth_path(rng, frame.length, np.full(size, 200.0))
    path = profile + level + slow + noise + spikes
    values = link(rng, frame, path * log_uniform(rng, 0.05, 0.5, size))
    floor = np.where(chance(rng, 0.2, size), np.quantile(values, 0.05, axis=0), -np.inf)
    return np.maximum(values, floor)
