"""`detect`: from a table to its anomalies, at once or row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from forecast.analysis.anomalies import Anomalies, find_anomalies, score_values
from forecast.analysis.anomaly_stream import COLUMNS, WatchedSeries, anomaly_table, csv_row, record
from forecast.common.files import check_output, one_command, table_kind
from forecast.common.progress import Listener
from forecast.config.schema import DataSettings, Settings
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.inference.formats.registry import USUAL, format_of
from forecast.inference.stream_rows import (
    Clock,
    Complaint,
    Followed,
    Row,
    RowReader,
    Spelling,
    follow,
)
from forecast.inference.streaming import refuse_what_rows_lack
from forecast.models.forecaster import Forecaster
from forecast.models.store import load_model, model_path
from forecast.reporting.charts.anomalies import anomaly_chart, by_number_found
from forecast.reporting.html.anomaly_page import ANOMALY_PAGE, anomaly_page, write_anomaly_page
from forecast.reporting.html.gather import data_name, unit_of
from forecast.training.zero_shot import ready_backbone
from forecast.workflows.load import data_settings, read, read_for_model, refuse_covariates
from forecast.workflows.predict import check_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.workflows.load import Source


ANOMALIES = table_kind("a table of anomalies", lambda columns: tuple(columns) == COLUMNS)


@dataclass(frozen=True)
class DetectResult:
    """What `detect` found: where it is, how many values were judged, anomalies by kind.

    page: where the page is, "" without one; chart: the series with the most anomalies, for a
    terminal, where one was asked for.
    """

    path: str
    series: int
    values: int
    judged: int
    kinds: dict[str, int]
    threshold: float
    model: str
    exit_code: int
    anomalies: pa.Table
    page: str = ""
    chart: str = ""
    time: tuple[str, ...] = ()
    time_format: str = ""


@one_command()
def detect_run(
    source: Source,
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    output: str | None = None,
    page: str | None = None,
    draw: bool = False,
) -> DetectResult:
    """The anomalies of `source`, judged by a trained model or, without one, the pretrained network.

    output: a path (.csv or .parquet), "" for none, default and "-" standard output; page: a path
    for the page that shows them; draw: also as characters. Raises ForecastError.
    """
    if page is not None:
        check_output(page, ANOMALY_PAGE)
    output = "-" if output is None else output
    check_table(output, None, ANOMALIES)
    listener.stage("Reading the data")
    panel, forecaster, report, _ = _read(source, settings, listener, model)
    listener.stage("Looking for anomalies")
    threshold = settings.detection.threshold
    found = find_anomalies(forecaster, panel, threshold)
    if not found.judged:
        listener.warn("detect/nothing-judged", "every series is too short for a value to be judged")
    table = anomaly_table(panel, found)
    dated = format_of(output or USUAL).dated
    path = write_table(
        table,
        output,
        None,
        ANOMALIES,
        dated=anomaly_table(panel, found, dated=True) if dated else None,
    )
    scorer, unit = model or "the pretrained network", unit_of(report)
    if page is not None:
        listener.stage("Making the page")
        title = data_name(report.source)
        write_anomaly_page(page, anomaly_page(panel, found, title, threshold, scorer, unit))
    kinds, counts = np.unique(found.kind.astype(str), return_counts=True)
    return DetectResult(
        path=path,
        series=panel.size,
        values=int(np.isfinite(panel.values).sum()),
        judged=found.judged,
        kinds=dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        threshold=threshold,
        model=scorer,
        exit_code=3 if report.skipped else 0,
        anomalies=table,
        page=page or "",
        chart=_drawn(panel, found) if draw else "",
        time=report.time,
        time_format=report.time_format,
    )


def _drawn(panel: Panel, found: Anomalies) -> str:
    """The series with the most anomalies, in characters; "" where nothing was found."""
    order = by_number_found(panel, found)
    if not len(order):
        return ""
    from forecast.reporting.charts.terminal import terminal_anomalies

    return terminal_anomalies(anomaly_chart(panel, found, int(order[0])))


def detect_stream(
    source: Source,
    settings: Settings,
    listener: Listener,
    streams: tuple[IO[bytes], IO[str]],
    complain: Complaint,
    *,
    model: str | None = None,
    as_json: bool = False,
) -> Callable[[], Followed]:
    """What follows the rows, once the history is read: the anomalies of those that come on the
    first of `streams` after the history `source`, written to the second at once: lines of CSV below
    a header, or of JSON."""
    listener.stage("Reading the history")
    panel, forecaster, report, data = _read(source, settings, listener, model)
    refuse_what_rows_lack(forecaster, Path(model or ""))
    clock = Clock(panel.frequency, panel.time_format, panel.tz)
    reader = RowReader(panel, clock, Spelling.of(report, data))
    listener.stage("Waiting for rows")
    rows, sink = streams
    answer = _watcher(panel, forecaster, settings.detection.threshold, reader, sink, as_json)

    def judged() -> Followed:
        if not as_json:
            sink.write(",".join(COLUMNS) + "\n")
            sink.flush()
        return follow(rows, reader, answer, complain)

    return judged


def _watcher(
    panel: Panel,
    forecaster: Forecaster,
    threshold: float,
    reader: RowReader,
    sink: IO[str],
    as_json: bool,
) -> Callable[[Row], None]:
    """What is done with each row: it is judged, and its anomalies are written."""
    watched: dict[int, WatchedSeries] = {}

    def answer(row: Row) -> None:
        if row.series not in watched:
            one = panel.select(np.array([row.series]))
            past = score_values(forecaster, one, threshold)
            watched[row.series] = WatchedSeries(forecaster, threshold, one, past)
        series = watched[row.series]
        for found in series.take(row.value, row.missing, row.shut, row.skipped):
            time = reader.clock.text(reader.next[row.series] - 1 - found.back)
            fields = record(reader.ids[row.series], time, found)
            sink.write((json.dumps(fields) if as_json else csv_row(fields)) + "\n")
        sink.flush()

    return answer


def _read(
    source: Source, settings: Settings, listener: Listener, model: str | None
) -> tuple[Panel, Forecaster, LoadReport, DataSettings]:
    """Panel, what judges it, how the table was understood, and the settings it was read with."""
    if model is not None:
        folder = model_path(Path(model))
        forecaster, manifest = load_model(folder)
        panel, report = read_for_model(source, settings, folder, forecaster, manifest, listener)
        data = data_settings(settings, manifest, forecaster.design, folder)
        return panel, forecaster, report, data
    refuse_covariates(settings)
    panel, report = read(source, settings.data, listener)
    return panel, ready_backbone(panel, report.seasons, settings), report, settings.data


def to_document(result: DetectResult) -> dict[str, Any]:
    """The result for JSON, its anomalies as a list."""
    fields = {k: value for k, value in vars(result).items() if k not in ("anomalies", "chart")}
    return {**fields, "anomalies": result.anomalies.to_pylist()}
