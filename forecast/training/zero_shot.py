"""The pretrained network made ready for a panel, wherever one forecasts or judges untrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.inference.longer_steps import longer_steps, regular
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.pretrained import load_backbone
from forecast.training.plan import (
    choose_context,
    choose_horizon,
    choose_layout,
    choose_season,
    choose_validation,
)
from forecast.training.selection import calibrated, watched
from forecast.transforms.windows import Layout

# Longer steps may raise the error on validation origins by half a per cent where very many errors
# say so, must lower it by 2 per cent where there are two, by 4.5 where there is one: of single
# series one origin says little (benchmarks/TRIED.md).
TOLERANCE, DOUBT = 0.005, 0.05
MOST_WATCHED = 300  # series of a validation origin


@dataclass(frozen=True)
class ZeroShot:
    """A forecaster that has learnt nothing of the panel but how wide its intervals are; the horizon
    and the season m of scores (steps)."""

    forecaster: Forecaster
    horizon: int
    season: int


def ready_backbone(panel: Panel, seasons: Sequence[int], settings: Settings) -> Forecaster:
    """The pretrained network as it reads `panel`, its intervals as they come.

    seasons: those that the data confirm, the main one first.
    """
    typical = int(np.median(panel.lengths))
    season, _ = choose_season(panel, settings, tuple(seasons), typical)
    layout, _ = choose_layout(panel, settings, season, typical)
    return _backbone(panel, layout)


def zero_shot(
    panel: Panel, seasons: Sequence[int], settings: Settings, listener: Listener | None = None
) -> ZeroShot:
    """The pretrained network with intervals fitted to the last origins of `panel`; what was decided
    is noted for `listener`. Raises as `choose_horizon`."""
    typical, confirmed = int(np.median(panel.lengths)), tuple(seasons)
    horizon, why = choose_horizon(panel, settings, confirmed, typical)
    season, _ = choose_season(panel, settings, confirmed, typical)
    layout, (reading, why_reading) = choose_layout(panel, settings, season, typical)
    if listener is not None:
        listener.note(f"horizon {horizon}: {why}; one LSTM step is {reading}: {why_reading}")
    forecaster = with_longer_steps(_backbone(panel, layout), panel, horizon, season, listener)
    origins = choose_validation(panel.size, panel.lengths, horizon)
    return ZeroShot(calibrated(forecaster, panel, origins, horizon), horizon, season)


def with_longer_steps(
    network: Forecaster, panel: Panel, horizon: int, season: int, listener: Listener | None = None
) -> Forecaster:
    """The pretrained network, beside it longer steps where validation origins speak for them: the
    fewer errors there are, the more lower theirs must be.

    season: m of the scores, in whose naive error errors are measured.
    """
    longer = longer_steps(panel)
    if not longer:
        return network
    both = replace(network, longer=longer)
    panel = panel.select(np.flatnonzero(regular(panel)))
    validation = choose_validation(panel.size, panel.lengths, horizon)
    windows = watched(panel, validation, horizon, season, MOST_WATCHED)
    losses = np.concatenate(
        [np.stack([_errors(f, *each) for f in (network, both)], axis=1) for each in windows]
    )
    losses = losses[np.isfinite(losses).all(axis=1)]
    if not len(losses):
        return network
    alone, beside = losses.mean(axis=0)
    kept = bool(beside <= (1 + TOLERANCE - DOUBT / len(losses)) * alone)
    if listener is not None:
        steps = " and ".join(str(each.steps) for each in longer)
        word = "forecast as well" if kept else "left out"
        listener.note(
            f"means of {steps} steps are {word}: error on validation origins {beside:.3g} with "
            f"them, {alone:.3g} without"
        )
    return both if kept else network


def _errors(network: Forecaster, past: Panel, actual: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean absolute error of each series, (S,), in its unit; NaN unknown."""
    error = np.abs(forecast_panel(network, past, actual.shape[1]).point - actual)
    known = np.isfinite(error)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, error, 0.0).sum(axis=1) / known.sum(axis=1) / unit)


def _backbone(panel: Panel, layout: Layout) -> Forecaster:
    return replace(load_backbone(layout), context=choose_context(panel, layout))
