"""What a chart of one series shows, as plain arrays; and how one is cut out of panel and forecasts.

Axes: T history steps shown, H horizon (steps).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.open_steps import open_ahead
from forecast.data.panel import Panel

Band = tuple[np.ndarray, np.ndarray]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, bidi overrides, surrogates, ...


@dataclass(frozen=True)
class FanChart:
    """One series: the tail of its history, and the forecasts of the steps after it.

    title    usually the series' id; any text at all
    times    (T+H,) datetime64 or integers, ascending: of the history, then of the horizon
    history  float64 (T,), NaN where missing
    medians  model name -> float64 (H,), in the order to draw; the first is the main one
    bands    model name -> level in per cent -> (lower, upper), each float64 (H,)
    actual   float64 (H,): what came true, NaN where unknown; None when nothing is known yet
    unit     label of the value axis
    """

    title: str
    times: np.ndarray
    history: np.ndarray
    medians: Mapping[str, np.ndarray]
    bands: Mapping[str, Mapping[float, Band]] = field(default_factory=dict)
    actual: np.ndarray | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError when lengths do not fit together."""
        steps = len(self.times) - len(self.history)
        if steps < 1:
            raise ValueError("times must cover the history and at least one step of the horizon")
        curves = [*self.medians.values()] + ([] if self.actual is None else [self.actual])
        for levels in self.bands.values():
            curves.extend(bound for band in levels.values() for bound in band)
        if any(len(curve) != steps for curve in curves):
            raise ValueError(f"every forecast, band and actual must have {steps} values")

    @property
    def horizon(self) -> int:
        """H, the number of steps forecast."""
        return len(self.times) - len(self.history)

    @property
    def main(self) -> str | None:
        """Name of the first model, whose bands are filled."""
        return next(iter(self.medians), None)


def clean_label(text: object, limit: int = 80) -> str:
    """`text` for a person to read on one line: nothing hidden in it, at most `limit` characters.

    Control characters, escape sequences' ESC, direction overrides, line breaks and characters
    without a meaning become a space; runs of spaces become one; a long text ends in an ellipsis.
    """
    shown = "".join(
        " " if unicodedata.category(char) in _HIDDEN else char for char in str(text)[: 4 * limit]
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def fan_chart(
    panel: Panel,
    s: int,
    forecasts: Sequence[Forecast],
    levels: Sequence[float] = (80.0, 95.0),
    tail: int | None = None,
    unit: str = "",
    most: int | None = None,
) -> FanChart:
    """The chart of series `s` of `panel`: history up to the origin, `forecasts`, later actuals.

    tail: history steps to show (default: three horizons, at least 48). most: so many steps ahead
    that there are. What never is (a shop's Sundays) is not shown, as it is not in the tables. All
    forecasts must start at the same origin; ValueError otherwise. A forecast that is not available
    for this series, or a level that was not forecast, is left out.
    """
    if len({int(each.origins[s]) for each in forecasts}) != 1:
        raise ValueError("the forecasts of one chart must start at one origin")
    origin, horizon = int(forecasts[0].origins[s]), forecasts[0].point.shape[1]
    start = max(0, origin - (tail or max(3 * horizon, 48)))
    usable = [each for each in forecasts if each.available[s]]
    row = np.array([s])
    ahead = np.flatnonzero(steps_ahead(panel, row, np.array([origin]), horizon, most)[0])
    ahead = ahead if len(ahead) else np.arange(horizon)
    past = panel.series(s)[start:origin]
    shown = open_ahead(panel, row, np.array([start]), len(past))[0] | np.isfinite(past)
    known = panel.series(s)[origin : origin + horizon]
    actual = np.append(known, np.full(horizon - len(known), np.nan))[ahead]
    steps = np.concatenate([start + np.flatnonzero(shown), origin + ahead])
    return FanChart(
        title=str(panel.ids[s]),
        times=panel.frequency.stamps(panel.first[s] + steps),
        history=past[shown],
        medians={each.name: each.point[s, ahead] for each in usable},
        bands={each.name: _bands(each, s, levels, ahead) for each in usable},
        actual=actual if np.isfinite(actual).any() else None,
        unit=unit,
    )


def steps_ahead(
    panel: Panel, rows: np.ndarray, origins: np.ndarray, steps: int, most: int | None = None
) -> np.ndarray:
    """bool (R, steps): of the steps after `origins` (R,) of the series `rows` the first `most` that
    there are, as a table of the forecast has them."""
    there = open_ahead(panel, rows, origins, steps)
    return there & (there.cumsum(1) <= (most or steps))


def _bands(
    forecast: Forecast, s: int, levels: Sequence[float], ahead: np.ndarray
) -> dict[float, Band]:
    """The central intervals of series `s` that `forecast` holds, of the steps `ahead` (H,)."""
    found: dict[float, Band] = {}
    for level in levels:
        tail = (1 - level / 100) / 2
        pair = [
            np.flatnonzero(np.isclose(forecast.levels, q, rtol=0, atol=1e-9))
            for q in (tail, 1 - tail)
        ]
        if all(len(where) for where in pair):
            lower, upper = (forecast.quantiles[s, ahead, where[0]] for where in pair)
            found[level] = (lower, upper)
    return found
