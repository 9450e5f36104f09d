"""Partitions on a Ray cluster: one task each, placed by Ray; only records come back.

Every node needs the package and the same paths to the input, the model and the output folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from forecast.common.workers import cluster, tasks_at_once
from forecast.workflows.partitions.worker import Outcome, attempt


def on_ray(
    folder: str, partitions: Sequence[int], jobs: int, address: str | None
) -> Iterator[Outcome]:
    """(partition, what `attempt` returned) as each gets done; None for one whose worker died.

    jobs: cores of this machine's own cluster, where `address` is None.
    """
    with cluster(address, jobs) as ray:
        task = ray.remote(num_cpus=1, max_retries=0)(attempt)
        most = tasks_at_once(ray)
        remaining = iter(partitions)
        pending: dict[Any, int] = {}
        while True:
            while len(pending) < most and (n := next(remaining, None)) is not None:
                pending[task.remote(folder, n)] = n
            if not pending:
                return
            ready, _ = ray.wait(list(pending), num_returns=1)
            for each in ready:
                yield pending.pop(each), _result(ray, each)


def _result(ray: Any, reference: Any) -> tuple[dict[str, object], bool] | None:
    """What a task returned; None where its worker or its node died."""
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except ray.exceptions.RayError:
        return None
