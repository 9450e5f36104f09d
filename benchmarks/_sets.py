"""The benchmark sets, their test parts and the figures that a forecast of one gets.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from forecast.evaluation.metrics import coverage, mase, owa, seasonal_errors, smape, wql
from forecast.models.baselines.naive import naive2

LEVELS = (80.0, 95.0)
QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Set:
    """A benchmark set: horizon in steps, m of the scores, the frequency a user would have to say
    (None: found in the times), whether OWA is defined by the competition it comes from, what its
    steps are."""

    name: str
    horizon: int
    m: int
    freq: str | None = None
    owa: bool = True
    kind: str = ""

    @property
    def flags(self) -> list[str]:
        """What `lstmcast` is told about the data."""
        return ["--horizon", str(self.horizon)] + (["--freq", self.freq] if self.freq else [])


SETS = (
    Set("m4_hourly", 48, 24, "h", kind="hourly"),
    Set("m4_weekly", 13, 1, "W", kind="weekly"),
    Set("m3_monthly", 18, 12, "MS", kind="monthly"),
    Set("m1_quarterly", 8, 4, "QS", kind="quarterly"),
    Set("m1_yearly", 6, 1, "YS", kind="yearly"),
    Set("hospital", 12, 12, "MS", owa=False, kind="monthly"),
    Set("nn5", 56, 7, owa=False, kind="daily"),
    Set("tourism_regions", 8, 4, owa=False, kind="quarterly"),
    Set("daily_mix", 28, 7, owa=False, kind="daily"),
    Set("hourly_mix", 48, 24, owa=False, kind="hourly"),
    Set("m5_sample", 28, 7, owa=False, kind="counts"),
)


@dataclass(frozen=True)
class Made:
    """A forecast: point (S, H), quantiles (S, H, Q) at QUANTILES, interval bounds (S, H) by level.

    Rows of NaN stand for series that the forecaster did not get to; quantiles and bounds are None
    where it gives none.
    """

    point: np.ndarray
    quantiles: np.ndarray | None
    bounds: dict[float, tuple[np.ndarray, np.ndarray]] | None


class Test:
    """A set's training panel, test part `actual` (S, H), and how forecasts of it are scored."""

    __test__ = False  # not for pytest

    def __init__(self, each: Set, data: Path) -> None:
        self.set = each
        self.train = data / each.name / "train.parquet"
        self.panel, _ = load_panel(self.train, DataSettings(freq=each.freq))
        self.actual = test_values(data / each.name / "test.parquet", self.panel, each.horizon)
        values, offsets = self.panel.values, self.panel.offsets
        self.scale = seasonal_errors(values, offsets, each.m)
        self.second = naive2(values, offsets, each.horizon, each.m)

    def figures(self, made: Made) -> dict[str, float]:
        """Every accuracy figure of a forecast, over the series that it has."""
        done = np.isfinite(made.point).all(1)
        actual = np.where(done[:, None], self.actual, np.nan)
        one, two = self._errors(actual, made.point)
        found = {"smape": one, "mase": two, "series": int(done.sum())}
        if self.set.owa:  # Naive2 is averaged over the same series
            found["owa"] = owa(one, two, *self._errors(actual, self.second))
        if made.quantiles is not None:
            found["wql"] = wql(actual, made.quantiles, np.array(QUANTILES))
        for level, pair in (made.bounds or {}).items():
            found[f"coverage-{level:g}"] = float(np.nanmean(coverage(actual, *pair)))
        return found

    def _errors(self, actual: np.ndarray, point: np.ndarray) -> tuple[float, float]:
        """Mean sMAPE and MASE."""
        return (
            float(np.nanmean(smape(actual, point))),
            float(np.nanmean(mase(actual, point, self.scale))),
        )


def test_values(path: Path, panel: Panel, horizon: int) -> np.ndarray:
    """The test part, (S, H), in the panel's order."""
    table = pq.read_table(path).sort_by([("unique_id", "ascending"), ("ds", "ascending")])
    ids = np.array(table["unique_id"].to_pylist(), dtype=object).reshape(-1, horizon)[:, 0]
    assert ids.tolist() == panel.ids.tolist()
    return table["y"].to_numpy().astype(float).reshape(-1, horizon)


def read_forecast(path: Path, panel: Panel, horizon: int, name: str = "LSTM") -> Made:
    """The forecast in the columns `name` of what `lstmcast` wrote, QUANTILES and LEVELS among
    them. Raises KeyError where there is none."""
    text = pacsv.ConvertOptions(column_types={"unique_id": "string"})
    table = pacsv.read_csv(path, convert_options=text)
    assert table["unique_id"].to_pylist()[::horizon] == panel.ids.tolist()

    def column(name: str) -> np.ndarray:
        return table[name].to_numpy().astype(float).reshape(-1, horizon)

    return Made(
        column(name),
        np.stack([column(f"{name}-q{q:g}") for q in QUANTILES], -1),
        {
            level: (column(f"{name}-lo-{level:g}"), column(f"{name}-hi-{level:g}"))
            for level in LEVELS
        },
    )
