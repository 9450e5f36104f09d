"""`Recipe`: how often each family, season and length is drawn, and how records are spoilt.

`configs/synthetic.yaml` holds the same figures with remarks; a test keeps the two equal.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from forecast.common.errors import UsageError
from forecast.config.schema import Section

Share = float


class Spoiling(Section):
    """What happens to a series between the process and the record."""

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


class StepRecipe(Section):
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


class DayRecipe(Section):
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
    spoiling: Spoiling = Spoiling(outliers=0.1, rounded=0.5, points=0.06, stretches=0.05)


class Recipe(Section):
    """Both kinds."""

    step: StepRecipe = StepRecipe()
    day: DayRecipe = DayRecipe()


def load_recipe(path: Path) -> Recipe:
    """The recipe in YAML file `path`; what it leaves out has its default.

    Raises UsageError for a key or value that a recipe cannot have.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (ValidationError, yaml.YAMLError) as error:
        raise UsageError(
            "this is not a recipe for synthetic series: " + str(error).replace("\n", "; "),
            code="usage/synthetic-recipe",
            where=str(path),
            remedy="Compare it with configs/synthetic.yaml.",
        ) from error
