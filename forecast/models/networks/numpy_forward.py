"""The trained network's forward pass in numpy: prediction without torch, and the tests' reference.

`weights` is the network's state dict as float32 arrays. Agrees with torch to 1e-5.
Axes: T steps, B batch, F features, O origins, D chunks ahead, C steps of a chunk, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.base import Part
from forecast.models.networks.head import assemble, head_inputs, mix_horizon
from forecast.models.networks.numpy_ops import Weights, gelu, inside, linear, norm, times
from forecast.models.networks.registry import idea_of
from forecast.transforms.windows import Ahead, Layout


def last_state(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> np.ndarray:
    """The stack's normed state after the last step: (1, B, hidden), from context (T, B, F).

    beside (T, B, E): features of covariates; network: name of the idea.
    """
    state = _embedded(weights, context, beside, network)
    return norm(weights, "norm", _stack(weights, state, network)[-1:])


def states(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> np.ndarray:
    """The normed state after each step, (T, B, hidden), from that step and those before it; as
    `last_state`."""
    state = _embedded(weights, context, beside, network)
    if not idea_of(network).each_origin:
        return norm(weights, "norm", _stack(weights, state, network))
    ends = range(1, len(context) + 1)
    last = [_stack(weights, state[:end], network)[-1:] for end in ends]
    return norm(weights, "norm", np.concatenate(last))


def attention_maps(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> list[np.ndarray]:
    """What the last step looks at: (heads, B, T) for each part that attends, the first one first;
    each sums to 1 over T. Arguments as of `last_state`. Empty where the network does not attend."""
    maps: list[np.ndarray] = []

    def look(part: Part, tensors: Weights, x: np.ndarray) -> None:
        if part.attention is not None:
            maps.append(part.attention(tensors, x))

    _stack(weights, _embedded(weights, context, beside, network), network, look)
    return maps


def parts_read(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> list[tuple[Weights, np.ndarray]]:
    """The tensors of each part and what it reads, (T, B, hidden), the first one first. Arguments as
    of `last_state`."""
    found: list[tuple[Weights, np.ndarray]] = []

    def look(_part: Part, tensors: Weights, x: np.ndarray) -> None:
        found.append((tensors, x))

    _stack(weights, _embedded(weights, context, beside, network), network, look)
    return found


def _embedded(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None, network: str
) -> np.ndarray:
    """(T, B, F) -> (T, B, hidden)."""
    state = idea_of(network).embedding.forward(inside(weights, "embed."), context)
    return state if beside is None else state + times(beside, weights["embed_covariates.weight"])


def _stack(
    weights: Weights,
    state: np.ndarray,
    network: str,
    look: Callable[[Part, Weights, np.ndarray], None] = lambda part, tensors, x: None,
) -> np.ndarray:
    """The residual parts, not normed yet: (T, B, hidden) -> the same, or (1, B, hidden) where a
    part gives the last step alone. `look` gets each part, its tensors and what it reads."""
    idea = idea_of(network)
    for number, part in enumerate(idea.parts(idea.layers(weights))):
        tensors = inside(weights, f"{idea.prefix}.{number}.")
        x = norm(weights, f"norms.{number}", state)
        look(part, tensors, x)
        change = part.forward(tensors, x)
        state = state[-len(change) :] + change
    return state


def forward(
    weights: Weights,
    layout: Layout,
    state: np.ndarray,
    look: Ahead,
    quantiles: int,
    trained: int | None = None,
    likelihood: str = QUANTILES,
) -> np.ndarray:
    """What is said of each step (networks/head.py: `assemble`), (O, B, D, C, Q or P), from state
    (O, B, hidden).

    trained: blocks that the network was trained for; later ones take the last one's index.
    """
    inputs = head_inputs(layout, look, trained)
    z = linear(weights, "from_state", state)[:, :, None, :]
    z = gelu(z + linear(weights, "from_skips", inputs))
    z = z + gelu(linear(weights, "mix", z))
    return assemble(layout, look, raw_numbers(weights, inputs, z), quantiles, likelihood)


def raw_numbers(weights: Weights, inputs: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The head's numbers of each block, (O, B, D, head_width), from its last hidden layer z
    (O, B, D, hidden) and from what it sees, inputs of `head_inputs`."""
    raw = linear(weights, "out", z)
    if "mixer.out" not in weights:
        return raw
    state = linear(weights, "mixer.state", z)
    return raw + mix_horizon(inputs, state, inside(weights, "mixer."), raw.shape[-1])


def effect(weights: Weights, features: np.ndarray) -> np.ndarray:
    """Effect (B, L) of the known features (B, L, K), in units of inputs."""
    z = gelu(linear(weights, "effect_in", features))
    return times(z, weights["effect_out.weight"])[..., 0]
