"""Worker processes that a deadline can end, whatever they are doing.

loky (joblib's process pool) starts fresh interpreters: nothing is forked after torch has started
its threads, and the user's script needs no `__main__` guard.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
AHEAD = 2  # tasks handed out for each worker: one to do, one to go on with
RESTARTS = 5  # times that workers may die before the rest is given up


class Pool:
    """`jobs` worker processes, one thread each; use as a context manager."""

    def __init__(self, jobs: int, prepare: Callable[[], None]) -> None:
        self._jobs = jobs
        self._prepare = prepare
        self._executor: Any = None
        self._pending: dict[Future, Any] = {}
        self._deaths = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.end_workers()

    def end_workers(self) -> None:
        """Terminate all workers at once, busy or not; the next task starts new ones."""
        if self._executor is None:
            return
        # loky trips over a task that has not reached its workers' queue: a moment and it has
        patience = time.monotonic() + 5
        while any(not (each.running() or each.done()) for each in self._pending):
            if time.monotonic() > patience:
                break
            time.sleep(0.002)
        self._executor.shutdown(wait=True, kill_workers=True)
        self._executor = None
        self._pending.clear()

    def _submit(self, function: Callable[[TaskT], ResultT], task: TaskT) -> Future:
        from concurrent.futures.process import BrokenProcessPool

        if self._executor is None:
            self._executor = _start(self._jobs, self._prepare)
        try:
            return self._executor.submit(function, task)
        except BrokenProcessPool:  # a worker died just now; what it lost shows in its futures
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = _start(self._jobs, self._prepare)
            return self._executor.submit(function, task)

    def results_until(
        self, deadline: float, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]
    ) -> Iterator[tuple[TaskT, ResultT | None]]:
        """(task, function(task)) as each gets done, until `deadline` (time.monotonic seconds).

        The result is None for a task whose worker died. Tasks that are not done at the deadline
        are not yielded; a worker still busy with one is terminated.
        """
        remaining = iter(tasks)
        pending = self._pending
        suspects: list[TaskT] = []  # one of them ended its worker: each gets a worker alone
        while self._deaths <= RESTARTS:
            while len(pending) < (1 if suspects else AHEAD * self._jobs):
                task = suspects.pop() if suspects else next(remaining, None)
                if task is None:
                    break
                pending[self._submit(function, task)] = task
            left = deadline - time.monotonic()
            if not pending or left <= 0:
                break
            alone = len(pending) == 1
            done, _ = wait(pending, timeout=left, return_when=FIRST_COMPLETED)
            survived, lost = _sort_out(done, pending)
            yield from survived
            if lost:
                self._deaths += 1
                suspects += [*lost, *pending.values()]
                self.end_workers()
                if alone:
                    yield suspects.pop(), None
        if pending:
            self.end_workers()


def _start(jobs: int, prepare: Callable[[], None]) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        jobs, initializer=_prepare_worker, initargs=(os.getpid(), prepare), env=ONE_THREAD
    )


def _prepare_worker(parent: int, prepare: Callable[[], None]) -> None:
    """Runs first in each worker, which is not to outlive a parent that was killed outright."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepare()


def _end_with(parent: int) -> None:
    """Ends this process soon after `parent` has ended (a process then gets another parent)."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _sort_out(
    done: Iterable[Future], pending: dict[Future, TaskT]
) -> tuple[list[tuple[TaskT, Any]], list[TaskT]]:
    """Takes the futures that are done out of `pending`: (task, result) pairs, and tasks lost
    with a worker that died. An exception of the function itself is raised."""
    from concurrent.futures.process import BrokenProcessPool

    survived, lost = [], []
    for future in done:
        task = pending.pop(future)
        if isinstance(future.exception(), BrokenProcessPool):
            lost.append(task)
        else:
            survived.append((task, future.result()))
    return survived, lost
