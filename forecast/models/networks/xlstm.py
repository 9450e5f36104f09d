"""`xlstm`: the sLSTM block of xLSTM (Beck et al. 2024), exponential gates and a normaliser.

    z = tanh(W_z x_t + R_z h_{t-1} + b_z);   i = exp(W_i x_t + R_i h_{t-1} + b_i)
    f, o = sigmoid(W x_t + R h_{t-1} + b)
    c_t = f * c_{t-1} + i * z;   n_t = f * n_{t-1} + i;   h_t = o * c_t / n_t
    y_t = V [gelu(U_1 k_t) * U_2 k_t] + b_v,   k_t = h_t normed within each head, U: h -> 4h/3

R connects the units of each of 4 heads among themselves alone. An input gate without an upper end
lets a step overrule all that the cell held; the normaliser keeps the state within tanh's range.
c and n are computed relative to exp(m_t), m_t = max(log f + m_{t-1}, log i), so that no exponential
overflows (section 2.2 there). The convolution that may precede the gates is left out: lags stand
beside the inputs already. 4h(h + 1) + h^2 + 2w(h + 1) + h(w + 1) parameters, w = 4h/3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = 4
BEFORE = -1e9  # m before the first step: nothing is held yet


def width(hidden: int) -> int:
    """w, units of the gated feed-forward part."""
    return 4 * hidden // 3


def shapes(size: Size) -> Shapes:
    """Gates in the order i, f, z, o, head by head; U_1 and U_2 in one."""
    h, w = size.hidden, width(size.hidden)
    return {
        "input.weight": (4 * h, h),
        "input.bias": (4 * h,),
        "recurrent.weight": (4 * h, h // HEADS),
        "up.weight": (2 * w, h),
        "up.bias": (2 * w,),
        "down.weight": (h, w),
        "down.bias": (h,),
    }


def parameters(size: Size) -> int:
    """4h(h + 1) + h^2 + 2w(h + 1) + h(w + 1)."""
    h, w = size.hidden, width(size.hidden)
    return 4 * h * (h + 1) + h * h + 2 * w * (h + 1) + h * (w + 1)


def torch_forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """y (T, B, h) of x (T, B, h)."""
    from torch.nn import functional

    states = _states(weights, x)  # (T, heads, B, h / heads)
    normed = functional.layer_norm(states, states.shape[-1:])
    joined = normed.transpose(1, 2).flatten(-2)
    gate, up = functional.linear(joined, weights["up.weight"], weights["up.bias"]).chunk(2, -1)
    made = functional.gelu(gate, approximate="tanh") * up
    return functional.linear(made, weights["down.weight"], weights["down.bias"])


def _states(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """h of every step and head, (T, heads, B, h / heads), of a cell that starts empty."""
    import torch

    inputs = torch.nn.functional.linear(x, weights["input.weight"], weights["input.bias"])
    inputs = inputs.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (T, heads, B, 4h / heads)
    recurrent = weights["recurrent.weight"].unflatten(0, (HEADS, -1)).transpose(1, 2)
    h = c = n = inputs.new_zeros(*inputs.shape[1:3], recurrent.shape[1])
    most = torch.full_like(h, BEFORE)
    out = []
    for step in inputs:
        i, f, z, o = torch.baddbmm(step, h, recurrent).chunk(4, -1)
        held = torch.nn.functional.logsigmoid(f) + most
        most = torch.maximum(held, i)
        let_in, keep = torch.exp(i - most), torch.exp(held - most)
        c = keep * c + let_in * torch.tanh(z)
        n = keep * n + let_in
        h = torch.sigmoid(o) * c / n
        out.append(h)
    return torch.stack(out)


def module(size: Size) -> nn.Module:
    """A loop over the steps."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(shapes(size), torch_forward)


SPEC = NetworkSpec(
    "xlstm",
    "xLSTM",
    (Part(shapes, parameters, module),),
    LINEAR,
    multiple=lambda features: HEADS,
)
