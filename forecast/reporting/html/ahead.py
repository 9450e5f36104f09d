"""What the page says of the future: its heading, the sum of all series, whose clock it shows.

Axes: S series, H horizon (steps), T steps of history shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.open_steps import open_ahead, repeated
from forecast.data.panel import Panel
from forecast.reporting.charts.fan import FanChart, steps_ahead
from forecast.reporting.html.contents import SeriesEntry

_STEPS = {
    "YS": "year", "YE": "year", "QS": "quarter", "QE": "quarter", "MS": "month", "ME": "month",
    "W": "week", "D": "day", "B": "business day", "h": "hour", "min": "minute", "s": "second",
}  # fmt: skip


def counted(number: int, what: str) -> str:
    """ "1 step", "12 steps"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def heading(panel: Panel, horizon: int) -> str:
    """ "The next 12 months"; steps of several units, or without one, are counted as steps."""
    unit = "step" if panel.frequency.integer else _STEPS.get(panel.frequency.alias.split("-")[0])
    if unit is None:
        return f"The next {counted(horizon, 'step')} of {panel.frequency.alias}"
    return f"The next {unit}" if horizon == 1 else f"The next {counted(horizon, unit)}"


def zone_of(panel: Panel) -> str:
    """Whose clock the times show; "" where the data do not say."""
    tz = panel.tz or ""
    return f"UTC{tz}" if tz[:1] in ("+", "-") else tz


def twice_ahead(panel: Panel, horizon: int) -> np.ndarray:
    """The times within `horizon` of any end that come twice on the clock: their one forecast is
    that of either hour."""
    ends = np.unique(panel.first + panel.lengths)
    steps = np.unique(ends[:, None] + np.arange(horizon))
    return panel.frequency.stamps(steps[repeated(panel.frequency, panel.tz, steps)])


def total_of(
    panel: Panel,
    ahead: Sequence[Forecast],
    tail: int,
    unit: str = "",
    most: int | None = None,
) -> SeriesEntry | None:
    """The sum of all series, history and forecast, without intervals: those of single series do not
    add up to one of the sum. None for one series, or where the series end at different times or one
    has no forecast, or no step ahead.

    A step that never is in some of the series (Sundays of one shop) has the sum of the others; it
    goes as far ahead as all of them do. most: as in `fan_chart`."""
    ends = panel.first + panel.lengths
    whole = [each for each in ahead if each.available.all()]
    if panel.size < 2 or not whole or ahead[0] is not whole[0] or len(np.unique(ends)) > 1:
        return None
    horizon = ahead[0].point.shape[1]
    steps = int(min(panel.lengths.min(), max(2 * horizon, tail)))
    rows = panel.offsets[1:, None] + np.arange(-steps, 0)
    everyone = np.arange(panel.size)
    ahead_of_each = steps_ahead(panel, everyone, panel.lengths, horizon, most)
    if not ahead_of_each.any(1).all():
        return None
    reached = horizon - ahead_of_each[:, ::-1].argmax(1)
    last = int(reached.min())
    past = open_ahead(panel, everyone, panel.lengths - steps, steps)
    there = np.concatenate([past, ahead_of_each[:, :last]], axis=1)
    some = np.asarray(there.any(axis=0))  # steps that there are in any series
    at = ends[0] - steps + np.flatnonzero(some)
    chart = FanChart(
        title=f"All {panel.size:,} series together",
        times=panel.frequency.stamps(at),
        history=np.where(past, panel.values[rows], 0.0).sum(axis=0)[some[:steps]],
        medians={
            each.name: np.where(there[:, steps:], each.point[:, :last], 0.0).sum(0)[some[steps:]]
            for each in whole
        },
        unit=unit,
    )
    note = (
        "The sum of all series' forecasts. Intervals of single series do not add up: it has none."
    )
    return SeriesEntry(None, future=chart, note=note)
