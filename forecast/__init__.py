"""lstmcast: forecast any table of time series with an LSTM, beside ARIMA.

from forecast import backtest, load, predict, train
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast.api import Backtest, Model, Run, backtest, load, predict, train

__all__ = ["Backtest", "Model", "Run", "backtest", "load", "predict", "train"]


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: the command line starts lean."""
    if name in __all__:
        from forecast import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
