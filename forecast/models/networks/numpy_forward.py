"""The trained network's forward pass on numpy arrays: the LSTM without torch, others through it.

`weights` is the network's state dict as float32 arrays. Agrees with the torch network to 1e-5.
Axes: T steps, B batch, F features, O origins, D chunks ahead, C steps of a chunk, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.base import Embedding, Part, Size
from forecast.models.networks.head import assemble, head_inputs, mix_horizon
from forecast.models.networks.numpy_ops import Weights, gelu, inside, linear, norm, times
from forecast.models.networks.registry import size_of, spec_of
from forecast.transforms.windows import DecoderInputs, Layout


def last_state(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> np.ndarray:
    """The stack's normed state after the last step: (1, B, hidden), from context (T, B, F).

    beside (T, B, E): features of covariates; network: name of its spec.
    """
    size, state = _embedded(weights, context, beside, network)
    return norm(weights, "norm", _stack(weights, state, network, size)[-1:])


def states(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> np.ndarray:
    """The normed state after each step, (T, B, hidden), from that step and those before it; as
    `last_state`."""
    size, state = _embedded(weights, context, beside, network)
    if not spec_of(network).each_origin:
        return norm(weights, "norm", _stack(weights, state, network, size))
    ends = range(1, len(context) + 1)
    last = [_stack(weights, state[:end], network, size)[-1:] for end in ends]
    return norm(weights, "norm", np.concatenate(last))


def attention_maps(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> list[np.ndarray]:
    """What the last step looks at: (heads, B, T) for each part that attends, the first one first;
    each sums to 1 over T. Arguments as of `last_state`. Empty where the network does not attend."""
    maps: list[np.ndarray] = []

    def watch(part: Part, tensors: Weights, x: np.ndarray) -> None:
        if part.attention is not None:
            maps.append(part.attention(tensors, x))

    size, state = _embedded(weights, context, beside, network)
    _stack(weights, state, network, size, watch)
    return maps


def parts_read(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None = None, network: str = "lstm"
) -> list[tuple[Weights, np.ndarray]]:
    """The tensors of each part and what it reads, (T, B, hidden), the first one first. Arguments as
    of `last_state`."""
    found: list[tuple[Weights, np.ndarray]] = []

    def watch(_part: Part, tensors: Weights, x: np.ndarray) -> None:
        found.append((tensors, x))

    size, state = _embedded(weights, context, beside, network)
    _stack(weights, state, network, size, watch)
    return found


def _embedded(
    weights: Weights, context: np.ndarray, beside: np.ndarray | None, network: str
) -> tuple[Size, np.ndarray]:
    """The network's size, and (T, B, F) -> (T, B, hidden)."""
    spec, hidden = spec_of(network), size_of(weights, network)[0]
    window = weights.get(f"{spec.prefix}.0.window.weight")
    size = Size(context.shape[2], hidden, 0 if window is None else window.shape[1] // hidden)
    state = _computed(spec.embedding, size, inside(weights, "embed."), context)
    if beside is not None:
        state = state + times(beside, weights["embed_covariates.weight"])
    return size, state


def _stack(
    weights: Weights,
    state: np.ndarray,
    network: str,
    size: Size,
    watch: Callable[[Part, Weights, np.ndarray], None] = lambda part, tensors, x: None,
) -> np.ndarray:
    """The residual parts, not normed yet: (T, B, hidden) -> the same, or (1, B, hidden) where a
    part gives the last step alone. `watch` gets each part, its tensors and what it reads."""
    spec = spec_of(network)
    for number, part in enumerate(spec.parts(spec.layers(weights))):
        tensors = inside(weights, f"{spec.prefix}.{number}.")
        x = norm(weights, f"norms.{number}", state)
        watch(part, tensors, x)
        change = _computed(part, size, tensors, x)
        state = state[-len(change) :] + change
    return state


def _computed(part: Part | Embedding, size: Size, tensors: Weights, x: np.ndarray) -> np.ndarray:
    """What a part, or the embedding, makes of x: in numpy where it can, else in torch."""
    if part.forward is not None:
        return part.forward(tensors, x)
    from forecast.models.networks.torch_layers import computed

    return computed(lambda: part.module(size), tensors, x)


def forward(
    weights: Weights,
    layout: Layout,
    state: np.ndarray,
    decoder: DecoderInputs,
    quantiles: int,
    trained: int | None = None,
    likelihood: str = QUANTILES,
) -> np.ndarray:
    """What is said of each step (networks/head.py: `assemble`), (O, B, D, C, Q or P), from state
    (O, B, hidden).

    trained: blocks that the network was trained for; later ones take the last one's index.
    """
    inputs = head_inputs(layout, decoder, trained)
    z = linear(weights, "from_state", state)[:, :, None, :]
    z = gelu(z + linear(weights, "from_skips", inputs))
    z = z + gelu(linear(weights, "mix", z))
    return assemble(layout, decoder, raw_numbers(weights, inputs, z), quantiles, likelihood)


def raw_numbers(weights: Weights, inputs: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The head's numbers of each block, (O, B, D, head_width), from its last hidden layer z
    (O, B, D, hidden) and from what it sees, inputs of `head_inputs`."""
    raw = linear(weights, "out", z)
    if "mixer.out" not in weights:
        return raw
    state = linear(weights, "mixer.state", z)
    return raw + mix_horizon(inputs, state, inside(weights, "mixer."), raw.shape[-1])


def effect(weights: Weights, features: np.ndarray) -> np.ndarray:
    """What the known features (B, L, K) do to each step, (B, L, R): as `ResidualNetwork.effect`."""
    z = gelu(linear(weights, "effect_in", features))
    return times(z, weights["effect_out.weight"])
