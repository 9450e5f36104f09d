"""A Ray cluster: this machine's own, on loopback alone, or one that is there already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from forecast.common.errors import UsageError
from forecast.common.resources import needed

STORE = 100_000_000  # bytes of shared memory: no data pass through it
AHEAD = 2  # tasks handed out for each core: one to do, one to go on with
# Without these the package's own cluster would report its use, and listen on all interfaces: where
# Ray may be one of several machines, it takes 127.0.0.1 for a mistake.
_OWN = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextmanager
def cluster(address: str | None, cores: int) -> Iterator[Any]:
    """The `ray` module, connected to `address`, or to a cluster of this machine's own.

    The latter has `cores` cores and ends with the block. Raises UsageError: Ray is not installed,
    or no cluster answers.
    """
    if address is None:
        for name, value in _OWN.items():
            os.environ.setdefault(name, value)
    ray: Any = needed("ray", "ray", "--engine ray")
    if ray.is_initialized():  # somebody else's, who will end it
        yield ray
        return
    _connect(ray, address, cores)
    try:
        yield ray
    finally:
        ray.shutdown()


def tasks_at_once(ray: Any) -> int:
    """How many tasks keep all cores of the cluster busy."""
    return AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))


def _connect(ray: Any, address: str | None, cores: int) -> None:
    if address is None:
        # "local" starts a cluster even where RAY_ADDRESS names another.
        ray.init("local", num_cpus=cores, include_dashboard=False, object_store_memory=STORE,
                 log_to_driver=False, logging_level="error")  # fmt: skip
        return
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster can be reached: {str(error).splitlines()[0]}",
            code="usage/no-ray-cluster",
            where="--ray-address",
            value=address,
            remedy="Start one with `ray start --head`, or leave --ray-address out",
        ) from None
