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
from typing import Any

import torch  # noqa: TID253 - imported only where a network is exported
from torch import Tensor, nn  # noqa: TID253 - likewise

from forecast.inference.onnx.graph_scaling import Rectangle, last_column, scale_rectangle, stacked
from forecast.inference.predict import LEAST_VALUES
from forecast.models.forecaster import Forecaster
from forecast.models.networks.covariate_effect import reach
from forecast.transforms.augment import View
from forecast.transforms.windows import Flat, ahead, context


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
        look = ahead(flat, layout, series, end[None, :], chunks)
        members: list[Any] = list(self.members)
        parts = [member(layout, member.last_state(x), look) for member in members]
        mean = sum(parts[1:], parts[0]) / len(parts)
        relative = mean[0].reshape(-1, chunks * layout.chunk, self.quantiles)
        return relative[:, : self.horizon].double() + look.level[0][:, None, None]

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
    from forecast.models.networks.residual import ResidualNetwork
    from forecast.models.networks.shapes import size_of

    networks: list[nn.Module] = []
    for weights in forecaster.members:
        network = ResidualNetwork(
            forecaster.layout.features,
            *size_of(weights, forecaster.network),
            len(forecaster.levels),
            network=forecaster.network,
            context=forecaster.context,
        )
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        networks.append(network.eval())
    return networks
