"""`Forecaster`: a trained ensemble, all that prediction needs.

Axes: Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from forecast.models.likelihoods import COUNTS, QUANTILES
from forecast.models.networks.numpy_ops import Weights
from forecast.models.networks.registry import spec_of
from forecast.transforms.augment import AS_IT_IS, View
from forecast.transforms.covariates import Design
from forecast.transforms.windows import Layout

USUAL_DEPENDENCE = 0.5  # of the errors of neighbouring steps, where few are known


class Longer(NamedTuple):
    """A longer step, of so many steps: how many of them make a season, and how many are read."""

    steps: int
    season: int
    context: int


@dataclass(frozen=True)
class Forecaster:
    """A trained ensemble: what prediction needs, and nothing else.

    members: the weights of each; levels (Q,); context: LSTM steps read; horizon: steps that it was
    trained for (beyond them the last block's correction is kept); factors (Q,): conformal stretch;
    network: name of its spec (networks/registry.py); design: the covariates that it reads, None
    without any; views: the ways it reads a series, whose forecasts are averaged; likelihood: what
    it says of each step (forecast/models/likelihoods.py); dependence: correlation of the errors of
    neighbouring steps (forecast/inference/conformal.py), for sample paths; longer: the steps whose
    means the pretrained network forecasts beside it (forecast/inference/longer_steps.py).
    """

    layout: Layout
    members: tuple[Weights, ...]
    levels: np.ndarray
    context: int
    horizon: int
    factors: np.ndarray
    network: str = "lstm"
    design: Design | None = None
    views: tuple[View, ...] = AS_IT_IS
    likelihood: str = QUANTILES
    dependence: float = USUAL_DEPENDENCE
    longer: tuple[Longer, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its forecasts are whole numbers."""
        return self.likelihood == COUNTS

    @property
    def name(self) -> str:
        """Of the column of its forecasts."""
        return spec_of(self.network).title

    @property
    def parameters(self) -> int:
        """Trained numbers in one member."""
        return sum(array.size for array in self.members[0].values()) if self.members else 0
