"""The LSTM on validation and held-out origins, from what was known there.

Axes: S series, W windows, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.forecasts import Forecast
from forecast.intervals import calibrate
from forecast.panel import Panel
from forecast.prediction import Forecaster, forecast_panel


def calibrated(
    forecaster: Forecaster, panel: Panel, validation: np.ndarray, horizon: int
) -> Forecaster:
    """The forecaster with intervals stretched to fit the origins `validation` (V, S), -1 = none."""
    quantiles, actual = [], []
    for origins in validation:
        used = np.flatnonzero(origins >= 0)
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            quantiles.append(forecast_panel(forecaster, past, horizon).quantiles)
            actual.append(part.window(origins[used], horizon))
    if not quantiles:
        return forecaster
    factors = calibrate(np.concatenate(quantiles), forecaster.levels, np.concatenate(actual))
    return replace(forecaster, factors=factors)


def lstm_windows(
    forecaster: Forecaster, panel: Panel, origins: np.ndarray, horizon: int, allow_negative: bool
) -> list[Forecast]:
    """The LSTM's forecasts from each row of `origins` (W, S)."""
    return [
        forecast_panel(forecaster, panel.truncate(row), horizon, allow_negative=allow_negative)
        for row in origins
    ]
