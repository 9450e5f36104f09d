"""One series at a time: is a network worth training for a single short file?

`python benchmarks/bench_single.py --data DIR` trains and forecasts each series alone, as
`lstmcast train` does, and compares with AutoARIMA on the steps kept out: 100 series drawn with a
fixed seed from three collections (their official test parts), and four files, of which the last
horizon is kept out. Figures go to results_single.json and SINGLE.md; a series that is there already
is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import forecast

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results_single.json", HERE / "SINGLE.md"
SEED = 20_26
PANELS = {"m3_monthly": (34, 18, 12), "m1_quarterly": (33, 8, 4), "hospital": (33, 12, 12)}
FILES = {
    "airline_passengers.csv": (12, 12),
    "daily_min_temperatures_melbourne.csv": (14, 7),
    "monthly_sunspots.csv": (12, 12),
    "wp_log_peyton_manning_daily.csv": (14, 7),
}


@dataclass(frozen=True)
class Case:
    """One series: what is seen, what is to be forecast, horizon and m."""

    name: str
    past: pd.DataFrame
    future: np.ndarray
    horizon: int
    season: int


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, required=True, help="folder with panels/ and files/")
    given = words.parse_args()
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in [*drawn(given.data / "panels"), *files(given.data / "files")]:
        if case.name not in done:
            done[case.name] = measure(case)
            RESULTS.write_text(json.dumps(done, indent=1) + "\n")
            print(case.name, done[case.name], flush=True)
    PAGE.write_text(page(done))


def drawn(panels: Path) -> list[Case]:
    """The series drawn from the collections."""
    rng, cases = np.random.default_rng(SEED), []
    for name, (count, horizon, season) in PANELS.items():
        past, future = (
            pd.read_parquet(panels / name / f"{part}.parquet").sort_values(["unique_id", "ds"])
            for part in ("train", "test")
        )
        for one in sorted(rng.choice(past["unique_id"].unique(), count, replace=False)):
            seen = past.loc[past["unique_id"] == one, ["ds", "y"]]
            kept = future.loc[future["unique_id"] == one, "y"].to_numpy(float)
            cases.append(Case(f"{name}/{one}", seen, kept, horizon, season))
    return cases


def files(folder: Path) -> list[Case]:
    """The files, their last horizon kept out."""
    cases = []
    for name, (horizon, season) in FILES.items():
        table = pd.read_csv(folder / name)
        table.columns = ["ds", "y"]
        cases.append(
            Case(name, table[:-horizon], table["y"].to_numpy(float)[-horizon:], horizon, season)
        )
    return cases


def measure(case: Case) -> dict[str, object]:
    """MASE of the LSTM, of the blend where `train` made one, and of AutoARIMA; what was kept, and
    seconds."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = forecast.train(
            case.past, horizon=case.horizon, baselines="arima", out=str(Path(folder) / "run")
        )
        made = run.predictions
    seconds = time.monotonic() - started
    y = case.past["y"].to_numpy(float)
    lag = case.season if len(y) > case.season else 1
    unit = np.nanmean(np.abs(y[lag:] - y[:-lag]))
    kept = [value for name, value, _ in run.result.chosen if name == "kept"]
    scores = {
        name: float(np.nanmean(np.abs(made[name].to_numpy(float) - case.future)) / unit)
        for name in ("LSTM", "Blend", "AutoARIMA")
        if name in made
    }
    return {**scores, "kept": kept[0] if kept else "", "seconds": round(seconds, 1)}


def page(done: dict[str, dict[str, float]]) -> str:
    """The table, a row for each collection and one for all."""
    lines = [
        "# One series at a time",
        "",
        "Written by `python benchmarks/bench_single.py`; do not edit. Each series is trained and",
        "forecast alone, defaults as they are; better: share of series on which the LSTM's MASE is",
        "the lower one. `or Blend` takes Blend where `train` made one. What is not counted has not",
        "been run yet.",
        "",
        "| series | count | LSTM MASE | or Blend | AutoARIMA MASE | LSTM better | median seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups = {name: [v for k, v in done.items() if k.startswith(name)] for name in PANELS}
    groups |= {name: [done[name]] for name in FILES if name in done}
    for name, rows in {**groups, "all": list(done.values())}.items():
        if not rows:
            continue
        lstm, arima, spent = (
            np.array([row[key] for row in rows]) for key in ("LSTM", "AutoARIMA", "seconds")
        )
        best = np.array([row.get("Blend", row["LSTM"]) for row in rows])
        lines.append(
            f"| {name} | {len(rows)} | {lstm.mean():.3f} | {best.mean():.3f} | "
            f"{arima.mean():.3f} | {np.mean(lstm < arima):.0%} | {np.median(spent):.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
