"""Every family of synthetic series: importing this module registers them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forecast.training.pretraining import (  # noqa: F401 (importing a module registers its families)
    calendar_effects,
    counts,
    gaussian_process,
    hourly,
    structural,
)
from forecast.training.pretraining.base import Family, Frame, families, register

__all__ = ["families"]


# --- Families of mixtures: weighted sums of series of other families, as TSMixup makes them ------


SOURCE = "TSMixup (Ansari et al. 2024): convex combination of series of mean absolute value one"
MIXTURES = ("mixture", "day_mixture")


def draw(
    rng: np.random.Generator, frame: Frame, family: np.ndarray, known: Mapping[str, Family]
) -> np.ndarray:
    """Values (T, S) of each series by the family named in `family` (S,)."""
    values = np.empty((frame.length, frame.size))
    for name in sorted(set(family.tolist())):
        rows = np.flatnonzero(family == name)
        values[:, rows] = known[name].build(rng, frame.subset(rows))
    return values


def _mixture(rng: np.random.Generator, frame: Frame, kind: str) -> np.ndarray:
    """Two or three components, each of a family drawn evenly among those that fit the season."""
    known = {n: f for n, f in families(kind).items() if n not in MIXTURES and not f.count}
    names = np.array(list(known))
    fits = np.array(
        [[not f.seasons or m in f.seasons for f in known.values()] for m in frame.season]
    )
    weights = rng.dirichlet((1.5, 1.5, 1.5), frame.size)
    weights[:, 2] *= rng.random(frame.size) < 0.4
    total = np.zeros((frame.length, frame.size))
    for component in range(3):
        chosen = names[np.argmax(fits * rng.random(fits.shape), axis=1)]
        values = draw(rng, frame, chosen, known)
        size = np.where(frame.valid, np.abs(values), 0.0).sum(axis=0) / frame.lengths
        total += weights[:, component] * values / np.maximum(size, 1e-9)
    return total


@register("mixture", "step", source=SOURCE)
def mixture(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Sums of two or three other series of the same season."""
    return _mixture(rng, frame, "step")


@register("day_mixture", "day", source=SOURCE)
def day_mixture(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Sums of two or three other hourly series."""
    return _mixture(rng, frame, "day")
