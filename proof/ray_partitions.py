"""A local Ray cluster forecasts many series, loses a worker half-way, and misses none.

    python proof/ray_partitions.py                    # 20,000 series: a minute or two
    python proof/ray_partitions.py --series 100000    # the full run

Series of 100 points in Parquet files are forecast by one process, by `--engine local` and by
`--engine ray`, whose cluster of two cores listens on loopback alone. One Ray worker is killed
(SIGKILL) when half of the parts are done. Then every series is there once, and Ray's forecasts are
those of the local engine byte for byte, and those of one process to the seventh digit (bounds of
intervals to the third: their width is fitted to a sample of the series, which is another one).
Time, memory and the driver's own memory of each stand side by side.

Needs the extra `ray`; without it nothing is run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from _fleet import Cost, Watched, write_folder
from pyarrow import parquet

from forecast.common.resources import _children
from forecast.workflows.partitions.merge import merge_run

JOBS = 2
# 127.0.0.1, ::1 and ::ffff:127.0.0.1 as /proc/net writes them.
LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found, waiting = [], [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def listening(pids: list[int]) -> set[str]:
    """The addresses other than loopback that these processes accept connections on."""
    sockets = set()
    for pid in pids:
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                name = os.readlink(link)
                if name.startswith("socket:["):
                    sockets.add(name[8:-1])
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            mine = fields[3] == "0A" and fields[9] in sockets
            if mine and fields[1].split(":")[0] not in LOOPBACK:
                found.add(fields[1])
    return found


def kill_one_worker(running: Watched, out: Path, parts: int) -> str:
    """Waits until half of the parts are done, then kills a worker that is at one; its name."""
    while running.process.poll() is None:
        if len(list(out.glob("part-*.json"))) >= parts // 2:
            for pid in descendants(running.process.pid):
                try:
                    name = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
                except OSError:
                    continue
                if name.startswith("ray::attempt"):
                    os.kill(pid, signal.SIGKILL)
                    return name
        time.sleep(0.05)
    raise SystemExit("the run was over before a worker could be killed")


def shown(name: str, cost: Cost, cpu: float) -> None:
    print(f"{name:<24}{cost.wall:>9.1f}{cpu:>9.1f}{cost.own:>11.0f}{cost.family:>9.0f}", flush=True)


def cpu_of(out: Path) -> float:
    """Processor seconds of the parts of a folder."""
    return sum(json.loads(path.read_text())["cpu"] for path in out.glob("part-*.json"))


def check_same(local: Path, ray: Path, whole: Path, series: int) -> tuple[float, float]:
    """Every series once, the same bytes; the largest relative differences to one process: of the
    forecasts, and of their bounds, whose width is fitted to a sample of the series."""
    for name in sorted(path.name for path in local.glob("part-*.parquet")):
        assert (local / name).read_bytes() == (ray / name).read_bytes(), name
    assert merge_run(ray).series == series
    merged = ray.with_suffix(".parquet")
    merge_run(ray, output=merged)
    made, want = parquet.read_table(merged), parquet.read_table(whole)
    assert made.column_names == want.column_names
    assert pc.count_distinct(made.column("unique_id")).as_py() == series
    assert made.column("unique_id").equals(want.column("unique_id"))
    assert made.column("ds").equals(want.column("ds"))
    apart = [
        float(np.max(np.abs(made.column(name).to_numpy() / want.column(name).to_numpy() - 1)))
        for name in made.column_names[2:]
    ]
    assert apart[0] < 1e-6, apart
    assert max(apart) < 0.01, apart
    return apart[0], max(apart)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=2_500, help="series a file")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the files")
    given = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed: pip install 'lstmcast[ray]'; nothing was run")
        return 0
    with tempfile.TemporaryDirectory(prefix="ray-partitions-", dir=given.folder) as name:
        base = Path(name)
        parts = write_folder(base / "in", given.series, given.part)
        words = ["forecast", str(base / "in"), "--quiet", "--output"]
        print(f"{given.series:,} series in {parts} files\n{'':<24}{'wall s':>9}{'cpu s':>9}"
              f"{'driver MB':>11}{'all MB':>9}")  # fmt: skip
        cost = Watched(*words, str(base / "whole.parquet")).end()
        shown("one process", cost, cost.cpu)
        cost = Watched(*words, str(base / "local"), "--jobs", str(JOBS)).end()
        shown("local, 2 processes", cost, cpu_of(base / "local"))
        running = Watched(*words, str(base / "ray"), "--engine", "ray", "--jobs", str(JOBS))
        killed = kill_one_worker(running, base / "ray", parts)
        open_to_all = listening([running.process.pid, *descendants(running.process.pid)])
        shown("ray, 2 workers, 1 killed", running.end(), cpu_of(base / "ray"))
        apart = check_same(base / "local", base / "ray", base / "whole.parquet", given.series)
    print(f"killed {killed}; {given.series:,} series, each once; the same bytes as the local "
          f"engine, one process's to {apart[0]:.0e} (bounds: {apart[1]:.0e})")  # fmt: skip
    print("listens on other than loopback: " + (", ".join(sorted(open_to_all)) or "nothing"))
    return int(bool(open_to_all))


if __name__ == "__main__":
    sys.exit(main())
