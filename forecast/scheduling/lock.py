"""One run of a job at a time: `flock` on a file that is never unlinked.

The lock goes with the descriptor: the kernel lifts it when the process ends, however that
happens, and children do not inherit it (O_CLOEXEC). Unlinking the file would let two processes
each hold "the" lock on two different files.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from forecast.common.errors import LockedError
from forecast.common.files import failed_to_write
from forecast.scheduling.clock import now, stamp

NAME = ".lock"
_PAUSE = 0.1  # seconds between two tries


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock of `folder` (made if missing), waiting up to `wait` seconds for it.

    Raises LockedError when another process has it, OutputError when the file cannot be made.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise failed_to_write(path, error) from error
    try:
        _acquire(handle, folder, wait)
        try:
            _sign(handle, {"pid": os.getpid(), "since": stamp(now())})
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
    """Who signed the lock file and still lives: {pid, since}; None for nobody.

    Looks without locking, so that a starter is never turned away by somebody who only looks.
    """
    try:
        signed = json.loads((folder / NAME).read_text(encoding="utf-8"))
        os.kill(int(signed["pid"]), 0)
    except PermissionError:  # somebody else's process, but alive
        return dict(signed)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(signed)


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
