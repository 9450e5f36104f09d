"""What stood in the way of a new user, each as it was met; other files hold the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from forecast import forecast, predict
from forecast.common.errors import UsageError
from tests import ROOT

AIR = ROOT / "sample_data" / "airline_passengers.csv"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_the_scheduled_template_is_no_toy(lstmcast):
    assert lstmcast("init", "jobs", "--batch")[0] == 0
    lines = Path("jobs/batch.yaml").read_text(encoding="utf-8").splitlines()
    assert any(line.strip() == "# preset: default" for line in lines)
    assert not any("preset: fast" in line for line in lines)


def test_a_forecast_as_json_has_the_forecast(lstmcast):
    code, out, _ = lstmcast("forecast", str(AIR), "--horizon", "3", "--json")
    rows = json.loads(out)["forecast"]
    assert code == 0
    assert [row["ds"] for row in rows] == ["1961-01", "1961-02", "1961-03"]
    assert all(row["LSTM-lo-80"] < row["LSTM"] < row["LSTM-hi-80"] for row in rows)


def test_an_id_is_found_beside_a_table_of_covariates_that_has_it_too(lstmcast):
    days = pd.date_range("2024-01-01", periods=44).strftime("%Y-%m-%d")
    with Path("sales.csv").open("w") as sales, Path("plan.csv").open("w") as plan:
        sales.write("sku,date,units\n")
        plan.write("sku,date,promo\n")
        for sku in ("A", "B", "C"):
            for at, day in enumerate(days):
                plan.write(f"{sku},{day},{at % 3}\n")
                if at < 30:
                    sales.write(f"{sku},{day},{at * 7 % 11}\n")
    words = ("check", "sales.csv", "--target-col", "units", "--future-covariates", "plan.csv")
    code, out, _ = lstmcast(*words, "--horizon", "14")
    assert code == 0
    assert "id         sku" in out
    assert "promo (future)" in out
    # what train would refuse, check refuses
    assert lstmcast(*words, "--horizon", "15")[0] == 4


@pytest.mark.parametrize("data", [[1, 2], 5, "", {"ds": [1], "y": 3}])
def test_data_that_are_none_are_refused_in_words(data):
    with pytest.raises(Exception) as caught:
        predict(data)
    assert "AttributeError" not in type(caught.value).__name__
    assert getattr(caught.value, "code", "").partition("/")[0] in ("usage", "input", "model")


def test_the_help_of_python_is_of_the_settings():
    with pytest.raises(UsageError, match="Did you mean horizon"):
        forecast(AIR, horizn=3)


def test_the_docs_say_that_paths_of_two_series_are_independent():
    text = " ".join((ROOT / "docs" / "planning.md").read_text(encoding="utf-8").split())
    assert "Sample paths of a panel without a hierarchy are independent between series" in text


def test_a_network_of_a_shared_settings_file_that_forecast_cannot_use_is_said(lstmcast, tmp_path):
    (tmp_path / "shared.yaml").write_text("network: {name: gru}\ntraining: {members: 1}\n")
    asked = ("forecast", str(AIR), "--horizon", "3")
    code, out, err = lstmcast(*asked, "--config", str(tmp_path / "shared.yaml"))
    assert code == 0 and "network.name gru: without effect" in err
    assert out == lstmcast(*asked)[1] and "without effect" not in lstmcast(*asked)[2]
