"""A deadline is kept, with the best there is by then, and what was left out is said."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from forecast.__main__ import main
from forecast.common import resources
from forecast.config.schema import Settings
from forecast.training.ensemble import MemberTask, train_members
from forecast.training.learn import TimeLimit
from forecast.transforms.windows import step_layout
from forecast.workflows.train import Clock
from tests.builders import make_panel, train_config

SMALL = """
training: {members: 1, max_steps: 2, jobs: 1, device: cpu}
evaluation: {windows: 1}
forecast: {horizon: 3}
"""


class Now:
    """A clock that a test sets."""

    def __init__(self, monkeypatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.at)


def clock_of(deadline: str | None, now: Now, monkeypatch, started: float = 0.0) -> Clock:
    monkeypatch.setattr(resources, "began", now.at - started)
    return Clock(Settings(training={"deadline": deadline}))


@pytest.mark.parametrize("seconds", [5, 20, 60, 600, 3600])
@pytest.mark.parametrize("started", [0.0, 0.8, 4.0])
def test_the_parts_of_a_deadline_leave_time_to_write(monkeypatch, seconds, started):
    now = Now(monkeypatch)
    clock = clock_of(f"{seconds}s", now, monkeypatch, started)
    limit = clock.limit_of_training()
    assert limit is not None
    training = limit.until - clock.started
    baselines = clock.elapsed() + clock.left_for(1e9)
    assert started <= training <= baselines + 0.1
    assert baselines <= max(0.9 * seconds, started + 0.1)
    if started < seconds / 4:
        assert seconds - baselines >= min(2.5 * started, seconds / 2) - 0.1
    now.at += seconds
    assert clock.left_for(45.0) == pytest.approx(0.1)


def test_without_a_deadline_nothing_is_limited(monkeypatch):
    clock = clock_of(None, Now(monkeypatch), monkeypatch)
    assert clock.limit_of_training() is None
    assert clock.left_for(45.0) == 45.0


def test_trainings_share_what_is_left_and_one_that_would_hardly_begin_is_skipped(monkeypatch):
    now = Now(monkeypatch)
    limit = TimeLimit(now.at + 30, trainings=3)
    assert limit.end_of_next() == now.at + 10
    now.at += 10
    assert limit.end_of_next() == now.at + 10
    limit.started = 4.0
    now.at += 11
    assert not limit.leaves_no_time("the third")  # nine seconds are more than twice four
    now.at += 2
    assert limit.leaves_no_time("the third")
    assert limit.skipped == ["the third"]


def test_a_member_that_has_nothing_in_time_is_ended(tmp_path):
    """The worker is still importing torch when its time is up."""
    panel = make_panel((60,))
    task = MemberTask(
        panel.values, panel.offsets, panel.lengths - 6, panel.lengths[None] - 12, step_layout(12),
        train_config(), 0.0, 0.3,
    )  # fmt: skip
    members, interrupted = train_members(task, [1, 2], tmp_path, 1, until=time.monotonic() + 0.05)
    assert (members, interrupted) == ([], False)


@pytest.fixture
def untrained(lstmcast, sales, monkeypatch):
    """The command line, where no training ends in time."""
    monkeypatch.setattr("forecast.training.learn.train_members", lambda *given: ([], False))
    Path("small.yaml").write_text(SMALL)
    monkeypatch.setattr(resources, "began", None)
    return lstmcast


def test_the_pretrained_network_serves_where_nothing_was_learnt_in_time(untrained):
    words = ("train", "sales.csv", "--config", "small.yaml", "--deadline", "3s", "--json")
    code, out, err = untrained(*words)
    assert code == 0, err
    assert "train/deadline" in err
    assert "arima" in err
    chosen = {row["name"]: row for row in json.loads(out)["chosen"]}
    assert chosen["kept"]["value"] == "pretrained"
    assert "no time was left for" in chosen["deadline"]["why"]
    models = {row["model"] for row in json.loads(out)["scores"]["models"]}
    assert models == {"LSTM", "SeasonalNaive"}


def test_from_random_weights_there_is_nothing_to_serve(untrained):
    code, out, err = untrained(
        "train", "sales.csv", "--config", "small.yaml", "--deadline", "3s", "--from-scratch"
    )
    assert (code, out) == (2, "")
    assert "train/deadline-too-short" in err
    assert not Path("runs").exists()


def test_reasons_name_each_thing_once(monkeypatch):
    clock = clock_of("20s", Now(monkeypatch), monkeypatch)
    told: list[str] = []
    listener = SimpleNamespace(warn=lambda code, text: told.append(code))
    ((name, value, why),) = clock.reasons(["arima", "arima", "ets"], listener)
    assert (name, value) == ("deadline", "20s")
    assert why == "no time was left for: arima, ets"
    assert told == ["train/deadline"]
    assert clock.reasons([], listener) == ()


def test_leaving_does_not_look_through_every_object(monkeypatch):
    """With torch and all else loaded that took a second after the last word."""
    monkeypatch.setattr(sys, "argv", ["lstmcast", "--version"])
    monkeypatch.setattr("forecast.common.resources.keep_memory", lambda: None)
    before = gc.get_freeze_count()
    try:
        with pytest.raises(SystemExit):
            main()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say")
def test_the_time_that_a_shell_waited_before_the_command_is_not_the_commands():
    program = (
        "import time; from forecast.common import resources as r; r.begin_now(); "
        "print(time.monotonic() - r.began)"
    )
    shell = 'sleep 2; exec "$0" -P -c "$1"'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, program], capture_output=True, text=True, check=True
    )
    assert 0 < float(done.stdout) < 2
