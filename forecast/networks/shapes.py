"""Names and shapes of the default network's tensors, known without torch."""

from __future__ import annotations

from forecast.networks.covariates import EFFECT_UNITS
from forecast.networks.head import META, head_width
from forecast.windows import POINTS, SKIPS


def state_shapes(
    features: int,
    hidden: int,
    layers: int,
    quantiles: int,
    known_ahead: int = 0,
    beside: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of a `ResidualLSTM` (a test holds the two together).

    Without covariates (known_ahead, beside: 0) there are no tensors for them.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    linear("embed", features, hidden)
    for layer in range(layers):
        shapes[f"norms.{layer}.weight"] = shapes[f"norms.{layer}.bias"] = (hidden,)
        for part in ("ih", "hh"):
            shapes[f"lstms.{layer}.weight_{part}_l0"] = (4 * hidden, hidden)
            shapes[f"lstms.{layer}.bias_{part}_l0"] = (4 * hidden,)
    shapes["norm.weight"] = shapes["norm.bias"] = (hidden,)
    linear("from_state", hidden, hidden)
    linear("from_skips", 3 * SKIPS * POINTS + META, hidden)
    linear("mix", hidden, hidden)
    linear("out", hidden, head_width(quantiles))
    if known_ahead:
        linear("effect_in", known_ahead, EFFECT_UNITS)
        shapes["effect_out.weight"] = (1, EFFECT_UNITS)
    if beside:
        shapes["embed_covariates.weight"] = (hidden, beside)
    return shapes
