"""Every network of the family by the name of `--network`; docs/networks.md says how to add one."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

from forecast.config.schema import Network
from forecast.models.likelihoods import QUANTILES, head_width
from forecast.models.networks.base import NetworkSpec, Shapes, Size
from forecast.models.networks.covariate_effect import EFFECT_UNITS, EFFECTS, OWN
from forecast.models.networks.head import META, REACH
from forecast.models.networks.numpy_ops import Weights
from forecast.transforms.windows import POINTS, SKIPS

# Each stands in the module of its name: lstm-transformer in lstm_transformer.py.
NETWORK_SPECS: dict[str, NetworkSpec] = {
    name: import_module(f"forecast.models.networks.{name.replace('-', '_')}").SPEC
    for name in get_args(Network)
}


def spec_of(name: str) -> NetworkSpec:
    """The network called `name`. Raises ValueError, which names all there are."""
    if name not in NETWORK_SPECS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORK_SPECS)}")
    return NETWORK_SPECS[name]


# --- Names and shapes of a network's tensors, known without torch --------------------------------


def state_shapes(
    features: int,
    hidden: int,
    layers: int,
    quantiles: int,
    known_ahead: int = 0,
    beside: int = 0,
    *,
    network: str = "lstm",
    context: int = 0,
    likelihood: str = QUANTILES,
    mixer: int = 0,
    effects: int = EFFECTS,
) -> Shapes:
    """Tensor name -> shape of a `ResidualNetwork` (a test holds the two together).

    Without covariates (known_ahead, beside: 0) there are no tensors for them. Raises ValueError
    when no network has that name or that size, or there is no such likelihood.
    """
    spec, size = spec_of(network), Size(features, hidden, context)
    if hidden % spec.multiple(features):
        raise ValueError(f"{hidden} units are no multiple of {spec.multiple(features)}")
    shapes: Shapes = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def inside(prefix: str, tensors: Shapes) -> None:
        shapes.update({f"{prefix}.{name}": shape for name, shape in tensors.items()})

    inside("embed", spec.embedding.shapes(size))
    for number, part in enumerate(spec.parts(layers)):
        shapes[f"norms.{number}.weight"] = shapes[f"norms.{number}.bias"] = (hidden,)
        inside(f"{spec.prefix}.{number}", part.shapes(size))
    shapes["norm.weight"] = shapes["norm.bias"] = (hidden,)
    linear("from_state", hidden, hidden)
    linear("from_skips", 3 * SKIPS * POINTS + META, hidden)
    linear("mix", hidden, hidden)
    linear("out", hidden, head_width(quantiles, likelihood))
    if mixer:
        shapes["mixer.points"] = (mixer, 3 * SKIPS)
        shapes["mixer.near"] = (mixer, REACH * mixer)
        shapes["mixer.out"] = (quantiles if likelihood == QUANTILES else 2, mixer)
        linear("mixer.state", hidden, mixer)
    if known_ahead:
        linear("effect_in", known_ahead, EFFECT_UNITS)
        shapes["effect_out.weight"] = (effects, EFFECT_UNITS)
        if effects > 1:
            shapes["effect_own"] = (len(OWN),)
    if beside:
        shapes["embed_covariates.weight"] = (hidden, beside)
    return shapes


def size_of(weights: Weights, network: str = "lstm") -> tuple[int, int]:
    """Hidden size and number of layers of a network, read off its tensors."""
    return len(weights["norm.bias"]), spec_of(network).layers(weights)


def mixer_of(weights: Weights) -> int:
    """Channels of a network's mixer over the horizon; 0 without one."""
    return len(weights["mixer.points"]) if "mixer.points" in weights else 0


def effects_of(weights: Weights) -> int:
    """How much a network says of covariates known ahead: 1 before the spread was a part of it, 0
    without any."""
    return len(weights["effect_out.weight"]) if "effect_out.weight" in weights else 0
