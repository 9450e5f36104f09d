"""Which family, season and length each series of a batch gets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forecast.common.errors import UsageError
from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.random_draws import chance
from forecast.training.pretraining.recipe import DayRecipe, StepRecipe
from forecast.training.pretraining.registry import Family

HOURS = 24
SHORTEST = {"step": 16, "day": 7 * HOURS}  # steps


def plan_steps(
    rng: np.random.Generator,
    count: int,
    length: int,
    weights: Mapping[str, float],
    known: Mapping[str, Family],
    recipe: StepRecipe,
) -> tuple[np.ndarray, Frame]:
    """Families, str (S,), and the frame of `count` yearly to daily series of up to `length` steps.

    Each season has its share of the recipe (none where no family fits it); the families of a season
    have shares in proportion to weight x affinity.
    """
    names, seasons = list(known), np.array(list(recipe.seasons), dtype=np.int64)
    fits = np.array([[not f.seasons or m in f.seasons for m in seasons] for f in known.values()])
    liked = np.array(
        [[recipe.affinity.get(int(m), {}).get(n, 1.0) for m in seasons] for n in names]
    )
    share = fits * liked * np.array([weights.get(name, 0.0) for name in names])[:, None]
    share = share / np.maximum(share.sum(axis=0), 1e-300) * list(recipe.seasons.values())
    if share.sum() <= 0:
        raise UsageError(
            "no synthetic family with a weight fits any of the recipe's seasons",
            code="usage/synthetic-weights",
            value={n: w for n, w in weights.items() if w > 0},
            remedy="Give a family that fits one of them a weight.",
        )
    drawn = rng.choice(share.size, size=count, p=share.ravel() / share.sum())
    family = np.array(names)[drawn // len(seasons)]
    season = seasons[drawn % len(seasons)]
    bounds = np.array([recipe.lengths.get(int(m), (16, length)) for m in season], dtype=float)
    lengths = np.exp(rng.uniform(np.log(bounds[:, 0]), np.log(bounds[:, 1]))).astype(np.int64)
    return family, Frame(length, season, np.clip(lengths, min(SHORTEST["step"], length), length))


def plan_days(
    rng: np.random.Generator,
    count: int,
    length: int,
    weights: Mapping[str, float],
    known: Mapping[str, Family],
    recipe: DayRecipe,
) -> tuple[np.ndarray, Frame]:
    """Families, str (S,), and the frame of `count` hourly series of whole days in `length` hours.

    A share of the series is as long as the grid allows, the others of any number of days.
    """
    share = np.array([weights.get(name, 0.0) for name in known])
    family = np.array(list(known))[rng.choice(len(share), size=count, p=share / share.sum())]
    low, high = recipe.days
    longest = min(high, length // HOURS)
    days = rng.integers(min(low, longest), longest + 1, count)
    days = np.where(chance(rng, recipe.full, count), longest, days)
    return family, Frame(length, np.full(count, HOURS, dtype=np.int64), days * HOURS)


def check_request(
    count: int, length: int, kind: str, weights: Mapping[str, float], known: Mapping[str, Family]
) -> None:
    """Raises UsageError for too few or too short series, unknown families, impossible weights."""
    if count < 1 or length < SHORTEST[kind]:
        raise UsageError(
            f"synthetic series of kind {kind!r} need at least one series of {SHORTEST[kind]} steps",
            code="usage/synthetic-size",
            value=(count, length),
            remedy="Ask for more or longer series.",
        )
    strange = sorted(set(weights) - set(known))
    if strange:
        raise UsageError(
            f"no synthetic family of kind {kind!r} has this name",
            code="usage/synthetic-family",
            value=strange[0],
            remedy=f"There are {', '.join(known)}.",
        )
    if min(weights.values(), default=0.0) < 0 or sum(weights.values()) <= 0:
        raise UsageError(
            "weights of synthetic families must not be negative, nor all zero",
            code="usage/synthetic-weights",
            value=dict(weights),
            remedy="Give at least one family a positive weight.",
        )
