"""Worker processes of a Ray cluster, with the deadline and the manners of `Pool`.

StatsForecast's own backend for Ray has neither a deadline nor a stand-in for a series that cannot
be fitted, and its Fugue does not take the datasets of today's Ray; its models run here as they do
in local processes, so that the figures are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

from forecast.common.ray_cluster import cluster, tasks_at_once

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class RayPool:
    """A Ray cluster as a pool; use as a context manager. `jobs`: cores where it is this machine's
    own, `address` None."""

    def __init__(self, jobs: int, address: str | None) -> None:
        self._jobs, self._address = jobs, address
        self._stack = ExitStack()
        self._ray: Any = None

    def __enter__(self) -> RayPool:
        self._ray = self._stack.enter_context(cluster(self._address, self._jobs))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def results_until(
        self, deadline: float, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]
    ) -> Iterator[tuple[TaskT, ResultT | None]]:
        """(task, function(task)) as each gets done, until `deadline` (time.monotonic seconds).

        The result is None for a task whose worker died more often than Ray tries again. Tasks that
        are not done at the deadline are not yielded; a worker still busy with one is ended.
        """
        remote = self._ray.remote(num_cpus=1, max_retries=1)(function)
        most = tasks_at_once(self._ray)
        remaining, pending = iter(tasks), dict[Any, TaskT]()
        while True:
            while len(pending) < most and (task := next(remaining, None)) is not None:
                pending[remote.remote(task)] = task
            left = deadline - time.monotonic()
            if not pending or left <= 0:
                break
            ready, _ = self._ray.wait(list(pending), num_returns=1, timeout=left)
            for each in ready:
                yield pending.pop(each), self._result(each)
        for each in pending:
            self._ray.cancel(each, force=True)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return None
