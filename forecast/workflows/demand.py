"""What changes where demand is intermittent or sums are asked for: the baselines that are usual,
and the point forecast, which is then the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecast.config.baselines import INTERMITTENT_BASELINES, Baseline
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.inference.point import MEAN, MEDIAN, quantile_of
from forecast.training.plan import Reason
from forecast.transforms.demand import INTERVAL, is_intermittent, mean_interval

EACH_ITS_OWN = "quantiles do not add up: every series and every sum has its own"
POINT = "point"  # the choice's name among the reasons of a run, and in its manifest


def usual_baselines(
    panel: Panel, usual: Sequence[Baseline], settings: Settings
) -> tuple[tuple[Baseline, ...], tuple[Reason, ...]]:
    """The baselines asked for; where none are named `usual`, and the Croston-type ones as well
    where demand is intermittent, with the reason."""
    names = settings.baselines.chosen(tuple(usual))
    if settings.baselines.names is not None or not is_intermittent(panel):
        return names, ()
    names = tuple(dict.fromkeys((*names, *INTERMITTENT_BASELINES)))
    return names, (("baselines", ", ".join(names), _why(panel)),)


def choose_point(panel: Panel, settings: Settings) -> Reason:
    """Which point forecast: as asked, the mean where it is added up or demand is intermittent,
    else the median."""
    point = settings.forecast.point
    if point is not None:
        sums = settings.data.hierarchy is not None and quantile_of(point) is not None
        return (POINT, point, "as asked (--point)" + (f"; {EACH_ITS_OWN}" if sums else ""))
    return usual_point(panel, settings)


def usual_point(panel: Panel, settings: Settings) -> Reason:
    """Which point forecast where none is asked for."""
    if settings.data.hierarchy or settings.data.by:
        return (POINT, MEAN, "only means add up (--point median for medians)")
    if is_intermittent(panel):
        return (POINT, MEAN, f"{_why(panel)}; the sum of medians would be too low")
    return (POINT, MEDIAN, "it has the lowest absolute error (--point mean where sums matter)")


def point_of(settings: Settings, manifest: Mapping[str, Any]) -> str:
    """The point forecast that is asked for now, else that of the trained model."""
    return settings.forecast.point or own_point(manifest) or MEDIAN


def own_point(manifest: Mapping[str, Any]) -> str | None:
    """The point forecast that was noted when a model was trained; None where none was."""
    for each in manifest.get("chosen") or ():
        if isinstance(each, Mapping) and each.get("name") == POINT:
            return str(each.get("value"))
    return None


def _why(panel: Panel) -> str:
    interval = mean_interval(panel)
    typical = float(np.median(interval[np.isfinite(interval)]))
    return (
        f"demand is intermittent: {typical:.2g} steps from one to the next in the median series, "
        f"more than {INTERVAL}"
    )
