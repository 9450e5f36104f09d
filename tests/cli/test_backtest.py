"""`lstmcast backtest` and `lstmcast report` as they are typed: screens, documents, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forecast.training import learn as learning
from tests.teaching import taught_here

SMALL = """
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 12, jobs: 1, device: cpu}
evaluation: {windows: 2}
"""
QUICK = ("--config", "small.yaml", "--horizon", "6", "--baselines", "seasonal-naive")


@pytest.fixture
def lstmcast(lstmcast, sales, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    Path("small.yaml").write_text(SMALL)
    return lstmcast


def test_a_backtest_prints_choices_scores_verdict_and_files(lstmcast):
    code, out, err = lstmcast("backtest", "sales.csv", *QUICK)
    assert code == 0, err
    assert "Training the LSTM" in err
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert ["held-out", "windows", "2", "as", "asked"] in lines
    names = {line[0] for line in lines}
    assert names >= {"LSTM", "LSTM-pretrained", "SeasonalNaive", "Naive2"}
    assert "MASE scale: seasonal naive, 12 steps back" in " ".join(out.split())
    assert "it cannot be told whether the lead" in " ".join(out.split())
    assert "runs/sales-backtest-" in out.replace("\n", "")
    folder = next(Path("runs").glob("sales-backtest-*"))
    assert f"lstmcast report {folder} --series ID" in out


def test_a_backtest_as_json_is_one_document_with_every_comparison(lstmcast):
    code, out, _ = lstmcast("backtest", "sales.csv", *QUICK, "--gap", "2", "--json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert document["command"] == "backtest"
    assert [pair["second"] for pair in document["comparisons"]] == [
        "LSTM-pretrained", "SeasonalNaive", "Naive2",
    ]  # fmt: skip
    assert {"name": "gap", "value": 2} in [
        {k: v for k, v in each.items() if k != "why"} for each in document["chosen"]
    ]
    assert all(Path(file["path"]).exists() for file in document["files"])


def test_a_quiet_backtest_prints_nothing_and_its_page_can_be_made_again(lstmcast):
    assert lstmcast("backtest", "sales.csv", *QUICK, "--quiet", "--out", "here") == (0, "", "")
    Path("here/report.html").unlink()
    code, out, _ = lstmcast("report", "here", "--root", ".", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["path"] == "here/report.html"
    assert document["series"] == ["sales"]
    assert document["verdict"].startswith("LSTM")
    page = Path("here/report.html").read_text(encoding="utf-8")
    code, out, _ = lstmcast("report", "--root", ".", "--quiet", "--output", "-")
    assert code == 0
    assert out == page
    code, out, _ = lstmcast("report", "here", "--root", ".", "--output", "other.html")
    assert Path("other.html").read_text(encoding="utf-8") == page
    assert "other.html" in out


def test_no_baseline_at_all_is_possible(lstmcast):
    words = ("--config", "small.yaml", "--horizon", "6", "--baselines", "none", "--json")
    code, out, _ = lstmcast("backtest", "sales.csv", *words)
    document = json.loads(out)
    assert code == 0
    assert [row["model"] for row in document["scores"]["models"]] == ["LSTM", "LSTM-pretrained"]
    assert "there is nothing to compare it with" in document["verdict"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("backtest",), 2, "usage/missing-data"),
        (("backtest", "sales.csv", "--baselines", "arimo"), 2, "config/bad-value"),
        (("backtest", "sales.csv", "--model", "nowhere"), 10, "model/not-found"),
        (("backtest", "sales.csv", "--horizon", "70"), 4, "input/too-short-for-backtest"),
        (("report", "nowhere"), 10, "report/no-run"),
        (("report",), 10, "report/no-run"),
        (("report", "nowhere", "-o", "-"), 2, "usage/one-stdout"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_code(lstmcast, words, code, error):
    found, out, _ = lstmcast(*words, "--json")
    assert (found, json.loads(out)["error"]["code"]) == (code, error)


def test_gap_refit_baselines_and_variants_are_settings_like_all_others(lstmcast, monkeypatch):
    Path("mine.yaml").write_text(
        "evaluation: {gap: 3, refit: true, variants: none}\nbaselines: {names: [theta]}\n"
    )
    words = ("backtest", "sales.csv", "--config", "mine.yaml", "--show-config", "--json")
    monkeypatch.setenv("LSTMCAST_GAP", "4")
    monkeypatch.setenv("LSTMCAST_REFIT", "true")  # that of train, which is another setting
    _, out, _ = lstmcast(*words, "--variants", "scratch")
    rows = {row["name"]: row for row in json.loads(out)["settings"]}
    found = {name: (rows[name]["value"], rows[name]["source"]) for name in rows}
    assert found["evaluation.gap"] == (4, "LSTMCAST_GAP")
    assert found["evaluation.refit"] == (True, "mine.yaml, line 1")
    assert found["evaluation.variants"] == (["scratch"], "--variants")
    assert found["baselines.names"] == (["theta"], "mine.yaml, line 2")
    monkeypatch.setenv("LSTMCAST_BACKTEST_REFIT", "false")
    _, out, _ = lstmcast(*words)
    rows = {row["name"]: row for row in json.loads(out)["settings"]}
    assert rows["evaluation.refit"]["value"] is False
    code, out, _ = lstmcast("backtest", "sales.csv", "--show-config")
    assert code == 0
    assert "for train arima,seasonal-naive; for backtest ets and theta as well" in " ".join(
        out.split()
    )


def test_train_takes_no_setting_of_backtests_alone(lstmcast):
    for words in (("--gap", "2"), ("--variants", "scratch")):
        code, _, err = lstmcast("train", "sales.csv", *words)
        assert code == 2
        assert words[0] in err


def test_each_state_of_the_network_can_be_a_forecaster_of_its_own(lstmcast):
    words = ("--horizon", "6", "--windows", "2", "--config", "small.yaml", "--baselines", "none")
    states = ("--variants", "pretrained,fine-tuned,scratch", "--out", "states")
    code, out, _ = lstmcast("backtest", "sales.csv", *words, *states, "--json")
    document = json.loads(out)
    assert code == 0
    rows = {row["model"]: row for row in document["scores"]["models"]}
    assert list(rows) == ["LSTM", "LSTM-pretrained", "LSTM-fine-tuned", "LSTM-scratch"]
    assert len({row["mase"] for row in rows.values()}) >= 3
    assert rows["LSTM-scratch"]["mase"] == rows["LSTM"]["mase"]  # small.yaml starts from scratch
    assert rows["LSTM-fine-tuned"]["seconds"] > rows["LSTM-pretrained"]["seconds"]
    assert all(row["memory_mb"] is None or row["memory_mb"] > 20 for row in rows.values())
    history = Path("states/history.csv").read_text()
    assert "1 fine-tuned" in history
    assert "1 scratch" in history
    assert Path("states/report.html").exists()
    code, _, _ = lstmcast("report", "states", "--root", ".")
    assert code == 0
    _, out, _ = lstmcast("backtest", "sales.csv", *words, "--variants", "none", "--json")
    assert [row["model"] for row in json.loads(out)["scores"]["models"]] == ["LSTM"]
