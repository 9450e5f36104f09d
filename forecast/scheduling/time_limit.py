"""A hard limit on the time of a block, for work that does not look at the clock itself."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INSIST = 10.0  # seconds for saving work, then the block is interrupted once more


class OutOfTime(KeyboardInterrupt):
    """The time is up: like Ctrl-C, so that whoever saves its work then does so now."""


@dataclass
class Limit:
    """Whether the time was up before the block ended."""

    reached: bool = False


@contextmanager
def time_limit(seconds: float | None, insist: float = INSIST) -> Iterator[Limit]:
    """Raises OutOfTime inside the block after `seconds`, and again `insist` seconds later if it
    still runs: as a second Ctrl-C stops what the first asked to end. None is no limit.

    In the main thread by the process's alarm (SIGALRM; an alarm of the caller's own is put off
    until the block ends), which also wakes what waits. In another thread, where Python delivers no
    signal, the exception comes when that thread next runs Python code.
    """
    limit = Limit()
    if seconds is None:
        yield limit
        return
    ringing = _alarm if threading.current_thread() is threading.main_thread() else _timers
    with ringing(max(seconds, 0.001), max(insist, 0.001), limit):
        yield limit


@contextmanager
def _alarm(seconds: float, insist: float, limit: Limit) -> Iterator[None]:
    active = [True]

    def ring(number: int, frame: FrameType | None) -> None:
        if limit.reached:
            signal.setitimer(signal.ITIMER_REAL, 0)
        limit.reached = limit.reached or bool(active)
        if active:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, insist)
        yield
    finally:
        active.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _timers(seconds: float, insist: float, limit: Limit) -> Iterator[None]:
    thread = ctypes.c_ulong(threading.get_ident())
    lock, active = threading.Lock(), [True]

    def ring() -> None:
        with lock:
            if active:
                limit.reached = True
                _raise_in(thread, ctypes.py_object(OutOfTime))

    timers = [_started(after, ring) for after in (seconds, seconds + insist)]
    try:
        yield
    finally:
        with lock:
            active.clear()
            if limit.reached:
                _raise_in(thread, None)  # takes back what has not been raised yet
        for timer in timers:
            timer.cancel()


def _started(after: float, ring: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(after, ring)
    timer.daemon = True
    timer.start()
    return timer


def _raise_in(thread: ctypes.c_ulong, kind: ctypes.py_object | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, kind)
