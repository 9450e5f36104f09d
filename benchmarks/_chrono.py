"""Gates that remember from the start: chrono initialisation (Tallec & Ollivier 2018).

A cell whose gate keeps a share f of it each step remembers for about 1 / (1 - f) steps. Spans are
drawn evenly up to the longest one wanted, u from (1, longest - 1), and the biases set so that a
gate without input gives them:

    LSTM   forget bias log u, input bias -log u        GRU   update bias log u

Other weights stay as they were. Networks without such gates are not changed. Training does not use
it: a forecast reads 24 to 112 steps, and seasons stand beside them.
"""

from __future__ import annotations

import torch
from torch import nn

from forecast.models.networks.torch_layers import Tensors


@torch.no_grad()
def remember(network: nn.Module, longest: int) -> None:
    """Sets biases of the gated cells in `network` for spans of up to `longest` (over 2) steps."""
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            for name, bias in module.named_parameters():
                if name.startswith("bias_ih"):
                    _open(bias, getattr(module, name.replace("_ih_", "_hh_")), longest)
        elif isinstance(module, nn.GRU):
            spans = _log_spans(module.hidden_size, longest)
            for bias, value in ((module.bias_ih_l0, spans), (module.bias_hh_l0, 0.0)):
                bias[module.hidden_size : 2 * module.hidden_size] = value  # gates r, z, n
        elif isinstance(module, Tensors) and "peephole.weight" in module.names:
            _open(module.get_parameter("input.bias"), None, longest)


def _open(bias: torch.Tensor, other: torch.Tensor | None, longest: int) -> None:
    """Sets input and forget bias of gates in the order i, f, g, o; `other` is added to them."""
    size = len(bias) // 4
    spans = _log_spans(size, longest)
    bias[:size], bias[size : 2 * size] = -spans, spans
    if other is not None:
        other[: 2 * size] = 0.0


def _log_spans(size: int, longest: int) -> torch.Tensor:
    return torch.log(torch.empty(size).uniform_(1.0, longest - 1.0))
