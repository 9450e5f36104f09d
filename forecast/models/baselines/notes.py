"""What is said about a baseline's forecasts: which series lack one, why, and how it was fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from forecast.models.baselines.fit import Fit, Task

NAMED = 5  # series named in a note at most; `Forecast.available` and `source` tell all


def missing_notes(
    column: str, ids: np.ndarray, missing: np.ndarray, wanted: int, budget: float
) -> tuple[str, ...]:
    """Series that the budget did not reach, `missing` (S,) of `wanted`."""
    count = int(missing.sum())
    if count == 0:
        return ()
    return (
        f"{column}: {wanted - count} of {wanted} series were fitted in {budget:g} s (all "
        f"statistical baselines together); not fitted: {_some(ids[missing])}",
    )


def failure_notes(
    column: str, ids: np.ndarray, failed: Collection[tuple[int, str]]
) -> tuple[str, ...]:
    """Series that another forecast stands in for: (series, reason) pairs, a note a reason."""
    notes = []
    for reason, count in Counter(reason for _, reason in failed).most_common():
        rows = sorted(series for series, each in failed if each == reason)
        notes.append(
            f"{column}: seasonal naive stands in for {count} series ({reason}): {_some(ids[rows])}"
        )
    return tuple(notes)


def method_notes(
    column: str, done: Sequence[tuple[Task, Fit]], origins: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """What was done to the histories before the fit. origins: (S,) for each window."""
    notes = []
    taken = {(task.series, length) for task, fit in done for length in fit.taken}
    for length, count in sorted(Counter(length for _, length in taken).items()):
        notes.append(
            f"{column}: the season of {length} steps is taken out of {count} series by STL "
            "and repeated"
        )
    tasks = [task for task, _ in done]
    cut = [t for t in tasks if len(t.history) < origins[t.window][t.series]]
    if cut:
        longest = max(len(t.history) for t in cut)
        count = len({t.series for t in cut})
        notes.append(f"{column}: {count} series are fitted to their last {longest} observations")
    gaps = len({t.series for t in tasks if np.isnan(t.history).any()})
    if gaps:
        notes.append(f"{column}: gaps of {gaps} series were filled for the fit")
    return tuple(notes)


def _some(ids: np.ndarray) -> str:
    """The first ids, in words."""
    text = ", ".join(str(each) for each in ids[:NAMED])
    return text if len(ids) <= NAMED else f"{text} and {len(ids) - NAMED} more"
