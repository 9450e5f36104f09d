"""How well a forecaster knows what a covariate does, told by windows of the past in which it moved.

Of each window is compared what the covariates that came are said to change against covariates that
stayed as they were, with the error that was left. If the true change is 1 + b times the one told,
the error is b times that change, and noise; b differs between series and windows. Its mean and
spread over them (a random-effects model; DerSimonian & Laird 1986) say how far a change of a
scenario may be off.

Axes: S series, H horizon (steps), K windows, C cells (a series in a window).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.segments import evenly, positions
from forecast.data.panel import Panel
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster

WINDOWS, MOST_SERIES = 12, 200  # that are looked at: the last ones, evenly chosen ones
LEAST_PAST = 0.4  # share of a series that stands before its first window
TELLING = 0.1  # variance of b from which on a cell says too little
PRIOR = 1.0  # cells that would say: a change may be off by as much as it is
MOST = 2.0  # a b beyond it is noise


@dataclass(frozen=True)
class EffectError:
    """share: root mean square of b, as a share of the change told; cells: how many told of it."""

    share: float
    cells: int


def effect_error(
    forecaster: Forecaster, panel: Panel, names: Sequence[str], horizon: int
) -> EffectError:
    """What the past says of the forecaster's changes by the covariates `names`, known ahead; a
    share of 1 where they never moved."""
    horizon = int(min(horizon, forecaster.horizon))
    found = [_cells(forecaster, *window) for window in _windows(panel, names, horizon)]
    if not found:
        return EffectError(1.0, 0)
    slope, information, left = (np.concatenate(part) for part in zip(*found, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.nanmean(left) / information if np.isfinite(left).any() else np.inf
    kept = np.isfinite(slope) & (variance < TELLING)
    return pooled(np.clip(slope[kept], -MOST, MOST), np.broadcast_to(variance, kept.shape)[kept])


def pooled(slope: np.ndarray, variance: np.ndarray) -> EffectError:
    """The error of the next cell, from slopes (C,) and their variances (C,)."""
    count = len(slope)
    if not count:
        return EffectError(1.0, 0)
    weight = 1 / np.maximum(variance, 1e-9)
    mean = (weight * slope).sum() / weight.sum()
    spread = 0.0
    if count > 1:
        excess = (weight * (slope - mean) ** 2).sum() - (count - 1)
        spread = max(0.0, excess / (weight.sum() - (weight**2).sum() / weight.sum()))
    square = mean**2 + spread + 1 / weight.sum()
    return EffectError(float(np.sqrt((count * square + PRIOR) / (count + PRIOR))), count)


def _windows(
    panel: Panel, names: Sequence[str], horizon: int
) -> Iterator[tuple[Panel, Panel, np.ndarray]]:
    """Of each window: what precedes it, the same with covariates that stay, and actuals (S, H)."""
    chosen = panel.select(evenly(panel.size, MOST_SERIES))
    for back in range(1, WINDOWS + 1):
        origins = chosen.lengths - back * horizon
        used = np.flatnonzero(origins >= np.maximum(LEAST_PAST * chosen.lengths, 2 * horizon))
        if not len(used):
            return
        part, own = chosen.select(used), origins[used]
        past, actual = part.truncate(own), part.window(own, horizon)
        still = held(past, names)
        moved = _moves(past, still, names, horizon)
        if moved.any():
            at = np.flatnonzero(moved)
            yield past.select(at), still.select(at), actual[at]


def held(panel: Panel, names: Sequence[str]) -> Panel:
    """The panel with the columns `names` as they were at the last step of each series from then
    on."""
    covariates = panel.covariates
    assert covariates is not None
    offsets = covariates.offsets
    owner = np.repeat(np.arange(panel.size), np.diff(offsets))
    ahead = positions(offsets) >= panel.lengths[owner]
    last = (offsets[:-1] + np.maximum(panel.lengths - 1, 0))[owner]
    columns = tuple(
        replace(column, values=np.where(ahead, column.values[last], column.values))
        if column.name in names
        else column
        for column in covariates.columns
    )
    return replace(panel, covariates=replace(covariates, columns=columns))


def _moves(past: Panel, still: Panel, names: Sequence[str], horizon: int) -> np.ndarray:
    """bool (S,): whether a column of `names` moves in the steps after the end of `past`."""
    assert past.covariates is not None and still.covariates is not None
    offsets = past.covariates.offsets
    owner = np.repeat(np.arange(past.size), np.diff(offsets))
    place = positions(offsets) - past.lengths[owner]
    inside = (place >= 0) & (place < horizon)
    moved = np.zeros(past.size, bool)
    for came, stayed in zip(past.covariates.columns, still.covariates.columns, strict=True):
        if came.name in names:
            differs = inside & np.isfinite(came.values) & (came.values != stayed.values)
            moved |= np.bincount(owner[differs], minlength=past.size) > 0
    return moved


def _cells(
    forecaster: Forecaster, past: Panel, still: Panel, actual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each series in a window (S,): b, how much tells of it, the variance of what is left.

    Errors are in units of the forecast's own spread; their dependence over steps is taken out.
    """
    horizon = actual.shape[1]
    made = forecast_panel(forecaster, past, horizon)
    stayed = forecast_panel(forecaster, still, horizon)
    middle = len(made.levels) // 2
    outer = (np.abs(made.levels - 0.1)).argmin()
    width = made.quantiles[..., middle] - made.quantiles[..., outer]
    width = np.where(width > 0, width, np.nan)
    told = (made.quantiles - stayed.quantiles)[..., middle] / width
    error = (actual - made.quantiles[..., middle]) / width
    known = np.isfinite(told) & np.isfinite(error)
    told, error = (
        _fresh(np.where(known, x, 0.0), known, forecaster.dependence) for x in (told, error)
    )
    information = (told**2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (told * error).sum(1) / information
        rest = np.where(known, error - slope[:, None] * told, 0.0)
        left = (rest**2).sum(1) / np.maximum(known.sum(1) - 1, 1)
    return slope, information, np.where(known.sum(1) > 1, left, np.nan)


def _fresh(x: np.ndarray, known: np.ndarray, dependence: float) -> np.ndarray:
    """x (S, H) less what the step before says of it, in units of what is new."""
    after = (x[:, 1:] - dependence * x[:, :-1]) / np.sqrt(1 - dependence**2)
    both = known[:, 1:] & known[:, :-1]
    return np.concatenate([x[:, :1], np.where(both, after, x[:, 1:])], 1) * known
