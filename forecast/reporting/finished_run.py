"""What a finished run folder holds, read back: of `train` and of `backtest` alike."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.common.files import STAGING
from forecast.data.panel import CUTOFF, ID, TIME

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"


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
    return FinishedRun(
        folder,
        _document(manifest),
        _document(metrics) if metrics.is_file() else None,
        _table(folder / "backtest.csv"),
        _table(folder / "predictions.csv"),
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


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, "is not a JSON document") from error
    if not isinstance(document, dict):
        raise damaged(path, "is not a run's document")
    return document


def _table(path: Path) -> pa.Table | None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if not path.is_file():
        return None
    texts = {name: pa.string() for name in (ID, TIME, CUTOFF)}
    try:
        table = arrow_csv.read_csv(
            path, convert_options=arrow_csv.ConvertOptions(column_types=texts)
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, "is not the table that the run wrote") from error
    if not {ID, TIME} <= set(table.column_names):
        raise damaged(path, f"has no columns {ID} and {TIME}")
    return table


def _history(path: Path) -> list[dict[str, Any]]:
    """The rows as they were written: numbers as numbers, None where nothing was measured."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    words = {"member", "phase"}
    try:
        return [
            {
                key: text if key in words else float(text) if text else None
                for key, text in r.items()
            }
            for r in rows
        ]
    except (TypeError, ValueError) as error:
        raise damaged(path, "is not the table that the run wrote") from error


def damaged(path: Path, what: str) -> ModelDamagedError:
    """The error of a file of a run that is not as it was written."""
    return ModelDamagedError(
        f"the file {what}",
        code="report/damaged-run",
        where=str(path),
        remedy="Run train or backtest again, or restore the folder from a copy",
    )
