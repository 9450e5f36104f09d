"""Is one forecaster's lead over another more than chance? And one honest sentence about it.

Axes: S series, W windows (held-out origins).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.config.baselines import INTERMITTENT
from forecast.data.forecast import BLEND
from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.scores import ScoreTable
from forecast.inference.point import quantile_of

ENOUGH = 10  # fewer pairs than this tell nothing about chance
DRAWS = 4000
BOOTSTRAP_LIMIT = 5000  # more pairs than this: the normal approximation is as good


@dataclass(frozen=True)
class Comparison:
    """Forecaster `first` against `second` on the pairs that both have.

    metric       heading of the metric that judges, "MASE"; or of that which stands in, "MAE"
    first_loss, second_loss   mean losses on the shared pairs
    series, windows           shared series, and held-out origins
    low, high    95 per cent interval of first_loss - second_loss; NaN when it cannot be told
    p            two-sided p-value; NaN when it cannot be told
    method       "paired bootstrap over N series" ("paired test" for many of them),
                 "Diebold-Mariano test over N origins", or ""
    """

    first: str
    second: str
    metric: str
    first_loss: float
    second_loss: float
    series: int
    windows: int
    low: float
    high: float
    p: float
    method: str

    @property
    def told(self) -> bool:
        """Whether there were enough pairs to say anything about chance."""
        return bool(np.isfinite(self.p))


def paired_bootstrap(
    differences: np.ndarray, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float, float]:
    """95 per cent interval and two-sided p-value of the mean of paired differences (n,).

    Resamples the pairs with replacement (Efron & Tibshirani 1993, percentile interval); p is
    twice the share of resampled means on the other side of zero. Returns (low, high, p). Beyond
    BOOTSTRAP_LIMIT pairs the normal approximation is used, which is as good there.
    """
    n = len(differences)
    mean = float(differences.mean())
    if n > BOOTSTRAP_LIMIT:
        error = float(differences.std(ddof=1)) / np.sqrt(n)
        return mean - 1.96 * error, mean + 1.96 * error, _two_sided(mean, error, n - 1)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [differences[rng.integers(0, n, (200, n))].mean(axis=1) for _ in range(draws // 200)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    below, above = float((means <= 0).mean()), float((means >= 0).mean())
    p = min(1.0, 2 * max(min(below, above), 0.5 / len(means)))
    return float(low), float(high), p


def diebold_mariano(differences: np.ndarray, lag: int) -> tuple[float, float, float]:
    """Diebold-Mariano test of equal losses at consecutive origins, differences (n,) in time order.

    lag: origins whose forecasts overlap a given one's (0 when the origins are a horizon apart).
    The variance counts autocovariances up to `lag`; small-sample correction and Student's t of
    Harvey, Leybourne & Newbold (1997). Returns (low, high, p) as `paired_bootstrap`.
    """
    n = len(differences)
    centred = differences - differences.mean()
    lag = min(lag, n - 1)
    covariances = [float(centred[k:] @ centred[: n - k]) / n for k in range(lag + 1)]
    variance = (covariances[0] + 2 * sum(covariances[1:])) / n
    if variance <= 0:  # the rectangular sum may turn negative: keep the part that cannot
        variance = covariances[0] / n
    h = lag + 1
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    error = np.sqrt(variance / correction) if correction > 0 else np.sqrt(variance)
    mean = float(differences.mean())
    width = _t_quantile(n - 1) * error
    return mean - width, mean + width, _two_sided(mean, float(error), n - 1)


def _two_sided(mean: float, error: float, freedom: int) -> float:
    """Two-sided p-value of Student's t for mean / error."""
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(mean) / error))


def _t_quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def compare(table: ScoreTable, first: str, second: str, seed: int = 0) -> Comparison:
    """`first` against `second` on the series and origins for which both were scored.

    With at least ENOUGH series the series are resampled (each with the mean over its origins);
    with fewer series but ENOUGH origins the Diebold-Mariano test runs over the origins;
    otherwise nothing can be told about chance. Raises KeyError for a model that is not there.
    """
    metric, one, other = _shared_losses(table, first, second)
    both = ~np.isnan(one)
    by_series, by_window = both.any(axis=0), both.any(axis=1)
    a, b = _column_mean(one[:, by_series]), _column_mean(other[:, by_series])
    low = high = p = float("nan")
    method = ""
    if len(a) >= ENOUGH:
        low, high, p = paired_bootstrap(a - b, seed)
        kind = "paired bootstrap" if len(a) <= BOOTSTRAP_LIMIT else "paired test"
        method = f"{kind} over {len(a)} series"
    elif by_window.sum() >= ENOUGH:
        gaps = _column_mean((one - other)[by_window].T)
        overlap = -(-table.horizon // table.step) - 1 if table.step else 0
        low, high, p = diebold_mariano(gaps, overlap)
        method = f"Diebold-Mariano test over {len(gaps)} origins"
    return Comparison(
        first=first,
        second=second,
        metric=metric,
        first_loss=float(a.mean()) if len(a) else float("nan"),
        second_loss=float(b.mean()) if len(b) else float("nan"),
        series=int(by_series.sum()),
        windows=int(by_window.sum()),
        low=low,
        high=high,
        p=p,
        method=method,
    )


def _shared_losses(
    table: ScoreTable, first: str, second: str
) -> tuple[str, np.ndarray, np.ndarray]:
    """The heading of the metric to compare by and both models' losses (W, S), NaN where either has
    none: the metric that judges, or what stands in where no series has it."""
    for name, source in ((table.judged, table.losses), (table.stand_in, table.errors)):
        metric = metric_named(name).heading
        both = ~np.isnan(source[first]) & ~np.isnan(source[second])
        if both.any():
            break
    return metric, np.where(both, source[first], np.nan), np.where(both, source[second], np.nan)


def _column_mean(values: np.ndarray) -> np.ndarray:
    """Mean of each column's defined values; every column has one."""
    return np.nansum(values, axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)


def verdict(table: ScoreTable, model: str | None = None, against: str = "AutoARIMA") -> str:
    """One plain sentence: who won, by how much, and whether the lead is more than chance.

    Every rival is compared with `model` on the series that both have, so a baseline that did not
    finish every series is neither flattered nor punished. The statement about chance is for
    `against` when it was scored and `model` won, else for the winner. model: the table's first,
    if none is named.
    """
    names = [score.model for score in table.scores if score.model != BLEND]
    if model is None:
        model = names[0]
    if model not in names:
        return f"{model} was not scored, so there is no verdict."
    values = (len(table.ids) - table.without_actuals) * table.windows * table.horizon
    if 0 < values <= table.zero_actuals:
        return (
            f"All {values:,} held-out values are 0, so they do not tell who forecasts better. Hold "
            f"out more: --windows {4 * table.windows}."
        )
    pairs = [compare(table, model, other) for other in names if other != model]
    pairs = [pair for pair in pairs if pair.series]
    if not pairs:
        own = table.score(model).values
        metric = metric_named(table.metric_of(model))
        figure = f"{metric.heading} {_figure(own.get(metric.name, math.nan))}"
        if not np.isfinite(own.get(metric.name, math.nan)):
            return f"{model} has no figures: it made no forecast that could be scored."
        return _with_sums(
            f"{model} has {figure}; there is nothing to compare it with.", table, model
        )
    best = min(telling(pairs), key=lambda pair: _relative(pair.second_loss, pair.first_loss))
    won = best.first_loss < best.second_loss
    other = next((pair for pair in pairs if pair.second == against), best)
    text = _won(best) if won else _lost(best)
    off = _off(table, best.first if won else best.second)
    if off:
        text = f"{off}, so it is not called the most accurate: {_against(best)}"
    if other is not best:
        shared = "" if other.series == best.series else f" (on {other.series} series)"
        text = f"{text}, and {_against(other, short=True)}{shared}"
    text = f"{text}; {_chance(other if won else best)}.{_with_blend(table, model)}"
    return _with_sums(text, table, model)


def _with_blend(table: ScoreTable, model: str) -> str:
    """A sentence on the blend of `model` and baselines, which is no rival of either; "" without."""
    if not any(score.model == BLEND and score.series for score in table.scores):
        return ""
    return f" {BLEND}, its mean with baselines, has {_against(compare(table, BLEND, model))}."


LARGE_BIAS = 20.0  # per cent of what came true by which intermittent forecasts may be off in sum


def _off(table: ScoreTable, winner: str) -> str:
    """That the winner on intermittent demand is far off in sum, in words; "" if it is not."""
    bias = table.score(winner).values.get("bias_pct", math.nan)
    if not _tells_sums(table) or not abs(bias) > LARGE_BIAS:
        return ""
    way = "less" if bias < 0 else "more"
    return f"{winner} forecast {abs(bias):.0f}% {way} in sum than came true"


def _with_sums(sentence: str, table: ScoreTable, model: str) -> str:
    """The sentence, and for intermittent demand WAPE and bias of `model` and of the best
    Croston-type baseline (by RMSSE)."""
    if not _tells_sums(table) or "wape" not in table.metrics:  # runs of before it was written
        return sentence
    there = [score for score in table.scores if score.model in INTERMITTENT and score.series]
    best = min(there, key=lambda score: score.values.get("rmsse", math.inf), default=None)
    told = [_sums(table, model)]
    if best is not None:
        told.append(f"of the Croston-type baselines the best, {_sums(table, best.model)}")
    return f"{sentence} Demand is intermittent: {'; '.join(told)}."


def _tells_sums(table: ScoreTable) -> bool:
    """Whether sums say something of the forecasts: of lumps, but not of a stock level for them."""
    return table.intermittent and quantile_of(table.point) is None


def _sums(table: ScoreTable, model: str) -> str:
    values = table.score(model).values
    return f"{model} has WAPE {_figure(values['wape'])} and a bias of {values['bias_pct']:+.1f}%"


def telling(pairs: Sequence[Comparison]) -> list[Comparison]:
    """Those on at least half of the series that any has: a rival that had time for a few series
    alone is no winner over the rest."""
    most = max((pair.series for pair in pairs), default=0)
    return [pair for pair in pairs if 2 * pair.series >= most]


def with_more(sentence: str, about: str, against: str = "AutoARIMA") -> str:
    """A verdict, and `about`, a sentence on chance, where the verdict has not said it already."""
    said = f"and {against} is " in sentence
    return " ".join(filter(None, (sentence, "" if said else about)))


def _relative(loss: float, reference: float) -> float:
    """loss / reference, for ranking; an undefined or zero reference ranks by the loss alone."""
    return loss / reference if reference > 0 else (1.0 if loss == 0 else np.inf)


def _won(best: Comparison) -> str:
    return f"{best.first} was the most accurate{_where(best)}: {_against(best)}"


def _lost(best: Comparison) -> str:
    if best.first_loss == best.second_loss:
        loss = f"{best.metric} {_figure(best.first_loss)}"
        return f"{best.first} and {best.second} tied{_where(best)} with {loss}"
    share = 100 * (_relative(best.first_loss, best.second_loss) - 1)
    return (
        f"{best.first} did not win: {best.second} was the most accurate{_where(best)}, "
        f"{best.metric} {_figure(best.second_loss)} against {_figure(best.first_loss)} for "
        f"{best.first}" + (f", which is {share:.1f}% worse" if math.isfinite(share) else "")
    )


def _against(pair: Comparison, short: bool = False) -> str:
    share = 100 * (1 - _relative(pair.first_loss, pair.second_loss))
    metric = pair.first if short else pair.metric
    difference = f", {abs(share):.1f}% {'lower' if share >= 0 else 'higher'}"
    return (
        f"{metric} {_figure(pair.first_loss)} against {_figure(pair.second_loss)} for "
        f"{pair.second}{difference if math.isfinite(share) else ''}"
    )


def _where(pair: Comparison) -> str:
    origins = "" if pair.windows == 1 else f" at {pair.windows} origins"
    return f" on {pair.series} series{origins}"


def _chance(pair: Comparison) -> str:
    if pair.first_loss == pair.second_loss:
        return "neither leads"
    if not pair.told:
        return (
            f"with {pair.series} series and {pair.windows} "
            f"{'origin' if pair.windows == 1 else 'origins'} it cannot be told whether the lead "
            f"is more than chance (at least {ENOUGH} series or origins are needed)"
        )
    sure = "more than chance" if pair.p < 0.05 else "within what chance alone can do"
    between = f"the difference between {pair.first} and {pair.second}"
    return f"{between} is {sure} ({pair.method}, p = {pair.p:.2g})"


def _figure(value: float) -> str:
    return f"{value:.3f}" if 0.01 <= abs(value) < 100 else f"{value:.4g}"


# --- Whether a lead is more than chance: the verdict of a backtest, and every pair of it ---------
# Axes: S series, W windows (held-out origins).


ARIMA = "AutoARIMA"


def compared(table: ScoreTable) -> list[Comparison]:
    """The network, which is the table's first, against every other forecaster, on the series and
    origins that both have."""
    network, *others = (score.model for score in table.scores)
    return [pair for pair in (compare(table, network, other) for other in others) if pair.series]


def fair_verdict(table: ScoreTable, other_networks: Collection[str]) -> str:
    """Who won among the network and the baselines, and whether ARIMA lost by more than chance.

    other_networks: forecasters that are no rivals (its other states, some of which have
    seen what they are tested on).
    """
    rivals = tuple(score for score in table.scores if score.model not in other_networks)
    text = verdict(dataclasses.replace(table, scores=rivals))
    own = table.scores[0].model
    pairs = [compare(table, name, own) for name in other_networks if name != own]
    lower = [pair for pair in pairs if pair.series and pair.first_loss < pair.second_loss]
    if not lower or not text.startswith(f"{own} was the most accurate"):
        return text
    best = min(lower, key=lambda pair: _relative(pair.first_loss, pair.second_loss))
    return f"{text} {best.first}, which is no rival here, has {_against(best)}."


def lead(pair: Comparison) -> str:
    """One sentence: both errors, their difference, and whether chance alone could make it."""
    series = "1 series" if pair.series == 1 else f"{pair.series:,} series"
    origins = "1 origin" if pair.windows == 1 else f"{pair.windows} origins"
    text = (
        f"{pair.first} against {pair.second} on {series} at {origins}: {pair.metric} "
        f"{pair.first_loss:.4g} against {pair.second_loss:.4g}"
    )
    if pair.first_loss == pair.second_loss:
        return f"{text}; neither leads."
    if not pair.told:
        return (
            f"{text}; whether that is more than chance cannot be told from fewer than {ENOUGH} "
            "series and origins."
        )
    leader = pair.first if pair.first_loss < pair.second_loss else pair.second
    sure = "more than chance" if pair.p < 0.05 else "within what chance alone can do"
    return (
        f"{text}; difference {pair.first_loss - pair.second_loss:.3g}, 95% interval {pair.low:.3g} "
        f"to {pair.high:.3g}; the lead of {leader} is {sure} ({pair.method}, p = {pair.p:.2g})."
    )


def about_arima(pairs: Collection[Comparison]) -> str:
    """The sentence about the network and ARIMA; "" without such a pair or anything to tell."""
    return next((lead(pair) for pair in pairs if pair.second == ARIMA and pair.told), "")


def pair_document(pair: Comparison) -> dict[str, Any]:
    """A comparison as JSON has it, with its sentence; None for what cannot be told."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(pair).items()
    }
    return {**plain, "sentence": lead(pair)}
