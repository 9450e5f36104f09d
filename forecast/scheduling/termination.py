"""Whether the process was asked to end (SIGTERM), for whoever records it after work was saved.

Training turns the interruption into an early end, so that its kind is lost on the way.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
