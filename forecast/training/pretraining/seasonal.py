"""Seasonal profiles (Fourier, rough, spiky) and how their shape and strength move."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.noise import smooth_path
from forecast.training.pretraining.random_draws import chance, log_uniform, pick, sometimes

STRONGEST = 0.8  # deviation of a season in log units


def fourier_profiles(rng: np.random.Generator, season: np.ndarray) -> np.ndarray:
    """Smooth profiles, (M, S): a few harmonics with amplitudes that fall off with their order."""
    size, longest = len(season), int(season.max())
    highest = np.minimum(season // 2, rng.integers(1, 7, size))
    decay = rng.uniform(0.3, 1.5, size)
    angle = 2 * np.pi * np.arange(longest)[:, None] / season[None, :]
    profile = np.zeros((longest, size))
    for order in range(1, 7):
        amplitude = rng.standard_normal((2, size)) * order**-decay * (order <= highest)
        profile += amplitude[0] * np.cos(order * angle) + amplitude[1] * np.sin(order * angle)
    return profile


def rough_profiles(rng: np.random.Generator, season: np.ndarray) -> np.ndarray:
    """Unrelated values for the seasons of a cycle, (M, S)."""
    return rng.standard_normal((int(season.max()), len(season)))


def spiky_profiles(rng: np.random.Generator, season: np.ndarray) -> np.ndarray:
    """Flat profiles with one to three peaks or dips, (M, S): December, a holiday, a closed day."""
    size, longest = len(season), int(season.max())
    profile = 0.15 * rng.standard_normal((longest, size))
    position = np.arange(longest)[:, None]
    sign = np.where(chance(rng, 0.7, size), 1.0, -1.0)
    for _ in range(3):
        centre = rng.integers(0, season)
        width = np.maximum(season / 52 * rng.uniform(0.5, 2.0, size), 0.4)
        away = np.abs(position - centre)
        away = np.minimum(away, season - away)
        height = sign * rng.gamma(2.0, 1.0, size) * chance(rng, 0.6, size)
        profile += height * np.exp(-0.5 * (away / width) ** 2)
    return profile


def profiles(rng: np.random.Generator, season: np.ndarray) -> np.ndarray:
    """One profile a series, (M, S) with M the longest season: mean 0, deviation 1 over its cycle.

    Rows beyond a series' own season are zero; so is the whole profile where the season is 1.
    """
    kinds = (fourier_profiles, rough_profiles, spiky_profiles)
    choice = pick(rng, np.arange(3), np.array([0.5, 0.3, 0.2]), len(season))
    drawn = np.zeros((int(season.max()), len(season)))
    for number, kind in enumerate(kinds):
        rows = np.flatnonzero(choice == number)
        if len(rows):
            made = kind(rng, season[rows])
            drawn[: len(made), rows] = made
    return _unit_cycle(drawn, season)


def _unit_cycle(profile: np.ndarray, season: np.ndarray) -> np.ndarray:
    inside = np.arange(len(profile))[:, None] < season[None, :]
    mean = np.where(inside, profile, 0.0).sum(axis=0) / season
    centred = np.where(inside, profile - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / season)
    return centred / np.maximum(deviation, 1e-9) * (season > 1)


def lay_out(profile: np.ndarray, season: np.ndarray, phase: np.ndarray, steps: int) -> np.ndarray:
    """The profile (M, S) repeated over `steps` from each series' `phase`, (steps, S).

    phase: (S,) or (steps, S), in steps, fractional phases interpolated linearly.
    """
    position = np.mod(np.arange(steps)[:, None] + phase, season)
    low = np.minimum(position.astype(np.int64), season - 1)
    share = position - low
    columns = np.arange(profile.shape[1])[None, :]
    here, following = profile[low, columns], profile[(low + 1) % season, columns]
    return here + share * (following - here)


def season_strength(
    rng: np.random.Generator, sigma: np.ndarray, share: float, low: float, high: float
) -> np.ndarray:
    """Deviation of the season in log units, (S,): `low` to `high` times the noise `sigma`, at most
    STRONGEST, in a `share` of the series; zero in the others."""
    return sometimes(
        rng, share, np.minimum(sigma * log_uniform(rng, low, high, len(sigma)), STRONGEST)
    )


def moving_season(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A seasonal component of about unit deviation, (T, S), of which many drift slowly.

    Amplitude: exp of a slow path; shape: one profile gives way to another; phase: some cycles slip
    by a step or two over the series (52 weeks are not a year).
    """
    size, season = frame.size, frame.season
    phase = rng.integers(0, season).astype(np.float64)
    slip = np.where(chance(rng, 0.15, size), rng.normal(0.0, 0.02, size) * season, 0.0)
    slip = np.where(season == 52, np.where(chance(rng, 0.6, size), -1.25, slip), slip)
    cycles = np.arange(frame.length)[:, None] / (season * np.where(season == 52, 1.0, 4.0))
    moving = phase + np.where(season > 4, slip, 0.0) * cycles
    first = lay_out(profiles(rng, season), season, moving, frame.length)
    drifting = np.flatnonzero(chance(rng, 0.3, size))
    if len(drifting):
        part = frame.subset(drifting)
        second = lay_out(profiles(rng, part.season), part.season, moving[:, drifting], frame.length)
        share = part.progress * rng.uniform(0.2, 1.0, len(drifting))
        first[:, drifting] = (1 - share) * first[:, drifting] + share * second
    memory = season * log_uniform(rng, 3.0, 30.0, size)
    strength = np.where(chance(rng, 0.4, size), rng.uniform(0.05, 0.5, size), 0.0)
    return first * np.exp(strength * smooth_path(rng, frame.length, memory))
