"""The judge of defaults: inner origins of every panel at once, never a test part.

    python benchmarks/bench_inner.py [--data DIR] [--weights DIR] [--origins 2] [--series 400]

Forecasts of the pretrained networks (of the package, or those in the folders step and day of
--weights) from origins inside the training parts. Printed for each set: MASE, its ratio to the
seasonal naive forecast's, the mean quantile loss in the same ratio, and what share of the actuals
the 80 per cent intervals hold, by thirds of the horizon; then geometric means by frequency and
over all. A default is changed only where the last line says so.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _sets import QUANTILES, SETS, Set
from safetensors import safe_open

from forecast.config.schema import DataSettings, Settings
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from forecast.data.seasonality import confirm_seasons
from forecast.evaluation.metrics import mase, seasonal_errors
from forecast.inference.predict import at_levels, forecast_panel
from forecast.models import pretrained as backbones
from forecast.models.baselines.naive import seasonal_naive
from forecast.models.forecaster import Forecaster
from forecast.training.zero_shot import zero_shot

HERE = Path(__file__).parent
LEAST = 8  # values before an origin


def main() -> None:
    """Judges the networks on what is asked and prints the table."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--data", type=Path, default=HERE.parent / "../shared/data/panels")
    words.add_argument("--sets", default=",".join(each.name for each in SETS))
    words.add_argument("--weights", type=Path, default=None, help="folders step and day")
    words.add_argument("--checkpoint", type=Path, default=None, help="of a pretraining under way")
    words.add_argument("--origins", type=int, default=2, help="of each series")
    words.add_argument("--series", type=int, default=400, help="of a set at most, evenly spread")
    words.add_argument("--json", type=Path, default=None, help="write the figures there as well")
    given = words.parse_args()
    if given.weights is not None:
        backbones.FOLDER = given.weights
    if given.checkpoint is not None:
        kind, forecaster = under_way(given.checkpoint)
        stored = backbones._stored
        backbones._stored = lambda name: forecaster if name == kind else stored(name)  # type: ignore[assignment]
    chosen = [each for each in SETS if each.name in given.sets.split(",")]
    found = {each.name: judged(each, given.data, given.origins, given.series) for each in chosen}
    print(table(found), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def under_way(path: Path) -> tuple[str, Forecaster]:
    """Kind and averaged weights of a checkpoint (forecast/training/pretraining/pretrain.py)."""
    with safe_open(path, "np") as file:
        kind = json.loads(file.metadata()["run"])["kind"]
        names = [name for name in file.keys() if name.startswith("averaged.")]  # noqa: SIM118
        weights = {name.removeprefix("averaged."): file.get_tensor(name) for name in names}
    like = backbones._stored(kind)
    return kind, replace(like, members=(weights,))


def judged(each: Set, data: Path, count: int, most: int) -> dict[str, Any]:
    """Figures of one set over its inner origins."""
    started = time.monotonic()
    panel, _ = load_panel(data / each.name / "train.parquet", DataSettings(freq=each.freq))
    if panel.size > most:
        panel = panel.select(np.linspace(0, panel.size - 1, most).astype(int))
    parts = [at_origin(each, panel, back * each.horizon) for back in range(count, 0, -1)]
    figures = {
        name: float(np.nanmean(np.concatenate([part[name] for part in parts])))
        for name in ("mase", "naive", "loss", "naive_loss")
    }
    held = np.concatenate([part["held"] for part in parts])
    thirds = [float(np.nanmean(third)) for third in np.array_split(held, 3, axis=1)]
    return figures | {
        "ratio": figures["mase"] / figures["naive"],
        "loss_ratio": figures["loss"] / figures["naive_loss"],
        "held": float(np.nanmean(held)),
        "held_thirds": thirds,
        "seconds": time.monotonic() - started,
    }


def at_origin(each: Set, panel: Panel, back: int) -> dict[str, np.ndarray]:
    """MASE and quantile loss of each series (S,), of the network and of seasonal naive, and which
    actuals the 80 per cent interval holds, (S, H), from `back` steps before the ends."""
    origins = panel.lengths - back
    used = np.flatnonzero(origins >= LEAST)
    part, origins = panel.select(used), origins[used]
    past, actual = part.truncate(origins), part.window(origins, each.horizon)
    settings = Settings.model_validate({"forecast": {"horizon": each.horizon}})
    forecaster = zero_shot(past, confirm_seasons(past), settings).forecaster
    made = at_levels(forecast_panel(forecaster, past, each.horizon), np.array(QUANTILES))
    naive = seasonal_naive(past, past.lengths, each.horizon, np.array([0.5]), each.m)
    scale = seasonal_errors(past.values, past.offsets, each.m)
    unit = np.where(scale > 0, scale, np.nan)[:, None, None]
    low, high = made.quantiles[..., 0], made.quantiles[..., -1]
    held = np.where(np.isfinite(actual), (actual >= low) & (actual <= high), np.nan)
    return {
        "mase": mase(actual, made.point, scale),
        "naive": mase(actual, naive.point, scale),
        "loss": pinball(actual, made.quantiles, unit),
        "naive_loss": pinball(actual, naive.point[..., None], unit),
        "held": held,
    }


def pinball(actual: np.ndarray, quantiles: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean quantile loss (S,) at QUANTILES, in the unit of each series (S, 1, 1)."""
    error = (actual[..., None] - quantiles) / unit
    levels = np.array(QUANTILES)
    loss = 2 * np.maximum(levels * error, (levels - 1) * error)
    known = np.isfinite(loss)
    count = known.any(-1).sum(1) * len(levels)
    total = np.where(known, loss, 0.0).sum((1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures as lines of text."""
    lines = [f"{'set':16} {'MASE':>7} {'ratio':>7} {'loss':>7} {'held':>6}  thirds           s"]
    for name, row in found.items():
        thirds = " ".join(f"{100 * x:4.0f}" for x in row["held_thirds"])
        lines.append(
            f"{name:16} {row['mase']:7.4f} {row['ratio']:7.4f} {row['loss_ratio']:7.4f} "
            f"{100 * row['held']:5.1f}%  {thirds} {row['seconds']:7.1f}"
        )
    for title, names in grouped(found).items():
        rows = [found[name] for name in names]
        ratio, loss = (geometric([row[k] for row in rows]) for k in ("ratio", "loss_ratio"))
        lines.append(f"{title:16} {'':7} {ratio:7.4f} {loss:7.4f}")
    return "\n".join(lines)


def grouped(found: dict[str, Any]) -> dict[str, list[str]]:
    """Names of sets by frequency, and all of them."""
    groups: dict[str, list[str]] = {}
    for each in SETS:
        if each.name in found:
            groups.setdefault(f"= {each.kind}", []).append(each.name)
    return {**groups, "= all": list(found)}


def geometric(values: list[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    main()
