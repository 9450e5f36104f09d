"""`transformer`: causal self-attention and a feed-forward part in turn (Vaswani et al. 2017).

    q, k, v = W x_t + b, cut in 4 heads of n = h/4
    a_ts = softmax over s <= t of  R_t q_t . R_s k_s / sqrt(n)
    y_t = O [sum_s a_ts v_s, all heads] + b_o;      then   z = W_2 gelu(W_1 y + b_1) + b_2, 4h wide

R_t turns each pair of a head's numbers by an angle proportional to t (rotary positions, Su et al.
2021), so a score depends on the distance t - s alone: positions count back from the step that
looks, which at the origin is the origin itself, and no step needs to know how long the window is.
Norms stand before each part (Xiong et al. 2020). 4h(h + 1) and h(8h + 5) parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from forecast.models.networks.base import LINEAR, NetworkSpec, Part, Shapes, Size
from forecast.models.networks.numpy_ops import Weights, linear, softmax

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = 4
WIDER = 4  # hidden units of the feed-forward part, times h
BASE = 10_000.0  # of the angles' wavelengths, as in the source


def turns(steps: int, size: int) -> np.ndarray:
    """Angles (T, n/2) by which pairs of a head's n numbers are turned at each step."""
    rate = BASE ** (-np.arange(0, size, 2) / size)
    return (np.arange(steps)[:, None] * rate).astype(np.float32)


def attend_shapes(size: Size) -> Shapes:
    """Queries, keys and values in one; O."""
    h = size.hidden
    return {
        "look.weight": (3 * h, h),
        "look.bias": (3 * h,),
        "join.weight": (h, h),
        "join.bias": (h,),
    }


def attend_parameters(size: Size) -> int:
    """4h(h + 1)."""
    return 4 * size.hidden * (size.hidden + 1)


def attention(weights: Weights, x: np.ndarray) -> np.ndarray:
    """What the last step looks at: (heads, B, T), each row's sum 1."""
    q, k, _ = _heads(weights, x)
    return _shares(q[:, :, -1:], k)[:, :, 0].swapaxes(0, 1)


def _heads(weights: Weights, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Turned queries and keys, and values, each (B, heads, T, n)."""
    steps, batch, hidden = x.shape
    made = linear(weights, "look", x).reshape(steps, batch, 3, HEADS, hidden // HEADS)
    q, k, v = made.transpose(2, 1, 3, 0, 4)
    angle = turns(steps, hidden // HEADS)
    cosine, sine = np.cos(angle), np.sin(angle)

    def turned(z: np.ndarray) -> np.ndarray:
        one, other = np.split(z, 2, -1)
        return np.concatenate([one * cosine - other * sine, one * sine + other * cosine], -1)

    return turned(q), turned(k), v


def _shares(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """a (B, heads, K, T) of the last K steps over all T."""
    score = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))
    later = np.triu(np.ones(score.shape[2:], bool), 1 + k.shape[2] - q.shape[2])
    return softmax(np.where(later, -np.inf, score).astype(np.float32))


def torch_attend(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Self-attention (T, B, h) of x (T, B, h)."""
    import torch
    from torch.nn import functional

    steps, batch, hidden = x.shape
    made = functional.linear(x, weights["look.weight"], weights["look.bias"])
    made = made.reshape(steps, batch, 3, HEADS, hidden // HEADS)
    q, k, v = made.permute(2, 1, 3, 0, 4)
    angle = torch.from_numpy(turns(int(steps), int(hidden) // HEADS)).to(x.device)
    cosine, sine = torch.cos(angle), torch.sin(angle)

    def turned(z: Tensor) -> Tensor:
        one, other = z.chunk(2, -1)
        return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1).to(v.dtype)

    seen = functional.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
    joined = seen.permute(2, 0, 1, 3).reshape(x.shape)
    return functional.linear(joined, weights["join.weight"], weights["join.bias"])


def attend_module(size: Size) -> nn.Module:
    """torch's fused attention."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(attend_shapes(size), torch_attend)


def feed_shapes(size: Size) -> Shapes:
    """W_1 and W_2."""
    h = size.hidden
    wide = WIDER * h
    return {
        "wide.weight": (wide, h),
        "wide.bias": (wide,),
        "narrow.weight": (h, wide),
        "narrow.bias": (h,),
    }


def feed_parameters(size: Size) -> int:
    """h(8h + 5)."""
    return size.hidden * (2 * WIDER * size.hidden + WIDER + 1)


def torch_feed(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The feed-forward part (T, B, h), each step for itself."""
    from torch.nn import functional

    wide = functional.linear(x, weights["wide.weight"], weights["wide.bias"])
    wide = functional.gelu(wide, approximate="tanh")
    return functional.linear(wide, weights["narrow.weight"], weights["narrow.bias"])


def feed_module(size: Size) -> nn.Module:
    """Two linear layers."""
    from forecast.models.networks.torch_layers import Tensors

    return Tensors(feed_shapes(size), torch_feed)


ATTEND = Part(attend_shapes, attend_parameters, attend_module, attention)
FEED = Part(feed_shapes, feed_parameters, feed_module)
SPEC = NetworkSpec(
    "transformer", "Transformer", (ATTEND, FEED), LINEAR, multiple=lambda features: 2 * HEADS
)
