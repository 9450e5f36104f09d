"""Accuracy on the official test parts, with the defaults as they are.

    python benchmarks/bench_accuracy.py --data DIR [--sets m4_weekly,...] [--baselines ets,theta]

DIR holds one folder a set with train.parquet and test.parquet (unique_id, ds, y). Each set is run
as a user would: `lstmcast train` and `lstmcast forecast` in fresh processes, timed from outside.
Results go to benchmarks/RESULTS.md (a table, rewritten set by set) and results.json beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from forecast.baselines import forecast_baselines
from forecast.config import DataSettings
from forecast.forecast_table import wanted_levels
from forecast.metrics import coverage, mase, naive2, owa, seasonal_errors, smape, wql
from forecast.model_folder import describe, versions
from forecast.panel import Panel, load_panel

HERE = Path(__file__).parent
LEVELS = (80.0, 95.0)
QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Set:
    """A benchmark set: horizon, m of the scores, and what a user would have to say."""

    name: str
    horizon: int
    m: int
    flags: tuple[str, ...] = ()


SETS = (
    Set("m4_hourly", 48, 24, ("--freq", "h")),
    Set("m4_weekly", 13, 1, ("--freq", "W")),
    Set("m3_monthly", 18, 12, ("--freq", "MS")),
    Set("m1_quarterly", 8, 4, ("--freq", "QS")),
    Set("m1_yearly", 6, 1, ("--freq", "YS")),
    Set("hospital", 12, 12, ("--freq", "MS")),
    Set("nn5", 56, 7),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, default=Path("../shared/data/panels"))
    words.add_argument("--sets", default=",".join(each.name for each in SETS))
    words.add_argument("--baselines", default="seasonal-naive")
    words.add_argument(
        "--budget", type=float, default=600.0, help="seconds for all baselines of a set"
    )
    words.add_argument("--train-flags", default="", help="passed on to `lstmcast train`")
    given = words.parse_args()
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not a folder: name the data with --data")
    results = HERE / "results.json"
    rows = json.loads(results.read_text()) if results.exists() else {}
    for each in SETS:
        if each.name in given.sets.split(","):
            rows[each.name] = run_set(each, given)
            results.write_text(json.dumps(rows, indent=1) + "\n")
            (HERE / "RESULTS.md").write_text(page(rows), encoding="utf-8")
            print(page({each.name: rows[each.name]}), flush=True)


def run_set(each: Set, given: argparse.Namespace) -> dict[str, object]:
    """All forecasters' figures on one set."""
    folder = given.data / each.name
    freq = each.flags[1] if each.flags else None
    panel, _ = load_panel(folder / "train.parquet", DataSettings(freq=freq))
    actual = test_values(folder / "test.parquet", panel, each.horizon)
    scale = seasonal_errors(panel.values, panel.offsets, each.m)
    second = naive2(panel.values, panel.offsets, each.horizon, each.m)
    reference = np.nanmean(smape(actual, second)), np.nanmean(mase(actual, second, scale))
    scored: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        common = ["--horizon", str(each.horizon), "--level", "80,95", *each.flags,
                  "--quantiles", ",".join(map(str, QUANTILES))]  # fmt: skip
        extra = given.train_flags.split()
        train = [
            "train",
            str(folder / "train.parquet"),
            "--baselines",
            "none",
            "--out",
            f"{place}/run",
        ]
        jobs = {
            "LSTM": ([*train, *common, *extra], f"{place}/run/predictions.csv"),
            "LSTM zero-shot": (
                ["forecast", str(folder / "train.parquet"), "-o", f"{place}/zero.csv", *common],
                f"{place}/zero.csv",
            ),
        }
        for name, (command, written) in jobs.items():
            cost = timed([sys.executable, "-m", "forecast", *command])
            made = read_forecast(Path(written), panel, each.horizon)
            scored[name] = figures(actual, *made, scale, reference) | cost
        about = describe(f"{place}/run")
    scored["LSTM"]["parameters"] = about["network"]["parameters"] * about["network"]["members"]
    scored |= baseline_figures(each, panel, actual, scale, reference, given)
    kept = [member["best_step"] for member in about["training"]["members"]]
    return {
        "series": panel.size, "horizon": each.horizon, "m": each.m, "best_steps": kept,
        "date": time.strftime("%Y-%m-%d"), "models": scored,
    }  # fmt: skip


def baseline_figures(
    each: Set,
    panel: Panel,
    actual: np.ndarray,
    scale: np.ndarray,
    reference: tuple[float, float],
    given: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    """Figures of the baselines on the series that they finished."""
    names = [name for name in given.baselines.split(",") if name not in ("", "none")]
    levels = wanted_levels(LEVELS, QUANTILES)
    scored = {}
    for name in names:
        made = forecast_baselines(
            panel, panel.lengths, each.horizon, [name], levels, each.m, given.budget,
            os.cpu_count() or 1,
        )  # fmt: skip
        for column, forecast in made.items():
            own = forecast.available
            quantiles = np.stack([forecast.quantile(q) for q in QUANTILES], -1)
            bounds = {level: forecast.interval(level) for level in LEVELS}
            point = np.where(own[:, None], forecast.point, np.nan)
            scored[column] = figures(
                np.where(own[:, None], actual, np.nan), point, quantiles, bounds, scale, reference
            ) | {"seconds": forecast.seconds, "series": int(own.sum())}
    return scored


def timed(command: list[str]) -> dict[str, float]:
    """Runs a command; wall seconds and the largest process's peak memory in MB."""
    before = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return {"seconds": time.monotonic() - before, "peak_mb": usage.ru_maxrss / 1024}


def test_values(path: Path, panel: Panel, horizon: int) -> np.ndarray:
    """The test part, (S, H), in the panel's order."""
    table = pq.read_table(path).sort_by([("unique_id", "ascending"), ("ds", "ascending")])
    ids = np.array(table["unique_id"].to_pylist(), dtype=object).reshape(-1, horizon)[:, 0]
    assert ids.tolist() == panel.ids.tolist()
    return table["y"].to_numpy().astype(float).reshape(-1, horizon)


Made = tuple[np.ndarray, np.ndarray, dict[float, tuple[np.ndarray, np.ndarray]]]


def read_forecast(path: Path, panel: Panel, horizon: int) -> Made:
    """Point (S, H), quantiles (S, H, Q) and intervals of a written forecast."""
    table = pacsv.read_csv(
        path, convert_options=pacsv.ConvertOptions(column_types={"unique_id": "string"})
    )
    assert table["unique_id"].to_pylist()[::horizon] == panel.ids.tolist()

    def column(name: str) -> np.ndarray:
        return table[name].to_numpy().astype(float).reshape(-1, horizon)

    quantiles = np.stack([column(f"LSTM-q{q:g}") for q in QUANTILES], -1)
    bounds = {
        level: (column(f"LSTM-lo-{level:g}"), column(f"LSTM-hi-{level:g}")) for level in LEVELS
    }
    return column("LSTM"), quantiles, bounds


def figures(
    actual: np.ndarray,
    point: np.ndarray,
    quantiles: np.ndarray,
    bounds: dict[float, tuple[np.ndarray, np.ndarray]],
    scale: np.ndarray,
    reference: tuple[float, float],
) -> dict[str, float]:
    """Every accuracy figure of one forecaster."""
    one, two = np.nanmean(smape(actual, point)), np.nanmean(mase(actual, point, scale))
    known = np.isfinite(actual)
    inside = {
        f"coverage-{level:g}": float(np.nanmean(coverage(np.where(known, actual, np.nan), *pair)))
        for level, pair in bounds.items()
    }
    return {
        "smape": float(one), "mase": float(two), "owa": owa(one, two, *reference),
        "wql": wql(actual, quantiles, np.array(QUANTILES)), **inside,
    }  # fmt: skip


def page(rows: dict[str, dict[str, object]]) -> str:
    """The results as a Markdown page."""
    found = versions()
    lines = [
        "# Results", "",
        "Official test parts; defaults as they are, chosen on origins inside the "
        "training parts. `LSTM` is `lstmcast train`, `LSTM zero-shot` is `lstmcast forecast` "
        "(pretrained on synthetic series alone). Seconds are wall time of the whole process, "
        "start-up included.", "",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, no GPU; "
        + ", ".join(f"{name} {version}" for name, version in found.items()) + ".", "",
        "Command: `python benchmarks/bench_accuracy.py --data DIR`", "",
    ]  # fmt: skip
    for name, result in rows.items():
        lines += [
            f"## {name}: {result['series']} series, horizon {result['horizon']}, "
            f"m = {result['m']}", "",
            "| forecaster | MASE | sMAPE | OWA | WQL | in 80 % | in 95 % | seconds | peak MB |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        for model, f in result["models"].items():
            few = (
                f" ({f['series']} series)"
                if f.get("series", result["series"]) != result["series"]
                else ""
            )
            peak = f"{f['peak_mb']:.0f}" if "peak_mb" in f else ""
            lines.append(
                f"| {model}{few} | {f['mase']:.3f} | {f['smape']:.2f} | {f['owa']:.3f} | "
                f"{f['wql']:.4f} | {f['coverage-80']:.1%} | {f['coverage-95']:.1%} | "
                f"{f['seconds']:.1f} | {peak} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
