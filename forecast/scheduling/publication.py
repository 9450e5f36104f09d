"""Publishing: a run folder written file by file, its manifest last, then the link moved.

Every step leaves a state from which `recovery.py` goes on: without a manifest the folder counts
for nothing; with it, the run is published, and link and ledger follow.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import OutputError
from forecast.common.files import STAGING, failed_to_write, sync_folder, write_bytes
from forecast.config.schema import ForecastSettings
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.inference.predict import at_levels
from forecast.inference.tables import csv_bytes, forecast_table, wanted_levels
from forecast.scheduling.as_of import Slot
from forecast.scheduling.forecast import Made

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.data.forecast import Forecast

SCHEMA_VERSION = 1
RUNS, CURRENT, MANIFEST = "runs", "current", "manifest.json"
WHOLE, LOG = "forecast.parquet", "log.jsonl"


@dataclass(frozen=True)
class Edition:
    """A published run: its name and its manifest."""

    run: str
    manifest: Mapping[str, Any]

    @property
    def sequence(self) -> int:
        """How many publications there were with it."""
        return int(self.manifest["sequence"])

    @property
    def position(self) -> int:
        """Grid position of its as-of."""
        return int(self.manifest["as_of_position"])


def run_name(slot: Slot, *parts: str) -> str:
    """AS_OF-ID: the same parts give the same name."""
    return f"{slot.label}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:10]}"


def prediction_table(slot: Slot, made: Made, settings: ForecastSettings) -> pa.Table:
    """What users read: unique_id, ds, LSTM and its intervals, then source and reason."""
    levels = wanted_levels(settings.level, settings.quantiles)
    forecast = at_levels(made.forecast, levels)
    table = forecast_table(slot.panel, [forecast], settings.level, settings.quantiles)
    if "source" in table.column_names:
        table = table.drop_columns(["source"])
    kept, each = _rows_of(made.forecast)
    for name, words in (("source", made.forecast.source), ("reason", made.reason)):
        table = table.append_column(name, as_strings(words[kept].tolist()).take(each))
    return table


def whole_table(slot: Slot, made: Made, scale: np.ndarray) -> pa.Table:
    """Every quantile, for the ledger: series, step, source, scale, point, q0.025 ..."""
    import pyarrow as pa

    forecast = made.forecast
    kept, each = _rows_of(forecast)
    horizon = forecast.point.shape[1]
    columns: dict[str, Any] = {
        "series": as_strings(slot.panel.ids[kept].tolist()).take(each),
        "step": as_arrow(np.tile(np.arange(1, horizon + 1), len(kept))),
        "source": as_strings(forecast.source[kept].tolist()).take(each),
        "scale": as_arrow(np.repeat(scale[kept], horizon)),
        "point": as_arrow(forecast.point[kept].reshape(-1)),
    }
    for number, level in enumerate(forecast.levels):
        flat = forecast.quantiles[kept, :, number].reshape(-1).astype(np.float32)
        columns[f"q{level:g}"] = as_arrow(flat)
    return pa.table(columns)


def read_whole(path: Path) -> pa.Table:
    """The table that `whole_table` wrote. Raises OutputError when it cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(
            "a published run's forecast cannot be read",
            code="run/damaged",
            where=str(path),
            remedy="`lstmcast rollback` goes back to the run before it",
        ) from error


def output_files(
    table: pa.Table, whole: pa.Table, kinds: Sequence[str], log: bytes
) -> dict[str, bytes]:
    """The content of every file of a run folder but the manifest."""
    files = {WHOLE: _parquet(whole), LOG: log}
    if "csv" in kinds:
        files["predictions.csv"] = csv_bytes(table)
    if "parquet" in kinds:
        files["predictions.parquet"] = _parquet(table)
    return files


def write_edition(
    folder: Path, run: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> Edition:
    """Writes the folder of a run; the manifest, with the sums of all files, is the commit."""
    place = folder / RUNS / run
    for name, content in files.items():
        write_bytes(place / name, content)
    try:
        sync_folder(folder / RUNS)
        sync_folder(folder)
    except OSError as error:
        raise failed_to_write(place, error) from error
    sums = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    whole = {"schema_version": SCHEMA_VERSION, **manifest, "run": run, "outputs": sums}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(place / MANIFEST, text.encode("utf-8", "surrogatepass"))
    return Edition(run, whole)


def read_edition(place: Path) -> Edition | None:
    """The published run in the folder `place`; None where it was never finished."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        edition = Edition(place.name, manifest)
        _ = edition.sequence, edition.position
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            "the manifest of a published run cannot be read",
            code="run/damaged",
            where=str(place / MANIFEST),
            remedy="Restore it, or remove its folder: the next run publishes anew",
        ) from error
    return edition


def is_intact(folder: Path, edition: Edition) -> bool:
    """Whether the files of a published run still have the sums of its manifest."""
    place = folder / RUNS / edition.run
    try:
        return all(
            hashlib.sha256((place / name).read_bytes()).hexdigest() == entry["sha256"]
            for name, entry in edition.manifest["outputs"].items()
        )
    except OSError:
        return False


def current_run(folder: Path) -> str | None:
    """The run that the link `current` names."""
    try:
        return Path(os.readlink(folder / CURRENT)).name
    except OSError:
        return None


def point_at(folder: Path, run: str) -> None:
    """Moves the link `current` in one step. Raises OutputError; the old link stays then."""
    temporary = folder / f"{STAGING}{CURRENT}-{os.getpid()}"
    try:
        if temporary.is_symlink():
            temporary.unlink()
        os.symlink(os.path.join(RUNS, run), temporary)
        os.replace(temporary, folder / CURRENT)
        sync_folder(folder)
    except OSError as error:
        raise failed_to_write(folder / CURRENT, error) from error


def _rows_of(forecast: Forecast) -> tuple[np.ndarray, pa.Array]:
    """Series that have a forecast, and the index that repeats each for its steps."""
    kept = np.flatnonzero(forecast.available)
    return kept, as_arrow(np.repeat(np.arange(len(kept)), forecast.point.shape[1]))


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
