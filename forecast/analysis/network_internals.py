"""What happens inside the network while it reads: its gates over time, and where it looks.

Axes: T LSTM steps of the context, G gates, A attending parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.models.networks.covariate_effect import beside
from forecast.models.networks.numpy_forward import attention_maps, parts_read
from forecast.models.networks.numpy_ops import Weights, sigmoid, times
from forecast.transforms.augment import distinct, seen
from forecast.transforms.covariates import encode
from forecast.transforms.windows import context

GATES = ("input", "forget", "output")


@dataclass(frozen=True)
class Inside:
    """gates (layers, 3, T): the mean of each gate over the units and members, 0 closed and 1 open,
    empty for networks without these gates; attention (A, T): the share of each step in what the
    last one reads, the mean over heads and members, empty where the network does not attend."""

    gates: np.ndarray
    attention: np.ndarray


def look_inside(forecaster: Forecaster, panel: Panel) -> Inside:
    """Of the forecast from the end of the only series of `panel`, in its first view."""
    view = distinct(forecaster.views, panel.values, panel.offsets)[0]
    flat, _ = seen(panel.values, panel.offsets, forecaster.layout, view)
    row, steps = np.zeros(1, int), forecaster.context
    end = flat.lengths[row]
    x = context(flat, forecaster.layout, row, end, steps)
    extra = None
    if forecaster.design is not None:
        known = encode(forecaster.design, panel)
        if known.beside(forecaster.layout):
            extra = beside(known, forecaster.layout, row, end, steps)
    gates, maps = [], []
    for weights in forecaster.members:
        read = parts_read(weights, x, extra, forecaster.network)
        gates.append([_gates(tensors, part) for tensors, part in read if _is_lstm(tensors)])
        seen_ = attention_maps(weights, x, extra, forecaster.network)
        maps.append([each.mean((0, 1)) for each in seen_])
    return Inside(_mean(gates, (0, 3, steps)), _mean(maps, (0, steps)))


def _is_lstm(tensors: Weights) -> bool:
    """Whether these are the tensors of one LSTM layer as torch has it."""
    names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    if set(tensors) != names:
        return False
    rows, hidden = tensors["weight_hh_l0"].shape
    return int(rows) == 4 * int(hidden)


def _gates(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Mean activity (3, T) of input, forget and output gate while the layer reads x (T, 1, i)."""
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    inputs = times(x, weights["weight_ih_l0"])[:, 0] + bias
    recurrent = weights["weight_hh_l0"].T
    size = len(recurrent)
    h = c = np.zeros(size, np.float32)
    out = np.empty((3, len(x)))
    for t, row in enumerate(inputs):
        raw = row + h @ recurrent
        i, f, o = (sigmoid(raw[k * size : (k + 1) * size]) for k in (0, 1, 3))
        c = f * c + i * np.tanh(raw[2 * size : 3 * size])
        h = o * np.tanh(c)
        out[:, t] = i.mean(), f.mean(), o.mean()
    return out


def _mean(parts: list[list[np.ndarray]], empty: tuple[int, ...]) -> np.ndarray:
    """Mean over members of as many layers as all of them have."""
    layers = min(len(each) for each in parts)
    if not layers:
        return np.empty(empty)
    return np.asarray(np.mean([each[:layers] for each in parts], 0))
