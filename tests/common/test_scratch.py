"""What a killed command left among the temporary files goes with the next; nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from forecast.common import scratch
from forecast.common.scratch import HELD, PREFIX, ScratchFolder, clear_dead_folders

WAITS = """
import time
from forecast.common.scratch import ScratchFolder
with ScratchFolder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch._clear_once.cache_clear()
    return tmp_path


def waiting(place: Path) -> tuple[subprocess.Popen, Path]:
    """A process that holds a scratch folder, and that folder, with data in it."""
    command = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(place)}, cwd=Path(scratch.__file__).parents[2],
    )  # fmt: skip
    folder = Path(command.stdout.readline().strip())
    (folder / "deep").mkdir()
    (folder / "deep" / "values.npy").write_bytes(b"data")
    (folder / "link").symlink_to(place)
    return command, folder


def test_what_a_killed_process_left_goes_with_the_next_and_a_living_one_keeps_its_own(place):
    killed, dead = waiting(place)
    living, held = waiting(place)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert dead.is_dir()
        with ScratchFolder() as own:
            assert not dead.exists()
            assert (held / "deep" / "values.npy").read_bytes() == b"data"
            assert clear_dead_folders() == []
            assert Path(own, HELD).exists()
        assert not Path(own).exists()
    finally:
        living.kill()
        living.wait()
    assert clear_dead_folders() == [held]


@pytest.mark.parametrize("what", ["no mark", "open to others", "link", "mark is a link", "file"])
def test_nothing_that_is_not_surely_ours_and_dead_is_touched(place, what):
    folder = place / f"{PREFIX}mine"
    outside = place / "outside"
    outside.mkdir(mode=0o700)
    (outside / HELD).touch(0o600)
    if what == "file":
        folder.write_text("notes")
    elif what == "link":
        folder.symlink_to(outside)
    else:
        folder.mkdir(mode=0o700)
        (folder / "notes").write_text("mine")
        if what == "open to others":
            (folder / HELD).touch()
            folder.chmod(0o755)
        elif what == "mark is a link":
            (folder / HELD).symlink_to(outside / HELD)
    assert clear_dead_folders() == []
    assert os.path.lexists(folder) and (outside / HELD).exists()
    assert what in ("file", "link") or (folder / "notes").read_text() == "mine"


def test_a_folder_that_was_forgotten_goes_too(place):
    folder = ScratchFolder()
    name = Path(folder.name)
    folder.cleanup()
    assert not name.exists()
    folder.cleanup()  # twice is as once


def test_doctor_tells_of_what_it_removed(place):
    from forecast.scheduling.doctor import _temporary

    killed, dead = waiting(place)
    killed.kill()
    killed.wait()
    assert _temporary().found == f"{place}; 1 folder of killed commands removed"
    assert not dead.exists()
    assert _temporary().found == str(place)
