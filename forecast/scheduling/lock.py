"""One run of a job at a time: `flock` on a file that is never unlinked.

The lock goes with the descriptor: the kernel lifts it when the process ends, however that
happens, and children do not inherit it (O_CLOEXEC). Unlinking the file would let two processes
each hold "the" lock on two different files.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from forecast.common.errors import LockedError
from forecast.common.files import failed_to_write
from forecast.common.folders import check_folder
from forecast.common.marks import JOB
from forecast.scheduling.clock import now, stamp

NAME = ".lock"
_PAUSE = 0.1  # seconds between two tries


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock of `folder` (made if missing), waiting up to `wait` seconds for it.

    Raises LockedError when another process has it, OutputError when the file cannot be made,
    UsageError where the folder holds something else than a job.
    """
    check_folder(folder, JOB, replaced=False)
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        raise failed_to_write(path, error) from error
    try:
        _acquire(handle, folder, wait)
        try:
            mine = {"pid": os.getpid(), "since": stamp(now()), "born": _born(os.getpid())}
            _sign(handle, mine)
        except OSError as error:
            raise failed_to_write(path, error) from error
        try:
            yield
        finally:
            with suppress(OSError):  # empty: nobody; the lock itself goes with the descriptor
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(folder: Path) -> dict[str, Any] | None:
    """Who signed the lock file and still lives: {pid, since}; None for nobody, or where the file
    may not be read.

    Looks without locking, so that a starter is never turned away by somebody who only looks.
    """
    try:
        signed = json.loads((folder / NAME).read_text(encoding="utf-8"))
        pid, born = int(signed["pid"]), signed.get("born")
        found = {"pid": pid, "since": str(signed["since"])}
        with suppress(PermissionError):  # somebody else's process, but alive
            os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    # The number of a process that was killed may be another's by now.
    return found if born is None or _born(pid) in (None, born) else None


def _born(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where nothing tells."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _acquire(handle: int, folder: Path, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(_PAUSE, left))
    found = holder(folder) or {}
    who = f"process {found['pid']} since {found['since']}" if found else "another process"
    raise LockedError(
        f"another run of this job is at work: {who}",
        code="run/locked",
        where=str(folder),
        remedy="Wait for it with --lock-wait 60s, or start the job less often",
    )


def _sign(handle: int, words: dict[str, Any]) -> None:
    text = json.dumps(words).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, text, 0)


# --- Whether the process was asked to end (SIGTERM), for whoever records it after work was
# saved
# Training turns the interruption into an early end, so that its kind is lost on the way.


@contextmanager
def noticed_termination() -> Iterator[list[int]]:
    """Yields the list of the SIGTERMs that come in the block; what handles them still does.

    It stays empty outside the main thread, and where nothing handles the signal: it kills there.
    """
    seen: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before):
        yield seen
        return

    def notice(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        before(number, frame)

    try:
        signal.signal(signal.SIGTERM, notice)
    except ValueError:
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)


# --- A hard limit on the time of a block, for work that does not look at the clock itself --------


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

    def ring(_number: int, _frame: FrameType | None) -> None:
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
