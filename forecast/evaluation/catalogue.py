"""Every metric of a score table, one record each: what it is called, what it means, how it is made.

A new metric is one function in `metrics.py` and one entry of METRICS here; tables, files, the
terminal, the page and the glossary take it from there.

Axes: S series, H horizon (steps scored), Q quantiles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from forecast.evaluation import metrics
from forecast.inference.point import MEAN, quantile_of

LOWEST, HIGHEST, NEAREST_ZERO = "lowest", "highest", "nearest zero"
LOSS, SCALED_LOSS = "loss", "scaled_loss"  # before the level: scaled_loss-0.95


@dataclass(frozen=True)
class Scored:
    """One forecaster beside the truth at one held-out origin.

    own        (S,) bool: series that it forecast itself
    actual     (S, H), NaN where masked, and for series that are not its own
    point      (S, H)
    scale, squared_scale  (S,): seasonal errors of the training part
    levels, quantiles     (Q,) and (S, H, Q); both empty without quantiles
    intervals  level in per cent -> lower and upper bound, (S, H) each
    stock      (S, H) the quantile at which the cost is lowest, or None; cost: of a piece too few,
               and of one too many
    judged_at  the level of the quantile that forecasters are told by, None for their points
    """

    own: np.ndarray
    actual: np.ndarray
    point: np.ndarray
    scale: np.ndarray
    squared_scale: np.ndarray
    levels: np.ndarray
    quantiles: np.ndarray
    intervals: Mapping[float, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    stock: np.ndarray | None = None
    cost: tuple[float, float] = (0.0, 0.0)
    judged_at: float | None = None

    @property
    def is_distribution(self) -> bool:
        """Whether there are the quantiles that a CRPS takes: two at the least."""
        return len(self.levels) > 1


@dataclass(frozen=True)
class Metric:
    """One metric.

    heading, short  its name for people, and in a narrow column
    meaning         half a line
    best            which of its values is the best
    per_series      (S,): its value for each series at one origin; averaged over origins and series
    per_step        (S, H): what its value at a step ahead is the mean of; is_root: the root of it
    pooled          two sums over series and steps, whose ratio over all origins is its value for
                    all series; without it that is the mean of `per_series`
    form            how the terminal writes it
    defined         whether it can be made of a forecast at all
    """

    name: str
    heading: str
    meaning: str
    per_series: Callable[[Scored], np.ndarray] | None = None
    per_step: Callable[[Scored], np.ndarray] | None = None
    pooled: Callable[[Scored], tuple[float, float]] | None = None
    is_root: bool = False
    best: str = LOWEST
    short: str = ""
    form: str = "{:.4g}"
    defined: Callable[[Scored], bool] = lambda scored: True

    def badness(self, value: float | None) -> float:
        """How far `value` is from the best there could be; infinite for an undefined one."""
        if value is None or not math.isfinite(value):
            return math.inf
        if self.best == HIGHEST:
            return -value
        return abs(value) if self.best == NEAREST_ZERO else value


def _error(scored: Scored) -> np.ndarray:
    return np.abs(scored.actual - scored.point)


def _crps(scored: Scored) -> np.ndarray:
    return metrics.crps(scored.actual, scored.quantiles, scored.levels)


def _quantile_loss(scored: Scored) -> tuple[float, float]:
    actual, quantiles = scored.actual[scored.own], scored.quantiles[scored.own]
    if len(scored.levels) == 0:
        return math.nan, math.nan
    loss = metrics.pinball_sums(actual, quantiles, scored.levels).sum()
    return float(2 * loss / len(scored.levels)), float(np.nansum(np.abs(actual)))


def _absolute(scored: Scored) -> tuple[float, float]:
    error, _, size, _ = metrics.pooled_sums(scored.actual, scored.point)
    return float(error.sum()), float(size.sum())


def _signed(scored: Scored) -> tuple[float, float]:
    _, error, _, total = metrics.pooled_sums(scored.actual, scored.point)
    return 100 * float(error.sum()), float(total.sum())


def _stock_cost(scored: Scored) -> np.ndarray:
    assert scored.stock is not None
    return metrics.stock_cost(scored.actual, scored.stock, scored.cost)


def _service_level(scored: Scored) -> np.ndarray:
    assert scored.stock is not None
    return metrics.service_level(scored.actual, scored.stock)


METRICS = (
    Metric(
        "mase",
        "MASE",
        "mean error as a multiple of seasonal naive's on the past; below 1 is better",
        per_series=lambda s: metrics.mase(s.actual, s.point, s.scale),
        per_step=lambda s: _error(s) / s.scale[:, None],
        form="{:.3f}",
    ),
    Metric(
        "smape",
        "sMAPE",
        "error in per cent of the size of forecast and value, from 0 to 200",
        per_series=lambda s: metrics.smape(s.actual, s.point),
        per_step=lambda s: metrics.symmetric_errors(s.actual, s.point),
        form="{:.2f}",
    ),
    Metric(
        "owa",
        "OWA",
        "mean of sMAPE and MASE as multiples of Naive2's; below 1 is better than it",
        form="{:.3f}",
    ),
    Metric(
        "wql",
        "WQL",
        "error of the whole distribution, as a share of the values' size",
        pooled=_quantile_loss,
        form="{:.4f}",
    ),
    Metric(
        "rmsse",
        "RMSSE",
        "like MASE, with large errors counting more",
        per_series=lambda s: metrics.rmsse(s.actual, s.point, s.squared_scale),
        per_step=lambda s: _error(s) ** 2 / s.squared_scale[:, None],
        is_root=True,
        form="{:.3f}",
    ),
    Metric(
        "mae",
        "MAE",
        "mean error, in the unit of the data",
        per_series=lambda s: metrics.mae(s.actual, s.point),
        per_step=_error,
    ),
    Metric(
        "crps",
        "CRPS",
        "mean error of the whole distribution, in the unit of the data",
        per_series=lambda s: metrics.mean_where(_crps(s), ~np.isnan(s.actual)),
        per_step=_crps,
        defined=lambda s: s.is_distribution,
    ),
    Metric(
        "rmse",
        "RMSE",
        "error in the unit of the data, large ones counting more",
        per_series=lambda s: metrics.rmse(s.actual, s.point),
        per_step=lambda s: _error(s) ** 2,
        is_root=True,
    ),
    Metric(
        "mape",
        "MAPE",
        "mean error in per cent of the value; undefined where that is zero",
        per_series=lambda s: metrics.mape(s.actual, s.point),
        form="{:.2f}",
    ),
    Metric(
        "scaled_crps",
        "sCRPS",
        "CRPS as a share of the values' size, series by series",
        per_series=lambda s: metrics.scaled_crps(s.actual, s.quantiles, s.levels),
        form="{:.4f}",
        defined=lambda s: len(s.levels) > 0,
    ),
    Metric(
        "wape",
        "WAPE",
        "sum of all errors as a share of the sum of the values",
        per_series=lambda s: metrics.wape(s.actual, s.point),
        pooled=_absolute,
        form="{:.3f}",
    ),
    Metric(
        "bias_pct",
        "bias",
        "sum of the forecasts less that of the values, in per cent of it",
        per_series=lambda s: metrics.bias_percent(s.actual, s.point),
        pooled=_signed,
        best=NEAREST_ZERO,
        form="{:+.1f}%",
    ),
    Metric(
        "bias",
        "mean error",
        "mean of forecast less value, in the unit of the data",
        per_series=lambda s: metrics.bias(s.actual, s.point),
        best=NEAREST_ZERO,
    ),
    Metric(
        "pis",
        "PIS",
        "pieces too many in stock times steps that they lie there; below 0: lacking",
        per_series=lambda s: metrics.periods_in_stock(s.actual, s.point),
        best=NEAREST_ZERO,
    ),
    Metric(
        "service_level",
        "service level",
        "share of the steps whose demand the stock would have met",
        per_series=_service_level,
        best=HIGHEST,
        short="served",
        form="{:.0%}",
        defined=lambda s: s.stock is not None,
    ),
    Metric(
        "stock_cost",
        "stock cost",
        "mean cost of a step, of pieces too few and too many",
        per_series=_stock_cost,
        short="cost",
        defined=lambda s: s.stock is not None,
    ),
)
ORDER = tuple(metric.name for metric in METRICS)


# --- The two metrics of an interval, one of each for every level ---------------------------------


@dataclass(frozen=True)
class Coverage(Metric):
    """Share of the values inside the interval; the best is the level itself."""

    level: float = 0.0

    def badness(self, value: float | None) -> float:
        """Distance to the level; infinite for an undefined value."""
        if value is None or not math.isfinite(value):
            return math.inf
        return abs(value - self.level / 100)


def coverage_of(level: float) -> Coverage:
    """The coverage of the `level` per cent interval."""

    def inside(scored: Scored) -> np.ndarray:
        low, high = scored.intervals[level]
        held = ((low <= scored.actual) & (scored.actual <= high)).astype(float)
        return np.where(np.isnan(_error(scored)), np.nan, held)

    return Coverage(
        f"coverage-{level:g}",
        f"coverage {level:g}%",
        f"how often the value lay inside the {level:g}% interval; best when that often",
        per_series=lambda s: metrics.coverage(s.actual, *s.intervals[level]),
        per_step=inside,
        short=f"in {level:g}%",
        form="{:.0%}",
        defined=lambda s: level in s.intervals,
        level=level,
    )


def interval_score_of(level: float) -> Metric:
    """The mean scaled interval score of the `level` per cent interval."""
    return Metric(
        f"msis-{level:g}",
        f"MSIS {level:g}%",
        f"width of the {level:g}% interval and a penalty for each value outside, scaled",
        per_series=lambda s: metrics.msis(s.actual, *s.intervals[level], s.scale, level),
        defined=lambda s: level in s.intervals,
    )


# --- The loss of one quantile, by which stock levels are told, and which metric judges at all ----


def _loss_at(level: float) -> Callable[[Scored], np.ndarray]:
    """(S, H): twice the quantile loss, which is the absolute error of a median."""

    def loss(scored: Scored) -> np.ndarray:
        column = int(np.argmin(np.abs(scored.levels - level)))
        error = scored.actual - scored.quantiles[:, :, column]
        return 2 * np.maximum(level * error, (level - 1) * error)

    return loss


def quantile_loss_of(level: float, *, scaled: bool) -> Metric:
    """The loss of the quantile at `level` between 0 and 1; scaled: as a multiple of seasonal
    naive's error on the past, so that large series count no more than small ones."""
    loss = _loss_at(level)

    def terms(scored: Scored) -> np.ndarray:
        found = loss(scored)
        return found / scored.scale[:, None] if scaled else found

    def has_level(scored: Scored) -> bool:
        return bool(np.isclose(scored.levels, level, rtol=0, atol=1e-9).any())

    unit = "as a multiple of seasonal naive's error on the past" if scaled else "in the data's unit"
    return Metric(
        f"{SCALED_LOSS if scaled else LOSS}-{level:g}",
        f"{'scaled ' if scaled else ''}{level:g} quantile loss",
        f"twice the quantile loss at {level:g}, {unit}",
        per_series=lambda s: metrics.mean_where(terms(s), ~np.isnan(s.actual)),
        per_step=terms,
        short=f"{'' if scaled else 'unscaled '}loss at {level:g}",
        form="{:.3f}" if scaled else "{:.4g}",
        defined=has_level,
    )


def judging(intermittent: bool, point: str, levels: Sequence[float]) -> tuple[str, str]:
    """Names of the metric that says who is best, and of the one that stands in where a constant
    past leaves it undefined: what the points that are published are best at.

    Medians have the lowest absolute errors, and are told by MASE; means the lowest squared ones,
    RMSSE: so is all of intermittent demand, where MASE is lowest for a forecast near zero. A
    quantile is told by its own loss where all forecasters have that level (`levels` (Q,) are those
    that they share), else by the loss of all their quantiles.
    """
    level = quantile_of(point)
    if level is None:
        return ("rmsse" if intermittent or point == MEAN else "mase"), "mae"
    if np.isclose(levels, level, rtol=0, atol=1e-9).any():
        return f"{SCALED_LOSS}-{level:g}", f"{LOSS}-{level:g}"
    return "scaled_crps", "crps"


def metrics_of(scored: Scored) -> Iterator[Metric]:
    """The metrics that can be made of a forecast."""
    for metric in METRICS:
        if metric.defined(scored):
            yield metric
    for level in scored.intervals:
        yield coverage_of(level)
        yield interval_score_of(level)
    if scored.judged_at is not None:
        for scaled in (True, False):
            metric = quantile_loss_of(scored.judged_at, scaled=scaled)
            if metric.defined(scored):
                yield metric


def metric_named(name: str) -> Metric:
    """The metric of that name; for an unknown one (of another release) a record of its name."""
    level = re.fullmatch(r"(coverage|msis)-([\d.]+)", name)
    if level:
        return (coverage_of if level[1] == "coverage" else interval_score_of)(float(level[2]))
    level = re.fullmatch(rf"({LOSS}|{SCALED_LOSS})-([\d.e-]+)", name)
    if level:
        return quantile_loss_of(float(level[2]), scaled=level[1] == SCALED_LOSS)
    return next((metric for metric in METRICS if metric.name == name), Metric(name, name, ""))
