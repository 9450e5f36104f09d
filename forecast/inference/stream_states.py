"""The LSTM's states of one series, carried from step to step.

A forecast is to come from a state that has read a bounded past, as in training, and a step is to
cost the same always. So several states are under way at once, begun at regular steps: the oldest
gives the forecast, and when it has read enough the youngest takes its place anew. Begun at every
whole multiple of the context C there are two, and the forecast's has read between C and 2C steps
(as in inference/one_step.py); begun at every step there are C, and it has read exactly C, as
`predict` does.

Where one LSTM step is a day of W values, each of the W places in the day has states of its own, and
so has each view of the series. Axes: P places, K states under way, h units, F features, M members.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forecast.models.networks.numpy_forward import last_state
from forecast.models.networks.numpy_ops import Weights
from forecast.transforms.windows import Layout


class CarriedStates:
    """The states of every member, place and beginning."""

    def __init__(
        self, members: tuple[Weights, ...], places: int, context: int, exact: bool
    ) -> None:
        self.every = 1 if exact else context
        self.slots = context if exact else 2
        self._groups = [_Cells(group, places, self.slots) for group in alike(members)]

    def advance(self, place: np.ndarray, step: np.ndarray, x: np.ndarray) -> None:
        """Reads step number `step` (P,) of the places `place` (P,), inputs x (P, F)."""
        block, begun = np.divmod(step, self.every)
        fresh = np.flatnonzero(begun == 0)
        for cells in self._groups:
            cells.advance(place, x, fresh, block[fresh] % self.slots)

    def state(self, place: np.ndarray, step: int) -> list[np.ndarray]:
        """The normed states (M, P, h) that the forecasts from `place` (P,) come from, `step` being
        the last that they read, for each group of members of one shape, as `alike` orders them."""
        old = (step // self.every + 1) % self.slots
        return [cells.normed(place, old) for cells in self._groups]


class ReadAgain:
    """In place of `CarriedStates` for other networks: the inputs of the context are kept, and read
    anew for each forecast, which costs as much as the context is long."""

    def __init__(
        self, members: tuple[Weights, ...], layout: Layout, views: int, context: int, network: str
    ) -> None:
        self.network = network
        self._groups = [
            [
                {name: part[k] for name, part in group.items()}
                for k in range(len(group["embed.bias"]))
            ]
            for group in alike(members)
        ]
        self._x = np.zeros((context, views * layout.width, layout.features), np.float32)

    def advance(self, place: np.ndarray, step: np.ndarray, x: np.ndarray) -> None:
        """As `CarriedStates.advance`."""
        self._x[:-1, place] = self._x[1:, place]
        self._x[-1, place] = x

    def state(self, place: np.ndarray, step: int) -> list[np.ndarray]:
        """As `CarriedStates.state`."""
        x = np.ascontiguousarray(self._x[:, place])
        return [
            np.stack([last_state(weights, x, None, self.network)[0] for weights in group])
            for group in self._groups
        ]


def alike(members: tuple[Weights, ...]) -> list[dict[str, np.ndarray]]:
    """The tensors of members of one shape, stacked: (M, ...) each. One product then serves all."""
    groups: dict[tuple[int, int], list[Weights]] = {}
    for weights in members:
        shape = (len(weights["embed.bias"]), len(weights))
        groups.setdefault(shape, []).append(weights)
    return [
        {name: np.stack([weights[name] for weights in group]) for name in group[0]}
        for group in groups.values()
    ]


def linear(weights: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """Of stacked tensors: x (M, R, i) or (R, i) -> (M, R, o)."""
    return np.asarray(
        x @ weights[f"{name}.weight"].swapaxes(1, 2) + weights[f"{name}.bias"][:, None]
    )


class _Cells:
    """The layers of members of one shape; h, c: float32 (layers, M, P, K, h)."""

    def __init__(self, weights: dict[str, np.ndarray], places: int, slots: int) -> None:
        self.layers = sum(name.startswith("norms.") and name.endswith("bias") for name in weights)
        members, hidden = weights["embed.bias"].shape
        self.h = np.zeros((self.layers, members, places, slots, hidden), np.float32)
        self.c, self.top = np.zeros_like(self.h), np.zeros_like(self.h[0])
        self.embed = {name: weights[name] for name in ("embed.weight", "embed.bias")}
        # sigmoid(x) = (1 + tanh(x / 2)) / 2: with the half in the weights, one tanh is all.
        half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), hidden)
        names = [f"lstms.{layer}." for layer in range(self.layers)]
        self.reads = [_turned(weights[n + "weight_ih_l0"], half) for n in names]
        self.keeps = [_turned(weights[n + "weight_hh_l0"], half) for n in names]
        self.bias = [
            ((weights[n + "bias_ih_l0"] + weights[n + "bias_hh_l0"]) * half)[:, None] for n in names
        ]
        self.norms = [_scales(weights, f"norms.{layer}") for layer in range(self.layers)]
        self.norm = _scales(weights, "norm")

    def advance(
        self, place: np.ndarray, x: np.ndarray, fresh: np.ndarray, slot: np.ndarray
    ) -> None:
        """As `CarriedStates.advance`; fresh: which of the P begin anew, and in which slot."""
        _, members, _, slots, hidden = self.h.shape
        count = len(place)
        for part in (self.h, self.c):
            part[:, :, place[fresh], slot] = 0.0
        state = linear(self.embed, "embed", x)[:, :, None]  # (M, P, 1, h): of every slot the same
        for layer in range(self.layers):
            read = _normed(state, *self.norms[layer]).reshape(members, -1, hidden)
            inputs = read @ self.reads[layer] + self.bias[layer]
            before = self.h[layer][:, place].reshape(members, -1, hidden)
            gates = (before @ self.keeps[layer]).reshape(members, count, slots, 4 * hidden)
            gates += inputs.reshape(members, count, -1, 4 * hidden)
            h, c = _cell(gates, self.c[layer][:, place])
            self.h[layer][:, place], self.c[layer][:, place] = h, c
            state = state + h
        self.top[:, place] = state

    def normed(self, place: np.ndarray, slot: int) -> np.ndarray:
        """What the head reads of a slot, (M, P, h)."""
        return _normed(self.top[:, place, slot], *(part[:, 0] for part in self.norm))


def _cell(gates: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new h and c (..., h) from gates (..., 4h), in torch's order, halved but for the third."""
    size = c.shape[-1]
    np.tanh(gates, out=gates)
    g = gates[..., 2 * size : 3 * size]
    i, f, o = (0.5 + 0.5 * gates[..., k * size : (k + 1) * size] for k in (0, 1, 3))
    c = f * c + i * g
    return o * np.tanh(c), c


def _turned(weight: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((weight * half[:, None]).swapaxes(1, 2))


def _scales(weights: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a norm, (M, 1, 1, h)."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return weight[:, None, None], bias[:, None, None]


def _normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis, as in networks/numpy_ops.py."""
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
    return np.asarray(centred / scale * weight + bias)
