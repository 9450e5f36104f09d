"""How much memory a piece of work takes, the processes it starts included."""

from __future__ import annotations

import os
import threading
from types import TracebackType

INTERVAL = 0.05  # seconds between two looks


class PeakMemory:
    """Watches this process and all of its descendants while the block runs.

    `peak`: bytes of resident memory of all of them together at the worst moment seen (pages that
    they share count once for each); NaN where the system has no /proc to look at. What the process
    held before the block began is part of it: so much must be there for the work to be done.
    """

    def __init__(self) -> None:
        self.peak = float("nan")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        now = family_memory(os.getpid())
        if now and not self.peak >= now:
            self.peak = float(now)


def family_memory(pid: int) -> int:
    """Resident bytes of the process `pid` and of all processes below it; 0 where unknown."""
    total, waiting, seen = 0, [pid], set()
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            total += _resident(each)
            waiting += _children(each)
    return total


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # ended just now, or no /proc
        return 0


def _children(pid: int) -> list[int]:
    """Processes that any thread of `pid` started."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found
