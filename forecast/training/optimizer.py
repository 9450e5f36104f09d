"""What surrounds a step of optimisation: its rate, averaged weights, the best weights so far."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise

from forecast.models.networks.covariate_effect import COVARIATE_LAYERS
from forecast.models.networks.residual import ResidualNetwork
from forecast.training.config import Recipe

COVARIATE_PACE = 10.0  # learning rate of the covariates' layers relative to the others'


class Schedule:
    """Linear warm-up, then cosine to zero, or constant and halved when validation stalls."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.last = 0.0
        self.factor, self.best, self.rounds = 1.0, math.inf, 0

    def rate(self, step: int, elapsed: float) -> float:
        """Learning rate of `step` (from 1); a time limit brings the end of the cosine forward."""
        recipe = self.recipe
        warm = min(1.0, step / max(1, min(recipe.warmup, recipe.steps // 4)))
        done = (step - 1) / recipe.steps
        if recipe.seconds is not None:
            done = max(done, min(1.0, elapsed / recipe.seconds))
        shape = 0.5 * (1 + math.cos(math.pi * done)) if recipe.schedule == "cosine" else self.factor
        self.last = recipe.learning_rate * warm * shape
        return self.last

    def seen(self, validation: float) -> None:
        """Takes note of a validation loss (reduce on plateau: half after two idle rounds)."""
        # A likelihood's loss may be negative.
        if validation < (self.best * (0.999 if self.best > 0 else 1.001)):
            self.best, self.rounds = validation, 0
            return
        self.rounds += 1
        if self.rounds >= 2:
            self.factor, self.rounds = self.factor / 2, 0


class BestWeights:
    """The best averaged weights so far; without validation, the latest."""

    def __init__(self, network: ResidualNetwork, loss: float) -> None:
        self.loss, self.step, self.idle = loss, 0, 0
        self.state = copy.deepcopy(network.state_dict())

    def offer(self, network: ResidualNetwork, loss: float, step: int) -> int:
        """Keeps the weights if they are better; returns the rounds without improvement."""
        if math.isnan(loss) or loss < self.loss:
            self.loss, self.step, self.idle = loss, step, 0
            self.state = copy.deepcopy(network.state_dict())
        else:
            self.idle += 1
        return self.idle

    def arrays(self) -> dict[str, np.ndarray]:
        """The kept weights as numpy arrays on the CPU."""
        return {k: v.detach().cpu().float().numpy().copy() for k, v in self.state.items()}


@torch.no_grad()
def average_into(averaged: ResidualNetwork, network: ResidualNetwork, decay: float) -> None:
    """averaged <- decay * averaged + (1 - decay) * network (Polyak & Juditsky 1992)."""
    mine: list[Tensor] = list(averaged.parameters())
    theirs: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(mine, theirs, 1 - decay)


def parameter_groups(network: ResidualNetwork) -> list[dict[str, Any]]:
    """The parameters, those of the covariates apart: new layers learn faster than trained ones."""
    new = [p for n, p in network.named_parameters() if n.startswith(COVARIATE_LAYERS)]
    old = [p for n, p in network.named_parameters() if not n.startswith(COVARIATE_LAYERS)]
    groups = [{"params": old, "pace": 1.0}]
    return [*groups, {"params": new, "pace": COVARIATE_PACE}] if new else groups
