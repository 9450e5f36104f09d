"""`lstm`: long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000: forget gate).

    i, f, o = sigmoid(W x_t + U h_{t-1} + b)     input, forget, output gate
    g = tanh(W_g x_t + U_g h_{t-1} + b_g)        candidate
    c_t = f * c_{t-1} + i * g;   h_t = o * tanh(c_t)

4h(i + h + 1) parameters with one bias vector; torch keeps two. What c_t hands on is multiplied by
f alone, so a gradient survives as many steps back as f stays near one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size
from forecast.models.networks.numpy_ops import Weights, sigmoid, times

if TYPE_CHECKING:
    from torch import nn


def recurrent_shapes(gates: int, hidden: int, suffix: str = "") -> Shapes:
    """Tensors of one layer of torch's recurrent networks with so many gates, input size h."""
    return {
        f"weight_ih_l0{suffix}": (gates * hidden, hidden),
        f"weight_hh_l0{suffix}": (gates * hidden, hidden),
        f"bias_ih_l0{suffix}": (gates * hidden,),
        f"bias_hh_l0{suffix}": (gates * hidden,),
    }


def parameters(size: Size) -> int:
    """4h(i + h + 1), with i = h."""
    return 4 * size.hidden * (2 * size.hidden + 1)


def lstm_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, recurrent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One gate-by-gate step: x (B, 4h) = W x_t + both biases in torch's order i, f, g, o;
    h, c (B, h); recurrent U transposed (h, 4h). Returns the new h and c."""
    size = h.shape[-1]
    gates = x + h @ recurrent
    i = sigmoid(gates[:, :size])
    f = sigmoid(gates[:, size : 2 * size])
    g = np.tanh(gates[:, 2 * size : 3 * size])
    o = sigmoid(gates[:, 3 * size :])
    c = f * c + i * g
    return o * np.tanh(c), c


def forward(weights: Weights, x: np.ndarray, suffix: str = "") -> np.ndarray:
    """All hidden states (T, B, h) of one layer that starts at zero; x (T, B, i)."""
    bias = weights[f"bias_ih_l0{suffix}"] + weights[f"bias_hh_l0{suffix}"]
    inputs = times(x, weights[f"weight_ih_l0{suffix}"]) + bias
    recurrent = np.ascontiguousarray(weights[f"weight_hh_l0{suffix}"].T)
    h = c = np.zeros((x.shape[1], recurrent.shape[0]), np.float32)
    out = np.empty((x.shape[0], x.shape[1], recurrent.shape[0]), np.float32)
    for t in range(x.shape[0]):
        h, c = lstm_step(inputs[t], h, c, recurrent)
        out[t] = h
    return out


def module(size: Size) -> nn.Module:
    """torch's fused layer."""
    from forecast.models.networks.torch_layers import LSTM

    return LSTM(size.hidden, size.hidden)


PART = Part(lambda size: recurrent_shapes(4, size.hidden), parameters, module, forward=forward)
SPEC = NetworkSpec("lstm", "LSTM", (PART,), LINEAR, prefix="lstms")
