"""What a picture of one series' anomalies shows, as plain arrays.

Axes: N values shown, A anomalies among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.analysis.anomalies import GAP, Anomalies
from forecast.data.panel import Panel

SHOWN = 200  # values of a picture in a terminal
AFTER = 20  # values after the last anomaly


@dataclass(frozen=True)
class AnomalyChart:
    """One series, what was expected of it, and what was odd.

    times      (N,) datetime64 or integers; values, low, high: float64 (N,), NaN where unknown
    at         int64 (A,), positions of the anomalies among the N
    score      float64 (A,); kind, reason: texts (A,)
    """

    title: str
    times: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at: np.ndarray
    score: np.ndarray
    kind: np.ndarray
    reason: np.ndarray
    unit: str = ""


def by_number_found(panel: Panel, found: Anomalies) -> np.ndarray:
    """Positions of the series that have anomalies, (K,), the one with the most first."""
    count = np.bincount(found.series.astype(int), minlength=panel.size)
    order = np.argsort(-count, kind="stable")
    return np.asarray(order[count[order] > 0])


def anomaly_chart(
    panel: Panel, found: Anomalies, s: int, kept: np.ndarray | None = None, unit: str = ""
) -> AnomalyChart:
    """The chart of series `s`; kept: positions in the series that are shown, ascending (default:
    the last 200 values, or those before its last anomaly where that lies further back)."""
    mine = np.flatnonzero(found.series == s)
    position = found.position[mine]
    if kept is None:
        kept = _end(position[found.kind[mine] != GAP], int(panel.lengths[s]))
    at = np.searchsorted(kept, position)
    seen = (at < len(kept)) & (kept[np.minimum(at, len(kept) - 1)] == position)
    rows = panel.offsets[s] + kept
    return AnomalyChart(
        title=str(panel.ids[s]),
        times=panel.frequency.stamps(panel.first[s] + kept),
        values=panel.values[rows],
        low=found.lows[rows],
        high=found.highs[rows],
        at=at[seen],
        score=found.score[mine][seen],
        kind=found.kind[mine][seen],
        reason=found.reason[mine][seen],
        unit=unit,
    )


def _end(position: np.ndarray, length: int) -> np.ndarray:
    """The positions that the default picture shows, of a series of `length` values."""
    end = length
    if len(position) and position[-1] < length - SHOWN:
        end = int(position[-1]) + AFTER
    return np.arange(max(0, end - SHOWN), end)
