"""One series whose values come one by one, each scored at once, as `anomalies.score_values` does.

A value costs the same however long the series is.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.analysis import anomalies
from forecast.analysis.anomalies import (
    Anomalies,
    ScoredValues,
    anomaly_score,
    counted,
    expected,
    reason,
    typical,
    usual,
    warm_up,
)
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import as_read, is_open
from forecast.data.panel import ID, TARGET, TIME, Panel
from forecast.inference.streaming import GrowingSeries
from forecast.models.forecaster import Forecaster
from forecast.transforms.scaling import calls_for_log

if TYPE_CHECKING:
    import pyarrow as pa


WHOLE = np.array([0, anomalies.CROWD])  # the last values that the rules look at, as one series


@dataclass(frozen=True)
class Anomaly:
    """back: how many steps before the newest value it began (a gap), else 0."""

    back: int
    value: float
    score: float
    low: float
    high: float
    kind: str
    reason: str


class WatchedSeries:
    """A series so far; panel: its history, of no other series, and `judged` what was said of it."""

    def __init__(
        self, forecaster: Forecaster, threshold: float, panel: Panel, judged: ScoredValues
    ) -> None:
        self.forecaster, self.threshold = forecaster, threshold
        values, read = panel.values, as_read(panel)
        steps = panel.first[0] + np.arange(len(values))
        there = is_open(panel, np.zeros_like(steps), steps)
        self._negative = bool((values < 0).any())
        self._gap = self._since = 0  # missing values so far, and steps since the first of them
        known = np.flatnonzero(np.isfinite(values))
        for step in range(int(known[-1]) + 1 if len(known) else 0, len(values)):
            self._miss(bool(there[step]))
        self._total = float(counted(judged.first).sum())
        self._count = int(np.isfinite(judged.first).sum())
        width = usual(judged.first, np.array([0, len(values)]))
        with np.errstate(invalid="ignore"):
            self._far = _last(np.abs(judged.first) > threshold * width)
        self._scores = _last(judged.score)
        self._still = _Flatline(values)
        self._early: list[float] = []
        self._passes: tuple[_Pass, _Pass] | None = None
        if len(values) >= warm_up(forecaster.layout):
            calm = replace(panel, values=np.where(judged.left_out, np.nan, values))
            self._passes = self._begun(read, as_read(calm))
        else:
            self._early = read.tolist()

    def take(
        self,
        value: float,
        missing: int = 0,
        shut: tuple[int, ...] = (),
        skipped: tuple[int, ...] = (),
    ) -> list[Anomaly]:
        """The anomalies that the next value shows, after `missing` steps without one, of which
        those of the numbers `shut` never have one, and the clock jumps over those `skipped` (which
        go on as `as_read` says); NaN where the value itself is missing."""
        for step in range(missing):
            self._miss(step not in shut)
            self._score_value(np.nan, step in skipped)
            self._still.take(np.nan)
        found = []
        if value != value:
            self._miss(True)
        elif self._gap:
            text = reason(anomalies.GAP, np.nan, self._gap)
            found.append(Anomaly(self._since, np.nan, np.nan, np.nan, np.nan, anomalies.GAP, text))
            self._gap = self._since = 0
        score, low, high = self._score_value(value)
        kind, steps = self._kind(value)
        if kind:
            found.append(Anomaly(0, value, score, low, high, kind, reason(kind, score, steps)))
        return found

    def _miss(self, there: bool) -> None:
        self._gap += there
        self._since += self._gap > 0

    def _score_value(self, value: float, skipped: bool = False) -> tuple[float, float, float]:
        """Score and expected range of the next value, which then belongs to the past."""
        if self._passes is None:
            return self._wait(self._early[-1] if skipped and self._early else value)
        levels = self.forecaster.levels
        seen, calm = self._passes
        width = typical(self._total, self._count)
        first = anomaly_score(np.array([value]), seen.quantiles(), levels)
        quantiles = calm.quantiles()
        score = float(anomaly_score(np.array([value]), quantiles, levels)[0] / width)
        low, high = expected(quantiles, levels, self.threshold * width, np.array([self._negative]))
        self._total += float(counted(first)[0])
        self._count += int(np.isfinite(first[0]))
        self._push(score, bool(np.abs(first[0]) > self.threshold * width))
        self._negative |= value < 0
        held = anomalies.held(self._far, WHOLE)[-1]
        seen.append(seen.newest if skipped else value)
        calm.append(calm.newest if skipped else np.nan if held else value)
        return score, float(low[0]), float(high[0])

    def _kind(self, value: float) -> tuple[str, int]:
        still = self._still.take(value)
        kind = str(anomalies.kinds(self._scores, self.threshold, WHOLE)[-1])
        return (anomalies.STILL if not kind and still else kind), still

    def _push(self, score: float, surprised: bool) -> None:
        self._scores[:-1], self._far[:-1] = self._scores[1:], self._far[1:]
        self._scores[-1], self._far[-1] = score, surprised

    def _wait(self, value: float) -> tuple[float, float, float]:
        """There is too little to go by; with enough, the passes begin."""
        self._push(np.nan, False)
        self._negative |= value < 0
        self._early.append(value)
        if len(self._early) >= warm_up(self.forecaster.layout):
            past = np.array(self._early)
            self._passes = self._begun(past, past)
        return np.nan, np.nan, np.nan

    def _begun(self, seen: np.ndarray, calm: np.ndarray) -> tuple[_Pass, _Pass]:
        start = seen[: warm_up(self.forecaster.layout)]
        logged = bool(calls_for_log(start, np.array([0, len(start)]))[0])
        return _Pass(self.forecaster, seen, logged), _Pass(self.forecaster, calm, logged)


class _Pass:
    """A history, with some values left out or none, and the forecast of the next value."""

    def __init__(self, forecaster: Forecaster, values: np.ndarray, logged: bool) -> None:
        self._series = GrowingSeries(forecaster, values, 1, logged=logged)
        self._width = len(forecaster.levels)
        known = values[np.isfinite(values)]
        self._only = float(known[0]) if len(known) else np.nan
        self._moved = bool((known != self._only).any())

    def quantiles(self) -> np.ndarray:
        """Quantiles (1, Q) of the next value; of a series that has never moved, its one value."""
        if not self._moved:
            return np.full((1, self._width), self._only)
        return self._series.quantiles(1)[0]

    @property
    def newest(self) -> float:
        """The last value, NaN where it is missing or left out."""
        return self._series.newest

    def append(self, value: float) -> None:
        """Takes the next value, NaN where it is missing or left out."""
        if value == value:
            self._only = value if self._only != self._only else self._only
            self._moved |= value != self._only
        self._series.append(value)


class _Flatline:
    """How long the newest value has stood still, if oddly long, as `anomaly_rules.standstill`."""

    def __init__(self, values: np.ndarray) -> None:
        self.last, self.length, self.longest, self.repeats, self.known = np.nan, 0, 0, 0, 0
        for value in values.tolist():
            self.take(value)

    def take(self, value: float) -> int:
        """Takes the next value; the number of equal values if that is odd, else 0."""
        same = value == self.last
        if not same:
            self.longest = max(self.longest, self.length)
            self.length = 0
        self.length += 1
        odd = (
            self.length >= anomalies.LEAST_STILL
            and self.length > 2 * self.longest > 0
            and self.repeats - self.length < 0.5 * self.known
        )
        self.repeats += same
        self.known += value == value
        self.last = value
        return self.length if odd else 0


def _last(x: np.ndarray) -> np.ndarray:
    """The last CROWD of `x` (N,), filled in front with NaN or False."""
    filler = np.full(anomalies.CROWD, np.nan if x.dtype.kind == "f" else False)
    return np.asarray(np.concatenate([filler.astype(x.dtype), x])[-anomalies.CROWD :])


# --- Anomalies as a table ------------------------------------------------------------------------


COLUMNS = (ID, TIME, TARGET, "score", "lo", "hi", "kind", "reason")


def anomaly_table(panel: Panel, found: Anomalies, *, dated: bool = False) -> pa.Table:
    """Columns unique_id, ds, y, score, lo, hi, kind, reason; null where there is no number.

    Rows by series, then time; times in the form in which the panel's were written, or `dated`: as
    timestamps of the clock, where steps are not plain numbers.
    """
    import pyarrow as pa

    stamps = panel.frequency.stamps(panel.first[found.series] + found.position)
    if dated and not panel.frequency.integer:
        times = pa.array(np.asarray(stamps).astype("M8[us]"), pa.timestamp("us"))
    else:
        times = format_stamps(stamps, panel.time_format, panel.tz)
    return pa.table(
        {
            ID: as_strings(panel.ids.tolist()).take(as_arrow(found.series)),
            TIME: times,
            TARGET: _numbers(found.value),
            "score": _numbers(np.round(found.score, 2)),
            "lo": _numbers(found.low),
            "hi": _numbers(found.high),
            "kind": as_strings(found.kind.tolist()),
            "reason": as_strings(found.reason.tolist()),
        }
    )


def record(name: str, time: str, found: Anomaly) -> dict[str, Any]:
    """One anomaly as the table has it: column to value, None where there is none."""
    numbers = (found.value, round(found.score, 2), found.low, found.high)
    written = [_digits(x) if math.isfinite(x) else None for x in numbers]
    return dict(zip(COLUMNS, (name, time, *written, found.kind, found.reason), strict=True))


def csv_row(fields: dict[str, Any]) -> str:
    """The line of a record, without its end; quotes only where needed."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields.values())
    return out.getvalue()


def _numbers(values: np.ndarray) -> pa.Array:
    """float64 with seven significant digits, null where not finite."""
    import pyarrow as pa

    finite = np.isfinite(values)
    texts = [_digits(x) for x in np.where(finite, values, 0.0)]
    return pa.array(texts, pa.float64(), mask=~finite)


def _digits(x: float) -> float:
    return float(f"{x:.7g}")
