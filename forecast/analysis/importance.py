"""Which covariates moved a forecast, and which are worth having.

contribution: the forecast less the one with a covariate at its average, in the steps to come where
it is known ahead (what it did before tells how this series responds), else throughout. importance:
how much the errors at validation origins grow when a covariate's rows are shuffled in time
(permutation importance, Breiman 2001).

Axes: S series, V validation origins, H horizon (steps), K features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from forecast.data.open_steps import as_read
from forecast.data.panel import FUTURE, PAST, STATIC, Panel
from forecast.inference.conformal import stretch
from forecast.inference.predict import quantiles_from
from forecast.models.forecaster import Forecaster
from forecast.transforms.augment import distinct, restored, seen
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import Design, encode

CALENDAR = "calendar and holidays"
SHUFFLES = 5
SERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Importance:
    """growth, spread: mean and standard deviation over the shuffles of the relative growth of the
    mean absolute error; NaN where there is no validation origin."""

    growth: float
    spread: float


def columns_of(design: Design) -> dict[str, tuple[str, slice]]:
    """Covariate -> field of `Known` that holds it, and its columns there."""
    found: dict[str, tuple[str, slice]] = {}
    for role, part in ((FUTURE, "own"), (PAST, "past"), (STATIC, "static")):
        first = 0
        for entry in design.of(role):
            found[entry.name] = (part, slice(first, first + entry.width))
            first += entry.width
    if design.calendar_width:
        found[CALENDAR] = ("shared", slice(0, design.calendar_width))
    return found


def contributions(
    forecaster: Forecaster, panel: Panel, steps: np.ndarray, horizon: int
) -> dict[str, float]:
    """What each covariate contributes to the mean median of the forecast's `steps` (0 is the
    first), from the end of the only series of `panel`, in its units; {} without covariates."""
    if forecaster.design is None:
        return {}
    known = encode(forecaster.design, panel, horizon)
    full = medians(forecaster, panel, known, horizon)[0, steps].mean()
    return {
        name: float(full - medians(forecaster, panel, each, horizon)[0, steps].mean())
        for name, at in columns_of(forecaster.design).items()
        for each in [without(known, at, len(panel.values))]
    }


def without(known: Known, at: tuple[str, slice], end: int) -> Known:
    """The features of one series with one covariate at its average, which is zero: from step `end`
    on where it is known ahead, else in all rows."""
    part, columns = at
    table = getattr(known, part).copy()
    first = {"own": known.starts, "shared": known.shared_starts}.get(part)
    table[0 if first is None else int(first[0]) + end :, columns] = 0.0
    return replace(known, **{part: table})


def shuffled(known: Known, at: tuple[str, slice], random: np.random.Generator) -> Known:
    """The features with one covariate's rows in another order."""
    part, columns = at
    table = getattr(known, part).copy()
    rows = len(table) - (part != "static")  # the last row stands for every step outside
    table[:rows, columns] = table[random.permutation(rows), columns]
    return replace(known, **{part: table})


def importances(
    forecaster: Forecaster, panel: Panel, validation: np.ndarray, horizon: int, seed: int
) -> dict[str, Importance]:
    """Each covariate's importance at the origins `validation` (V, S), -1 = none; {} without any."""
    if forecaster.design is None:
        return {}
    cases = list(_cases(forecaster.design, panel, validation, horizon))
    columns = columns_of(forecaster.design)
    plain = _error(forecaster, cases, horizon, None, 0)
    grown = {
        name: [_error(forecaster, cases, horizon, at, seed + k) for k in range(SHUFFLES)]
        for name, at in columns.items()
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {name: np.array(errors) / plain - 1 for name, errors in grown.items()}
    return {name: Importance(float(x.mean()), float(x.std())) for name, x in shares.items()}


_Case = tuple[Panel, Known, np.ndarray]


def _cases(design: Design, panel: Panel, validation: np.ndarray, horizon: int) -> Iterator[_Case]:
    """Of each validation window: what precedes it, its covariates, its actuals (S, H)."""
    for origins in validation:
        used = np.flatnonzero(origins >= 0)[:SERIES_AT_ONCE]
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            yield past, encode(design, past, horizon), part.window(origins[used], horizon)


def _error(
    forecaster: Forecaster,
    cases: list[_Case],
    horizon: int,
    at: tuple[str, slice] | None,
    seed: int,
) -> float:
    """Mean absolute error in units of each series' mean step; NaN without cases."""
    random = np.random.default_rng(seed)
    errors = []
    for past, known, actual in cases:
        used = known if at is None else shuffled(known, at, random)
        made = medians(forecaster, past, used, horizon)
        errors.append((np.abs(made - actual) / _mean_step(past)[:, None]).ravel())
    joined = np.concatenate([np.empty(0), *errors])
    return float(joined[np.isfinite(joined)].mean()) if np.isfinite(joined).any() else float("nan")


def _mean_step(past: Panel) -> np.ndarray:
    """Mean absolute difference of neighbours in each series (S,); NaN where it has not moved."""
    steps = [np.abs(np.diff(past.series(s))) for s in range(past.size)]
    means = [step[np.isfinite(step)] for step in steps]
    return np.array([m.mean() if len(m) and m.mean() > 0 else np.nan for m in means])


def medians(forecaster: Forecaster, panel: Panel, known: Known, horizon: int) -> np.ndarray:
    """Medians (S, H) of the forecast with these features, in original units."""
    rows = np.arange(panel.size)
    total = np.zeros((panel.size, horizon, len(forecaster.levels)))
    for view in distinct(forecaster.views, panel.values, panel.offsets):
        flat, transform = seen(as_read(panel), panel.offsets, forecaster.layout, view)
        z = quantiles_from(forecaster, flat, known, rows, horizon)
        owner = np.broadcast_to(rows[:, None, None], z.shape)
        total += view.weight * restored(z, transform, owner, view)
    return stretch(total, forecaster.factors)[:, :, len(forecaster.levels) // 2]
