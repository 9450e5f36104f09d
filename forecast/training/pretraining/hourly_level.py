"""Families of hourly levels: load, smooth days, temperature, sun, price."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.hourly_profiles import (
    HOURS,
    any_profile,
    hourly_noise,
    make_week,
    persistent_days,
    profile_anomalies,
    unit,
    weekly_profile,
)
from forecast.training.pretraining.link import link
from forecast.training.pretraining.noise import ar1, garch, smooth_path
from forecast.training.pretraining.random_draws import chance, log_uniform, sometimes
from forecast.training.pretraining.registry import register


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
