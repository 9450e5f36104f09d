"""Random numbers for S series at once: one value a series, drawn from the shapes we use most."""

from __future__ import annotations

import numpy as np


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
