"""Tasks in worker processes, on this machine or on a Ray cluster."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from forecast.common.errors import UsageError
from forecast.common.resources import needed

# --- Worker processes that a deadline can end, whatever they are doing ---------------------------
# loky (joblib's process pool) starts fresh interpreters: nothing is forked after torch has started
# its threads, and the user's script needs no `__main__` guard.


TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
# Python started with this leaves the current folder off its path of imports: what lies beside the
# user's data may be called forecast.py or json.py, and is never run.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
AHEAD = 2  # tasks handed out for each worker: one to do, one to go on with
RESTARTS = 5  # times that workers may die before the rest is given up


def python_command(module: str, *arguments: str) -> list[str]:
    """The words that run a module in a Python of its own, the current folder left out (-P)."""
    return [sys.executable, "-P", "-m", module, *arguments]


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
    from joblib.externals.loky.backend import resource_tracker

    with _in_the_environment(SAFE_PATH):
        resource_tracker.ensure_running()  # a Python as well, which takes no environment of its own
    return ProcessPoolExecutor(
        jobs,
        initializer=_prepare_worker,
        initargs=(os.getpid(), prepare),
        env={**ONE_THREAD, **SAFE_PATH},
    )


@contextmanager
def _in_the_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that are started inside have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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


# --- A Ray cluster: this machine's own, on loopback alone, or one that is there already ----------


STORE = 100_000_000  # bytes of shared memory: no data pass through it
RAY_AHEAD = 2  # tasks handed out for each core: one to do, one to go on with
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
    return RAY_AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))


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


# --- Worker processes of a Ray cluster, with the deadline and the manners of `Pool` --------------
# StatsForecast's own backend for Ray has neither a deadline nor a stand-in for a series that cannot
# be fitted, and its Fugue does not take the datasets of today's Ray; its models run here as they do
# in local processes, so that the figures are the same.


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
