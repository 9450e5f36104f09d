"""`ScoreTable`: how good each forecaster was, on what, and how the figures were pooled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

POOLING = (
    "mean over the steps of each series and origin, then over the series' origins, then over "
    "series; wql pools all series, steps and origins; owa is against Naive2 on the same series"
)
ORDER = ("mase", "smape", "owa", "wql", "rmsse", "mae", "crps", "rmse", "mape", "scaled_crps")
NAMED = 100  # series named at most in the JSON document; the counts are always complete


@dataclass(frozen=True)
class Score:
    """One forecaster's figures.

    values       metric name -> value over all scored series; NaN where undefined
    series       series scored
    pairs        (series, origin) pairs scored
    best         series on which this forecaster has the lowest MASE; ties are split
    unavailable  series without a forecast
    fallen_back  series that another forecaster stood in for: left out of the figures
    seconds      wall time spent on the forecasts
    memory       bytes that all processes held at most meanwhile; NaN where unknown
    """

    model: str
    values: dict[str, float]
    series: int
    pairs: int
    best: float
    unavailable: tuple[str, ...]
    fallen_back: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    memory: float = float("nan")


@dataclass(frozen=True)
class ScoreTable:
    """The figures of all forecasters on the same held-out origins.

    season      m, the lag that scales MASE, RMSSE and MSIS
    horizon     H, steps scored after each origin
    windows     W, held-out origins of each series; step: steps between them (0 for one window)
    quantiles   the levels that the WQL is over
    per_series  model -> metric -> (S,) means over the origins
    per_step    model -> metric -> (H,) means over all series and origins
    losses      model -> MASE of each pair (W, S), NaN where not scored; errors: the same for MAE
    without_actuals, undefined_scale, short_for_season, zero_actuals
                series with nothing to compare with; series whose training part is constant, so
                that MASE is undefined; series no longer than m, scaled with lag 1; steps whose
                actual is zero, left out of MAPE
    """

    season: int
    horizon: int
    windows: int
    step: int
    quantiles: tuple[float, ...]
    ids: np.ndarray
    scores: tuple[Score, ...]
    per_series: dict[str, dict[str, np.ndarray]]
    per_step: dict[str, dict[str, np.ndarray]]
    losses: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    without_actuals: int = 0
    undefined_scale: int = 0
    short_for_season: int = 0
    zero_actuals: int = 0

    def score(self, model: str) -> Score:
        """The figures of `model`. Raises KeyError when it was not scored."""
        for score in self.scores:
            if score.model == model:
                return score
        raise KeyError(model)

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, the most usual first."""
        names = dict.fromkeys(name for score in self.scores for name in score.values)
        first = [name for name in ORDER if name in names]
        return first + sorted(name for name in names if name not in first)

    def caption(self) -> str:
        """One line that says on what, and with which scale, the figures were computed."""
        origins = "1 origin" if self.windows == 1 else f"{self.windows} origins"
        parts = [
            f"{len(self.ids) - self.without_actuals} series, {origins}, {self.horizon} steps",
            f"MASE scale: seasonal naive with m = {self.season}",
        ]
        if self.short_for_season:
            parts.append(f"{self.short_for_season} series shorter than m+1 use m = 1")
        if self.undefined_scale:
            parts.append(f"{self.undefined_scale} series with a constant past have no MASE")
        if self.zero_actuals:
            steps = "1 step" if self.zero_actuals == 1 else f"{self.zero_actuals:,} steps"
            parts.append(f"MAPE leaves out {steps} whose actual is zero")
        most = max(score.pairs for score in self.scores)
        parts += [
            f"{score.model} is scored on {score.series} series ({score.pairs} of {most} forecasts) "
            "only, so its figures are not comparable with the others'"
            if score.pairs
            else f"{score.model} made none of its {most} forecasts, so it has no figures"
            for score in self.scores
            if score.pairs < most
        ]
        return "; ".join(parts)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per forecaster, for a table: undefined figures are None."""
        return [
            {
                "model": score.model,
                **{name: _number(score.values.get(name)) for name in self.metrics},
                "best": score.best,
                "series": score.series,
                "unavailable": len(score.unavailable),
                "fallen_back": len(score.fallen_back),
                "seconds": score.seconds,
                "memory_mb": _number(score.memory / 2**20),
            }
            for score in self.scores
        ]

    def to_dict(self) -> dict[str, Any]:
        """The table as a JSON document: no NaN; at most NAMED series named for each list."""
        rows = self.to_rows()
        for row, score in zip(rows, self.scores, strict=True):
            row["unavailable_series"] = list(score.unavailable[:NAMED])
            row["fallen_back_series"] = list(score.fallen_back[:NAMED])
            row["pairs"] = score.pairs
            row["notes"] = list(score.notes)
        return {
            "season": self.season,
            "horizon": self.horizon,
            "windows": self.windows,
            "step_size": self.step,
            "series": len(self.ids),
            "quantiles": list(self.quantiles),
            "pooling": POOLING,
            "caption": self.caption(),
            "without_actuals": self.without_actuals,
            "undefined_scale": self.undefined_scale,
            "short_for_season": self.short_for_season,
            "zero_actuals": self.zero_actuals,
            "models": rows,
            "steps": self.step_rows(),
        }

    def step_rows(self) -> list[dict[str, Any]]:
        """One row per forecaster and step ahead (1 is the first step scored)."""
        return [
            {
                "model": model,
                "step": step + 1,
                **{name: _number(values[step]) for name, values in metrics.items()},
            }
            for model, metrics in self.per_step.items()
            for step in range(self.horizon)
        ]

    def series_columns(self, metric: str = "mase") -> dict[str, np.ndarray]:
        """Columns of the table by series: ids, then `metric` of each forecaster, (S,) each."""
        columns = {model: each[metric] for model, each in self.per_series.items() if metric in each}
        return {"unique_id": self.ids, **columns}


def _number(value: float | None) -> float | None:
    """A plain float, None for what is undefined: JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
