"""Forecasts as tables: one row a series and step, one column a forecaster and bound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.files import table_kind
from forecast.data.forecast import Forecast
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import rows_ahead
from forecast.data.panel import CUTOFF, ID, TARGET, TIME, Panel, interval_names, quantile_name
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.transforms.hierarchy import TOTAL

if TYPE_CHECKING:
    import pyarrow as pa


LEVEL = "level"  # column: the level of a hierarchy that a series is of


def _is_forecast(columns: list[str]) -> bool:
    """Whether a table with these columns is one that `forecast_table` made."""
    if columns[:2] != [ID, TIME] or TARGET in columns:
        return False
    bounds = any(re.fullmatch(r".+-((lo|hi)-[\d.]+|q[\d.]+)", name) for name in columns[2:])
    return bounds or any(
        spec.title == name for spec in NETWORK_SPECS.values() for name in columns[2:4]
    )


FORECAST = table_kind("a forecast", _is_forecast)


def forecast_table(
    panel: Panel,
    forecasts: Sequence[Forecast],
    levels: Sequence[float],
    quantiles: Sequence[float] = (),
    most: int | None = None,
) -> pa.Table:
    """Columns unique_id, ds, then for each forecaster its point, intervals and quantiles.

    levels: intervals in per cent; quantiles: extra columns, between 0 and 1; both must have been
    forecast. Rows by series, then step; times in the form in which the panel's were written. The
    first forecaster's `source` column is added when any of its rows came from another. Series
    for which no forecaster has a forecast are left out, and steps that never are (a shop's Sundays,
    the hour that summer time skips); an hour that comes twice has two rows. most: so many steps of
    each series, the first that there are.
    """
    import pyarrow as pa

    kept = np.flatnonzero(np.any([f.available for f in forecasts], axis=0))
    series, step, times = _rows_of(panel, forecasts[0], kept, most)
    columns: dict[str, pa.Array] = {
        ID: as_strings(panel.ids[kept].tolist()).take(as_arrow(series)),
        TIME: times,
    }
    at = kept[series], step
    for forecast in forecasts:
        columns[forecast.name] = numbers(forecast.point[at])
        for level in levels:
            for name, bound in zip(
                interval_names(forecast.name, level), forecast.interval(level), strict=True
            ):
                columns[name] = numbers(bound[at])
        for q in quantiles:
            columns[quantile_name(forecast.name, q)] = numbers(forecast.quantile(q)[at])
    main = forecasts[0]
    if (main.source[kept] != main.name).any():
        columns["source"] = as_strings(main.source[kept].tolist()).take(as_arrow(series))
    return pa.table(columns)


def _rows_of(
    panel: Panel, made: Forecast, kept: np.ndarray, most: int | None
) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """Of each row of the series `kept` its place among them, its step, and its time as text."""
    series, step, second = rows_ahead(panel, kept, made.origins, made.point.shape[1], most)
    stamps = panel.frequency.stamps((panel.first + made.origins)[kept[series]] + step)
    return series, step, format_stamps(stamps, panel.time_format, panel.tz, second)


def span_of(panel: Panel, made: Forecast, most: int | None = None) -> tuple[str, str]:
    """The first and the last time that is forecast of any series, as `forecast_table` writes them;
    blank where there is no forecast."""
    kept = np.flatnonzero(made.available)
    if not len(kept):
        return "", ""
    ends = (panel.first + made.origins)[kept]
    outer = kept[[ends.argmin(), ends.argmax()]]
    times = _rows_of(panel, made, outer, most)[2]
    return (str(times[0]), str(times[-1])) if len(times) else ("", "")


def with_rows_of(
    table: pa.Table,
    panel: Panel,
    made: Forecast,
    names: Sequence[str],
    levels: Sequence[float],
    quantiles: Sequence[float] = (),
    most: int | None = None,
) -> pa.Table:
    """The `table` that `forecast_table` made of forecasters `names`, and below it the series of
    another `panel`, whose forecast `made`, of another source, is that of each of them."""
    import pyarrow as pa

    same = [replace(made, name=name) for name in names]
    rows = forecast_table(panel, same, levels, quantiles, most)
    if "source" not in table.column_names:
        table = table.append_column("source", as_strings([names[0]] * table.num_rows))
    return pa.concat_tables([table, rows.select(table.column_names)])


def with_level(table: pa.Table, panel: Panel, names: np.ndarray | None) -> pa.Table:
    """The table with the column `level` behind the ids, where each series of `panel` has a level's
    name (S,); as it is where there are none."""
    if names is None:
        return table
    import pyarrow as pa

    name_of = dict(zip(panel.ids.tolist(), names.tolist(), strict=True))
    return table.add_column(1, LEVEL, pa.array([name_of[i] for i in table.column(0).to_pylist()]))


def whole_of(table: pa.Table) -> pa.Table:
    """The rows that add up to the whole: of a hierarchy those of its total, in which all others
    are; else all."""
    if LEVEL not in table.column_names:
        return table
    import pyarrow.compute as pc

    return table.filter(pc.equal(table.column(LEVEL), TOTAL))


def wanted_levels(levels: Sequence[float], quantiles: Sequence[float]) -> np.ndarray:
    """The quantile levels that these intervals (per cent) and quantile columns need, ascending."""
    tails = [(1 - level / 100) / 2 for level in levels]
    return np.unique(np.round([0.5, *quantiles, *tails, *(1 - t for t in tails)], 12))


def csv_bytes(table: pa.Table) -> bytes:
    """The table as CSV text: header, quotes only where needed, empty for missing."""
    import pyarrow as pa
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(quoting_style="needed"))
    return bytes(sink.getvalue())


# Columns that stay text however much their values look like numbers or moments.
TEXTS = (
    ID, TIME, CUTOFF, "source", "scenario", "level", "by", "reason", "at", "override_by",
    "override_reason", "override_at",
)  # fmt: skip


def read_written(source: Path | bytes, suffix: str = ".csv") -> pa.Table:
    """A table that lstmcast wrote, from its file or the content of one; ids, times and words are
    text. Raises pyarrow.ArrowException, OSError."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    file = pa.BufferReader(source) if isinstance(source, bytes) else source
    if suffix == ".parquet":
        return parquet.read_table(file)
    texts = csv.ConvertOptions(column_types=dict.fromkeys(TEXTS, pa.string()))
    return csv.read_csv(file, convert_options=texts)


def read_predictions(place: Path) -> pa.Table:
    """The table of forecasts that users read in the folder of a published run. Raises as
    `read_written`."""
    suffix = ".parquet" if (place / "predictions.parquet").is_file() else ".csv"
    return read_written(place / f"predictions{suffix}", suffix)


def records(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as JSON has them: None where a number is missing or not finite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            values = table.column(number)
            finite = pc.if_else(pc.is_finite(values), values, pa.nulls(len(values), column.type))
            table = table.set_column(number, column, finite)
    return table.to_pylist()


def numbers(values: np.ndarray) -> pa.Array:
    """float64, rounded to 9 significant digits: what float32 weights can know, and fewer bytes.

    Null where not finite.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = np.asarray(values, np.float64).reshape(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 8 - np.floor(np.log10(np.abs(flat)))
    digits = np.where(np.isfinite(digits), np.clip(digits, -300, 300), 0)
    power = 10.0 ** np.minimum(digits, 290)
    rounded = np.round(flat * power) / power
    finite = np.isfinite(rounded)
    column = as_arrow(np.where(finite, rounded, 0.0))
    return (
        column
        if finite.all()
        else pc.if_else(as_arrow(finite), column, pa.nulls(len(finite), pa.float64()))
    )
