"""Intervals that follow their live coverage: adaptive conformal inference.

After each run whose steps came true, the miss rate alpha that an interval aims at moves against
its error: alpha <- alpha + RATE (nominal - misses) (Gibbs & Candes 2021, equation 2). An interval
at the moved rate is the forecast's own, stretched around the median by the ratio of the normal
quantiles. It is bounded, and a new model, which has a calibration of its own, goes half way back.
Everything is computed from the ledger's scores alone: there is no state to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from forecast.scheduling.live_scores import StepScore

RATE = 0.05
LEAST = 20  # values that must have come true for a run to say anything
LOWEST, HIGHEST = 0.02, 4.0  # times the nominal miss rate; at most 0.9
METHOD = "adaptive conformal inference (Gibbs & Candes 2021)"


def stretches(scores: Sequence[StepScore], levels: Sequence[float]) -> tuple[np.ndarray, int]:
    """Factors (Q,) for the distances of quantiles from the median, and the runs they come from.

    scores: of all runs, by cutoff; levels (Q,): ascending and symmetric.
    """
    factors = np.ones(len(levels))
    normal = NormalDist()
    updates = 0
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        nominal = 1 - (levels[high] - levels[low])
        misses = miss_rates(scores, f"{100 * (1 - nominal):g}")
        rate = adapted([m for _, m in misses], [model for model, _ in misses], nominal)
        updates = max(updates, len(misses))
        factors[low] = factors[high] = normal.inv_cdf(1 - rate / 2) / normal.inv_cdf(
            1 - nominal / 2
        )
    return factors, updates


def miss_rates(scores: Sequence[StepScore], level: str) -> list[tuple[str, float]]:
    """(model, share of actuals outside the `level` per cent interval) of each run, by cutoff."""
    runs: dict[str, tuple[str, int, int]] = {}
    for score in scores:
        if level in score.inside:
            model, count, inside = runs.get(score.run, (score.model, 0, 0))
            runs[score.run] = (model, count + score.count, inside + score.inside[level])
    return [(model, 1 - inside / n) for model, n, inside in runs.values() if n >= LEAST]


def adapted(misses: Sequence[float], models: Sequence[str], nominal: float) -> float:
    """The miss rate to aim at after these runs, in their order."""
    low, high = LOWEST * nominal, min(HIGHEST * nominal, 0.9)
    rate, before = nominal, None
    for missed, model in zip(misses, models, strict=True):
        if before is not None and model != before:
            rate = (rate + nominal) / 2
        before = model
        rate = min(max(rate + RATE * (nominal - missed), low), high)
    return rate
