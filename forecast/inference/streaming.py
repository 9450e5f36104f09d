"""One series that grows: a value in, a fresh forecast out, at the same cost however long it is.

The forecast is the one that a batch makes of the same values (see `stream_states` for how much
of the past its state has read). The views of a series (transforms/augment.py) stand side by side,
as series of one batch. Axes: V views, H horizon (steps), Q quantiles, D blocks ahead, M members.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np

from forecast.common.errors import UsageError
from forecast.inference.conformal import stretch
from forecast.inference.predict import LEAST_VALUES
from forecast.inference.stream_scaling import RunningScale
from forecast.inference.stream_states import CarriedStates, ReadAgain, alike, linear
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import quantiles_at
from forecast.models.networks.covariate_effect import reach
from forecast.models.networks.head import assemble, head_inputs
from forecast.models.networks.numpy_ops import gelu
from forecast.transforms.augment import View, distinct, restored
from forecast.transforms.scaling import LOG_MINIMUM_SHARE, Transform
from forecast.transforms.windows import Ahead, Flat, ahead, context


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
        self._begin(values)

    @property
    def length(self) -> int:
        """Values so far, missing ones included."""
        return self._length

    @property
    def never_negative(self) -> bool:
        """No value so far was below zero."""
        return self._smallest >= 0

    def append(self, value: float) -> None:
        """Takes the next value; NaN where it is missing."""
        self._length += 1
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
            math.log(t.unit[0]) if log else 0.0 for t, log in zip(transforms, logs, strict=True)
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
        look = ahead(
            self._flat,
            layout,
            np.arange(count),
            np.full((1, count), self._length),
            -(-horizon // layout.chunk),
        )
        z = self._heads_mean(look, horizon) + look.level[0][:, None, None]
        series = np.zeros(z.shape[1:], int)
        parts = [
            view.weight * restored(one, transform, series, view)
            for one, transform, view in zip(z, self._transforms, self._views, strict=True)
        ]
        made = stretch(sum(parts[1:], parts[0]), f.factors)
        return np.rint(made) if f.whole else made

    def _heads_mean(self, look: Ahead, horizon: int) -> np.ndarray:
        """The members' mean relative to the level, (V, H, Q), float64."""
        f, layout, levels = self.forecaster, self.forecaster.layout, len(self.forecaster.levels)
        count = len(self._views)
        step, place = divmod(self._length, layout.width)
        states = self._carried.state(self._places(place), step)
        inputs = head_inputs(layout, look, -(-f.horizon // layout.chunk))[0]
        chunks = inputs.shape[1]
        flat = inputs.reshape(count * chunks, -1)
        parts = []
        for weights, state in zip(self._heads, states, strict=True):
            read = np.repeat(linear(weights, "from_state", state), chunks, 1)
            z = gelu(read + linear(weights, "from_skips", flat))
            z = z + gelu(linear(weights, "mix", z))
            raw = linear(weights, "out", z).reshape(len(z), count, chunks, -1)
            parts.append(assemble(layout, look, raw, levels, f.likelihood))
        said = np.concatenate(parts).mean(0, keepdims=True)
        mean = quantiles_at(said, f.levels, look, f.likelihood).reshape(count, -1, levels)
        return np.asarray(mean[:, :horizon], np.float64)


def refuse_what_rows_lack(forecaster: Forecaster, where: Path) -> None:
    """Raises UsageError for a model, in the folder `where`, that reads covariates."""
    if forecaster.design is not None:
        raise UsageError(
            "the model reads covariates, and rows that come one by one have none",
            code="usage/follow-covariates",
            where=str(where),
            remedy="Train a model without them for --follow",
        )
