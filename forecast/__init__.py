"""lstmcast: forecast any table of time series with an LSTM, beside ARIMA.

from forecast import backtest, compare, detect, explain, forecast, load, predict, train, tune
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast.api import (
        Backtest,
        Comparison,
        Explained,
        ForecastError,
        Model,
        Picture,
        Run,
        Tuning,
        backtest,
        compare,
        detect,
        explain,
        forecast,
        load,
        predict,
        train,
        tune,
    )

__all__ = [
    "Backtest",
    "Comparison",
    "Explained",
    "ForecastError",
    "Model",
    "Picture",
    "Run",
    "Tuning",
    "backtest",
    "compare",
    "detect",
    "explain",
    "forecast",
    "load",
    "predict",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: the command line starts lean."""
    if name in __all__:
        from forecast import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion in a notebook: they are not imported yet."""
    return [*__all__]
