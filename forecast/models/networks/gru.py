"""`gru`: gated recurrent unit (Cho et al. 2014), its reset gate after the product as cuDNN has it.

    r, z = sigmoid(W x_t + U h_{t-1} + b)                reset and update gate
    n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n))   candidate
    h_t = (1 - z) * n + z * h_{t-1}

3h(i + h + 1) + h parameters: one bias vector, and the candidate's second one, which the reset gate
sets apart; torch keeps two of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Size
from forecast.models.networks.lstm import recurrent_shapes

if TYPE_CHECKING:
    from torch import nn


def parameters(size: Size) -> int:
    """3h(i + h + 1) + h, with i = h."""
    h = size.hidden
    return 3 * h * (2 * h + 1) + h


def module(size: Size) -> nn.Module:
    """torch's fused layer."""
    from forecast.models.networks.torch_layers import GRU

    return GRU(size.hidden, size.hidden)


PART = Part(lambda size: recurrent_shapes(3, size.hidden), parameters, module)
SPEC = NetworkSpec("gru", "GRU", (PART,), LINEAR)
