"""How long a call takes, whatever else the machine does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMED, MOST_SECONDS = 50, 1.0  # calls of which the quickest counts; what they may take together


def least_seconds(call: Callable[[], object]) -> float:
    """Wall time of `call` at its quickest, once it has run before."""
    call()
    taken: list[float] = []
    while len(taken) < TIMED and sum(taken) < MOST_SECONDS:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)
