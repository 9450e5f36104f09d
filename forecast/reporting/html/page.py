"""`ReportData` as one HTML page that needs nothing but itself.

No address is ever fetched: a content security policy allows only the page's own script and style,
by their hashes. Everything that comes from data is escaped: as text by Jinja2, in the script's
JSON by `json_text`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.files import check_output, text_kind, write_output
from forecast.common.folders import check_beside, write_beside
from forecast.common.marks import BACKTEST, RUN, FolderKind, is_ours
from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.level_table import words_of
from forecast.reporting.charts.fan import FanChart, clean_label
from forecast.reporting.glossary import sections
from forecast.reporting.html.contents import LearningCurve, ReportData, SeriesEntry
from forecast.reporting.html.score_table import score_table

# --- Series packed for the page: whole numbers in base64, one time axis for all -----------------
# Two bytes a number are finer than a chart can show; the forecast ahead, which the page also writes
# as numbers, has three. A chart of 100 steps of history and a horizon of 24 with two models takes
# about 900 bytes, so that 2.3 MB hold some 2,500 of them.


BUDGET = 2_300_000  # bytes of packed series; the whole page stays below 3 MB
MOST_STEPS = 1500  # of one series; the past of a longer one is thinned, to no fewer than LEAST_PAST
MOST_AHEAD, LEAST_PAST = 2100, 300  # a horizon beyond it is thinned too, and its sum not told
WIDTHS = {"test": 2, "ahead": 3}  # bytes of a number in each view
Key = tuple[str | None, str | None, float | None]  # model, "lo" or "hi", level of the interval
Layout = tuple[int, int, tuple[Key, ...]]  # T, H, keys of the curves after the history


def missing(width: int) -> int:
    """The whole number of `width` bytes that stands for NaN."""
    return int(256**width - 1)


def packed_series(
    entries: Sequence[SeriesEntry],
    models: Sequence[str],
    budget: int = BUDGET,
    total: SeriesEntry | None = None,
) -> dict[str, Any]:
    """As many of `entries`, from the first on, as fit in `budget` bytes, for the page's script.

    models: names whose scores are kept, in order. Returns a JSON document: `axis` (times),
    `layouts` (which curves follow one another in a chart's numbers), `items`, one list a series:
    name, scores, one or two charts, remark, and `sum`, an item or None. A chart is a list: its
    view ("ahead" or "test"), where on the axis its times lie, layout, lowest and highest value,
    steps of thinning (of the past and ahead), bytes of a number, base64 of little-endian whole
    numbers (0 is the lowest value, the largest but one the highest, the largest none).
    """
    kept = list(_within(entries, budget))
    if total is not None:
        entries, kept = [*entries[: len(kept)], total], [*kept, *_within([total], 0)]
    axis, places = _axis([thin.chart for views in kept for thin in views])
    layouts: dict[Layout, int] = {}
    where = iter(places)
    items = [
        [
            clean_label(entry.title),
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
        "items": items[: len(items) - 1] if total is not None else items,
        "sum": items[-1] if total is not None else None,
        "unit": units.pop() if len(units) == 1 else "",
    }


@dataclass(frozen=True)
class _Thin:
    """A chart of which only every `past`-th and `ahead`-th point is left; its view."""

    chart: FanChart
    past: int
    ahead: int
    view: str


def _packed(thin: _Thin, place: int | list[int], layouts: dict[Layout, int]) -> list[Any]:
    """One chart's list; its layout joins `layouts` if it is a new one."""
    chart, curves = thin.chart, _curves(thin.chart)
    layout = (len(chart.history), chart.horizon, tuple(key for key, _ in curves))
    number = layouts.setdefault(layout, len(layouts))
    values = np.concatenate([chart.history, *(c for _, c in curves)])
    low, high, text = quantised(values, WIDTHS[thin.view])
    steps = [thin.past, thin.ahead]
    return [thin.view, place, number, low, high, steps, WIDTHS[thin.view], text]


def json_number(value: float | None) -> float | None:
    """A finite number with 6 significant digits, or None: JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _within(entries: Sequence[SeriesEntry], budget: int) -> Iterator[list[_Thin]]:
    """The charts of the first entries whose packed size stays within `budget`; at least one."""
    used = 0
    for number, entry in enumerate(entries):
        views = [_thin(chart, view) for view, chart in entry.views.items()]
        numbers = [
            (len(v.chart.history) + v.chart.horizon * len(_curves(v.chart))) * WIDTHS[v.view]
            for v in views
        ]
        places = sum(8 * len(v.chart.times) for v in views if v.past != v.ahead)
        used += sum(numbers) * 4 // 3 + 90 * len(views) + 80 + 6 * len(entry.title[:80]) + places
        if used > budget and number:
            return
        yield views


def _thin(chart: FanChart, view: str) -> _Thin:
    """`chart` with every k-th step of its past, counted from the origin, where it is long, and of
    its horizon where that alone is."""
    room = max(MOST_STEPS - chart.horizon, LEAST_PAST)
    past_step = max(1, math.ceil(len(chart.history) / room))
    step = max(1, math.ceil(chart.horizon / MOST_AHEAD))
    if past_step == step == 1:
        return _Thin(chart, 1, 1, view)
    past = np.arange(len(chart.history) - 1, -1, -past_step)[::-1]
    ahead = np.arange(step - 1, chart.horizon, step)
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
    return _Thin(thinned, past_step, step, view)


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


def quantised(values: np.ndarray, width: int) -> tuple[float, float, str]:
    """Lowest and highest finite value, and all values between them as numbers of `width` bytes, in
    base64."""
    values = np.clip(np.asarray(values, dtype=float), -1e300, 1e300)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    span = (high - low) or 1.0
    whole = np.rint((np.where(finite, values, low) - low) / span * (missing(width) - 1))
    numbers = np.where(finite, whole, missing(width)).astype("<u4")
    kept = numbers.view(np.uint8).reshape(-1, 4)[:, :width]
    return float(low), float(high), base64.b64encode(kept.tobytes()).decode("ascii")


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
        "exact": "step" if not dates else "finer" if per > 1 else exactness(axis),
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


def exactness(axis: np.ndarray) -> str:
    """How much of the times (seconds, or datetime64) must be shown: "year", "month", "day",
    "minute" or "second"."""
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


# --- What the page's script draws, as a JSON document of moderate size ---------------------------


POINTS = 600  # of one curve; a longer one is thinned


def payload(data: ReportData) -> dict[str, Any]:
    """All that is drawn: the packed series, and the curves of the other charts."""
    models = model_names(data)
    return {
        "models": [clean_label(name, 30) for name in models],
        "parts": {
            clean_label(line.row.model, 30): line.part
            for line in score_table(data).lines
            if line.part
        },
        "headline": clean_label(metric_named(data.headline).heading, 30),
        "pinned": next((n for n, e in enumerate(data.series) if e.title == data.pinned), None),
        "rival": clean_label(data.rival, 30),
        "total": max(data.total_series, len(data.series)),
        "packed": packed_series(data.series, models, total=data.total),
        "zone": clean_label(data.zone, 40),
        "twice": data.twice.astype("datetime64[s]").astype(np.int64).tolist(),
        "stepMetric": clean_label(metric_named(data.step_metric).heading, 30),
        "steps": [
            [clean_label(name, 30), *_thinned(np.arange(1, len(values) + 1), values)]
            for name, values in data.step_errors.items()
        ],
        "reliability": [
            [clean_label(name, 30), _numbers(each.promised), _numbers(each.observed), each.ties]
            for name, each in data.reliability.items()
        ],
        "residuals": [
            [
                clean_label(name, 30),
                _numbers(each.autocorrelation[:POINTS]),
                json_number(each.limit),
            ]
            for name, each in data.residuals.items()
        ],
        "learning": [_learning(curve, 6 * POINTS // len(data.learning)) for curve in data.learning],
    }


def model_names(data: ReportData) -> list[str]:
    """All forecasters of the page in one order, which is that of their colours.

    The main one of the first chart, those with scores in the order of the table, then the others.
    """
    charts = [chart for entry in data.series for chart in entry.views.values()]
    names = [chart.main for chart in charts[:1] if chart.main]
    names += [row.model for row in data.scores]
    for chart in charts:
        names += chart.medians
    return list(dict.fromkeys([*names, *data.step_errors]))


def _learning(curve: LearningCurve, points: int) -> dict[str, Any]:
    """One network's curves, each with its own steps: what was not measured is left out."""
    return {
        "name": clean_label(curve.name, 30),
        "training": _thinned(curve.steps, curve.training, points),
        "validation": _thinned(curve.steps, curve.validation, points),
        "rate": _thinned(curve.steps, curve.rate, points),
    }


def _thinned(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> list[list[float | None]]:
    """x and y where y is known, evenly thinned to at most `points`, first and last kept."""
    known = np.flatnonzero(np.isfinite(y))
    points = min(points, POINTS)
    if len(known) > points:
        known = known[np.unique(np.linspace(0, len(known) - 1, max(points, 2)).astype(int))]
    return [_numbers(np.asarray(x)[known]), _numbers(np.asarray(y)[known])]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [json_number(float(value)) for value in values]


# -------------------------------------------------------------------------------------------------


FOLDER = Path(__file__).parent
SCRIPTS = ("format.js", "draw.js", "series.js", "page.js")


PAGE = text_kind("a report", rb"<!doctype html>.{0,4000}forecast report</title>")
USUAL = "report.html"  # in a run's folder


def check_report(run: Path, output: str | None) -> None:
    """Raises UsageError where `write_report` would refuse; to be called before any work."""
    if output is None:
        check_beside(run, USUAL, PAGE, _kind_of(run))
    else:
        check_output(output, PAGE)


def write_report(run: Path, output: str | Path | None, data: ReportData) -> Path:
    """Writes the page to `output` or, where that is None, into the folder of the run; whole or not
    at all. Raises as `check_report`; OutputError."""
    content = as_bytes(render_report(data))
    if output is None:
        return write_beside(run, USUAL, content, PAGE, _kind_of(run))
    write_output(output, content, PAGE)
    return Path(output)


def _kind_of(run: Path) -> FolderKind:
    return BACKTEST if is_ours(run, BACKTEST) else RUN


def rendered(template: str, scripts: Sequence[str], **contents: Any) -> str:
    """A page from `template`, with the style, the scripts and the policy that allows only these.

    contents: what the template asks for; `base.html` a title, what kind of page it is, when it was
    created, and the payload of its script.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    style, script = _part("style.css"), "\n".join(_part(name) for name in scripts)
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label"] = clean_label
    policy = _policy(style, script)
    return environment.get_template(template).render(
        style=style, script=script, policy=policy, **contents
    )


def render_report(data: ReportData) -> str:
    """The page, below 3 MB whatever the number of series: a bounded sample of them is embedded."""
    document = payload(data)
    headline, details = told(data.verdict)
    return rendered(
        "page.html",
        SCRIPTS,
        kind="forecast report",
        title=data.title,
        created=data.created,
        data=data,
        headline=headline,
        details=details,
        table=score_table(data),
        levels_told=words_of(data.by_level),
        levels_metric=data.by_level[0].metric if data.by_level else "",
        models=model_names(data),
        shown=len(document["packed"]["items"]),
        glossary=list(sections()),
        payload=json_text(document),
    )


def told(verdict: str) -> tuple[str, str]:
    """The verdict's first clause as a sentence of its own, and the rest of it as another one."""
    parted = re.sub(r", and (?=\S+ \S+ against )|; ", "\n", verdict, count=1)
    first, _, rest = parted.partition("\n")
    return (f"{first}.", rest[0].upper() + rest[1:]) if rest else (verdict, "")


def _part(name: str) -> str:
    """A file of the page's own, as it stands in this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A content security policy: this style, this script, and nothing else from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    """The hash of an inline script or style, as a content security policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def json_text(document: Any) -> str:
    """JSON that cannot end the script element it stands in, nor a line of a script."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
