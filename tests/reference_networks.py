"""The equations of every network in plain numpy: what its torch module is held to.

Axes: T steps, B batch, h units of the state.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from forecast.models.networks import attention as attention_network
from forecast.models.networks import (
    bilstm as bilstm_network,
)
from forecast.models.networks import (
    cnn_lstm as cnn_lstm_network,
)
from forecast.models.networks import (
    convlstm as convlstm_network,
)
from forecast.models.networks import (
    gru as gru_network,
)
from forecast.models.networks import (
    lstm,
    transformer,
)
from forecast.models.networks import (
    mlp as mlp_network,
)
from forecast.models.networks import (
    peephole as peephole_network,
)
from forecast.models.networks import (
    rnn as rnn_network,
)
from forecast.models.networks import (
    xlstm as xlstm_network,
)
from forecast.models.networks.attention import _shares as attention_shares
from forecast.models.networks.base import LINEAR
from forecast.models.networks.cnn_lstm import DILATIONS
from forecast.models.networks.cnn_lstm import TAPS as CNN_TAPS
from forecast.models.networks.convlstm import KINDS, TAPS, points_of
from forecast.models.networks.numpy_ops import Weights, gelu, inside, linear, norm, sigmoid, times
from forecast.models.networks.registry import spec_of
from forecast.models.networks.transformer import _heads, _shares
from forecast.transforms.windows import SCALARS


def lstm_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, recurrent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One gate-by-gate step: x (B, 4h) = W x_t + both biases in torch's order i, f, g, o;
    h, c (B, h); recurrent U transposed (h, 4h). Returns the new h and c."""
    size = h.shape[-1]
    gates = x + h @ recurrent
    i = sigmoid(gates[:, :size])
    f = sigmoid(gates[:, size : 2 * size])
    g = np.tanh(gates[:, 2 * size : 3 * size])
    o = sigmoid(gates[:, 3 * size :])
    c = f * c + i * g
    return o * np.tanh(c), c


def lstm_forward(weights: Weights, x: np.ndarray, suffix: str = "") -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, i)."""
    bias = weights[f"bias_ih_l0{suffix}"] + weights[f"bias_hh_l0{suffix}"]
    inputs = times(x, weights[f"weight_ih_l0{suffix}"]) + bias
    recurrent = np.ascontiguousarray(weights[f"weight_hh_l0{suffix}"].T)
    h = c = np.zeros((x.shape[1], len(recurrent)), np.float32)
    out = np.empty((len(x), *h.shape), np.float32)
    for t in range(len(x)):
        h, c = lstm_step(inputs[t], h, c, recurrent)
        out[t] = h
    return out


def gru_step(x: np.ndarray, h: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One gate-by-gate step: x (B, 3h) = W x_t + b in torch's order r, z, n; h (B, h); recurrent U
    transposed (h, 3h); bias (3h,) of the recurrent products. Returns the new h."""
    size = h.shape[-1]
    again = h @ recurrent + bias
    r = sigmoid(x[:, :size] + again[:, :size])
    z = sigmoid(x[:, size : 2 * size] + again[:, size : 2 * size])
    n = np.tanh(x[:, 2 * size :] + r * again[:, 2 * size :])
    return (1 - z) * n + z * h


def gru(weights: Weights, x: np.ndarray) -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h)."""
    inputs = times(x, weights["weight_ih_l0"]) + weights["bias_ih_l0"]
    recurrent = np.ascontiguousarray(weights["weight_hh_l0"].T)
    h = np.zeros((x.shape[1], len(recurrent)), np.float32)
    out = np.empty((len(x), *h.shape), np.float32)
    for t in range(len(x)):
        h = out[t] = gru_step(inputs[t], h, recurrent, weights["bias_hh_l0"])
    return out


def rnn(weights: Weights, x: np.ndarray) -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h)."""
    out = times(x, weights["weight_ih_l0"]) + (weights["bias_ih_l0"] + weights["bias_hh_l0"])
    recurrent = np.ascontiguousarray(weights["weight_hh_l0"].T)
    h = np.zeros(out.shape[1:], np.float32)
    for t in range(len(x)):
        h = out[t] = np.tanh(out[t] + h @ recurrent)
    return out


def peephole(weights: Weights, x: np.ndarray) -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h)."""
    inputs = linear(weights, "input", x)
    recurrent = np.ascontiguousarray(weights["recurrent.weight"].T)
    see_i, see_f, see_o = weights["peephole.weight"]
    size = x.shape[2]
    h = c = np.zeros(x.shape[1:], np.float32)
    out = np.empty_like(x)
    for t in range(len(x)):
        gates = inputs[t] + h @ recurrent
        i = sigmoid(gates[:, :size] + see_i * c)
        f = sigmoid(gates[:, size : 2 * size] + see_f * c)
        c = f * c + i * np.tanh(gates[:, 2 * size : 3 * size])
        o = sigmoid(gates[:, 3 * size :] + see_o * c)
        h = out[t] = o * np.tanh(c)
    return out


def xlstm(weights: Weights, x: np.ndarray) -> np.ndarray:
    """y (T, B, h) of x (T, B, h): head by head, in double precision, exponentials as they are."""
    heads, size = xlstm_network.HEADS, x.shape[2] // xlstm_network.HEADS
    inputs = linear(weights, "input", x).astype(float).reshape(*x.shape[:2], heads, 4, size)
    recurrent = weights["recurrent.weight"].astype(float).reshape(heads, 4, size, size)
    normed = np.empty((*x.shape[:2], heads, size))
    for head in range(heads):
        h = c = n = np.zeros((x.shape[1], size))
        for t in range(len(x)):
            gates = [inputs[t, :, head, k] + h @ recurrent[head, k].T for k in range(4)]
            i, f, z, o = np.exp(gates[0]), sigmoid(gates[1]), np.tanh(gates[2]), sigmoid(gates[3])
            c, n = f * c + i * z, f * n + i
            h = o * c / n
            spread = np.sqrt(h.var(-1, keepdims=True) + 1e-5)
            normed[t, :, head] = (h - h.mean(-1, keepdims=True)) / spread
    gate, up = np.split(linear(weights, "up", normed.reshape(x.shape).astype(np.float32)), 2, -1)
    return linear(weights, "down", gelu(gate) * up)


def bilstm(weights: Weights, x: np.ndarray) -> np.ndarray:
    """y (T, B, h) of x (T, B, h), the context of one origin."""
    cells = inside(weights, "lstm.")
    ahead = lstm_forward(cells, x)
    back = lstm_forward(cells, x[::-1], "_reverse")[::-1]
    back = np.concatenate([back[:-1], back[:1]])
    return linear(weights, "project", np.concatenate([ahead, back], -1))


def cnn_lstm(weights: Weights, x: np.ndarray, dilation: int) -> np.ndarray:
    """y (T, B, h) of x (T, B, h)."""
    weight = weights["convolution.weight"]
    total = times(x, weight[:, :, CNN_TAPS - 1]) + weights["convolution.bias"]
    for k in range(1, CNN_TAPS):
        back = k * dilation
        if back < len(x):
            total[back:] += times(x[:-back], weight[:, :, CNN_TAPS - 1 - k])
    return gelu(total)


def mlp(weights: Weights, x: np.ndarray) -> np.ndarray:
    """y (1, B, h) of the context x (T, B, h) of one origin."""
    steps, batch, hidden = x.shape
    reads = weights["window.weight"].shape[1] // hidden
    window = np.zeros((reads, batch, hidden), np.float32)
    window[max(0, reads - steps) :] = x[-reads:]
    return linear(weights, "window", window.swapaxes(0, 1).reshape(1, batch, -1))


def ring(places: int) -> np.ndarray:
    """The places around each place, int64 (r, TAPS)."""
    around = np.arange(TAPS) - TAPS // 2
    return (np.arange(places)[:, None] + around) % places


def convlstm(weights: Weights, x: np.ndarray) -> np.ndarray:
    """All states (T, B, h) of one layer that starts at zero; x (T, B, h), h = c r."""
    steps, batch, hidden = x.shape
    c = weights["input.weight"].shape[1]
    around = ring(hidden // c)

    def places(z: np.ndarray) -> np.ndarray:
        """(..., h) -> (..., r, c)"""
        return z.reshape(*z.shape[:-1], c, -1).swapaxes(-1, -2)

    def convolved(z: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(..., r, c) -> (..., r, 4c)"""
        near = z[..., around, :]  # (..., r, TAPS, c)
        flat = weight.swapaxes(1, 2).reshape(4 * c, TAPS * c)
        return times(near.reshape(*near.shape[:-2], TAPS * c), flat)

    inputs = convolved(places(x), weights["input.weight"]) + weights["input.bias"]
    see_i, see_f, see_o = places(weights["peephole.weight"])
    h = cell = np.zeros((batch, hidden // c, c), np.float32)
    out = np.empty_like(x)
    for t in range(steps):
        gates = inputs[t] + convolved(h, weights["recurrent.weight"])
        i = sigmoid(gates[..., :c] + see_i * cell)
        f = sigmoid(gates[..., c : 2 * c] + see_f * cell)
        cell = f * cell + i * np.tanh(gates[..., 2 * c : 3 * c])
        o = sigmoid(gates[..., 3 * c :] + see_o * cell)
        h = o * np.tanh(cell)
        out[t] = h.swapaxes(-1, -2).reshape(batch, hidden)
    return out


def convlstm_embedding(weights: Weights, x: np.ndarray) -> np.ndarray:
    """(T, B, F) -> (T, B, h): every point of a step by the same weights."""
    points = points_of(x.shape[2])
    own = x[..., : KINDS * points].reshape(*x.shape[:2], KINDS, points).swapaxes(-1, -2)
    other = np.broadcast_to(x[..., None, KINDS * points :], (*own.shape[:3], SCALARS))
    made = times(np.concatenate([own, other], -1), weights["weight"]) + weights["bias"]
    return made.swapaxes(-1, -2).reshape(*x.shape[:2], -1)


def attend(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Self-attention (T, B, h) of x (T, B, h)."""
    q, k, v = _heads(weights, x)
    seen = _shares(q, k) @ v  # (B, heads, T, n)
    return linear(weights, "join", seen.transpose(2, 0, 1, 3).reshape(x.shape))


def feed(weights: Weights, x: np.ndarray) -> np.ndarray:
    """The feed-forward part (T, B, h), each step for itself."""
    return linear(weights, "narrow", gelu(linear(weights, "wide", x)))


def attention(weights: Weights, x: np.ndarray) -> np.ndarray:
    """y (T, B, h) of x (T, B, h)."""
    states = lstm_forward(inside(weights, "lstm."), x)
    share = attention_shares(weights, states, states)  # (B, T, T)
    seen = (share @ states.swapaxes(0, 1)).swapaxes(0, 1)
    return np.tanh(linear(weights, "combine", np.concatenate([seen, states], -1)))


FORWARD = {
    id(lstm.PART): lstm_forward,
    id(gru_network.PART): gru,
    id(rnn_network.PART): rnn,
    id(peephole_network.SPEC.layer[0]): peephole,
    id(xlstm_network.SPEC.layer[0]): xlstm,
    id(bilstm_network.PART): bilstm,
    id(attention_network.PART): attention,
    id(convlstm_network.SPEC.layer[0]): convlstm,
    id(transformer.ATTEND): attend,
    id(transformer.FEED): feed,
    id(mlp_network.WINDOW): mlp,
    **{
        id(part): partial(cnn_lstm, dilation=dilation)
        for part, dilation in zip(cnn_lstm_network.SPEC.front, DILATIONS, strict=True)
    },
}
EMBEDDING = {id(LINEAR): LINEAR.forward, id(convlstm_network.SPEC.embedding): convlstm_embedding}


def states(weights: Weights, context: np.ndarray, network: str) -> np.ndarray:
    """The normed state (T, B, h) after each step of context (T, B, F)."""
    spec = spec_of(network)
    state = EMBEDDING[id(spec.embedding)](inside(weights, "embed."), context)
    ends = range(1, len(context) + 1) if spec.each_origin else [len(context)]
    made = [_stack(weights, state[:end], network) for end in ends]
    return norm(
        weights, "norm", np.concatenate([s[-1:] for s in made]) if spec.each_origin else made[0]
    )


def _stack(weights: Weights, state: np.ndarray, network: str) -> np.ndarray:
    spec = spec_of(network)
    for number, part in enumerate(spec.parts(spec.layers(weights))):
        tensors = inside(weights, f"{spec.prefix}.{number}.")
        change = FORWARD[id(part)](tensors, norm(weights, f"norms.{number}", state))
        state = state[-len(change) :] + change
    return state
