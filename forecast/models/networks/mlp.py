"""`mlp`: no recurrence; the whole context at once, then feed-forward parts.

    y = sum_{k=0}^{K-1} W_k x_{T-k} + b         K: steps of the context; x = 0 before the start
    z = W_2 gelu(W_1 y + b_1) + b_2             `--layers` times, 4h wide (Rumelhart et al. 1986)

h(K h + 1) and h(8h + 5) parameters: the only network whose size grows with `--context`. As it reads
a context as a whole, it runs anew for each origin of a training window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size
from forecast.models.networks.transformer import FEED

if TYPE_CHECKING:
    from torch import Tensor, nn


def shapes(size: Size) -> Shapes:
    """W for all steps side by side, the last step's last."""
    h = size.hidden
    return {"window.weight": (h, size.context * h), "window.bias": (h,)}


def parameters(size: Size) -> int:
    """h(K h + 1)."""
    return size.hidden * (size.context * size.hidden + 1)


def torch_forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """y (1, B, h) of the context x (T, B, h) of one origin."""
    from torch.nn import functional

    steps, batch, hidden = x.shape
    reads = weights["window.weight"].shape[1] // hidden
    window = functional.pad(x[-reads:], (0, 0, 0, 0, max(0, reads - steps), 0))
    flat = window.transpose(0, 1).reshape(1, batch, -1)
    return functional.linear(flat, weights["window.weight"], weights["window.bias"])


def module(size: Size) -> nn.Module:
    """One linear layer over the whole context."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(shapes(size), torch_forward)


WINDOW = Part(shapes, parameters, module)
SPEC = NetworkSpec("mlp", "MLP", (FEED,), LINEAR, front=(WINDOW,), each_origin=True, window=True)
