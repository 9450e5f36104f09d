"""How one member of the ensemble learns, in numbers, and the one way in which these are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from forecast.models.likelihoods import QUANTILES
from forecast.transforms.augment import AS_IT_IS, View

BEHIND = "behind"  # how a fit ended that was given up
WRITTEN_IF_UNUSUAL = ("mixer", "behind")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one member learns; every number is resolved, none is a default.

    steps: optimisation steps; context: LSTM steps of a window (T); origins_per_window: those that
    are trained (O); horizon: steps ahead; levels: quantile levels (Q, odd); average: decay of the
    averaged weights; patience: evaluations without improvement; network: name of its spec
    (models/networks/registry.py); precision: "fp32", "bf16" or "auto", as the processor that trains
    does it best; seconds: time limit or None; likelihood: what is said of each
    step (models/likelihoods.py); views: the ways in which series are read, each batch in one, drawn
    by the views' weights; mixer: channels of the head's mixer over the horizon, where training
    starts from random weights (0: none); behind: the validation loss that a fit must have come
    below after a third of its steps, or it is given up (None: it never is); seed: a plan's is 0,
    its members have each their own.
    """

    steps: int
    batch_size: int
    context: int
    origins_per_window: int
    horizon: int
    levels: tuple[float, ...]
    network: str = "lstm"
    likelihood: str = QUANTILES
    hidden_size: int
    layers: int
    dropout: float
    learning_rate: float
    schedule: str
    warmup: int
    weight_decay: float
    clip: float
    average: float
    patience: int
    device: str = "cpu"
    precision: str = "fp32"
    seconds: float | None = None
    views: tuple[View, ...] = AS_IT_IS
    mixer: int = 0
    behind: float | None = None
    seed: int = 0

    def document(self) -> dict[str, Any]:
        """The numbers as manifests, tasks and their digests have them: without the seed, which is
        each member's own, and without `mixer` and `behind` where they are the usual ones."""
        usual = {each.name: each.default for each in fields(self)}
        plain = {name: getattr(self, name) for name in usual}
        left_out = {name for name in WRITTEN_IF_UNUSUAL if plain[name] == usual[name]}
        return {name: plain[name] for name in plain if name not in {"seed", *left_out}}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> TrainConfig:
        """What `document` made plain; a list of JSON is a tuple again."""
        views = tuple(View(*view) for view in document["views"])
        return cls(**{**document, "levels": tuple(document["levels"]), "views": views})
