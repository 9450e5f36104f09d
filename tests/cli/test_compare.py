"""`lstmcast compare`, and `--network` from training to prediction, as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from forecast.training import learn as learning
from tests.teaching import taught_here

SMALL = """
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 6, jobs: 1, device: cpu}
"""
QUICK = ("--config", "small.yaml", "--horizon", "6", "--baselines", "seasonal-naive")


@pytest.fixture
def lstmcast(lstmcast, sales, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    Path("small.yaml").write_text(SMALL)
    return lstmcast


def document(out):
    return json.loads(out, parse_constant=pytest.fail)


def test_networks_are_compared_under_one_budget_and_the_pretrained_stand_apart(lstmcast):
    words = ("compare", "sales.csv", *QUICK, "--networks", "lstm,gru", "--windows", "2")
    code, out, _ = lstmcast(*words, "--json", "--out", "made")
    made = document(out)
    assert code == 0 and made["command"] == "compare"
    by_name = {row["model"]: row for row in made["models"]}
    assert set(by_name) == {"LSTM", "GRU", "SeasonalNaive"}
    assert [row["mase"] for row in made["models"]] == sorted(row["mase"] for row in made["models"])
    assert by_name["SeasonalNaive"]["parameters"] is None
    # One layer of 8 units: four gates and three, with torch's two bias vectors.
    saved = by_name["LSTM"]["parameters"] - by_name["GRU"]["parameters"]
    assert saved == 8 * (8 + 8 + 2)
    assert by_name["GRU"]["seconds"] > 0 and by_name["GRU"]["memory_mb"] > 0
    assert {row["model"] for row in made["apart"]} == {"LSTM-pretrained", "LSTM-fine-tuned"}
    budget = next(each for each in made["chosen"] if each["name"] == "budget")
    assert budget["value"] == "6 steps"
    assert "of 2 networks on these origins" in made["sentence"]
    with open("made/compare.csv", newline="") as file:
        written = [row["model"] for row in csv.DictReader(file)]
    assert written == [row["model"] for row in (*made["models"], *made["apart"])]
    with open("made/backtest.csv", newline="") as file:
        columns = next(csv.reader(file))
    assert {"GRU", "GRU-lo-80", "LSTM-pretrained", "SeasonalNaive"} <= set(columns)
    with open("made/history.csv", newline="") as file:
        taught = {row["member"] for row in csv.DictReader(file)}
    assert taught == {"LSTM 1", "GRU 1", "1 fine-tuned"}


def test_the_screen_of_a_comparison_shows_weights_and_files(lstmcast):
    words = ("compare", "sales.csv", *QUICK, "--networks", "mlp", "--windows", "1")
    code, out, err = lstmcast(*words)
    assert code == 0, err
    assert "Training the MLP" in err
    assert "weights" in out and "LSTM-pretrained" not in out and "compare.csv" in out
    assert "MLP against SeasonalNaive" in out  # which is better after six steps
    assert "AutoARIMA" not in out and "was the best of" not in out


def test_a_network_that_cannot_have_the_size_is_refused_before_any_is_trained(lstmcast):
    words = ("compare", "sales.csv", *QUICK, "--networks", "lstm,transformer", "--hidden", "12")
    code, _, err = lstmcast(*words)
    assert code == 2 and "Training" not in err
    assert "a Transformer on these data must be a multiple of 8" in err
    assert "--hidden 16" in err


def test_a_gru_is_trained_shown_and_forecasts_under_its_own_name(lstmcast):
    words = ("train", "sales.csv", *QUICK, "--network", "gru", "--out", "run")
    code, out, err = lstmcast(*words)
    assert code == 0, err
    assert "Training the GRU" in err and "only the LSTM comes pretrained" in out
    assert "GRU" in out and "was not scored" not in out
    code, out, _ = lstmcast("inspect", "run")
    assert code == 0 and "GRU, 1 x 8 units" in out
    code, out, _ = lstmcast("predict", "--model", "run", "--root", ".", "--output", "-")
    assert code == 0
    header = out.splitlines()[0].replace(chr(34), "")
    assert header == "unique_id,ds,GRU,GRU-lo-80,GRU-hi-80,GRU-lo-95,GRU-hi-95"
    again = ("train", "sales.csv", *QUICK, "--network", "gru", "--init", "run", "--out", "again")
    assert lstmcast(*again)[0] == 0
    code, _, err = lstmcast("train", "sales.csv", *QUICK, "--init", "run", "--out", "other")
    assert code == 2
    assert "--init starts from a GRU, not from an LSTM" in err and "Add --network gru" in err


def test_a_backtest_of_another_network_has_its_column_and_the_lstms_states_beside(lstmcast):
    words = ("backtest", "sales.csv", *QUICK, "--network", "rnn", "--windows", "2", "--json")
    code, out, _ = lstmcast(*words)
    made = document(out)
    assert code == 0
    names = [row["model"] for row in made["scores"]["models"]]
    assert names == ["RNN", "LSTM-pretrained", "SeasonalNaive", "Naive2"]
    assert made["verdict"].startswith(("RNN", "SeasonalNaive", "Naive2"))


def test_an_mlp_starts_only_from_one_that_reads_as_many_steps(lstmcast):
    first = ("train", "sales.csv", *QUICK, "--network", "mlp", "--context", "20", "--out", "run")
    assert lstmcast(*first)[0] == 0
    again = ("train", "sales.csv", *QUICK, "--network", "mlp", "--init", "run")
    assert lstmcast(*again, "--out", "again")[0] == 0
    manifest = json.loads(Path("again/model/manifest.json").read_text())
    assert manifest["network"]["context"] == 20
    code, _, err = lstmcast(*again, "--context", "24", "--out", "other")
    assert code == 2 and "Leave out --init or --context" in err


def test_the_page_of_a_gru_without_held_out_windows_can_be_made_again(lstmcast):
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{10 + n}" for n in range(9)]
    Path("short.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    words = ("train", "short.csv", *QUICK, "--network", "gru", "--out", "run")
    assert lstmcast(*words)[0] == 0
    assert not Path("run/metrics.json").exists()
    code, _, err = lstmcast("report", "run", "--root", ".", "--output", "again.html")
    assert code == 0, err
    assert "GRU" in Path("again.html").read_text(encoding="utf-8")
