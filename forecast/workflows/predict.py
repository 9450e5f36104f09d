"""`predict` and `forecast` from a table to a table of forecasts, read top to bottom."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import UsageError
from forecast.common.files import (
    FileKind,
    check_output,
    is_file_output,
    one_command,
    text_kind,
    write_output,
)
from forecast.common.folders import check_beside, list_in_mark, write_beside
from forecast.common.progress import Listener, clean
from forecast.config.schema import NetworkSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.io.remote import check_remote_output, is_remote, shown, upload
from forecast.data.load import LoadReport
from forecast.data.open_steps import reach, rows_ahead
from forecast.data.panel import FUTURE, TIME, Panel
from forecast.inference.class_level import of_unseen, with_class_levels
from forecast.inference.formats.registry import (
    USUAL,
    format_of,
    refuse_other_tables,
    table_bytes,
)
from forecast.inference.point import MEDIAN, quantile_of, with_point
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.reconciliation import coherent_paths
from forecast.inference.sample_paths import (
    SAMPLES,
    path_beside,
    refuse_too_many,
    write_drawn,
    write_samples,
)
from forecast.inference.tables import (
    FORECAST,
    csv_bytes,
    forecast_table,
    span_of,
    wanted_levels,
    with_level,
    with_rows_of,
)
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import check_counts
from forecast.models.pretrained import FOLDER as BACKBONES
from forecast.models.pretrained import kind_of
from forecast.models.store import read_manifest, run_of
from forecast.reporting.finished_run import PREDICTIONS
from forecast.training.zero_shot import zero_shot
from forecast.transforms.covariates import unknown_ahead
from forecast.transforms.outlook import cover, with_columns
from forecast.workflows.combination import Combination, blended, statistical
from forecast.workflows.demand import EACH_ITS_OWN, choose_point, point_of
from forecast.workflows.hierarchy import Levels, errors_of, method_of, reconcile_windows
from forecast.workflows.load import find_model, read_levels, refuse_covariates

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.workflows.load import Source

Combined = tuple[Combination, int, Listener]  # weights, the baselines' season, who is told
PAGE = text_kind("a page", rb"(?i)<!doctype html")
UNTRAINED = (
    "Forecast by the pretrained network, as it is; train on these data to know how good it is."
)


@dataclass(frozen=True)
class PredictResult:
    """What `predict` did; samples: the file of the sample paths, page: that of the charts, both ""
    without."""

    path: str
    rows: int
    series: int
    model: Path
    horizon: int
    span: tuple[str, str]
    fallbacks: int
    exit_code: int
    chart: str
    predictions: pa.Table
    samples: str = ""
    page: str = ""
    time: tuple[str, ...] = ()
    time_format: str = ""


@one_command()
def predict_run(
    source: Source | None,
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    output: str | None = None,
) -> PredictResult:
    """Forecasts from the end of `source` (default: the file the model was trained on, read again).

    model: run folder or its model folder (default: the newest below the root that was trained on
    these data). output: a path (.csv or .parquet), "-" for standard output, "" for none, default a
    new file in the model's run, by the time of day: what `train` wrote there stays.
    """
    check_table(output, None, FORECAST)
    found = find_model(source, settings, listener, model)
    folder, forecaster, panel, report, levels = (
        found.folder, found.forecaster, found.panel, found.report, found.levels,
    )  # fmt: skip
    if levels is not None:
        levels = replace(levels, method=method_of(settings, found.manifest))
    horizon = settings.forecast.horizon or forecaster.horizon
    if horizon > forecaster.horizon:
        listener.note(
            f"the model was trained for {forecaster.horizon} steps; the intervals of the steps "
            f"after those are as wide as the last ones"
        )
    if horizon > panel.lengths.max(initial=0):
        text = f"{horizon:,} steps ahead are more than any series has behind it"
        listener.warn("forecast/long-horizon", text)
    panel = covered(panel, forecaster, horizon, settings)
    for code, text in unknown_ahead(forecaster.design, panel, horizon):
        listener.warn(code, text)
    listener.stage("Forecasting")
    usual = new_predictions(run_of(folder))
    point = point_of(settings, found.manifest)
    if levels is not None and quantile_of(point) is not None:
        listener.note(f"point forecast {point}: {EACH_ITS_OWN}")
    settings = with_point_setting(settings, point)
    return deliver(
        panel=panel,
        report=report,
        forecaster=forecaster,
        horizon=horizon,
        settings=settings,
        model=folder,
        output=output,
        usual=usual,
        levels=levels,
        combined=_combined(found.manifest, settings, listener),
    )


def _combined(
    manifest: Mapping[str, Any], settings: Settings, listener: Listener
) -> Combined | None:
    """What `train` found to be combined with the network's forecast, None for nothing."""
    combination = Combination.of(manifest, settings)
    if combination is None:
        return None
    return combination, int(manifest.get("season") or 1), listener


def new_predictions(run: Path) -> Path:
    """A file in the run's folder that is not there yet: predictions.csv, else one with the time."""
    path = run / PREDICTIONS
    stamp, number = time.strftime("%Y%m%d-%H%M%S"), 1
    while os.path.lexists(path):
        path = run / f"predictions-{stamp}{f'.{number}' if number > 1 else ''}.csv"
        number += 1
    return path


@one_command()
def forecast_run(
    source: Source,
    settings: Settings,
    listener: Listener,
    *,
    output: str | None = None,
    page: str | None = None,
) -> PredictResult:
    """Forecasts from the end of `source` with the pretrained network as it is: nothing is trained.

    Intervals are stretched to fit the last origins of the data. output: a path (.csv or .parquet),
    "" for none, default and "-" standard output. page: an HTML file with the charts of all series,
    None for none. Raises ForecastError.
    """
    output = "-" if output is None else output
    check_table(output, None, FORECAST)
    samples_path(settings, output, None)
    if page is not None:
        check_output(page, PAGE)
    refuse_covariates(settings)
    listener.stage("Reading the data")
    if (name := settings.network.name) != NetworkSettings().name:  # of a shared settings file
        listener.note(f"network.name {name}: without effect, for only train learns such a network")
    panel, report, levels = read_levels(source, settings.data, listener)
    if levels is not None:
        levels = replace(levels, method=method_of(settings, {}))
    listener.stage("Forecasting")
    ready = zero_shot(panel, report.seasons, settings, listener)
    model = BACKBONES / kind_of(ready.forecaster.layout)
    _, point, why = choose_point(panel, settings)
    listener.note(f"point forecast {point}: {why}")
    settings = with_point_setting(settings, point)
    return deliver(
        panel=panel,
        report=report,
        forecaster=ready.forecaster,
        horizon=ready.horizon,
        settings=settings,
        model=model,
        output=output,
        usual=None,
        levels=levels,
        page=page,
    )


def deliver(
    panel: Panel,
    report: LoadReport,
    forecaster: Forecaster,
    horizon: int,
    settings: Settings,
    model: Path,
    output: str | None,
    usual: Path | None,
    *,
    levels: Levels | None = None,
    page: str | None = None,
    combined: Combined | None = None,
) -> PredictResult:
    """Forecasts every series and writes the table to `output`, or to `usual` if that is None; and
    the charts to `page`, if that is wanted."""
    beside = samples_path(settings, output, usual)
    check_table(output, usual, FORECAST)
    made, table = forecast_of(panel, forecaster, horizon, settings, levels, combined)
    if beside is not None:
        draw_samples(beside, forecaster, panel, horizon, settings, levels, usual=output is None)
    chosen = format_of(output or USUAL)
    path = write_table(
        table,
        output,
        usual,
        FORECAST,
        dated=with_dates(table, panel, made, horizon) if chosen.dated else None,
        beside=sheets(settings, model, horizon, levels) if chosen.beside else None,
    )
    if page is not None:
        write_page(page, panel, report, made, settings, horizon)
    fallbacks = int((made.source != forecaster.name).sum())
    return PredictResult(
        path=path,
        rows=table.num_rows,
        series=panel.size,
        model=model,
        horizon=horizon,
        span=span_of(panel, made, horizon),
        fallbacks=fallbacks,
        exit_code=3 if fallbacks or report.skipped else 0,
        chart=chart_of_first(panel, made, settings.forecast.level, horizon),
        predictions=table,
        samples="" if beside is None else str(beside),
        page=page or "",
        time=report.time,
        time_format=report.time_format,
    )


def write_page(
    path: str, panel: Panel, report: LoadReport, made: Forecast, settings: Settings, horizon: int
) -> None:
    """Writes the page of a forecast that was made without training: the series and what lies ahead
    of them, `horizon` steps that there are. Raises OutputError."""
    from forecast.reporting.html.gather import run_report
    from forecast.reporting.html.page import render_report

    data = run_report(panel, report, {}, [made], None, settings, horizon=horizon)
    write_output(path, as_bytes(render_report(replace(data, verdict=UNTRAINED))), PAGE)


def samples_path(settings: Settings, output: str | None, usual: Path | None) -> Path | None:
    """Where sample paths go, None where none are wanted. Raises UsageError where the forecast goes
    to no file that they could stand beside, or another file is there."""
    if settings.sampling.number is None:
        return None
    where = Path(output) if output not in (None, "", "-") else usual if output is None else None
    if where is None or (output is not None and not is_file_output(where)):
        raise UsageError(
            "sample paths go into a file beside the forecast's",
            code="usage/samples-without-file",
            where="--samples",
            value=settings.sampling.number,
            remedy="Name that one: --output forecast.csv, or .parquet",
        )
    path = path_beside(where)
    check_output(path, SAMPLES, usual=output is None)
    return path


def draw_samples(
    path: Path,
    forecaster: Forecaster,
    panel: Panel,
    horizon: int,
    settings: Settings,
    levels: Levels | None = None,
    *,
    usual: bool = False,
) -> None:
    """Writes as many sample paths as the settings ask for, of a hierarchy such as add up in every
    future. usual: under their usual name in a run's folder. Raises as `write_samples`."""
    number = settings.sampling.number
    assert number is not None
    negative, seed = settings.forecast.allow_negative, settings.training.seed
    steps = reach(panel, panel.lengths, horizon)
    if levels is not None:
        refuse_too_many(number, steps)
        made = forecast_panel(forecaster, panel, steps, allow_negative=negative)
        errors = errors_of(forecaster, panel, levels, steps)
        drawn = coherent_paths(
            made,
            panel,
            levels.hierarchy,
            errors,
            levels.method,
            forecaster.dependence,
            number,
            allow_negative=negative,
            seed=seed,
        )
        write_drawn(path, iter([drawn]), panel, forecaster.name, usual=usual, most=horizon)
    else:
        write_samples(
            path, forecaster, panel, steps, number, seed, allow_negative=negative, usual=usual,
            most=horizon,
        )  # fmt: skip
    if usual:
        list_in_mark(path.parent, path.name)


def forecast_of(
    panel: Panel,
    forecaster: Forecaster,
    horizon: int,
    settings: Settings,
    levels: Levels | None = None,
    combined: Combined | None = None,
) -> tuple[Forecast, pa.Table]:
    """The network's forecast of every series, and the table, with the blend if one is `combined`.
    Raises InputError where covariates lack."""
    steps = reach(panel, panel.lengths, horizon)  # of the grid, for as many as there are
    panel = covered(panel, forecaster, horizon, settings)
    asked = settings.forecast
    if forecaster.whole:
        check_counts(panel)
    made = forecast_panel(forecaster, panel, steps, allow_negative=asked.allow_negative)
    made = with_class_levels(made, panel, None if levels is None else levels.hierarchy)
    point = asked.point or MEDIAN
    unseen = of_unseen(made, panel, point) if levels is None else None
    made = with_point(made, point)
    if levels is not None:
        errors = errors_of(forecaster, panel, levels, steps)
        made = reconcile_windows([made], panel, levels, forecaster, errors, settings, point)[0]
    own = () if combined is None or (level := quantile_of(point)) is None else (level,)
    made = at_levels(made, wanted_levels(asked.level, (*asked.quantiles, *own)))
    shown = [made] if combined is None else [made, *_blend(panel, made, combined, settings)]
    table = forecast_table(panel, shown, asked.level, asked.quantiles, horizon)
    if unseen is not None:
        new = at_levels(unseen[1], made.levels)
        names = [each.name for each in shown]
        table = with_rows_of(table, unseen[0], new, names, asked.level, asked.quantiles, horizon)
    return made, with_level(table, panel, None if levels is None else levels.names)


def covered(panel: Panel, forecaster: Forecaster, horizon: int, settings: Settings) -> Panel:
    """The panel with covariates that reach over the steps to come. Raises InputError where they
    lack: before anything is said of holes in them."""
    if forecaster.design is None:
        return panel
    names = [entry.name for entry in forecaster.design.of(FUTURE)]
    steps = reach(panel, panel.lengths, horizon)
    return cover(with_columns(panel, names), steps, settings.data.cov_short, names)


def _blend(panel: Panel, made: Forecast, combined: Combined, settings: Settings) -> list[Forecast]:
    """The blend of the network's forecast `made` and of baselines fitted now; what these could not
    be fitted to in time is told."""
    combination, season, listener = combined
    listener.stage("Fitting what is blended")
    parts = statistical(
        panel, panel.lengths[None], made.point.shape[1], combination.names, made.levels, season,
        settings, listener=listener,
    )  # fmt: skip
    point = settings.forecast.point or MEDIAN
    blend = blended({made.name: [made], **parts}, combination, point)
    for each in blend.values():
        for note in each[0].notes:
            listener.note(note)
    return [each[0] for each in blend.values()]


def with_point_setting(settings: Settings, point: str) -> Settings:
    """The settings with the point forecast that was chosen."""
    asked = settings.forecast.model_copy(update={"point": point})
    return settings.model_copy(update={"forecast": asked})


def chart_of_first(panel: Panel, made: Forecast, levels: Sequence[float], most: int) -> str:
    """The first series' forecast in characters, drawn only where a terminal will show it."""
    if not sys.stdout.isatty() or not made.available[0]:
        return ""
    from forecast.reporting.charts.fan import fan_chart
    from forecast.reporting.charts.terminal import terminal_chart

    return terminal_chart(fan_chart(panel, 0, [made], levels, most=most))


def with_dates(table: pa.Table, panel: Panel, made: Forecast, horizon: int) -> pa.Table:
    """The forecast table with the clock's times as timestamps in place of texts; as it is where
    steps are plain numbers."""
    if panel.frequency.integer or not table.num_rows:
        return table
    import pyarrow as pa

    kept = np.flatnonzero(made.available)
    series, step, _ = rows_ahead(panel, kept, made.origins, made.point.shape[1], horizon)
    at = (panel.first + made.origins)[kept[series]] + step
    stamps = np.asarray(panel.frequency.stamps(at)).astype("M8[us]")
    place = table.column_names.index(TIME)
    return table.set_column(place, TIME, pa.array(stamps, pa.timestamp("us")))


def sheets(
    settings: Settings,
    model: Path,
    horizon: int,
    levels: Levels | None,
    more: Sequence[tuple[str, str]] = (),
) -> dict[str, pa.Table]:
    """What stands in a workbook beside the forecast: the model's scores, and how it was made, with
    `more` names and values."""
    import pyarrow as pa

    rows: list[tuple[str, str]] = [
        ("model", str(model)),
        ("horizon", str(horizon)),
        ("point forecast", settings.forecast.point or MEDIAN),
        ("intervals, per cent", ", ".join(f"{level:g}" for level in settings.forecast.level)),
    ]
    if levels is not None:
        rows.append(("reconciliation", levels.method))
    rows += more
    given = settings.model_dump(mode="json", exclude_unset=True)
    rows += [
        (f"{section}.{name}", str(value))
        for section, values in given.items()
        for name, value in values.items()
    ]
    names, values = zip(*rows, strict=True)
    made = {"settings": pa.table({"setting": list(names), "value": list(values)})}
    scores = read_manifest(model).get("scores") or [] if model.is_dir() else []
    if scores:
        columns = list(dict.fromkeys(name for row in scores for name in row))
        made = {"scores": pa.table({c: [row.get(c) for row in scores] for c in columns}), **made}
    return made


def check_table(output: str | None, usual: Path | None, kind: FileKind) -> None:
    """Raises UsageError where `write_table` would refuse: another kind of table than the name
    promises, an address that cannot be written to, a file that is not to be replaced. To be called
    before any work."""
    refuse_other_tables(output)
    if output is None and usual is not None:
        check_beside(usual.parent, usual.name, kind)
    elif output not in (None, "", "-"):
        if is_remote(output):
            check_remote_output(output, kind)
        else:
            check_output(output, kind)


def write_table(
    table: pa.Table,
    output: str | None,
    usual: Path | None,
    kind: FileKind,
    *,
    dated: pa.Table | None = None,
    beside: Mapping[str, pa.Table] | None = None,
) -> str:
    """Writes a table, whole or not at all, in the format that the name asks for, to `output` or,
    where that is None, under its usual name in a run's folder; returns where. dated: the table with
    times as timestamps, for formats that have dates; beside: further sheets, for those that have
    room. Raises as `check_table`; OutputError."""
    if output == "":
        return ""
    if output == "-":
        content = csv_bytes(table)
        if sys.stdout.isatty():  # where an id could move the cursor
            content = clean(content.decode(), lines=True).encode()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return "-"
    where = output if output else str(usual)
    chosen = format_of(where)
    content = table_bytes(where, dated if chosen.dated and dated is not None else table, beside)
    path = Path(where)
    if output is None:
        write_beside(path.parent, path.name, content, kind)
    elif is_remote(where):
        upload(where, content)
        return shown(where)
    else:
        write_output(path, content, kind)
    return where
