"""Publishing: a run folder written file by file, its manifest last, then the link moved.

Every step leaves a state from which `recovery.py` goes on: without a manifest the folder counts
for nothing; with it, the run is published, and link and ledger follow.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import (
    BadDocument,
    as_bytes,
    check_schema,
    open_seal,
    read_bounded,
    read_document,
    sealed,
)
from forecast.common.errors import OutputError
from forecast.common.files import STAGING, failed_to_write, sync_folder, write_bytes
from forecast.common.folders import made_folder
from forecast.common.marks import JOB_RUN, mark
from forecast.config.schema import ForecastSettings
from forecast.data.forecast import LEVELS
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.load import LoadReport
from forecast.data.open_steps import rows_ahead
from forecast.inference.point import MEDIAN
from forecast.inference.predict import at_levels
from forecast.inference.tables import csv_bytes, forecast_table, wanted_levels, with_rows_of
from forecast.scheduling.as_of import AsOfSnapshot, step_seconds
from forecast.scheduling.documents import RunManifest
from forecast.scheduling.forecast import NO_VALUE, Made
from forecast.scheduling.models import Service

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.data.forecast import Forecast


SCHEMA_VERSION = 2  # version 1 had no sum of the manifest itself
RUNS, CURRENT, MANIFEST = "runs", "current", "manifest.json"
WHOLE, LOG = "forecast.parquet", "log.jsonl"


@dataclass(frozen=True)
class PublishedForecast:
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

    @property
    def point(self) -> str:
        """What its points are: "median", "mean" or a quantile."""
        return str(self.manifest.get("point", MEDIAN))


def run_name(snapshot: AsOfSnapshot, *parts: str) -> str:
    """AS_OF-ID: the same parts give the same name."""
    return f"{snapshot.label}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:10]}"


def prediction_table(
    snapshot: AsOfSnapshot, made: Made, settings: ForecastSettings, most: int | None = None
) -> pa.Table:
    """What users read: unique_id, ds, LSTM and its intervals, those of the blend if there is one,
    then source and reason; `most` steps of each series, those that there are. Below them the series
    without any value."""
    levels = wanted_levels(settings.level, settings.quantiles)
    forecast = at_levels(made.forecast, levels)
    shown = [forecast] if made.blend is None else [forecast, at_levels(made.blend, levels)]
    table = forecast_table(snapshot.panel, shown, settings.level, settings.quantiles, most)
    kept = np.flatnonzero(forecast.available)
    horizon = forecast.point.shape[1]
    series, *_ = rows_ahead(snapshot.panel, kept, forecast.origins, horizon, most)
    if "source" in table.column_names:
        table = table.drop_columns(["source"])
    each = as_arrow(series)
    table = table.append_column("source", as_strings(forecast.source[kept].tolist()).take(each))
    reasons = [as_strings(made.reason[kept].tolist()).take(each)]
    if made.unseen is not None:
        panel, new = made.unseen
        names = [each.name for each in shown]
        wanted = settings.level, settings.quantiles, most
        table = with_rows_of(table, panel, at_levels(new, levels), names, *wanted)
        reasons.append(as_strings([NO_VALUE] * (table.num_rows - len(reasons[0]))))
    return table.append_column("reason", reasons)


def whole_table(snapshot: AsOfSnapshot, made: Made, scale: np.ndarray) -> pa.Table:
    """Every quantile, for the ledger: series, step, source, scale, the point that is published,
    q0.025 ...; and the blend's, where there is one. Series without any value have no units to be
    scored in."""
    import pyarrow as pa

    forecast = made.forecast
    kept, each = _rows_of(forecast)
    horizon = forecast.point.shape[1]
    columns: dict[str, Any] = {
        "series": as_strings(snapshot.panel.ids[kept].tolist()).take(each),
        "step": as_arrow(np.tile(np.arange(1, horizon + 1), len(kept))),
        "source": as_strings(forecast.source[kept].tolist()).take(each),
        "scale": as_arrow(np.repeat(scale[kept], horizon)),
        "point": as_arrow(forecast.point[kept].reshape(-1)),
    }
    for number, level in enumerate(forecast.levels):
        flat = forecast.quantiles[kept, :, number].reshape(-1).astype(np.float32)
        columns[f"q{level:g}"] = as_arrow(flat)
    if made.blend is not None:
        columns["blend"] = as_arrow(made.blend.point[kept].reshape(-1))
    return pa.table(columns)


def read_whole(place: Path, published: PublishedForecast) -> pa.Table:
    """The table that `whole_table` wrote into the run's folder `place`. Raises OutputError where it
    is not as it was written."""
    import pyarrow as pa
    from pyarrow import parquet

    path, about = place / WHOLE, published.manifest["outputs"].get(WHOLE)
    try:
        if about is None:
            raise BadDocument("is none of the run's files")
        content = read_bounded(path, about["bytes"])
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise BadDocument("does not match its sum in the manifest")
        return parquet.read_table(pa.BufferReader(content))
    except (BadDocument, OSError, pa.ArrowException) as error:
        raise bad_forecast(path, str(error)) from error


def bad_forecast(path: Path, what: str) -> OutputError:
    """The error of a run's forecast that is not as it was written."""
    return OutputError(
        f"a published run's forecast cannot be read: it {what}",
        code="run/damaged",
        where=str(path),
        remedy="`lstmcast rollback` goes back to the run before it",
    )


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


def write_published(
    folder: Path, run: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> PublishedForecast:
    """Writes the folder of a run; the manifest, with the sums of all files, is the commit."""
    place = folder / RUNS / run
    made_folder(place, JOB_RUN)
    mark(place, JOB_RUN, (*files, MANIFEST))
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
    whole = sealed({"schema_version": SCHEMA_VERSION, **manifest, "run": run, "outputs": sums})
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(place / MANIFEST, as_bytes(text))
    return PublishedForecast(run, whole)


def read_published(place: Path) -> PublishedForecast | None:
    """The published run in the folder `place`; None where it was never finished.

    Raises OutputError: run/damaged for a manifest that is not as it was written, run/unreadable for
    one that cannot be opened or that a later version wrote.
    """
    path = place / MANIFEST
    try:
        manifest = read_document(path)
        version = manifest.get("schema_version")
        if type(version) is int and version > SCHEMA_VERSION:
            raise _unreadable(path, f"was written by a later version of lstmcast ({version})")
        open_seal(manifest, required=version != 1)
        if check_schema(RunManifest, manifest).run != place.name:
            raise BadDocument(f"is that of another run, {manifest['run']}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except BadDocument as error:
        raise OutputError(
            f"the manifest of a published run {error}",
            code="run/damaged",
            where=str(path),
            remedy="The next run sets its folder aside and goes on; `lstmcast repair` says what "
            "else there is",
        ) from error
    except OSError as error:
        raise _unreadable(path, f"cannot be opened: {error.strerror}") from error
    return PublishedForecast(place.name, manifest)


def _unreadable(path: Path, what: str) -> OutputError:
    remedy = "Check the disk and the folder's permissions; it is left where it is"
    return OutputError(
        f"the manifest of a published run {what}",
        code="run/unreadable",
        where=str(path),
        remedy=remedy,
    )


def is_intact(folder: Path, published: PublishedForecast) -> bool:
    """Whether the files of a published run still have the sums of its manifest."""
    place = folder / RUNS / published.run
    try:
        return all(
            (place / name).stat().st_size == entry["bytes"]
            and hashlib.sha256((place / name).read_bytes()).hexdigest() == entry["sha256"]
            for name, entry in published.manifest["outputs"].items()
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
        if os.path.lexists(folder / CURRENT) and not (folder / CURRENT).is_symlink():
            raise FileExistsError(errno.EEXIST, "something else stands there; move it away")
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


# --- What a run's manifest says of the data that were seen and of the forecast that was made -----


def about_the_data(report: LoadReport, snapshot: AsOfSnapshot) -> dict[str, Any]:
    """The as-of and the input, with the digests of the file and of what of it was seen."""
    return {
        "as_of": snapshot.time,
        "as_of_position": snapshot.position,
        "as_of_moment": snapshot.moment,
        "grid": snapshot.grid,
        "input": {
            "path": report.source,
            "sha256": report.digest,
            "seen_sha256": snapshot.digest,
            "rows": report.rows,
            "series": snapshot.seen.size,
            "last": snapshot.time,
            "dropped": snapshot.dropped,
            "age_seconds": snapshot.age,
            "step_seconds": step_seconds(snapshot.seen),
        },
    }


def about_the_forecast(
    service: Service, snapshot: AsOfSnapshot, made: Made, lost: int = 0
) -> dict[str, Any]:
    """The model, and who forecast how many series; lost: of the forecast before."""
    sources = made.forecast.source[made.forecast.available].tolist() + made.sources_unseen
    return {
        "model": service.to_dict(),
        "horizon": made.forecast.point.shape[1],  # steps of the grid, those that never are included
        "season": service.season,
        "levels": list(LEVELS),
        "point": made.point,
        "series": {
            "forecast": len(sources),
            "fallbacks": made.fallbacks,
            "failed": made.failed,
            "lost": lost,
            "by_source": dict(Counter(sources)),
            "left_out": [{"series": name, "reason": why} for name, why in snapshot.left_out],
        },
    }


def lost_series(
    folder: Path, current: PublishedForecast | None, snapshot: AsOfSnapshot
) -> tuple[list[str], int]:
    """Series that the published forecast has and this run cannot have, as they are gone from the
    data or too late; and how many it has."""
    if current is None:
        return [], 0
    now = set(snapshot.panel.ids.tolist())
    try:
        column = read_whole(folder / RUNS / current.run, current).column("series")
    except (OutputError, KeyError):  # then at least those that are left out
        before = {entry["series"] for entry in current.manifest["series"]["left_out"]}
        had = current.manifest["series"]["forecast"]
        return [name for name, _ in snapshot.left_out if name not in before], had
    names = [str(name) for name in column.unique().to_pylist()]
    return [name for name in names if name not in now], len(names)
