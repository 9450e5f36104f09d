"""The whole way through the real thing, small: check, train, predict, inspect, plot."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

SMALL = """
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 12, refit: false, patience: 2, jobs: 1, device: cpu}
baselines: {names: [seasonal-naive]}
evaluation: {windows: 1}
"""


@pytest.fixture
def lstmcast(lstmcast, sales):
    Path("small.yaml").write_text(SMALL)
    return lstmcast


@pytest.mark.parametrize("command", ["forecast", "predict", "detect"])
@pytest.mark.parametrize("name", ["next.ods", "next.json", "next.csv.gz"])
def test_a_table_of_another_kind_than_its_name_says_is_not_written(lstmcast, command, name):
    code, out, err = lstmcast(command, "sales.csv", "--output", name)
    assert (code, out) == (2, "")
    assert "a table is written as .csv, .parquet or .xlsx" in err
    assert not Path(name).exists()


def test_a_file_is_checked_trained_on_and_forecast(lstmcast):
    assert json.loads(lstmcast("check", "sales.csv", "--json")[1])["report"]["rows"] == 72

    words = ("train", "sales.csv", "--config", "small.yaml", "--horizon", "6", "--json")
    code, out, err = lstmcast(*words)
    assert code == 0, err
    assert "Training the LSTM" in err
    assert "12/12" in err
    document = json.loads(out, parse_constant=pytest.fail)
    assert document["folder"].startswith("runs/sales-")
    assert {row["model"] for row in document["scores"]["models"]} == {"LSTM", "SeasonalNaive"}
    assert document["report"]["frequency"] == "MS"
    for file in document["files"]:
        assert Path(file["path"]).exists(), file

    code, out, err = lstmcast("predict", "--output", "-", "--level", "80")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["ds"] for row in rows] == [f"2006-{month:02d}" for month in range(1, 7)]
    for row in rows:
        assert float(row["LSTM-lo-80"]) <= float(row["LSTM"]) <= float(row["LSTM-hi-80"])
        assert "LSTM-lo-95" not in row

    manifest = json.loads(lstmcast("inspect", "--json")[1])["model"]
    assert manifest["network"]["horizon"] == 6
    assert manifest["network"]["hidden_size"] == 8

    code, out, _ = lstmcast("plot", "--json")
    numbers = json.loads(out)
    assert code == 0
    assert numbers["history"][-1] == 100 + 71 + 30 * 11
    assert len(numbers["medians"]["LSTM"]) == 6


def test_a_file_whose_name_is_not_utf8_is_trained_on_and_its_run_read_back(lstmcast):
    odd = os.fsdecode(b"\xff.csv")
    try:
        os.rename("sales.csv", odd)
    except OSError:
        pytest.skip("names are UTF-8 in this file system")
    small = ("--config", "small.yaml", "--horizon", "6")
    for words in (
        ("train", odd, *small, "--out", "runs/a"),
        ("predict", "--output", "next.csv"),
        ("report", "runs/a"),
        ("inspect", "runs/a"),
        ("runs",),
        ("backtest", odd, *small, "--out", "runs/b"),
        ("report", "runs/b"),
        ("forecast", odd, "--report", "page.html"),
    ):
        code, _, err = lstmcast(*words)
        assert code == 0, (words, err)
    for path in Path("runs").rglob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))  # whole, and UTF-8
    manifest = json.loads(Path("runs/a/model/manifest.json").read_text())
    assert manifest["data"]["source"] == odd
    for page in (Path("runs/a/report.html"), Path("page.html")):
        assert "</html>" in page.read_text(encoding="utf-8")


def test_a_forecast_as_json_holds_the_forecast(tmp_path, lstmcast):
    months = [f"{2018 + n // 12}-{n % 12 + 1:02d}-01" for n in range(48)]
    rows = "".join(f"{m},{100 + n % 12}\n" for n, m in enumerate(months))
    (tmp_path / "sales.csv").write_text("month,sales\n" + rows)
    words = ("forecast", str(tmp_path / "sales.csv"), "--horizon", "3", "--json", "-q")
    code, out, err = lstmcast(*words)
    assert code == 0, err
    found = json.loads(out)["forecast"]
    assert [row["ds"] for row in found] == ["2022-01-01", "2022-02-01", "2022-03-01"]
    assert all(row["LSTM-lo-80"] <= row["LSTM"] <= row["LSTM-hi-80"] for row in found)
