"""The whole way from a series' values to quantiles in its own units, as one torch module.

What `predict.forecast_panel` does in numpy: causal scaling, windows, every member's network,
their mean over members and views, the units undone, intervals stretched, short series given
their last value. The windows
and the networks are the very code that training runs.

Axes: B series of a batch, N observations, R observations that the network can read, H horizon
(steps), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - imported only where a network is exported
from torch import Tensor, nn  # noqa: TID253

from forecast.inference.predict import LEAST_VALUES
from forecast.models.forecaster import Forecaster
from forecast.models.networks.covariate_effect import reach
from forecast.transforms.augment import AS_IT_IS, View
from forecast.transforms.scaling import LOG_MINIMUM_SHARE, SCALE_FLOOR
from forecast.transforms.windows import Flat, ahead, context

# --- `transforms.scaling` over a rectangle of series that end together, in operations that
# ONNX has
# The same numbers as `scale_panel`, to the rounding of float64. No running maximum and no ragged
# sums: ONNX has neither, so that the last good value is looked up by the count of good ones so far.
#
# Axes: B series of a batch, N observations of the longest; every series ends in the last column,
# and what lies before its first value is outside it.


@dataclass(frozen=True)
class Rectangle:
    """Series in the network's units; see `scaling.Scaled` and `windows.Flat`.

    values, level, scale, move: float32 (B, N), sentinels (NaN, 0, 0, 1) outside a series;
    lengths int64 (B,); shift, unit float64 (B,), logged bool (B,): the transform of each series
    """

    values: Tensor
    level: Tensor
    scale: Tensor
    move: Tensor
    lengths: Tensor
    logged: Tensor
    shift: Tensor
    unit: Tensor


def scale_rectangle(
    values: Tensor, lags: Sequence[int], level_window: int, view: View = AS_IT_IS[0]
) -> Rectangle:
    """Scales values float64 (B, N), NaN where missing and before a series' first value.

    view: how they are read; `unit` is negative where that is upside down (views.seen).
    """
    valid = torch.isfinite(values)
    column = torch.arange(values.shape[1], device=values.device)[None, :]
    seen = torch.cumsum(valid.long(), 1)
    inside = seen > 0
    lengths = inside.sum(1)
    position = column - (values.shape[1] - lengths)[:, None]
    safe = torch.where(valid, values, torch.ones_like(values))
    logged = _calls_for_log(values, valid)
    if not view.logged:
        logged = torch.zeros_like(logged)
    raw = torch.where(
        logged[:, None], torch.log(torch.where(logged[:, None], safe, torch.ones_like(safe))), safe
    )
    shift, unit = _shift_and_unit(raw, valid, logged)
    z = torch.where(valid, (raw - shift[:, None]) / unit[:, None], torch.zeros_like(raw))
    least, most = _causal_steps(z, valid, position, lags)
    moved = most > 0
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    scale = torch.where(moved, torch.maximum(least, SCALE_FLOOR * most), zero)
    sign = -1.0 if view.mirrored else 1.0
    return Rectangle(
        values=sign * torch.where(valid, z, torch.full_like(z, float("nan"))).float(),
        level=sign * torch.where(inside, _rolling_mean(z, valid, level_window), zero).float(),
        scale=torch.where(inside, scale, zero).float(),
        move=torch.where(inside & moved, most, one).float(),
        lengths=lengths,
        logged=logged,
        shift=shift,
        unit=sign * unit,
    )


def stacked(parts: Sequence[Rectangle]) -> Rectangle:
    """The series of all parts below each other."""
    return Rectangle(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )


def last_column(good: Tensor) -> tuple[Tensor, Tensor]:
    """For bool (B, N): the column of the last good entry up to each, and whether there is one."""
    count = torch.cumsum(good.long(), 1)
    column = torch.arange(good.shape[1], device=good.device)[None, :].expand_as(count)
    place = torch.where(good, count, torch.zeros_like(count))  # all others go to the unread 0
    table = torch.zeros_like(torch.cat([count[:, :1], count], 1)).scatter(1, place, column)
    return table.gather(1, count), count > 0


def before(x: Tensor, steps: int, default: float) -> Tensor:
    """x (B, N) moved `steps` columns to the right; `default` where nothing was."""
    pad = torch.full_like(x[:, :1], default).expand(-1, steps)
    return torch.cat([pad, x], 1)[:, : x.shape[1]]


def _calls_for_log(values: Tensor, valid: Tensor) -> Tensor:
    count = valid.sum(1).clamp(min=1)
    mean = torch.where(valid, values, torch.zeros_like(values)).sum(1) / count
    smallest = torch.where(valid, values, torch.full_like(values, float("inf"))).amin(1)
    return (smallest > 0) & (smallest > LOG_MINIMUM_SHARE * mean) & torch.isfinite(smallest)


def _shift_and_unit(raw: Tensor, valid: Tensor, logged: Tensor) -> tuple[Tensor, Tensor]:
    """As `scaling._choose_transform`; each (B,)."""
    zero = torch.zeros_like(raw)
    count = valid.sum(1).clamp(min=1)
    shift = torch.where(valid, raw, zero).sum(1) / count
    step = _mean_step(raw, valid)
    spread = torch.where(valid, (raw - shift[:, None]).abs(), zero).sum(1)
    unit = torch.where(step > 0, step, spread / count)
    size = shift.abs()
    unit = torch.where(unit > 1e-12 * size, unit, (0.01 * size).clamp(min=1e-300))
    unit = torch.where(logged & (step == 0), unit.clamp(min=0.01), unit)
    return shift, torch.where((shift == 0) & (step == 0), torch.ones_like(unit), unit)


def _mean_step(raw: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring valid values, (B,)."""
    last, known = last_column(valid)
    carried = raw.gather(1, last)
    pair = valid & before(known.long(), 1, 0).bool()
    steps = torch.where(pair, (raw - before(carried, 1, 0.0)).abs(), torch.zeros_like(raw))
    return steps.sum(1) / pair.sum(1).clamp(min=1)


def _causal_steps(
    z: Tensor, valid: Tensor, position: Tensor, lags: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """As `scaling._causal_steps`; each (B, N)."""
    least, most = torch.full_like(z, float("inf")), torch.zeros_like(z)
    for lag in dict.fromkeys((1, *lags)):
        pair = valid & before(valid.long(), lag, 0).bool() & (position >= lag)
        step = torch.where(pair, (z - before(z, lag, 0.0)).abs(), torch.zeros_like(z))
        total, count = torch.cumsum(step, 1), torch.cumsum(pair.double(), 1)
        enough = count >= max(2, lag // 2)
        mean = total / count.clamp(min=1)
        least = torch.where(enough, torch.minimum(least, mean), least)
        most = torch.where(enough, torch.maximum(most, mean), most)
    return torch.where(torch.isfinite(least), least, torch.zeros_like(least)), most


def _rolling_mean(z: Tensor, valid: Tensor, window: int) -> Tensor:
    """As `scaling._rolling_mean`, (B, N)."""
    total = torch.cumsum(torch.where(valid, z, torch.zeros_like(z)), 1)
    count = torch.cumsum(valid.double(), 1)
    inside = count - before(count, window, 0.0)
    mean = (total - before(total, window, 0.0)) / inside.clamp(min=1)
    last, known = last_column(inside > 0)
    return torch.where(known, mean.gather(1, last), torch.zeros_like(mean))


# -------------------------------------------------------------------------------------------------


class WholeForecaster(nn.Module):
    """values float64 (B, N), NaN where missing -> quantiles float64 (B, H, Q).

    networks: the torch networks of the members, in evaluation mode, all of one layout.
    """

    factors: Tensor

    def __init__(self, forecaster: Forecaster, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.layout, self.horizon = forecaster.layout, forecaster.horizon
        self.context, self.quantiles = forecaster.context, len(forecaster.levels)
        self.views = forecaster.views
        self.register_buffer("factors", torch.tensor(forecaster.factors, dtype=torch.float64))

    @property
    def chunks(self) -> int:
        """Blocks of the head that cover the horizon."""
        return -(-self.horizon // self.layout.chunk)

    def forward(self, values: Tensor) -> Tensor:
        """Quantiles of the `horizon` steps after the last column."""
        lags = [lag for lag in self.layout.lags if lag]
        window = self.layout.level_window
        scaled = [scale_rectangle(values, lags, window, view) for view in self.views]
        # All views in one batch: the networks stand in the graph once.
        z = self._members_mean(stacked(scaled))
        z = z.reshape(len(scaled), -1, self.horizon, self.quantiles)
        made = [
            view.weight * _restored(z[number], part, view)
            for number, (view, part) in enumerate(zip(self.views, scaled, strict=True))
        ]
        return _fallen_back(values, self._stretched(sum(made[1:], made[0])))

    def _members_mean(self, scaled: Rectangle) -> Tensor:
        """The members' mean in the network's units, float64 (B, H, Q)."""
        layout, chunks = self.layout, self.chunks
        flat = tail_of(scaled, sum(reach(layout, self.context, chunks)))
        end = scaled.lengths
        series = torch.cumsum(torch.ones_like(end), 0) - 1
        x = context(flat, layout, series, end, self.context)
        decoder = ahead(flat, layout, series, end[None, :], chunks)
        members: list[Any] = list(self.members)
        parts = [member(layout, member.last_state(x), decoder) for member in members]
        mean = sum(parts[1:], parts[0]) / len(parts)
        relative = mean[0].reshape(-1, chunks * layout.chunk, self.quantiles)
        return relative[:, : self.horizon].double() + decoder.level[0][:, None, None]

    def _stretched(self, quantiles: Tensor) -> Tensor:
        middle = self.quantiles // 2
        median = quantiles[..., middle : middle + 1]
        return torch.sort(median + (quantiles - median) * self.factors, -1).values


def tail_of(scaled: Rectangle, length: int) -> Flat:
    """The last `length` observations of every series as the flat arrays that windows read."""

    def joined(x: Tensor, outside: float) -> Tensor:
        pad = torch.full_like(x[:, :1], outside).expand(-1, length)
        return torch.cat([torch.cat([pad, x], 1)[:, -length:].reshape(-1), pad[0, :1]])

    lengths = scaled.lengths
    number = torch.cumsum(torch.ones_like(lengths), 0)
    logged = scaled.logged.float()
    return Flat(
        values=joined(scaled.values, float("nan")),
        level=joined(scaled.level, 0.0),
        scale=joined(scaled.scale, 0.0),
        move=joined(scaled.move, 1.0),
        starts=number * length - lengths,
        lengths=lengths,
        logged=logged,
        log_unit=(torch.log(scaled.unit.abs()) * scaled.logged).float(),
    )


def _restored(z: Tensor, scaled: Rectangle, view: View) -> Tensor:
    """Quantiles (B, H, Q) in original units, in rising order; see `augment.restored`."""
    raw = z * scaled.unit[:, None, None] + scaled.shift[:, None, None]
    logged = scaled.logged[:, None, None]
    power = torch.exp(torch.where(logged, raw, torch.zeros_like(raw)).clamp(-700, 700))
    made = torch.where(logged, power, raw)
    return torch.flip(made, (-1,)) if view.mirrored else made


def _fallen_back(values: Tensor, quantiles: Tensor) -> Tensor:
    """As `predict._fall_back`, then nothing below zero where the series never was."""
    valid = torch.isfinite(values)
    last = values.gather(1, last_column(valid)[0][:, -1:])[:, :, None]
    failed = valid.sum(1) < LEAST_VALUES
    failed = failed | ~torch.isfinite(quantiles).all(2).all(1)
    made = torch.where(failed[:, None, None], last.expand_as(quantiles), quantiles)
    negative = (valid & (values < 0)).any(1)[:, None, None]
    return torch.where(negative, made, made.clamp(min=0))


def networks_of(forecaster: Forecaster) -> list[nn.Module]:
    """The torch networks of a forecaster without covariates, with its weights."""
    from forecast.models.networks.registry import mixer_of, size_of
    from forecast.models.networks.residual import ResidualNetwork

    networks: list[nn.Module] = []
    for weights in forecaster.members:
        network = ResidualNetwork(
            forecaster.layout.features,
            *size_of(weights, forecaster.network),
            len(forecaster.levels),
            network=forecaster.network,
            context=forecaster.context,
            mixer=mixer_of(weights),
        )
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        networks.append(network.eval())
    return networks
