"""What a piece of work takes in memory is seen, its processes included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forecast.common.resources import PeakMemory

MB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to look at")


@linux
def test_a_large_array_that_is_gone_again_is_in_the_peak():
    with PeakMemory() as idle:
        pass
    with PeakMemory() as busy:
        for _ in range(3):
            block = np.ones(100 * MB // 8)
            busy._over.wait(0.12)
            del block
    assert 90 * MB < busy.peak - idle.peak < 200 * MB


@linux
def test_a_process_that_was_started_counts():
    script = "import time; block = bytearray(120 * 2**20); time.sleep(0.5)"
    with PeakMemory() as idle:
        pass
    with PeakMemory() as busy:
        subprocess.run([sys.executable, "-c", script], check=True)
    assert busy.peak - idle.peak > 110 * MB


def test_the_watcher_ends_with_its_block_even_if_that_fails():
    memory = PeakMemory()
    with pytest.raises(ValueError, match="failed"), memory:
        raise ValueError("failed")
    assert not memory._thread.is_alive()
