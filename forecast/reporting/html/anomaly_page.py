"""The page of `detect`: each series with what was expected of it, and what was odd.

Made as the report is (`page.py`): one file, nothing fetched, everything escaped.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from forecast.analysis.anomalies import GAP, POINT, RUN, SHIFT, STILL, Anomalies
from forecast.common.documents import as_bytes
from forecast.common.files import text_kind, write_output
from forecast.data.panel import Panel
from forecast.reporting.charts.anomalies import AnomalyChart, anomaly_chart, by_number_found
from forecast.reporting.charts.fan import clean_label
from forecast.reporting.glossary import TERMS
from forecast.reporting.html.ahead import counted, zone_of
from forecast.reporting.html.page import exactness, json_number, json_text, quantised, rendered

MOST_SERIES = 100  # with a chart of their own: those with the most anomalies
MOST_VALUES = 3000  # of one series; of a longer one, what lies near an anomaly and evenly the rest
NEAR = 3  # values on either side of an anomaly that stay
ANOMALY_PAGE = text_kind("a page of anomalies", rb"<!doctype html>.{0,900} anomalies</title>")
KINDS = (POINT, RUN, SHIFT, STILL, GAP)


@dataclass(frozen=True)
class AnomalyPage:
    """What the page holds; left_out: series with anomalies that have no chart on it.

    thinning: of each chart, one value in so many is drawn away from anomalies.
    """

    title: str
    created: str
    sentence: str
    facts: tuple[str, ...]
    charts: tuple[AnomalyChart, ...]
    thinning: tuple[int, ...]
    left_out: int = 0
    zone: str = ""
    unit: str = ""


def anomaly_page(
    panel: Panel, found: Anomalies, title: str, threshold: float, scorer: str, unit: str = ""
) -> AnomalyPage:
    """The page's contents; scorer: what forecast the values, in words; unit: of the values."""
    order = by_number_found(panel, found)
    shown = order[:MOST_SERIES]
    kept = [_kept(found, int(s), int(panel.lengths[s])) for s in shown]
    number, odd = len(found.kind), counted(len(order), "series").replace("seriess", "series")
    sentence = (
        f"{counted(number, 'anomaly').replace('anomalys', 'anomalies')} in {odd}."
        if number
        else "Nothing was found that the values before it did not make likely."
    )
    counts = {kind: int((found.kind == kind).sum()) for kind in KINDS}
    return AnomalyPage(
        title=title,
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        sentence=sentence,
        facts=(
            *(f"{kind}: {count:,}" for kind, count in counts.items() if count),
            f"{found.judged:,} of {int(np.isfinite(panel.values).sum()):,} values judged",
            f"beyond {threshold:g} usual deviations",
            f"judged by {scorer}",
        ),
        charts=tuple(
            anomaly_chart(panel, found, int(s), each, unit)
            for s, (each, _) in zip(shown, kept, strict=True)
        ),
        thinning=tuple(step for _, step in kept),
        left_out=len(order) - len(shown),
        zone=zone_of(panel),
        unit=unit,
    )


def _kept(found: Anomalies, s: int, length: int) -> tuple[np.ndarray, int]:
    """Positions of series `s` that are drawn, and one in how many away from anomalies."""
    step = -(-length // MOST_VALUES)
    near = found.position[found.series == s][:, None] + np.arange(-NEAR, NEAR + 1)
    near = near[(near >= 0) & (near < length)] if step > 1 else np.empty(0, dtype=int)
    return np.unique(np.concatenate([np.arange(0, length, step), near]).astype(np.int64)), step


def write_anomaly_page(path: str | Path, page: AnomalyPage) -> Path:
    """Write the page to `path`, whole or not at all. Raises UsageError, OutputError."""
    write_output(path, as_bytes(render_anomaly_page(page)), ANOMALY_PAGE)
    return Path(path)


def render_anomaly_page(page: AnomalyPage) -> str:
    """The page as text."""
    return rendered(
        "anomalies.html",
        ("format.js", "draw.js", "anomalies.js"),
        kind="anomalies",
        title=page.title,
        created=page.created,
        page=page,
        words=TERMS["Anomalies"],
        payload=json_text(_payload(page)),
    )


def _payload(page: AnomalyPage) -> dict[str, Any]:
    """What the page's script draws."""
    dates = bool(page.charts) and np.issubdtype(page.charts[0].times.dtype, np.datetime64)
    every = np.concatenate([chart.times for chart in page.charts]) if page.charts else np.empty(0)
    return {
        "kinds": list(KINDS),
        "dates": dates,
        "exact": exactness(every) if dates else "step",
        "zone": clean_label(page.zone, 40),
        "unit": clean_label(page.unit, 40),
        "series": [
            _packed(chart, step) for chart, step in zip(page.charts, page.thinning, strict=True)
        ],
    }


def _packed(chart: AnomalyChart, step: int) -> dict[str, Any]:
    """One series: its curves as numbers in base64, its anomalies as lists."""
    times = chart.times
    if np.issubdtype(times.dtype, np.datetime64):
        times = times.astype("datetime64[us]").astype(np.int64) / 1e6
    plain = times.astype("<f8").tobytes()
    return {
        "name": clean_label(chart.title),
        "thinning": step,
        "times": base64.b64encode(plain).decode("ascii"),
        "values": quantised(chart.values, 2),
        "low": quantised(chart.low, 2),
        "high": quantised(chart.high, 2),
        "found": [
            [int(at), json_number(float(score)), kind, why]
            for at, score, kind, why in zip(
                chart.at, chart.score, chart.kind, chart.reason, strict=True
            )
        ],
    }
