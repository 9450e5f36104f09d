"""The pretrained backbones that come with the package, model folders trained on synthetic series;
and what a training starts from, one of them or a model of the user's own.

"step" reads a value a step (yearly to daily data), "year" does for daily data with a year to look
back on, "day" a day a step (sub-daily data). None has ever seen a real series. Why there is one for
long daily data: benchmarks/TRIED.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.head import with_new_spread
from forecast.models.networks.numpy_ops import Weights
from forecast.models.store import load_model, read_about, save_model
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


def read_backbone_size(layout: Layout) -> tuple[int, int]:
    """Hidden size and number of layers of the backbone for `layout`; its weights are not read.
    Raises ModelDamagedError."""
    return _size_of_stored(kind_of(layout))


@dataclass(frozen=True)
class Start:
    """What training starts from, in names and numbers.

    name: in words; why; model: folder of the model, None for random weights; size: its hidden size
    and number of layers; context: its steps of history; own: its likelihood; likelihood: the one
    that is to be learnt; calendar: whether it reads the calendar.
    """

    name: str
    why: str
    model: Path | None = None
    size: tuple[int, int] = (0, 0)
    context: int = 0
    own: str = QUANTILES
    likelihood: str = QUANTILES
    calendar: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is a network that forecasts as it is, its likelihood the one to be learnt."""
        return self.model is not None and self.own == self.likelihood

    @cached_property
    def weights(self) -> Weights | None:
        """The weights, read where a fit begins; None for random ones. Raises as `load_model`."""
        if self.model is None:
            return None
        own = self.model.parent == FOLDER
        loaded = _stored(self.model.name) if own else load_model(self.model)[0]
        if self.own == self.likelihood:
            return loaded.members[0]
        return with_new_spread(loaded.members[0], len(LEVELS), self.likelihood)


@cache
def _size_of_stored(kind: str) -> tuple[int, int]:
    return read_about(FOLDER / kind)[1]


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
