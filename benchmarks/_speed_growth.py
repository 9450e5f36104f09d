"""How time and memory of a forecast grow with the panel, and what `predict` costs: fresh processes.

Axes: S series, 100 monthly values each.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from _measure import timed

VALUES = 100
COMMAND = [sys.executable, "-m", "forecast"]


def growth(most: int, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Reading, windowing and forecasting 1 to `most` series in one process: a row for each size.

    `keep` gets the figures so far after each row: the large panels take minutes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as place:
        size = 1
        while size <= most:
            for kind in ("parquet", "csv") if size >= 1000 else ("parquet",):
                path = Path(place) / f"panel.{kind}"
                write_panel(path, size, VALUES, "M")
                out = str(Path(place) / "out.parquet")
                cost = timed(
                    [*COMMAND, "forecast", str(path), "-o", out, "--horizon", "12", "--freq", "MS"]
                )
                rows.append({"series": size, "file": kind, **cost})
                keep({"rows": rows})
            size *= 10
    return {"rows": rows}


def predict(turns: int) -> dict[str, Any]:
    """`predict` of 414 series x 48 steps, hourly, CSV in and out: every turn's seconds."""
    with tempfile.TemporaryDirectory() as place:
        data, run = Path(place) / "panel.csv", Path(place) / "run"
        write_panel(data, 414, 750, "h")
        timed(
            [*COMMAND, "train", str(data), "--horizon", "48", "--baselines", "none",
             "--max-steps", "20", "--out", str(run)]
        )  # fmt: skip
        command = [*COMMAND, "predict", str(data), "--model", str(run), "-o", f"{place}/p.csv"]
        each = [timed(command) for _ in range(turns)]
        return {
            "seconds": sorted(one["seconds"] for one in each),
            "cpu_seconds": sorted(one["cpu_seconds"] for one in each),
            "peak_mb": max(one["peak_mb"] for one in each),
        }


def write_panel(path: Path, size: int, length: int, unit: str) -> None:
    """`size` seasonal series of `length` values, monthly or hourly, as Parquet or CSV."""
    season = 24 if unit == "h" else 12
    rng = np.random.default_rng(0)
    n = np.arange(length)
    profile = rng.normal(size=(size, season)) * 10
    values = 100 + profile[:, n % season] + rng.normal(size=(size, length)).cumsum(1)
    first = np.datetime64("2015-01", "M") if unit == "M" else np.datetime64("2020-01-01T00", "h")
    times = (first + n).astype("datetime64[s]")
    names = pa.array([f"series-{k:06d}" for k in range(size)])
    table = pa.table({
        "unique_id": names.take(pa.array(np.repeat(np.arange(size), length))),
        "ds": pa.array(np.tile(times, size)),
        "y": values.reshape(-1).round(3),
    })  # fmt: skip
    (pq.write_table if path.suffix == ".parquet" else pacsv.write_csv)(table, path)
