"""What moved one series' forecast, put together.

Axes: L past steps, T LSTM steps, E explained steps of the forecast.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.analysis.importance import Importance, contributions, importances
from forecast.common.errors import UsageError
from forecast.common.segments import evenly, last_known
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import as_read, open_ahead
from forecast.data.open_steps import reach as grid_reach
from forecast.data.panel import Panel
from forecast.inference.point import MEAN, MEDIAN, with_point
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.covariate_effect import beside, by_window, less, without_effect
from forecast.models.networks.covariate_effect import reach as effect_reach
from forecast.models.networks.numpy_forward import attention_maps, parts_read
from forecast.models.networks.numpy_ops import Weights, sigmoid, times
from forecast.training.plan import choose_validation
from forecast.transforms.augment import View, distinct, seen
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import encode
from forecast.transforms.scaling import Transform
from forecast.transforms.windows import ahead, context

if TYPE_CHECKING:
    from torch import Tensor


# --- Which past steps moved a forecast: integrated gradients (Sundararajan, Taly & Yan 2017) -----
# The forecast is a function of the values that it was made from. Along the straight way from a
# constant series at the last level to the values as they are, each value's gradient is summed up;
# what all steps get adds up to the forecast's difference from the one of the constant series. The
# units (typical steps of the series so far) and the covariates are held as they are.
#
# Axes: L steps that are read, E explained steps of the forecast, B series along the way, H horizon
# (steps).


POINTS_ON_THE_WAY = 32  # of Gauss-Legendre's rule
AT_ONCE = POINTS_ON_THE_WAY  # series in one pass


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


def past_steps(
    forecaster: Forecaster,
    panel: Panel,
    steps: np.ndarray,
    horizon: int,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> PastSteps:
    """What each past value contributes to the medians of the forecast's `steps` (0 is the first),
    from the end of the only series of `panel`; of counts, to their means. report: gets how many
    steps are done, and of how many. Raises UsageError without Captum."""
    attribution = _captum()
    import torch

    values = as_read(panel)[-_read(forecaster, horizon) :]
    known = np.isfinite(values)
    level = _level(values, forecaster.layout.level_window)
    actual = torch.tensor(np.where(known, values, level))[None]
    constant = torch.full_like(actual, level)
    forecast = _function(forecaster, panel, horizon)
    way = attribution(forecast)
    made, gaps = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of so small a network, several only wait for each other
    try:
        for number, step in enumerate(steps.tolist()):
            report(number, len(steps))
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
        report(len(steps), len(steps))
    finally:
        torch.set_num_threads(threads)
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
    return effect_reach(forecaster.layout, forecaster.context, chunks)[0]


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

        flat, transform = seen(as_read(panel), panel.offsets, forecaster.layout, view)
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
        end, extra = flat.lengths[here], None
        if self.known is not None:
            own = Known(**{n: _rows(n, x, rows) for n, x in vars(self.known).items()})
            if own.beside(layout):
                extra = beside(own, layout, here, end, steps)
            if own.ahead:
                window = by_window(own, network.effect)
                flat, here = without_effect(
                    flat, layout, window, here, end, steps, chunks, own=network.effect_own
                )
        x = context(flat, layout, here, end, steps)
        decoder = ahead(flat, layout, here, end[None], chunks)
        said = network(layout, network.last_state(x, extra), decoder)
        if self.forecaster.whole:  # the mean count, in the network's units
            assert decoder.shift is not None and decoder.unit is not None
            count = said[..., 0][0].reshape(len(here), -1)
            median = (count - decoder.shift[:, None]) / decoder.unit[:, None]
        else:
            median = (said[..., self.middle()] + decoder.base)[0].reshape(len(here), -1)
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

    from forecast.models.networks.registry import effects_of, mixer_of, size_of
    from forecast.models.networks.residual import ResidualNetwork

    hidden, layers = size_of(weights, forecaster.network)
    with torch.random.fork_rng(devices=[]):  # the caller's numbers stay as they are
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
            mixer=mixer_of(weights),
            effects=effects_of(weights),
        )
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return network.eval().requires_grad_(False)


# --- What happens inside the network while it reads: its gates over time, and where it looks -----
# Axes: T LSTM steps of the context, G gates, A attending parts.


GATES = ("input", "forget", "output")


@dataclass(frozen=True)
class Inside:
    """gates (layers, 3, T): the mean of each gate over the units and members, 0 closed and 1 open,
    empty for networks without these gates; attention (A, T): the share of each step in what the
    last one reads, the mean over heads and members, empty where the network does not attend."""

    gates: np.ndarray
    attention: np.ndarray


def read_inside(forecaster: Forecaster, panel: Panel) -> Inside:
    """Of the forecast from the end of the only series of `panel`, in its first view."""
    view = distinct(forecaster.views, panel.values, panel.offsets)[0]
    flat, _ = seen(as_read(panel), panel.offsets, forecaster.layout, view)
    row, steps = np.zeros(1, int), forecaster.context
    end = flat.lengths[row]
    x = context(flat, forecaster.layout, row, end, steps)
    extra = None
    if forecaster.design is not None:
        known = encode(forecaster.design, panel)
        if known.beside(forecaster.layout):
            extra = beside(known, forecaster.layout, row, end, steps)
    gates, maps = [], []
    for weights in forecaster.members:
        read = parts_read(weights, x, extra, forecaster.network)
        gates.append([_gates(tensors, part) for tensors, part in read if _is_lstm(tensors)])
        seen_ = attention_maps(weights, x, extra, forecaster.network)
        maps.append([each.mean((0, 1)) for each in seen_])
    return Inside(_mean(gates, (0, 3, steps)), _mean(maps, (0, steps)))


def _is_lstm(tensors: Weights) -> bool:
    """Whether these are the tensors of one LSTM layer as torch has it."""
    names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    if set(tensors) != names:
        return False
    rows, hidden = tensors["weight_hh_l0"].shape
    return int(rows) == 4 * int(hidden)


def _gates(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Mean activity (3, T) of input, forget and output gate while the layer reads x (T, 1, i)."""
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    inputs = times(x, weights["weight_ih_l0"])[:, 0] + bias
    recurrent = weights["weight_hh_l0"].T
    size = len(recurrent)
    h = c = np.zeros(size, np.float32)
    out = np.empty((3, len(x)))
    for t, row in enumerate(inputs):
        raw = row + h @ recurrent
        i, f, o = (sigmoid(raw[k * size : (k + 1) * size]) for k in (0, 1, 3))
        c = f * c + i * np.tanh(raw[2 * size : 3 * size])
        h = o * np.tanh(c)
        out[:, t] = i.mean(), f.mean(), o.mean()
    return out


def _mean(parts: list[list[np.ndarray]], empty: tuple[int, ...]) -> np.ndarray:
    """Mean over members of as many layers as all of them have."""
    layers = min(len(each) for each in parts)
    if not layers:
        return np.empty(empty)
    return np.asarray(np.mean([each[:layers] for each in parts], 0))


# -------------------------------------------------------------------------------------------------


MOST_STEPS = 24  # of the forecast that are explained, evenly spread


@dataclass(frozen=True)
class Explanation:
    """What moved the forecast of `series`, the only one of `panel`.

    point      (H,) of the forecast, what is explained: the median, or of counts the mean; NaN at
               steps that never are; steps (E,): those that are explained, 0 is the first; numbers
               (E,): the same among the steps that there are
    past       what past values contribute; shares: what covariates do, by name
    importance of covariates at validation origins of all series
    inside     the gates and where the network looks
    """

    series: str
    panel: Panel
    point: np.ndarray
    steps: np.ndarray
    numbers: np.ndarray
    past: PastSteps
    shares: dict[str, float]
    importance: dict[str, Importance]
    inside: Inside


def explained_point(forecaster: Forecaster) -> str:
    """Which point of the distribution is explained, as --point names it."""
    return MEAN if forecaster.whole else MEDIAN


def explain(
    forecaster: Forecaster,
    panel: Panel,
    series: int,
    horizon: int,
    step: int | None,
    seed: int,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Explanation:
    """Explains the forecast of series number `series`: its step `step` (0 is the first) or, for
    None, as many as MOST_STEPS of all `horizon` that there are (Sundays of a shop are none).
    report: gets how many are done, and of how many. Raises UsageError without Captum."""
    own = panel.select(np.array([series]))
    validation = choose_validation(panel.size, panel.lengths, horizon)
    numbers = evenly(horizon, MOST_STEPS) if step is None else np.array([step])
    horizon = grid_reach(own, own.lengths, horizon)  # of the grid, from here on
    there = open_ahead(own, np.zeros(1, int), own.lengths, horizon)[0]
    steps = np.flatnonzero(there)[numbers]
    made = with_point(
        forecast_panel(forecaster, own, horizon, allow_negative=True), explained_point(forecaster)
    )
    return Explanation(
        series=str(panel.ids[series]),
        panel=own,
        point=np.where(there, made.point[0], np.nan),
        steps=steps,
        numbers=numbers,
        past=past_steps(forecaster, own, steps, horizon, report),
        shares=contributions(forecaster, own, steps, horizon),
        importance=importances(forecaster, panel, validation, horizon, seed),
        inside=read_inside(forecaster, own),
    )


# --- An explanation as rows and as a document ----------------------------------------------------


COLUMNS = ("kind", "name", "ds", "lag", "value", "contribution", "importance", "spread")


def past_rows(found: Explanation) -> list[dict[str, Any]]:
    """One row a past value, the latest first: ds, lag (steps before the first explained one),
    value, and its mean contribution to the explained steps."""
    mean = found.past.contribution.mean(0)[::-1]
    length, panel = len(mean), found.panel
    back = np.arange(1, length + 1)
    stamps = panel.frequency.stamps(panel.first[0] + panel.lengths[0] - back)
    times = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
    values = panel.values[::-1][:length]
    return [
        {"ds": str(time), "lag": int(n + found.steps[0]), "value": value, "contribution": share}
        for time, n, value, share in zip(times, back, values.tolist(), mean.tolist(), strict=True)
    ]


def covariate_rows(found: Explanation) -> list[dict[str, Any]]:
    """One row a covariate, the most important first: name, contribution, importance, spread."""
    rows = [
        {
            "name": name,
            "contribution": share,
            "importance": found.importance[name].growth,
            "spread": found.importance[name].spread,
        }
        for name, share in found.shares.items()
    ]
    return sorted(rows, key=lambda row: -np.nan_to_num(row["importance"], nan=-np.inf))


def lag_rows(found: Explanation, most: int = 10) -> list[dict[str, Any]]:
    """The lags that matter most: steps before the explained one, mean absolute contribution."""
    by_lag = found.past.by_lag()
    order = np.argsort(-by_lag, kind="stable")[:most]
    return [{"lag": int(k) + 1, "contribution": float(by_lag[k])} for k in order if by_lag[k] > 0]


def to_document(found: Explanation) -> dict[str, Any]:
    """Everything, for JSON."""
    inside = found.inside
    return {
        "series": found.series,
        "steps": (found.numbers + 1).tolist(),
        "forecast": float(found.past.forecast.mean()),
        "constant_series": {
            "value": found.past.level,
            "forecast": float(found.past.baseline.mean()),
        },
        "unexplained": found.past.gap,
        "lags": lag_rows(found),
        "covariates": covariate_rows(found),
        "past": past_rows(found),
        "gates": [dict(zip(GATES, layer.tolist(), strict=True)) for layer in inside.gates],
        "attention": inside.attention.tolist(),
    }


def csv_text(found: Explanation) -> str:
    """The rows as one table: past values, lags and covariates, told apart by `kind`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for kind, rows in (
        ("past", past_rows(found)),
        ("lag", lag_rows(found, most=len(found.past.by_lag()))),
        ("covariate", covariate_rows(found)),
    ):
        for row in rows:
            written = {key: _written(value) for key, value in row.items()}
            writer.writerow({"kind": kind, **written})
    return out.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7g}" if np.isfinite(value) else ""
    return value
