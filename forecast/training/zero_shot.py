"""The pretrained network made ready for a panel, wherever one forecasts or judges untrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.models.pretrained import load_backbone
from forecast.training.plan import (
    choose_context,
    choose_horizon,
    choose_layout,
    choose_season,
    choose_validation,
)
from forecast.training.selection import calibrated
from forecast.transforms.windows import Layout


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
    origins = choose_validation(panel.size, panel.lengths, horizon)
    forecaster = calibrated(_backbone(panel, layout), panel, origins, horizon)
    return ZeroShot(forecaster, horizon, season)


def _backbone(panel: Panel, layout: Layout) -> Forecaster:
    return replace(load_backbone(layout), context=choose_context(panel, layout))
