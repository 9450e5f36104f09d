"""What the LSTM is compared with in a backtest: the baselines, within one budget, and Naive2.

Axes: S series, W windows (origins of each series), H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory, available_cores
from forecast.config.schema import BACKTEST_BASELINES, Settings
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation.rolling import held_out
from forecast.models.baselines.forecast import forecast_baselines_windows
from forecast.models.baselines.naive2 import naive2
from forecast.workflows.backtest_plan import BacktestPlan

NAIVE2 = "Naive2"
CACHE = ".baselines"  # below the root of all runs


def baseline_forecasts(
    panel: Panel,
    plan: BacktestPlan,
    settings: Settings,
    levels: np.ndarray,
    budget: float,
    listener: Listener,
) -> dict[str, list[Forecast]]:
    """Every baseline from every origin, by column name; and Naive2 wherever there is one.

    levels (Q,); budget: seconds that the statistical ones share. Their forecasts are kept below
    the root of all runs, by the content of the data, and found again there.
    """
    names = settings.baselines.chosen(BACKTEST_BASELINES)
    if not names:
        return {}
    listener.stage("Fitting the baselines")
    made = forecast_baselines_windows(
        panel,
        plan.origins,
        plan.steps,
        names,
        levels,
        plan.training.season,
        budget,
        settings.training.jobs or available_cores(),
        wanted=held_out(panel, plan.origins),
        listener=listener,
        cache_folder=Path(settings.output.root) / CACHE,
        allow_negative=settings.forecast.allow_negative,
        ray=settings.engine.name == "ray",
        ray_address=settings.engine.ray_address,
    )
    return {**made, NAIVE2: naive2_forecasts(panel, plan.origins, plan.steps, plan.training.season)}


def naive2_forecasts(
    panel: Panel, origins: Sequence[np.ndarray] | np.ndarray, steps: int, season: int
) -> list[Forecast]:
    """Naive2, M4's benchmark, from each row of `origins` (W, S): points without quantiles."""
    with PeakMemory() as memory:
        made = [_naive2(panel.truncate(row), row, steps, season) for row in origins]
    return [replace(each, memory=memory.peak) for each in made]


def _naive2(past: Panel, origins: np.ndarray, steps: int, season: int) -> Forecast:
    started = time.monotonic()
    point = naive2(past.values, past.offsets, steps, season)
    available = np.isfinite(point).all(axis=1)
    return Forecast(
        NAIVE2,
        origins,
        np.where(available[:, None], point, np.nan),
        np.empty(0),
        np.empty((past.size, steps, 0)),
        np.where(available, NAIVE2, "").astype(object),
        available,
        time.monotonic() - started,
    )
