"""What a forecast cannot be by what its series was: below zero where no value is, and other than
zero on days and hours of the week that are always zero.

Axes: S series, H steps ahead, Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from forecast.common.segments import sum_by_series
from forecast.data.forecast import Forecast
from forecast.data.open_steps import zero_slots
from forecast.data.panel import Panel


def never_negative(panel: Panel) -> np.ndarray:
    """bool (S,): series without a negative value."""
    return sum_by_series((panel.values < 0).astype(float), panel.offsets) == 0


class Limits(NamedTuple):
    """floor (S,): what nothing lies below; zero: bool (S, H), steps that are zero, or None."""

    floor: np.ndarray
    zero: np.ndarray | None

    @classmethod
    def of(cls, past: Panel, steps: int, *, allow_negative: bool) -> Limits:
        """For forecasts of `steps` steps after `past`; allow_negative: also of a series that never
        had a negative value."""
        never = never_negative(past) & (not allow_negative)
        return cls(np.where(never, 0.0, -np.inf), zero_ahead(past, steps))

    def keep(self, forecast: Forecast) -> Forecast:
        """The forecast without what cannot be."""
        point = np.maximum(forecast.point, self.floor[:, None])
        quantiles = np.maximum(forecast.quantiles, self.floor[:, None, None])
        if self.zero is not None:
            point = np.where(self.zero & np.isfinite(point), 0.0, point)
            quantiles = np.where(self.zero[..., None] & np.isfinite(quantiles), 0.0, quantiles)
        return replace(forecast, point=point, quantiles=quantiles)


def zero_ahead(past: Panel, steps: int) -> np.ndarray | None:
    """bool (S, steps): steps after the ends of the series in slots of the week that were always
    zero (`zero_slots`); None where there are none."""
    always = zero_slots(past)
    if always is None:
        return None
    at = (past.first + past.lengths)[:, None] + np.arange(steps)
    return np.asarray(always[np.arange(past.size)[:, None], at % always.shape[1]])
