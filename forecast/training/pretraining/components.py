"""Parts of synthetic series: noise, trends, seasonal and hourly profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.training.pretraining.base import (
    Frame,
    chance,
    heavy,
    leaning,
    log_uniform,
    pick,
    shocks,
    sometimes,
)

# --- Stochastic paths, (T, S): autoregressions, random walks, smooth drifts, volatility, jumps ---


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


# --- Trends, (T, S): broken lines, damped and saturating growth, long cycles; all in log units ---


def yearly_growth(rng: np.random.Generator, size: int) -> np.ndarray:
    """Growth rates a year in log units, (size,): heavy-tailed around 4.5 per cent, some zero."""
    return sometimes(rng, 0.9, 0.045 + 0.075 * heavy(rng, 3.0, (size,)))


def broken_line(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Piecewise linear growth: a slope with up to three breaks at random places."""
    slope = yearly_growth(rng, frame.size)
    line = slope * frame.clock / frame.year
    for _ in range(3):
        place = rng.uniform(0.1, 0.98, frame.size) * frame.lengths
        change = sometimes(rng, 0.25, 1.5 * yearly_growth(rng, frame.size) - slope * rng.random())
        line += change * np.maximum(frame.clock - place, 0.0) / frame.year
    return line


def damped_line(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Growth that dies away: total (1 - exp(-rate progress)), from Gardner and McKenzie's idea."""
    total = 0.8 * leaning(rng, frame.size)
    rate = log_uniform(rng, 0.7, 8.0, frame.size)
    return total * (1 - np.exp(-rate * frame.progress)) / (1 - np.exp(-rate))


def saturating(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Logistic, Gompertz or exponential growth or decline, in log units."""
    size = frame.size
    middle = rng.uniform(-0.2, 1.3, size)
    speed = log_uniform(rng, 2.0, 16.0, size)
    total = 1.2 * leaning(rng, size)
    argument = np.clip(speed * (frame.progress - middle), -30.0, 30.0)
    logistic = 1 / (1 + np.exp(-argument))
    gompertz = np.exp(-np.exp(-argument))
    power = frame.progress ** log_uniform(rng, 0.5, 3.0, size)
    kind = rng.integers(0, 3, size)
    return total * np.where(kind == 0, logistic, np.where(kind == 1, gompertz, power))


def long_cycle(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """A cycle much longer than the season, its length and strength wandering; unit amplitude.

    After the stochastic cycle of Harvey (1989): the cosine of a random walk with drift.
    """
    size = frame.size
    shortest = np.maximum(2.5 * frame.season, 5.0)
    period = np.exp(
        rng.uniform(np.log(shortest), np.log(np.maximum(2.0 * frame.lengths, 8.0 * shortest)))
    )
    wander = rng.uniform(0.0, 0.35, size) * np.sqrt(2 * np.pi / period)
    pace = 2 * np.pi / period + wander * rng.standard_normal((frame.length, size)) / np.sqrt(period)
    skew = sometimes(rng, 0.4, rng.uniform(-0.7, 0.7, size))
    angle = rng.uniform(0, 2 * np.pi, size) + np.cumsum(pace, axis=0)
    return np.cos(angle + skew * np.sin(angle))


# --- Seasonal profiles (Fourier, rough, spiky) and how their shape and strength move -------------


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


# --- The clock of hourly series, their daily profiles, and what differs from one day to the
# next
# Axes: T hours, S series, D days (the whole and broken ones that T hours can touch).


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
