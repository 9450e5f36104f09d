"""`gru`: gated recurrent unit (Cho et al. 2014), its reset gate after the product as cuDNN has it.

    r, z = sigmoid(W x_t + U h_{t-1} + b)                reset and update gate
    n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n))   candidate
    h_t = (1 - z) * n + z * h_{t-1}

3h(i + h + 1) + h parameters: one bias vector, and the candidate's second one, which the reset gate
sets apart; torch keeps two of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.models.networks.base import LINEAR, Idea, Part, Size
from forecast.models.networks.lstm import recurrent_shapes
from forecast.models.networks.numpy_ops import Weights, sigmoid, times

if TYPE_CHECKING:
    from torch import nn


def parameters(size: Size) -> int:
    """3h(i + h + 1) + h, with i = h."""
    h = size.hidden
    return 3 * h * (2 * h + 1) + h


def gru_step(x: np.ndarray, h: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One gate-by-gate step: x (B, 3h) = W x_t + b in torch's order r, z, n; h (B, h); recurrent U
    transposed (h, 3h); bias (3h,) of the recurrent products. Returns the new h."""
    size = h.shape[-1]
    again = h @ recurrent + bias
    r = sigmoid(x[:, :size] + again[:, :size])
    z = sigmoid(x[:, size : 2 * size] + again[:, size : 2 * size])
    n = np.tanh(x[:, 2 * size :] + r * again[:, 2 * size :])
    return (1 - z) * n + z * h


def forward(weights: Weights, x: np.ndarray) -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h)."""
    inputs = times(x, weights["weight_ih_l0"]) + weights["bias_ih_l0"]
    recurrent = np.ascontiguousarray(weights["weight_hh_l0"].T)
    h = np.zeros((x.shape[1], len(recurrent)), np.float32)
    out = np.empty((len(x), *h.shape), np.float32)
    for t in range(len(x)):
        h = out[t] = gru_step(inputs[t], h, recurrent, weights["bias_hh_l0"])
    return out


def module(size: Size) -> nn.Module:
    """torch's fused layer."""
    from forecast.models.networks.torch_layers import GRU

    return GRU(size.hidden, size.hidden)


PART = Part(lambda size: recurrent_shapes(3, size.hidden), parameters, forward, module)
IDEA = Idea("gru", "GRU", (PART,), LINEAR)
