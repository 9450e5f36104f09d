from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from forecast.common.errors import LockedError
from forecast.scheduling.lock import NAME, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from forecast.scheduling.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
CHILD = """
import subprocess, sys
from pathlib import Path
from forecast.scheduling.lock import locked
with locked(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "30"])
    print(child.pid, flush=True)
    import os; os.kill(os.getpid(), 9)
"""


def started(code, *words):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_a_second_run_is_turned_away_and_told_who_is_at_work(tmp_path):
    process, _ = started(HOLD, tmp_path, 30)
    try:
        with pytest.raises(LockedError) as caught, locked(tmp_path):
            pass
        assert caught.value.exit_code == 11
        assert str(process.pid) in str(caught.value)
        assert holder(tmp_path)["pid"] == process.pid
    finally:
        process.kill()
        process.wait()
    with locked(tmp_path):  # the kernel lifted it
        assert holder(tmp_path)["pid"] == os.getpid()
    assert holder(tmp_path) is None
    assert (tmp_path / NAME).exists()


def test_waiting_gets_the_lock_once_it_is_free(tmp_path):
    process, _ = started(HOLD, tmp_path, 0.5)
    began = time.monotonic()
    with locked(tmp_path, wait=20):
        assert time.monotonic() - began > 0.2
    process.wait()


def test_children_do_not_keep_the_lock_of_a_run_that_was_killed(tmp_path):
    process, child = started(CHILD, tmp_path)
    process.wait()
    try:
        with locked(tmp_path):
            pass
    finally:
        os.kill(int(child), 9)


def test_a_signature_of_a_process_that_is_gone_is_nobody(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / NAME).write_text(json.dumps({"pid": gone.pid, "since": "x"}))
    assert holder(tmp_path) is None
    (tmp_path / NAME).write_text("{")
    assert holder(tmp_path) is None


def test_another_process_that_has_the_number_by_now_is_nobody(tmp_path):
    with locked(tmp_path):
        signed = json.loads((tmp_path / NAME).read_text())
        assert holder(tmp_path) == {"pid": os.getpid(), "since": signed["since"]}
    (tmp_path / NAME).write_text(json.dumps(signed))
    assert holder(tmp_path) is not None
    if signed["born"] is not None:  # Linux
        (tmp_path / NAME).write_text(json.dumps({**signed, "born": signed["born"] - 1}))
        assert holder(tmp_path) is None
    for odd in ([], {"pid": "x"}, {"pid": 10**30, "since": "x"}, {"pid": -1, "since": None}):
        (tmp_path / NAME).write_text(json.dumps(odd))
        holder(tmp_path)
