"""Alert rules and dashboard: readable by Prometheus and Grafana, about metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from forecast.scheduling import monitoring
from forecast.scheduling.monitoring import JobMetrics, exposition

FOLDER = Path(monitoring.__file__).parent / "watching"
NAME = re.compile(r"\blstmcast_[a-z_]+")
FULL = JobMetrics(
    "sales", last_run=1.7e9, exit_code=0, seconds=1.0, coverage={80.0: 0.8},
    promised_coverage={80.0: 0.8},
    **{f.name: 1 for f in fields(JobMetrics) if f.default is None},
)  # fmt: skip
KNOWN = set(re.findall(r"^# TYPE (\S+)", exposition(FULL), re.M))
HOUR = 3600


def rules() -> dict[str, dict]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_every_metric_that_is_looked_at_is_written():
    for name in ("alerts.yaml", "dashboard.json"):
        used = set(NAME.findall((FOLDER / name).read_text()))
        assert used and used <= KNOWN, used - KNOWN


def test_every_metric_is_looked_at_somewhere():
    used = {n for path in FOLDER.iterdir() for n in NAME.findall(path.read_text())}
    assert KNOWN - used <= {"lstmcast_last_run_timestamp_seconds"}


def test_the_dashboard_is_one():
    board = json.loads((FOLDER / "dashboard.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 8
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24 and panel["title"] and panel["targets"]
        assert all('forecast_job=~"$job"' in each["expr"] for each in panel["targets"])


# What holds when: (metric -> value at all times), the alerts that must then fire after two hours.
FINE = {
    "last_run_exit_code": 0, "last_success_timestamp_seconds": 0, "origin_timestamp_seconds": 0,
    "schedule_period_seconds": 86400, "data_age_limit_seconds": 3 * 86400, "series": 100,
    "fallback_series": 1, "baseline_in_service": 0, "lost_series": 0, "live_mase": 0.8,
    "promised_mase": 0.8, "set_aside": 0,
}  # fmt: skip
CASES = [
    ({}, []),
    ({"last_run_exit_code": 3}, []),
    ({"last_run_exit_code": 74}, ["LstmcastRunFailed"]),
    ({"last_success_timestamp_seconds": -3 * 86400}, ["LstmcastNoSuccess"]),
    ({"last_success_timestamp_seconds": 9e9}, ["LstmcastClockWrong"]),
    ({"origin_timestamp_seconds": -4 * 86400}, ["LstmcastDataStopped"]),
    ({"fallback_series": 20}, ["LstmcastFallbacks"]),
    ({"baseline_in_service": 1, "fallback_series": 100}, ["LstmcastBaselineServes"]),
    ({"lost_series": 4}, ["LstmcastSeriesLost"]),
    ({"live_mase": 1.3}, ["LstmcastErrorGrows"]),
    ({"set_aside": 1}, ["LstmcastSetAside"]),
    ({"coverage": 0.5}, ["LstmcastIntervalsOff"]),
]


def case(values, expected):
    """One test of promtool: the values for three hours from 1970 on, looked at after two."""
    whole = {**FINE, **values}
    live = whole.pop("coverage", 0.8)
    series = [
        {"series": f'lstmcast_{name}{{forecast_job="sales"}}', "values": f"{value:.0f}x180"
         if value == int(value) else f"{value}x180"}
        for name, value in whole.items()
    ]  # fmt: skip
    for name, share in (("live_coverage", live), ("promised_coverage", 0.8)):
        labels = '{forecast_job="sales",level="80"}'
        series.append({"series": f"lstmcast_{name}{labels}", "values": f"{share}x180"})
    looks = []
    for name, rule in rules().items():
        alerts = []
        if name in expected:
            level = {"level": "80"} if name == "LstmcastIntervalsOff" else {}
            alerts = [{"exp_labels": {**rule["labels"], "forecast_job": "sales", **level}}]
        looks.append({"eval_time": "2h", "alertname": name, "exp_alerts": alerts})
    return {"interval": "1m", "input_series": series, "alert_rule_test": looks}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_prometheus_takes_the_rules_and_each_fires_when_it_should(tmp_path):
    found = rules()
    assert {name for _, names in CASES for name in names} == {*found}
    plain = {"groups": [{"name": "lstmcast", "rules": [
        {k: v for k, v in rule.items() if k != "annotations"} for rule in found.values()
    ]}]}  # fmt: skip
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(plain))
    tests = [case(values, expected) for values, expected in CASES]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    for words in (["check", "rules", str(FOLDER / "alerts.yaml")], ["test", "rules", "test.yaml"]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_prometheus_finds_nothing_to_say_of_the_metrics_file():
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(FULL), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
