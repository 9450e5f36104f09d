"""What the machine lends this process."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, TracebackType

from forecast.common.errors import UsageError

# glibc's mallopt: one heap for all threads, of which nothing is handed back to the kernel.
_ARENAS, _FROM_KERNEL, _TRIM = (-8, 1), (-3, 32 << 20), (-1, (1 << 31) - 1)
_LOADED = 10  # processes that a core may have to serve at once
_limit: int | None = None
began: float | None = None  # time.monotonic() at the start of a program that does one command


def available_cores() -> int:
    """CPU cores that this process may use."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores if _limit is None else min(cores, _limit)


def begin_now() -> None:
    """This program does one command, whose deadline counts from its start."""
    global began
    began = time.monotonic() - _age()


def _age() -> float:
    """Seconds since this program was started; 0 where the system does not say.

    The system tells when the process was, which may have been a shell that waited for an hour
    before it became this program: no start takes more than _LOADED times its processor time.
    """
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return min(max(0.0, age), _LOADED * time.process_time())


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


# --- How much memory a piece of work takes, the processes it starts included ---------------------


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
        self._measure()
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
        self._measure()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._measure()

    def _measure(self) -> None:
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


# --- How long a call takes, whatever else the machine does meanwhile -----------------------------


TIMED, MOST_SECONDS = 50, 1.0  # calls of which the quickest counts; what they may take together


def least_seconds(call: Callable[[], object]) -> float:
    """Wall time of `call` at its quickest, once it has run before."""
    call()
    taken: list[float] = []
    while len(taken) < TIMED and sum(taken) < MOST_SECONDS:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


# --- Libraries that only some commands need and that pip installs with an extra of the package ---


# What installs an extra where the program stands in an environment of its own, by part of its path.
TOOLS = {"uv tool": "/uv/tools/", "pipx": "/pipx/"}


def needed(module: str, extra: str, purpose: str) -> ModuleType:
    """The module of an extra. Raises UsageError, which names the extra, where it, or a part of what
    it imports, is not installed.

    purpose: what needs it, such as "tune".
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = error.name or module
        if name.startswith("forecast"):
            raise
        raise _missing(name, extra, purpose) from error


def check_installed(module: str, extra: str, purpose: str) -> None:
    """As `needed`, without importing anything: to be called before any work."""
    if find_spec(module) is None:
        raise _missing(module, extra, purpose)


FOR_TRAINING = ("torch", "statsforecast", "sklearn", "matplotlib")  # not installed for prediction


def check_dependency(module: str, purpose: str) -> None:
    """Raises UsageError where `module`, which prediction alone does without, is not installed."""
    if find_spec(module) is None:
        raise without_dependency(module, purpose)


def without_dependency(module: str, purpose: str) -> UsageError:
    """The error of a dependency that an installation for prediction alone leaves out."""
    return UsageError(
        f"{purpose} needs {module}, which is not installed",
        code="usage/dependency-missing",
        value=module,
        remedy="Install lstmcast with all its dependencies (docs/install.md), not for prediction "
        "alone",
    )


def _missing(module: str, extra: str, purpose: str) -> UsageError:
    tool = next((t for t, mark in TOOLS.items() if mark in sys.prefix.replace(os.sep, "/")), "pip")
    top = module.partition(".")[0]
    part = find_spec(top) is not None
    remedy = f"{tool} install 'lstmcast[{extra}]'" + " --force" * (tool == "pipx")
    if part and tool == "pip" and (wanted := _requirements(top)):
        remedy = f"pip install --force-reinstall --no-deps {wanted}"
    elif part and tool == "uv tool":
        remedy += " --force"
    return UsageError(
        f"{purpose} needs a library that is not installed" + " completely" * part,
        code="usage/extra-missing",
        value=module,
        remedy=remedy,
    )


def _requirements(module: str) -> str:
    """What is installed, as pip takes it, of which `module` is a part; "" where pip knows of none
    and would install it. It alone: of all that lstmcast needs, torch is gigabytes."""
    from importlib import metadata

    try:
        known = metadata.requires("lstmcast") or []
    except metadata.PackageNotFoundError:
        known = []
    found = []
    for name in dict.fromkeys(metadata.packages_distributions().get(module, [])):
        of_it = (each.partition(";")[0].strip() for each in known)
        asked = re.compile(rf"{re.escape(name)}(?![\w.-])", re.IGNORECASE)
        found.append(next((each for each in of_it if asked.match(each)), name))
    return " ".join(f"'{each}'" for each in found)
