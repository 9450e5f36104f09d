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
from forecast.models.networks.numpy_ops import Weights, times

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


def forward(weights: Weights, x: np.ndarray, suffix: str = "") -> np.ndarray:
    """All hidden states (T, B, h) of one layer that starts at zero; x (T, B, i).

    sigmoid(z) = (1 + tanh(z / 2)) / 2, and halving the gates' weights halves z exactly, so one tanh
    in place serves all gates.
    """
    size = weights[f"weight_hh_l0{suffix}"].shape[1]
    half = np.full(4 * size, 0.5, np.float32)
    half[2 * size : 3 * size] = 1  # the candidate is a tanh
    bias = weights[f"bias_ih_l0{suffix}"] + weights[f"bias_hh_l0{suffix}"]
    inputs = times(x, half[:, None] * weights[f"weight_ih_l0{suffix}"]) + half * bias
    recurrent = np.ascontiguousarray((half[:, None] * weights[f"weight_hh_l0{suffix}"]).T)
    h: np.ndarray = np.zeros((x.shape[1], size), np.float32)
    c = h
    out = np.empty((len(x), *h.shape), np.float32)
    gates = np.empty((x.shape[1], 4 * size), np.float32)
    for t in range(len(x)):
        np.matmul(h, recurrent, out=gates)
        gates += inputs[t]
        np.tanh(gates, out=gates)
        i, f, g, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
        c = 0.5 * (1 + f) * c + 0.5 * (1 + i) * g
        h = np.multiply(0.5 * (1 + o), np.tanh(c), out=out[t])
    return out


def module(size: Size) -> nn.Module:
    """torch's fused layer."""
    from forecast.models.networks.torch_layers import LSTM

    return LSTM(size.hidden, size.hidden)


PART = Part(lambda size: recurrent_shapes(4, size.hidden), parameters, module, forward=forward)
SPEC = NetworkSpec("lstm", "LSTM", (PART,), LINEAR, prefix="lstms")
