"""AutoARIMA in a budget of time, beside a full search for every series at every origin.

    python benchmarks/bench_arima.py [--data DIR] [--sets m3_monthly,hospital] [--budget 45]

A hundred monthly series of each set, evenly spread, from four held-out windows inside the training
part and from its end, as `train` fits them: all in one call, in the budget. Beside it the same
origins one by one, each series searched anew, without a budget. Said are the wall time of both, how
many of the 500 forecasts there are, and the MASE of the first beside the second over the windows.
Measure on cores that have nothing else to do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _sets import SETS, Set

from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from forecast.evaluation.metrics import mase, seasonal_errors
from forecast.models.baselines.forecast import forecast_baselines_windows

HERE = Path(__file__).parent
SERIES, WINDOWS = 100, 4
LONG = 3600.0  # seconds: no budget
COLUMN = "AutoARIMA"


def main() -> None:
    """Measures each set that is asked for and prints a line of it."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--data", type=Path, default=HERE.parent / "../shared/data/panels")
    words.add_argument("--sets", default="m3_monthly,hospital")
    words.add_argument("--budget", type=float, default=45.0, help="seconds")
    words.add_argument("--jobs", type=int, default=2, help="processes")
    given = words.parse_args()
    for each in (each for each in SETS if each.name in given.sets.split(",")):
        panel, _ = load_panel(
            given.data / each.name / "train.parquet", DataSettings(freq=each.freq)
        )
        enough = np.flatnonzero(panel.lengths >= WINDOWS * each.horizon + 2 * each.m)
        rows = enough[np.linspace(0, len(enough) - 1, min(SERIES, len(enough))).astype(int)]
        measure(each, panel.select(rows), given.budget, given.jobs)


def measure(each: Set, panel: Panel, budget: float, jobs: int) -> None:
    """Prints both ways of fitting one set's series."""
    back = np.arange(WINDOWS, -1, -1)[:, None] * each.horizon
    origins = panel.lengths[None, :] - back
    started = time.monotonic()
    made = fitted(each, panel, origins, budget, jobs)
    wall = time.monotonic() - started
    there = sum(int(one.available.sum()) for one in made)
    searched = [fitted(each, panel, row[None], LONG, jobs)[0] for row in origins]
    longer = time.monotonic() - started - wall
    ours, theirs = (errors(each, panel, origins, found) for found in (made, searched))
    both = np.isfinite(ours) & np.isfinite(theirs) & (theirs > 0)
    ratio = ours[both].mean() / theirs[both].mean()
    relative = (ours - theirs)[both] / theirs[both].mean()
    print(f"{each.name}: {there} of {origins.size} forecasts in {wall:.1f} s (full searches "
          f"{longer:.1f} s); MASE {ours[both].mean():.4f}, {ratio:.4f} of the full searches' "
          f"(standard error {relative.std() / np.sqrt(both.sum()):.4f}), geometric mean "
          f"{np.exp(np.log(ours[both] / theirs[both]).mean()):.4f}", flush=True)  # fmt: skip


def fitted(each: Set, panel: Panel, origins: np.ndarray, budget: float, jobs: int) -> list:
    """AutoARIMA's forecast from each row of `origins` (W, S)."""
    return forecast_baselines_windows(
        panel, origins, each.horizon, ["arima"], np.array([0.1, 0.9]), each.m, budget, jobs
    )[COLUMN]


def errors(each: Set, panel: Panel, origins: np.ndarray, made: list) -> np.ndarray:
    """MASE (W, S) of the windows; the last origin has no actuals."""
    found = []
    for row, forecast in zip(origins[:-1], made, strict=False):
        past = panel.truncate(row)
        scale = seasonal_errors(past.values, past.offsets, each.m)
        error = mase(panel.window(row, each.horizon), forecast.point, scale)
        found.append(np.where(forecast.available, error, np.nan))
    return np.array(found)


if __name__ == "__main__":
    main()
