"""The picture of what moved a forecast, drawn with matplotlib.

Axes: L past steps, H horizon (steps), T LSTM steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from forecast.reporting.charts.fan import clean_label
from forecast.reporting.charts.image import (
    COLOURS,
    DASHES,
    FADED,
    INK,
    RULE,
    bare,
    empty_figure,
    image_bytes,
)

UP, DOWN = COLOURS[0], COLOURS[1]
SHOWN_COVARIATES = 12


@dataclass(frozen=True)
class ExplanationChart:
    """title: the series; what: which steps are explained, in words.

    past, contribution (L,): values and what each moved; ahead (H,): the forecast; by_lag: mean
    absolute contribution from 1, 2, ... steps before; covariates: (name, contribution, importance);
    gates (layers, 3, T), attention (A, T): empty where there are none.
    """

    title: str
    what: str
    past: np.ndarray
    contribution: np.ndarray
    ahead: np.ndarray
    by_lag: np.ndarray
    covariates: Sequence[tuple[str, float, float]]
    gates: np.ndarray
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
    if len(chart.gates):
        panels.append(_gates)
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
    _named(axes, "the values that were read, and the forecast (blue)", "steps from its start")


def _contributions(axes: Any, chart: ExplanationChart) -> None:
    shown = _shown(chart)
    contribution = chart.contribution[-shown:]
    colours = np.where(contribution >= 0, UP, DOWN)
    axes.bar(np.arange(-shown, 0), contribution, width=1.0 if shown > 300 else 0.8, color=colours)
    axes.axhline(0, color=FADED, linewidth=0.6)
    axes.set_xlim(-shown - 0.5, len(chart.ahead))
    _named(
        axes, "how far each of them moved it, up (blue) or down (orange)", "steps from its start"
    )


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


def _gates(axes: Any, chart: ExplanationChart) -> None:
    steps = np.arange(-chart.gates.shape[2], 0)
    for layer, gates in enumerate(chart.gates):
        for share, name, colour in zip(gates, ("input", "forget", "output"), COLOURS, strict=False):
            axes.plot(
                steps,
                share,
                color=colour,
                linestyle=DASHES[layer % len(DASHES)],
                linewidth=1.3,
                label=f"{name} {layer + 1}",
            )
    axes.set_ylim(0, 1)
    axes.legend(ncols=6, fontsize=8, frameon=False, labelcolor=FADED, loc="upper left")
    _named(axes, "mean openness of the gates of each layer while it read", "steps of the network")


def _attention(axes: Any, chart: ExplanationChart) -> None:
    steps = np.arange(-chart.attention.shape[1], 0)
    for number, (share, colour) in enumerate(zip(chart.attention, COLOURS * 4, strict=False)):
        axes.plot(steps, share, color=colour, linewidth=1.3, label=f"part {number + 1}")
    axes.set_ylim(0, None)
    if len(chart.attention) > 1:
        axes.legend(ncols=6, fontsize=8, frameon=False, labelcolor=FADED, loc="upper left")
    _named(axes, "where the last step looks", "steps of the network")
