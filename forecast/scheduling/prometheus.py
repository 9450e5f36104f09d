"""What a job last did, as a file that Prometheus reads (node_exporter's textfile collector).

The format is Prometheus' text exposition format 0.0.4. The file is replaced in one step, so that
the collector never reads half of it; its name must end in .prom for the collector to see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forecast.common.files import write_bytes

_PREFIX = "lstmcast_"


@dataclass(frozen=True)
class JobMetrics:
    """What is known of a job after a run; None where nothing is known, and nothing is written.

    Times are seconds since 1970 UTC, durations seconds. `coverage` is by level in per cent:
    the share of actuals that fell into the published intervals.
    """

    job: str
    last_run: float
    exit_code: int
    seconds: float
    last_success: float | None = None  # of the last run that published or had nothing to do
    published: float | None = None  # when the forecast in `current` was made
    origin: float | None = None  # the last time that the data of that forecast reach to
    trained: float | None = None
    series: int | None = None
    fallbacks: int | None = None  # series that the LSTM did not forecast
    rows: int | None = None
    bytes_kept: int | None = None  # of the job's folder
    live_mase: float | None = None
    promised_mase: float | None = None
    coverage: Mapping[float, float] = field(default_factory=dict)
    promised_coverage: Mapping[float, float] = field(default_factory=dict)


# Name, help and the field of JobMetrics.
_SINGLE = (
    ("last_run_timestamp_seconds", "When the last run ended.", "last_run"),
    ("last_run_exit_code", "Exit code of the last run; 0 and 3 have published.", "exit_code"),
    ("last_run_duration_seconds", "How long the last run took.", "seconds"),
    ("last_success_timestamp_seconds", "When a run last ended well.", "last_success"),
    ("published_timestamp_seconds", "When the published forecast was made.", "published"),
    ("origin_timestamp_seconds", "The last time in the published forecast's data.", "origin"),
    ("trained_timestamp_seconds", "When the model in service was trained.", "trained"),
    ("series", "Series in the published forecast.", "series"),
    ("fallback_series", "Series that something other than the LSTM forecast.", "fallbacks"),
    ("rows", "Rows of the published forecast.", "rows"),
    ("folder_bytes", "Size of the job's folder.", "bytes_kept"),
    ("live_mase", "MASE of the published forecasts that have come true.", "live_mase"),
    ("promised_mase", "MASE that the backtest promised.", "promised_mase"),
)
_BY_LEVEL = (
    ("live_coverage", "Share of actuals inside the published interval.", "coverage"),
    ("promised_coverage", "The same, as the backtest promised.", "promised_coverage"),
)


def write_metrics(path: Path, metrics: JobMetrics) -> None:
    """Replaces `path` by the metrics of one job. Raises OutputError."""
    write_bytes(path, exposition(metrics).encode())


def exposition(metrics: JobMetrics) -> str:
    """The metrics in the text format, all of them gauges labelled with the job's name."""
    return "".join(f"{line}\n" for line in _lines(metrics))


def _lines(metrics: JobMetrics) -> Iterator[str]:
    job = {"forecast_job": metrics.job}  # `job` itself is Prometheus' own label
    for name, about, member in _SINGLE:
        value = getattr(metrics, member)
        if value is not None:
            yield from _heading(name, about)
            yield _sample(name, job, value)
    for name, about, member in _BY_LEVEL:
        by_level: Mapping[float, float] = getattr(metrics, member)
        if by_level:
            yield from _heading(name, about)
            for level, share in sorted(by_level.items()):
                yield _sample(name, {**job, "level": f"{level:g}"}, share)


def _heading(name: str, about: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} gauge"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{_PREFIX}{name}{{{inside}}} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
