"""Training losses: masked, each series in units of its own difficulty."""

from __future__ import annotations

import math
from typing import Any

import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise

from forecast.models.likelihoods import QUANTILES, STUDENT_T
from forecast.transforms.windows import DecoderInputs

CAP = 20.0  # from here on a loss grows with its logarithm


def loss_of(
    likelihood: str,
    said: Tensor,
    actual: Tensor,
    known: Tensor,
    decoder: DecoderInputs,
    levels: Tensor,
) -> Tensor:
    """Mean loss over known targets, a scalar: pinball, or negative log-likelihood.

    said: what the head made, (O, B, D, C, Q or P); actual, known (O, B, D, C), relative to the
    level; levels (Q,). Gradients go to `said`, and to `actual` where covariates have a part in it.
    """
    if likelihood == STUDENT_T:
        return student_t(said, actual, known, decoder.scale)
    if likelihood != QUANTILES:
        return negative_binomial(said, counts_of(actual, decoder), known)
    if actual.requires_grad:  # less the covariates' effect; the loss sends gradients one way
        said, actual = said - actual[..., None], torch.zeros_like(actual)
    return pinball(said, actual, known, decoder.scale, levels)


def student_t(said: Tensor, actual: Tensor, known: Tensor, scale: Tensor) -> Tensor:
    """Mean negative log-likelihood of the location-scale Student t distribution, a scalar.

    said (O, B, D, C, 3): location, scale, degrees of freedom; actual, known (O, B, D, C); scale
    (O, B): the unit of errors, in which the density is taken, so that no series weighs more for
    its size. Density: Lange, Little & Taylor 1989. Beyond CAP the loss grows with its logarithm.
    """
    location, width, freedom = said.unbind(-1)
    ratio = (actual - location) / width
    half = (freedom + 1) / 2
    constant = torch.lgamma(freedom / 2) - torch.lgamma(half) + 0.5 * torch.log(math.pi * freedom)
    relative = torch.log(width / scale[:, :, None, None])
    return _mean(constant + relative + half * torch.log1p(ratio * ratio / freedom), known)


def negative_binomial(said: Tensor, counts: Tensor, known: Tensor) -> Tensor:
    """Mean negative log-likelihood of the negative binomial distribution, a scalar.

    said (O, B, D, C, 2): mean m and dispersion a, variance m + a m^2; counts, known (O, B, D, C).
    Source: Salinas et al. 2020 (DeepAR), section 3.1. Beyond CAP the loss grows with its logarithm.
    """
    wide = torch.float32 if said.device.type == "mps" else torch.float64
    mean, dispersion = said.to(wide).unbind(-1)
    counts, size = counts.to(wide), 1 / dispersion
    spread = mean * dispersion
    ways = torch.lgamma(counts + size) - torch.lgamma(size) - torch.lgamma(counts + 1)
    loss = (size + counts) * torch.log1p(spread) - counts * torch.log(spread) - ways
    return _mean(loss, known.to(wide)).float()


def counts_of(actual: Tensor, decoder: DecoderInputs) -> Tensor:
    """The counts that targets (O, B, D, C), relative to the level, stand for."""
    assert decoder.shift is not None and decoder.unit is not None
    scaled = actual + decoder.base
    shift, unit = (x[None, :, None, None] for x in (decoder.shift, decoder.unit))
    return torch.round(scaled * unit + shift).clamp(min=0)


def _mean(loss: Tensor, known: Tensor) -> Tensor:
    """Mean of `loss` where `known`, each beyond CAP drawn in."""
    tame = torch.where(loss > CAP, CAP * (1 + torch.log(loss.clamp(min=CAP) / CAP)), loss)
    return (torch.where(known > 0, tame, 0.0) * known).sum() / known.sum().clamp(min=1)


def pinball(
    predicted: Tensor,
    actual: Tensor,
    known: Tensor,
    scale: Tensor,
    levels: Tensor,
    cap: float = CAP,
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
        error = actual[..., None] - predicted
        slope = error.sign().add_(2 * levels - 1)  # of the loss by the error
        loss = error.mul_(slope)
        most = cap * scale
        wild = bool((loss.flatten(2).amax(-1) > most).any()) if loss.device.type == "cpu" else True
        if wild:  # a GPU is not waited for
            most = most[:, :, None, None, None]
            times = (loss / most).clamp_(min=1)  # how many times over the cap
            slope.div_(times)
            loss = torch.minimum(loss, most).add_(times.log_().mul_(most))
        weight = known / scale[:, :, None, None] / (known.sum().clamp(min=1) * len(levels))
        ctx.save_for_backward(slope.mul_(-weight[..., None]))
        return loss.flatten(0, -2).t().mv(weight.flatten()).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * grads[0], None, None, None, None, None
