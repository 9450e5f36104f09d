"""Partitions on this machine: processes with one thread each, replaced when one dies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from forecast.common.worker_pool import Pool
from forecast.workflows.partitions.worker import attempt, one_thread

FOREVER = 1e8  # seconds

Outcome = tuple[int, tuple[dict[str, object], bool] | None]


def on_this_machine(folder: str, partitions: Sequence[int], jobs: int) -> Iterator[Outcome]:
    """(partition, what `attempt` returned) as each gets done; None for one whose process died.

    Where processes keep dying, what is left is not tried.
    """
    with Pool(max(1, min(jobs, len(partitions))), one_thread) as pool:
        end = time.monotonic() + FOREVER
        yield from pool.results_until(end, partial(attempt, folder), partitions)
