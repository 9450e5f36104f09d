"""Metrics, score tables and the honest comparison of forecasters, on numpy alone."""

from forecast.metrics.accuracy import (
    coverage,
    lag_of_scale,
    mae,
    mape,
    mase,
    msis,
    owa,
    pinball,
    rmse,
    rmsse,
    scaled_crps,
    seasonal_errors,
    smape,
    wql,
    zero_actuals,
)
from forecast.metrics.compare import (
    Comparison,
    compare,
    diebold_mariano,
    paired_bootstrap,
    verdict,
    with_more,
)
from forecast.metrics.crps import crps, crps_of_samples
from forecast.metrics.naive2 import naive2
from forecast.metrics.scoring import score_forecasts
from forecast.metrics.table import Score, ScoreTable

__all__ = [
    "Comparison",
    "Score",
    "ScoreTable",
    "compare",
    "coverage",
    "crps",
    "crps_of_samples",
    "diebold_mariano",
    "lag_of_scale",
    "mae",
    "mape",
    "mase",
    "msis",
    "naive2",
    "owa",
    "paired_bootstrap",
    "pinball",
    "rmse",
    "rmsse",
    "scaled_crps",
    "score_forecasts",
    "seasonal_errors",
    "smape",
    "verdict",
    "with_more",
    "wql",
    "zero_actuals",
]
