"""What the machine lends this process."""

from __future__ import annotations

import ctypes
import os

# glibc's mallopt: one heap for all threads, of which nothing is handed back to the kernel.
_ARENAS, _FROM_KERNEL, _TRIM = (-8, 1), (-3, 32 << 20), (-1, (1 << 31) - 1)
_limit: int | None = None


def available_cores() -> int:
    """CPU cores that this process may use."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores if _limit is None else min(cores, _limit)


def limit_cores(most: int) -> None:
    """From here on this process uses at most so many cores: it is one of several side by side."""
    global _limit
    _limit = most


def keep_memory() -> None:
    """From here on freed memory is used again, not given back to the system and fetched anew.

    Batches come and go by the megabyte, and zeroing their pages is a tenth of the time of a
    forecast, more where several processes do it at once. For processes that are ours from start to
    end; nothing where the C library is not glibc.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if adjust is not None:
        for name, value in (_ARENAS, _FROM_KERNEL, _TRIM):
            adjust(name, value)
