"""What a forecast in parts costs as series grow from a thousand to a million.

    python proof/scale_engines.py                     # up to 10,000 series: a minute
    python proof/scale_engines.py --series 1000000    # the full run: 15 minutes of two cores
    python proof/scale_engines.py --series 1000000 --engine ray    # the same on a Ray cluster

Series of 100 points in Parquet files of 5,000 (fewer where there are fewer), forecast 14 steps
ahead by the pretrained network with `--engine local` or `ray`. Processor seconds a series are those
of reading, forecasting and writing, from the parts' records; they and the driver's memory must not
grow with the number of series.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from _fleet import Watched, write_folder

STEPS = (1_000, 10_000, 100_000, 1_000_000)
PART = 5_000
MOST_GROWTH = 1.25  # of processor seconds a series, from 10,000 series on
MOST_DRIVER = 100.0  # MB that the driver may grow by: it looks at up to eight parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", type=int, default=10_000, help="the largest number of series")
    parser.add_argument("--least", type=int, default=1_000, help="the smallest")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the files")
    given = parser.parse_args()
    rows = []
    print(
        f"{'series':>10}{'wall s':>9}{'cpu s':>9}{'ms a series':>13}{'driver MB':>11}{'all MB':>9}"
    )
    for series in (n for n in STEPS if given.least <= n <= given.series):
        with tempfile.TemporaryDirectory(prefix="scale-engines-", dir=given.folder) as name:
            place, out = Path(name) / "in", Path(name) / "out"
            write_folder(place, series, min(PART, series // given.jobs))
            words = ["forecast", str(place), "--engine", given.engine, "--jobs", str(given.jobs)]
            cost = Watched(*words, "--output", str(out), "--quiet").end()
            made = json.loads((out / "manifest.json").read_text())
            assert made["complete"] and made["series"] == series and made["rows"] == 14 * series
            cpu = sum(json.loads(p.read_text())["cpu"] for p in out.glob("part-*.json"))
            shutil.rmtree(out)
        each = 1000 * cpu / series
        rows.append((series, each, cost.own))
        print(f"{series:>10,}{cost.wall:>9.1f}{cpu:>9.1f}{each:>13.3f}{cost.own:>11.0f}"
              f"{cost.family:>9.0f}", flush=True)  # fmt: skip
    large = [row for row in rows if row[0] >= PART]
    if len(large) < 2:
        return 0
    growth, driver = large[-1][1] / large[0][1], large[-1][2] - large[0][2]
    print(f"from {large[0][0]:,} to {large[-1][0]:,} series: {growth:.2f} times the processor "
          f"time a series, {driver:+.0f} MB in the driver")  # fmt: skip
    return int(growth > MOST_GROWTH or driver > MOST_DRIVER)


if __name__ == "__main__":
    sys.exit(main())
