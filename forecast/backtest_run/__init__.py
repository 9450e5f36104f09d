"""`backtest` from a table to files: every forecaster from rolling origins, scored alike."""

from forecast.backtest_run.run import BacktestResult, backtest_run

__all__ = ["BacktestResult", "backtest_run"]
