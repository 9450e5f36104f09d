from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from tests.builders import make_panel


def write(folder, jobs=("sales",), until=60, model="pretrained", more=""):
    values = make_panel((60, 60)).values.reshape(2, 60)
    lines = ["unique_id,ds,y"]
    for name, row in zip("ab", values, strict=True):
        months = np.datetime64("2015-01") + np.arange(until)
        lines += [f"{name},{m}-01,{y:.2f}" for m, y in zip(months, row[:until], strict=True)]
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    text = "".join(
        f"  {name}:\n    data: data.csv\n    model: {model}\n    settings:\n"
        f"      forecast: {{horizon: 6}}\n{more}"
        for name in jobs
    )
    path = folder / "batch.yaml"
    path.write_text(f"jobs:\n{text}")
    return str(path)


def command(*words):
    return guarded(lambda: run([str(w) for w in words]), as_json="--json" in words)


def document(capsys, *words):
    code = command(*words, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_run_prints_what_was_decided_and_where_the_forecast_is(tmp_path, capsys):
    assert command("run", write(tmp_path)) == 0
    shown = capsys.readouterr().out
    for words in ("this as-of", "nothing is published for it yet", "published", "2019-12"):
        assert words in shown
    assert str(tmp_path / "sales" / "runs") in shown
    assert command("run", tmp_path / "batch.yaml") == 0
    assert "already done" in capsys.readouterr().out


def test_run_writes_one_document_for_all_jobs(tmp_path, capsys):
    code, found = document(capsys, "run", write(tmp_path, ("one", "two")), "-q")
    assert (code, found["command"], found["exit_code"]) == (0, "run", 0)
    assert [(j["job"], j["outcome"]) for j in found["jobs"]] == [
        ("one", "published"),
        ("two", "published"),
    ]
    code, found = document(capsys, "run", tmp_path / "batch.yaml", "--job", "two", "--dry-run")
    assert [j["outcome"] for j in found["jobs"]] == ["dry run"]
    assert found["jobs"][0]["decisions"][-1]["choice"] == "already done"


def test_a_job_that_fails_does_not_keep_the_others_from_running(tmp_path, capsys):
    path = write(tmp_path, ("one", "two"))
    (tmp_path / "batch.yaml").write_text(
        (tmp_path / "batch.yaml").read_text().replace("data: data.csv", "data: none.csv", 1)
    )
    assert command("run", path) == 4
    seen = capsys.readouterr()
    assert "job one" in seen.err
    assert (tmp_path / "two" / "current" / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("problem", "code", "shown"),
    [
        (OSError(28, "No space left on device"), 74, "No space left on device"),
        (RuntimeError("a slip"), 70, "RuntimeError: a slip"),
    ],
)
def test_whatever_fails_in_one_job_the_others_run(
    tmp_path, capsys, monkeypatch, problem, code, shown
):
    from forecast.scheduling import run as scheduled

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(scheduled, "run_job", failing("one", problem, scheduled.run_job))
    assert command("run", write(tmp_path, ("one", "two"))) == code
    error = " ".join(capsys.readouterr().err.split())
    assert shown in error
    assert "job one" in error
    assert (tmp_path / "two" / "current" / "predictions.csv").exists()


def test_an_interruption_of_one_job_ends_the_command(tmp_path, monkeypatch):
    from forecast.scheduling import run as scheduled

    monkeypatch.setattr(
        scheduled, "run_job", failing("one", KeyboardInterrupt(), scheduled.run_job)
    )
    assert command("run", write(tmp_path, ("one", "two"))) == 130
    assert not (tmp_path / "two").exists()


def failing(name, problem, work):
    """`work` that raises `problem` for the job `name`."""

    def run_one(job, **more):
        if job.name == name:
            raise problem
        return work(job, **more)

    return run_one


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (("--job", "sale"), 2, "config/no-such-job"),
        (("--as-of", "soon"), 2, "usage/bad-as-of"),
        (("--max-failed", "lots"), 2, "config/bad-value"),
        (("--lock-wait", "a while"), 2, "config/bad-value"),
    ],
)
def test_wrong_options_are_refused(tmp_path, capsys, words, code, name):
    found = document(capsys, "run", write(tmp_path), *words)
    assert (found[0], found[1]["error"]["code"]) == (code, name)


def test_flags_win_over_the_config(tmp_path, capsys, monkeypatch):
    from forecast.scheduling import run as monitored_run

    jobs = []

    def heard(job, listener, **more):
        jobs.append((job, more))
        raise KeyboardInterrupt

    monkeypatch.setattr(monitored_run, "run_monitored", heard)
    path = write(tmp_path, more="    deadline: 1h\n    max_failed: 1%\n")
    words = ("--deadline", "90s", "--max-failed", "20%", "--lock-wait", "2m", "--as-of", "2019-06")
    assert command("run", path, *words) == 130
    job, more = jobs[0]
    assert (job.section.deadline, job.section.max_failed, job.section.lock_wait) == (
        "90s", 0.2, "2m",
    )  # fmt: skip
    assert more == {"as_of": "2019-06", "dry_run": False}


def test_score_rollback_and_prune_tell_what_they_did(tmp_path, capsys):
    for until in (52, 54, 60):
        path = write(tmp_path, until=until)
        assert command("run", path, "-q") == 0
    capsys.readouterr()
    assert command("score", path) == 0
    shown = capsys.readouterr().out
    assert "MASE" in shown
    assert "the backtest promised" in " ".join(shown.split())
    code, found = document(capsys, "score", path, "--rebuild")
    assert (code, found["jobs"][0]["recent"]["count"]) == (0, 2 * (6 + 6))
    assert set(found["jobs"][0]["by_step"]) == {"1", "2", "3", "4", "5", "6"}
    code, found = document(capsys, "rollback", path)
    assert (code, found["jobs"][0]["as_of"]) == (0, "2019-06-01")
    code, found = document(capsys, "prune", path, "--dry-run")
    assert (code, found["jobs"][0]["runs"]) == (0, [])
    assert set(found["jobs"][0]["kept"].values()) >= {"current"}
    assert command("rollback", path, "--to", "nothing") == 2


START = """
import sys
from forecast.__main__ import main
sys.argv = ["lstmcast", *sys.argv[1:]]
main()
"""


def test_a_run_that_is_terminated_in_training_can_be_resumed(tmp_path):
    path = write(
        tmp_path,
        model="trained",
        more="      training: {max_steps: 4000, members: 1}\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", START, "run", path], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    story = []
    for line in process.stderr:
        story.append(line)
        if "loss" in line:
            break
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    story += process.stderr.readlines()
    assert process.wait() == 143, "".join(story)
    assert time.monotonic() - began < 60
    folder = tmp_path / "sales"
    assert list((folder / "training").rglob("*.checkpoint"))
    last = json.loads((folder / "last.json").read_text())
    assert (last["outcome"], last["failures_in_a_row"]) == ("interrupted", 1)
    assert last["exit_code"] == 143
    assert not (folder / "runs").exists()
