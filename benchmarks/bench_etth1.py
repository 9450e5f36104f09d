"""ETTh1, the long-horizon benchmark: 7 channels, context 720, horizons 96, 192, 336 and 720.

    python benchmarks/bench_etth1.py [--data ETTh1.parquet] [--part validation|test]

The usual protocol (Zhou et al. 2021; 12, 4 and 4 months of hours): channels standardised by mean
and deviation of the training part, errors in these units, every window of the part scored at every
hour, none dropped, channels averaged. What a forecast may read are the 720 hours before it: each
window is a series of its own here, scale and skips included. The networks are trained on the
training part alone; their settings below were chosen on the validation part.

One ensemble serves all horizons: the package's own training (`ensemble.train_members`) from its
pretrained start, and its own prediction. The score is the squared error, which the mean minimises,
so the point forecast is the mean of the quantiles and not the median. Scored apart: the even blend
of the LSTM with a ridge regression of the future on the 720 hours, both less the last day's mean
(as DLinear, Zeng et al. 2023, a linear map that all channels share).

Axes: K channels, N hours, R windows, H horizon.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _measure import cores, stamp
from _page import HERE, load, store, write_page

from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.networks.registry import size_of
from forecast.models.pretrained import load_backbone
from forecast.training.config import TrainConfig
from forecast.training.ensemble import MemberTask, train_members
from forecast.transforms.augment import View
from forecast.transforms.windows import Layout

PARTS = {"train": (0, 8640), "validation": (8640, 11520), "test": (11520, 14400)}
HORIZONS = (96, 192, 336, 720)
CONTEXT, LONGEST = 720, max(HORIZONS)
STRIDE = 29  # hours between training pieces: all hours of the day begin one
AWAY = 1000.0  # subtracted, so that no piece is positive throughout and none takes logarithms
AT_ONCE = 1000  # windows forecast together
VIEWS = (View(False, False, 0.5), View(False, True, 0.5))
RIDGE, RIDGE_STRIDE, LEVEL = 1e5, 3, 24  # penalty; hours between its windows; hours in the level
LINEAR = 0.5  # weight of the ridge regression in the blend


@dataclass(frozen=True)
class Kind:
    """Networks that share their settings: how long a mean the level is (hours), steps, seeds."""

    level_window: int
    steps: int
    seeds: tuple[int, ...]
    learning_rate: float = 2e-4
    dropout: float = 0.1


KINDS = (Kind(24, 50, (1, 2)), Kind(672, 60, (1, 2)))


def main() -> None:
    """Trains, scores the part, and writes its figures."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = HERE.parent / "../shared/data/long/ETTh1.parquet"
    words.add_argument("--data", type=Path, default=usual)
    words.add_argument("--part", choices=("validation", "test"), default="test")
    words.add_argument("--every", type=int, default=1, help="score every so many hours (1: all)")
    given = words.parse_args()
    if not given.data.is_file():
        sys.exit(f"{given.data} is not a file: name ETTh1 with --data")
    values = read(given.data)
    forecasters, trained = train(values)
    linear = linear_map(values)
    started = time.monotonic(), time.process_time()
    figures, blended = score(forecasters, linear, values, given.part, given.every)
    found = {
        **figures,
        "blend": blended,
        **trained,
        "predict_seconds": time.monotonic() - started[0],
        "predict_cpu_seconds": time.process_time() - started[1],
        **stamp(),
    }
    if given.every == 1:
        known = load("results_etth1.json")
        known[given.part] = found
        store("results_etth1.json", known)
        write_page()
    print(given.part, found, flush=True)


def read(path: Path) -> np.ndarray:
    """The channels (K, N), standardised by the training part."""
    table = pq.read_table(path)
    names = [name for name in table.column_names if name != "date"]
    values = np.stack([table[name].to_numpy() for name in names])[:, : PARTS["test"][1]]
    past = values[:, : PARTS["train"][1]]
    return (values - past.mean(1, keepdims=True)) / past.std(1, keepdims=True)


def pieces(values: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Cut-outs (K * R, length) of every channel from `starts` (R,) on, moved AWAY from zero."""
    views = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
    return views[:, starts].reshape(-1, length) - AWAY


def train(values: np.ndarray) -> tuple[list[Forecaster], dict[str, Any]]:
    """A forecaster for each kind, from the training part; and what it cost."""
    first, last = PARTS["train"]
    starts = np.arange(first, last - CONTEXT - LONGEST + 1, STRIDE)
    cut = pieces(values, starts, CONTEXT + LONGEST)
    started, used = time.monotonic(), processor_seconds()
    made = [fitted(kind, cut) for kind in KINDS]
    return made, {
        "train_seconds": time.monotonic() - started,
        "train_cpu_seconds": processor_seconds() - used,
        "members": sum(len(kind.seeds) for kind in KINDS),
        "parameters": sum(len(each.members) * each.parameters for each in made),
    }


def processor_seconds() -> float:
    """Of this process and its finished children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def fitted(kind: Kind, cut: np.ndarray) -> Forecaster:
    """The members of one kind, trained on series `cut` (S, L); the last of their weights."""
    layout = Layout(24, 24, 168, level_window=kind.level_window)
    backbone = load_backbone(layout)
    hidden, layers = size_of(backbone.members[0])
    count, length = cut.shape
    config = TrainConfig(
        steps=kind.steps, batch_size=64, context=CONTEXT // layout.width,
        origins_per_window=3, horizon=LONGEST, levels=LEVELS, hidden_size=hidden,
        layers=layers, dropout=kind.dropout, learning_rate=kind.learning_rate,
        schedule="cosine",
        warmup=50, weight_decay=0.01, clip=1.0, average=0.995, patience=kind.steps,
        device="cpu", precision="fp32", seconds=None,
        views=VIEWS,
    )  # fmt: skip
    task = MemberTask(
        values=cut.reshape(-1),
        offsets=np.arange(count + 1) * length,
        keep=np.full(count, length),
        validation=np.empty((0, count), np.int64),
        layout=layout,
        config=config,
        refit_share=0.0,
        refit_rate=1.0,
        initial=backbone.members[0],
    )
    with tempfile.TemporaryDirectory() as folder:
        members, interrupted = train_members(
            task, list(kind.seeds), Path(folder), min(cores(), len(kind.seeds))
        )
    if interrupted:
        raise KeyboardInterrupt
    return Forecaster(
        layout,
        tuple(member.final for member in members),
        np.array(LEVELS),
        config.context,
        LONGEST,
        np.ones(len(LEVELS)),
        views=VIEWS,
    )


def linear_map(values: np.ndarray) -> np.ndarray:
    """The ridge regression (720, 720) from the hours before an origin to those after it."""
    from sklearn.linear_model import Ridge

    first, last = PARTS["train"]
    starts = np.arange(first, last - CONTEXT - LONGEST + 1, RIDGE_STRIDE)
    cut = pieces(values, starts, CONTEXT + LONGEST)
    cut = cut - cut[:, CONTEXT - LEVEL : CONTEXT].mean(1, keepdims=True)
    fitted_ = Ridge(RIDGE, fit_intercept=False).fit(cut[:, :CONTEXT], cut[:, CONTEXT:])
    return np.asarray(fitted_.coef_).T


def linear_forecast(linear: np.ndarray, past: np.ndarray, horizon: int) -> np.ndarray:
    """Forecasts (R, H) of the ridge regression after the windows `past` (R, 720)."""
    level = past[:, -LEVEL:].mean(1, keepdims=True)
    return (past - level) @ linear[:, :horizon] + level


def score(
    forecasters: list[Forecaster], linear: np.ndarray, values: np.ndarray, part: str, every: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """MSE and MAE of a part by horizon and their means, and the number of windows of each; of the
    LSTM, and of its blend with the ridge regression.

    Windows of a horizon are all whose targets lie in the part.
    """
    first, last = PARTS[part]
    origins = np.arange(first, last - min(HORIZONS) + 1, every)
    counts = {horizon: int((origins + horizon <= last).sum()) for horizon in HORIZONS}
    sums = {horizon: np.zeros((2, 2)) for horizon in HORIZONS}
    for start in range(0, len(origins), max(1, AT_ONCE // len(values))):
        some = origins[start : start + max(1, AT_ONCE // len(values))]
        longest = max(h for h in HORIZONS if some[0] + h <= last)
        past = pieces(values, some - CONTEXT, CONTEXT)
        lstm = means(forecasters, past, longest)
        blend = (1 - LINEAR) * lstm + LINEAR * linear_forecast(linear, past, longest)
        for horizon in HORIZONS:
            inside = some[some + horizon <= last]
            if len(inside):
                actual = pieces(values, inside, horizon).reshape(len(values), -1, horizon)
                for row, made in enumerate((lstm, blend)):
                    near = made.reshape(len(values), len(some), -1)[:, : len(inside), :horizon]
                    error = near - actual
                    sums[horizon][row] += (error**2).mean(2).sum(), np.abs(error).mean(2).sum()
    lstm_, blend_ = (summary(row, sums, counts, len(values)) for row in (0, 1))
    return lstm_, blend_


def summary(
    row: int, sums: dict[int, np.ndarray], counts: dict[int, int], channels: int
) -> dict[str, Any]:
    """MSE, MAE and windows by horizon, and the means over horizons."""
    found: dict[str, Any] = {"horizons": {}}
    for horizon in HORIZONS:
        mse, mae = sums[horizon][row] / (counts[horizon] * channels)
        found["horizons"][horizon] = {"mse": mse, "mae": mae, "windows": counts[horizon]}
    for name in ("mse", "mae"):
        found[name] = float(np.mean([each[name] for each in found["horizons"].values()]))
    return found


def means(forecasters: list[Forecaster], past: np.ndarray, horizon: int) -> np.ndarray:
    """Mean forecasts (R, H) after the windows `past` (R, 720), the average over all kinds."""
    count, length = past.shape
    panel = Panel(
        ids=np.array([f"{k:06d}" for k in range(count)], dtype=object),
        offsets=np.arange(count + 1) * length,
        values=past.reshape(-1),
        first=np.zeros(count, np.int64),
        frequency=Frequency("h"),
    )
    made = [forecast_panel(each, panel, horizon).quantiles.mean(-1) for each in forecasters]
    return np.mean(made, axis=0)


if __name__ == "__main__":
    main()
