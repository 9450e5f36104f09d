"""Charts of one series and its forecasts: image files and text for a terminal."""

from forecast.charts.explanation import ExplanationChart, explanation_image
from forecast.charts.fan import FanChart, clean_label, fan_chart
from forecast.charts.image import forecast_image, forecast_png
from forecast.charts.terminal import terminal_chart

__all__ = [
    "ExplanationChart",
    "FanChart",
    "clean_label",
    "explanation_image",
    "fan_chart",
    "forecast_image",
    "forecast_png",
    "terminal_chart",
]
