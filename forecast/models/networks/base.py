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
    """One residual part.

    shapes      size -> name and shape of its tensors, as torch names them
    parameters  size -> numbers to be learnt, by the formula of its equations (torch's fused layers
                keep a second bias vector that this does not count)
    module      size -> torch module of x (T, B, h) -> (T, B, h); a part of a network with a pass
                for each origin may return the last step alone, (1, B, h). Imports torch when it is
                called
    attention   tensors, x (T, B, h) -> share of each step in what the last one reads, (heads, B, T)
    forward     tensors, x -> the same as the module to 1e-5, in numpy: the LSTM's alone, so that
                the usual forecast needs no torch
    """

    shapes: Callable[[Size], Shapes]
    parameters: Callable[[Size], int]
    module: Callable[[Size], nn.Module]
    attention: Callable[[Weights, np.ndarray], np.ndarray] | None = None
    forward: Callable[[Weights, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Embedding:
    """From the inputs (T, B, F) to the state (T, B, h); fields as of `Part`."""

    shapes: Callable[[Size], Shapes]
    module: Callable[[Size], nn.Module]
    forward: Callable[[Weights, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class NetworkSpec:
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
    module=_linear_module,
    forward=lambda weights, x: times(x, weights["weight"]) + weights["bias"],
)
