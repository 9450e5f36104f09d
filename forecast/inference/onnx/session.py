"""A panel forecast by an ONNX file in ONNX Runtime, on one thread.

Axes: S series, B series of one batch, N observations of the longest, H horizon, Q quantiles.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from forecast.common.resources import needed
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.inference.onnx.export import EXTRA, INPUT

NUMBERS_AT_ONCE = 1_000_000  # observations of one batch, the empty ones included


def session_of(blob: bytes) -> Any:
    """An inference session of one thread on the CPU."""
    runtime = needed("onnxruntime", EXTRA, "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])


def rectangle(panel: Panel) -> np.ndarray:
    """The series of a panel as rows float64 (S, N) that end together, NaN before their first."""
    lengths = panel.lengths
    longest = max(1, int(lengths.max(initial=0)))
    rows = np.repeat(np.arange(panel.size), lengths)
    column = np.arange(len(panel.values)) - np.repeat(panel.offsets[1:] - longest, lengths)
    made = np.full((panel.size, longest), np.nan)
    made[rows, column] = panel.values
    return made


def forecast_with(session: Any, panel: Panel, name: str) -> Forecast:
    """What the file forecasts for every series of the panel, from its end."""
    levels = np.array(json.loads(session.get_modelmeta().custom_metadata_map["levels"]))
    started = time.monotonic()
    size = max(1, NUMBERS_AT_ONCE // max(1, int(panel.lengths.max(initial=1))))
    parts = [
        session.run(None, {INPUT: rectangle(panel.select(rows))})[0]
        for rows in np.array_split(np.arange(panel.size), -(-panel.size // size))
    ]
    quantiles = np.concatenate(parts)
    available = np.isfinite(quantiles).all((1, 2))
    return Forecast(
        name,
        panel.lengths,
        quantiles[:, :, len(levels) // 2].copy(),
        levels,
        quantiles,
        np.full(panel.size, name, object),
        available,
        time.monotonic() - started,
    )
