"""What the networks' forward passes in numpy are made of: products, norms, activations.

Weights are float32 arrays by name, as torch keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """W x + b with the tensors `name`.weight (o, i) and `name`.bias (o,); x (..., i)."""
    return times(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def times(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (..., i) times weight (o, i) transposed, as one product of two matrices: numpy would run a
    product of three axes as many small ones, ten times slower."""
    return (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], len(weight))


def norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis (Ba et al. 2016), torch's eps."""
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """GELU, tanh form (Hendrycks & Gimpel 2016)."""
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """By tanh: exp(-x) overflows for large negative x."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis; an entry of -inf has no share."""
    far = np.exp(x - x.max(-1, keepdims=True))
    return far / far.sum(-1, keepdims=True)


def inside(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
