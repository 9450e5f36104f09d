"""Whether a lead is more than chance: the verdict of a backtest, and every pair of it.

Axes: S series, W windows (held-out origins).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Any

from forecast.evaluation.score_table import ScoreTable
from forecast.evaluation.significance import ENOUGH, Comparison, compare, verdict

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
    return verdict(dataclasses.replace(table, scores=rivals))


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
