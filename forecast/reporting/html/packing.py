"""Series packed for the page: 16-bit numbers in base64, one time axis for all.

A chart of 100 steps of history and a horizon of 24 with two models takes about 900 bytes, so that
2.3 MB hold some 2,500 of them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.reporting.charts.fan import FanChart, clean_label
from forecast.reporting.html.contents import SeriesEntry

BUDGET = 2_300_000  # bytes of packed series; the whole page stays below 3 MB
MOST_STEPS = 1500  # of one series; a longer one is thinned
MISSING = 65535  # the 16-bit number that stands for NaN
Key = tuple[str | None, str | None, float | None]  # model, "lo" or "hi", level of the interval
Layout = tuple[int, int, tuple[Key, ...]]  # T, H, keys of the curves after the history
STEPS = MISSING - 1  # the largest number that stands for a value


def packed_series(
    entries: Sequence[SeriesEntry], models: Sequence[str], budget: int = BUDGET
) -> dict[str, Any]:
    """As many of `entries`, from the first on, as fit in `budget` bytes, for the page's script.

    models: names whose scores are kept, in order. Returns a JSON document: `axis` (times),
    `layouts` (which curves follow one another in a chart's numbers) and `items`, one list a
    series: name, scores, one or two charts (held out, ahead), remark. A chart is a list: where on
    the axis its times lie, layout, lowest and highest value, step of thinning, base64 of
    little-endian uint16 (0 is the lowest value, 65534 the highest, 65535 none).
    """
    kept = list(_within(entries, budget))
    axis, places = _axis([thin.chart for views in kept for thin in views])
    layouts: dict[Layout, int] = {}
    where = iter(places)
    items = [
        [
            clean_label(entry.chart.title),
            [json_number(entry.scores.get(model)) for model in models],
            [_packed(thin, next(where), layouts) for thin in views],
            clean_label(entry.note, 200),
        ]
        for entry, views in zip(entries, kept, strict=False)
    ]
    units = {clean_label(thin.chart.unit, 40) for views in kept for thin in views}
    return {
        "axis": axis,
        "layouts": list(layouts),
        "items": items,
        "unit": units.pop() if len(units) == 1 else "",
    }


@dataclass(frozen=True)
class _Thin:
    """A chart of which only every `step`-th point is left."""

    chart: FanChart
    step: int


def _packed(thin: _Thin, place: int | list[int], layouts: dict[Layout, int]) -> list[Any]:
    """One chart's list; its layout joins `layouts` if it is a new one."""
    chart, curves = thin.chart, _curves(thin.chart)
    layout = (len(chart.history), chart.horizon, tuple(key for key, _ in curves))
    number = layouts.setdefault(layout, len(layouts))
    low, high, text = _quantised(np.concatenate([chart.history, *(c for _, c in curves)]))
    return [place, number, low, high, thin.step, text]


def json_number(value: float | None) -> float | None:
    """A finite number with 6 significant digits, or None: JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _within(entries: Sequence[SeriesEntry], budget: int) -> Iterator[list[_Thin]]:
    """The charts of the first entries whose packed size stays within `budget`; at least one."""
    used = 0
    for number, entry in enumerate(entries):
        views = [_thin(chart) for chart in (entry.chart, entry.future) if chart is not None]
        numbers = [len(v.chart.history) + v.chart.horizon * len(_curves(v.chart)) for v in views]
        used += sum(numbers) * 8 // 3 + 80 * len(views) + 80 + 6 * len(entry.chart.title[:80])
        if used > budget and number:
            return
        yield views


def _thin(chart: FanChart) -> _Thin:
    """`chart` with every k-th step, counted from the origin, so that no more than 1,500 remain."""
    step = math.ceil(len(chart.times) / MOST_STEPS)
    if step == 1:
        return _Thin(chart, 1)
    past = np.arange(len(chart.history) - 1, -1, -step)[::-1]
    ahead = np.arange(step - 1 if chart.horizon >= step else 0, chart.horizon, step)
    thinned = FanChart(
        title=chart.title,
        times=chart.times[np.concatenate([past, len(chart.history) + ahead])],
        history=chart.history[past],
        medians={name: curve[ahead] for name, curve in chart.medians.items()},
        bands={
            name: {level: (low[ahead], high[ahead]) for level, (low, high) in levels.items()}
            for name, levels in chart.bands.items()
        },
        actual=None if chart.actual is None else chart.actual[ahead],
        unit=chart.unit,
    )
    return _Thin(thinned, step)


def _curves(chart: FanChart) -> list[tuple[Key, np.ndarray]]:
    """The curves over the horizon with their keys; the key of the actual values names no model.

    The first model has all its intervals, the others only their widest, which is all that is drawn.
    """
    curves: list[tuple[Key, np.ndarray]] = []
    if chart.actual is not None:
        curves.append(((None, None, None), chart.actual))
    for name, median in chart.medians.items():
        shown = clean_label(name, 30)
        curves.append(((shown, None, None), median))
        levels = sorted(chart.bands.get(name, {}).items())
        for level, (low, high) in levels if name == chart.main else levels[-1:]:
            curves += [((shown, "lo", float(level)), low), ((shown, "hi", float(level)), high)]
    return curves


def _quantised(values: np.ndarray) -> tuple[float, float, str]:
    """Lowest and highest finite value, and all values between them as 16-bit numbers in base64."""
    values = np.clip(np.asarray(values, dtype=float), -1e300, 1e300)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    span = (high - low) or 1.0
    whole = np.rint((np.where(finite, values, low) - low) / span * STEPS)
    numbers = np.where(finite, whole, MISSING).astype("<u2")
    return float(low), float(high), base64.b64encode(numbers.tobytes()).decode("ascii")


def _axis(charts: Sequence[FanChart]) -> tuple[dict[str, Any], list[Any]]:
    """One axis that holds the times of all charts, and each chart's place on it.

    The axis is its first time and run lengths of the steps between times, in `per`-ths of a second
    since 1970, or integers; a place is the index of the first time, or all indices where there are
    jumps.
    """
    dates = bool(charts) and np.issubdtype(charts[0].times.dtype, np.datetime64)
    times, per = _plain([chart.times for chart in charts], dates)
    axis = np.unique(np.concatenate(times)) if times else np.empty(0, dtype=np.int64)
    places: list[Any] = []
    for each in times:
        index = np.searchsorted(axis, each)
        whole = bool((np.diff(index) == 1).all())
        places.append(int(index[0]) if whole else index.tolist())
    return {
        "dates": dates,
        "exact": _exactness(axis, per) if dates else "step",
        "per": per,
        "first": int(axis[0]) if len(axis) else 0,
        "runs": _runs(np.diff(axis)),
    }, places


def _plain(times: Sequence[np.ndarray], dates: bool) -> tuple[list[np.ndarray], int]:
    """Integers that stand for `times`, and how many of them are a second (1, or 1,000,000)."""
    if not dates:
        return [each.astype(np.int64) for each in times], 1
    fine = [each.astype("datetime64[us]").astype(np.int64) for each in times]
    if any((each % 1_000_000).any() for each in fine):
        return fine, 1_000_000
    return [each // 1_000_000 for each in fine], 1


def _exactness(axis: np.ndarray, per: int) -> str:
    """How much of a time must be shown: "year", "month", "day", "minute", "second" or "finer"."""
    if per > 1:
        return "finer"
    stamps = axis.astype("datetime64[s]")
    for name, unit in (("year", "Y"), ("month", "M"), ("day", "D"), ("minute", "m")):
        if (stamps == stamps.astype(f"datetime64[{unit}]").astype("datetime64[s]")).all():
            return name
    return "second"


def _runs(steps: np.ndarray) -> list[list[int]]:
    """`steps` as [step, how often in a row] pairs."""
    if not len(steps):
        return []
    starts = np.flatnonzero(np.concatenate([[True], steps[1:] != steps[:-1]]))
    counts = np.diff(np.append(starts, len(steps)))
    return np.stack([steps[starts], counts], axis=1).tolist()
