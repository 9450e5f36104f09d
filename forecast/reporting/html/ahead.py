"""What the page says of the future: its heading, the sum of all series, whose clock it shows.

Axes: S series, H horizon (steps), T steps of history shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.reporting.charts.fan import FanChart
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


def total_of(
    panel: Panel, ahead: Sequence[Forecast], tail: int, unit: str = ""
) -> SeriesEntry | None:
    """The sum of all series, history and forecast, without intervals: those of single series do not
    add up to one of the sum. None for one series, or where the series end at different times or one
    has no forecast."""
    ends = panel.first + panel.lengths
    whole = [each for each in ahead if each.available.all()]
    if panel.size < 2 or not whole or ahead[0] is not whole[0] or len(np.unique(ends)) > 1:
        return None
    horizon = ahead[0].point.shape[1]
    steps = int(min(panel.lengths.min(), max(2 * horizon, tail)))
    rows = panel.offsets[1:, None] + np.arange(-steps, 0)
    stamps = panel.frequency.stamps(ends[0] + np.arange(-steps, horizon))
    chart = FanChart(
        title=f"All {panel.size:,} series together",
        times=stamps,
        history=panel.values[rows].sum(axis=0),
        medians={each.name: each.point.sum(axis=0) for each in whole},
        unit=unit,
    )
    note = (
        "The sum of all series' forecasts. Intervals of single series do not add up: it has none."
    )
    return SeriesEntry(None, future=chart, note=note)
