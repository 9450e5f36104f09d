"""`peephole`: an LSTM whose gates see the cell state (Gers & Schmidhuber 2000; Gers et al. 2002).

    i, f = sigmoid(W x_t + U h_{t-1} + p * c_{t-1} + b)   p_i, p_f: one weight for each cell
    g = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f * c_{t-1} + i * g
    o = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o);   h_t = o * tanh(c_t)

4h(i + h + 1) + 3h parameters. A gate can act on what the cell holds even while the output gate
hides it from h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size

if TYPE_CHECKING:
    from torch import Tensor, nn


def shapes(size: Size) -> Shapes:
    """Gates in the order i, f, g, o; peepholes of i, f, o."""
    h = size.hidden
    return {
        "input.weight": (4 * h, h),
        "input.bias": (4 * h,),
        "recurrent.weight": (4 * h, h),
        "peephole.weight": (3, h),
    }


def parameters(size: Size) -> int:
    """4h(i + h + 1) + 3h, with i = h."""
    h = size.hidden
    return 4 * h * (2 * h + 1) + 3 * h


def torch_forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h). In few operations: each
    costs more to start than to compute."""
    import torch

    inputs = torch.nn.functional.linear(x, weights["input.weight"], weights["input.bias"])
    recurrent = weights["recurrent.weight"].T
    see_i, see_f, see_o = weights["peephole.weight"]
    h = c = torch.zeros_like(x[0])
    out = []
    for step in inputs:
        i, f, g, o = torch.addmm(step, h, recurrent).chunk(4, -1)
        let_in = torch.sigmoid(torch.addcmul(i, see_i, c)) * torch.tanh(g)
        c = torch.addcmul(let_in, torch.sigmoid(torch.addcmul(f, see_f, c)), c)
        h = torch.sigmoid(torch.addcmul(o, see_o, c)) * torch.tanh(c)
        out.append(h)
    return torch.stack(out)


def module(size: Size) -> nn.Module:
    """A loop over the steps: torch has no fused layer with peepholes."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(shapes(size), torch_forward)


SPEC = NetworkSpec("peephole", "Peephole-LSTM", (Part(shapes, parameters, module),), LINEAR)
