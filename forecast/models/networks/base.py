"""What a network of the family is: an embedding, residual parts, and what they need.

All networks share inputs, head, loss, training loop and model folder. Each is a causal stack
between the embedding and the head: s <- s + dropout(part(LayerNorm(s))), part after part, so that
depth can only add (pre-norm residual blocks). Only the parts differ.

Axes: T steps, B batch, h units of the state, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forecast.models.networks.numpy_ops import Weights, times

if TYPE_CHECKING:
    from torch import nn

Shapes = dict[str, tuple[int, ...]]


class Size(NamedTuple):
    """F, h, and the steps of context that a forecast reads."""

    features: int
    hidden: int
    context: int


@dataclass(frozen=True)
class Part:
    """One residual part. Numpy and torch compute the same function, to 1e-5.

    shapes      size -> name and shape of its tensors, as torch names them
    parameters  size -> numbers to be learnt, by the formula of its equations (torch's fused layers
                keep a second bias vector that this does not count)
    forward     tensors, x (T, B, h) -> (T, B, h); a part of a network with a pass for each origin
                may return the last step alone, (1, B, h)
    module      size -> the same in torch; imports torch when it is called
    attention   tensors, x (T, B, h) -> share of each step in what the last one reads, (heads, B, T)
    """

    shapes: Callable[[Size], Shapes]
    parameters: Callable[[Size], int]
    forward: Callable[[Weights, np.ndarray], np.ndarray]
    module: Callable[[Size], nn.Module]
    attention: Callable[[Weights, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Embedding:
    """From the inputs (T, B, F) to the state (T, B, h); fields as of `Part`."""

    shapes: Callable[[Size], Shapes]
    forward: Callable[[Weights, np.ndarray], np.ndarray]
    module: Callable[[Size], nn.Module]


@dataclass(frozen=True)
class Idea:
    """A network by name.

    name         of the option --network; title: of the column of its forecasts
    layer        the parts that --layers repeats; front: those before the first layer, once
    prefix       how the names of the parts' tensors begin
    embedding    of the inputs
    each_origin  the stack is run anew for each origin of a training window, over what precedes it:
                 for parts that read a context both ways or as a whole
    window       its tensors are as long as the context
    multiple     F -> what h must be a multiple of
    """

    name: str
    title: str
    layer: tuple[Part, ...]
    embedding: Embedding
    front: tuple[Part, ...] = ()
    prefix: str = "parts"
    each_origin: bool = False
    window: bool = False
    multiple: Callable[[int], int] = lambda features: 1

    def parts(self, layers: int) -> tuple[Part, ...]:
        """All residual parts, in order."""
        return self.front + self.layer * layers

    def layers(self, weights: Weights) -> int:
        """How many layers a network with these tensors has."""
        norms = sum(name.startswith("norms.") and name.endswith(".bias") for name in weights)
        return (norms - len(self.front)) // len(self.layer)


def _linear_module(size: Size) -> nn.Module:
    from forecast.models.networks.torch_layers import Linear

    return Linear(size.features, size.hidden)


LINEAR = Embedding(
    shapes=lambda size: {"weight": (size.hidden, size.features), "bias": (size.hidden,)},
    forward=lambda weights, x: times(x, weights["weight"]) + weights["bias"],
    module=_linear_module,
)
