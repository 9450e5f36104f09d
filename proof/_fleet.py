"""Folders of many short series, and commands whose cost is watched: for the proofs of scale."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from forecast.common.resources import family_memory

POINTS = 100  # values of a series
MB = 1e6


def write_folder(folder: Path, series: int, part: int) -> int:
    """`series` daily series with a week's season, `part` a Parquet file; the number of files."""
    folder.mkdir(parents=True)
    days = np.datetime_as_string(np.datetime64("2023-01-01") + np.arange(POINTS))
    clock = pa.DictionaryArray.from_arrays(
        pa.array(np.tile(np.arange(POINTS, dtype=np.int32), part)), pa.array(days.tolist())
    )
    count = 0
    for first in range(0, series, part):
        size = min(part, series - first)
        rng = np.random.default_rng(first)
        level = rng.uniform(20, 500, (size, 1))
        phase = rng.uniform(0, 7, (size, 1))
        season = 0.2 * level * np.sin((np.arange(POINTS) + phase) * (2 * np.pi / 7))
        drift = level * rng.normal(0, 0.001, (size, 1)) * np.arange(POINTS)
        values = level + season + drift + rng.normal(0, 1, (size, POINTS)) * 0.05 * level
        names = pa.array([f"series_{first + n:07d}" for n in range(size)])
        codes = pa.array(np.repeat(np.arange(size, dtype=np.int32), POINTS))
        table = pa.table({
            "unique_id": pa.DictionaryArray.from_arrays(codes, names),
            "ds": clock[: size * POINTS],
            "y": np.round(values, 3).reshape(-1),
        })  # fmt: skip
        parquet.write_table(table, folder / f"part-{count:05d}.parquet")
        count += 1
    return count


@dataclass(frozen=True)
class Cost:
    """Wall and processor seconds; peak memory (MB) of the command's own process and of all."""

    wall: float
    cpu: float
    own: float
    family: float


class Watched:
    """A running command of the package; memory is looked at while it runs."""

    def __init__(self, *words: str) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen([sys.executable, "-m", "forecast", *words])
        self.own = self.family = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        pid = self.process.pid
        while not self._over.wait(0.2):
            self.family = max(self.family, family_memory(pid) / MB)
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                peak = status.partition("VmHWM:")[2].split()
                self.own = max(self.own, int(peak[0]) * 1024 / MB if peak else 0.0)
            except OSError:
                return

    def end(self, expected: int = 0) -> Cost:
        """Waits; processor seconds are those of processes that it waited for. Raises SystemExit."""
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - self.started
        self._over.set()
        self._thread.join()
        if self.process.returncode != expected:
            raise SystemExit(f"{self.process.args} ended with {self.process.returncode}")
        return Cost(wall, used.ru_utime + used.ru_stime, self.own, self.family)
