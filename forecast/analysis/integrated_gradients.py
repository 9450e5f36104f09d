"""Which past steps moved a forecast: integrated gradients (Sundararajan, Taly & Yan 2017).

The forecast is a function of the values that it was made from. Along the straight way from a
constant series at the last level to the values as they are, each value's gradient is summed up;
what all steps get adds up to the forecast's difference from the one of the constant series. The
units (typical steps of the series so far) and the covariates are held as they are.

Axes: L steps that are read, E explained steps of the forecast, B series along the way, H horizon
(steps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.segments import last_known
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.covariate_effect import beside, by_window, less, reach, without_effect
from forecast.transforms.augment import View, distinct, seen
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import encode
from forecast.transforms.scaling import Transform
from forecast.transforms.windows import ahead, context

if TYPE_CHECKING:
    from torch import Tensor

POINTS_ON_THE_WAY = 32  # of Gauss-Legendre's rule
AT_ONCE = 16


@dataclass(frozen=True)
class PastSteps:
    """contribution (E, L): of the last L values of the series to each explained step's median, in
    units of the series; steps (E,): which, 0 is the first; baseline (E,): the forecast of the
    constant series; level: its value; gap: the most that a step's sum lacks of the difference of
    the two forecasts."""

    contribution: np.ndarray
    steps: np.ndarray
    baseline: np.ndarray
    level: float
    gap: float

    @property
    def forecast(self) -> np.ndarray:
        """The forecast (E,) of each explained step."""
        return np.asarray(self.baseline + self.contribution.sum(1))

    def by_lag(self) -> np.ndarray:
        """Mean absolute contribution (L + max step,) from 1, 2, ... steps before the explained
        one; of each lag over the steps that have a value so far back."""
        length = self.contribution.shape[1]
        lag = length - np.arange(length)[None, :] + self.steps[:, None] - 1  # 0: one step before
        size = length + int(self.steps.max(initial=0))
        total = np.bincount(lag.ravel(), np.abs(self.contribution).ravel(), size)
        return np.asarray(total / np.maximum(np.bincount(lag.ravel(), minlength=size), 1))


def past_steps(forecaster: Forecaster, panel: Panel, steps: np.ndarray, horizon: int) -> PastSteps:
    """What each past value contributes to the medians of the forecast's `steps` (0 is the first),
    from the end of the only series of `panel`; of counts, to their means. Raises UsageError without
    Captum."""
    attribution = _captum()
    import torch

    values = panel.values[-_read(forecaster, horizon) :]
    known = np.isfinite(values)
    level = _level(values, forecaster.layout.level_window)
    actual = torch.tensor(np.where(known, values, level))[None]
    constant = torch.full_like(actual, level)
    forecast = _function(forecaster, panel, horizon)
    way = attribution(forecast)
    made, gaps = [], []
    for step in steps.tolist():
        each, gap = way.attribute(
            actual,
            constant,
            target=step,
            n_steps=POINTS_ON_THE_WAY,
            internal_batch_size=AT_ONCE,
            return_convergence_delta=True,
        )
        made.append(each[0].numpy())
        gaps.append(abs(float(gap[0])))
    with torch.no_grad():
        baseline = forecast(constant)[0].numpy()[steps]
    return PastSteps(np.stack(made), steps, baseline, level, max(gaps))


def _captum() -> Any:
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise UsageError(
            "integrated gradients need Captum",
            code="explain/no-captum",
            remedy="pip install 'lstmcast[explain]'",
        ) from error
    return IntegratedGradients


def _read(forecaster: Forecaster, horizon: int) -> int:
    """Values before the end that a forecast reads at most."""
    chunks = -(-horizon // forecaster.layout.chunk)
    return reach(forecaster.layout, forecaster.context, chunks)[0]


def _level(values: np.ndarray, window: int) -> float:
    """Mean of the last `window` values that are known."""
    end = int(last_known(values, np.array([0, len(values)]))[0]) + 1
    return float(np.nanmean(values[max(0, end - window) : end]))


def _function(forecaster: Forecaster, panel: Panel, horizon: int) -> Callable[[Tensor], Tensor]:
    """Values (B, L) before the end -> medians (B, H) of the forecast, for torch."""
    known = None
    if forecaster.design is not None:
        known = encode(forecaster.design, panel, horizon)
    parts = [
        (view.weight, _Seen(forecaster, panel, known, view, horizon))
        for view in distinct(forecaster.views, panel.values, panel.offsets)
    ]

    def forecast(values: Tensor) -> Tensor:
        made = [weight * part(values) for weight, part in parts]
        return sum(made[1:], made[0])

    return forecast


class _Seen:
    """The forecast of one view as a function of the values."""

    def __init__(
        self, forecaster: Forecaster, panel: Panel, known: Known | None, view: View, horizon: int
    ) -> None:
        import torch

        from forecast.training.sampler import tensors, to_device

        flat, transform = seen(panel.values, panel.offsets, forecaster.layout, view)
        self.forecaster, self.horizon, self.transform = forecaster, horizon, transform
        self.flat = to_device(flat, torch.device("cpu"))
        self.known = None if known is None else tensors(known, torch.device("cpu"))
        self.networks = [_network(forecaster, weights, known) for weights in forecaster.members]
        self.start = max(0, len(panel.values) - _read(forecaster, horizon))
        self.actual = self.flat.values[self.start : -1]

    def __call__(self, values: Tensor) -> Tensor:
        """Medians (B, H) in original units."""
        import torch

        z = self._scaled(values)
        change = torch.where(torch.isnan(self.actual), 0.0, self.actual - z)
        rows = torch.zeros(len(values), dtype=torch.long)
        flat, here = less(self.flat, self.forecaster.layout, rows, rows + self.start, change)
        parts = [self._median(network, flat, here, rows) for network in self.networks]
        return _restored(sum(parts[1:], parts[0]) / len(parts), self.transform)

    def _scaled(self, values: Tensor) -> Tensor:
        raw = values.log() if self.transform.logged[0] else values
        return ((raw - self.transform.shift[0]) / self.transform.unit[0]).float()

    def _median(self, network: Any, flat: Any, here: Tensor, rows: Tensor) -> Tensor:
        """Medians (B, H) in the network's units; rows: the series' numbers among covariates."""
        layout, steps = self.forecaster.layout, self.forecaster.context
        chunks = -(-self.horizon // layout.chunk)
        end, extra, amount = flat.lengths[here], None, None
        if self.known is not None:
            own = Known(**{n: _rows(n, x, rows) for n, x in vars(self.known).items()})
            if own.beside(layout):
                extra = beside(own, layout, here, end, steps)
            if own.ahead:
                window = by_window(own, network.effect)
                flat, here, amount = without_effect(flat, layout, window, here, end, steps, chunks)
        x = context(flat, layout, here, end, steps)
        look = ahead(flat, layout, here, end[None], chunks)
        said = network(layout, network.last_state(x, extra), look)
        if self.forecaster.whole:  # the mean count, in the network's units
            assert look.shift is not None and look.unit is not None
            count = said[..., 0][0].reshape(len(here), -1)
            median = (count - look.shift[:, None]) / look.unit[:, None]
        else:
            middle = said[..., self.middle()][0].reshape(len(here), -1)
            median = middle + look.level[0][:, None]
        median = median if amount is None else median + amount
        return median[:, : self.horizon]

    def middle(self) -> int:
        """Where the median stands in what the head says, or the location of a distribution."""
        learnt = self.forecaster.likelihood == QUANTILES
        return len(self.forecaster.levels) // 2 if learnt else 0


def _rows(name: str, x: Tensor, rows: Tensor) -> Tensor:
    """A field of `Known` with one entry for each of the B series, all copies of one."""
    return x[rows] if name in ("starts", "lengths", "shared_starts", "static") else x


def _restored(z: Tensor, transform: Transform) -> Tensor:
    raw = z.double() * float(transform.unit[0]) + float(transform.shift[0])
    return raw.exp() if transform.logged[0] else raw


def _network(forecaster: Forecaster, weights: Any, known: Known | None) -> Any:
    """A member in torch."""
    import torch

    from forecast.models.networks.residual import ResidualNetwork
    from forecast.models.networks.shapes import size_of

    hidden, layers = size_of(weights, forecaster.network)
    network = ResidualNetwork(
        forecaster.layout.features,
        hidden,
        layers,
        len(forecaster.levels),
        known_ahead=0 if known is None else known.ahead,
        beside=0 if known is None else known.beside(forecaster.layout),
        network=forecaster.network,
        context=forecaster.context,
        likelihood=forecaster.likelihood,
    )
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return network.eval().requires_grad_(False)
