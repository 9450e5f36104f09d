"""Training losses: masked, each series in units of its own difficulty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


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
    not steer the step, but a strong trend must still be felt.
    """
    error = (actual[..., None] - predicted) / scale[:, :, None, None, None]
    loss = 2 * (error * levels).maximum(error * (levels - 1))
    loss = loss.where(loss <= cap, cap * (1 + (loss.clamp(min=cap) / cap).log())).mean(-1)
    return (loss * known).sum() / known.sum().clamp(min=1)
