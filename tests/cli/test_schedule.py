"""`lstmcast schedule`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from forecast.scheduling.kubernetes import pod_name

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
        (("--kubernetes", "--cron"), "usage/contradiction"),
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


def test_a_cron_job_has_the_job_s_zone_no_root_and_no_secret(lstmcast, tmp_path):
    code, out, err = lstmcast("schedule", "batch.yaml", "--kubernetes", "--image", "reg/lc:1")
    assert code == 0 and "secret-uuid" not in out + err
    sales, stock = (
        yaml.safe_load(part) for part in re.split(r"(?=^# lstmcast-)", out, flags=re.M)[1:]
    )
    assert (sales["kind"], sales["metadata"]["name"]) == ("CronJob", "lstmcast-sales")
    assert (sales["spec"]["schedule"], sales["spec"]["timeZone"]) == ("30 5 * * 0", "Europe/Berlin")
    assert stock["spec"]["timeZone"] == "UTC"  # the machine's: a cluster has its own
    assert sales["spec"]["concurrencyPolicy"] == "Forbid"
    inner = sales["spec"]["jobTemplate"]["spec"]
    assert (inner["activeDeadlineSeconds"], inner["backoffLimit"]) == (2400, 0)
    assert "activeDeadlineSeconds" not in stock["spec"]["jobTemplate"]["spec"]
    pod = inner["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    (box,) = pod["containers"]
    assert box["securityContext"]["readOnlyRootFilesystem"] and box["image"] == "reg/lc:1"
    assert box["args"][:4] == ["run", "/data/batch.yaml", "--job", "sales"]
    named = {each["name"]: each for each in box["env"]}
    assert named["LSTMCAST_SEED"]["value"] == "7"
    assert named["LSTMCAST_PING_ADDRESS"]["valueFrom"]["secretKeyRef"] == {
        "name": "lstmcast-sales", "key": "LSTMCAST_PING_ADDRESS",
    }  # fmt: skip


@pytest.mark.parametrize(("ended", "told"), [(0, 0), (3, 0), (4, 4), (130, 130)])
def test_a_run_that_is_done_in_part_is_a_success_for_kubernetes(lstmcast, tmp_path, ended, told):
    out = lstmcast("schedule", "batch.yaml", "--kubernetes", "--job", "stock")[1]
    (box,) = yaml.safe_load(out)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program = tmp_path / "lstmcast"
    program.write_text(f'#!/bin/sh\n[ "$1 $4" = "run stock" ] || exit 9\nexit {ended}\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([*box["command"], *box["args"]], env={"PATH": path})
    assert done.returncode == told


def test_a_cron_job_sees_no_more_than_the_folder_of_its_configuration(lstmcast, tmp_path):
    Path("batch.yaml").write_text("jobs: {stock: {data: /elsewhere/stock.csv}}")
    ended, out, _ = lstmcast("schedule", "batch.yaml", "--kubernetes", "--json")
    assert (ended, json.loads(out)["error"]["code"]) == (2, "schedule/outside")
    assert lstmcast("schedule", "batch.yaml")[0] == 0


def test_names_that_kubernetes_would_refuse_are_changed_and_stay_apart(tmp_path):
    assert pod_name("sales") == "lstmcast-sales"
    names = [pod_name(name) for name in ("Sales_EU", "sales-eu", "sales_eu", "x" * 60)]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", name) for name in names)


@pytest.mark.parametrize("form", [["--systemd"], ["--cron"], ["--kubernetes", "--image", "x"]])
def test_a_configuration_whose_path_is_no_utf_8_is_refused_plainly(lstmcast, tmp_path, form):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for place in (folder / "batch.yaml", tmp_path / os.fsdecode(b"b\xe9.yaml")):
        place.write_text(CONFIG)
        for more in ([], ["--json"]):
            code, out, err = lstmcast("schedule", str(place), *form, *more)
            assert (code, "schedule/control-character" in out + err) == (2, True), out + err
