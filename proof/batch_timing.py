"""How long a daily run over 1,000 hourly series takes: with a new model, and without.

    python proof/batch_timing.py             # the default job: minutes
    python proof/batch_timing.py --reuse     # a day's run alone, with the pretrained network

Each run is a new process, started as cron would: `lstmcast run`. Wall and CPU seconds are printed
(CPU: of the run and the processes that it starts), also what a run adds to the ledger. The goals
are wall seconds on two cores that nobody else uses: over one is a failure, unless --busy says that
the machine has other work.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from _record import record
from _rehearsal import ROOT

CONFIG = """\
jobs:
  stores:
    data: stores.csv
    model: {model}
    retrain: {{every: 7d, live_error_over: null, coverage_off: null}}
    settings: {{forecast: {{horizon: 48}}}}
"""
GOALS = {"with a new model": 300.0, "a day's run": 10.0}  # wall seconds
FIRST, HOUR = datetime(2024, 1, 1), timedelta(hours=1)


def values(series: int, hours: int, seed: int = 3) -> np.ndarray:
    """(series, hours): a day's and a week's shape, a level that wanders, noise."""
    rng = np.random.default_rng(seed)
    time_ = np.arange(hours)
    day = rng.uniform(5, 40, (series, 1)) * np.sin(
        2 * np.pi * (time_ / 24 + rng.uniform(0, 1, (series, 1)))
    )
    week = rng.uniform(0, 15, (series, 1)) * (time_ // 24 % 7 >= 5)
    level = rng.uniform(50, 500, (series, 1)) + rng.normal(0, 0.5, (series, hours)).cumsum(1)
    return np.asarray((level + day - week + rng.normal(0, 4, (series, hours))).round(2))


def write(path: Path, known: np.ndarray) -> None:
    """The file as it stands: `known` (series, hours)."""
    times = [(FIRST + n * HOUR).strftime("%Y-%m-%dT%H:%M") for n in range(known.shape[1])]
    with path.open("w") as file:
        file.write("unique_id,ds,y\n")
        for s, row in enumerate(known.tolist()):
            file.writelines(f"store-{s:04d},{t},{v}\n" for t, v in zip(times, row, strict=True))


def run(config: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one `lstmcast run`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "forecast", "run", str(config), "--quiet"]
    subprocess.run(words, check=True, env=environ)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ledger_bytes(job: Path) -> int:
    """Of the ledger and what it has not taken in yet."""
    return sum(path.stat().st_size for path in job.glob("ledger.sqlite*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--reuse", action="store_true", help="no training: the pretrained network")
    parser.add_argument("--busy", action="store_true", help="report, whatever the goals")
    parser.add_argument("--full", action="store_true", help="write the outcome, if goals are met")
    given = parser.parse_args()
    missed, told = [], []
    with tempfile.TemporaryDirectory(prefix="lstmcast-timing-") as folder:
        home = Path(folder)
        config = home / "batch.yaml"
        config.write_text(CONFIG.format(model="pretrained" if given.reuse else "trained"))
        whole = values(given.series, 24 * (given.days + 3))
        names = ["a day's run"] * 3 if given.reuse else [*GOALS, "a day's run"]
        for n, name in enumerate(names):
            write(home / "stores.csv", whole[:, : 24 * (given.days + n)])
            size = ledger_bytes(home / "stores") if n else 0
            wall, cpu = run(config)
            grown = ledger_bytes(home / "stores") - size
            print(f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU; goal {GOALS[name]:g} s wall; "
                  f"the ledger grew by {grown / 1e6:.2f} MB", flush=True)  # fmt: skip
            told.append(f"{name} {wall:.1f} s ({cpu:.1f} CPU)")
            missed += [name] if wall > GOALS[name] else []
    if missed and not given.busy:
        print(f"over the goal: {', '.join(missed)}")
        return 1
    if given.full:
        record(f"daily runs over {given.series:,} hourly series of {given.days} days, 48 steps",
               "; ".join(told))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
