"""What a command costs: wall and processor seconds, and memory of all of its processes together."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from forecast.models.store import versions

FIRST_LOOK, LOOKS_APART, SLOWER = 0.1, 1.0, 1.1  # seconds, seconds at most, factor


def timed(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    *,
    accept: Sequence[int] = (),
    cwd: str | None = None,
) -> dict[str, float]:
    """Runs a command to its end; exits with its last words when it fails otherwise than `accept`.

    seconds: wall time of the whole process, start-up included. cpu_seconds: of it and its children.
    peak_mb: the largest sum, seen about once a second, of the proportional set sizes of the process
    and its descendants (pages shared by two count half for each); where the system does not tell
    them, the resident size of the largest one.
    """
    before = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
    )
    said: list[bytes] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()), daemon=True)
    reader.start()
    watch = _Watch(process.pid)
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - before
    watch.over.set()
    watch.join()
    reader.join(5)
    if os.waitstatus_to_exitcode(status) not in (0, 3, *accept):  # 3: some series fell back
        tail = b"".join(said).decode(errors="replace")[-2000:]
        sys.exit(f"{' '.join(command)} failed:\n{tail}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": watch.peak_mb or usage.ru_maxrss / 1024,
    }


class _Watch(threading.Thread):
    """Looks at the memory of a process and all of its descendants until `over` is set."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.over, self.peak_mb = pid, threading.Event(), 0.0

    def run(self) -> None:
        wait = FIRST_LOOK  # a look at a large process is not free: ever fewer of them
        while not self.over.wait(wait):
            wait = min(wait * SLOWER, LOOKS_APART)
            total = sum(_proportional_kb(pid) for pid in _family(self.pid))
            self.peak_mb = max(self.peak_mb, total / 1024)


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            words = path.read_text().split()
        except OSError:  # it ended meanwhile
            continue
        for word in words:
            found += _family(int(word))
    return found


def _proportional_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    return int(found[1]) if found else 0


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """The machine and the versions, in words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.M)
        name = found[1] if found else name
    known = ", ".join(f"{what} {version}" for what, version in versions().items())
    return f"{cores()} cores of {name}, {platform.system()}; {known}"


def stamp() -> dict[str, str]:
    """Date and machine of a figure."""
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine()}
