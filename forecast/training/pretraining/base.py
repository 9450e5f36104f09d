"""What every family of synthetic series shares: frame of a batch, links, draws, registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forecast.common.errors import UsageError

# --- `Frame`: what a family is told about the series it is to draw, and their clocks -------------
# Inside this package every array of paths is time-major, (T, S): a recursion over time then reads
# and writes contiguous rows of all series at once.


# Steps in a year for each season length: what turns a yearly growth rate into a slope.
STEPS_PER_YEAR = {1: 1, 4: 4, 5: 260, 6: 6, 7: 365, 12: 12, 13: 13, 24: 24, 52: 52}


@dataclass(frozen=True)
class Frame:
    """S series on one grid of T steps, right-aligned: series s occupies its last lengths[s] steps.

    length   T
    season   int64 (S,): season length in steps; 1 means no season
    lengths  int64 (S,): steps of each series, 1 <= lengths <= T
    """

    length: int
    season: np.ndarray
    lengths: np.ndarray

    @property
    def size(self) -> int:
        """S, the number of series."""
        return len(self.season)

    @cached_property
    def clock(self) -> np.ndarray:
        """float64 (T, S): steps since the series began; negative before it."""
        steps = np.arange(self.length, dtype=np.float64)[:, None]
        return steps - (self.length - self.lengths)[None, :]

    @cached_property
    def valid(self) -> np.ndarray:
        """bool (T, S): inside the series."""
        return self.clock >= 0

    @cached_property
    def progress(self) -> np.ndarray:
        """float64 (T, S): 0 at the first step of the series, towards 1 at its last; 0 before it."""
        return np.maximum(self.clock, 0.0) / self.lengths

    @cached_property
    def year(self) -> np.ndarray:
        """float64 (S,): steps in a year."""
        return np.array([STEPS_PER_YEAR.get(int(m), int(m)) for m in self.season], dtype=np.float64)

    def subset(self, rows: np.ndarray) -> Frame:
        """The frame of the series `rows` (positions or a boolean mask)."""
        return Frame(self.length, self.season[rows], self.lengths[rows])

    def moments(self, paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, each (S,), of `paths` (T, S) inside the series.

        The deviation is at least 1e-12, so that a constant path can be divided by it.
        """
        mean = np.where(self.valid, paths, 0.0).sum(axis=0) / self.lengths
        square = np.where(self.valid, (paths - mean) ** 2, 0.0).sum(axis=0) / self.lengths
        return mean, np.maximum(np.sqrt(square), 1e-12)

    def standardise(self, paths: np.ndarray) -> np.ndarray:
        """`paths` (T, S) with mean 0 and deviation 1 inside each series."""
        mean, deviation = self.moments(paths)
        return (paths - mean) / deviation


# --- The families by name: each a function that draws the series of one kind of process ----------


Build = Callable[[np.random.Generator, Frame], np.ndarray]
KINDS = ("step", "day")


@dataclass(frozen=True)
class Family:
    """One kind of series.

    name     its name, unique over all kinds
    kind     "step" (yearly to daily) or "day" (hourly)
    build    (generator, frame) -> values float64 (T, S), finite; only the part inside each series
             counts
    seasons  season lengths that it makes sense for; empty: any
    count    values are counts: never rescaled, rounded or given outliers afterwards
    source   where the process is described
    """

    name: str
    kind: str
    build: Build
    seasons: tuple[int, ...] = ()
    count: bool = False
    source: str = ""


_FAMILIES: dict[str, Family] = {}


def register(
    name: str,
    kind: str,
    *,
    seasons: tuple[int, ...] = (),
    count: bool = False,
    source: str = "",
) -> Callable[[Build], Build]:
    """Decorator: enters a build function as family `name`. Raises ValueError for a name taken."""

    def enter(build: Build) -> Build:
        if name in _FAMILIES:
            raise ValueError(f"family {name} is registered twice")
        _FAMILIES[name] = Family(name, kind, build, seasons, count, source)
        return build

    return enter


def families(kind: str) -> dict[str, Family]:
    """All families of `kind` by name, in a fixed order. Raises UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(
            "unknown kind of synthetic series",
            code="usage/synthetic-kind",
            value=kind,
            remedy=f"Choose one of {', '.join(KINDS)}.",
        )
    return {name: f for name, f in sorted(_FAMILIES.items()) if f.kind == kind}


# --- Random numbers for S series at once: one value a series, drawn from the shapes we use most


def log_uniform(rng: np.random.Generator, low: float, high: float, size: int) -> np.ndarray:
    """float64 (size,): uniform in the logarithm between `low` and `high` (both positive)."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def chance(rng: np.random.Generator, probability: float | np.ndarray, size: int) -> np.ndarray:
    """bool (size,): True with `probability`."""
    return rng.random(size) < probability


def pick(
    rng: np.random.Generator, options: np.ndarray, weights: np.ndarray, size: int
) -> np.ndarray:
    """(size,): `options` with the given `weights`, which need not sum to one."""
    share = np.asarray(weights, dtype=np.float64)
    return np.asarray(options)[rng.choice(len(options), size=size, p=share / share.sum())]


def sometimes(
    rng: np.random.Generator, probability: float, values: np.ndarray, otherwise: float = 0.0
) -> np.ndarray:
    """`values` (..., S), each series kept with `probability`, else `otherwise`."""
    return np.where(chance(rng, probability, values.shape[-1]), values, otherwise)


def heavy(rng: np.random.Generator, df: np.ndarray | float, shape: tuple[int, ...]) -> np.ndarray:
    """Student t with `df` > 2 degrees of freedom, scaled to variance one.

    Built as normal / sqrt(chi-square / df), with chi-square drawn as a gamma.
    """
    freedom = np.broadcast_to(np.asarray(df, dtype=np.float64), shape[-1:])
    mixing = rng.standard_gamma(freedom / 2, shape) / (freedom / 2)
    unit = np.sqrt((freedom - 2) / freedom)
    return rng.standard_normal(shape) * unit / np.sqrt(np.maximum(mixing, 1e-3))


def shocks(rng: np.random.Generator, steps: int, size: int) -> np.ndarray:
    """Unit-variance noise, (steps, size): most Gaussian, some heavy-tailed, some skewed."""
    noise = rng.standard_normal((steps, size))
    kind = rng.random(size)
    tails = np.flatnonzero(kind < 0.25)
    noise[:, tails] = heavy(rng, rng.uniform(2.3, 8.0, len(tails)), (steps, len(tails)))
    skewed = np.flatnonzero((kind >= 0.25) & (kind < 0.4))
    shape = log_uniform(rng, 0.5, 8.0, len(skewed))
    sign = np.where(chance(rng, 0.6, len(skewed)), 1.0, -1.0)
    drawn = rng.standard_gamma(shape, (steps, len(skewed)))
    noise[:, skewed] = sign * (drawn - shape) / np.sqrt(shape)
    return noise


def leaning(rng: np.random.Generator, size: int) -> np.ndarray:
    """Signed sizes, (size,), seven in ten positive: things that are recorded tend to grow."""
    return np.abs(rng.standard_normal(size)) * np.where(chance(rng, 0.7, size), 1.0, -1.0)


# --- From a path in log units to values: growing by factors, additive, or of either sign ---------


WIDEST = 1.3  # largest standard deviation of a log path: values then span about e^5


def spread(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """Dimensionless `paths` (T, S), scaled to a random deviation of 0.03 to 0.8 log units."""
    return frame.standardise(paths) * log_uniform(rng, 0.03, 0.8, frame.size)


def noise_level(rng: np.random.Generator, frame: Frame, low: float, high: float) -> np.ndarray:
    """Size of the noise in log units, (S,): log-uniform, smaller where a step sums a longer time.

    Totals of twelve months are quieter than months: times (steps a year / 12)^0.2, at most 1.6.
    """
    return log_uniform(rng, low, high, frame.size) * np.minimum((frame.year / 12) ** 0.2, 1.6)


def link(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """Values (T, S) of about unit size from `paths` in log units.

    Two thirds exp(path); a fifth level + path, lifted until positive; the rest level + path of
    either sign. Paths wider than `WIDEST` are narrowed first.
    """
    mean, deviation = frame.moments(paths)
    centred = (paths - mean) * np.minimum(1.0, WIDEST / deviation)
    multiplied = np.exp(np.clip(centred, -8.0, 8.0))
    lowest = np.where(frame.valid, centred, np.inf).min(axis=0)
    margin = log_uniform(rng, 0.02, 2.0, frame.size) * np.minimum(deviation, WIDEST)
    lifted = centred + np.maximum(1.0, margin - lowest)
    level = rng.standard_normal(frame.size) * log_uniform(rng, 0.1, 10.0, frame.size)
    signed = centred + level * deviation
    kind = rng.random(frame.size)
    return np.where(kind < 0.66, multiplied, np.where(kind < 0.86, lifted, signed))


def add_noise(rng: np.random.Generator, frame: Frame, paths: np.ndarray) -> np.ndarray:
    """`paths`, two in three with white noise of 2 to 100 per cent of their own deviation."""
    share = log_uniform(rng, 0.02, 1.0, frame.size) * chance(rng, 0.66, frame.size)
    _, deviation = frame.moments(paths)
    return paths + share * deviation * rng.standard_normal(paths.shape)
