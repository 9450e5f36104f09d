"""Anomalies as a table."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.analysis.anomalies import Anomalies
from forecast.analysis.anomaly_stream import Anomaly
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.panel import ID, TARGET, TIME, Panel

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (ID, TIME, TARGET, "score", "lo", "hi", "kind", "reason")


def anomaly_table(panel: Panel, found: Anomalies) -> pa.Table:
    """Columns unique_id, ds, y, score, lo, hi, kind, reason; null where there is no number.

    Rows by series, then time; times in the form in which the panel's were written.
    """
    import pyarrow as pa

    stamps = panel.frequency.stamps(panel.first[found.series] + found.position)
    return pa.table(
        {
            ID: as_strings(panel.ids.tolist()).take(as_arrow(found.series)),
            TIME: format_stamps(stamps, panel.time_format, panel.tz),
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
