"""Accuracy and cost on the official test parts, with the defaults as they are.

    python benchmarks/bench_accuracy.py [--data DIR] [--sets m4_weekly,...] [--only-baselines]

DIR holds one folder a set with train.parquet and test.parquet (unique_id, ds, y). The LSTM is run
as a user would: `lstmcast train` and `lstmcast forecast` in fresh processes, timed from outside;
each baseline in a fresh process too, within a budget of wall time. Figures are kept, forecaster by
forecaster, in results.json, and RESULTS.md is written anew from all that is known.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import cores, stamp, timed
from _page import HERE, load, store, write_page
from _sets import LEVELS, QUANTILES, SETS, Made, Test, read_forecast

from forecast.models.baselines.forecast import COLUMNS
from forecast.models.store import describe

Figures = dict[str, Any]
COMMAND = (sys.executable, "-m", "forecast")


def main() -> None:
    """Runs what is asked, set by set; results are written as they come."""
    given = arguments()
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not a folder: name the data with --data")
    names = given.sets.split(",")
    unknown = set(names) - {each.name for each in SETS}
    if unknown:
        sys.exit(f"there is no set {sorted(unknown)[0]}: there are "
                 + ", ".join(each.name for each in SETS))  # fmt: skip
    for each in sorted(
        (one for one in SETS if one.name in names), key=lambda s: names.index(s.name)
    ):
        test = Test(each, given.data)
        if given.only_zero_shot:
            keep(test, zero_shot(test))
            continue
        if given.only_scratch:
            keep(test, from_scratch(test))
            continue
        if not given.only_lstm:
            for name in filter(None, given.baselines.split(",")):
                keep(test, {COLUMNS[name]: baseline(test, name, given)})
        if not given.only_baselines:
            keep(test, lstm(test, given.train_flags.split()))


def arguments() -> argparse.Namespace:
    """The command line."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--data", type=Path, default=HERE.parent / "../shared/data/panels")
    words.add_argument("--sets", default=",".join(each.name for each in SETS))
    words.add_argument("--baselines", default="seasonal-naive,theta,ets,arima")
    words.add_argument(
        "--budget", type=float, default=600.0, help="seconds for a baseline of a set"
    )
    words.add_argument("--jobs", type=int, default=cores(), help="processes of a baseline")
    words.add_argument("--train-flags", default="", help="passed on to `lstmcast train`")
    only = words.add_mutually_exclusive_group()
    only.add_argument("--only-baselines", action="store_true", help="leave the LSTM's figures")
    only.add_argument("--only-lstm", action="store_true", help="leave the baselines' figures")
    only.add_argument("--only-zero-shot", action="store_true", help="`lstmcast forecast` alone")
    only.add_argument(
        "--only-scratch", action="store_true", help="the LSTM from random weights, nothing else"
    )
    return words.parse_args()


def keep(test: Test, models: dict[str, Figures]) -> None:
    """Adds figures to what is known of a set, and writes the page."""
    known = load("results.json")
    row = known.setdefault(test.set.name, {})
    about = {"series": test.panel.size, "horizon": test.set.horizon, "m": test.set.m}
    before = {
        k: v for k, v in row.get("models", {}).items() if k != "Blend" or "LSTM" not in models
    }
    row |= about | {"models": before | models}
    row.pop("date", None)
    store("results.json", known)
    write_page()
    for model, figures in models.items():
        brief = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        print(test.set.name, model, json.dumps(brief), flush=True)


def lstm(test: Test, extra: list[str]) -> dict[str, Figures]:
    """Figures of `lstmcast train`, of its blend if there is one, and of `lstmcast forecast`, which
    trains nothing."""
    return {**trained(test, ["--baselines", "theta", *extra]), **zero_shot(test)}


def zero_shot(test: Test) -> dict[str, Figures]:
    """Figures of `lstmcast forecast`."""
    with tempfile.TemporaryDirectory() as place:
        zero = Path(place) / "zero.csv"
        cost = timed([*COMMAND, "forecast", str(test.train), "-o", str(zero), *wanted(test)])
        untrained = score(test, zero) | cost
    return {"LSTM zero-shot": untrained | stamp()}


def from_scratch(test: Test) -> dict[str, Figures]:
    """Figures of `lstmcast train --from-scratch`, which knows of no pretrained network."""
    made = trained(test, ["--baselines", "none", "--from-scratch"])
    return {"LSTM from scratch": made["LSTM"]}


def trained(test: Test, extra: list[str]) -> dict[str, Figures]:
    """Figures of `lstmcast train` with the flags `extra`, and of the blend where it made one."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        cost = timed([*COMMAND, "train", str(test.train), "--out", str(run), *wanted(test), *extra])
        figures = trained_figures(run, cost["seconds"])
        path = run / "predictions.csv"
        made = {"LSTM": score(test, path) | cost | figures | stamp()}
        weights = (describe(run).get("blend") or {}).get("weights")
        if weights:
            made["Blend"] = score(test, path, "Blend") | {"weights": weights} | stamp()
        return made


def wanted(test: Test) -> list[str]:
    """Flags for the intervals and quantiles that are scored, and those of the set."""
    return ["--level", ",".join(f"{level:g}" for level in LEVELS),
            "--quantiles", ",".join(map(str, QUANTILES)), *test.set.flags]  # fmt: skip


def score(test: Test, path: Path, name: str = "LSTM") -> Figures:
    """Figures of a written forecast, of the columns `name`."""
    return test.figures(read_forecast(path, test.panel, test.set.horizon, name))


def trained_figures(run: Path, seconds: float) -> Figures:
    """Parameters of all members, windows trained in a second of the whole run, steps kept."""
    about = describe(run)
    network, training = about["network"], about["training"]
    last: dict[tuple[str, str], int] = {}
    with (run / "history.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["member"], row["phase"]
            last[key] = max(last.get(key, 0), int(row["step"]))
    windows = sum(last.values()) * training["recipe"]["batch_size"]
    return {
        "parameters": network["parameters"] * network["members"],
        "windows_per_second": windows / seconds,
        "best_steps": [member["best_step"] for member in training["members"]],
    }


def baseline(test: Test, name: str, given: argparse.Namespace) -> Figures:
    """Figures of one baseline on the series that it finished within the budget."""
    script = str(Path(__file__).with_name("_baseline.py"))
    with tempfile.TemporaryDirectory() as place:
        out = f"{place}/made.npz"
        cost = timed([sys.executable, script, str(test.train), test.set.name, name,
                      str(given.budget), str(given.jobs), out])  # fmt: skip
        with np.load(out) as made:
            bounds = {level: (made[f"lo{level:g}"], made[f"hi{level:g}"]) for level in LEVELS}
            found = test.figures(Made(made["point"], made["quantiles"], bounds))
            fell_back = int(made["fell_back"].sum())
    statistical = {} if name == "seasonal-naive" else {"budget": given.budget, "jobs": given.jobs}
    return found | cost | {"fell_back": fell_back} | statistical | stamp()


if __name__ == "__main__":
    main()
