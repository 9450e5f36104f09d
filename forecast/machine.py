"""What the machine lends this process."""

from __future__ import annotations

import os

_limit: int | None = None


def available_cores() -> int:
    """CPU cores that this process may use."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores if _limit is None else min(cores, _limit)


def limit_cores(most: int) -> None:
    """From here on this process uses at most so many cores: it is one of several side by side."""
    global _limit
    _limit = most
