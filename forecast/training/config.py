"""How one member of the ensemble learns, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from forecast.models.likelihoods import QUANTILES
from forecast.transforms.augment import AS_IT_IS, View

BEHIND = "behind"  # how a fit ended that was given up


@dataclass(frozen=True)
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
    below after a third of its steps, or it is given up (None: it never is).
    """

    steps: int
    batch_size: int
    context: int
    origins_per_window: int
    horizon: int
    levels: tuple[float, ...]
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
    seed: int
    network: str = "lstm"
    device: str = "cpu"
    precision: str = "fp32"
    seconds: float | None = None
    views: tuple[View, ...] = AS_IT_IS
    likelihood: str = QUANTILES
    mixer: int = 0
    behind: float | None = None
