"""`Forecast`: what every forecaster returns, the LSTM and the baselines alike.

Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

# The quantiles that networks learn; 80 and 95 per cent intervals are among them.
LEVELS = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975)
BLEND = "Blend"  # column of the network and statistical forecasts combined


@dataclass(frozen=True)
class Forecast:
    """One forecaster's forecasts of a panel, each series from its own origin, original units.

    name       column name, e.g. "LSTM" or "AutoARIMA"
    origins    int64 (S,): observations of series s that were seen; the forecast starts at this
               position of the series
    point      float64 (S, H): point forecast (LSTM: the median; ARIMA: the mean)
    levels     float64 (Q,): ascending quantile levels between 0 and 1; Q may be 0
    quantiles  float64 (S, H, Q): non-decreasing along Q
    source     object (S,): who made this row ("LSTM", "AutoARIMA", "SeasonalNaive", ...);
               a forecaster that fell back on another says so here
    available  bool (S,): False where there is no forecast (NaN in point and quantiles)
    seconds    wall time spent
    memory     bytes that all processes held at most while it was made; NaN where unknown
    whole      whether the forecasts are whole numbers, those at other levels too
    """

    name: str
    origins: np.ndarray
    point: np.ndarray
    levels: np.ndarray
    quantiles: np.ndarray
    source: np.ndarray
    available: np.ndarray
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())
    memory: float = float("nan")
    whole: bool = False

    def first(self, steps: int) -> Forecast:
        """The forecast of the first `steps` steps."""
        return replace(self, point=self.point[:, :steps], quantiles=self.quantiles[:, :steps])

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound, each (S, H), of the central `level` per cent interval.

        Raises KeyError when the two quantiles were not forecast.
        """
        tail = (1 - level / 100) / 2
        return self.quantile(tail), self.quantile(1 - tail)

    def quantile(self, q: float) -> np.ndarray:
        """The forecast of quantile `q`, (S, H). Raises KeyError when it was not forecast."""
        found = np.flatnonzero(np.isclose(self.levels, q, rtol=0, atol=1e-9))
        if len(found) == 0:
            raise KeyError(f"quantile {q:g} was not forecast; there are {self.levels.tolist()}")
        return self.quantiles[:, :, found[0]]
