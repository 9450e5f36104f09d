"""Point forecasts other than the median: the mean of the distribution that quantiles describe.

A planner adds forecasts up, and only means add up: the sum of medians is not the median of a sum,
and where sales come in lumps it lies far below what is sold.

Axes: Q quantiles; any others lead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.common.quantiles import normal_quantiles
from forecast.data.forecast import Forecast
from forecast.inference.predict import at_levels

MEDIAN, MEAN = "median", "mean"


def quantile_of(point: str) -> float | None:
    """The level of a point forecast that is a quantile in text; None for the median and the mean,
    which stand in the middle of what may come."""
    return None if point in (MEDIAN, MEAN) else float(point)


def mean_of_quantiles(
    quantiles: np.ndarray, levels: np.ndarray, *, least: np.ndarray | float | None = None
) -> np.ndarray:
    """The mean (...,) of the distribution with `quantiles` (..., Q), ascending, at `levels` (Q,).

    Between two levels a quantile moves linearly in the standard normal's quantile z, as when other
    levels are asked for (`inference.predict.at_levels`), so that each piece has its integral
    exactly: a (u2 - u1) + b (phi(z1) - phi(z2)) for a + b z.

    Tails: beyond the outermost levels the outermost piece goes on in z, as far as a normal
    distribution's tail would. Where the lowest quantile is not below `least` (0 for series that are
    never negative; broadcast to the leading axes; None: no bound), no value is taken to be lower
    than that: the part of the lower tail that would be counts as `least`.

    Exact for normal distributions, for those that are piecewise so, and for a constant. Of long
    right tails (lognormal, counts) what lies beyond the highest level is underrated by a little:
    0.2 per cent of the mean for a lognormal of sigma 1 whose levels end at 0.975. Raises ValueError
    for fewer than two levels, or levels that do not ascend within (0, 1).
    """
    quantiles, levels = np.asarray(quantiles, float), np.asarray(levels, float)
    if len(levels) < 2 or (np.diff(levels) <= 0).any() or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError("at least two levels are needed, ascending between 0 and 1")
    z = normal_quantiles(levels)
    slope = np.diff(quantiles, axis=-1) / np.diff(z)
    start = quantiles[..., :-1] - slope * z[:-1]  # the pieces a + b z
    cuts = np.concatenate([[-np.inf], z[1:-1], [np.inf]])
    below, density = _normal(cuts)
    pieces = start * np.diff(below) - slope * np.diff(density)
    if least is not None:
        pieces[..., 0] += _cut_off(start[..., 0], slope[..., 0], quantiles[..., 0], least)
    return pieces.sum(-1)


def with_point(made: Forecast, point: str) -> Forecast:
    """The forecast with another point: "median", "mean", or a quantile between 0 and 1 in text.

    What has no negative quantile has no negative value in the lower tail of its mean.
    """
    if point == MEDIAN or len(made.levels) < 2:
        return made
    level = quantile_of(point)
    if level is not None:
        wanted = at_levels(made, np.array([level]))
        return replace(made, point=wanted.quantiles[:, :, 0])
    never = (made.quantiles >= 0).all(axis=(1, 2))
    mean = mean_of_quantiles(made.quantiles, made.levels)
    mean[never] = np.maximum(mean_of_quantiles(made.quantiles[never], made.levels, least=0.0), 0.0)
    return replace(made, point=mean)


def _cut_off(
    start: np.ndarray, slope: np.ndarray, lowest: np.ndarray, least: np.ndarray | float
) -> np.ndarray:
    """What the mean gains when the values a + b z of the lower tail that lie below `least` count
    as `least`; 0 where the lowest quantile itself lies below it."""
    falls = (slope > 0) & (lowest >= least)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(falls, (least - start) / slope, -np.inf)
    share, density = _normal(crossing)
    # The integral of least - (a + b z) up to the crossing.
    return np.where(falls, (least - start) * share + slope * density, 0.0)


def _normal(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distribution function and density of the standard normal."""
    from scipy.special import ndtr

    return ndtr(z), np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
