"""`generate`: a batch of synthetic series, the only way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecast.errors import UsageError
from forecast.synthetic.draws import chance, pick
from forecast.synthetic.frame import Frame
from forecast.synthetic.mixing import draw
from forecast.synthetic.observe import never_constant, observed, rescaled, with_outliers
from forecast.synthetic.recipe import DayRecipe, Recipe, StepRecipe
from forecast.synthetic.registry import Family, families

VERSION = 1  # changes whenever the same seed would give other series
HOURS = 24
SHORTEST = {"step": 16, "day": 7 * HOURS}  # steps


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
    settings = chosen.step if kind == "step" else chosen.day
    _check(count, length, kind, settings.weights if weights is None else weights, known)
    rng = np.random.default_rng(
        np.random.SeedSequence([seed, VERSION, ("step", "day").index(kind)])
    )
    share = settings.weights if weights is None else weights
    family = pick(rng, np.array(list(known)), np.array([share.get(n, 0.0) for n in known]), count)
    frame = (
        _step_frame(rng, family, length, known, settings)
        if isinstance(settings, StepRecipe)
        else _day_frame(rng, count, length, settings)
    )
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
    values = draw(rng, frame, family, known)
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


def _step_frame(
    rng: np.random.Generator,
    family: np.ndarray,
    length: int,
    known: Mapping[str, Family],
    settings: StepRecipe,
) -> Frame:
    """Seasons that fit the families, then lengths that fit the seasons."""
    options = np.array(list(settings.seasons), dtype=np.int64)
    season = pick(rng, options, np.array(list(settings.seasons.values())), len(family))
    for name, entry in known.items():
        rows = np.flatnonzero(family == name)
        if entry.seasons and len(rows):
            fits = np.isin(options, entry.seasons) * np.array(list(settings.seasons.values()))
            if fits.sum() > 0:
                season[rows] = pick(rng, options, fits, len(rows))
    bounds = np.array([settings.lengths.get(int(m), (16, length)) for m in season], dtype=float)
    drawn = np.exp(rng.uniform(np.log(bounds[:, 0]), np.log(bounds[:, 1])))
    lengths = np.clip(drawn.astype(np.int64), min(SHORTEST["step"], length), length)
    return Frame(length, season, lengths)


def _day_frame(rng: np.random.Generator, count: int, length: int, settings: DayRecipe) -> Frame:
    """Whole days; a share of the series as long as the grid, the others uniform."""
    low, high = settings.days
    longest = min(high, length // HOURS)
    days = rng.integers(min(low, longest), longest + 1, count)
    days = np.where(chance(rng, settings.full, count), longest, days)
    return Frame(length, np.full(count, HOURS, dtype=np.int64), days * HOURS)


def _check(
    count: int, length: int, kind: str, weights: Mapping[str, float], known: Mapping[str, Family]
) -> None:
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
