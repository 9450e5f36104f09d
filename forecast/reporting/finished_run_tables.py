"""Forecasts and scores of a finished run, from its tables back to arrays.

Axes: R rows of a table, S series, W windows (held-out origins), H steps, Q quantiles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import InputError
from forecast.data.forecast import Forecast
from forecast.data.io.arrow import as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import always_open, repeated, skipped, slots
from forecast.data.panel import CUTOFF, ID, TARGET, TIME, Panel, interval_names, quantile_name
from forecast.evaluation.scores import Score, ScoreTable
from forecast.inference.class_level import CLASS
from forecast.inference.point import MEDIAN, quantile_of

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 200_000_000  # steps of all series and windows that a page is made of
STOOD_IN = "SeasonalNaive"


@dataclass(frozen=True)
class Places:
    """Where the rows of a table belong: series, and position of the time in it. int64 (R,)."""

    series: np.ndarray
    position: np.ndarray


def places(panel: Panel, table: pa.Table, column: str, beyond: int = 0) -> Places:
    """Series and positions of the rows of `table`, the time read in `column`.

    Times are looked up as the panel writes them, up to `beyond` steps after its end. Raises
    InputError when a series or a time is not in the data.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    series = _found(table, ID, as_strings(panel.ids.tolist()))
    start = int(panel.first.min())
    grid = np.arange(start, int((panel.first + panel.lengths).max()) + beyond)
    grid = grid[~skipped(panel.frequency, panel.tz, grid)]
    twice = grid[repeated(panel.frequency, panel.tz, grid)]
    grid, second = np.append(grid, twice), np.arange(len(grid) + len(twice)) >= len(grid)
    stamps = panel.frequency.stamps(grid)
    written = format_stamps(stamps, panel.time_format, panel.tz, second if len(twice) else None)
    texts = pc.cast(written, pa.string())
    at = _found(table, column, texts)
    if (grid[::-1][_found(table, column, texts[::-1])] != grid[at]).any():
        raise InputError(
            "the run's times cannot be told apart where clocks were set back: they have no offset",
            code="report/ambiguous-time",
            where=column,
            remedy="Train on times with an offset, such as 2024-10-27T02:30+01:00",
        )
    return Places(series, grid[at] - panel.first[series])


def _found(table: pa.Table, column: str, known: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    at = pc.index_in(table[column], value_set=known).to_numpy()
    missing = np.flatnonzero(np.isnan(np.asarray(at, dtype=float)))
    if len(missing):
        raise other_data(f"they have no {column} {table[column][int(missing[0])].as_py()!r}")
    return np.asarray(at, dtype=np.int64)


def other_data(what: str) -> InputError:
    """The error of data that are not those of the run."""
    return InputError(
        f"the run was not made from these data: {what}",
        code="report/other-data",
        remedy="Name the data that it was made from with --data",
    )


def held_out_forecasts(
    panel: Panel, table: pa.Table, document: Mapping[str, Any]
) -> dict[str, list[Forecast]]:
    """The forecasts of backtest.csv by column name, W for each, (S, gap + H).

    document: metrics.json. What the file does not hold is NaN: the gap's steps, steps without an
    actual, rows that were another's. Raises InputError when an actual differs from the data's.
    """
    gap, windows = int(document.get("gap", 0)), int(document["windows"])
    steps = gap + int(document["horizon"])
    if max(windows, steps - gap) > table.num_rows or windows * steps * panel.size > MOST:
        raise other_data(f"they have no {windows} windows of {steps} steps")
    row, cutoff = places(panel, table, TIME), places(panel, table, CUTOFF)
    _check_actuals(panel, table, row)
    origin = cutoff.position + 1
    last = np.full(panel.size, -1)
    np.maximum.at(last, row.series, origin)
    window = windows - 1 - (last[row.series] - origin) // max(int(document["step_size"]), 1)
    step = row.position - origin
    if (window < 0).any() or (step < gap).any() or (step >= steps).any():
        raise other_data("their steps in time are not those of the run")
    origins = np.tile(panel.lengths, (windows, 1))
    origins[window, row.series] = origin

    own = quantile_of(judged_point(document))

    def spread(column: str) -> np.ndarray:
        values = np.full((windows, panel.size, steps), np.nan)
        values[window, row.series, step] = column_values(table, column)
        return values

    return {
        str(entry["model"]): _windows_of(panel, table, entry, origins, spread, own)
        for entry in document["models"]
        if entry["model"] in table.column_names
    }


def judged_point(document: Mapping[str, Any]) -> str:
    """What the network's points are, by a metrics.json; medians where it is of a version that
    judged all points as such."""
    return str(document.get("point", MEDIAN)) if "judged" in document else MEDIAN


def _windows_of(
    panel: Panel,
    table: pa.Table,
    entry: Mapping[str, Any],
    origins: np.ndarray,
    spread: Any,
    own: float | None,
) -> list[Forecast]:
    """One forecaster's forecasts, with what metrics.json says of its time and its failures; own:
    the level of the quantile by which it was judged."""
    name = str(entry["model"])
    levels, columns = quantile_columns(table, name, own)
    point = spread(name)
    quantiles = np.stack([spread(each) for each in columns], axis=-1) if columns else None
    fallen = np.isin(panel.ids.astype(str), entry.get("fallen_back_series", []))
    made = []
    for w in range(len(origins)):
        available = np.isfinite(point[w]).any(axis=1)
        source = np.where(available, np.where(fallen, STOOD_IN, name), "").astype(object)
        shape = (*point[w].shape, 0)
        made.append(
            Forecast(
                name=name,
                origins=origins[w],
                point=point[w],
                levels=levels,
                quantiles=np.empty(shape) if quantiles is None else quantiles[w],
                source=source,
                available=available,
                seconds=float(entry["seconds"]) / len(origins),
                notes=tuple(entry.get("notes", ())),
            )
        )
    return made


def quantile_columns(
    table: pa.Table, name: str, own: float | None = None
) -> tuple[np.ndarray, list[str]]:
    """Quantile levels (Q,), ascending, that the columns of forecaster `name` hold, and which.

    The bounds of its intervals, its quantile at the level `own`, and its point, which is the median
    as far as the file says.
    """
    found: dict[float, str] = {}
    for column in table.column_names:
        if column.startswith(f"{name}-lo-"):
            text = column.removeprefix(f"{name}-lo-")
            if re.fullmatch(r"\d+(\.\d+)?", text):
                low, high = interval_names(name, float(text))
                tail = (1 - float(text) / 100) / 2
                found |= {tail: low, 1 - tail: high}
    if found:
        found[0.5] = name
    if own is not None and quantile_name(name, own) in table.column_names:
        found[own] = quantile_name(name, own)
    levels = sorted(found)
    return np.array(levels, dtype=float), [found[level] for level in levels]


def upcoming_forecasts(panel: Panel, table: pa.Table, names: Sequence[str]) -> list[Forecast]:
    """The forecasts of predictions.csv, each (S, H), from where its rows begin.

    names: forecasters, in this order; those that have no column are left out. Raises InputError
    when the rows do not follow the data.
    """
    table = _without_unseen(table, panel)
    counts = table.group_by(ID).aggregate([([], "count_all")])["count_all"].to_numpy()
    alike = always_open(panel)
    if alike and (counts != counts[0]).any():
        raise other_data("the forecast has series of different lengths")
    most = int(counts.max()) if alike else 8 * int(counts.max()) + 8 * slots(panel.frequency)
    row = places(panel, table, TIME, beyond=most)
    origins = panel.lengths.copy()
    np.minimum.at(origins, row.series, row.position)
    step = row.position - origins[row.series]
    steps = int(step.max()) + 1

    def spread(column: str) -> np.ndarray:
        values = np.full((panel.size, steps), np.nan)
        values[row.series, step] = column_values(table, column)
        return values

    made = []
    for name in names:
        if name in table.column_names:
            levels, columns = quantile_columns(table, name)
            point = spread(name)
            stacked = [spread(each) for each in columns]
            quantiles = np.stack(stacked, axis=-1) if stacked else np.empty((*point.shape, 0))
            available = np.isfinite(point).all(axis=1) if alike else np.isfinite(point).any(axis=1)
            source = np.where(available, name, "").astype(object)
            made.append(Forecast(name, origins, point, levels, quantiles, source, available))
    return made


def _without_unseen(table: pa.Table, panel: Panel) -> pa.Table:
    """The table without the series that have no value, which the panel has not."""
    if "source" not in table.column_names:
        return table
    known = set(panel.ids.astype(str).tolist())
    rows = zip(table[ID].to_pylist(), table["source"].to_pylist(), strict=True)
    kept = [str(name) in known or not str(source).startswith(CLASS) for name, source in rows]
    return table.filter(kept)


def column_values(table: pa.Table, column: str) -> np.ndarray:
    """A column of numbers as float64 (R,), NaN where empty."""
    import pyarrow as pa

    return np.asarray(table[column].cast(pa.float64()).to_numpy(), dtype=np.float64)


def _check_actuals(panel: Panel, table: pa.Table, row: Places) -> None:
    """Raises InputError when the data now say otherwise than the run's backtest.csv."""
    inside = (row.position >= 0) & (row.position < panel.lengths[row.series])
    index = panel.offsets[:-1][row.series] + np.where(inside, row.position, 0)
    now = np.where(inside, panel.values[index], np.nan)
    then = column_values(table, TARGET)
    wrong = ~(np.isclose(now, then, rtol=1e-8, atol=0, equal_nan=True) | np.isnan(then))
    if wrong.any():
        at = int(np.argmax(wrong))
        name, time = table[ID][at].as_py(), table[TIME][at].as_py()
        raise other_data(f"{name} is {now[at]:g} at {time}, then it was {then[at]:g}")


def with_written_figures(table: ScoreTable, document: Mapping[str, Any]) -> ScoreTable:
    """The score table with the figures of metrics.json in place of those computed again.

    The files hold fewer quantiles than were forecast, and not every row that another stood in
    for, so that only the written figures are those of the run.
    """
    scores = tuple(_score(entry, table.metrics) for entry in document["models"])
    steps: dict[str, dict[str, np.ndarray]] = {}
    for entry in document["steps"]:
        model = steps.setdefault(str(entry["model"]), {})
        for metric, value in entry.items():
            if metric not in ("model", "step"):
                column = model.setdefault(metric, np.full(table.horizon, np.nan))
                column[int(entry["step"]) - 1] = _figure(value)
    return replace(
        table,
        scores=scores,
        per_step=steps,
        without_actuals=int(document["without_actuals"]),
        undefined_scale=int(document["undefined_scale"]),
        short_for_season=int(document["short_for_season"]),
        zero_actuals=int(document["zero_actuals"]),
    )


def _score(entry: Mapping[str, Any], metrics: Sequence[str]) -> Score:
    def named(key: str) -> tuple[str, ...]:
        """The series of a list; "" for those that the file only counts."""
        known = [str(each) for each in entry.get(f"{key}_series", [])]
        return (*known, *[""] * (int(entry[key]) - len(known)))

    return Score(
        model=str(entry["model"]),
        values={metric: _figure(entry[metric]) for metric in metrics if metric in entry},
        series=int(entry["series"]),
        pairs=int(entry["pairs"]),
        best=_figure(entry["best"]),
        unavailable=named("unavailable"),
        fallen_back=named("fallen_back"),
        seconds=float(entry["seconds"]),
        notes=tuple(str(note) for note in entry["notes"]),
        memory=_figure(entry.get("memory_mb")) * 2**20,
    )


def _figure(value: float | None) -> float:
    return math.nan if value is None else float(value)
