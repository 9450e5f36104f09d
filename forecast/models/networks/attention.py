"""`attention`: an LSTM that looks back over its own states (Luong et al. 2015, "general" score).

    h_t = LSTM(x_1 .. x_t)
    a_ts = softmax over s <= t of  h_t' S h_s / sqrt(h)
    y_t = tanh(C [sum_s a_ts h_s; h_t] + b)

4h(i + h + 1) + h^2 + h(2h + 1) parameters with one bias vector in the LSTM; torch keeps two. Step t
looks at no later step, so one pass serves all origins. `attention` gives the weights a_Ts of the
last step, for explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from forecast.models.networks import lstm
from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size
from forecast.models.networks.numpy_ops import Weights, inside, softmax, times

if TYPE_CHECKING:
    from torch import Tensor, nn


def own_shapes(hidden: int) -> Shapes:
    """S and C, without the LSTM."""
    return {
        "score.weight": (hidden, hidden),
        "combine.weight": (hidden, 2 * hidden),
        "combine.bias": (hidden,),
    }


def shapes(size: Size) -> Shapes:
    """The LSTM's as torch names them, S and C."""
    cells = lstm.recurrent_shapes(4, size.hidden)
    return {**{f"lstm.{n}": shape for n, shape in cells.items()}, **own_shapes(size.hidden)}


def parameters(size: Size) -> int:
    """4h(i + h + 1) + h^2 + h(2h + 1), with i = h."""
    h = size.hidden
    own = h * h + h * (2 * h + 1)
    return lstm.parameters(size) + own


def attention(weights: Weights, x: np.ndarray) -> np.ndarray:
    """What the last step looks at: (1, B, T), each row's sum 1."""
    states = lstm.forward(inside(weights, "lstm."), x)
    return _shares(weights, states[-1:], states)[None, :, 0]


def _shares(weights: Weights, query: np.ndarray, states: np.ndarray) -> np.ndarray:
    """a (B, K, T) of the last K steps, `query` (K, B, h), over `states` (T, B, h)."""
    asked = times(query, weights["score.weight"].T).swapaxes(0, 1)  # (B, K, h): h_t' S
    score = asked @ states.transpose(1, 2, 0) / np.float32(np.sqrt(states.shape[2]))
    later = np.triu(np.ones(score.shape[1:], bool), 1 + len(states) - len(query))
    return softmax(np.where(later, -np.inf, score).astype(np.float32))


def torch_forward(weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """y (T, B, h) of the LSTM's states (T, B, h)."""
    import torch
    from torch.nn import functional

    each = states.transpose(0, 1)  # (B, T, h)
    seen = functional.scaled_dot_product_attention(
        each @ weights["score.weight"], each, each, is_causal=True
    )
    both = torch.cat([seen.transpose(0, 1), states], -1)
    return torch.tanh(functional.linear(both, weights["combine.weight"], weights["combine.bias"]))


def module(size: Size) -> nn.Module:
    """torch's fused LSTM, then the look back."""
    from forecast.models.networks.torch_layers import LSTM, Tensors

    return Tensors(own_shapes(size.hidden), torch_forward, lstm=LSTM(size.hidden, size.hidden))


PART = Part(shapes, parameters, module, attention)
SPEC = NetworkSpec("attention", "Attention-LSTM", (PART,), LINEAR)
