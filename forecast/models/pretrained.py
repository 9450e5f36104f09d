"""The pretrained backbones that come with the package: model folders trained on synthetic series.

"step" reads a value a step (yearly to daily data), "year" does for daily data with a year to look
back on, "day" a day a step (sub-daily data). None has ever seen a real series. Why there is one for
long daily data: benchmarks/TRIED.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from forecast.data.frequency import Frequency
from forecast.models.forecaster import Forecaster
from forecast.models.store import load_model, save_model
from forecast.transforms.augment import views_for
from forecast.transforms.windows import Layout, segment_layout, step_layout

FOLDER = Path(__file__).parent / "weights"


def kind_of(layout: Layout) -> str:
    """The backbone that fits a layout: "step", "year" or "day"."""
    if layout.width > 1:
        return "day"
    return "year" if layout.long else "step"


def load_backbone(layout: Layout) -> Forecaster:
    """The backbone for `layout`, reading and forecasting as that says. Raises ModelDamagedError."""
    return replace(_stored(kind_of(layout)), layout=layout, views=views_for(layout))


@cache
def _stored(kind: str) -> Forecaster:
    return load_model(FOLDER / kind)[0]


def save_backbone(
    kind: str,
    weights: Mapping[str, np.ndarray],
    levels: tuple[float, ...],
    context: int,
    horizon: int,
    about: dict[str, object],
    folder: Path,
) -> None:
    """Writes a pretrained backbone into the new folder `folder`; `about` says how it was made."""
    forecaster = Forecaster(
        segment_layout(24) if kind == "day" else step_layout(12),
        (weights,),
        np.array(levels),
        context,
        horizon,
        np.ones(len(levels)),
    )
    frequency = Frequency("h" if kind == "day" else "1", integer=kind == "step")
    save_model(folder, forecaster, frequency, {"pretraining": about})
