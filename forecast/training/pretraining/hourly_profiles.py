"""The clock of hourly series, their daily profiles, and what differs from one day to the next.

Axes: T hours, S series, D days (the whole and broken ones that T hours can touch).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.noise import ar1
from forecast.training.pretraining.random_draws import chance, log_uniform, pick, shocks, sometimes

HOURS = 24
WORKDAY, SATURDAY, SUNDAY = 0, 1, 2


@dataclass(frozen=True)
class Week:
    """Where each hour lies.

    hour  int64 (T, S): hour of the day, 0 to 23; the first one is arbitrary
    day   int64 (T, S): number of the day, from 0
    kind  int64 (D, S): WORKDAY, SATURDAY or SUNDAY; holidays count as Sundays
    """

    hour: np.ndarray
    day: np.ndarray
    kind: np.ndarray

    def hourly(self, daily: np.ndarray) -> np.ndarray:
        """`daily` (D, S) for each hour of its day, (T, S)."""
        return daily[self.day, np.arange(daily.shape[1])[None, :]]

    def glide(self, daily: np.ndarray) -> np.ndarray:
        """As `hourly`, but linear from one noon-to-noon day to the next, without steps; (T, S)."""
        columns = np.arange(daily.shape[1])[None, :]
        following = daily[np.minimum(self.day + 1, len(daily) - 1), columns]
        here = daily[self.day, columns]
        return here + (self.hour / HOURS) * (following - here)


def make_week(rng: np.random.Generator, frame: Frame) -> Week:
    """Clocks that start at any hour of any weekday; some series have holidays, some no weekend."""
    size = frame.size
    moment = np.arange(frame.length)[:, None] + rng.integers(0, HOURS, size)[None, :]
    days = frame.length // HOURS + 2
    weekday = (np.arange(days)[:, None] + rng.integers(0, 7, size)[None, :]) % 7
    kind = np.where(weekday == 6, SUNDAY, np.where(weekday == 5, SATURDAY, WORKDAY))
    # Friday and Saturday off, or Sunday alone: the same week with another kind of Saturday.
    kind = np.where((kind == SATURDAY) & chance(rng, 0.2, size), WORKDAY, kind)
    holiday = rng.random((days, size)) < sometimes(rng, 0.4, rng.uniform(0.01, 0.05, size))
    return Week(moment % HOURS, moment // HOURS, np.where(holiday, SUNDAY, kind))


def bumps(rng: np.random.Generator, size: int, most: int = 3) -> np.ndarray:
    """Smooth daily profiles, (24, size): one to `most` peaks of any hour and width (von Mises)."""
    angle = 2 * np.pi * np.arange(HOURS)[:, None] / HOURS
    profile = np.zeros((HOURS, size))
    first = rng.uniform(0, 2 * np.pi, size)
    for number in range(most):
        centre = first + np.where(number == 0, 0.0, rng.uniform(0.5, 5.8, size))
        sharpness = log_uniform(rng, 0.4, 25.0, size)
        height = 1.0 if number == 0 else rng.uniform(0.0, 1.0, size) * chance(rng, 0.6, size)
        profile += height * np.exp(sharpness * (np.cos(angle - centre) - 1))
    return unit(profile)


def wave(rng: np.random.Generator, size: int) -> np.ndarray:
    """Nearly sinusoidal profiles, (24, size), with a faster rise than fall or the reverse."""
    angle = 2 * np.pi * np.arange(HOURS)[:, None] / HOURS + rng.uniform(0, 2 * np.pi, size)
    skew = rng.uniform(-0.9, 0.9, size)
    second = rng.normal(0.0, 0.12, size)
    return unit(np.cos(angle + skew * np.sin(angle)) + second * np.cos(2 * angle))


def office(rng: np.random.Generator, size: int) -> np.ndarray:
    """Plateau profiles, (24, size): open hours with steep edges, sometimes a midday dip or rush."""
    hour = np.arange(HOURS)[:, None].astype(np.float64)
    opens, stays = rng.uniform(4.5, 10.5, size), rng.uniform(5.0, 15.0, size)
    edge = log_uniform(rng, 0.25, 2.0, size)
    rise = 1 / (1 + np.exp(-(hour - opens) / edge))
    fall = 1 / (1 + np.exp((hour - opens - stays) / edge))
    rush = rng.uniform(0.0, 1.2, size) * chance(rng, 0.5, size)
    peaks = np.exp(-0.5 * ((hour - opens - 1) / 1.2) ** 2)
    peaks = peaks + rng.uniform(0.3, 1.3, size) * np.exp(
        -0.5 * ((hour - opens - stays + 1) / 1.5) ** 2
    )
    tilt = rng.normal(0.0, 0.25, size) * (hour - 12) / 12
    return unit(rise * fall * (1 + tilt) + rush * peaks)


def rough(rng: np.random.Generator, size: int) -> np.ndarray:
    """Profiles of unrelated hours smoothed a little or not at all, (24, size)."""
    profile = rng.standard_normal((HOURS, size))
    share = rng.uniform(0.0, 0.5, size)
    return unit(profile + share * (np.roll(profile, 1, axis=0) + np.roll(profile, -1, axis=0)))


def any_profile(rng: np.random.Generator, size: int, weights: tuple[float, ...]) -> np.ndarray:
    """(24, size): `bumps`, `wave`, `office`, `rough` with these `weights`."""
    makers = (bumps, wave, office, rough)
    choice = pick(rng, np.arange(4), np.array(weights), size)
    profile = np.empty((HOURS, size))
    for number, maker in enumerate(makers):
        rows = np.flatnonzero(choice == number)
        if len(rows):
            profile[:, rows] = maker(rng, len(rows))
    return profile


def unit(profile: np.ndarray) -> np.ndarray:
    """`profile` (24, S) with mean 0 and deviation 1 over the day."""
    centred = profile - profile.mean(axis=0)
    return centred / np.maximum(centred.std(axis=0), 1e-9)


def weekly_profile(
    rng: np.random.Generator, week: Week, weekday: np.ndarray, weekend: float
) -> np.ndarray:
    """The daily profile of each hour, (T, S), from that of workdays, `weekday` (24, S).

    On Sundays it gives way to another profile, lower and flatter, on Saturdays half-way, in all but
    a share 1 - `weekend` of the series.
    """
    size = weekday.shape[1]
    other = any_profile(rng, size, (0.5, 0.3, 0.15, 0.05))
    differs = chance(rng, weekend, size)
    blend = rng.uniform(0.0, 0.8, size) * differs
    level = rng.normal(-0.5, 0.7, size) * differs
    damping = 1 - differs * rng.uniform(0.0, 0.6, size)
    sunday = ((1 - blend) * weekday + blend * other) * damping + level
    share = rng.uniform(0.2, 1.0, size)
    saturday = (1 - share) * weekday + share * sunday
    table = np.stack([weekday, saturday, sunday])
    kind = week.hourly(week.kind)
    return table[kind, week.hour, np.arange(size)[None, :]]


def persistent_days(rng: np.random.Generator, days: int, size: int) -> np.ndarray:
    """Day-to-day anomalies of unit variance, (days, size): AR(1), from fresh to lasting."""
    return ar1(rng, np.where(chance(rng, 0.8, size), rng.uniform(0.3, 0.95, size), 0.0), days)


def profile_anomalies(rng: np.random.Generator, week: Week, memory: np.ndarray) -> np.ndarray:
    """What is unusual about the hours of a day and lasts for days, (T, S), of unit variance.

    Three smooth shapes within the day, each with its own AR(1) from day to day; memory (S,).
    """
    size = len(memory)
    days = len(week.kind)
    total = np.zeros(week.hour.shape)
    columns = np.arange(size)[None, :]
    for _ in range(3):
        shape = wave(rng, size) if rng.random() < 0.5 else bumps(rng, size, 2)
        total += week.glide(ar1(rng, memory, days)) * shape[week.hour, columns]
    return total / np.sqrt(3.0)


def hourly_noise(rng: np.random.Generator, frame: Frame, smoothest: float) -> np.ndarray:
    """Noise of unit variance, (T, S): an AR(1) with persistence up to `smoothest`, or white."""
    size = frame.size
    phi = rng.uniform(0.3, smoothest, size)
    white = chance(rng, 0.2, size)
    return np.where(white, shocks(rng, frame.length, size), ar1(rng, phi, frame.length))
