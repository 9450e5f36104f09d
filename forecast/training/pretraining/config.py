"""`SyntheticConfig`: how often each family, season and length is drawn, and how records are spoilt.

`configs/synthetic.yaml` holds the same figures with remarks; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from forecast.common.errors import UsageError
from forecast.common.yaml_file import read_yaml
from forecast.config.schema import Section
from forecast.training.pretraining.base import Family, Frame, chance

Share = float


class Spoiling(Section):
    """What happens to a series between the process and the record."""

    spliced: Share = Field(
        default=0.15, ge=0, le=1, description="share of series that go on as another one"
    )
    outliers: Share = Field(
        default=0.12, ge=0, le=1, description="share of series with wild single steps"
    )
    rounded: Share = Field(
        default=0.35, ge=0, le=1, description="share of series rounded to few digits"
    )
    points: Share = Field(
        default=0.08, ge=0, le=1, description="share of series with missing steps"
    )
    stretches: Share = Field(
        default=0.06, ge=0, le=1, description="share of series with missing runs"
    )


class StepSeries(Section):
    """Yearly to daily series."""

    weights: dict[str, float] = Field(
        default={
            "structural": 0.20,
            "smoothing": 0.17,
            "sarima": 0.10,
            "walk": 0.10,
            "kernel": 0.08,
            "counts": 0.08,
            "growth": 0.06,
            "mixture": 0.05,
            "calendar": 0.04,
            "cycle": 0.04,
            "shifts": 0.04,
            "shots": 0.04,
            "volatility": 0.04,
            "intermittent": 0.03,
            "envelope": 0.02,
            "stock": 0.02,
        },
        description="relative frequency of each family",
    )
    seasons: dict[int, float] = Field(
        default={
            1: 0.2,
            4: 0.15,
            12: 0.26,
            52: 0.14,
            7: 0.15,
            5: 0.02,
            6: 0.03,
            13: 0.02,
            24: 0.03,
        },
        description="relative frequency of each season length (steps)",
    )
    affinity: dict[int, dict[str, float]] = Field(
        default={
            1: {
                "structural": 1.6,
                "smoothing": 1.5,
                "growth": 1.2,
                "mixture": 0.8,
                "sarima": 0.7,
                "shots": 0.6,
                "cycle": 0.5,
                "kernel": 0.5,
                "volatility": 0.5,
                "counts": 0.5,
                "stock": 0.5,
                "intermittent": 0.3,
            },
            4: {
                "structural": 1.3,
                "smoothing": 1.3,
                "growth": 1.3,
                "walk": 1.2,
                "counts": 0.5,
                "stock": 0.5,
                "intermittent": 0.2,
            },
            12: {"counts": 1.3, "stock": 1.4},
            52: {"walk": 1.6, "volatility": 1.6, "shifts": 1.5, "shots": 1.3, "intermittent": 0.5},
            7: {
                "calendar": 3.5,
                "structural": 1.5,
                "counts": 1.6,
                "mixture": 1.4,
                "stock": 1.2,
                "kernel": 0.6,
                "walk": 0.5,
                "growth": 0.4,
            },
        },
        description="season length: how much more often than elsewhere a family occurs there",
    )
    lengths: dict[int, tuple[int, int]] = Field(
        default={
            1: (16, 160),
            4: (16, 160),
            12: (24, 256),
            52: (40, 400),
            7: (28, 400),
            5: (24, 320),
            6: (24, 256),
            13: (26, 256),
            24: (48, 400),
        },
        description="shortest and longest series of each season (steps), log-uniform between",
    )
    spoiling: Spoiling = Spoiling()


class DaySeries(Section):
    """Hourly series with days of 24 steps."""

    weights: dict[str, float] = Field(
        default={
            "load": 0.20,
            "traffic": 0.15,
            "smooth_day": 0.22,
            "week": 0.10,
            "double_smoothing": 0.06,
            "temperature": 0.07,
            "calls": 0.06,
            "price": 0.05,
            "solar": 0.04,
            "day_kernel": 0.04,
            "day_walk": 0.03,
            "day_mixture": 0.06,
        },
        description="relative frequency of each family",
    )
    days: tuple[int, int] = Field(default=(7, 42), description="shortest and longest series, days")
    full: Share = Field(
        default=0.5, ge=0, le=1, description="share of series of the longest length"
    )
    spoiling: Spoiling = Spoiling(
        spliced=0.0, outliers=0.1, rounded=0.5, points=0.06, stretches=0.05
    )


class SyntheticConfig(Section):
    """Both kinds."""

    step: StepSeries = StepSeries()
    day: DaySeries = DaySeries()


def load_config(path: Path) -> SyntheticConfig:
    """The config in YAML file `path`; what it leaves out has its default.

    Raises UsageError for a key or value that it cannot have.
    """
    remedy = "Compare it with configs/synthetic.yaml"
    try:
        return SyntheticConfig.model_validate(read_yaml(path, "the description", remedy).content)
    except ValidationError as error:
        raise UsageError(
            "this is not a description of synthetic series: " + str(error).replace("\n", "; "),
            code="usage/synthetic-recipe",
            where=str(path),
            remedy=remedy,
        ) from error


# --- Which family, season and length each series of a batch gets ---------------------------------


HOURS = 24
SHORTEST = {"step": 16, "day": 7 * HOURS}  # steps


def plan_steps(
    rng: np.random.Generator,
    count: int,
    length: int,
    weights: Mapping[str, float],
    known: Mapping[str, Family],
    config: StepSeries,
) -> tuple[np.ndarray, Frame]:
    """Families, str (S,), and the frame of `count` yearly to daily series of up to `length` steps.

    Each season has its share of the config (none where no family fits it); the families of a season
    have shares in proportion to weight x affinity.
    """
    names, seasons = list(known), np.array(list(config.seasons), dtype=np.int64)
    fits = np.array([[not f.seasons or m in f.seasons for m in seasons] for f in known.values()])
    liked = np.array(
        [[config.affinity.get(int(m), {}).get(n, 1.0) for m in seasons] for n in names]
    )
    share = fits * liked * np.array([weights.get(name, 0.0) for name in names])[:, None]
    share = share / np.maximum(share.sum(axis=0), 1e-300) * list(config.seasons.values())
    if share.sum() <= 0:
        raise UsageError(
            "no synthetic family with a weight fits any of the seasons asked for",
            code="usage/synthetic-weights",
            value={n: w for n, w in weights.items() if w > 0},
            remedy="Give a family that fits one of them a weight.",
        )
    drawn = rng.choice(share.size, size=count, p=share.ravel() / share.sum())
    family = np.array(names)[drawn // len(seasons)]
    season = seasons[drawn % len(seasons)]
    bounds = np.array([config.lengths.get(int(m), (16, length)) for m in season], dtype=float)
    lengths = np.exp(rng.uniform(np.log(bounds[:, 0]), np.log(bounds[:, 1]))).astype(np.int64)
    return family, Frame(length, season, np.clip(lengths, min(SHORTEST["step"], length), length))


def plan_days(
    rng: np.random.Generator,
    count: int,
    length: int,
    weights: Mapping[str, float],
    known: Mapping[str, Family],
    config: DaySeries,
) -> tuple[np.ndarray, Frame]:
    """Families, str (S,), and the frame of `count` hourly series of whole days in `length` hours.

    A share of the series is as long as the grid allows, the others of any number of days.
    """
    share = np.array([weights.get(name, 0.0) for name in known])
    family = np.array(list(known))[rng.choice(len(share), size=count, p=share / share.sum())]
    low, high = config.days
    longest = min(high, length // HOURS)
    days = rng.integers(min(low, longest), longest + 1, count)
    days = np.where(chance(rng, config.full, count), longest, days)
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
