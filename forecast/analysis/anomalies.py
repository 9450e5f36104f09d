"""The anomalies of a panel: every value is judged by a forecast from the values before it alone.

Two passes. The first forecasts each value from all that precede it. The second leaves those out
that surprised the first, and a few after each (rules.held), and its scores are the ones that
count: a spike does not spoil what follows it, and a level that has shifted stays surprising long
enough to be named. Both are causal: with the same forecaster, what is said of a value never changes
when more arrive.

Axes: S series, N observations of all series, Q quantiles, A anomalies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.quantiles import normal_quantiles
from forecast.common.segments import positions
from forecast.config.schema import Settings
from forecast.data.open_steps import is_open
from forecast.data.panel import Panel
from forecast.inference.one_step import one_step_ahead
from forecast.models.forecaster import Forecaster
from forecast.training.plan import Reason
from forecast.training.zero_shot import ready_backbone
from forecast.transforms.scaling import calls_for_log
from forecast.transforms.windows import Layout

# --- From scores to kinds of anomalies: points, runs, level shifts, values that stand still,
# gaps
# Every rule looks at a position and at what lies before it; `RULE_WINDOW` positions are enough.
# Axes: N observations of all series together.


POINT, RUN, SHIFT, STILL, GAP = "point", "run", "level shift", "standstill", "gap"
HOLD = 5  # values after a far value that are judged by what was known before it
CROWD = 3 * HOLD  # with more than a third of so many values surprising, this is how the series is
LEAST_STILL = 8  # equal values in a row that may mean a broken sensor


def held(out: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Values (N,), bool, that the history leaves out: each far value `out` (N,) and those HOLD - 1
    after it, so that one spike does not bend the forecasts that follow and a new level is seen as
    one. Where surprises crowd, the history takes them as they are."""
    surprises = out.astype(float)
    recent = _trailing(surprises, offsets, HOLD) > 0
    return recent & (_trailing(surprises, offsets, CROWD) <= CROWD // 3)


def consecutive(same: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many positions in a row, up to each one, hold (N,), bool; within its series. (N,)."""
    here = np.arange(len(same))
    broken = np.maximum.accumulate(np.where(same, -1, here))
    return np.minimum(here - broken, positions(offsets) + 1)


def kinds(score: np.ndarray, threshold: float, offsets: np.ndarray) -> np.ndarray:
    """Kind (N,) of each value, "" for none, from its tempered score (N,).

    A value beyond the threshold is a point; the second and following in a row, on the same side,
    a run; from the HOLD-th on the level has shifted.
    """
    length = np.maximum(
        consecutive(score > threshold, offsets), consecutive(score < -threshold, offsets)
    )
    kind = np.full(len(score), "", dtype=object)
    kind[length == 1] = POINT
    kind[(length > 1) & (length < HOLD)] = RUN
    kind[length >= HOLD] = SHIFT
    return kind


def flatline(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many equal values (N,) in a row end at each one, where there are at least LEAST_STILL and
    over twice as many as ever before in a series that usually moves; else 0."""
    first = positions(offsets) == 0
    same = np.concatenate([[False], values[1:] == values[:-1]]) & ~first
    length = consecutive(same, offsets) + 1
    # The longest stretch that had ended before: a maximum that starts anew with each series.
    ended = np.concatenate([[0], length[:-1]]) * ~(same | first)
    anew = np.cumsum(first) * (len(values) + 1)
    longest = np.maximum.accumulate(ended + anew) - anew
    repeats, known = before(same, offsets), before(np.isfinite(values), offsets)
    odd = (length >= LEAST_STILL) & (length > 2 * longest) & (longest > 0)
    return np.where(odd & (repeats - length < 0.5 * known), length, 0)


def gaps(
    values: np.ndarray, offsets: np.ndarray, there: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Length (N,) of the gap that ends just before each value, 0 where there is none, and how many
    steps before the value it began.

    there: bool (N,), steps that may have a value; others (days on which a series never has one, the
    hour that clocks skip) are no gap.
    """
    length = consecutive(~np.isfinite(values), offsets)
    ended = np.concatenate([[0], length[:-1]])
    ended = np.where(np.isfinite(values) & (positions(offsets) > 0), ended, 0)
    lost = ~np.isfinite(values) & there
    total = np.concatenate([[0], np.cumsum(lost)])
    at = np.arange(len(values))
    begins = np.append(np.flatnonzero(lost), len(values))
    back = at - begins[total[at - ended]]
    count = total[at] - total[at - ended]
    return count, np.where(count > 0, back, 0)


def before(x: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum (N,) of x over the positions of the same series before each one."""
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    here = np.arange(len(x))
    return total[here] - total[here - positions(offsets)]


def _trailing(x: np.ndarray, offsets: np.ndarray, window: int) -> np.ndarray:
    """Sum (N,) over the last `window` positions of the same series, each one included."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    here = np.arange(len(x))
    return total[here + 1] - total[here - np.minimum(positions(offsets), window - 1)]


# --- How surprising a value is to a forecast: signed normal scores, and what is usual for a
# series
# Axes: S series, N observations of all series together, Q quantiles.


MOST = 50.0  # a larger score says no more
CAP = 6.0  # a score counts as no more than this in what is usual: anomalies must not hide others
PRIOR = 30.0  # weight of "the forecast's own width is right", in scores


def anomaly_score(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Signed normal score (N,) of each `actual` (N,) in the forecast `quantiles` (N, Q).

    0 at the median, 1.96 at the quantile 0.975: the standard normal's quantile at the forecast's
    own probability. Between known quantiles it is linear, beyond the outermost it goes on as the
    whole half does. NaN where there is no actual or no forecast, at most MOST either way.
    """
    normal = normal_quantiles(levels)
    middle = len(levels) // 2
    below = (actual[:, None] >= quantiles).sum(1)  # quantiles at or below the actual
    left = np.clip(below - 1, 0, len(levels) - 2)
    row = np.arange(len(actual))
    low, high = quantiles[row, left], quantiles[row, left + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = normal[left] + (actual - low) / (high - low) * (normal[left + 1] - normal[left])
        far = actual - quantiles[:, middle]
        above = normal[-1] * far / (quantiles[:, -1] - quantiles[:, middle])
        under = normal[0] * far / (quantiles[:, 0] - quantiles[:, middle])
        score = np.where(below == len(levels), above, np.where(below == 0, under, inside))
    score = np.where(np.isnan(score) & np.isfinite(far), 0.0, score)  # no width, and none needed
    return np.clip(np.where(np.isfinite(quantiles[:, middle]), score, np.nan), -MOST, MOST)


def usual(score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Root mean square (N,) of the capped scores before each one, drawn towards 1.

    How much wider than the forecast says a series' surprises are; from its past alone.
    """
    return typical(before(counted(score), offsets), before(np.isfinite(score), offsets))


def counted(score: np.ndarray) -> np.ndarray:
    """What each score adds to the sum of squares that `typical` takes; 0 for NaN."""
    return np.where(np.isfinite(score), np.minimum(np.abs(score), CAP) ** 2, 0.0)


def typical(total: np.ndarray | float, count: np.ndarray | float) -> np.ndarray:
    """The root mean square of scores from the sum of their squares and their count."""
    return np.asarray(np.sqrt((PRIOR + total) / (PRIOR + count)))


def expected(
    quantiles: np.ndarray, levels: np.ndarray, reach: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values (N,) whose scores are -reach and +reach, or of the outermost quantiles where reach
    (N,) is less: what is expected lies between them; not below zero before the series was ever
    `negative` (N,), bool."""
    outer = normal_quantiles(levels[-1:])[0]
    median = quantiles[:, len(levels) // 2]
    far = np.maximum(reach / outer, 1.0)
    low = median - far * (median - quantiles[:, 0])
    return (
        np.where(negative, low, np.maximum(low, 0.0)),
        median + far * (quantiles[:, -1] - median),
    )


# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredValues:
    """What is known of every value of a panel; arrays (N,).

    first  signed normal score in the first pass; score: in the second, in units of what is usual
           for the series; NaN where nothing could be judged
    left_out   what the history of the second pass is without
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
    lows, highs       the expected range of every value of the panel, (N,); NaN where not judged
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
    lows: np.ndarray
    highs: np.ndarray


def warm_up(layout: Layout) -> int:
    """Values at the start of a series that are not judged: there is too little to go by."""
    return max(24, layout.season + layout.width)


def positive_at_first(panel: Panel, layout: Layout) -> np.ndarray:
    """Series, bool (S,), to take logarithms of, decided from the values that are not judged."""
    start = panel.truncate(np.minimum(panel.lengths, warm_up(layout)))
    return calls_for_log(start.values, start.offsets)


def score_values(forecaster: Forecaster, panel: Panel, threshold: float) -> ScoredValues:
    """Every value of `panel` judged; threshold: scores beyond it are anomalies."""
    offsets, levels = panel.offsets, forecaster.levels
    logged = positive_at_first(panel, forecaster.layout)
    young = positions(offsets) < warm_up(forecaster.layout)
    first = anomaly_score(panel.values, _expectations(forecaster, panel, logged), levels)
    first[young] = np.nan
    width = usual(first, offsets)
    with np.errstate(invalid="ignore"):
        left_out = held(np.abs(first) > threshold * width, offsets)
        negative = before(panel.values < 0, offsets) > 0
    calm = replace(panel, values=np.where(left_out, np.nan, panel.values))
    quantiles = _expectations(forecaster, calm, logged)
    score = anomaly_score(panel.values, quantiles, levels) / width
    score[young] = np.nan
    low, high = expected(quantiles, levels, threshold * width, negative)
    with np.errstate(invalid="ignore"):
        kind = kinds(score, threshold, offsets)
    still = flatline(panel.values, offsets)
    kind = np.where((kind == "") & (still > 0), STILL, kind)
    return ScoredValues(first, left_out, score, low, high, kind, still)


def _expectations(forecaster: Forecaster, panel: Panel, logged: np.ndarray) -> np.ndarray:
    """Quantiles (N, Q) of every value: the forecast's, or of a series that has never moved so far,
    and so has no unit, the one value that it has had."""
    quantiles = one_step_ahead(forecaster, panel, logged)
    known = np.isfinite(panel.values)
    count = before(known, panel.offsets)
    only = np.full(panel.size, np.nan)
    begins = np.flatnonzero(known & (count == 0))
    series = np.repeat(np.arange(panel.size), panel.lengths)
    only[series[begins]] = panel.values[begins]
    other = known & (panel.values != only[series])
    constant = (before(other, panel.offsets) == 0) & (count > 0)
    quantiles[constant] = only[series[constant], None]
    return quantiles


def find_anomalies(forecaster: Forecaster, panel: Panel, threshold: float) -> Anomalies:
    """The anomalies of every series of `panel`, gaps among them.

    threshold: in usual deviations (a normal score of 1 is one); beyond it a value is an anomaly.
    """
    found = score_values(forecaster, panel, threshold)
    series = np.repeat(np.arange(panel.size), panel.lengths)
    here = positions(panel.offsets)
    there = is_open(panel, series, panel.first[series] + here)
    missing, back = gaps(panel.values, panel.offsets, there)
    odd, after = np.flatnonzero(found.kind != ""), np.flatnonzero(missing > 0)
    rows = np.concatenate([odd, after])
    gap = np.repeat([False, True], [len(odd), len(after)])
    steps = np.where(gap, missing[rows], found.steps[rows])
    kind = np.where(gap, GAP, found.kind[rows])
    position = here[rows] - np.where(gap, back[rows], 0)
    order = np.lexsort((~gap, position, series[rows]))

    def of(values: np.ndarray) -> np.ndarray:
        return np.where(gap, np.nan, values[rows])[order]

    score = of(found.score)
    texts = [reason(*each) for each in zip(kind[order], score, steps[order], strict=True)]
    lows, highs = (
        np.where(np.isfinite(found.score), bound, np.nan) for bound in (found.low, found.high)
    )
    return Anomalies(
        series=series[rows][order],
        position=position[order],
        value=of(panel.values),
        score=score,
        low=of(found.low),
        high=of(found.high),
        kind=kind[order],
        reason=np.array(texts, dtype=object),
        judged=int(np.isfinite(found.score).sum()),
        lows=lows,
        highs=highs,
    )


def reason(kind: str, score: float, steps: int) -> str:
    """Why a value is an anomaly, in a few words."""
    side = "above" if score > 0 else "below"
    if kind == GAP:
        return "1 value is missing" if steps == 1 else f"{steps} values are missing"
    if kind == STILL:
        return f"the value has not changed for {steps} steps"
    if kind == SHIFT:
        return f"{HOLD} or more values in a row {side} what was expected: the level has moved"
    if kind == RUN:
        return f"in a row with others {side} the expected range"
    return f"{side} the expected range, {abs(score):.1f} usual deviations from the forecast"


def without_anomalies(
    panel: Panel, seasons: Sequence[int], settings: Settings
) -> tuple[Panel, tuple[Reason, ...]]:
    """The panel with its anomalies missing, and how many there were.

    Whether a value is masked is decided by those before it, so a masked past tells nothing of the
    future.
    """
    threshold = settings.detection.threshold
    found = score_values(ready_backbone(panel, seasons, settings), panel, threshold).kind
    kinds, counts = np.unique(found[found != ""].astype(str), return_counts=True)
    named = ", ".join(f"{count:,} {kind}" for kind, count in zip(kinds, counts, strict=True))
    share = counts.sum() / max(np.isfinite(panel.values).sum(), 1)
    why = f"{named or 'none found'}; {share:.2%} of the values, those over {threshold:g} deviations"
    masked = replace(panel, values=np.where(found != "", np.nan, panel.values))
    return masked, (("masked", f"{counts.sum():,} anomalies", why),)
