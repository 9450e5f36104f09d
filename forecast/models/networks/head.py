"""From the head's raw numbers to what a step may be: skips that are mixed, a correction, a spread.

forecast = level + sum over skips of weight * (value + gate * carried) + correction, quantiles
spread around it by positive increments, so they cannot cross. With the head's last layer at zero
the forecast is an even mixture of the skips: seasonal naive to start with. Other likelihoods
(forecast/models/likelihoods.py) have the mixture and the correction as their location.

Runs on numpy arrays and torch tensors alike, so training and prediction share it.
Axes as in forecast.transforms.windows; Q quantiles (odd, the median in the middle).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from forecast.models.likelihoods import QUANTILES, STUDENT_T, head_width
from forecast.models.networks.numpy_ops import Weights, gelu, times
from forecast.transforms.windows import (
    CLIP,
    POINTS,
    SKIPS,
    DecoderInputs,
    Layout,
    as_like,
    namespace,
    resample_matrix,
)

Array = Any
META = 3  # numbers in the head's input beside the state and the skips
# Where the mixture starts, in logits, for level, unit lag, one, two, three seasons, long season.
PRIOR = np.array([-1.0, 0.0, 1.0, 0.0, -1.0, -1.0], dtype=np.float32)
REACH = 5  # steps that the mixer over the horizon sees at once
LEAST_SCALE = 0.01  # of a Student t, in units of errors: repeated values must not make it a point
LEAST_FREEDOM, FREEDOM = 2.01, 2.0  # at least; raw to start with: 2.01 + softplus(2) = 4.1
BEND = 0.25  # units of errors within which the mean of counts bends away from zero
LEAST_MEAN, LEAST_DISPERSION = 1e-6, 1e-6  # below it nothing tells it from a Poisson distribution's


def head_inputs(layout: Layout, decoder: DecoderInputs, trained: int | None = None) -> Array:
    """What the head sees of the skips: (O, B, D, 3*J*P + META).

    Each skip's values with the level carried along, without it, and whether they exist. Blocks
    after the first `trained` ones are told that they are the last of these: an index the network
    has never seen could say anything.
    """
    xp = namespace(decoder.skips)
    move = decoder.move[:, :, None, None, None]
    plain = xp.clip(_points(layout, decoder.skips / move), -CLIP, CLIP)
    carried = xp.clip(_points(layout, decoder.carried / move), -CLIP, CLIP)
    shape = (*tuple(decoder.skips.shape[:3]), SKIPS * POINTS)
    parts = [xp.reshape(x, shape) for x in (plain, carried, _points(layout, decoder.present))]
    chunk = np.arange(shape[2], dtype=np.float32)
    chunk = as_like(chunk if trained is None else np.minimum(chunk, trained - 1), decoder.skips)
    one = decoder.skips[:, :, :, 0, :1] * 0 + 1
    meta = [one * xp.log1p(chunk)[:, None], one * (chunk == 0)[:, None]]
    meta.append(one * xp.log(decoder.scale / decoder.move)[:, :, None, None])
    return xp.concatenate(parts + meta, -1)


def assemble(
    layout: Layout, decoder: DecoderInputs, raw: Array, quantiles: int, likelihood: str = QUANTILES
) -> Array:
    """From raw (O, B, D, head_width) what the likelihood needs of each step, in its last axis:

    quantiles relative to the level, (O, B, D, C, Q); for student-t location relative to the level,
    scale (> 0) and degrees of freedom (> 2), (O, B, D, C, 3); for negative-binomial mean and
    dispersion of the counts themselves, in original units, (O, B, D, C, 2).
    """
    xp = namespace(raw)
    weight, gate, rest = _split(xp, raw)
    base = _mixture(xp, decoder, weight + as_like(PRIOR, raw), _sigmoid(xp, gate + 2.0))
    if decoder.own is not None:
        base = base + decoder.own[:, :, None, None] * decoder.effect
    if likelihood != QUANTILES:
        make = _student_t if likelihood == STUDENT_T else _counts
        return make(xp, layout, decoder, base, rest)
    numbers = xp.reshape(rest, (*tuple(raw.shape[:-1]), POINTS, quantiles))
    middle = quantiles // 2
    spread = _outwards(xp, _softplus(xp, numbers - 0.5))
    scale = decoder.scale[:, :, None, None, None]
    median = base[..., None] + _steps(layout, numbers[..., middle : middle + 1]) * scale
    return median + _widened(xp, _steps(layout, spread) * scale, decoder)


def mix_horizon(inputs: Array, state: Array, weights: Any, width: int) -> Array:
    """What the steps' neighbours add to the head's raw numbers, (O, B, D, width).

    inputs: of `head_inputs`; state (O, B, D, c): what the block says to each of its steps; weights:
    points (c, 3J), near (c, REACH * c), out (R, c), with R numbers of the likelihood for each step.
    The skips at each step pass, beside that state, through a convolution over the block's steps.
    TinyCast has such a mixer over the horizon; its last layer starts at zero.
    """
    xp = namespace(inputs)
    blocks, channels = tuple(inputs.shape[:3]), state.shape[-1]
    tokens = xp.reshape(inputs[..., : 3 * SKIPS * POINTS], (*blocks, 3 * SKIPS, POINTS))
    x = _product(xp.swapaxes(tokens, -1, -2), weights["points"]) + state[..., None, :]
    x = _gelu(xp, x)  # (O, B, D, P, c)
    edge = x[..., : REACH // 2, :] * 0
    wide = xp.concatenate([edge, x, edge], -2)
    near = xp.concatenate([wide[..., k : k + POINTS, :] for k in range(REACH)], -1)
    x = x + _gelu(xp, _product(near, weights["near"]))
    assert x.shape[-1] == channels
    steps = _product(x, weights["out"])
    steps = xp.reshape(steps, (*blocks, POINTS * steps.shape[-1]))
    others = steps[..., : width - steps.shape[-1]] * 0  # the skips' weights and gates
    return xp.concatenate([others, steps], -1)


@lru_cache(maxsize=16)
def _sums(quantiles: int) -> np.ndarray:
    """(Q, Q): each quantile's distance from the median is the sum, by its row, of the gaps between
    the two; gap k of either side lies between its k-th and (k+1)-th quantile outwards."""
    middle = quantiles // 2
    made = np.zeros((quantiles, quantiles), np.float32)
    for k in range(middle):
        made[: middle - k, k] = -1
        made[middle + 1 + k :, middle + 1 + k] = 1
    return made


def _student_t(xp: Any, layout: Layout, decoder: DecoderInputs, base: Array, raw: Array) -> Array:
    """Location, scale and degrees of freedom, (O, B, D, C, 3); base (O, B, D, C).

    Freedom is above 2, so that the variance exists, as in GluonTS' StudentTOutput; one for a
    block, as single steps say little of tails.
    """
    points = xp.reshape(raw[..., 1:], (*tuple(raw.shape[:-1]), POINTS, 2))
    width = _softplus(xp, points[..., 1:]) + LEAST_SCALE
    steps = _steps(layout, xp.concatenate([points[..., :1], width], -1))
    steps = steps * decoder.scale[:, :, None, None, None]
    freedom = LEAST_FREEDOM + _softplus(xp, raw[..., :1] + FREEDOM) + base * 0
    width = _widened(xp, steps[..., 1], decoder)
    return xp.stack([base + steps[..., 0], width, freedom], -1)


def _counts(xp: Any, layout: Layout, decoder: DecoderInputs, base: Array, raw: Array) -> Array:
    """Mean and dispersion of the counts, (O, B, D, C, 2): variance mean + dispersion * mean^2
    (Salinas et al. 2020, DeepAR, section 3.1).

    The mean is the location where that is well above zero, and bends to stay above it elsewhere.
    What the network says of the spread is a variance beyond the mean in squared units of errors e,
    v; the dispersion is v e^2 / (e^2 + mean^2), so that large counts begin no wider than small.
    """
    assert decoder.shift is not None and decoder.unit is not None
    points = xp.reshape(raw, (*tuple(raw.shape[:-1]), POINTS, 2))
    steps = _steps(layout, points)
    scale = decoder.scale[:, :, None, None]
    unit = decoder.unit[None, :, None, None]
    location = base + steps[..., 0] * scale + decoder.base
    error = scale * unit
    bend = BEND * error
    mean = bend * _softplus(xp, (location * unit + decoder.shift[None, :, None, None]) / bend)
    share = 1 / (1 + (mean / error) ** 2)
    width = _widened(xp, _softplus(xp, steps[..., 1]), decoder)
    return xp.stack([mean + LEAST_MEAN, width * share + LEAST_DISPERSION], -1)


def with_new_spread(weights: Weights, quantiles: int, likelihood: str) -> dict[str, np.ndarray]:
    """The weights of a network of quantiles, to start one of another likelihood from: what says
    the median says the location; what says the spread begins at zero."""
    made = dict(weights)
    first, middle = 2 * SKIPS, quantiles // 2
    for name in ("out.weight", "out.bias"):
        old = np.asarray(weights[name])
        new = np.zeros((head_width(quantiles, likelihood), *old.shape[1:]), np.float32)
        new[:first] = old[:first]
        new[first + (likelihood == STUDENT_T) :: 2] = old[first + middle :: quantiles]
        made[name] = new
    if "mixer.out" in weights:
        made["mixer.out"] = np.zeros((2, weights["mixer.out"].shape[1]), np.float32)
        made["mixer.out"][0] = weights["mixer.out"][middle]
    return made


def _widened(xp: Any, x: Array, decoder: DecoderInputs) -> Array:
    """Widths x of each step's distribution, (O, B, D, C) or with Q behind, as covariates make
    them."""
    if decoder.spread is None:
        return x
    times = xp.exp(decoder.spread)
    return x * (times if x.ndim == times.ndim else times[..., None])


def _mixture(xp: Any, decoder: DecoderInputs, logits: Array, carry: Array) -> Array:
    """Of the skips that are present, (O, B, D, C): weights softmax(logits), gates `carry`, both
    (O, B, D, J), so that exponentials are taken once for all steps of a block."""
    far = xp.clip(logits - xp.amax(logits, -1)[..., None], -60.0, None)  # never all zero
    weight = xp.exp(far)
    total = (weight[..., None] * decoder.present).sum(-2)
    skips = (weight[..., None] * decoder.skips).sum(-2)
    carried = ((weight * carry)[..., None] * (decoder.carried * decoder.present)).sum(-2)
    return (skips + carried) / total


def _points(layout: Layout, x: Array) -> Array:
    """(O, B, D, J, C) -> (O, B, D, J, P): each chunk brought to P points."""
    if layout.chunk == POINTS:
        return x
    return x @ as_like(resample_matrix(layout.chunk, POINTS).T, x)


def _steps(layout: Layout, x: Array) -> Array:
    """(O, B, D, P, Q) -> (O, B, D, C, Q): each chunk's points brought back to its steps."""
    if layout.chunk == POINTS:
        return x
    return as_like(resample_matrix(POINTS, layout.chunk), x) @ x


# torch has each of the following as one operation, forward and backward; numpy in several.


def _split(xp: Any, raw: Array) -> Any:
    """The mixture's logits and gates, (O, B, D, J) each, and what the likelihood reads."""
    if xp is np:
        return np.split(raw, (SKIPS, 2 * SKIPS), -1)
    return xp.split(raw, (SKIPS, SKIPS, raw.shape[-1] - 2 * SKIPS), -1)


def _outwards(xp: Any, gaps: Array) -> Array:
    """Gaps (..., Q) summed from the median outwards."""
    matrix = _sums(gaps.shape[-1])
    if xp is np:
        return gaps @ matrix.T
    return _product(gaps, as_like(matrix, gaps))


def _product(x: Array, weight: Array) -> Array:
    """x (..., i) times the transpose of weight (o, i)."""
    if isinstance(x, np.ndarray):
        return times(x, weight)
    from forecast.models.networks.torch_layers import product

    return product(x, weight)


def _gelu(xp: Any, x: Array) -> Array:
    return gelu(x) if xp is np else xp.nn.functional.gelu(x, approximate="tanh")


def _sigmoid(xp: Any, x: Array) -> Array:
    """In numpy by tanh: exp(-x) overflows for large negative x."""
    return xp.sigmoid(x) if xp is not np else 0.5 * (1 + xp.tanh(0.5 * x))


def _softplus(xp: Any, x: Array) -> Array:
    if xp is not np:
        return xp.nn.functional.softplus(x)
    return xp.log1p(xp.exp(-xp.abs(x))) + xp.clip(x, 0, None)
