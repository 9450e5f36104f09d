from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from forecast.cli.app import run
from forecast.cli.error_handler import guarded

# Threads that have nothing to compute sleep instead of spinning. With a process on every core,
# each of as many threads as there are cores, a training took ten to twenty times as long as its
# sums: its threads spun on the cores that others' sums needed. As many threads compute as before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start with them: the tests of Ctrl-C would then wait for what never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on how busy the machine is.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any")


@pytest.fixture
def subprocess_imports():
    """Top-level packages that importing a module pulls in, in a fresh interpreter."""

    def imported(module: str) -> set[str]:
        code = f"import sys, {module}; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    return imported


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """Lines are not wrapped at the width of whatever terminal runs the tests.

    And what the command sets for every Python started from it does not reach the next test.
    """
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


@pytest.fixture
def lstmcast(capsys, monkeypatch, tmp_path):
    """Runs a command line in this process, nothing set around it: (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("LSTMCAST_")]:
        monkeypatch.delenv(name)

    def call(*words: str) -> tuple[int, str, str]:
        code = guarded(lambda: run(words), as_json="--json" in words, debug="--debug" in words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def sales(monkeypatch, tmp_path):
    """sales.csv, six years of months, in a working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n + 30 * (n % 12)}" for n in range(72)]
    Path("sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def one_thread():
    """As members compute; several threads would only wait for one another on small shapes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
