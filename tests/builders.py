"""Panels and small forecasters for tests, seeded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.documents import sealed
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.training.config import TrainConfig
from forecast.transforms.windows import Layout, step_layout


def make_panel(
    lengths: tuple[int, ...] = (60, 48, 30),
    season: int = 12,
    *,
    alias: str = "MS",
    seed: int = 0,
    missing: float = 0.0,
    level: float = 100.0,
) -> Panel:
    """Positive seasonal series with a trend and noise; `missing` share of NaN."""
    random = np.random.default_rng(seed)
    parts = []
    for length in lengths:
        t = np.arange(length)
        wave = np.sin(2 * np.pi * t / season + random.uniform(0, 6)) if season > 1 else 0 * t
        y = level * (1 + 0.005 * t + 0.2 * wave + 0.03 * random.standard_normal(length))
        y[random.random(length) < missing] = np.nan
        parts.append(y)
    return Panel(
        ids=np.array([f"series-{k}" for k in range(len(lengths))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        values=np.concatenate(parts),
        first=np.zeros(len(lengths), np.int64),
        frequency=Frequency(alias),
    )


def train_config(**changes: Any) -> TrainConfig:
    """A small, quick training."""
    usual: dict[str, Any] = {
        "steps": 12,
        "batch_size": 8,
        "context": 12,
        "origins_per_window": 4,
        "horizon": 6,
        "levels": LEVELS,
        "network": "lstm",
        "likelihood": "quantiles",
        "hidden_size": 8,
        "layers": 2,
        "dropout": 0.1,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup": 4,
        "weight_decay": 0.01,
        "clip": 1.0,
        "average": 0.9,
        "patience": 50,
        "device": "cpu",
        "precision": "fp32",
        "seconds": None,
    }
    return TrainConfig(**{**usual, **changes})


def make_year(years: float, count: int = 1) -> Panel:
    """Days of sales that follow the week and, far more, the year."""
    panel = make_panel((round(365 * years),) * count, 7, alias="D")
    day = np.arange(len(panel.values)) % panel.lengths[0]
    year = 1 + 0.6 * np.sin(2 * np.pi * day / 365.25)
    noise = np.random.default_rng(0).normal(1, 0.25, len(day))
    return replace(panel, values=panel.values * year * noise)


def random_forecaster(
    layout: Layout | None = None,
    *,
    hidden: int = 8,
    horizon: int = 12,
    seed: int = 0,
    members: int = 1,
    network: str = "lstm",
    mixer: int = 3,
) -> Forecaster:
    """A forecaster with random weights: nothing it says is near a skip."""
    from forecast.models.networks.registry import state_shapes

    layout = layout or step_layout(12)
    random = np.random.default_rng(seed)
    shapes = state_shapes(
        layout.features, hidden, 2, len(LEVELS), network=network, context=24, mixer=mixer
    )

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # The mixer's three layers, one after the other, would multiply rounding errors.
        size = 0.1 if name.startswith("mixer") else 0.3
        return (size * random.standard_normal(shape)).astype(np.float32)

    weights = tuple(
        {name: drawn(name, shape) for name, shape in shapes.items()} for _ in range(members)
    )
    levels = np.array(LEVELS)
    return Forecaster(layout, weights, levels, 24, horizon, np.ones(len(LEVELS)), network=network)


def run_manifest(**changes: object) -> dict[str, object]:
    """What a published run says of itself, all but its name and its files."""
    model = {
        "id": "m", "kind": "pretrained", "sha256": "a" * 64, "trained_until": None,
        "created": None, "promise": {},
    }  # fmt: skip
    model |= changes.pop("model", {})  # type: ignore[operator]
    return {
        "job": "sales",
        "sequence": 1,
        "leads": True,
        "created": "2024-03-01T12:00:00+00:00",
        "replaces": None,
        "config_sha256": "b" * 64,
        "as_of": "2024-02-28",
        "as_of_position": 1,
        "as_of_moment": None,
        "input": {
            "path": "data.csv", "sha256": "", "seen_sha256": "c" * 64, "rows": 10, "series": 1,
            "last": "2024-02-28", "dropped": 0, "age_seconds": None,
        },
        "model": model,
        "trial": {},
        "horizon": 7,
        "season": 7,
        "levels": [float(level) for level in LEVELS],
        "series": {
            "forecast": 1, "fallbacks": 0, "failed": 0, "by_source": {"LSTM": 1}, "left_out": [],
        },
        "warnings": [],
        "decisions": [],
        "intervals": {"adjusted": {}, "updates": 0, "method": "none"},
        "exit_code": 0,
        "seconds": 1.0,
        "versions": {},
        **changes,
    }  # fmt: skip


def reword(path: Path, old: str, new: str) -> None:
    """Puts `new` in place of `old` in a JSON file with a sum of its own, and sums anew."""
    document = json.loads(path.read_text().replace(old, new))
    path.write_text(json.dumps(sealed(document), indent=2))
