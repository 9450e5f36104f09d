"""One series that grows: a value in, a fresh forecast out, at the same cost however long it is.

The forecast is the one that a batch makes of the same values (see `carried` for how much of the
past its state has read). Axes: H horizon (steps), Q quantiles, W values of one LSTM step.
"""

from __future__ import annotations

import math
from array import array

import numpy as np

from forecast.intervals import stretch
from forecast.networks.arithmetic import gelu
from forecast.networks.covariates import reach
from forecast.networks.head import assemble, head_inputs
from forecast.prediction import LEAST_VALUES, Forecaster
from forecast.scaling import LOG_MINIMUM_SHARE
from forecast.streaming.carried import CarriedStates, ReadAgain, alike, linear
from forecast.streaming.running import RunningScale
from forecast.windows import ahead, context


class GrowingSeries:
    """A series so far, and what is needed to forecast from its end.

    forecaster  without covariates; horizon: steps that will be asked for at most
    values      float64 (N,) so far, NaN where missing
    exact       each forecast reads exactly the forecaster's context, as `predict` does; else
                between once and twice as much, for less work
    logged      whether to take logarithms; None: as `scaling.calls_for_log` says of the values so
                far, which is asked anew at each value
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
        self.chunks = -(-horizon // forecaster.layout.chunk)
        self._scale: RunningScale
        self._fixed = logged
        self._heads = alike(forecaster.members)
        # All values are kept where the logarithm may be called for later, or no more: then the
        # series is begun anew.
        self._values = array("d", values)
        known = values[np.isfinite(values)]
        self.known, self._sum = len(known), float(known.sum())
        self._smallest = float(known.min()) if len(known) else math.inf
        self._last = float(known[-1]) if len(known) else math.nan
        self._begin(values)

    @property
    def length(self) -> int:
        """Values so far, missing ones included."""
        return self._scale.length

    def append(self, value: float) -> None:
        """Takes the next value; NaN where it is missing."""
        if self._fixed is None:
            self._values.append(value)
        if value == value:
            self.known += 1
            self._sum += value
            self._smallest = min(self._smallest, value)
            self._last = value
        if self._wants_log() != self._scale.logged:
            self._begin(np.array(self._values))
            return
        self._scale.append(value)
        self._transform = self._scale.transform()
        self._flat = self._scale.flat(self._transform)
        layout, end = self.forecaster.layout, self._scale.length
        x = context(self._flat, layout, np.zeros(1, int), np.array([end]), 1)
        step, place = divmod(end, layout.width)
        self._carried.advance(np.array([place]), np.array([step]), x[0])

    def quantiles(self, horizon: int) -> tuple[np.ndarray, bool]:
        """Quantiles (H, Q) of the next `horizon` steps in original units, calibrated, and whether
        the network made them: from fewer than three values, or where it fails, all of them are the
        last value."""
        made = self._made(horizon) if self.known >= LEAST_VALUES else np.full((1, 1), np.nan)
        if not np.isfinite(made).all():
            return np.full((horizon, len(self.forecaster.levels)), self._last), False
        return made, True

    @property
    def never_negative(self) -> bool:
        """No value so far was below zero."""
        return self._smallest >= 0

    def _wants_log(self) -> bool:
        if self._fixed is not None:
            return self._fixed
        mean = self._sum / max(self.known, 1)
        return 0 < self._smallest < math.inf and self._smallest > LOG_MINIMUM_SHARE * mean

    def _begin(self, values: np.ndarray) -> None:
        """Everything from the values so far; costs as much as they are long."""
        f, layout = self.forecaster, self.forecaster.layout
        steps = f.context if self.exact else 2 * f.context
        keep = reach(layout, 1, self.chunks)[0] + layout.width
        start = max(0, len(values) - keep - steps * layout.width)
        wide = RunningScale(values, layout, self._wants_log(), len(values) - start)
        self._transform = wide.transform()
        flat = wide.flat(self._transform)
        self._carried: CarriedStates | ReadAgain
        if f.network == "lstm":
            self._carried = CarriedStates(f.members, layout, f.context, self.exact)
        else:
            self._carried = ReadAgain(f.members, layout, f.context, f.network)
        end = len(values) - np.arange(layout.width)[::-1]  # the last of each place in the day
        x = context(flat, layout, np.zeros(len(end), int), end, steps)
        step, place = np.divmod(end, layout.width)
        for t in range(steps):
            self._carried.advance(place, step - (steps - 1 - t), x[t])
        self._scale = RunningScale(values, layout, self._wants_log(), keep)
        self._flat = self._scale.flat(self._transform)

    def _made(self, horizon: int) -> np.ndarray:
        f, layout, levels = self.forecaster, self.forecaster.layout, len(self.forecaster.levels)
        chunks = -(-horizon // layout.chunk)
        origin = np.array([[self._scale.length]])
        look = ahead(self._flat, layout, np.zeros(1, int), origin, chunks)
        step, place = divmod(self._scale.length, layout.width)
        states = self._carried.state(place, step)
        inputs = head_inputs(layout, look, -(-f.horizon // layout.chunk))[0, 0]
        parts = []
        for weights, state in zip(self._heads, states, strict=True):
            z = gelu(linear(weights, "from_state", state) + linear(weights, "from_skips", inputs))
            z = z + gelu(linear(weights, "mix", z))
            parts.append(assemble(layout, look, linear(weights, "out", z)[None], levels)[0])
        mean = np.concatenate(parts).mean(0).reshape(-1, levels)[:horizon]
        made = self._transform.invert(
            mean.astype(np.float64) + float(look.level[0, 0]), np.zeros(mean.shape, int)
        )
        return stretch(made, f.factors)
