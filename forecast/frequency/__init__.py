"""The grid in time that a series lies on: its frequency, season lengths and future times."""

from forecast.frequency.grid import Frequency
from forecast.frequency.infer import infer_frequency, parse_frequency
from forecast.frequency.season import confirm_seasons
from forecast.frequency.writing import format_stamps

__all__ = [
    "Frequency",
    "confirm_seasons",
    "format_stamps",
    "infer_frequency",
    "parse_frequency",
]
