"""Batches of windows and their loss, drawn for training or laid out for validation.

Windows are index pairs, gathered on the device when they are read; nothing is materialised.
Axes: B batch, T LSTM steps, O origins of a window, S series, V validation origins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise

from forecast.common.errors import TrainingError
from forecast.common.segments import evenly
from forecast.models.networks.covariate_effect import (
    beside,
    by_row,
    by_window,
    reach,
    without_effect,
)
from forecast.models.networks.residual import ResidualNetwork
from forecast.training.config import TrainConfig
from forecast.training.distillation import Teacher, drawn_to
from forecast.training.losses import loss_of
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.windows import Flat, Layout, ahead, context, targets

ALIGNED = 0.7  # share of windows that end at the phase of the day at which the series ends
EVALUATION_BATCH = 1024
# Origins: 1,400 took three quarters as long to watch as to train.
MOST_WATCHED = 512
FEW_ROWS = 500_000  # of covariates: so many may be computed at once


def read_windows(
    network: ResidualNetwork,
    flat: Flat,
    layout: Layout,
    known: Known | None,
    series: Tensor,
    end: Tensor,
    steps: int,
    chunks: int,
    every: Tensor | None = None,
) -> tuple[Flat, Tensor, tuple[Tensor, ...]]:
    """Where windows that end at `end` (B,) of `series` (B,) are to be gathered from, the numbers of
    their series there, and what `ResidualNetwork.states` reads.

    every: `Known.every`, by which the effect is computed where that is less work.
    """
    if known is None:
        return flat, series, (context(flat, layout, series, end, steps),)
    extra: tuple[Tensor, ...] = ()
    if known.beside(layout):
        extra = (beside(known, layout, series, end, steps),)
    if known.ahead:
        few = every is not None and every.shape[1] <= len(series) * sum(
            reach(layout, steps, chunks)
        )
        make = partial(by_row, known, every) if few else partial(by_window, known)
        flat, series = without_effect(
            flat, layout, make(network.effect), series, end, steps, chunks, own=network.effect_own
        )
    return flat, series, (context(flat, layout, series, end, steps), *extra)


class Sampler:
    """Draws windows and computes their loss. `ends` int64 (S,): targets lie before these.

    flats: the series as each view shows them; weights: how often each is drawn.
    """

    def __init__(
        self,
        flats: Sequence[Flat],
        layout: Layout,
        config: TrainConfig,
        ends: Tensor,
        known: Known | None = None,
        weights: Sequence[float] = (1.0,),
    ) -> None:
        self.drawn: Callable[..., Tensor] | None = None
        self.known = known
        few = known is not None and (known.alike or len(known.own) < FEW_ROWS)
        self.every = known.every() if known is not None and few else None
        self.flats = [replace(flat, lengths=ends) for flat in flats]
        self.lengths = ends
        self.layout, self.config = layout, config
        self.device = ends.device
        self.weights = torch.tensor(weights, device=self.device)  # where the generator is
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.levels = torch.tensor(config.levels, device=self.device)
        # The last origin still has one target; the first has a whole context behind it, or, in a
        # series that is not that long, leaves a season and half a horizon of targets.
        self.high = (ends - 1).clamp(min=0)
        room = max(min(layout.season, 24), layout.width) + config.horizon // 2
        full = torch.full_like(ends, config.context * layout.width)
        self.low = torch.minimum(full, self.high - room).clamp(min=1)
        self.low = torch.minimum(self.low, self.high)
        usable = (ends >= 2).double()
        if not bool(usable.any()):
            raise TrainingError(
                "no series has two values to learn from", code="train/nothing-to-learn"
            )
        self.share = torch.cumsum(usable / usable.sum(), 0)
        self.chunks = -(-config.horizon // layout.chunk)

    def draw_to(self, teacher: Teacher) -> None:
        """From now on the loss has the distance from a teacher's quantiles in it."""
        config = self.config
        self.drawn = drawn_to(teacher, self.layout, config.context, len(config.levels), self.device)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Series (B,), ends (B,) and the trained origins' places in the window (O,)."""
        batch, generator, device = self.config.batch_size, self.generator, self.device
        chance = torch.rand(batch, generator=generator, device=device, dtype=torch.float64)
        series = torch.searchsorted(self.share, chance).clamp(max=len(self.share) - 1)
        part = torch.rand(batch, generator=generator, device=device, dtype=torch.float64)
        low, high = self.low[series], self.high[series]
        end = high - ((high - low + 1) * part).long()
        width = self.layout.width
        if width > 1:  # the hour at which this series ends is the hour it will be forecast from
            days = ((self.lengths[series] - end) // width).clamp(min=1)
            aligned = self.lengths[series] - days * width
            use = torch.rand(batch, generator=generator, device=device) < ALIGNED
            end = torch.where(use & (aligned > 0), aligned, end)
        steps = self.config.context
        places = torch.randperm(steps, generator=generator, device=device)[
            : self.config.origins_per_window
        ]
        return series, end, torch.sort(places).values

    def view(self) -> Flat:
        """The series in one of the views."""
        if len(self.flats) == 1:
            return self.flats[0]
        return self.flats[int(torch.multinomial(self.weights, 1, generator=self.generator))]

    def loss(self, network: ResidualNetwork) -> Tensor:
        """Loss of one batch of windows, a scalar with gradient."""
        series, end, places = self.draw()
        layout, config = self.layout, self.config
        flat, series, inputs = read_windows(
            network=network,
            flat=self.view(),
            layout=layout,
            known=self.known,
            series=series,
            end=end,
            steps=config.context,
            chunks=self.chunks,
            every=self.every,
        )
        origin = end[None, :] - (config.context - 1 - places)[:, None] * layout.width
        decoder = ahead(flat, layout, series, origin, self.chunks)
        actual, known = targets(flat, layout, series, origin, self.chunks, config.horizon)
        half = config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            predicted = network(layout, network.states(*inputs, places=places), decoder)
        predicted = predicted.float()
        loss = loss_of(config.likelihood, predicted, actual, known, decoder, self.levels)
        return loss if self.drawn is None else self.drawn(loss, predicted, inputs, places, decoder)


class ValidationLoss:
    """Mean loss of a network at the validation origins (V, S), of very many MOST_WATCHED, over all
    views by their weights; NaN when there are none."""

    def __init__(
        self,
        flats: Sequence[Flat],
        layout: Layout,
        config: TrainConfig,
        validation: np.ndarray | None,
        known: Known | None = None,
        weights: Sequence[float] = (1.0,),
    ) -> None:
        self.known = known
        self.flats, self.weights = list(flats), list(weights)
        self.layout, self.config = layout, config
        size = len(flats[0].starts)
        origins = np.empty((0, size), np.int64) if validation is None else validation
        window, series = np.nonzero(origins > 0)
        chosen = evenly(len(series), MOST_WATCHED)  # of windows and series
        window, series = window[chosen], series[chosen]
        device = flats[0].values.device
        self.series = torch.as_tensor(series, device=device)
        self.origins = torch.as_tensor(origins[window, series], device=device)
        self.levels = torch.tensor(config.levels, device=device)

    @torch.no_grad()
    def __call__(self, network: ResidualNetwork) -> float:
        if len(self.series) == 0:
            return math.nan
        pairs = zip(self.weights, self.flats, strict=True)
        return sum(weight * self._loss(network, flat) for weight, flat in pairs)

    def _loss(self, network: ResidualNetwork, seen_: Flat) -> float:
        """The loss in one view."""
        total = count = torch.zeros((), device=self.series.device)
        chunks = -(-self.config.horizon // self.layout.chunk)
        for start in range(0, len(self.series), EVALUATION_BATCH):
            series = self.series[start : start + EVALUATION_BATCH]
            origin = self.origins[start : start + EVALUATION_BATCH]
            flat, series, inputs = read_windows(
                network=network,
                flat=seen_,
                layout=self.layout,
                known=self.known,
                series=series,
                end=origin,
                steps=self.config.context,
                chunks=chunks,
            )
            decoder = ahead(flat, self.layout, series, origin[None], chunks)
            actual, known = targets(
                flat, self.layout, series, origin[None], chunks, self.config.horizon
            )
            predicted = network(self.layout, network.last_state(*inputs), decoder)
            loss = loss_of(self.config.likelihood, predicted, actual, known, decoder, self.levels)
            total, count = total + loss * known.sum(), count + known.sum()
        return (total / count.clamp(min=1)).item()


def tensors(known: Known, device: torch.device) -> Known:
    """The known features as tensors on `device`."""
    return Known(**{k: torch.as_tensor(v, device=device) for k, v in vars(known).items()})


def to_device(flat: Flat, device: torch.device) -> Flat:
    """The flat arrays as tensors on `device`."""
    arrays: dict[str, Any] = {
        name: value if value is None else torch.as_tensor(value, device=device)
        for name, value in _fields(flat).items()
    }
    return Flat(**arrays)


def _fields(flat: Flat) -> dict[str, object]:
    return {f.name: getattr(flat, f.name) for f in fields(flat)}
