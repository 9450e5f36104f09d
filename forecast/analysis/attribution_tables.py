"""An explanation as rows and as a document."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from forecast.analysis.attribution import Explanation
from forecast.analysis.network_internals import GATES
from forecast.data.io.timestamp_writing import format_stamps

COLUMNS = ("kind", "name", "ds", "lag", "value", "contribution", "importance", "spread")


def past_rows(found: Explanation) -> list[dict[str, Any]]:
    """One row a past value, the latest first: ds, lag (steps before the first explained one),
    value, and its mean contribution to the explained steps."""
    mean = found.past.contribution.mean(0)[::-1]
    length, panel = len(mean), found.panel
    back = np.arange(1, length + 1)
    stamps = panel.frequency.stamps(panel.first[0] + panel.lengths[0] - back)
    times = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
    values = panel.values[::-1][:length]
    return [
        {"ds": str(time), "lag": int(n + found.steps[0]), "value": value, "contribution": share}
        for time, n, value, share in zip(times, back, values.tolist(), mean.tolist(), strict=True)
    ]


def covariate_rows(found: Explanation) -> list[dict[str, Any]]:
    """One row a covariate, the most important first: name, contribution, importance, spread."""
    rows = [
        {
            "name": name,
            "contribution": share,
            "importance": found.importance[name].growth,
            "spread": found.importance[name].spread,
        }
        for name, share in found.shares.items()
    ]
    return sorted(rows, key=lambda row: -np.nan_to_num(row["importance"], nan=-np.inf))


def lag_rows(found: Explanation, most: int = 10) -> list[dict[str, Any]]:
    """The lags that matter most: steps before the explained one, mean absolute contribution."""
    by_lag = found.past.by_lag()
    order = np.argsort(-by_lag, kind="stable")[:most]
    return [{"lag": int(k) + 1, "contribution": float(by_lag[k])} for k in order if by_lag[k] > 0]


def to_document(found: Explanation) -> dict[str, Any]:
    """Everything, for JSON."""
    inside = found.inside
    return {
        "series": found.series,
        "steps": (found.steps + 1).tolist(),
        "forecast": float(found.past.forecast.mean()),
        "constant_series": {
            "value": found.past.level,
            "forecast": float(found.past.baseline.mean()),
        },
        "unexplained": found.past.gap,
        "lags": lag_rows(found),
        "covariates": covariate_rows(found),
        "past": past_rows(found),
        "gates": [dict(zip(GATES, layer.tolist(), strict=True)) for layer in inside.gates],
        "attention": inside.attention.tolist(),
    }


def csv_text(found: Explanation) -> str:
    """The rows as one table: past values, lags and covariates, told apart by `kind`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for kind, rows in (
        ("past", past_rows(found)),
        ("lag", lag_rows(found, most=len(found.past.by_lag()))),
        ("covariate", covariate_rows(found)),
    ):
        for row in rows:
            written = {key: _written(value) for key, value in row.items()}
            writer.writerow({"kind": kind, **written})
    return out.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7g}" if np.isfinite(value) else ""
    return value
