"""What a finished run folder holds, read back: of `train` and of `backtest` alike."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import (
    BadDocument,
    Document,
    check_schema,
    open_seal,
    read_bounded,
    read_document,
)
from forecast.common.errors import InputError, ModelDamagedError, ModelNotFoundError, UsageError
from forecast.common.files import STAGING
from forecast.config.options import options_of
from forecast.config.schema import DataSettings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import load_panel
from forecast.data.panel import ID, TIME, Panel
from forecast.inference.tables import read_written
from forecast.models.manifest import ModelManifest
from forecast.models.store import describe, model_path, recorded_data, refuse_to_take_places, run_of
from forecast.reporting.charts.fan import Band, FanChart
from forecast.reporting.documents import BacktestManifest, Explanation, Metrics
from forecast.reporting.finished_run_tables import column_values
from forecast.reporting.html.contents import Explained

if TYPE_CHECKING:
    import pyarrow as pa


MANIFEST = "manifest.json"
LARGEST = 64 * 2**20  # bytes of a document that is read


@dataclass(frozen=True)
class FinishedRun:
    """The files of a run; metrics, held_out and predictions are None where there is no such file.

    manifest   of the run itself (backtest) or of its model (train)
    metrics    metrics.json; held_out: backtest.csv; predictions: predictions.csv, ids and times
               as text; history: the rows of history.csv
    """

    folder: Path
    manifest: dict[str, Any]
    metrics: dict[str, Any] | None
    held_out: pa.Table | None
    predictions: pa.Table | None
    history: list[dict[str, Any]]


def read_run(where: Path) -> FinishedRun:
    """The run in the folder `where` (or of the model folder `where`).

    Raises ModelNotFoundError when it holds no run, ModelDamagedError when a file cannot be read.
    """
    folder, manifest = _manifest(where)
    metrics, history = folder / "metrics.json", folder / "history.csv"
    kind = BacktestManifest if manifest.parent == folder else ModelManifest
    return FinishedRun(
        folder,
        _document(manifest, kind, sealed_since=2),
        _document(metrics, Metrics) if metrics.is_file() else None,
        read_table_of(folder / "backtest.csv"),
        read_table_of(folder / "predictions.csv"),
        _history(history) if history.is_file() else [],
    )


def newest_run(root: Path) -> Path:
    """The newest finished run, of any kind, below `root`. Raises ModelNotFoundError."""
    found = []
    if root.is_dir():
        for run in root.iterdir():
            for manifest in (run / MANIFEST, run / "model" / MANIFEST):
                if not run.name.startswith(STAGING) and manifest.is_file():
                    found.append((manifest.stat().st_mtime_ns, run.name, run))
    if not found:
        raise ModelNotFoundError(
            "there is no finished run",
            code="report/no-run",
            where=str(root),
            remedy="Make one with `lstmcast train DATA` or `lstmcast backtest DATA`",
        )
    return max(found)[2]


def _manifest(where: Path) -> tuple[Path, Path]:
    """The run's folder and its manifest."""
    for folder, manifest in (
        (where, where / "model" / MANIFEST),
        (where.parent, where / MANIFEST) if where.name == "model" else (where, where / MANIFEST),
    ):
        if manifest.is_file():
            return folder, manifest
    raise ModelNotFoundError(
        "there is no finished run here",
        code="report/no-run",
        where=str(where),
        remedy="Name a folder that `lstmcast train` or `lstmcast backtest` wrote",
    )


def _document(path: Path, schema: type[Document], sealed_since: int = 0) -> dict[str, Any]:
    """A document of the run as its schema has it; sealed_since: the version from which it has a
    sum of its own (0: none). Raises ModelDamagedError, which names the field."""
    try:
        found = read_document(path, LARGEST)
        version = found.get("schema_version")
        open_seal(found, bool(sealed_since) and type(version) is int and version >= sealed_since)
        check_schema(schema, found)
    except BadDocument as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror}") from error
    return found


def read_table_of(path: Path) -> pa.Table | None:
    """A table of a run, ids and times as text; None where there is no such file. Raises
    ModelDamagedError."""
    import pyarrow as pa

    if not path.is_file():
        return None
    try:
        table = read_written(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "is not the table that the run wrote") from error
    if not {ID, TIME} <= set(table.column_names):
        raise damaged(path, f"has no columns {ID} and {TIME}")
    return table


def _history(path: Path) -> list[dict[str, Any]]:
    """The rows as they were written: numbers as numbers, None where nothing was measured."""
    words = {"member", "phase"}
    try:
        text = read_bounded(path, LARGEST).decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return [
            {
                key: text if key in words else float(text) if text else None
                for key, text in r.items()
            }
            for r in rows
        ]
    except (TypeError, ValueError, AttributeError, csv.Error, OSError) as error:
        raise damaged(path, "is not the table that the run wrote") from error


def damaged(path: Path, what: str) -> ModelDamagedError:
    """The error of a file of a run that is not as it was written."""
    return ModelDamagedError(
        f"the file {what}",
        code="report/damaged-run",
        where=str(path),
        remedy="Run train or backtest again, or restore the folder from a copy",
    )


# --- What `explain` left in a run's folder, for the page -----------------------------------------


DOCUMENT, PICTURE = "explanation.json", "explanation.svg"
SHOWN = 6  # lags, and covariates


def read_explained(folder: Path) -> Explained | None:
    """The explanation in the run's folder, None without one. Raises ModelDamagedError."""
    document, picture = folder / DOCUMENT, folder / PICTURE
    if not (document.is_file() and picture.is_file()):
        return None
    try:
        told = read_document(document, LARGEST)
        check_schema(Explanation, told)
        image = base64.b64encode(read_bounded(picture, LARGEST)).decode()
        return Explained(
            str(told["series"]),
            f"data:image/svg+xml;base64,{image}",
            tuple(
                (_steps(row["lag"]), f"{row['contribution']:.4g}") for row in told["lags"][:SHOWN]
            ),
            tuple(_covariate(row) for row in told["covariates"][:SHOWN]),
        )
    except BadDocument as error:
        raise damaged(document, str(error)) from error
    except OSError as error:
        raise damaged(document, f"cannot be read: {error.strerror}") from error


def _steps(lag: int) -> str:
    return "1 step before" if lag == 1 else f"{lag} steps before"


def _covariate(row: dict[str, object]) -> tuple[str, str]:
    growth, share = row["importance"], row["contribution"]
    text = f"moved it by {share:.4g}"
    return str(row["name"]), text if growth is None else f"{text}; shuffled, errors {growth:+.1%}"


# --- The chart of one series of a finished run: its history, read again, and the written
# forecast
# Axes: H horizon (steps).


PREDICTIONS = "predictions.csv"
SEARCHED = 10_000  # ids among which a mistyped one is looked for

_BOUND = re.compile(r"(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)")
_DERIVED = re.compile(r".+-((lo|hi)-[\d.]+|q[\d.]+)")


def run_chart(
    run: Path, series: str | None = None, data: str | None = None, root: str | Path = "runs"
) -> FanChart:
    """The newest forecasts of `series` (default: the first) in a run, after its history.

    run: run folder, or its model folder. data: where the history is (default: the file that the
    model was trained on, if the run is below `root`). Raises ModelNotFoundError, InputError or
    UsageError.
    """
    folder = model_path(run)
    manifest = describe(folder)
    table = _predictions(newest_predictions(run_of(folder)))
    name = _known_series(table, series)
    rows = table.filter(_is(table, name))
    if data is None:
        refuse_to_take_places(manifest, folder, root, "Name the file with --data")
    recorded, how = recorded_data(manifest, folder, root)
    if data is None and (not recorded or not Path(recorded).exists()):
        raise InputError(
            "the data that the model was trained on cannot be read again",
            code="input/training-data-gone",
            value=recorded,
            remedy="Name the file with --data",
        )
    settings = DataSettings(**how)
    panel, _ = load_panel(data or str(recorded), settings)
    return _chart(panel, name, rows)


def tables_beside(run: Path, root: Path) -> dict[str, str]:
    """The tables beside its data that a model was trained with, by setting ("events"), as far as
    they are read again with it: those of a run below `root`, the root of all runs.

    Raises ModelNotFoundError or ModelDamagedError.
    """
    folder = model_path(run)
    _, how = recorded_data(describe(folder), folder, root)
    paths = (option.field for option in options_of("data") if option.is_path)
    return {name: str(how[name]) for name in paths if how.get(name)}


def newest_predictions(run: Path) -> Path:
    """The newest table of forecasts in a run's folder: of `train`, or of a `predict` since then."""
    found = [run / PREDICTIONS, *run.glob("predictions-*.csv")]
    tables = [p for p in found if p.is_file() and not p.stem.endswith("-samples")]
    return max(tables, key=lambda path: path.stat().st_mtime_ns, default=run / PREDICTIONS)


def _predictions(path: Path) -> pa.Table:
    table = read_table_of(path)
    if table is None:
        raise ModelNotFoundError(
            "this run has no forecast",
            code="model/no-predictions",
            where=str(path),
            remedy="Make one with: lstmcast predict --model RUN",
        )
    return table


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


def chart_of(panel: Panel, table: pa.Table, series: str | None = None) -> FanChart:
    """The forecasts of `series` (default: the first) in a forecast table, after the history in
    `panel`. Raises UsageError for an unknown series, InputError where they do not fit together."""
    name = _known_series(table, series)
    return _chart(panel, name, table.filter(_is(table, name)))


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
        times=panel.frequency.stamps(positions),
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
        name: column_values(rows, name)
        for name in rows.column_names
        if name not in (ID, TIME, "source") and not _DERIVED.fullmatch(name)
    }


def _bands(rows: pa.Table) -> dict[str, dict[float, Band]]:
    found: dict[str, dict[float, Band]] = {}
    for name in rows.column_names:
        bound = _BOUND.fullmatch(name)
        if bound and bound["side"] == "lo":
            other = f"{bound['model']}-hi-{bound['level']}"
            band = (column_values(rows, name), column_values(rows, other))
            found.setdefault(bound["model"], {})[float(bound["level"])] = band
    return found
