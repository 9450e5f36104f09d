"""What moved one series' forecast, put together.

Axes: L past steps, T LSTM steps, E explained steps of the forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.analysis.importance import Importance, contributions, importances
from forecast.analysis.integrated_gradients import PastSteps, past_steps
from forecast.analysis.network_internals import Inside, look_inside
from forecast.data.panel import Panel
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.training.plan import choose_validation

MOST_STEPS = 24  # of the forecast that are explained, evenly spread


@dataclass(frozen=True)
class Explanation:
    """What moved the forecast of `series`, the only one of `panel`.

    median     (H,) of the forecast; steps (E,): those that are explained, 0 is the first
    past       what past values contribute; shares: what covariates do, by name
    importance of covariates at validation origins of all series
    inside     the gates and where the network looks
    """

    series: str
    panel: Panel
    median: np.ndarray
    steps: np.ndarray
    past: PastSteps
    shares: dict[str, float]
    importance: dict[str, Importance]
    inside: Inside


def explain(
    forecaster: Forecaster, panel: Panel, series: int, horizon: int, step: int | None, seed: int
) -> Explanation:
    """Explains the forecast of series number `series`: its step `step` (0 is the first) or, for
    None, as many as MOST_STEPS of all. Raises UsageError without Captum."""
    own = panel.select(np.array([series]))
    steps = np.array([step])
    if step is None:
        steps = np.unique(np.linspace(0, horizon - 1, min(horizon, MOST_STEPS)).astype(int))
    validation = choose_validation(panel.size, panel.lengths, horizon)
    median = forecast_panel(forecaster, own, horizon, allow_negative=True)
    return Explanation(
        str(panel.ids[series]),
        own,
        median.point[0],
        steps,
        past_steps(forecaster, own, steps, horizon),
        contributions(forecaster, own, steps, horizon),
        importances(forecaster, panel, validation, horizon, seed),
        look_inside(forecaster, own),
    )
