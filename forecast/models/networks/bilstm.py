"""`bilstm`: two LSTMs, one reads forwards, the other backwards (Schuster & Paliwal 1997).

    a_t = LSTM(x_1 .. x_t);   z_t = LSTM'(x_T .. x_t)
    y_t = P [a_t; z_t] + b   for t < T;   y_T = P [a_T; z_1] + b

T is the last step before the origin: nothing after it is read, so the stack runs anew for each
origin of a training window (and fewer of them are trained). At T the backward reader has seen a
single step; its summary of the whole context, z_1, stands there instead.
8h(i + h + 1) + h(2h + 1) parameters with one bias vector in each direction; torch keeps two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.models.networks import lstm
from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size

if TYPE_CHECKING:
    from torch import nn


def shapes(size: Size) -> Shapes:
    """Both directions as torch names them, and P."""
    h = size.hidden
    both = lstm.recurrent_shapes(4, h) | lstm.recurrent_shapes(4, h, "_reverse")
    return {
        **{f"lstm.{name}": shape for name, shape in both.items()},
        "project.weight": (h, 2 * h),
        "project.bias": (h,),
    }


def parameters(size: Size) -> int:
    """8h(i + h + 1) + h(2h + 1), with i = h."""
    return 2 * lstm.parameters(size) + size.hidden * (2 * size.hidden + 1)


def module(size: Size) -> nn.Module:
    """torch's fused layer of two directions."""
    from forecast.models.networks.torch_layers import BiLSTM

    return BiLSTM(size.hidden)


PART = Part(shapes, parameters, module)
SPEC = NetworkSpec("bilstm", "BiLSTM", (PART,), LINEAR, each_origin=True)
