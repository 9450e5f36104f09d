"""How fast and how lean large tables are read, against bare pyarrow reading the same bytes.

    python proof/scale_loader.py                         # about a gigabyte in all: minutes
    python proof/scale_loader.py --gigabytes 10 --only long

Three generated CSV files: `long` (hourly series, one after the other), `many` (series of 100 points
each) and `wide` (10,000 columns). Each is read by pyarrow.csv, at once (read_csv) where the machine
has the memory and batch by batch (open_csv), checked and, the long one, forecast by a trained model
(`predict`, without the training), in processes of their own. Time is the processor's (user and
system), so that a busy machine does not change the ratios; wall time stands beside it, and the
ratio of both to the first reading by pyarrow. Memory is the peak of the resident set, and what of
it goes beyond the numbers kept (8 bytes a value).

Fails where `check` or `predict` takes more than twice the time of pyarrow on the long file, more
than 2 GB beyond the numbers, or more than 60 s (processor) for a million series.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOURS = 8_760  # steps of a series of the long file
POINTS = 100  # steps of each of the many series
COLUMNS = 9_999  # series of the wide file, beside its time
ONCE = "import sys; from pyarrow import csv; print(csv.read_csv(sys.argv[1]).num_rows)"
STREAMED = (
    "import sys; from pyarrow import csv; "
    "print(sum(batch.num_rows for batch in csv.open_csv(sys.argv[1])))"
)
MUCH = 6  # times the size of a file: memory that reading it at once may take
GB = 1e9
MOST_MEMORY, LEAST_SPEED, MOST_SECONDS = 2.0, 0.5, 60.0
KINDS = ("long", "many", "wide")


@dataclass(frozen=True)
class Cost:
    """Processor and wall seconds, peak memory in GB, of one process."""

    cpu: float
    wall: float
    peak: float


def times(count: int) -> list[bytes]:
    """`2020-01-01 00:00:00`, one an hour."""
    hours = np.datetime64("2020-01-01T00:00:00") + np.arange(count) * np.timedelta64(1, "h")
    return [str(t).replace("T", " ").encode() for t in hours]


def values(random: np.random.Generator, count: int) -> list[bytes]:
    """Numbers around 100 with a daily season, two decimals."""
    level = 100 + 20 * np.sin(np.arange(count) * np.pi / 12) + random.normal(0, 3, count)
    return [b"%.2f" % v for v in level]


def series_blocks(points: int) -> Iterator[bytes]:
    """Series after series in long form, without end; every tenth has new numbers."""
    random = np.random.default_rng(1)
    clock = times(points)
    lines: list[bytes] = []
    number = 0
    while True:
        if number % 10 == 0:
            drawn = values(random, points)
            lines = [b",%s,%s\n" % pair for pair in zip(clock, drawn, strict=True)]
        name = b"series_%07d" % number
        yield name + name.join(lines)
        number += 1


def write_long(path: Path, size: float, points: int, most: int | None = None) -> int:
    """Series of `points` steps until the file has `size` bytes, or `most` series; their number."""
    written = count = 0
    with path.open("wb", buffering=1 << 22) as file:
        file.write(b"unique_id,ds,y\n")
        for block in series_blocks(points):
            if written >= size or count == most:
                return count
            written += file.write(block)
            count += 1
    return count


def write_wide(path: Path, size: float) -> int:
    """Rows of a time and COLUMNS numbers until the file has `size` bytes; the number of series."""
    random = np.random.default_rng(2)
    written = 0
    with path.open("wb", buffering=1 << 22) as file:
        file.write(b",".join([b"ds", *(b"series_%04d" % n for n in range(COLUMNS))]) + b"\n")
        for clock in times(100_000):
            if written >= size:
                break
            written += file.write(b",".join([clock, *values(random, COLUMNS)]) + b"\n")
    return COLUMNS


def cost(arguments: list[str]) -> tuple[Cost, str]:
    """What a process costs; its output. Raises SystemExit where it fails."""
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = subprocess.Popen(arguments, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024 / GB), text


def shown(name: str, used: Cost, kept: float, bare: Cost) -> str:
    return (
        f"{name:<16}{used.cpu:8.1f}{used.wall:8.1f}{bare.cpu / used.cpu:9.2f}"
        f"{bare.wall / used.wall:9.2f}{used.peak:9.2f}{used.peak - kept:9.2f}"
    )


def trained(folder: Path) -> Path:
    """A model for the long file: two members of the usual size, hardly trained; one horizon."""
    small = folder / "small.csv"
    write_long(small, float("inf"), HOURS // 6, 20)
    options = [
        "--horizon",
        "24",
        "--max-steps",
        "5",
        "--baselines",
        "none",
        "--set",
        "training.refit=false",
    ]
    cost([sys.executable, "-m", "forecast", "train", str(small), *options, "--quiet",
          "--set", "training.try_scratch=false", "--out", str(folder / "model")])  # fmt: skip
    small.unlink()
    return folder / "model"


def measured(kind: str, path: Path, series: int, observations: int, predict: bool) -> list[str]:
    """Prints the costs of one file; returns what falls short."""
    kept = 8 * observations / GB
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fits = MUCH * path.stat().st_size < memory
    readings = {"pyarrow at once": ONCE} if fits else {}
    readings["pyarrow streamed"] = STREAMED
    read = {n: cost([sys.executable, "-c", code, str(path)])[0] for n, code in readings.items()}
    bare = next(iter(read.values()))
    options = ["--wide"] if kind == "wide" else []
    check, _ = cost([sys.executable, "-m", "forecast", "check", str(path), "--json", *options])
    print(
        f"\n{kind}: {path.stat().st_size / GB:.2f} GB, {series:,} series, {observations:,} numbers"
    )
    heads = ("cpu s", "wall s", "speed", "by wall", "peak GB", "beyond")
    print(f"{'':<16}{heads[0]:>8}{heads[1]:>8}" + "".join(f"{h:>9}" for h in heads[2:]))
    for name, used in read.items():
        print(shown(name, used, kept, bare))
    print(shown("check", check, kept, bare), flush=True)
    costs = {"check": check}
    if predict:
        model = trained(path.parent)
        costs["predict"], _ = cost(
            [sys.executable, "-m", "forecast", "predict", str(path), "--model", str(model),
             "--output", str(path.with_suffix(".parquet")), "--quiet"],
        )  # fmt: skip
        print(shown("predict", costs["predict"], kept, bare))
        part = (costs["predict"].cpu - check.cpu) / costs["predict"].cpu
        print(f"{100 * part:.0f}% of predict's time is forecasting and writing", flush=True)
    short = []
    for name, used in costs.items():
        if kind == "long" and bare.cpu / used.cpu < LEAST_SPEED:
            short.append(f"{name} has {bare.cpu / used.cpu:.2f} of pyarrow's speed")
        if used.peak - kept > MOST_MEMORY:
            short.append(f"{name} of the {kind} file takes {used.peak - kept:.2f} GB too many")
    if kind == "many" and check.cpu > MOST_SECONDS:
        short.append(f"check of many series takes {check.cpu:.0f} s")
    return short


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=0.5, help="size of the long file")
    parser.add_argument("--series", type=int, default=50_000, help="series of the `many` file")
    parser.add_argument("--only", choices=KINDS, action="append", help="one kind (repeatable)")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the files")
    parser.add_argument("--no-forecast", action="store_true", help="only check, no predict")
    given = parser.parse_args()
    short: list[str] = []
    with tempfile.TemporaryDirectory(prefix="scale-loader-", dir=given.folder) as folder:
        for kind in given.only or KINDS:
            path = Path(folder) / f"{kind}.csv"
            if kind == "long":
                series, points = write_long(path, given.gigabytes * GB, HOURS), HOURS
            elif kind == "many":
                series, points = write_long(path, float("inf"), POINTS, given.series), POINTS
            else:
                series = write_wide(path, 0.1 * GB)
                points = sum(1 for _ in path.open("rb")) - 1
            predict = kind == "long" and not given.no_forecast
            short += measured(kind, path, series, series * points, predict)
            path.unlink()
    print("\n" + ("; ".join(short) if short else "all within the bounds"))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
