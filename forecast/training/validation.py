"""Several forecasters on the validation origins of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation.score_table import ScoreTable
from forecast.evaluation.scores import score_forecasts

Forecaster = Callable[[Panel], Forecast]


def on_validation_origins(
    panel: Panel, validation: np.ndarray, forecasters: Mapping[str, Forecaster], season: int
) -> ScoreTable | None:
    """Scores of `forecasters` at the origins `validation` (V, S), -1 for none; None without any.

    Each is given what precedes an origin and forecasts from its end.
    """
    if not (validation >= 0).any():
        return None
    origins = np.where(validation >= 0, validation, panel.lengths[None, :])
    made = {
        name: [_as(name, forecast(panel.truncate(row))) for row in origins]
        for name, forecast in forecasters.items()
    }
    return score_forecasts(panel, made, season)


def _as(name: str, forecast: Forecast) -> Forecast:
    """The forecast under another name, its fallbacks still named as such."""
    own = forecast.source == forecast.name
    return replace(forecast, name=name, source=np.where(own, name, forecast.source).astype(object))
