"""The scores of a hierarchy's levels in short: the network before and after its forecasts were made
to add up, and the best of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.evaluation.catalogue import metric_named

BEFORE = "before"  # behind the network's name: its forecasts as they were before reconciliation


@dataclass(frozen=True)
class LevelLine:
    """One level: its nodes, the error before (None where nothing was changed) and after, the best
    other forecaster and its error (None without), the sum's bias and what the interval held, per
    cent; metric: heading of the error."""

    level: str
    nodes: int
    before: float | None
    after: float | None
    rival: str
    rival_score: float | None
    bias: float | None
    held: float | None
    metric: str = "MASE"


def level_lines(rows: Sequence[Mapping[str, Any]], judged: str) -> tuple[LevelLine, ...]:
    """A line for each level of the rows that `levels.csv` has, in their order; judged: the metric
    that says who is best."""
    if not rows:
        return ()
    network = str(rows[0]["model"])
    by_level: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_level.setdefault(str(row["level"]), {})[str(row["model"])] = row
    return tuple(_line(level, each, network, judged) for level, each in by_level.items())


def words_of(lines: Sequence[LevelLine]) -> str:
    """At how many levels adding up made the forecasts better: "" where nothing was changed."""
    both = [(each.before, each.after) for each in lines]
    known = [(b, a) for b, a in both if b is not None and a is not None]
    if not known:
        return ""
    better = sum(after < before for before, after in known)
    by = next(iter(lines)).metric
    return f"Adding up made the forecasts better at {better} of {len(known)} levels, by {by}."


def _line(
    level: str, rows: Mapping[str, Mapping[str, Any]], network: str, judged: str
) -> LevelLine:
    own, before = rows.get(network, {}), rows.get(f"{network} {BEFORE}", {})
    others = {
        name: _number(row.get(judged))
        for name, row in rows.items()
        if name not in (network, f"{network} {BEFORE}")
    }
    scored = {name: score for name, score in others.items() if score is not None}
    rival = min(scored, key=lambda name: scored[name], default="")
    return LevelLine(
        level=level,
        nodes=int(own.get("nodes", 0)),
        before=_number(before.get(judged)),
        after=_number(own.get(judged)),
        rival=rival,
        rival_score=scored.get(rival),
        bias=_number(own.get("bias_pct")),
        held=_percent(own.get("coverage-80")),
        metric=metric_named(judged).heading,
    )


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _percent(share: Any) -> float | None:
    known = _number(share)
    return None if known is None else 100 * known
