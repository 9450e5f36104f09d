"""One self-contained HTML page about a run: verdict, forecasts, scores, diagnostics, settings."""

from forecast.report.contents import (
    LearningCurve,
    Reliability,
    ReportData,
    Residuals,
    ScoreRow,
    SeriesEntry,
    Setting,
    Tile,
)
from forecast.report.diagnostics import chosen_series, reliability, residual_autocorrelation
from forecast.report.finished import newest_run
from forecast.report.gather import report_data
from forecast.report.page import render_report, write_report
from forecast.report.rebuild import rebuilt_report
from forecast.report.run import learning_curves, run_report

__all__ = [
    "LearningCurve",
    "Reliability",
    "ReportData",
    "Residuals",
    "ScoreRow",
    "SeriesEntry",
    "Setting",
    "Tile",
    "chosen_series",
    "learning_curves",
    "newest_run",
    "rebuilt_report",
    "reliability",
    "render_report",
    "report_data",
    "residual_autocorrelation",
    "run_report",
    "write_report",
]
