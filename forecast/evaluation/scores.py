"""Scores of several forecasters on the same held-out origins: overall, by series, by step.

Axes: S series, H horizon (steps), Q quantiles, W windows (held-out origins).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation import metrics as accuracy
from forecast.evaluation.score_table import Score, ScoreTable
from forecast.evaluation.window_scores import (
    Window,
    has_forecast,
    own_rows,
    series_metrics,
    step_metrics,
    window_of,
    wql_parts,
)

Pairs = dict[str, np.ndarray]  # metric -> (W, S)


def score_forecasts(
    panel: Panel,
    forecasts: Mapping[str, Forecast | Sequence[Forecast]],
    season: int,
    levels: Sequence[float] = (80.0, 95.0),
    gap: int = 0,
) -> ScoreTable:
    """Score every forecaster of `forecasts` against the panel's own values after each origin.

    forecasts  by column name: one Forecast, or one for each held-out origin; the same origins and
               horizon for every forecaster
    season     m, the lag that scales MASE, RMSSE and MSIS, and Naive2's season
    levels     interval levels, per cent, to report coverage and MSIS for
    gap        forecast steps after the origin that are left out of the scores

    Only what a forecaster made itself is scored: a row that it does not have, or whose source is
    another forecaster, is counted and named instead. MASE, RMSSE and MSIS use only values before
    each origin. Raises ValueError when the forecasters' origins or horizons differ.
    """
    listed = {name: _as_list(forecast) for name, forecast in forecasts.items()}
    if not listed:
        raise ValueError("there is no forecast to score")
    _check_same_origins(listed)
    first = next(iter(listed.values()))
    steps = first[0].point.shape[1] - gap
    if steps < 1:
        raise ValueError(f"a gap of {gap} leaves no step of the horizon to score")
    windows = [window_of(panel, forecast.origins, steps, season, gap) for forecast in first]
    quantiles = common_levels([forecast for each in listed.values() for forecast in each])
    pairs = {name: _pairs(each, windows, levels, quantiles) for name, each in listed.items()}
    per_series = {
        name: {metric: _mean(value, axis=0) for metric, value in metrics.items()}
        for name, metrics in pairs.items()
    }
    best = best_shares({name: metrics["mase"] for name, metrics in per_series.items()})
    scores = [
        _score(panel.ids, name, each, windows, per_series[name], quantiles, best[name])
        for name, each in listed.items()
    ]
    return ScoreTable(
        season=season,
        horizon=steps,
        windows=len(windows),
        step=_step(windows),
        quantiles=tuple(quantiles.tolist()),
        ids=panel.ids,
        scores=tuple(scores),
        per_series=per_series,
        per_step={
            name: step_metrics(each, windows, levels, quantiles) for name, each in listed.items()
        },
        losses={name: metrics["mase"] for name, metrics in pairs.items()},
        errors={name: metrics["mae"] for name, metrics in pairs.items()},
        **_counts(windows, season),
    )


def common_levels(forecasts: Sequence[Forecast]) -> np.ndarray:
    """The quantile levels that all forecasts with quantiles share: the WQL is over these alone."""
    with_quantiles = [forecast for forecast in forecasts if len(forecast.levels)]
    if not with_quantiles:
        return np.empty(0)
    shared = np.round(with_quantiles[0].levels, 9)
    for forecast in with_quantiles[1:]:
        shared = np.intersect1d(shared, np.round(forecast.levels, 9))
    return shared


def best_shares(by_model: Mapping[str, np.ndarray]) -> dict[str, float]:
    """On how many series each forecaster has the lowest figure (S,); a tie is split equally.

    Only series where at least two forecasters have one; NaN is "none".
    """
    names = list(by_model)
    stacked = np.stack([by_model[name] for name in names])  # (models, S)
    contested = (~np.isnan(stacked)).sum(axis=0) >= 2
    stacked = np.where(np.isnan(stacked), np.inf, stacked)[:, contested]
    winners = stacked == stacked.min(axis=0, initial=np.inf)
    shares = winners / np.maximum(winners.sum(axis=0), 1)
    return dict(zip(names, shares.sum(axis=1).tolist(), strict=True))


def _as_list(forecast: Forecast | Sequence[Forecast]) -> list[Forecast]:
    return [forecast] if isinstance(forecast, Forecast) else list(forecast)


def _check_same_origins(listed: Mapping[str, Sequence[Forecast]]) -> None:
    names = list(listed)
    first = listed[names[0]]
    for name in names[1:]:
        same = len(listed[name]) == len(first) and all(
            np.array_equal(a.origins, b.origins) and a.point.shape == b.point.shape
            for a, b in zip(listed[name], first, strict=True)
        )
        if not same:
            raise ValueError(f"{name} and {names[0]} were not forecast from the same origins")


def _pairs(
    each: Sequence[Forecast],
    windows: Sequence[Window],
    levels: Sequence[float],
    quantiles: np.ndarray,
) -> Pairs:
    """Every metric of each (window, series) pair, (W, S); only metrics that all windows have."""
    rows = [
        series_metrics(forecast, window, levels, quantiles)
        for forecast, window in zip(each, windows, strict=True)
    ]
    shared = [metric for metric in rows[0] if all(metric in row for row in rows)]
    return {metric: np.stack([row[metric] for row in rows]) for metric in shared}


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of what is defined, NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _score(
    ids: np.ndarray,
    name: str,
    each: Sequence[Forecast],
    windows: Sequence[Window],
    per_series: Mapping[str, np.ndarray],
    quantiles: np.ndarray,
    best: float,
) -> Score:
    known = np.stack([window.known for window in windows])  # (W, S)
    own = np.stack([own_rows(forecast) for forecast in each])
    there = np.stack([has_forecast(forecast) for forecast in each])
    scored = known & own
    values = {metric: float(_mean(value)) for metric, value in per_series.items()}
    parts = np.array(
        [
            wql_parts(forecast, window, quantiles)
            for forecast, window in zip(each, windows, strict=True)
        ]
    ).sum(axis=0)
    values["wql"] = float(parts[0] / parts[1]) if parts[1] > 0 else float("nan")
    values["owa"] = _owa(values, windows, scored)
    notes = dict.fromkeys(note for forecast in each for note in forecast.notes)
    return Score(
        model=name,
        values=values,
        series=int(scored.any(axis=0).sum()),
        pairs=int(scored.sum()),
        best=best,
        unavailable=tuple(ids[(known & ~there).any(axis=0)].tolist()),
        fallen_back=tuple(ids[(known & there & ~own).any(axis=0)].tolist()),
        seconds=sum(forecast.seconds for forecast in each),
        notes=tuple(notes),
        memory=float(np.fmax.reduce([forecast.memory for forecast in each])),
    )


def _owa(values: Mapping[str, float], windows: Sequence[Window], scored: np.ndarray) -> float:
    """OWA against Naive2 on the very same series and origins."""
    smape = np.stack([window.naive2_smape for window in windows])
    mase = np.stack([window.naive2_mase for window in windows])
    naive = [_mean(_mean(np.where(scored, each, np.nan), axis=0)) for each in (smape, mase)]
    return accuracy.owa(values["smape"], values["mase"], float(naive[0]), float(naive[1]))


def _counts(windows: Sequence[Window], season: int) -> dict[str, int]:
    """How many series are special: unscored, with an undefined scale, with lag 1 in place of m."""
    known = np.stack([window.known for window in windows])  # (W, S)
    scale = np.stack([window.scale for window in windows])
    origins = np.stack([window.origins for window in windows])
    short = known & (accuracy.lag_of_scale(origins, season) != season)
    return {
        "without_actuals": int((~known.any(axis=0)).sum()),
        "undefined_scale": int((known & np.isnan(scale)).any(axis=0).sum()),
        "short_for_season": int(short.any(axis=0).sum()),
        "zero_actuals": sum(accuracy.zero_actuals(window.actual) for window in windows),
    }


def _step(windows: Sequence[Window]) -> int:
    """Steps between neighbouring origins (the smallest found), 0 for a single window."""
    if len(windows) < 2:
        return 0
    moves = np.abs(np.diff(np.stack([window.origins for window in windows]), axis=0))
    return int(moves[moves > 0].min()) if (moves > 0).any() else 0
