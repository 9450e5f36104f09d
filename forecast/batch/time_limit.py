"""A hard limit on the time of a block, for work that does not look at the clock itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class OutOfTime(KeyboardInterrupt):
    """The time is up: like Ctrl-C, so that whoever saves its work then does so now."""


@dataclass
class Limit:
    """Whether the time was up before the block ended."""

    reached: bool = False


@contextmanager
def time_limit(seconds: float | None) -> Iterator[Limit]:
    """Raises OutOfTime inside the block, once, after `seconds`; None is no limit.

    By the process's alarm, so only in the main thread; elsewhere there is no limit.
    """
    limit, active = Limit(), [True]

    def ring(number: int, frame: FrameType | None) -> None:
        if active:
            limit.reached = True
            raise OutOfTime

    if seconds is None:
        yield limit
        return
    try:
        before = signal.signal(signal.SIGALRM, ring)
    except ValueError:
        yield limit
        return
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
        yield limit
    finally:
        active.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
