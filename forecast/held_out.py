"""Every forecaster on the same held-out origins, each from what was known there.

Axes: S series, W windows, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecast.baselines import forecast_baselines
from forecast.events import Listener
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


def baseline_windows(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    names: Sequence[str],
    levels: np.ndarray,
    season: int,
    budget: float,
    jobs: int,
    listener: Listener,
) -> dict[str, list[Forecast]]:
    """Forecasts of every baseline from each row of `origins` (R, S), by column name.

    All origins share one budget and one set of worker processes: each (series, origin) is handed
    over as a series of its own, cut off at its origin.
    """
    if not names or not len(origins):
        return {}
    stacked = _stack([panel.truncate(row) for row in origins])
    made = forecast_baselines(
        stacked, stacked.lengths, horizon, names, levels, season, budget, jobs, listener
    )
    return {name: _unstack(forecast, panel.size, origins) for name, forecast in made.items()}


def _stack(panels: Sequence[Panel]) -> Panel:
    """Copies of one panel, cut at different origins, as one panel with numbered ids."""
    if len(panels) == 1:
        return panels[0]
    lengths = np.concatenate([panel.lengths for panel in panels])
    ids = [f"{name} (origin {k + 1})" for k, panel in enumerate(panels) for name in panel.ids]
    return replace(
        panels[0],
        ids=np.array(ids, dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate([panel.values for panel in panels]),
        first=np.concatenate([panel.first for panel in panels]),
    )


def _unstack(forecast: Forecast, size: int, origins: np.ndarray) -> list[Forecast]:
    """The forecasts of each origin; time is shared out evenly."""
    return [
        replace(
            forecast,
            origins=row,
            point=forecast.point[part],
            quantiles=forecast.quantiles[part],
            source=forecast.source[part],
            available=forecast.available[part],
            seconds=forecast.seconds / len(origins),
        )
        for k, row in enumerate(origins)
        for part in (slice(k * size, (k + 1) * size),)
    ]
