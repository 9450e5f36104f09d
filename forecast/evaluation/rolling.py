"""Rolling origins x forecasters -> forecasts, scores, and the table of all of them.

Axes: W windows (origins of each series), S series, H horizon (steps scored).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.common.progress import Listener, Silent
from forecast.data.forecast import Forecast
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.panel import CUTOFF, ID, TARGET, TIME, Panel, interval_names, quantile_name
from forecast.evaluation.scores import ScoreTable, own_rows, score_forecasts
from forecast.inference.point import quantile_of

if TYPE_CHECKING:
    import pyarrow as pa

Forecaster = Callable[[Panel, np.ndarray], Forecast]


@dataclass(frozen=True)
class Backtest:
    """The forecasts of every forecaster from every origin, and how good they were.

    origins    int64 (W, S), earliest first; the series' own length where it has no such origin
    gap        steps after each origin that are forecast but not scored
    forecasts  column name -> W forecasts, each (S, gap + H)
    """

    panel: Panel
    origins: np.ndarray
    gap: int
    forecasts: dict[str, list[Forecast]]
    scores: ScoreTable


def rolling_origins(
    lengths: np.ndarray,
    horizon: int,
    windows: int,
    step_size: int | None = None,
    gap: int = 0,
    shortest: int = 2,
) -> np.ndarray:
    """The `windows` latest origins of each series, int64 (W, S), earliest first.

    lengths    (S,) observations of each series
    step_size  steps between origins (default: the horizon, so that no actual is used twice)
    gap        steps between the origin and the first scored step
    shortest   observations that must lie before an origin

    The last origin leaves exactly gap + horizon observations. A series too short for an origin
    gets its own length there: nothing lies after it, so that nothing is scored. Raises InputError
    "input/too-short-for-backtest" when no series has an origin at all.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    back = np.arange(windows - 1, -1, -1) * (step_size or horizon) + horizon + gap
    origins = lengths[None, :] - back[:, None]
    possible = origins >= shortest
    if not possible.any():
        longest = int(lengths.max(initial=0))
        raise InputError(
            f"no series is long enough to hold out {horizon} steps"
            + (f" after a gap of {gap}" if gap else "")
            + f": {shortest + horizon + gap} observations are needed",
            code="input/too-short-for-backtest",
            value=longest,
            remedy="Choose a shorter --horizon, or bring a longer history",
        )
    return np.where(possible, origins, lengths[None, :])


def held_out(panel: Panel, origins: np.ndarray) -> np.ndarray:
    """Which (W, S) pairs have something after their origin to be compared with. bool."""
    return np.asarray(origins) < panel.lengths[None, :]


def backtest(
    panel: Panel,
    origins: np.ndarray,
    forecasters: Mapping[str, Forecaster],
    season: int,
    levels: Sequence[float] = (80.0, 95.0),
    gap: int = 0,
    ready: Mapping[str, Sequence[Forecast]] | None = None,
    listener: Listener | None = None,
    *,
    point: str = "median",
    cost: Sequence[float] | None = None,
) -> Backtest:
    """Forecasts from every origin, and the scores.

    origins      (W, S) of `rolling_origins`
    forecasters  by column name: called with the panel and the (S,) origins of one window; only
                 values before each origin may enter its forecast of gap + H steps
    season, levels, point, cost  of the scores, see `score_forecasts`
    ready        forecasts made already (of the baselines), W for each column name
    """
    listener = listener or Silent()
    made: dict[str, list[Forecast]] = {}
    for name, forecaster in forecasters.items():
        listener.stage(f"Backtesting {name}")
        made[name] = []
        for window, each in enumerate(origins):
            made[name].append(forecaster(panel, each))
            listener.progress(window + 1, len(origins), {})
    made |= {name: list(each) for name, each in (ready or {}).items()}
    scores = score_forecasts(panel, made, season, levels, gap, point=point, cost=cost)
    return Backtest(panel, np.asarray(origins), gap, made, scores)


def backtest_table(
    result: Backtest, levels: Sequence[float] = (80.0, 95.0), as_written: bool = False
) -> pa.Table:
    """All scored forecasts, long: unique_id, ds, cutoff, y, then each forecaster's columns.

    One row for each series, origin and step that has an actual; cutoff is the time of the last
    observation that was seen. A forecaster's point and interval columns are null where it has no
    forecast of its own, so that `utilsforecast.evaluation.evaluate` on the table's columns gives
    the scores of `Backtest.scores`. as_written: times as the input wrote them (for a file)
    instead of timestamps.
    """
    import pyarrow as pa

    window, series, step, actual = _rows(result)
    panel, gap = result.panel, result.gap
    origin = result.origins[window, series]

    def times(position: np.ndarray) -> pa.Array:
        stamps = panel.frequency.stamps(panel.first[series] + position)
        return (
            format_stamps(stamps, panel.time_format, panel.tz) if as_written else pa.array(stamps)
        )

    columns: dict[str, pa.Array] = {
        ID: pa.array(panel.ids.tolist(), pa.string()).take(pa.array(series)),
        TIME: times(origin + gap + step),
        CUTOFF: times(origin - 1),
        TARGET: pa.array(actual),
    }
    for name, each in result.forecasts.items():
        own = np.stack([own_rows(forecast) for forecast in each])[window, series]
        parts = {name: [forecast.point for forecast in each]}
        for level in levels:
            parts |= _bounds(name, each, level)
        parts |= _judged_quantile(name, each, result.scores.point)
        for column, values in parts.items():
            flat = np.stack(values)[window, series, gap + step]
            columns[column] = pa.array(flat, mask=~own | np.isnan(flat))
    return pa.table(columns)


def _rows(result: Backtest) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Window, series, step and actual of every scored row, by series, then origin, then step."""
    steps = next(iter(result.forecasts.values()))[0].point.shape[1] - result.gap
    actual = np.stack(
        [result.panel.window(origins + result.gap, steps) for origins in result.origins], axis=1
    )  # (S, W, H)
    series, window, step = np.nonzero(~np.isnan(actual))
    return window, series, step, actual[series, window, step]


_Columns = dict[str, list[np.ndarray]]  # by name, (S, H) for each window


def _judged_quantile(name: str, each: Sequence[Forecast], point: str) -> _Columns:
    """The quantile by which forecasters are judged where the points are one, (S, H) for each
    window; none otherwise, or if not forecast."""
    level = quantile_of(point)
    if level is None:
        return {}
    try:
        return {quantile_name(name, level): [forecast.quantile(level) for forecast in each]}
    except KeyError:
        return {}


def _bounds(name: str, each: Sequence[Forecast], level: float) -> _Columns:
    """Columns of the `level` per cent interval, (S, H) for each window; none if not forecast."""
    try:
        bounds = [forecast.interval(level) for forecast in each]
    except KeyError:
        return {}
    low, high = interval_names(name, level)
    return {low: [bound[0] for bound in bounds], high: [bound[1] for bound in bounds]}
