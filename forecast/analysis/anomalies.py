"""The anomalies of a panel: every value is judged by a forecast from the values before it alone.

Two looks. The first forecasts each value from all that precede it. The second leaves those out
that surprised the first, and a few after each (rules.held), and its scores are the ones that
count: a spike does not spoil what follows it, and a level that has shifted stays surprising long
enough to be named. Both are causal: what is said of a value never changes when more arrive.

Axes: S series, N observations of all series, Q quantiles, A anomalies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecast.analysis import anomaly_rules as rules
from forecast.analysis.anomaly_scores import expected, surprise, usual
from forecast.common.segments import positions
from forecast.data.panel import Panel
from forecast.inference.one_step import one_step_ahead
from forecast.models.forecaster import Forecaster
from forecast.transforms.scaling import calls_for_log
from forecast.transforms.windows import Layout


@dataclass(frozen=True)
class Judged:
    """What is known of every value of a panel; arrays (N,).

    first  signed normal score in the first look; score: in the second, in units of what is usual
           for the series; NaN where nothing could be judged
    left_out   what the history of the second look is without
    low, high  the expected range
    kind   "" where nothing is odd; steps: how long a standstill is, else 0
    """

    first: np.ndarray
    left_out: np.ndarray
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    kind: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class Anomalies:
    """The anomalies of a panel, by series, then time; arrays (A,).

    series, position  which value; of a gap its first missing one
    value, score, low, high  NaN where there is none
    kind, reason      in words
    judged            how many values of the panel were judged at all
    """

    series: np.ndarray
    position: np.ndarray
    value: np.ndarray
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    kind: np.ndarray
    reason: np.ndarray
    judged: int


def warm_up(layout: Layout) -> int:
    """Values at the start of a series that are not judged: there is too little to go by."""
    return max(24, layout.season + layout.width)


def positive_at_first(panel: Panel, layout: Layout) -> np.ndarray:
    """Series, bool (S,), to take logarithms of, decided from the values that are not judged."""
    start = panel.truncate(np.minimum(panel.lengths, warm_up(layout)))
    return calls_for_log(start.values, start.offsets)


def judge(forecaster: Forecaster, panel: Panel, threshold: float) -> Judged:
    """Every value of `panel` judged; threshold: scores beyond it are anomalies."""
    offsets, levels = panel.offsets, forecaster.levels
    logged = positive_at_first(panel, forecaster.layout)
    young = positions(offsets) < warm_up(forecaster.layout)
    first = surprise(panel.values, _expectations(forecaster, panel, logged), levels)
    first[young] = np.nan
    width = usual(first, offsets)
    with np.errstate(invalid="ignore"):
        left_out = rules.held(np.abs(first) > threshold * width, offsets)
        negative = rules.before(panel.values < 0, offsets) > 0
    calm = replace(panel, values=np.where(left_out, np.nan, panel.values))
    quantiles = _expectations(forecaster, calm, logged)
    score = surprise(panel.values, quantiles, levels) / width
    score[young] = np.nan
    low, high = expected(quantiles, levels, threshold * width, negative)
    with np.errstate(invalid="ignore"):
        kind = rules.kinds(score, threshold, offsets)
    still = rules.standstill(panel.values, offsets)
    kind = np.where((kind == "") & (still > 0), rules.STILL, kind)
    return Judged(first, left_out, score, low, high, kind, still)


def _expectations(forecaster: Forecaster, panel: Panel, logged: np.ndarray) -> np.ndarray:
    """Quantiles (N, Q) of every value: the forecast's, or of a series that has never moved so far,
    and so has no unit, the one value that it has had."""
    quantiles = one_step_ahead(forecaster, panel, logged)
    known = np.isfinite(panel.values)
    count = rules.before(known, panel.offsets)
    only = np.full(panel.size, np.nan)
    begins = np.flatnonzero(known & (count == 0))
    series = np.repeat(np.arange(panel.size), panel.lengths)
    only[series[begins]] = panel.values[begins]
    other = known & (panel.values != only[series])
    constant = (rules.before(other, panel.offsets) == 0) & (count > 0)
    quantiles[constant] = only[series[constant], None]
    return quantiles


def find_anomalies(forecaster: Forecaster, panel: Panel, threshold: float) -> Anomalies:
    """The anomalies of every series of `panel`, gaps among them.

    threshold: in usual deviations (a normal score of 1 is one); beyond it a value is an anomaly.
    """
    found = judge(forecaster, panel, threshold)
    series = np.repeat(np.arange(panel.size), panel.lengths)
    here = positions(panel.offsets)
    missing = rules.gaps(panel.values, panel.offsets)
    odd, after = np.flatnonzero(found.kind != ""), np.flatnonzero(missing > 0)
    rows = np.concatenate([odd, after])
    gap = np.repeat([False, True], [len(odd), len(after)])
    steps = np.where(gap, missing[rows], found.steps[rows])
    kind = np.where(gap, rules.GAP, found.kind[rows])
    position = here[rows] - np.where(gap, missing[rows], 0)
    order = np.lexsort((~gap, position, series[rows]))

    def of(values: np.ndarray) -> np.ndarray:
        return np.where(gap, np.nan, values[rows])[order]

    score = of(found.score)
    texts = [reason(*each) for each in zip(kind[order], score, steps[order], strict=True)]
    return Anomalies(
        series[rows][order],
        position[order],
        of(panel.values),
        score,
        of(found.low),
        of(found.high),
        kind[order],
        np.array(texts, dtype=object),
        int(np.isfinite(found.score).sum()),
    )


def reason(kind: str, score: float, steps: int) -> str:
    """Why a value is an anomaly, in a few words."""
    side = "above" if score > 0 else "below"
    if kind == rules.GAP:
        return "1 value is missing" if steps == 1 else f"{steps} values are missing"
    if kind == rules.STILL:
        return f"the value has not changed for {steps} steps"
    if kind == rules.SHIFT:
        return f"{rules.HOLD} or more values in a row {side} what was expected: the level has moved"
    if kind == rules.RUN:
        return f"in a row with others {side} the expected range"
    return f"{side} the expected range, {abs(score):.1f} usual deviations from the forecast"
