"""From the head's raw numbers to quantiles: skips that are mixed, a correction, a spread.

forecast = level + sum over skips of weight * (value + gate * carried) + correction, quantiles
spread around it by positive increments, so they cannot cross. With the head's last layer at zero
the forecast is an even mixture of the skips: seasonal naive to start with.

Runs on numpy arrays and torch tensors alike, so training and prediction share it.
Axes as in forecast.windows; Q quantiles (odd, the median in the middle).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast.windows import CLIP, POINTS, SKIPS, Ahead, Layout, as_like, namespace, resample_matrix

Array = Any
META = 3  # numbers in the head's input beside the state and the skips
# Where the mixture starts, in logits, for level, unit lag, one, two, three seasons, long season.
PRIOR = np.array([-1.0, 0.0, 1.0, 0.0, -1.0, -1.0], dtype=np.float32)


def head_inputs(layout: Layout, look: Ahead, trained: int | None = None) -> Array:
    """What the head sees of the skips: (O, B, D, 3*J*P + META).

    Each skip's values with the level carried along, without it, and whether they exist. Blocks
    after the first `trained` ones are told that they are the last of these: an index the network
    has never seen could say anything.
    """
    xp = namespace(look.skips)
    move = look.move[:, :, None, None, None]
    plain = xp.clip(_points(layout, look.skips / move), -CLIP, CLIP)
    carried = xp.clip(_points(layout, look.carried / move), -CLIP, CLIP)
    shape = (*tuple(look.skips.shape[:3]), SKIPS * POINTS)
    parts = [xp.reshape(x, shape) for x in (plain, carried, _points(layout, look.present))]
    chunk = np.arange(shape[2], dtype=np.float32)
    chunk = as_like(chunk if trained is None else np.minimum(chunk, trained - 1), look.skips)
    one = look.skips[:, :, :, 0, :1] * 0 + 1
    meta = [one * xp.log1p(chunk)[:, None], one * (chunk == 0)[:, None]]
    meta.append(one * xp.log(look.scale / look.move)[:, :, None, None])
    return xp.concatenate(parts + meta, -1)


def head_width(quantiles: int) -> int:
    """Raw numbers that the head puts out for one chunk: P*Q + 2*J."""
    return POINTS * quantiles + 2 * SKIPS


def assemble(layout: Layout, look: Ahead, raw: Array, quantiles: int) -> Array:
    """Quantiles relative to the level, (O, B, D, C, Q), from raw (O, B, D, head_width)."""
    xp = namespace(raw)
    weight, gate = raw[..., :SKIPS], raw[..., SKIPS : 2 * SKIPS]
    base = _mixture(xp, look, weight + as_like(PRIOR, raw), _sigmoid(xp, gate + 2.0))
    numbers = xp.reshape(raw[..., 2 * SKIPS :], (*tuple(raw.shape[:-1]), POINTS, quantiles))
    middle = quantiles // 2
    median = numbers[..., middle : middle + 1]
    gaps = _softplus(xp, numbers - 0.5)  # in one go: torch is slow on parts of an array
    up = xp.cumsum(gaps[..., middle + 1 :], -1)
    down = xp.flip(xp.cumsum(gaps[..., :middle], -1), (-1,))
    spread = xp.concatenate([median - down, median, median + up], -1)  # (O, B, D, P, Q)
    return base[..., None] + _steps(layout, spread) * look.scale[:, :, None, None, None]


def _mixture(xp: Any, look: Ahead, logits: Array, carry: Array) -> Array:
    """Of the skips that are present, (O, B, D, C): weights softmax(logits), gates `carry`, both
    (O, B, D, J), so that exponentials are taken once for all steps of a block."""
    far = xp.clip(logits - xp.amax(logits, -1)[..., None], -60.0, None)  # never all zero
    weight = xp.exp(far)
    total = (weight[..., None, :] * look.present).sum(-1)
    skips = (weight[..., None, :] * (look.skips * look.present)).sum(-1)
    carried = ((weight * carry)[..., None, :] * (look.carried * look.present)).sum(-1)
    return (skips + carried) / total


def _points(layout: Layout, x: Array) -> Array:
    """(O, B, D, C, J) -> (O, B, D, J, P): each chunk brought to P points."""
    x = x.swapaxes(-1, -2)
    if layout.chunk == POINTS:
        return x
    return x @ as_like(resample_matrix(layout.chunk, POINTS).T, x)


def _steps(layout: Layout, x: Array) -> Array:
    """(O, B, D, P, Q) -> (O, B, D, C, Q): each chunk's points brought back to its steps."""
    if layout.chunk == POINTS:
        return x
    return as_like(resample_matrix(POINTS, layout.chunk), x) @ x


# torch has each of the following as one operation, forward and backward; numpy in several.


def _sigmoid(xp: Any, x: Array) -> Array:
    """In numpy by tanh: exp(-x) overflows for large negative x."""
    return xp.sigmoid(x) if xp is not np else 0.5 * (1 + xp.tanh(0.5 * x))


def _softplus(xp: Any, x: Array) -> Array:
    if xp is not np:
        return xp.nn.functional.softplus(x)
    return xp.log1p(xp.exp(-xp.abs(x))) + xp.clip(x, 0, None)
