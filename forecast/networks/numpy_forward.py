"""The trained network's forward pass in numpy: prediction without torch, and the tests' reference.

`weights` is the network's state dict as float32 arrays. Agrees with torch to 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forecast.networks.head import assemble, head_inputs
from forecast.windows import Ahead, Layout

Weights = Mapping[str, np.ndarray]


def last_state(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None
) -> np.ndarray:
    """The stack's normed state after the last step: (1, B, hidden); beside: (T, B, E)."""
    return _norm(weights, "norm", _stack(weights, context, beside)[-1:])


def states(weights: Weights, context: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """The stack's normed state after each step: (T, B, hidden); each sees its past alone."""
    return _norm(weights, "norm", _stack(weights, context, beside))


def _stack(weights: Weights, context: np.ndarray, beside: np.ndarray | None) -> np.ndarray:
    """The residual stack's output (T, B, hidden), not normed yet."""
    state = _linear(weights, "embed", context)
    if beside is not None:
        state = state + _times(beside, weights["embed_covariates.weight"])
    layers = sum(name.startswith("lstms.") and name.endswith("weight_ih_l0") for name in weights)
    for layer in range(layers):
        state = state + _lstm(weights, f"lstms.{layer}", _norm(weights, f"norms.{layer}", state))
    return state


def forward(
    weights: Weights,
    layout: Layout,
    state: np.ndarray,
    look: Ahead,
    quantiles: int,
    trained: int | None = None,
) -> np.ndarray:
    """Quantiles relative to the level, (O, B, D, C, Q), from state (O, B, hidden).

    trained: blocks that the network was trained for; later ones take the last one's index.
    """
    z = _linear(weights, "from_state", state)[:, :, None, :]
    z = _gelu(z + _linear(weights, "from_skips", head_inputs(layout, look, trained)))
    z = z + _gelu(_linear(weights, "mix", z))
    return assemble(layout, look, _linear(weights, "out", z), quantiles)


def effect(weights: Weights, features: np.ndarray) -> np.ndarray:
    """Effect (B, L) of the known features (B, L, K), in units of inputs."""
    z = _gelu(_linear(weights, "effect_in", features))
    return _times(z, weights["effect_out.weight"])[..., 0]


def lstm_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, recurrent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One gate-by-gate step: x (B, 4h) = W x_t + both biases in torch's order i, f, g, o;
    h, c (B, h); recurrent U transposed (h, 4h). Returns the new h and c."""
    size = h.shape[-1]
    gates = x + h @ recurrent
    i = _sigmoid(gates[:, :size])
    f = _sigmoid(gates[:, size : 2 * size])
    g = np.tanh(gates[:, 2 * size : 3 * size])
    o = _sigmoid(gates[:, 3 * size :])
    c = f * c + i * g
    return o * np.tanh(c), c


def _lstm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """All hidden states (T, B, h) of one layer that starts at zero; x (T, B, i)."""
    bias = weights[f"{name}.bias_ih_l0"] + weights[f"{name}.bias_hh_l0"]
    inputs = _times(x, weights[f"{name}.weight_ih_l0"]) + bias
    recurrent = np.ascontiguousarray(weights[f"{name}.weight_hh_l0"].T)
    h = c = np.zeros((x.shape[1], recurrent.shape[0]), np.float32)
    out = np.empty((x.shape[0], x.shape[1], recurrent.shape[0]), np.float32)
    for t in range(x.shape[0]):
        h, c = lstm_step(inputs[t], h, c, recurrent)
        out[t] = h
    return out


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return _times(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def _times(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (..., i) times weight (o, i) transposed, as one product of two matrices: numpy would run a
    product of three axes as many small ones, ten times slower."""
    return (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], len(weight))


def _norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis (Ba et al. 2016), torch's eps."""
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    """GELU, tanh form (Hendrycks & Gimpel 2016)."""
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
