"""The training loss against its definition."""

from __future__ import annotations

import torch

from forecast.training.losses import pinball

CAP = 20.0


def _batch(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    return {
        "predicted": normal(2, 3, 2, 4, 5).requires_grad_(),
        "actual": 30 * normal(2, 3, 2, 4),  # some errors lie far beyond the cap
        "known": (normal(2, 3, 2, 4) > 0).double(),
        "scale": normal(2, 3).abs() + 0.2,
        "levels": torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64),
    }


def _by_definition(
    predicted: torch.Tensor,
    actual: torch.Tensor,
    known: torch.Tensor,
    scale: torch.Tensor,
    levels: torch.Tensor,
) -> torch.Tensor:
    error = (actual[..., None] - predicted) / scale[:, :, None, None, None]
    loss = 2 * torch.maximum(levels * error, (levels - 1) * error)
    loss = torch.where(loss <= CAP, loss, CAP * (1 + torch.log(loss.clamp(min=CAP) / CAP)))
    return (loss.mean(-1) * known).sum() / known.sum()


def test_the_loss_and_its_gradient_are_those_of_the_definition() -> None:
    batch = _batch()
    made = pinball(**batch, cap=CAP)
    (gradient,) = torch.autograd.grad(3 * made, batch["predicted"])
    expected = _by_definition(**batch)
    (wanted,) = torch.autograd.grad(3 * expected, batch["predicted"])
    assert torch.allclose(made, expected, rtol=1e-12)
    assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-14)
    assert (batch["actual"][..., None] - batch["predicted"]).abs().max() > CAP


def test_unknown_targets_have_no_part_in_the_loss() -> None:
    batch = _batch(1)
    before = pinball(**batch)
    (gradient,) = torch.autograd.grad(before, batch["predicted"])
    assert not gradient[batch["known"] == 0].any()
    batch["actual"] = batch["actual"] + 1e6 * (1 - batch["known"])
    assert pinball(**batch) == before


def test_nothing_known_is_a_loss_of_zero() -> None:
    batch = _batch(2)
    batch["known"] = torch.zeros_like(batch["known"])
    assert pinball(**batch) == 0
