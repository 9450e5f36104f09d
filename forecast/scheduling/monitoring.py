"""What a monitor reads of a job: a ping after each run and a Prometheus text file."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from forecast.common.errors import UsageError
from forecast.common.files import text_kind, write_output

# --- Tell a monitor that a run began, ended well or failed; a monitor's trouble is never the
# run's
# The addresses follow healthchecks.io: URL/start, URL, URL/fail. Whoever knows the address can
# report in the job's name, so it is a secret: no message of this module repeats more than its host.


Event = Literal["start", "success", "fail"]

LIMIT = 10.0  # seconds that a ping may take in all
_LARGEST = 10_000  # bytes of text that go with it; monitors cut longer ones
_ENDINGS: Mapping[Event, str] = {"start": "/start", "success": "", "fail": "/fail"}


def ping(address: str, event: Event, text: str = "", limit: float = LIMIT) -> str | None:
    """Sends `event` to the monitor at `address`, `text` with it.

    Returns None when the monitor took it, otherwise one line that says why not, without the
    address. Never raises for what the network does, and returns within `limit` seconds: a name
    server that hangs is left behind in a thread that ends with the process.
    Raises UsageError for an address that can be none.
    """
    url = event_address(address, event)
    host = urlsplit(url).hostname
    outcome: list[str | None] = []
    sender = threading.Thread(
        target=lambda: outcome.append(_send(url, text, limit)), daemon=True, name="ping"
    )
    sender.start()
    sender.join(limit)
    if not outcome:
        return f"no answer from {host} within {limit:g} seconds"
    return None if outcome[0] is None else f"{host} was not told: {outcome[0]}"


def event_address(address: str, event: Event) -> str:
    """The address for `event`: its word goes at the end of the path, before any query.

    Raises UsageError when `address` is no http or https address, or one with a user's name.
    """
    parts = _parts(address)
    if parts.username is not None:
        raise UsageError(
            "an address to ping with a user's name and password is not supported",
            code="config/bad-ping",
            remedy="Use one whose path holds the secret, such as https://hc-ping.com/UUID",
        )
    path = parts.path.rstrip("/") + _ENDINGS[event]
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def hidden(address: str) -> str:
    """`address` as it may be shown: scheme and host, the rest as three dots."""
    parts = _parts(address)
    return f"{parts.scheme}://{parts.hostname}/..."


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in address.strip()):
        raise UsageError(
            "the address to ping is not an http or https address",
            code="config/bad-ping",
            remedy="Give ping an address such as https://hc-ping.com/UUID, or env:NAME for one "
            "in the environment",
        )
    return parts


def _send(url: str, text: str, limit: float) -> str | None:
    """None, or why it failed; never the address, which urllib's own messages may hold. Redirects
    are not followed: the address is a secret, and they lead to other hosts."""
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    request = urllib.request.Request(
        url,
        data=text.encode("utf-8", "replace")[-_LARGEST:],
        headers={"Content-Type": "text/plain; charset=utf-8", "User-Agent": "lstmcast"},
        method="POST",
    )
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=limit) as answer:
            answer.read(1000)
    except urllib.error.HTTPError as error:
        moved = ": it has moved, name the new address" if 300 <= error.code < 400 else ""
        return f"it answered with status {error.code}{moved}"
    except urllib.error.URLError as error:
        reason = error.reason
        if not isinstance(reason, OSError):
            return "the address is refused"
        return reason.strerror or type(reason).__name__
    except OSError as error:
        return error.strerror or type(error).__name__
    except Exception as error:  # a malformed answer; nothing that a monitor sends may stop a run
        return type(error).__name__
    return None


# --- What a job last did, as a file that Prometheus reads (node_exporter's textfile collector) ---
# The format is Prometheus' text exposition format 0.0.4. The file is replaced in one step, so that
# the collector never reads half of it; its name must end in .prom for the collector to see it.


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
    fallbacks: int | None = None  # series that no network forecast
    baseline_serves: int | None = None  # 1 where seasonal naive is in service
    lost: int | None = None  # series that the forecast before had and this one has not
    period: float | None = None  # from one start of the schedule to the next
    age_limit: float | None = None  # what schedule and step explain of the data's age
    warnings: int = 0  # of the last run
    set_aside: int = 0  # damaged files and folders of the job
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
    ("baseline_in_service", "1 where seasonal naive serves: no model beats it.", "baseline_serves"),
    ("lost_series", "Series of the forecast before that are gone or too late.", "lost"),
    ("schedule_period_seconds", "From one start of the schedule to the next.", "period"),
    ("data_age_limit_seconds", "Age of the data that schedule and step explain.", "age_limit"),
    ("last_run_warnings", "Warnings of the last run.", "warnings"),
    (
        "set_aside",
        "Damaged files and folders of the job, in set-aside/ or on the way.",
        "set_aside",
    ),
    ("rows", "Rows of the published forecast.", "rows"),
    ("folder_bytes", "Size of the job's folder.", "bytes_kept"),
    ("live_mase", "MASE of the published forecasts that have come true.", "live_mase"),
    ("promised_mase", "MASE that the backtest promised.", "promised_mase"),
)
_BY_LEVEL = (
    ("live_coverage", "Share of actuals inside the published interval.", "coverage"),
    ("promised_coverage", "The same, as the backtest promised.", "promised_coverage"),
)


METRICS = text_kind("a metrics file", rb"# HELP lstmcast_")


def write_metrics(path: Path, metrics: JobMetrics) -> None:
    """Replaces `path` by the metrics of one job. Raises OutputError, UsageError for a file of
    other content."""
    try:
        write_output(path, exposition(metrics).encode(), METRICS)
    except UsageError as error:
        if error.code == "output/foreign-file":
            error.remedy = NOT_METRICS
        raise


NOT_METRICS = "Name another file as metrics_file, or move that one away"


def exposition(metrics: JobMetrics) -> str:
    """The metrics in the text format, all of them gauges labelled with the job's name."""
    return "".join(f"{line}\n" for line in _lines(metrics))


def together(expositions: Iterable[str]) -> str:
    """Several expositions as one: the format wants all lines of a metric in one place."""
    headings: dict[str, dict[str, None]] = {}
    samples: dict[str, list[str]] = {}
    for line in (line for text in expositions for line in text.splitlines() if line):
        words = line.split(maxsplit=3)
        name = words[2] if line.startswith("#") else line.partition("{")[0].partition(" ")[0]
        if line.startswith("#"):
            headings.setdefault(name, {})[line] = None
        else:
            samples.setdefault(name, []).append(line)
    return "".join(f"{x}\n" for name in samples for x in (*headings.get(name, ()), *samples[name]))


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
