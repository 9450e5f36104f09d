"""The chart of one series of a finished run: its history, read again, and the written forecast.

Axes: H horizon (steps).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError, ModelNotFoundError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import load_panel
from forecast.data.panel import ID, TIME, Panel
from forecast.models.store import describe, model_path
from forecast.reporting.charts.fan import Band, FanChart, wall_clock

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.csv"
SEARCHED = 10_000  # ids among which a mistyped one is looked for

_BOUND = re.compile(r"(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)")
_DERIVED = re.compile(r".+-((lo|hi)-[\d.]+|q[\d.]+)")


def run_chart(run: Path, series: str | None = None, data: str | None = None) -> FanChart:
    """The forecasts of `series` (default: the first) in a run's predictions.csv, after its history.

    run: run folder, or its model folder. data: where the history is (default: the file that the
    model was trained on). Raises ModelNotFoundError, InputError or UsageError.
    """
    folder = model_path(run)
    manifest = describe(folder)
    table = _predictions(folder.parent / PREDICTIONS)
    name = _known_series(table, series)
    rows = table.filter(_is(table, name))
    recorded = manifest.get("data", {}).get("path")
    if data is None and (not recorded or not Path(recorded).exists()):
        raise InputError(
            "the data that the model was trained on cannot be read again",
            code="input/training-data-gone",
            value=recorded,
            remedy="Name the file with --data",
        )
    settings = DataSettings(**manifest.get("settings", {}).get("data", {}))
    panel, _ = load_panel(data or recorded, settings)
    return _chart(panel, name, rows)


def _predictions(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    if not path.is_file():
        raise ModelNotFoundError(
            "this run has no forecast",
            code="model/no-predictions",
            where=str(path),
            remedy="Make one with: lstmcast predict --model RUN",
        )
    texts = csv.ConvertOptions(column_types={ID: pa.string(), TIME: pa.string()})
    return csv.read_csv(path, convert_options=texts)


def _known_series(table: pa.Table, series: str | None) -> str:
    import pyarrow.compute as pc

    if table.num_rows and series is None:
        return str(table[ID][0].as_py())
    if table.num_rows and pc.any(_is(table, series)).as_py():
        return str(series)
    ids = table[ID].unique().slice(0, SEARCHED).to_pylist()
    near = get_close_matches(str(series), ids, n=3, cutoff=0.5)
    raise UsageError(
        "the forecast has no such series",
        code="plot/unknown-series",
        value=series,
        remedy=f"Did you mean {', '.join(near)}?" if near else f"There are: {', '.join(ids[:5])}",
    )


def _is(table: pa.Table, series: str | None) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.equal(table[ID], series)


def _chart(panel: Panel, series: str, rows: pa.Table) -> FanChart:
    s = int(np.searchsorted(panel.ids, series))
    if s >= panel.size or panel.ids[s] != series:
        raise _other_data(f"the data have no series {series!r}")
    origin, horizon = _origin(panel, s, rows[TIME][0].as_py()), rows.num_rows
    start = max(0, origin - max(3 * horizon, 48))
    positions = panel.first[s] + np.arange(start, origin + horizon)
    known = panel.series(s)[origin : origin + horizon]
    actual = np.append(known, np.full(horizon - len(known), np.nan))
    return FanChart(
        title=series,
        times=wall_clock(panel.frequency.stamps(positions), panel.tz),
        history=panel.series(s)[start:origin],
        medians=_medians(rows),
        bands=_bands(rows),
        actual=actual if np.isfinite(actual).any() else None,
    )


def _origin(panel: Panel, s: int, first: str) -> int:
    """The step of series `s` at which a forecast that begins at the time `first` begins."""
    steps = np.arange(panel.lengths[s] + 1)
    stamps = panel.frequency.stamps(panel.first[s] + steps)
    written = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
    for step in reversed(steps.tolist()):
        if str(written[step]) == first:
            return int(step)
    raise _other_data(f"the forecast begins at {first}, the data end before {written[-1]}")


def _other_data(what: str) -> InputError:
    return InputError(
        f"the forecast was not made from these data: {what}",
        code="plot/other-data",
        remedy="Name the data it was made from with --data, or run lstmcast predict again",
    )


def _medians(rows: pa.Table) -> dict[str, np.ndarray]:
    return {
        name: _values(rows, name)
        for name in rows.column_names
        if name not in (ID, TIME, "source") and not _DERIVED.fullmatch(name)
    }


def _bands(rows: pa.Table) -> dict[str, dict[float, Band]]:
    found: dict[str, dict[float, Band]] = {}
    for name in rows.column_names:
        bound = _BOUND.fullmatch(name)
        if bound and bound["side"] == "lo":
            other = f"{bound['model']}-hi-{bound['level']}"
            band = (_values(rows, name), _values(rows, other))
            found.setdefault(bound["model"], {})[float(bound["level"])] = band
    return found


def _values(rows: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    return np.asarray(rows[name].cast(pa.float64()).to_numpy(), np.float64)
