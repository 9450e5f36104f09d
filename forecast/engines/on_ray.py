"""Partitions on a Ray cluster: one task each, placed by Ray; only records come back.

Every node needs the package and the same paths to the input, the model and the output folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from forecast.engines.local import Outcome
from forecast.engines.work import attempt
from forecast.errors import UsageError

LOOPBACK = "127.0.0.1"
AHEAD = 2  # tasks handed out for each core: one to do, one to go on with
STORE = 100_000_000  # bytes of shared memory: records are all that passes through it


@contextmanager
def cluster(address: str | None, jobs: int) -> Iterator[Any]:
    """The `ray` module, connected to `address`, or to a cluster of this machine's own.

    The latter listens on loopback alone, has `jobs` cores, and ends with the block. Raises
    UsageError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from forecast.extras import needed

    ray: Any = needed("ray", "ray", "--engine ray")
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, address, jobs)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: Any, address: str | None, jobs: int) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        # "local" starts a cluster even where RAY_ADDRESS names another.
        ray.init("local", num_cpus=jobs, include_dashboard=False, _node_ip_address=LOOPBACK,
                 object_store_memory=STORE, **quiet)  # fmt: skip
        return
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster can be reached: {str(error).splitlines()[0]}",
            code="usage/no-ray-cluster",
            where="--ray-address",
            value=address,
            remedy="Start one with `ray start --head`, or leave --ray-address out",
        ) from None


def on_ray(
    folder: str, partitions: Sequence[int], jobs: int, address: str | None
) -> Iterator[Outcome]:
    """(partition, what `attempt` returned) as each gets done; None for one whose worker died."""
    with cluster(address, jobs) as ray:
        task = ray.remote(num_cpus=1, max_retries=0)(attempt)
        most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
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
