"""One series that grows: a value in, a fresh forecast out, at the same cost however long it is.

The forecast is the one that a batch makes of the same values (see `stream_states` for how much
of the past its state has read). The views of a series (transforms/augment.py) stand side by side,
as series of one batch. Axes: V views, H horizon (steps), Q quantiles, D blocks ahead, M members.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from forecast.common.errors import UsageError
from forecast.inference.conformal import stretch
from forecast.inference.predict import LEAST_VALUES
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import quantiles_at
from forecast.models.networks.covariate_effect import reach
from forecast.models.networks.head import assemble, head_inputs, mix_horizon
from forecast.models.networks.numpy_forward import last_state
from forecast.models.networks.numpy_ops import Weights, gelu
from forecast.transforms.augment import View, distinct, restored
from forecast.transforms.scaling import LOG_MINIMUM_SHARE, SCALE_FLOOR, Transform, scale_panel
from forecast.transforms.windows import DecoderInputs, Flat, Layout, ahead, context

# --- Level, units and transform of one series, kept up to date value by value --------------------
# What `scaling.scale_panel` makes of a whole series stands here for its end alone: sums that grow,
# and the last values in a buffer, so that a value costs the same however long the series is.
#
# Axes: N observations so far, R those that are kept.


Z, LEVEL, SCALE, MOVE = range(4)  # rows of the buffer; NaN where missing or unknown
UNKNOWN = np.array([[0.0], [0.0], [1.0]])  # level, scale and move before there is any


class RunningScale:
    """One series so far: its last `keep` values with the level and the units at each.

    logged: whether values are taken as logarithms; those that have none count as missing.
    """

    def __init__(self, values: np.ndarray, layout: Layout, logged: bool, keep: int) -> None:
        self.layout, self.logged, self.keep = layout, logged, keep
        self.length = len(values)
        self.lags = tuple(dict.fromkeys((1, *(lag for lag in layout.lags if lag))))
        z = self._identity(values)
        self._seed(z)
        self._buffer = np.full((4, 2 * keep), np.nan)
        kept = min(self.length, keep)
        self._end = kept
        if kept:
            self._buffer[:, :kept] = self._past(values)[:, -kept:]

    def _identity(self, values: np.ndarray) -> np.ndarray:
        """Logarithms or the values themselves, float64 (N,)."""
        if not self.logged:
            return np.asarray(values, np.float64)
        usable = np.where(values > 0, values, np.nan)
        return np.asarray(np.log(usable))

    def _seed(self, z: np.ndarray) -> None:
        """Sums over all values so far: of each lag's differences, of the values, of their steps."""
        self._total, self._count = [0.0] * len(self.lags), [0] * len(self.lags)
        for k, lag in enumerate(self.lags):
            gap = np.abs(z[lag:] - z[:-lag])
            known = np.isfinite(gap)
            self._total[k], self._count[k] = float(gap[known].sum()), int(known.sum())
        valid = z[np.isfinite(z)]
        self._sum, self._valid = float(valid.sum()), len(valid)
        self._steps = float(np.abs(np.diff(valid)).sum())
        self._last = float(valid[-1]) if len(valid) else math.nan

    def _past(self, values: np.ndarray) -> np.ndarray:
        """The buffer's rows (4, N) for a whole series."""
        usable = np.where(values > 0, values, np.nan) if self.logged else values
        scaled = scale_panel(
            usable,
            np.array([0, len(values)]),
            lags=[lag for lag in self.layout.lags if lag],
            level_window=self.layout.level_window,
            logged=np.array([self.logged]),
        )
        shift, unit = scaled.transform.shift[0], scaled.transform.unit[0]
        begun = np.maximum.accumulate(np.isfinite(scaled.values))
        known = scaled.scale > 0
        return np.stack(
            [
                self._identity(values),
                np.where(begun, scaled.level * unit + shift, np.nan),
                np.where(known, scaled.scale * unit, np.nan),
                np.where(known, scaled.move * unit, np.nan),
            ]
        )

    def append(self, value: float) -> None:
        """Takes the next value, NaN where it is missing."""
        z = self._one(value)
        if self._end == self._buffer.shape[1]:
            self._buffer[:, : self.keep] = self._buffer[:, -self.keep :]
            self._end = self.keep
        at = self._end
        self._buffer[Z, at] = z
        self._end, self.length = at + 1, self.length + 1
        if z == z:
            self._count_in(z, at)
        self._buffer[LEVEL, at] = self._level(at)
        self._buffer[SCALE, at], self._buffer[MOVE, at] = self._units()

    def _one(self, value: float) -> float:
        if not self.logged:
            return value
        return math.log(value) if value > 0 else math.nan

    def _count_in(self, z: float, at: int) -> None:
        for k, lag in enumerate(self.lags):
            gap = abs(z - float(self._buffer[Z, at - lag])) if lag <= at else math.nan
            if gap == gap:
                self._total[k] += gap
                self._count[k] += 1
        if self._valid:
            self._steps += abs(z - self._last)
        self._sum += z
        self._valid += 1
        self._last = z

    def _level(self, at: int) -> float:
        window = self._buffer[Z, max(0, at + 1 - self.layout.level_window) : at + 1]
        known = window[window == window]
        if len(known):
            return float(known.sum()) / len(known)
        return float(self._buffer[LEVEL, at - 1]) if at else math.nan

    def _units(self) -> tuple[float, float]:
        means = list(self._means())
        most = max(means, default=0.0)
        if most <= 0:
            return math.nan, math.nan
        return max(min(means), SCALE_FLOOR * most), most

    def _means(self) -> Iterator[float]:
        """Mean difference at each lag of which half has been seen twice."""
        for lag, total, count in zip(self.lags, self._total, self._count, strict=True):
            if count >= max(2, lag // 2):
                yield total / count

    def transform(self) -> Transform:
        """What `scale_panel` would choose for the series so far; arrays of one."""
        shift = self._sum / self._valid if self._valid else 0.0
        step = self._steps / max(self._valid - 1, 1)
        unit = step if step > 1e-12 * abs(shift) else max(0.01 * abs(shift), 1e-300)
        if step == 0:
            unit = max(unit, 0.01) if self.logged else unit
            unit = 1.0 if shift == 0 else unit
        return Transform(np.array([self.logged]), np.array([shift]), np.array([unit]))

    def rows(self, transform: Transform) -> np.ndarray:
        """Values, level, scale and move (4, R) at the kept positions, as windows are gathered from
        them (windows.Flat)."""
        shift, unit = float(transform.shift[0]), float(transform.unit[0])
        kept = self._buffer[:, max(0, self._end - self.keep) : self._end]
        rows = np.empty(kept.shape)
        rows[:2] = (kept[:2] - shift) / unit
        rows[2:] = kept[2:] / unit
        rows[LEVEL:] = np.where(np.isnan(rows[LEVEL:]), UNKNOWN, rows[LEVEL:])
        return rows.astype(np.float32)


# --- The LSTM's states of one series, carried from step to step ----------------------------------
# A forecast is to come from a state that has read a bounded past, as in training, and a step is to
# cost the same always. So several states are under way at once, begun at regular steps: the oldest
# gives the forecast, and when it has read enough the youngest takes its place anew. Begun at every
# whole multiple of the context C there are two, and the forecast's has read between C and 2C steps
# (as in inference/one_step.py); begun at every step there are C, and it has read exactly C, as
# `predict` does.
#
# Where one LSTM step is a day of W values, each of the W places in the day has states of its own,
# and so has each view of the series. Axes: P places, K states under way, h units, F features, M
# members.


class CarriedStates:
    """The states of every member, place and beginning."""

    def __init__(
        self, members: tuple[Weights, ...], places: int, context: int, exact: bool
    ) -> None:
        self.every = 1 if exact else context
        self.slots = context if exact else 2
        self._groups = [_Cells(group, places, self.slots) for group in alike(members)]

    def advance(self, place: np.ndarray, step: np.ndarray, x: np.ndarray) -> None:
        """Reads step number `step` (P,) of the places `place` (P,), inputs x (P, F)."""
        block, begun = np.divmod(step, self.every)
        fresh = np.flatnonzero(begun == 0)
        for cells in self._groups:
            cells.advance(place, x, fresh, block[fresh] % self.slots)

    def state(self, place: np.ndarray, step: int) -> list[np.ndarray]:
        """The normed states (M, P, h) that the forecasts from `place` (P,) come from, `step` being
        the last that they read, for each group of members of one shape, as `alike` orders them."""
        old = (step // self.every + 1) % self.slots
        return [cells.normed(place, old) for cells in self._groups]


class ReadAgain:
    """In place of `CarriedStates` for other networks: the inputs of the context are kept, and read
    anew for each forecast, which costs as much as the context is long."""

    def __init__(
        self, members: tuple[Weights, ...], layout: Layout, views: int, context: int, network: str
    ) -> None:
        self.network = network
        self._groups = [
            [
                {name: part[k] for name, part in group.items()}
                for k in range(len(group["embed.bias"]))
            ]
            for group in alike(members)
        ]
        self._x = np.zeros((context, views * layout.width, layout.features), np.float32)

    def advance(self, place: np.ndarray, step: np.ndarray, x: np.ndarray) -> None:  # noqa: ARG002
        """As `CarriedStates.advance`."""
        self._x[:-1, place] = self._x[1:, place]
        self._x[-1, place] = x

    def state(self, place: np.ndarray, step: int) -> list[np.ndarray]:  # noqa: ARG002
        """As `CarriedStates.state`."""
        x = np.ascontiguousarray(self._x[:, place])
        return [
            np.stack([last_state(weights, x, None, self.network)[0] for weights in group])
            for group in self._groups
        ]


def alike(members: tuple[Weights, ...]) -> list[dict[str, np.ndarray]]:
    """The tensors of members of one shape, stacked: (M, ...) each. One product then serves all."""
    groups: dict[tuple[int, int], list[Weights]] = {}
    for weights in members:
        shape = (len(weights["embed.bias"]), len(weights))
        groups.setdefault(shape, []).append(weights)
    return [
        {name: np.stack([weights[name] for weights in group]) for name in group[0]}
        for group in groups.values()
    ]


def linear(weights: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """Of stacked tensors: x (M, R, i) or (R, i) -> (M, R, o)."""
    return np.asarray(
        x @ weights[f"{name}.weight"].swapaxes(1, 2) + weights[f"{name}.bias"][:, None]
    )


class _Cells:
    """The layers of members of one shape; h, c: float32 (layers, M, P, K, h)."""

    def __init__(self, weights: dict[str, np.ndarray], places: int, slots: int) -> None:
        self.layers = sum(name.startswith("norms.") and name.endswith("bias") for name in weights)
        members, hidden = weights["embed.bias"].shape
        self.h = np.zeros((self.layers, members, places, slots, hidden), np.float32)
        self.c, self.top = np.zeros_like(self.h), np.zeros_like(self.h[0])
        self.embed = {name: weights[name] for name in ("embed.weight", "embed.bias")}
        # sigmoid(x) = (1 + tanh(x / 2)) / 2: with the half in the weights, one tanh is all.
        half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), hidden)
        names = [f"lstms.{layer}." for layer in range(self.layers)]
        self.reads = [_turned(weights[n + "weight_ih_l0"], half) for n in names]
        self.keeps = [_turned(weights[n + "weight_hh_l0"], half) for n in names]
        self.bias = [
            ((weights[n + "bias_ih_l0"] + weights[n + "bias_hh_l0"]) * half)[:, None] for n in names
        ]
        self.norms = [_scales(weights, f"norms.{layer}") for layer in range(self.layers)]
        self.norm = _scales(weights, "norm")

    def advance(
        self, place: np.ndarray, x: np.ndarray, fresh: np.ndarray, slot: np.ndarray
    ) -> None:
        """As `CarriedStates.advance`; fresh: which of the P begin anew, and in which slot."""
        _, members, _, slots, hidden = self.h.shape
        count = len(place)
        for part in (self.h, self.c):
            part[:, :, place[fresh], slot] = 0.0
        state = linear(self.embed, "embed", x)[:, :, None]  # (M, P, 1, h): of every slot the same
        for layer in range(self.layers):
            read = _normed(state, *self.norms[layer]).reshape(members, -1, hidden)
            inputs = read @ self.reads[layer] + self.bias[layer]
            before = self.h[layer][:, place].reshape(members, -1, hidden)
            gates = (before @ self.keeps[layer]).reshape(members, count, slots, 4 * hidden)
            gates += inputs.reshape(members, count, -1, 4 * hidden)
            h, c = _cell(gates, self.c[layer][:, place])
            self.h[layer][:, place], self.c[layer][:, place] = h, c
            state = state + h
        self.top[:, place] = state

    def normed(self, place: np.ndarray, slot: int) -> np.ndarray:
        """What the head reads of a slot, (M, P, h)."""
        return _normed(self.top[:, place, slot], *(part[:, 0] for part in self.norm))


def _cell(gates: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new h and c (..., h) from gates (..., 4h), in torch's order, halved but for the third."""
    size = c.shape[-1]
    np.tanh(gates, out=gates)
    g = gates[..., 2 * size : 3 * size]
    i, f, o = (0.5 + 0.5 * gates[..., k * size : (k + 1) * size] for k in (0, 1, 3))
    c = f * c + i * g
    return o * np.tanh(c), c


def _turned(weight: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((weight * half[:, None]).swapaxes(1, 2))


def _scales(weights: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a norm, (M, 1, 1, h)."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return weight[:, None, None], bias[:, None, None]


def _normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis, as in networks/numpy_ops.py."""
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
    return np.asarray(centred / scale * weight + bias)


# -------------------------------------------------------------------------------------------------


class GrowingSeries:
    """A series so far, and what is needed to forecast from its end.

    forecaster  without covariates; horizon: steps that will be asked for at most
    values      float64 (N,) so far, NaN where missing
    exact       each forecast reads exactly the forecaster's context, as `predict` does; else
                between once and twice as much, for less work
    logged      None: the forecaster's views, and logarithms as `scaling.calls_for_log` says of the
                values so far, which is asked anew at each value; else one view, with or without
    """

    def __init__(
        self,
        forecaster: Forecaster,
        values: np.ndarray,
        horizon: int,
        *,
        exact: bool = False,
        logged: bool | None = None,
    ) -> None:
        self.forecaster, self.exact = forecaster, exact
        self._fixed = None if logged is None else (View(logged and not forecaster.whole),)
        self._heads = alike(forecaster.members)
        self._keep = reach(forecaster.layout, 1, -(-horizon // forecaster.layout.chunk))[0]
        # Where logarithms may be called for later, or no more, the series is then begun anew, and
        # that takes all of its values.
        self._values = array("d", values)
        known = values[np.isfinite(values)]
        self.known, self._sum = len(known), float(known.sum())
        self._smallest = float(known.min()) if len(known) else math.inf
        self._last = float(known[-1]) if len(known) else math.nan
        self.newest = float(values[-1]) if len(values) else math.nan  # NaN where it is missing
        self._begin(values)

    @property
    def length(self) -> int:
        """Values so far, missing ones included."""
        return self._length

    @property
    def values(self) -> np.ndarray:
        """All values so far, (length,)."""
        return np.array(self._values)

    @property
    def never_negative(self) -> bool:
        """No value so far was below zero."""
        return self._smallest >= 0

    def append(self, value: float) -> None:
        """Takes the next value; NaN where it is missing."""
        self._length += 1
        self.newest = value
        if value == value:
            self.known += 1
            self._sum += value
            self._smallest = min(self._smallest, value)
            self._last = value
        if self._fixed is None:
            self._values.append(value)
            if self._wants_log() != self._logs:
                self._begin(np.array(self._values))
                return
        for scale in self._scales.values():
            scale.append(value)
        self._flat, self._transforms = self._read(self._scales)
        layout, count = self.forecaster.layout, len(self._views)
        step, place = divmod(self._length, layout.width)
        x = context(self._flat, layout, np.arange(count), np.full(count, self._length), 1)
        self._carried.advance(self._places(place), np.full(count, step), x[0])

    def quantiles(self, horizon: int) -> tuple[np.ndarray, bool]:
        """Quantiles (H, Q) of the next `horizon` steps in original units, calibrated, and whether
        the network made them: from fewer than three values, or where it fails, all of them are the
        last value."""
        if self.known >= LEAST_VALUES:
            made = self._made(horizon)
            if np.isfinite(made).all():
                return made, True
        return np.full((horizon, len(self.forecaster.levels)), self._last), False

    def _wants_log(self) -> bool:
        mean = self._sum / max(self.known, 1)
        return 0 < self._smallest < math.inf and self._smallest > LOG_MINIMUM_SHARE * mean

    def _begin(self, values: np.ndarray) -> None:
        """Everything from the values so far; costs as much as they are long."""
        f, layout = self.forecaster, self.forecaster.layout
        self._length, self._logs = len(values), self._wants_log()
        # As `distinct` does, of a series that may not have called for logarithms yet.
        sample = np.array([1.0] if self._logs else [-1.0])
        self._views = self._fixed or distinct(f.views, sample, np.array([0, 1]))
        kinds = {self._is_logged(view) for view in self._views}
        steps = f.context if self.exact or f.network != "lstm" else 2 * f.context
        back = self._keep + steps * layout.width
        wide = {logged: RunningScale(values, layout, logged, back) for logged in kinds}
        flat, _ = self._read(wide)
        count = len(self._views)
        self._carried: CarriedStates | ReadAgain
        if f.network == "lstm":
            places = count * layout.width
            self._carried = CarriedStates(f.members, places, f.context, self.exact)
        else:
            self._carried = ReadAgain(f.members, layout, count, f.context, f.network)
        end = self._length - np.arange(layout.width)[::-1]  # the last of each place in the day
        view = np.repeat(np.arange(count), layout.width)
        step, place = np.divmod(np.tile(end, count), layout.width)
        x = context(flat, layout, view, np.tile(end, count), steps)
        for t in range(steps):
            self._carried.advance(view * layout.width + place, step - (steps - 1 - t), x[t])
        self._scales = {
            logged: RunningScale(values, layout, logged, self._keep) for logged in kinds
        }
        self._flat, self._transforms = self._read(self._scales)

    def _is_logged(self, view: View) -> bool:
        return view.logged if self._fixed else view.logged and self._logs

    def _places(self, place: int) -> np.ndarray:
        """Where the states of each view stand for a place in the day, (V,)."""
        return np.arange(len(self._views)) * self.forecaster.layout.width + place

    def _read(self, scales: dict[bool, RunningScale]) -> tuple[Flat, list[Transform]]:
        """The views as series of one batch, and the way back from each; see `augment.seen`."""
        found = {logged: scale.transform() for logged, scale in scales.items()}
        rows, transforms = [], []
        for view in self._views:
            logged = self._is_logged(view)
            each, transform = scales[logged].rows(found[logged]), found[logged]
            if view.mirrored:
                each = np.concatenate([-each[:2], each[2:]])
                transform = replace(transform, unit=-transform.unit)
            rows.append(each)
            transforms.append(transform)
        kept, count = rows[0].shape[1], len(rows)
        outside = np.array([[np.nan], [0.0], [0.0], [1.0]], np.float32)
        joined = np.concatenate([*rows, outside], 1)
        logs = [bool(transform.logged[0]) for transform in transforms]
        units = [
            math.log(abs(t.unit[0])) if log else 0.0  # of a mirrored view it is negative
            for t, log in zip(transforms, logs, strict=True)
        ]
        flat = Flat(
            values=joined[0],
            level=joined[1],
            scale=joined[2],
            move=joined[3],
            starts=np.arange(count) * kept + kept - self._length,
            lengths=np.full(count, self._length),
            logged=np.array(logs, np.float32),
            log_unit=np.array(units, np.float32),
            shift=np.array([t.shift[0] for t in transforms], np.float32),
            unit=np.array([t.unit[0] for t in transforms], np.float32),
        )
        return flat, transforms

    def _made(self, horizon: int) -> np.ndarray:
        f, layout = self.forecaster, self.forecaster.layout
        count = len(self._views)
        decoder = ahead(
            self._flat,
            layout,
            np.arange(count),
            np.full((1, count), self._length),
            -(-horizon // layout.chunk),
        )
        z = self._heads_mean(decoder, horizon) + decoder.level[0][:, None, None]
        series = np.zeros(z.shape[1:], int)
        parts = [
            view.weight * restored(one, transform, series, view)
            for one, transform, view in zip(z, self._transforms, self._views, strict=True)
        ]
        made = stretch(sum(parts[1:], parts[0]), f.factors)
        return np.rint(made) if f.whole else made

    def _heads_mean(self, decoder: DecoderInputs, horizon: int) -> np.ndarray:
        """The members' mean relative to the level, (V, H, Q), float64."""
        f, layout, levels = self.forecaster, self.forecaster.layout, len(self.forecaster.levels)
        count = len(self._views)
        step, place = divmod(self._length, layout.width)
        states = self._carried.state(self._places(place), step)
        inputs = head_inputs(layout, decoder, -(-f.horizon // layout.chunk))[0]
        chunks = inputs.shape[1]
        flat = inputs.reshape(count * chunks, -1)
        blocks = inputs[None]
        parts = []
        for weights, state in zip(self._heads, states, strict=True):
            read = np.repeat(linear(weights, "from_state", state), chunks, 1)
            z = gelu(read + linear(weights, "from_skips", flat))
            z = z + gelu(linear(weights, "mix", z))
            raw = linear(weights, "out", z).reshape(len(z), count, chunks, -1)
            if "mixer.out" in weights:
                said_of = linear(weights, "mixer.state", z).reshape(len(z), count, chunks, -1)
                for m in range(len(z)):
                    own = {name: weights[f"mixer.{name}"][m] for name in ("points", "near", "out")}
                    raw[m] += mix_horizon(blocks, said_of[m : m + 1], own, raw.shape[-1])[0]
            parts.append(assemble(layout, decoder, raw, levels, f.likelihood))
        said = np.concatenate(parts).mean(0, keepdims=True)
        mean = quantiles_at(said, f.levels, decoder, f.likelihood).reshape(count, -1, levels)
        return np.asarray(mean[:, :horizon], np.float64)


def refuse_what_rows_lack(forecaster: Forecaster, where: Path) -> None:
    """Raises UsageError for a model, in the folder `where`, that reads covariates."""
    if forecaster.design is not None:
        raise UsageError(
            "the model reads covariates, and rows that come one by one have none",
            code="usage/follow-covariates",
            where=str(where),
            remedy="Train a model without them, and with --no-calendar, for --follow",
        )
