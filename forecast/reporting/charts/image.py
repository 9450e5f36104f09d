"""The forecast of one series as a PNG or SVG image, drawn with matplotlib.

Only matplotlib's object interface is used: no global figure, no window, no global settings.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.files import check_output, text_kind, write_output
from forecast.reporting.charts.fan import FanChart, clean_label
from forecast.reporting.charts.ticks import round_times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito (2008), told apart under all common colour blindnesses; dashes differ as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#3f3f8f")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (7, 2, 1.5, 2)))
INK, FADED, RULE = "#1c2430", "#6b7480", "#e4e7eb"


CHART = text_kind("a picture", rb"(\x89PNG|<\?xml).{0,4000}lstmcast")


def check_chart(path: str | Path) -> None:
    """Raises UsageError for an ending that is neither .png nor .svg, and where another file is
    there. To be called before any work."""
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise UsageError(
            "a chart is written as PNG or SVG",
            code="usage/chart-format",
            where=str(path),
            value=Path(path).suffix,
            remedy="Give --output a name that ends in .png or .svg",
        )
    check_output(path, CHART)


def forecast_png(path: str | Path, chart: FanChart) -> Path:
    """Write `chart` to `path`, as PNG or SVG by its ending; whole or not at all.

    Raises UsageError for another ending, OutputError when the file cannot be written.
    """
    path = Path(path)
    check_chart(path)
    kind: Literal["png", "svg"] = "svg" if path.suffix.lower() == ".svg" else "png"
    write_output(path, forecast_image(chart, kind), CHART)
    return path


def forecast_image(chart: FanChart, kind: Literal["png", "svg"] = "png") -> bytes:
    """`chart` as the bytes of an image, 10 by 4.8 inches (PNG: 1600 by 768 pixels).

    The same chart gives the same bytes on one machine.
    """
    figure = empty_figure(4.8, dpi=160)
    axes = figure.add_subplot()
    _dress(axes, chart)
    _draw_history(axes, chart)
    _draw_forecasts(axes, chart)
    _head(figure, axes, chart)
    return image_bytes(figure, kind)


def empty_figure(height: float, dpi: int) -> Figure:
    """A white figure, 10 by `height` inches, whose parts find their own places."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height), dpi=dpi, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.16, h_pad=0.13)  # type: ignore[union-attr, call-arg]
    return figure


def image_bytes(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The figure as an image without date and version: the same figure gives the same bytes."""
    import matplotlib

    out = io.BytesIO()
    stamp: dict[str, Any] = {"Date": None, "Creator": "lstmcast"}
    if kind == "png":
        stamp = {"Software": "lstmcast"}
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "lstmcast"}):
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # an id may be in any script
        figure.savefig(out, format=kind, metadata=stamp)
    return out.getvalue()


def bare(axes: Any, size: int, pad: int) -> None:
    """As little ink as reads well: a faint grid and no frame. size, pad: of the ticks' labels."""
    from matplotlib.ticker import FuncFormatter

    axes.margins(x=0.01)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b6bdc6")
    axes.tick_params(colors=FADED, labelsize=size, length=0, pad=pad)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: short_number(value).replace("-", "\N{MINUS SIGN}"))
    )


def _dress(axes: Any, chart: FanChart) -> None:
    """Limits, axes and grid."""
    from matplotlib.dates import (
        AutoDateLocator,
        ConciseDateFormatter,
        DateFormatter,
        HourLocator,
    )
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_ylim(*value_limits(chart))
    unit = axes.set_ylabel(clean_label(chart.unit, 40), color=FADED, fontsize=10)
    unit.set_parse_math(False)
    bare(axes, size=10, pad=6)
    axes.tick_params(axis="x", length=4, color="#b6bdc6")
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if np.issubdtype(chart.times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        if _hours(chart.times):  # the days have names; noon between them
            axes.xaxis.set_minor_locator(HourLocator(byhour=[12]))
            axes.xaxis.set_minor_formatter(DateFormatter("%H:%M"))
            axes.tick_params(axis="x", which="minor", length=2, labelsize=7, colors=FADED)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _hours(times: np.ndarray) -> bool:
    """Whether ticks stand at days, of times within a day: over 3 and up to 9 days of them."""
    stamps = times.astype("datetime64[m]")
    days = (stamps[-1] - stamps[0]) / np.timedelta64(1, "D")
    return bool(3 < days <= 9 and np.diff(stamps).min() < np.timedelta64(1, "D"))


def short_number(value: float) -> str:
    """A number for an axis: 1,200 and 0.25, but 3.1M and 2e-07."""
    size = abs(value)
    if size == 0:
        return "0"
    if 1e6 <= size < 1e15:
        scale, letter = next(p for p in ((1e12, "T"), (1e9, "B"), (1e6, "M")) if size >= p[0])
        return f"{value / scale:.6g}{letter}"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.6g}" if size < 1000 else f"{value:,.0f}"


def _draw_history(axes: Any, chart: FanChart) -> None:
    """The history as a line, the held-out actuals as dots on one, and where the forecast starts."""
    steps = len(chart.history)
    past, ahead = chart.times[:steps], chart.times[steps:]
    axes.plot(past, chart.history, color="#56606c", linewidth=1.4, label="history", zorder=3)
    lonely = _lonely(chart.history)
    axes.plot(past[lonely], chart.history[lonely], ".", color="#56606c", markersize=3, zorder=3)
    if chart.actual is not None:
        axes.plot(
            *_joined(chart, chart.actual),
            color=INK,
            linewidth=0.7,
            marker="o",
            markersize=4.6 if chart.horizon <= 60 else 2.6,
            markeredgecolor="white",
            markeredgewidth=0.7,
            markevery=slice(1 if steps else 0, None),
            label="actual",
            zorder=6,
        )
    if steps:
        middle = past[-1] + (ahead[0] - past[-1]) / 2
        axes.axvline(middle, color="#aab2bd", linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            "forecast",
            (middle, 1),
            xycoords=("data", "axes fraction"),
            xytext=(5, -2),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=FADED,
        )


def _draw_forecasts(axes: Any, chart: FanChart) -> None:
    """The first model's bands filled, the second's widest one outlined; every median a line."""
    ahead = chart.times[len(chart.history) :]
    for place, (name, median) in enumerate(chart.medians.items()):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        shown, levels = clean_label(name, 30), chart.bands.get(name, {})
        for tint, level in enumerate(sorted(levels, reverse=True)):
            lower, upper = levels[level]
            if place == 0:
                label = f"{shown} {level:g}%"
                alpha = min(0.14 + 0.16 * tint, 0.5)
                fill = axes.fill_between(ahead, lower, upper, color=colour, alpha=alpha, lw=0)
                fill.set(label=label, zorder=2 + 0.1 * tint)
            elif place == 1 and tint == 0:
                style = {"linewidth": 0.9, "linestyle": (0, (1, 1.8)), "alpha": 0.9}
                lines = axes.plot(ahead, np.stack([lower, upper], 1), color=colour, **style)
                lines[0].set_label(f"{shown} {level:g}%")
        width = 2.4 if place == 0 else 1.8
        axes.plot(*_joined(chart, median), color=colour, lw=width, ls=dashes, label=shown, zorder=5)


def _joined(chart: FanChart, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a curve over the horizon, begun at the last value of the history."""
    steps = len(chart.history)
    if not steps:
        return chart.times, curve
    return chart.times[steps - 1 :], np.concatenate([chart.history[-1:], curve])


def _lonely(values: np.ndarray) -> np.ndarray:
    """True where a value stands between two missing ones, so that no line would show it."""
    padded = np.concatenate([[np.nan], values, [np.nan]])
    return np.isfinite(values) & np.isnan(padded[:-2]) & np.isnan(padded[2:])


def value_limits(chart: FanChart) -> tuple[float, float]:
    """Limits of the value axis: all data and medians, and of the bands at most as much again."""
    inner = [chart.history, *chart.medians.values()]
    inner += [] if chart.actual is None else [chart.actual]
    core = _finite(inner)
    if not len(core):
        return -1.0, 1.0
    low, high = float(core.min()), float(core.max())
    room = (high - low) or abs(high) or 1.0
    bounds = _finite(
        [b for levels in chart.bands.values() for pair in levels.values() for b in pair]
    )
    if len(bounds):
        low = max(min(low, float(bounds.min())), low - room)
        high = min(max(high, float(bounds.max())), high + room)
    margin = 0.05 * ((high - low) or room)
    return (0.0 if core.min() >= 0 and low - margin < 0 else low - margin), high + margin


def _finite(curves: list[np.ndarray]) -> np.ndarray:
    """All finite values of `curves`, the largest cut to where differences cannot overflow."""
    values = np.concatenate([np.asarray(curve, dtype=float) for curve in curves] or [np.empty(0)])
    return np.clip(values[np.isfinite(values)], -1e300, 1e300)


def _head(figure: Any, axes: Any, chart: FanChart) -> None:
    """The title, and below it rows of keys: what was seen first, then the models."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=1)
    columns = max(2, min(len(labels), 7, 170 // (longest + 8)))  # as many as fit in 10 inches
    legend = figure.legend(
        handles,
        labels,
        title=clean_label(chart.title, 70),
        title_fontproperties={"size": 15, "weight": "bold"},
        alignment="left",
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.8,
        columnspacing=1.4,
    )
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)  # a `$` in an id is a dollar, not a formula


# --- The picture of what moved a forecast, drawn with matplotlib ---------------------------------
# Axes: L past steps, H horizon (steps), T LSTM steps.


UP, DOWN = COLOURS[0], COLOURS[1]
SHOWN_COVARIATES = 12


@dataclass(frozen=True)
class ExplanationChart:
    """title: the series; what: which steps are explained, in words.

    times (L+H,), datetime64 or integers: of the values, then of the forecast; past, contribution
    (L,): values and what each moved; ahead (H,): the forecast; by_lag: mean absolute contribution
    from 1, 2, ... steps before; covariates: (name, contribution, importance); attention (A, T):
    empty where there is none.
    """

    title: str
    what: str
    times: np.ndarray
    past: np.ndarray
    contribution: np.ndarray
    ahead: np.ndarray
    by_lag: np.ndarray
    covariates: Sequence[tuple[str, float, float]]
    attention: np.ndarray


def explanation_image(chart: ExplanationChart, kind: Literal["png", "svg"] = "png") -> bytes:
    """`chart` as the bytes of an image, 10 inches wide; the same chart gives the same bytes."""
    panels = _panels(chart)
    figure = empty_figure(0.9 + 2.3 * len(panels), dpi=120)
    title = f"What moved the forecast of {clean_label(chart.title, 60)}, {chart.what}"
    figure.suptitle(title, color=INK, fontsize=13, x=0.02, ha="left", parse_math=False)
    for axes, draw in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True
    ):
        bare(axes, size=9, pad=5)
        draw(axes, chart)
    return image_bytes(figure, kind)


Draw = Callable[[Any, ExplanationChart], None]


def _panels(chart: ExplanationChart) -> list[Draw]:
    panels: list[Draw] = [_history, _contributions, _lags]
    if chart.covariates:
        panels.append(_covariates)
    if len(chart.attention):
        panels.append(_attention)
    return panels


def _named(axes: Any, title: str, below: str = "") -> None:
    axes.set_title(title, loc="left", color=FADED, fontsize=10)
    axes.set_xlabel(below, color=FADED, fontsize=9, loc="right")


def _history(axes: Any, chart: ExplanationChart) -> None:
    shown = _shown(chart)
    back = np.arange(-shown, 0)
    axes.plot(back, chart.past[-shown:], color="#56606c", linewidth=1.2)
    axes.plot(np.arange(len(chart.ahead)), chart.ahead, color=UP, linewidth=1.8)
    axes.axvline(-0.5, color=RULE, linewidth=1.2)
    _dated(axes, chart)
    _named(axes, "the values that were read, and the forecast (blue)")


def _dated(axes: Any, chart: ExplanationChart) -> None:
    """The axis of times, whose places are steps from the start of the forecast."""
    begin = len(chart.past) - _shown(chart)
    places, labels = round_times(chart.times[begin:], 8)
    axes.set_xticks(places - _shown(chart), labels)
    axes.set_xlim(-_shown(chart) - 0.5, len(chart.ahead))


def _contributions(axes: Any, chart: ExplanationChart) -> None:
    shown = _shown(chart)
    contribution = chart.contribution[-shown:]
    colours = np.where(contribution >= 0, UP, DOWN)
    axes.bar(np.arange(-shown, 0), contribution, width=1.0 if shown > 300 else 0.8, color=colours)
    axes.axhline(0, color=FADED, linewidth=0.6)
    _dated(axes, chart)
    _named(axes, "how far each of them moved it, up (blue) or down (orange)")


def _lags(axes: Any, chart: ExplanationChart) -> None:
    most = _last_that_counts(chart.by_lag)
    axes.bar(np.arange(1, most + 1), chart.by_lag[:most], color=COLOURS[2], width=0.8)
    best = int(np.argmax(chart.by_lag))
    axes.annotate(
        str(best + 1),
        (best + 1, chart.by_lag[best]),
        ha="center",
        va="bottom",
        color=INK,
        fontsize=9,
    )
    axes.margins(y=0.18)
    _named(axes, "mean size of what moves a step, by how many steps before it", "steps before")


def _shown(chart: ExplanationChart) -> int:
    """Past values that are drawn: those that count, and twice the forecast's length at least."""
    counting = _last_that_counts(np.abs(chart.contribution[::-1]))
    return min(len(chart.past), max(counting, 2 * len(chart.ahead)))


def _last_that_counts(sizes: np.ndarray) -> int:
    """How many of the first `sizes` hold 95 hundredths of the whole, and a few more."""
    share = np.cumsum(sizes) / max(sizes.sum(), 1e-300)
    return min(len(sizes), int(np.searchsorted(share, 0.95)) + 5)


def _covariates(axes: Any, chart: ExplanationChart) -> None:
    shown = list(chart.covariates)[:SHOWN_COVARIATES][::-1]
    names = [clean_label(name, 30) for name, _, _ in shown]
    place = np.arange(len(shown))
    axes.barh(place, [100 * importance for _, _, importance in shown], color=COLOURS[3], height=0.6)
    axes.set_yticks(place, names, parse_math=False)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    _named(axes, "covariates: growth of the error when their rows are shuffled", "per cent")


def _attention(axes: Any, chart: ExplanationChart) -> None:
    steps = np.arange(-chart.attention.shape[1], 0)
    for number, (share, colour) in enumerate(zip(chart.attention, COLOURS * 4, strict=False)):
        axes.plot(steps, share, color=colour, linewidth=1.3, label=f"part {number + 1}")
    axes.set_ylim(0, None)
    if len(chart.attention) > 1:
        axes.legend(ncols=6, fontsize=8, frameon=False, labelcolor=FADED, loc="upper left")
    _named(axes, "where the last step looks", "steps of the network")
