"""`generate`: a batch of synthetic series, the only way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecast.training.pretraining.families import families
from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.mixtures import draw
from forecast.training.pretraining.observation import (
    never_constant,
    observed,
    rescaled,
    with_outliers,
)
from forecast.training.pretraining.recipe import DayRecipe, Recipe, StepRecipe
from forecast.training.pretraining.registry import KINDS, Family
from forecast.training.pretraining.series_plan import check_request, plan_days, plan_steps
from forecast.training.pretraining.yearly_season import with_years

VERSION = 3  # changes whenever the same seed would give other series


@dataclass(frozen=True)
class SyntheticBatch:
    """S series of up to T steps, right-aligned: the valid part stands at the end.

    values   float32 (S, T): finite; 0 wherever `mask` is False
    mask     bool (S, T): True where a value was recorded; False before the series begins and where
             a value is missing. The first and the last step of a series are always recorded
    season   int64 (S,): season length in steps (24 for hourly series, whose weeks have 168)
    family   str (S,): the family that each series was drawn from
    lengths  int64 (S,): steps from the first to the last of each series, missing ones included
    """

    values: np.ndarray
    mask: np.ndarray
    season: np.ndarray
    family: np.ndarray
    lengths: np.ndarray


def generate(
    count: int,
    length: int,
    kind: str,
    seed: int,
    weights: Mapping[str, float] | None = None,
    recipe: Recipe | None = None,
) -> SyntheticBatch:
    """`count` series of up to `length` steps, the same for the same arguments and `VERSION`.

    kind     "step": yearly to daily series, seasons from 1 to 52; "day": hourly series
    weights  relative frequency of each family instead of the recipe's; families left out get none
    recipe   frequencies of families, seasons and lengths (default: `Recipe()`)

    Raises UsageError for an unknown kind or family, weights that cannot be, a length too short.
    """
    known = families(kind)
    chosen = recipe or Recipe()
    settings: StepRecipe | DayRecipe = chosen.step if kind == "step" else chosen.day
    share = settings.weights if weights is None else weights
    check_request(count, length, kind, share, known)
    rng = np.random.default_rng(np.random.SeedSequence([seed, VERSION, KINDS.index(kind)]))
    if isinstance(settings, StepRecipe):
        family, frame = plan_steps(rng, count, length, share, known, settings)
    else:
        family, frame = plan_days(rng, count, length, share, known, settings)
    return _recorded(rng, frame, family, known, settings)


def _recorded(
    rng: np.random.Generator,
    frame: Frame,
    family: np.ndarray,
    known: Mapping[str, Family],
    settings: StepRecipe | DayRecipe,
) -> SyntheticBatch:
    spoiling = settings.spoiling
    counts = np.array([known[name].count for name in family.tolist()], dtype=bool)
    values = with_years(rng, frame, draw(rng, frame, family, known))
    others = np.flatnonzero(~counts)
    values[:, others] = with_outliers(
        rng, frame.subset(others), values[:, others], spoiling.outliers
    )
    values = rescaled(rng, frame, values, counts, spoiling.rounded)
    values = never_constant(rng, frame, values)
    mask = observed(rng, frame, spoiling.points, spoiling.stretches)
    return SyntheticBatch(
        values=np.ascontiguousarray(np.where(mask, values, 0.0).T, dtype=np.float32),
        mask=np.ascontiguousarray(mask.T),
        season=frame.season,
        family=family,
        lengths=frame.lengths,
    )
