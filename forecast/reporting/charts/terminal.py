"""The forecast of one series as text for a terminal, drawn with plotext (version 6).

With colour and Braille dots where the terminal has them; in plain ASCII where `NO_COLOR` is set or
`TERM` is "dumb".
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecast.reporting.charts.anomalies import AnomalyChart
from forecast.reporting.charts.fan import FanChart, clean_label
from forecast.reporting.charts.image import short_number, value_limits
from forecast.reporting.charts.ticks import round_times, round_values

HEIGHT = 16
NARROWEST, WIDEST = 40, 120
HISTORY, BAND = 245, 67  # of the 256 terminal colours: grey, dull blue
ODD = 203  # red, for anomalies
ACTUAL = -1  # the terminal's own text colour
MODELS = (39, 208, 35, 170, 178, 105)  # blue, orange, green, ...: readable on black and on white
LINE, BAND_CELL, POINT, BEGIN = "braille", "░", "●", "┊"
PLAIN_MARKS = ("*", "+", "x", "%", "&", "=")
RESET = "\x1b[0m"
_TAIL = re.compile(r"(?: |\x1b\[0m)+$")  # blanks and resets at the end of a line
TO_ASCII = str.maketrans("┌┐└┘├┤┬┴┼─│…", "++++++++--|~")


def terminal_chart(
    chart: FanChart, width: int | None = None, height: int = HEIGHT, plain: bool | None = None
) -> str:
    """`chart` as `height` lines, none wider than `width` characters.

    width: default, that of the terminal, at most 120; fewer than 40 columns are drawn as 40.
    height: title and keys included, at least 8. plain: ASCII only and without colour; default,
    what the environment says (`NO_COLOR`, `TERM=dumb`). Ids are cleaned of everything that a
    terminal would obey.
    """
    sheet = _Sheet(width, height, plain, value_limits(chart))
    _draw(sheet, chart)
    return sheet.text(chart.title, chart.times, _keys(chart, sheet.plain))


def terminal_anomalies(
    chart: AnomalyChart, width: int | None = None, height: int = HEIGHT, plain: bool | None = None
) -> str:
    """A series with what was expected of it and the anomalies, as lines; as `terminal_chart`."""
    curves = {"value": chart.values}
    bands = {"value": {0.0: (chart.low, chart.high)}}
    whole = FanChart(chart.title, chart.times, np.empty(0), curves, bands)
    sheet = _Sheet(width, height, plain, value_limits(whole))
    steps = np.arange(len(chart.times), dtype=float)
    for x, y in sheet.filled(steps, chart.low, chart.high):
        sheet.line(x, y, ":" if sheet.plain else BAND_CELL, BAND, False)
    sheet.line(steps, chart.values, "." if sheet.plain else LINE, HISTORY, True)
    odd = chart.values[chart.at]
    sheet.line(steps[chart.at], odd, "o" if sheet.plain else POINT, ODD, False)
    keys = [
        ("." if sheet.plain else "─", "values", HISTORY),
        (":" if sheet.plain else BAND_CELL, "expected", BAND),
        ("o" if sheet.plain else POINT, "anomalies", ODD),
    ]
    return sheet.text(chart.title, chart.times, keys)


class _Sheet:
    """plotext's single figure, from empty to text; x in steps, y within `limits`."""

    def __init__(
        self, width: int | None, height: int, plain: bool | None, limits: tuple[float, float]
    ) -> None:
        import plotext

        self.plotext, self.figure, self.limits = plotext, plotext.figure, limits
        self.plain = prefers_plain(os.environ) if plain is None else plain
        columns = width or min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
        self.width, self.height = max(NARROWEST, columns), max(height, 8)
        self.figure.clear()
        self.figure.plot_size(self.width, self.height - 2)
        self.figure.theme("colorless")  # axes in the terminal's own colours
        self.figure.canvas("default")
        self.figure.axes(active=False, axis="both", side=1)

    def line(self, x: np.ndarray, values: np.ndarray, mark: str, colour: int, joined: bool) -> None:
        """Points, or a line that breaks where a value is missing."""
        seen = np.flatnonzero(np.isfinite(values))
        if not len(seen):
            return
        y = _share(values[seen], *self.limits)
        shade = "default" if self.plain or colour == ACTUAL else colour
        signal = self.figure.signal(
            x[seen].tolist(), y.tolist(), marker=self.plotext.marker(mark, shade)
        )
        if joined:
            signal.lines()
            for gap in (np.flatnonzero(np.diff(seen) > 1) + 1).tolist():
                signal.line(gap, False)
        self.figure.draw(signal)

    def filled(
        self, steps: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Points (x, y) that fill the room between two curves, where both are known."""
        known = np.isfinite(lower) & np.isfinite(upper)
        if not known.any():
            return []
        x = np.linspace(steps[known][0], steps[known][-1], 2 * self.width)
        y = np.linspace(*self.limits, 4 * self.height)[:, None]
        low = np.interp(x, steps[known], lower[known])
        inside = (y >= low) & (y <= np.interp(x, steps[known], upper[known]))
        rows, columns = np.nonzero(inside)
        return [(x[columns], y[rows, 0])]

    def text(self, title: str, times: np.ndarray, keys: Sequence[tuple[str, str, int]]) -> str:
        """Title, keys and the drawing, line by line."""
        _rule(self.figure, times, self.limits, self.width)
        drawn = self.figure.build().string(colorless=self.plain)
        self.figure.clear()
        width = self.width
        head = [_fit(clean_label(title, 4 * width), width), _key_line(keys, self.plain, width)]
        lines = [_TAIL.sub("", line) for line in head + drawn.rstrip("\n").split("\n")]
        if self.plain:
            return _ascii("\n".join(lines))
        return "\n".join(line + RESET for line in lines)


def prefers_plain(environment: Mapping[str, str]) -> bool:
    """Whether `environment` asks for text without colour: NO_COLOR (no-color.org) or TERM=dumb."""
    return bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"


def _draw(sheet: _Sheet, chart: FanChart) -> None:
    """History, the first model's narrowest band, medians and actuals."""
    steps, plain, line = len(chart.history), sheet.plain, sheet.line
    ahead = np.arange(steps, len(chart.times), dtype=float)
    levels = chart.bands.get(chart.main or "", {})
    for x, y in sheet.filled(ahead, *levels[min(levels)]) if levels else ():
        line(x, y, ":" if plain else BAND_CELL, BAND, False)
    line(np.arange(steps, dtype=float), chart.history, "." if plain else LINE, HISTORY, True)
    if steps:  # where the forecast begins
        rows = 4 * sheet.height
        x, y = np.full(rows, steps - 1.0), np.linspace(*sheet.limits, rows)
        line(x, y, "|" if plain else BEGIN, ACTUAL, False)
    last = chart.history[-1:]
    for place, curve in reversed(list(enumerate(chart.medians.values()))):
        x, whole = (
            (np.append(steps - 1.0, ahead), np.append(last, curve)) if steps else (ahead, curve)
        )
        mark = PLAIN_MARKS[place % len(PLAIN_MARKS)] if plain else LINE
        line(x, whole, mark, MODELS[place % len(MODELS)], True)
    if chart.actual is not None:
        line(ahead, chart.actual, "o" if plain else POINT, ACTUAL, False)


def _share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as shares of the axis, cut off at its ends; divided first, lest they overflow."""
    span = high / 2 - low / 2
    return np.clip((values / 2 - low / 2) / span, 0, 1)


def _rule(figure: Any, times: np.ndarray, limits: tuple[float, float], width: int) -> None:
    """Limits and labels of both axes."""
    low, high = limits
    values = round_values(low, high, 5)
    figure.ruler("y").lim(0, 1)
    figure.ruler("y").ticks(
        _share(values, low, high).tolist(), [short_number(float(f"{v:.12g}")) for v in values]
    )
    places, labels = round_times(times, max(2, width // 14))
    figure.ruler("x").lim(0, max(1, len(times) - 1))
    figure.ruler("x").ticks(places.tolist(), labels)


def _keys(chart: FanChart, plain: bool) -> list[tuple[str, str, int]]:
    """What each mark is: mark, name, colour."""
    parts: list[tuple[str, str, int]] = [("." if plain else "─", "history", HISTORY)]
    if chart.actual is not None:
        parts.append(("o" if plain else POINT, "actual", ACTUAL))
    for place, name in enumerate(chart.medians):
        mark = PLAIN_MARKS[place % len(PLAIN_MARKS)] if plain else "─"
        parts.append((mark, clean_label(name, 20), MODELS[place % len(MODELS)]))
    levels = chart.bands.get(chart.main or "", {})
    if levels:
        parts.append((":" if plain else BAND_CELL, f"{min(levels):g}% interval", BAND))
    if len(chart.history):
        parts.append(("|" if plain else BEGIN, "the forecast begins", ACTUAL))
    return parts


def _key_line(parts: Sequence[tuple[str, str, int]], plain: bool, width: int) -> str:
    """One line that says what each mark is; as many keys as fit."""
    line, used = "", 0
    for mark, label, colour in parts:
        used += len(mark) + len(label) + 3
        if used > width + 2:
            break
        bare = plain or colour == ACTUAL
        line += f"{mark} {label}  " if bare else f"\x1b[38;5;{colour}m{mark}\x1b[0m {label}  "
    return line


def _fit(text: str, width: int) -> str:
    """`text` cut to `width` terminal cells; an East Asian character takes two."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _ascii(text: str) -> str:
    """`text` in ASCII: lines as + - |, any other character as a question mark."""
    return text.translate(TO_ASCII).encode("ascii", "replace").decode("ascii")
