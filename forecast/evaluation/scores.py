"""Scores of several forecasters on the same held-out origins: overall, by series, by step.

Axes: S series, H horizon (steps), Q quantiles, W windows (held-out origins).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.forecast import BLEND, Forecast
from forecast.data.panel import Panel
from forecast.evaluation import metrics as accuracy
from forecast.evaluation.catalogue import (
    METRICS,
    ORDER,
    Scored,
    judging,
    metric_named,
    metrics_of,
)
from forecast.inference.point import quantile_of
from forecast.models.baselines.naive import naive2
from forecast.transforms.demand import is_intermittent

if TYPE_CHECKING:
    import pandas as pd

# --- The metrics of one forecaster at one held-out origin: by series, and by step ahead ----------
# Axes: S series, H horizon (steps scored), Q quantiles.


@dataclass(frozen=True)
class Window:
    """What every forecaster is measured against at one held-out origin.

    origins (S,); gap: forecast steps after them that are not scored; actual (S, H), NaN where
    masked; scale and squared_scale (S,) of the training part; naive2_smape and naive2_mase (S,):
    the scores of Naive2 at this origin.
    """

    origins: np.ndarray
    gap: int
    actual: np.ndarray
    scale: np.ndarray
    squared_scale: np.ndarray
    naive2_smape: np.ndarray
    naive2_mase: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Series with an actual to be compared with. (S,) bool."""
        return ~np.isnan(self.actual).all(axis=1)


def window_of(panel: Panel, origins: np.ndarray, steps: int, season: int, gap: int) -> Window:
    """The actuals after `origins` (S,), and the scales of the values before them alone."""
    training = panel.truncate(origins)
    actual = panel.window(origins + gap, steps)
    scale = accuracy.seasonal_errors(training.values, training.offsets, season)
    reference = naive2(training.values, training.offsets, steps + gap, season)[:, gap:]
    return Window(
        origins=origins,
        gap=gap,
        actual=actual,
        scale=scale,
        squared_scale=accuracy.seasonal_errors(training.values, training.offsets, season, power=2),
        naive2_smape=accuracy.smape(actual, reference),
        naive2_mase=accuracy.mase(actual, reference, scale),
    )


def has_forecast(forecast: Forecast) -> np.ndarray:
    """Series with a whole forecast: available, and no step of it missing. (S,) bool."""
    return np.asarray(forecast.available & ~np.isnan(forecast.point).any(axis=1), dtype=bool)


def own_rows(forecast: Forecast) -> np.ndarray:
    """Series that the forecaster forecast itself, without falling back on another. (S,) bool."""
    return has_forecast(forecast) & np.asarray(forecast.source == forecast.name, dtype=bool)


def scored(
    forecast: Forecast,
    window: Window,
    levels: Sequence[float],
    quantiles: np.ndarray,
    cost: Sequence[float] | None = None,
    judged_at: float | None = None,
) -> Scored:
    """A forecast beside the truth, without the gap's steps.

    levels: intervals, per cent, of which those are taken that were forecast; quantiles: the levels
    of the quantiles. Raises KeyError for a quantile that was not forecast.
    """
    own, gap = own_rows(forecast), window.gap
    taken = quantiles if len(forecast.levels) else np.empty(0)
    columns = [int(np.argmin(np.abs(forecast.levels - level))) for level in taken]
    bounds = {level: _interval(forecast, gap, level) for level in levels}
    return Scored(
        own=own,
        actual=np.where(own[:, None], window.actual, np.nan),
        point=forecast.point[:, gap:],
        scale=window.scale,
        squared_scale=window.squared_scale,
        levels=taken,
        quantiles=forecast.quantiles[:, gap:, columns],
        intervals={level: pair for level, pair in bounds.items() if pair is not None},
        stock=None if cost is None else _stock(forecast, gap, cost),
        cost=(0.0, 0.0) if cost is None else (cost[0], cost[1]),
        judged_at=judged_at,
    )


def _interval(forecast: Forecast, gap: int, level: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds of the `level` per cent interval, (S, H) each; None when it was not forecast."""
    try:
        low, high = forecast.interval(level)
    except KeyError:
        return None
    return low[:, gap:], high[:, gap:]


def _stock(forecast: Forecast, gap: int, cost: Sequence[float]) -> np.ndarray | None:
    """The stock that costs least, (S, H); None for a forecaster without that quantile."""
    try:
        return forecast.quantile(stock_quantile(cost))[:, gap:]
    except KeyError:
        return None


def stock_quantile(cost: Sequence[float]) -> float:
    """The quantile of demand at which stock costs least: under / (under + over)."""
    return round(cost[0] / (cost[0] + cost[1]), 9)


def _per_step(each: Sequence[Scored]) -> dict[str, np.ndarray]:
    """Metrics at each step ahead, (H,): means over all series and origins with an actual there."""
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    roots: set[str] = set()
    for at_origin in each:
        for metric in metrics_of(at_origin):
            if metric.per_step is None:
                continue
            term, name = metric.per_step(at_origin), metric.name
            defined = ~np.isnan(term)
            sums[name] = sums.get(name, 0) + np.where(defined, term, 0.0).sum(axis=0)
            counts[name] = counts.get(name, 0) + defined.sum(axis=0)
            roots |= {name} if metric.is_root else set()
    with np.errstate(invalid="ignore"):
        means = {name: sums[name] / counts[name] for name in sums}
    return {name: np.sqrt(mean) if name in roots else mean for name, mean in means.items()}


# --- `ScoreTable`: how good each forecaster was, on what, and how the figures were pooled --------


POOLING = (
    "a figure is the mean over the steps of each series and origin, then over the series' origins, "
    "then over series; WQL, WAPE and bias are of all series, steps and origins together; OWA is "
    "against Naive2 on the same series"
)
NAMED = 100  # series named at most in the JSON document; the counts are always complete


@dataclass(frozen=True)
class Score:
    """One forecaster's figures.

    values       metric name -> value over all scored series; NaN where undefined
    series       series scored
    pairs        (series, origin) pairs scored
    best         series on which this forecaster is best; ties are split; NaN of a blend
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


@dataclass(frozen=True, repr=False)
class ScoreTable:
    """The figures of all forecasters on the same held-out origins.

    season      m, the lag that scales MASE, RMSSE and MSIS
    horizon     H, steps scored after each origin
    windows     W, held-out origins of each series; step: steps between them (0 for one window)
    quantiles   the levels that the WQL is over
    per_series  model -> metric -> (S,) means over the origins
    per_step    model -> metric -> (H,) means over all series and origins
    losses      model -> the metric that judges, of each pair (W, S), NaN where not scored; errors:
                the same of the one that stands in for it
    intermittent  whether demand comes in lumps
    point       what the network's points are: "median", "mean" or a quantile
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
    intermittent: bool = False
    point: str = "median"

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

    @property
    def judged(self) -> str:
        """The metric that says who is best."""
        return judging(self.intermittent, self.point, self.quantiles)[0]

    @property
    def stand_in(self) -> str:
        """The metric that says so where a constant past leaves that undefined."""
        return judging(self.intermittent, self.point, self.quantiles)[1]

    def metric_of(self, model: str) -> str:
        """The metric that `model` is told by: the one that judges, or that which stands in."""
        value = self.score(model).values.get(self.judged, math.nan)
        return self.judged if math.isfinite(value) else self.stand_in

    def rank(self, model: str) -> float:
        """What orders forecasters, the best first."""
        known = any(math.isfinite(s.values.get(self.judged, math.nan)) for s in self.scores)
        name = self.judged if known else self.stand_in
        return metric_named(name).badness(self.score(model).values.get(name))

    def caption(self) -> str:
        """One line that says on what, and with which scale, the figures were computed."""
        origins = "1 origin" if self.windows == 1 else f"{self.windows} origins"
        parts = [
            f"{len(self.ids) - self.without_actuals} series, {origins}, {self.horizon} steps",
            f"MASE scale: seasonal naive, {_back(self.season)}",
        ]
        if self.short_for_season:
            parts.append(f"{self.short_for_season} series too short for that: 1 step back")
        if self.undefined_scale:
            parts.append(f"{self.undefined_scale} series with a constant past have no MASE")
        if self.zero_actuals:
            steps = "1 step" if self.zero_actuals == 1 else f"{self.zero_actuals:,} steps"
            parts.append(f"MAPE leaves out {steps} whose actual is zero")
        if self.point != "median":
            which = self.point if self.point == "mean" else f"{self.point} quantile"
            parts.append(f"the network's points are the {which} of each distribution")
        if self.judged != "mase":
            why = "demand is intermittent: " if self.judged == "rmsse" and self.intermittent else ""
            parts.append(f"{why}who is best goes by {metric_named(self.judged).heading}")
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

    def to_frame(self) -> pd.DataFrame:
        """One row a forecaster, a column a metric: `to_rows` as a frame."""
        import pandas as pd

        return pd.DataFrame(self.to_rows()).set_index("model")

    def in_short(self) -> str:
        """Who has what of the metric that judges: "MASE LSTM 0.427, AutoARIMA 0.608"."""
        known = [(score.model, score.values.get(self.judged, math.nan)) for score in self.scores]
        figures = ", ".join(f"{name} {value:.3f}" for name, value in known)
        return f"{metric_named(self.judged).heading} {figures}"

    def __repr__(self) -> str:
        return f"ScoreTable({self.in_short()})"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(float_format="{:.4g}".format))

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per forecaster, for a table: undefined figures are None."""
        return [
            {
                "model": score.model,
                **{name: _number(score.values.get(name)) for name in self.metrics},
                "best": _number(score.best),
                "series": score.series,
                "pairs": score.pairs,
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
            "intermittent": self.intermittent,
            "judged": self.judged,
            "point": self.point,
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


def _back(steps: int) -> str:
    return "1 step back" if steps == 1 else f"{steps} steps back"


def _number(value: float | None) -> float | None:
    """A plain float, None for what is undefined: JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


# -------------------------------------------------------------------------------------------------


Pairs = dict[str, np.ndarray]  # metric -> (W, S)


def score_forecasts(
    panel: Panel,
    forecasts: Mapping[str, Forecast | Sequence[Forecast]],
    season: int,
    levels: Sequence[float] = (80.0, 95.0),
    gap: int = 0,
    *,
    point: str = "median",
    cost: Sequence[float] | None = None,
) -> ScoreTable:
    """Score every forecaster of `forecasts` against the panel's own values after each origin.

    forecasts  by column name: one Forecast, or one for each held-out origin; the same origins and
               horizon for every forecaster
    season     m, the lag that scales MASE, RMSSE and MSIS, and Naive2's season
    levels     interval levels, per cent, to report coverage and MSIS for
    gap        forecast steps after the origin that are left out of the scores
    point      what the points of the first forecaster are: it says by which metric all are judged
    cost       of a piece too few and one too many: adds service level and cost of the stock at
               the quantile that makes it lowest

    Only what a forecaster made itself is scored: a row that it does not have, or whose source is
    another forecaster, is counted and named instead. MASE, RMSSE and MSIS use only values before
    each origin. Raises ValueError when the forecasters' origins or horizons differ.
    """
    listed, first, steps = _listed(forecasts, gap)
    windows = [window_of(panel, forecast.origins, steps, season, gap) for forecast in first]
    quantiles = common_levels([forecast for each in listed.values() for forecast in each])
    found = {
        name: [scored(forecast, window, levels, quantiles, cost, quantile_of(point))
               for forecast, window in zip(each, windows, strict=True)]
        for name, each in listed.items()
    }  # fmt: skip
    pairs = {name: _pairs(each) for name, each in found.items()}
    per_series = {name: _means(metrics) for name, metrics in pairs.items()}
    intermittent = is_intermittent(panel)
    judged, stand_in = judging(intermittent, point, quantiles.tolist())
    rivals = {name: each for name, each in pairs.items() if name != BLEND}  # its parts' own mean
    best = {BLEND: math.nan, **best_shares(_comparable(rivals, per_series, judged))}
    scores = [
        _score(panel.ids, name, each, windows, per_series[name], found[name], best[name])
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
        per_step={name: _per_step(each) for name, each in found.items()},
        losses={name: _known(metrics, judged) for name, metrics in pairs.items()},
        errors={name: _known(metrics, stand_in) for name, metrics in pairs.items()},
        **_counts(windows, season),
        intermittent=intermittent,
        point=point,
    )


def _listed(
    forecasts: Mapping[str, Forecast | Sequence[Forecast]], gap: int
) -> tuple[dict[str, list[Forecast]], list[Forecast], int]:
    """Each forecaster's forecasts, those of the first, the steps to score. Raises ValueError."""
    listed = {name: _as_list(forecast) for name, forecast in forecasts.items()}
    if not listed:
        raise ValueError("there is no forecast to score")
    _check_same_origins(listed)
    first = next(iter(listed.values()))
    steps = first[0].point.shape[1] - gap
    if steps < 1:
        raise ValueError(f"a gap of {gap} leaves no step of the horizon to score")
    return listed, first, steps


def _means(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {metric: _mean(value, axis=0) for metric, value in metrics.items()}


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


def _comparable(
    pairs: Mapping[str, Pairs], per_series: Mapping[str, Mapping[str, np.ndarray]], metric: str
) -> dict[str, np.ndarray]:
    """`metric` of each forecaster by series (S,), NaN where it was scored on fewer origins than
    another: a mean over some origins is not comparable with one over all."""
    counts = {name: np.isfinite(_known(each, metric)).sum(axis=0) for name, each in pairs.items()}
    most = np.max(list(counts.values()), axis=0)
    return {
        name: np.where(counts[name] == most, _known(metrics, metric), np.nan)
        for name, metrics in per_series.items()
        if name in counts
    }


def _known(metrics: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The metric `name` of a forecaster; NaN where it cannot be made, as the loss of a quantile of
    points alone."""
    return metrics.get(name, np.full_like(metrics["mae"], np.nan))


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


def _pairs(each: Sequence[Scored]) -> Pairs:
    """Every metric of each (window, series) pair, (W, S); only metrics that all windows have."""
    rows = [
        {m.name: m.per_series(at_origin) for m in metrics_of(at_origin) if m.per_series is not None}
        for at_origin in each
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
    found: Sequence[Scored],
    best: float,
) -> Score:
    known = np.stack([window.known for window in windows])  # (W, S)
    own = np.stack([at_origin.own for at_origin in found])
    there = np.stack([has_forecast(forecast) for forecast in each])
    counted = known & own
    values = {metric: float(_mean(value)) for metric, value in per_series.items()}
    for metric in METRICS:
        if metric.pooled is not None:
            top, bottom = np.array([metric.pooled(at_origin) for at_origin in found]).sum(axis=0)
            values[metric.name] = float(top / bottom) if bottom > 0 else math.nan
    values["owa"] = _owa(values, windows, counted)
    notes = dict.fromkeys(note for forecast in each for note in forecast.notes)
    return Score(
        model=name,
        values=values,
        series=int(counted.any(axis=0).sum()),
        pairs=int(counted.sum()),
        best=best,
        unavailable=tuple(ids[(known & ~there).any(axis=0)].tolist()),
        fallen_back=tuple(ids[(known & there & ~own).any(axis=0)].tolist()),
        seconds=sum(forecast.seconds for forecast in each),
        notes=tuple(notes),
        memory=float(np.fmax.reduce([forecast.memory for forecast in each])),
    )


def _owa(values: Mapping[str, float], windows: Sequence[Window], counted: np.ndarray) -> float:
    """OWA against Naive2 on the very same series and origins."""
    smape = np.stack([window.naive2_smape for window in windows])
    mase = np.stack([window.naive2_mase for window in windows])
    naive = [_mean(_mean(np.where(counted, each, np.nan), axis=0)) for each in (smape, mase)]
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
