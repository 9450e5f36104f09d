"""`lstmcast backtest` and `lstmcast report` as they are typed: screens, documents, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forecast import pipeline
from forecast.cli import run
from forecast.failures import guarded
from tests.test_report_rebuild import taught_here

SMALL = """
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 12, jobs: 1, device: cpu}
evaluation: {windows: 2}
"""
QUICK = ("--config", "small.yaml", "--horizon", "6", "--baselines", "seasonal-naive")


@pytest.fixture
def lstmcast(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(pipeline, "train_members", taught_here)
    Path("small.yaml").write_text(SMALL)
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n + 30 * (n % 12)}" for n in range(72)]
    Path("sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")

    def call(*words: str) -> tuple[int, str, str]:
        code = guarded(lambda: run(words), as_json="--json" in words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_backtest_prints_choices_scores_verdict_and_files(lstmcast):
    code, out, err = lstmcast("backtest", "sales.csv", *QUICK)
    assert code == 0, err
    assert "Training the LSTM" in err
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert ["held-out", "windows", "2", "as", "asked"] in lines
    names = {line[0] for line in lines}
    assert names >= {"LSTM", "LSTM-zero-shot", "SeasonalNaive", "Naive2"}
    assert "MASE scale: seasonal naive with m = 12" in " ".join(out.split())
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
        "LSTM-zero-shot", "SeasonalNaive", "Naive2",
    ]  # fmt: skip
    assert {"name": "gap", "value": 2} in [
        {k: v for k, v in each.items() if k != "why"} for each in document["chosen"]
    ]
    assert all(Path(file["path"]).exists() for file in document["files"])


def test_a_quiet_backtest_prints_nothing_and_its_page_can_be_made_again(lstmcast):
    assert lstmcast("backtest", "sales.csv", *QUICK, "--quiet", "--out", "here") == (0, "", "")
    Path("here/report.html").unlink()
    code, out, _ = lstmcast("report", "here", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["path"] == "here/report.html"
    assert document["series"] == ["sales"]
    assert document["verdict"].startswith("LSTM")
    page = Path("here/report.html").read_text(encoding="utf-8")
    code, out, _ = lstmcast("report", "--root", ".", "--quiet", "--output", "-")
    assert code == 0
    assert out == page
    code, out, _ = lstmcast("report", "here", "--output", "other.html")
    assert Path("other.html").read_text(encoding="utf-8") == page
    assert "other.html" in out


def test_no_baseline_at_all_is_possible(lstmcast):
    words = ("--config", "small.yaml", "--horizon", "6", "--baselines", "none", "--json")
    code, out, _ = lstmcast("backtest", "sales.csv", *words)
    document = json.loads(out)
    assert code == 0
    assert [row["model"] for row in document["scores"]["models"]] == ["LSTM", "LSTM-zero-shot"]
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
