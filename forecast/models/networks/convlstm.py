"""`convlstm`: an LSTM with convolutions inside its gates (Shi et al. 2015).

    i, f = sigmoid(W * x_t + U * h_{t-1} + p . c_{t-1} + b)     *: convolution, . : place by place
    g = tanh(W_g * x_t + U_g * h_{t-1} + b_g)
    c_t = f . c_{t-1} + i . g
    o = sigmoid(W_o * x_t + U_o * h_{t-1} + p_o . c_t + b_o);   h_t = o . tanh(c_t)

The state's h units are a ring of places with some channels each; convolutions run around it, five
places wide, and the same weights serve every place.
- Sub-daily data: the 24 places are the 24 points of a day (h/24 channels), and steps are days: the
  grid of season x cycle. The embedding keeps to it: a place sees its own points of the inputs (now,
  less yesterday, the season's two, whether known) and the step's other features, by the same
  weights everywhere. The ring joins the end of a day to its beginning.
- Other data: a step has one point only; the h/4 places are those of an ordinary embedding (4
  channels), and the ring is one of channels, without a meaning in time.

With c channels on r places, c r = h: 4c(5c + 5c + 1) + 3h parameters. Hidden units must be a
multiple of 24 (4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forecast.models.networks.base import Embedding, NetworkSpec, Part, Shapes, Size
from forecast.transforms.windows import POINTS, SCALARS

if TYPE_CHECKING:
    from torch import Tensor, nn

TAPS = 5
CHANNELS = 4  # where a step has one point
KINDS = 5  # values of a step's inputs at each of its points, before the other features


def points_of(features: int) -> int:
    """Points of one step whose inputs are so many (windows.Layout.features)."""
    return (features - SCALARS) // KINDS


def channels_of(size: Size) -> int:
    """c, the units of the state at one place of the ring."""
    return size.hidden // POINTS if points_of(size.features) == POINTS else CHANNELS


def multiple(features: int) -> int:
    """What h must be a multiple of, so that every place has as many channels."""
    return POINTS if points_of(features) == POINTS else CHANNELS


def shapes(size: Size) -> Shapes:
    """Gates in the order i, f, g, o, each with c channels; peepholes of i, f, o."""
    c = channels_of(size)
    return {
        "input.weight": (4 * c, c, TAPS),
        "input.bias": (4 * c,),
        "recurrent.weight": (4 * c, c, TAPS),
        "peephole.weight": (3, size.hidden),
    }


def parameters(size: Size) -> int:
    """4c(5c + 5c + 1) + 3h."""
    c = channels_of(size)
    return 4 * c * (2 * TAPS * c + 1) + 3 * size.hidden


def torch_forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h), h = c r."""
    import torch
    from torch.nn import functional

    steps, batch, hidden = x.shape
    c = weights["input.weight"].shape[1]
    r = hidden // c
    reach = TAPS // 2
    wrapped = torch.arange(-reach, r + reach, device=x.device) % r
    grid = x.reshape(steps * batch, c, r)
    inputs = functional.conv1d(grid[..., wrapped], weights["input.weight"], weights["input.bias"])
    see_i, see_f, see_o = weights["peephole.weight"].reshape(3, c, r)
    h = cell = grid.new_zeros(batch, c, r)
    out = []
    for step in inputs.reshape(steps, batch, 4 * c, r):
        gates = step + functional.conv1d(h[..., wrapped], weights["recurrent.weight"])
        i, f, g, o = gates.chunk(4, 1)
        kept = torch.sigmoid(f + see_f * cell) * cell
        cell = kept + torch.sigmoid(i + see_i * cell) * torch.tanh(g)
        h = torch.sigmoid(o + see_o * cell) * torch.tanh(cell)
        out.append(h.reshape(batch, hidden))
    return torch.stack(out)


def module(size: Size) -> nn.Module:
    """A loop over the steps."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(shapes(size), torch_forward)


def embed_shapes(size: Size) -> Shapes:
    """One weight for each kind of value at a point and for each other feature."""
    each = size.hidden // points_of(size.features)
    return {"weight": (each, KINDS + SCALARS), "bias": (each,)}


def torch_embed(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """(T, B, F) -> (T, B, h): every point of a step by the same weights."""
    import torch

    points = points_of(x.shape[2])
    own = x[..., : KINDS * points].unflatten(-1, (KINDS, points))
    other = x[..., KINDS * points :, None].expand(*x.shape[:2], SCALARS, points)
    made = weights["weight"] @ torch.cat([own, other], -2) + weights["bias"][:, None]
    return made.flatten(-2)


def embed_module(size: Size) -> nn.Module:
    """The embedding's tensors and how they are used."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(embed_shapes(size), torch_embed)


SPEC = NetworkSpec(
    "convlstm",
    "ConvLSTM",
    (Part(shapes, parameters, module),),
    Embedding(embed_shapes, embed_module),
    multiple=multiple,
)
