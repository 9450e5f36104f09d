"""`generate`: a batch of synthetic series, the only way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecast.training.pretraining.base import KINDS, Family, Frame, chance, log_uniform
from forecast.training.pretraining.components import lay_out, profiles
from forecast.training.pretraining.config import (
    DaySeries,
    StepSeries,
    SyntheticConfig,
    check_request,
    plan_days,
    plan_steps,
)
from forecast.training.pretraining.families import draw, families

# --- From a process to a record of it: outliers, scale, rounding, missing values -----------------


def spliced(
    rng: np.random.Generator, frame: Frame, values: np.ndarray, counts: np.ndarray, share: float
) -> np.ndarray:
    """Values (T, S) of which a `share` of series go on as another of the same season, from a random
    step: half of them where the first stood, half wherever the other stands.

    What follows a break is learnt from what came after it alone. Counts only follow counts.
    """
    if not share:
        return values
    changed = values.copy()
    for season in np.unique(frame.season):
        for kind in (False, True):
            rows = np.flatnonzero((frame.season == season) & (counts == kind))
            other = rng.permutation(rows)
            hit = chance(rng, share, len(rows))
            least = np.minimum(frame.lengths[rows], frame.lengths[other])
            back = 1 + (rng.random(len(rows)) * (least - 1)).astype(np.int64)
            aligned = chance(rng, 0.5, len(rows)) & (not kind)
            for row, source, steps, keep in zip(
                rows[hit], other[hit], back[hit], aligned[hit], strict=True
            ):
                tail = values[-steps:, source]
                if keep and steps < frame.lengths[row]:
                    before, first = values[-steps - 1, row], tail[0]
                    positive = before > 0 and (tail > 0).all()
                    tail = tail * (before / first) if positive else tail + (before - first)
                changed[-steps:, row] = tail
    return changed


def with_outliers(
    rng: np.random.Generator, frame: Frame, values: np.ndarray, share: float
) -> np.ndarray:
    """Values (T, S) of which a `share` of series have single wild steps; signs are kept.

    A step is pushed by 3 to 20 times the series' own mean change; positive values stay positive,
    zeros zero.
    """
    rows = np.flatnonzero(chance(rng, share, frame.size))
    if len(rows) == 0:
        return values
    part, chosen = frame.subset(rows), values[:, rows]
    rate = log_uniform(rng, 0.5, 6.0, len(rows)) / part.lengths
    hit = (rng.random(chosen.shape) < rate) & (chosen != 0)
    change = np.abs(np.diff(chosen, axis=0, prepend=chosen[:1]))
    typical = np.where(part.valid, change, 0.0).sum(axis=0) / part.lengths
    wild = log_uniform(rng, 3.0, 20.0, len(rows))
    push = hit * rng.normal(0.0, 1.0, chosen.shape) * wild * typical
    pushed = np.where(chosen > 0, np.maximum(chosen + push, 0.1 * chosen), chosen + push)
    changed = values.copy()
    changed[:, rows] = pushed
    return changed


def rescaled(
    rng: np.random.Generator, frame: Frame, values: np.ndarray, counts: np.ndarray, rounded: float
) -> np.ndarray:
    """Values (T, S) brought to units between 0.1 and 100,000, a share `rounded` of them rounded.

    Rounding is to a power of ten, two to four digits below the mean absolute value. `counts` (S,)
    are left as they are.
    """
    size = frame.size
    typical = np.where(frame.valid, np.abs(values), 0.0).sum(axis=0) / frame.lengths
    unit = log_uniform(rng, 0.1, 1e5, size)
    scaled = values * np.where(counts, 1.0, unit / np.maximum(typical, 1e-9))
    quantum = 10.0 ** (np.floor(np.log10(unit)) - rng.integers(2, 5, size))
    quantum = np.where(chance(rng, rounded, size) & ~counts, quantum, np.inf)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(quantum), np.round(scaled / quantum) * quantum, scaled)


def observed(rng: np.random.Generator, frame: Frame, points: float, stretches: float) -> np.ndarray:
    """bool (T, S): True where a value was recorded, False where it is missing or too early.

    A share `points` of the series miss single steps (1 to 20 per cent), a share `stretches` one
    or two runs (up to an eighth of the length each). First and last step are always recorded.
    """
    size, steps = frame.size, frame.length
    rate = log_uniform(rng, 0.01, 0.2, size) * chance(rng, points, size)
    missing = rng.random((steps, size)) < rate
    torn = chance(rng, stretches, size)
    for again in (1.0, 0.4):
        begin = rng.uniform(0.0, 1.0, size) * frame.lengths
        run = 1 + rng.uniform(0.0, 0.125, size) * frame.lengths
        inside = (frame.clock >= begin) & (frame.clock < begin + run)
        missing |= inside & (torn & chance(rng, again, size))
    ends = (frame.clock == 0) | (frame.clock == frame.lengths - 1)
    return frame.valid & (~missing | ends)


def never_constant(rng: np.random.Generator, frame: Frame, values: np.ndarray) -> np.ndarray:
    """Values (T, S) with one step of each constant series raised by one: scales stay above zero."""
    low = np.where(frame.valid, values, np.inf).min(axis=0)
    high = np.where(frame.valid, values, -np.inf).max(axis=0)
    rows = np.flatnonzero(high <= low)
    changed = values.copy()
    place = frame.length - 1 - rng.integers(0, frame.lengths[rows])
    changed[place, rows] += 1.0
    return changed


# --- What the year does to daily series that are long enough to show it twice --------------------


DAYS = 365
SHARE = 0.75  # of the daily series of two years or more


def with_years(rng: np.random.Generator, frame: Frame, values: np.ndarray) -> np.ndarray:
    """Values (T, S), three in four of the long daily series with a yearly profile of their own.

    Smooth, rough by the day, or flat with a few dates of the year; it multiplies positive series
    and is added to others. The 365th day falls on another weekday than the first: so do real ones.
    """
    long = (frame.season == 7) & (frame.lengths >= 2 * DAYS)
    if not long.any():
        return values
    rows = np.flatnonzero(long & chance(rng, SHARE, frame.size))
    year = np.full(len(rows), DAYS)
    phase = rng.integers(0, DAYS, len(rows)).astype(np.float64)
    effect = lay_out(profiles(rng, year), year, phase, frame.length)
    effect *= log_uniform(rng, 0.03, 0.6, len(rows))
    chosen = values[:, rows]
    _, deviation = frame.subset(rows).moments(chosen)
    changed = values.copy()
    changed[:, rows] = np.where(
        (chosen >= 0).all(axis=0), chosen * np.exp(effect), chosen + 2 * deviation * effect
    )
    return changed


# -------------------------------------------------------------------------------------------------


VERSION = 4  # changes whenever the same seed would give other series


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
    config: SyntheticConfig | None = None,
) -> SyntheticBatch:
    """`count` series of up to `length` steps, the same for the same arguments and `VERSION`.

    kind     "step": yearly to daily series, seasons from 1 to 52; "day": hourly series
    weights  relative frequency of each family instead of the config's; families left out get none
    config   frequencies of families, seasons and lengths (default: `SyntheticConfig()`)

    Raises UsageError for an unknown kind or family, weights that cannot be, a length too short.
    """
    known = families(kind)
    chosen = config or SyntheticConfig()
    settings: StepSeries | DaySeries = chosen.step if kind == "step" else chosen.day
    share = settings.weights if weights is None else weights
    check_request(count, length, kind, share, known)
    rng = np.random.default_rng(np.random.SeedSequence([seed, VERSION, KINDS.index(kind)]))
    if isinstance(settings, StepSeries):
        family, frame = plan_steps(rng, count, length, share, known, settings)
    else:
        family, frame = plan_days(rng, count, length, share, known, settings)
    return _recorded(rng, frame, family, known, settings)


def _recorded(
    rng: np.random.Generator,
    frame: Frame,
    family: np.ndarray,
    known: Mapping[str, Family],
    settings: StepSeries | DaySeries,
) -> SyntheticBatch:
    spoiling = settings.spoiling
    counts = np.array([known[name].count for name in family.tolist()], dtype=bool)
    values = with_years(rng, frame, draw(rng, frame, family, known))
    values = spliced(rng, frame, values, counts, spoiling.spliced)
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
