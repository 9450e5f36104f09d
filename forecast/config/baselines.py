"""The baselines that there are; one more of StatsForecast's is a name and an entry of MODELS.

Options, fits, tables and sentences take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Baseline = Literal[
    "arima", "ets", "theta", "seasonal-naive", "croston", "croston-sba", "tsb", "adida", "imapa"
]
TRAIN_BASELINES: tuple[Baseline, ...] = ("arima", "seasonal-naive")  # where none are named
BACKTEST_BASELINES: tuple[Baseline, ...] = ("arima", "ets", "theta", "seasonal-naive")


@dataclass(frozen=True)
class BaselineModel:
    """One of StatsForecast's models.

    column: its class in statsforecast.models, and the column of its forecasts; intermittent:
    whether it is one of intermittent demand, which knows no season; takes: its arguments beside
    the season's length.
    """

    column: str
    intermittent: bool = False
    takes: Mapping[str, float] = field(default_factory=dict)


# In the order in which they are fitted: what is quickly done comes first.
MODELS: dict[Baseline, BaselineModel] = {
    "croston": BaselineModel("CrostonOptimized", intermittent=True),
    "croston-sba": BaselineModel("CrostonSBA", intermittent=True),
    # Smoothing as in StatsForecast's example.
    "tsb": BaselineModel("TSB", intermittent=True, takes={"alpha_d": 0.2, "alpha_p": 0.2}),
    "adida": BaselineModel("ADIDA", intermittent=True),
    "imapa": BaselineModel("IMAPA", intermittent=True),
    "theta": BaselineModel("DynamicOptimizedTheta"),
    "ets": BaselineModel("AutoETS"),
    "arima": BaselineModel("AutoARIMA"),
}
COLUMNS: dict[str, str] = {name: model.column for name, model in MODELS.items()}
INTERMITTENT_BASELINES = tuple(name for name, model in MODELS.items() if model.intermittent)
INTERMITTENT = {MODELS[name].column: MODELS[name].takes for name in INTERMITTENT_BASELINES}
