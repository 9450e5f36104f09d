from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start with them: the tests of Ctrl-C would then wait for what never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
def wide_terminal(monkeypatch):
    """Lines are not wrapped at the width of whatever terminal runs the tests."""
    monkeypatch.setenv("COLUMNS", "160")
