"""`cnn-lstm`: causal convolutions in front of LSTM layers (Sainath et al. 2015, without pooling).

    y_t = gelu(sum_{k=0}^{2} W_k x_{t - d k} + b)     d = 1, then d = 2; x = 0 before the start

Two such parts (dilated and causal as in van den Oord et al. 2016) see seven steps; `--layers` LSTM
layers (lstm.py) follow. h(3h + 1) parameters each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from forecast.models.networks import lstm
from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size

if TYPE_CHECKING:
    from torch import Tensor, nn

TAPS = 3
DILATIONS = (1, 2)


def shapes(size: Size) -> Shapes:
    """W as torch's Conv1d has it, its last tap k = 0."""
    h = size.hidden
    return {"convolution.weight": (h, h, TAPS), "convolution.bias": (h,)}


def parameters(size: Size) -> int:
    """h(3h + 1)."""
    return size.hidden * (TAPS * size.hidden + 1)


def torch_forward(weights: Mapping[str, Tensor], x: Tensor, dilation: int) -> Tensor:
    """y (T, B, h) of x (T, B, h)."""
    from torch.nn import functional

    padded = functional.pad(x.permute(1, 2, 0), ((TAPS - 1) * dilation, 0))
    made = functional.conv1d(
        padded, weights["convolution.weight"], weights["convolution.bias"], dilation=dilation
    )
    return functional.gelu(made, approximate="tanh").permute(2, 0, 1)


def module(size: Size, dilation: int) -> nn.Module:
    """torch's convolution."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(shapes(size), partial(torch_forward, dilation=dilation))


def convolution(dilation: int) -> Part:
    """The part whose taps are so many steps apart."""
    return Part(
        shapes,
        parameters,
        partial(module, dilation=dilation),
    )


SPEC = NetworkSpec(
    "cnn-lstm",
    "CNN-LSTM",
    (lstm.PART,),
    LINEAR,
    front=tuple(convolution(dilation) for dilation in DILATIONS),
)
