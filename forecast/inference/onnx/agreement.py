"""Does an exported file forecast what the model does? Tried on series made for it.

Batches of one, a few and many series; short, usual and long ones; gaps, one that never moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast.common.errors import ForecastError
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.inference.onnx.session import forecast_with
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster

TOLERANCE = 1e-5  # of a series' own size
BATCHES = (1, 4, 16)
LENGTHS = (0.3, 1.0, 3.0)  # of what the network reads


def largest_difference(forecaster: Forecaster, session: Any) -> float:
    """Of the file's and the model's quantiles, as a share of each series' own size, over all batch
    sizes and lengths. Raises ForecastError when it is more than TOLERANCE."""
    usual = forecaster.context * forecaster.layout.width
    worst = 0.0
    for number, (batch, share) in enumerate((b, s) for b in BATCHES for s in LENGTHS):
        panel = trial_panel(batch, max(4, int(share * usual)), forecaster.layout.season, number)
        wanted = forecast_panel(forecaster, panel, forecaster.horizon).quantiles
        made = forecast_with(session, panel, forecaster.name).quantiles
        size = np.abs(wanted).max((1, 2), keepdims=True)
        apart = np.abs(made - wanted) / np.where(size > 0, size, 1.0)
        worst = max(worst, float(np.where(np.isfinite(apart), apart, np.inf).max()))
    if worst > TOLERANCE:
        raise ForecastError(
            "the exported file does not forecast what the model does; nothing was written",
            code="export/disagrees",
            value=worst,
            remedy=f"At most {TOLERANCE:g} of a series' size is allowed: this is a bug",
        )
    return worst


def trial_panel(size: int, length: int, season: int, seed: int) -> Panel:
    """`size` series of up to `length` values: waves, noise, trends, gaps; one never moves."""
    random = np.random.default_rng(seed)
    lengths = length - random.integers(0, max(1, length // 3), size)
    parts = []
    for s, n in enumerate(lengths):
        t = np.arange(n)
        wave = np.sin(2 * np.pi * (t / max(2, season) + random.random()))
        y = 10.0 ** random.integers(-2, 5) * (
            3 * random.random() + wave + t / n + 0.2 * random.standard_normal(n)
        )
        y[1:-1][random.random(n - 2) < 0.05] = np.nan
        parts.append(np.full(n, 5.0) if s == 3 else y)
    return Panel(
        np.array([f"{s:03d}" for s in range(size)], object),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(parts),
        np.zeros(size, np.int64),
        Frequency("1", integer=True),
    )
