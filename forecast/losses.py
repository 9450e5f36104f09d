"""Training losses: masked, each series in units of its own difficulty."""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise


def pinball(
    predicted: Tensor,
    actual: Tensor,
    known: Tensor,
    scale: Tensor,
    levels: Tensor,
    cap: float = 20.0,
) -> Tensor:
    """Mean pinball loss (Koenker & Bassett 1978) over known targets and levels, a scalar.

    predicted (O, B, D, C, Q); actual, known (O, B, D, C); scale (O, B): the unit of errors that was
    known at the origin (one from later would weigh outcomes by themselves, and so bias what is
    learnt); levels (Q,). Beyond `cap` units the loss grows with the logarithm: one wild value must
    not steer the step, but a strong trend must still be felt. Gradients go to `predicted` alone.
    """
    loss: Tensor = _Pinball.apply(predicted, actual, known, scale, levels, cap)
    return loss


class _Pinball(torch.autograd.Function):
    """Loss and gradient in one pass: a quarter of the passes over memory that autograd makes."""

    @staticmethod
    def forward(
        ctx: Any,
        predicted: Tensor,
        actual: Tensor,
        known: Tensor,
        scale: Tensor,
        levels: Tensor,
        cap: float,
    ) -> Tensor:
        unit = scale[:, :, None, None, None]
        error = (actual[..., None] - predicted).div_(unit)
        slope = error.sign().add_(2 * levels - 1)  # of the loss by the error
        loss = error.mul_(slope)
        times = (loss / cap).clamp_(min=1)  # how many times over the cap
        weight = known / (known.sum().clamp(min=1) * len(levels))
        ctx.save_for_backward(slope.div_(times).mul_(-weight[..., None]).div_(unit))
        felt = loss.clamp_(max=cap).add_(times.log_(), alpha=cap)
        return (felt.sum(-1) * weight).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * grads[0], None, None, None, None, None
