"""`lstmcast schedule`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIG = """
jobs:
  sales:
    data: sales.csv
    deadline: 20m
    ping: {url: env:LSTMCAST_PING_ADDRESS}
    schedule: {every: week, weekday: sun, at: "05:30", time_zone: Europe/Berlin}
  stock:
    data: stock.csv
"""


@pytest.fixture
def lstmcast(lstmcast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LSTMCAST_PING_ADDRESS", "https://hc-ping.com/secret-uuid")
    monkeypatch.setenv("LSTMCAST_SEED", "7")
    Path("batch.yaml").write_text(CONFIG)
    return lstmcast


def test_units_are_printed_with_absolute_paths_settings_and_without_secrets(lstmcast, tmp_path):
    code, out, err = lstmcast("schedule", "batch.yaml")
    assert code == 0
    assert out.count("[Service]") == out.count("[Timer]") == 2
    assert f"WorkingDirectory={tmp_path}\n" in out
    assert f"lstmcast run {tmp_path}/batch.yaml --job sales --quiet\n" in out
    assert "OnCalendar=Sun *-*-* 05:30:00 Europe/Berlin\n" in out
    assert "Environment=LSTMCAST_SEED=7\n" in out
    assert f"EnvironmentFile=-{tmp_path}/batch.env\n" in out
    assert "TimeoutStartSec=2400s\n" in out  # half as long again as the deadline, and ten minutes
    assert "secret-uuid" not in out + err
    assert "systemctl --user enable --now lstmcast-sales.timer lstmcast-stock.timer" in err


def test_one_job_can_be_asked_for_and_lines_go_into_a_crontab(lstmcast, tmp_path):
    code, out, err = lstmcast("schedule", "batch.yaml", "--cron", "--job", "stock")
    assert code == 0
    assert [line.split(" cd ")[0] for line in out.splitlines()[1:]] == [
        "15 6 * * *",
        "@reboot sleep 120 &&",
    ]
    assert "LSTMCAST_SEED=7" in out
    assert "crontab -e" in err
    assert lstmcast("schedule", "batch.yaml", "--cron", "--quiet")[2] == ""
    assert "secret-uuid" not in lstmcast("schedule", "batch.yaml", "--cron")[1]


def test_units_are_written_where_they_are_wanted(lstmcast, tmp_path):
    code, out, _ = lstmcast("schedule", "batch.yaml", "--output", "units", "--json")
    assert code == 0
    files = json.loads(out)["files"]
    assert sorted(files) == sorted(path.name for path in (tmp_path / "units").iterdir())
    assert all((tmp_path / "units" / name).read_text() == text for name, text in files.items())


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--cron", "--systemd"), "usage/contradiction"),
        (("--cron", "--output", "x"), "usage/contradiction"),
        (("--job", "sails"), "config/no-such-job"),
    ],
)
def test_what_cannot_be_meant_is_refused(lstmcast, words, code):
    ended, out, _ = lstmcast("schedule", "batch.yaml", "--json", *words)
    assert (ended, json.loads(out)["error"]["code"]) == (2, code)


def test_an_unknown_time_zone_is_refused_with_its_place(lstmcast):
    Path("batch.yaml").write_text(CONFIG.replace("Europe/Berlin", "Europe/Atlantis"))
    ended, _, err = lstmcast("schedule", "batch.yaml")
    assert ended == 2
    assert "jobs.sales.schedule.time_zone" in err
    assert "config/unknown-zone" in err
