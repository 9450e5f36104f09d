"""The LSTM on validation and held-out origins, from what was known there.

Axes: S series, W windows, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.inference.conformal import calibrate, dependence, normal_scores, stretch
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster

MOST_CALIBRATED = 5000  # series of an origin: their actuals fix the factors to the third digit


def calibrated(
    forecaster: Forecaster, panel: Panel, validation: np.ndarray, horizon: int
) -> Forecaster:
    """The forecaster with intervals stretched to fit the origins `validation` (V, S), -1 = none,
    and with the dependence of the errors there.

    Of very many series, MOST_CALIBRATED are forecast, evenly spread.
    """
    quantiles, actual = [], []
    for origins in validation:
        used = np.flatnonzero(origins >= 0)
        if len(used) > MOST_CALIBRATED:
            used = used[np.linspace(0, len(used) - 1, MOST_CALIBRATED).astype(int)]
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            quantiles.append(forecast_panel(forecaster, past, horizon).quantiles)
            actual.append(part.window(origins[used], horizon))
    if not quantiles:
        return forecaster
    made, known = np.concatenate(quantiles), np.concatenate(actual)
    factors = calibrate(made, forecaster.levels, known)
    scores = normal_scores(stretch(made, factors), forecaster.levels, known)
    return replace(forecaster, factors=factors, dependence=dependence(scores))


def lstm_windows(
    forecaster: Forecaster, panel: Panel, origins: np.ndarray, horizon: int, allow_negative: bool
) -> list[Forecast]:
    """The LSTM's forecasts from each row of `origins` (W, S)."""
    return [
        forecast_panel(forecaster, panel.truncate(row), horizon, allow_negative=allow_negative)
        for row in origins
    ]
