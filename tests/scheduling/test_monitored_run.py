"""What a monitor is told of a run."""

from __future__ import annotations

import pytest

from forecast.common.errors import LockedError, OutputError
from forecast.common.progress import Silent
from forecast.scheduling import run
from forecast.scheduling.config_file import load_config
from forecast.scheduling.run import run_monitored

ADDRESS = "postgresql://robot:open-sesame@db.example/sales"
MONITOR = "https://monitor.example/5f0c1e7a"


def job(folder, ping):
    (folder / "url").write_text(MONITOR + "\n")
    path = folder / "batch.yaml"
    path.write_text(
        "jobs:\n  sales:\n    data: data.csv\n    outputs: {database: env:SALES_DB}\n"
        f"    ping: {{{ping}}}\n"
    )
    return load_config(path, environ={}).jobs["sales"]


@pytest.fixture
def told(monkeypatch):
    """(address, event, text) of each ping; none leaves the process."""
    monkeypatch.setenv("SALES_DB", ADDRESS)
    found = []
    monkeypatch.setattr(run, "ping", lambda *words: found.append(words))
    return found


def failing(problem, monkeypatch):
    def run_job(job, *, begun, **more):
        begun()
        raise problem

    monkeypatch.setattr(run, "run_job", run_job)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"cannot reach {ADDRESS}", "cannot reach ***"),
        ("password open-sesame was refused", "password *** was refused"),
        (f"no answer from {MONITOR}/x", "no answer from ***/x"),
        ("ftp://me:other-word@host is down", "ftp://***@host is down"),
    ],
)
@pytest.mark.parametrize("ping", [f"url: {MONITOR}", "url_file: url"])
@pytest.mark.parametrize("kind", [OutputError, RuntimeError, OSError])
def test_no_secret_is_in_what_a_failure_tells(tmp_path, monkeypatch, told, ping, text, shown, kind):
    problem = kind(text, code="output/database") if kind is OutputError else kind(text)
    failing(problem, monkeypatch)
    with pytest.raises(kind):
        run_monitored(job(tmp_path, ping), Silent())
    assert [(address, event) for address, event, _ in told] == [
        (MONITOR, "start"),
        (MONITOR, "fail"),
    ]
    assert shown in told[1][2]
    assert not [word for word in ("sesame", "other-word", "5f0c1e7a") if word in told[1][2]]


def test_an_interruption_without_words_is_told_by_its_name(tmp_path, monkeypatch, told):
    failing(KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_monitored(job(tmp_path, f"url: {MONITOR}"), Silent())
    assert told[1][1:] == ("fail", "KeyboardInterrupt")


def test_a_run_that_finds_another_at_work_tells_nobody(tmp_path, monkeypatch, told):
    def run_job(job, **more):
        raise LockedError("another run is at work", code="run/locked")

    monkeypatch.setattr(run, "run_job", run_job)
    with pytest.raises(LockedError):
        run_monitored(job(tmp_path, f"url: {MONITOR}"), Silent())
    assert told == []
