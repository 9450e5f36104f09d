"""The column names of every table that is read or written, in one place."""

from __future__ import annotations

ID = "unique_id"
TIME = "ds"
TARGET = "y"
CUTOFF = "cutoff"
SAMPLE = "sample"

LSTM = "LSTM"


def interval_names(model: str, level: float) -> tuple[str, str]:
    """Names of the lower and upper bound of `model`'s `level` per cent interval."""
    return f"{model}-lo-{level:g}", f"{model}-hi-{level:g}"


def quantile_name(model: str, quantile: float) -> str:
    """Name of the column that holds `model`'s `quantile` (between 0 and 1)."""
    return f"{model}-q{quantile:g}"
