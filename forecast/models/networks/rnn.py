"""`rnn`: the plain recurrent network (Elman 1990).

    h_t = tanh(W x_t + U h_{t-1} + b)

h(i + h + 1) parameters with one bias vector; torch keeps two. A gradient k steps back is multiplied
k times by U and by tanh' <= 1, so it vanishes or explodes geometrically (Bengio et al. 1994): the
network that the others are a remedy for (benchmarks/MEMORY.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Size
from forecast.models.networks.lstm import recurrent_shapes

if TYPE_CHECKING:
    from torch import nn


def parameters(size: Size) -> int:
    """h(i + h + 1), with i = h."""
    return size.hidden * (2 * size.hidden + 1)


def module(size: Size) -> nn.Module:
    """torch's fused layer."""
    from forecast.models.networks.torch_layers import RNN

    return RNN(size.hidden, size.hidden)


PART = Part(lambda size: recurrent_shapes(1, size.hidden), parameters, module)
SPEC = NetworkSpec("rnn", "RNN", (PART,), LINEAR)
