"""Does a scenario tell a known answer? Prices up by a tenth, on sales whose elasticity is known.

    python benchmarks/bench_scenarios.py [--config fast|default] [--seeds 0,1,2] [--folder DIR]

Each panel has 40 weekly series of 156 weeks: a level, a year, autocorrelated noise, and a price
that moves by up to a fifth to either side, to which demand answers with a known elasticity: -1.5
for all ("common"), or another for each series between -2.5 and -0.5 ("varied"). A model is trained
with the price as a covariate known ahead; then `predict --scenario` compares the usual price with
one a tenth higher over the next 8 weeks. Said are the change in per cent beside the true one, and
how often the interval of a change holds the true change of that series and week.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SERIES, WEEKS, AHEAD = 40, 156, 8
USUAL, DEARER = 1.0, 1.1  # prices of the two scenarios, in units of each series' usual price
KINDS = ("common", "varied")
LEVELS = (80, 95)


def simulate(kind: str, seed: int) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """History, the two futures, and the true change of each series and week ahead."""
    chance = np.random.default_rng([seed, KINDS.index(kind)])
    names = [f"item{k:02d}" for k in range(SERIES)]
    weeks = pd.date_range("2021-01-04", periods=WEEKS + AHEAD, freq="W-MON").strftime("%Y-%m-%d")
    history, futures, truth = [], {"usual": [], "dearer": []}, []
    for name in names:
        elasticity = -1.5 if kind == "common" else chance.uniform(-2.5, -0.5)
        usual_price, level = chance.uniform(2, 20), chance.lognormal(5, 0.8)
        price = np.ones(WEEKS)
        for week in range(1, WEEKS):
            moves = chance.random() < 0.15
            price[week] = chance.uniform(0.8, 1.2) if moves else price[week - 1]
        noise = np.zeros(WEEKS)
        for week in range(1, WEEKS):
            noise[week] = 0.6 * noise[week - 1] + 0.06 * chance.standard_normal()
        year = 0.2 * np.sin(2 * np.pi * np.arange(WEEKS + AHEAD) / 52 + chance.uniform(0, 6.3))
        sales = level * np.exp(year[:WEEKS] + noise) * price**elasticity
        history.append(
            pd.DataFrame({"unique_id": name, "ds": weeks[:WEEKS], "y": sales.round(2),
                          "price": (usual_price * price).round(3)})
        )  # fmt: skip
        base = level * np.exp(year[WEEKS:] + noise[-1] * 0.6 ** np.arange(1, AHEAD + 1))
        for scenario, factor in (("usual", USUAL), ("dearer", DEARER)):
            futures[scenario].append(
                pd.DataFrame({"unique_id": name, "ds": weeks[WEEKS:],
                              "price": round(usual_price * factor, 3)})
            )  # fmt: skip
        change = base * (DEARER**elasticity - USUAL**elasticity)
        truth.append(
            pd.DataFrame({"unique_id": name, "ds": weeks[WEEKS:], "true": change, "base": base})
        )
    return pd.concat(history), {k: pd.concat(v) for k, v in futures.items()}, pd.concat(truth)


def lstmcast(*words: str) -> None:
    """Runs the command; its output goes where this script's does. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-P", "-m", "forecast", *words], check=True)


def train(folder: Path, config: str, seed: int) -> Path:
    """A model in `folder`, made unless it is there; returns the run."""
    run = folder / "run"
    if not (run / "model").exists():
        lstmcast(
            "train", str(folder / "sales.csv"), "--future-cov", "price", "--horizon", str(AHEAD),
            "--future-covariates", str(folder / "usual.csv"),
            "--seed", str(seed), "--out", str(run), "--quiet",
            *(("--config", config) if config != "default" else ()),
        )  # fmt: skip
    return run


def measure(config: str, kind: str, seed: int, root: Path) -> dict[str, Any]:
    """Trains on one panel, forecasts both futures and scores the changes against the truth."""
    folder = root / f"{config}-{kind}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    history, futures, truth = simulate(kind, seed)
    history.to_csv(folder / "sales.csv", index=False)
    for name, table in futures.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    started = time.monotonic()
    run = train(folder, config, seed)
    seconds = time.monotonic() - started
    out = folder / "changes.csv"
    out.unlink(missing_ok=True)
    scenarios = [part for name in futures for part in ("--scenario", f"{name}={folder / name}.csv")]
    lstmcast(
        "predict", str(folder / "sales.csv"), "--model", str(run), *scenarios,
        "-o", str(out), "--quiet",
    )  # fmt: skip
    made = pd.read_csv(out, dtype={"unique_id": str, "ds": str})
    both = made[made.scenario == "dearer"].merge(truth, on=["unique_id", "ds"])
    usual = made[made.scenario == "usual"]
    return {
        "config": config,
        "kind": kind,
        "seed": seed,
        "seconds": round(seconds),
        **score(both, float(usual.LSTM.sum())),
    }


def score(both: pd.DataFrame, usual: float) -> dict[str, Any]:
    """The change in per cent, its truth, the error by series and week, and what intervals hold."""
    figures: dict[str, Any] = {
        "told %": 100 * both.change.sum() / usual,
        "true %": 100 * both.true.sum() / both.base.sum(),
        "error %": 100 * (both.change - both.true).abs().sum() / both.true.abs().sum(),
    }
    for level in LEVELS:
        low, high = both[f"change-lo-{level}"], both[f"change-hi-{level}"]
        figures[f"in {level}"] = 100 * float(((low <= both.true) & (both.true <= high)).mean())
        figures[f"width {level} %"] = 100 * float((high - low).sum() / both.true.abs().sum())
    return {name: round(value, 1) for name, value in figures.items()}


def main() -> None:
    """Prints a JSON line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="fast")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", type=Path, help="models are kept there, and used again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.folder or Path(scratch)
        for kind in asked.kinds.split(","):
            for seed in map(int, asked.seeds.split(",")):
                print(json.dumps(measure(asked.config, kind, seed, root)), flush=True)


if __name__ == "__main__":
    main()
