"""A trained ensemble as teacher: a student is drawn to its quantiles beside the actual values.

The student's loss is (1 - share) * pinball + share * mean |its quantiles - the teacher's| in units
of errors, at every origin that it learns from (distillation, Hinton, Vinyals & Dean 2015, of
quantiles instead of class probabilities): the teacher's forecast of a step says more than the one
value that came.

Axes as in forecast.training.loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.models.networks.registry import mixer_of, size_of
from forecast.transforms.windows import DecoderInputs, Layout

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CAP = 20.0  # units of error from which on the distance grows with the logarithm, as the loss does


@dataclass(frozen=True)
class Teacher:
    """weights: every member's tensors, "0.embed.weight"; network: name of its spec; share: of the
    student's loss that is its distance from the teacher."""

    weights: Mapping[str, np.ndarray]
    network: str
    share: float

    @classmethod
    def of(cls, members: Sequence[Mapping[str, np.ndarray]], network: str, share: float) -> Teacher:
        """The teacher that `members` make."""
        weights = {
            f"{number}.{name}": np.ascontiguousarray(array, np.float32)
            for number, member in enumerate(members)
            for name, array in member.items()
        }
        return cls(weights, network, share)

    def members(self) -> list[dict[str, np.ndarray]]:
        """The tensors of each member."""
        found: dict[int, dict[str, np.ndarray]] = {}
        for name, array in self.weights.items():
            number, _, inner = name.partition(".")
            found.setdefault(int(number), {})[inner] = array
        return [found[number] for number in sorted(found)]


def drawn_to(
    teacher: Teacher, layout: Layout, context: int, quantiles: int, device: torch.device
) -> Callable[[Tensor, Tensor, Sequence[Tensor], Tensor, DecoderInputs], Tensor]:
    """The loss of a student, of: its own loss, its quantiles (O, B, D, C, Q), what the networks
    read, the trained places (O,) and what the head sees there."""
    import torch

    from forecast.models.networks.residual import ResidualNetwork

    networks: list[Any] = []
    for weights in teacher.members():
        size = size_of(weights, teacher.network)
        network = ResidualNetwork(
            layout.features,
            *size,
            quantiles,
            network=teacher.network,
            context=context,
            mixer=mixer_of(weights),
        )
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        networks.append(network.to(device).eval())

    @torch.no_grad()
    def says(inputs: Sequence[Tensor], places: Tensor, decoder: DecoderInputs) -> Tensor:
        parts = [net(layout, net.states(*inputs, places=places), decoder) for net in networks]
        total: Tensor = sum(parts[1:], parts[0])
        return total / len(parts)

    def loss(
        own: Tensor,
        predicted: Tensor,
        inputs: Sequence[Tensor],
        places: Tensor,
        decoder: DecoderInputs,
    ) -> Tensor:
        apart = (predicted - says(inputs, places, decoder)).abs()
        apart = apart / decoder.scale[:, :, None, None, None]
        felt = apart.clamp(max=CAP) + CAP * torch.log((apart / CAP).clamp(min=1))
        return (1 - teacher.share) * own + teacher.share * felt.mean()

    return loss
