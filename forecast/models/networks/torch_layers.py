"""The torch side of the parts: fused layers that give their outputs alone, and plain tensors.

Imported only where a network is trained: each part's `module` does so when it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253 - imported only for training
from torch import nn  # noqa: TID253 - likewise

if TYPE_CHECKING:
    from torch import Tensor

    from forecast.models.networks.base import Shapes

# The product that torch's own compiler uses; builds for other processors may lack it.
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """As nn.Linear, by `product`."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., i) -> (..., o)."""
        return product(x, self.weight, self.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., i) times the transpose of weight (o, i), and bias (o,): as torch's own `linear`.

    On a CPU by oneDNN, which is twice as fast as what torch takes on AMD processors, and seven
    times where i and o are small.
    """
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    plain = plain and not torch.is_autocast_enabled("cpu")
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
    if plain and ONEDNN and not traced:
        made: Tensor = _Product.apply(x, weight, bias)
        return made
    return nn.functional.linear(x, weight, bias)


class _Product(torch.autograd.Function):
    """x W' + b and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        wanted = ctx.needs_input_grad
        return (
            _times(grads[0], weight.t()) if wanted[0] else None,
            _times(grad.t(), x.flatten(0, -2).t()) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )


def _times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., i) times the transpose of weight (o, i), and bias (o,)."""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return made


class LSTM(nn.LSTM):
    """One layer: x (T, B, i) -> all hidden states (T, B, h)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The states alone, not the last step's state and cell."""
        return super().forward(x)[0]


class GRU(nn.GRU):
    """One layer: x (T, B, i) -> all hidden states (T, B, h)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The states alone."""
        return super().forward(x)[0]


class RNN(nn.RNN):
    """One layer, tanh: x (T, B, i) -> all hidden states (T, B, h)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The states alone."""
        return super().forward(x)[0]


class BiLSTM(nn.Module):
    """Both directions and their projection; see bilstm.py."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(hidden, hidden, bidirectional=True)
        self.project = nn.Linear(2 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, B, h), the context of one origin -> (T, B, h)."""
        ahead, back = self.lstm(x)[0].chunk(2, -1)
        back = torch.cat([back[:-1], back[:1]])
        return self.project(torch.cat([ahead, back], -1))


class Tensors(nn.Module):
    """Tensors by name and the function (tensors, x) -> y that uses them.

    Weights, and biases beside them, start uniformly within 1/sqrt(inputs), as torch's layers do.
    lstm: a fused layer that reads x first.
    """

    def __init__(
        self,
        shapes: Shapes,
        compute: Callable[[Mapping[str, Tensor], Tensor], Tensor],
        lstm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.names, self.compute = tuple(shapes), compute
        self.lstm: nn.Module | None = lstm
        groups: dict[str, nn.ParameterDict] = {}
        for name, shape in shapes.items():
            group, _, last = name.rpartition(".")
            inputs = math.prod(shapes[f"{group}.weight" if group else "weight"][1:])
            tensor = nn.Parameter(torch.empty(shape).uniform_(-1, 1) / math.sqrt(inputs))
            if group:
                groups.setdefault(group, nn.ParameterDict())[last] = tensor
            else:
                self.register_parameter(last, tensor)
        for group, tensors in groups.items():
            self.add_module(group, tensors)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, B, .) -> (T, B, h)."""
        tensors = {name: self.get_parameter(name) for name in self.names}
        return self.compute(tensors, x if self.lstm is None else self.lstm(x))


def computed(
    module: Callable[[], nn.Module], tensors: Mapping[str, np.ndarray], x: np.ndarray
) -> np.ndarray:
    """What the module that `module` makes computes of x with these tensors, without a gradient.

    It is made without memory or random numbers of its own.
    """
    with torch.device("meta"):
        made = module().eval()
    made.load_state_dict({n: torch.as_tensor(t) for n, t in tensors.items()}, assign=True)
    with torch.inference_mode():
        answer: np.ndarray = made(torch.as_tensor(np.ascontiguousarray(x))).numpy()
    return answer
