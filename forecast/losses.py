"""Training losses: masked, each series in units of its own difficulty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pinball(
    predicted: Tensor,
    actual: Tensor,
    known: Tensor,
    unit: Tensor,
    levels: Tensor,
    cap: float = 20.0,
) -> Tensor:
    """Mean pinball loss (Koenker & Bassett 1978) over known targets and levels, a scalar.

    predicted (O, B, D, C, Q); actual, known (O, B, D, C); unit (O, B): what one scale is worth in
    units of the series' seasonal-naive error; levels (Q,). Errors beyond `cap` units are clipped:
    one wild value must not steer the step.
    """
    error = (actual[..., None] - predicted) * unit[:, :, None, None, None]
    error = error.clamp(-cap, cap)
    loss = 2 * (error * levels).maximum(error * (levels - 1)).mean(-1)
    return (loss * known).sum() / known.sum().clamp(min=1)
