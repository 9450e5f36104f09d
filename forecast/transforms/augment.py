"""Views: the same series read in several ways by one network, whose forecasts are averaged.

Read as plain values, a series shows additive growth where its logarithms show relative growth;
mirrored, its rises are falls. Errors of the network that hang on one reading average out.

Axes: S series, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from forecast.transforms.scaling import Transform, calls_for_log, scale_panel
from forecast.transforms.windows import Flat, Layout

LEAST_SEASON = 12  # observations; below it a network reads in one way


class View(NamedTuple):
    """One way to read: logarithms where they fit, or plain values; upside down or not; its weight
    in the mean of the forecasts."""

    logged: bool = True
    mirrored: bool = False
    weight: float = 1.0


AS_IT_IS = (View(),)
PLAIN = (View(logged=False),)
IN_TWO_WAYS = (View(True, False, 0.5), View(False, True, 0.5))
BOTH_WAYS_UP = (View(True, False, 0.5), View(True, True, 0.5))
IN_THREE_WAYS = (View(True, False, 0.5), View(False, False, 0.25), View(False, True, 0.25))


def views_for(layout: Layout, *, summed: bool = False) -> tuple[View, ...]:
    """How a network of this layout reads; summed: the series and their sums, of a hierarchy.

    Chosen on origins inside the training parts of seven collections: averaging takes 1 to 2 per
    cent off the errors of hourly, weekly and monthly series. Quarterly and yearly ones grow by a
    share of themselves, and plain or mirrored values forecast them worse; daily ones gain nothing,
    and training learns less of each view. On hourly series plain values add nothing to the other
    two.

    What all series of a hierarchy share, their sums show most. A network that learns from them
    where all of them went will be wrong about all of them together when that ends; of series that
    are upside down half the time it learns no such direction. On tourism in 76 regions, at eight
    origins inside the training part, the error of the total fell from 2.33 to 1.63 (AutoARIMA's on
    the total alone: 1.85), that of the regions stayed.
    """
    if layout.width > 1:
        return IN_TWO_WAYS
    if layout.season >= LEAST_SEASON:
        return IN_THREE_WAYS
    return BOTH_WAYS_UP if summed else AS_IT_IS


def upright(views: Sequence[View]) -> tuple[View, ...]:
    """The views that are not mirrored: covariates beside a series are not mirrored with it."""
    kept = [view for view in views if not view.mirrored]
    total = sum(view.weight for view in kept)
    return tuple(view._replace(weight=view.weight / total) for view in kept)


def in_words(views: Sequence[View]) -> tuple[str, str]:
    """How many ways, and which."""
    called = {
        (True, False): "logarithms where they fit",
        (False, False): "plain values",
        (False, True): "plain values mirrored at zero",
        (True, True): "logarithms mirrored at zero",
    }
    ways = ", ".join(called[view.logged, view.mirrored] for view in views)
    if len(views) == 1:
        return "in one way", ways
    return f"in {len(views)} ways", f"{ways}: the forecasts are averaged"


def distinct(views: Sequence[View], values: np.ndarray, offsets: np.ndarray) -> tuple[View, ...]:
    """The views without those that show these series as another does, their weights added up:
    where no series calls for logarithms, there are only plain values."""
    if all(not view.logged for view in views) or calls_for_log(values, offsets).any():
        return tuple(views)
    weights: dict[bool, float] = {}
    for view in views:
        weights[view.mirrored] = weights.get(view.mirrored, 0.0) + view.weight
    return tuple(View(False, mirrored, weight) for mirrored, weight in weights.items())


def seen(
    values: np.ndarray, offsets: np.ndarray, layout: Layout, view: View
) -> tuple[Flat, Transform]:
    """Ragged series (see `scale_panel`) as `view` shows them, and the way back.

    The transform of a mirrored view has a negative unit.
    """
    scaled = scale_panel(
        values,
        offsets,
        lags=[lag for lag in layout.lags if lag],
        level_window=layout.level_window,
        logged=None if view.logged else np.zeros(len(offsets) - 1, bool),
    )
    flat, transform = Flat.of(scaled), scaled.transform
    if view.mirrored:
        unit = None if flat.unit is None else -flat.unit
        flat = replace(flat, values=-flat.values, level=-flat.level, unit=unit, sign=-1.0)
        transform = replace(transform, unit=-transform.unit)
    return flat, transform


def restored(
    quantiles: np.ndarray, transform: Transform, series: np.ndarray, view: View
) -> np.ndarray:
    """Quantiles (..., Q) of a view in original units, in rising order again; series: their numbers,
    of the same shape."""
    made = transform.invert(quantiles, series)
    return made[..., ::-1] if view.mirrored else made
