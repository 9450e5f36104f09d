"""Runs are listed as their folders tell of them, and handed over to MLflow once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from forecast.cli.app import run
from forecast.common.documents import sealed
from forecast.common.errors import OutputError, UsageError
from forecast.models.store import save_model
from forecast.reporting.tracking import history_of, in_order, runs_below
from tests.builders import make_panel, random_forecaster


def score(model: str, mase: float) -> dict:
    return {"model": model, "mase": mase, "smape": 9.0, "wql": 0.05, "series": 3, "seconds": 2.0}


def a_training(root: Path, name: str, mase: float | None, created: str, network: str = "lstm"):
    title = "LSTM" if network == "lstm" else "GRU"
    about = {
        "created": created,
        "data": {"source": "sales.csv", "digest": "d1g3st"},
        "settings": {"training": {"seed": 7}, "forecast": {"horizon": 12}},
        "training": {"seeds": [7000], "recipe": {"steps": 30, "hidden_size": 8}},
        "scores": [] if mase is None else [score(title, mase), score("AutoARIMA", 1.25)],
    }
    forecaster = random_forecaster(network=network)
    save_model(root / name / "model", forecaster, make_panel().frequency, about)
    (root / name / "metrics.json").write_text(json.dumps({"seconds": 61.5}))
    (root / name / "history.csv").write_text(
        "member,phase,step,train_loss,validation_loss,best,learning_rate\n"
        "1,fit,10,0.9,0.8,0.8,0.001\n1,fit,20,0.7,0.6,0.6,0.001\n1,refit,5,0.5,,,0.001\n"
    )


def a_tuning(root: Path, name: str, created: str):
    document = {
        "created": created, "seed": 3, "trials": 9, "seconds": 5.0, "settings": {},
        "versions": {"optuna": "4"}, "data": {"source": "sales.csv", "digest": "d"},
        "best": {"trial": 4, "network": "gru", "layers": 1, "hidden": 24, "loss": 0.5},
        "scores": [score("tuned", 0.8), score("defaults", 0.9)],
    }  # fmt: skip
    (root / name).mkdir(parents=True)
    (root / name / "tuning.json").write_text(json.dumps(document))


def a_backtest(root: Path, name: str, created: str):
    about = {
        "schema_version": 2, "format": "lstmcast-backtest", "created": created,
        "data": {"source": "sales.csv", "digest": "d"}, "settings": {"network": {"name": "gru"}},
    }  # fmt: skip
    line = {"pairs": 9, "best": 1.0, "unavailable": 0, "fallen_back": 0, "notes": []}
    metrics = {
        "season": 12, "horizon": 6, "windows": 3, "step_size": 6, "series": 3, "seconds": 8.0,
        "without_actuals": 0, "undefined_scale": 0, "short_for_season": 0, "zero_actuals": 0,
        "models": [{**score("GRU", 0.75), **line}, {**score("AutoARIMA", 0.95), **line}],
        "steps": [],
    }  # fmt: skip
    (root / name).mkdir(parents=True)
    (root / name / "manifest.json").write_text(json.dumps(sealed(about)))
    (root / name / "metrics.json").write_text(json.dumps(metrics))


def a_comparison(root: Path, name: str, created: str, **more):
    document = {
        **more,
        "schema_version": 1, "format": "lstmcast-compare", "created": created, "seconds": 5.0,
        "data": {"source": "sales.csv", "digest": "d"}, "settings": {"training": {"seed": 4}},
        "models": [
            score("LSTM", 0.8) | {"rmsse": 0.5}, score("GRU", 0.7) | {"rmsse": 0.6},
            score("AutoARIMA", 0.6) | {"rmsse": 0.4},
        ],
    }  # fmt: skip
    (root / name).mkdir(parents=True)
    (root / name / "compare.json").write_text(json.dumps(document))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    a_training(root, "second", 0.7, "2026-01-02T00:00:00+00:00")
    a_training(root, "first", 0.9, "2026-01-01T00:00:00+00:00", "gru")
    a_training(root, "unscored", None, "2026-01-03T00:00:00+00:00")
    a_tuning(root, "tuned", "2026-01-04T00:00:00+00:00")
    (root / "no-run").mkdir()
    shutil.copytree(root / "first", root / ".writing-x")
    return root


def test_a_run_is_told_of_by_its_own_folder(root):
    runs = {each.name: each for each in runs_below(root)[0]}
    assert sorted(runs) == ["first", "second", "tuned", "unscored"]
    first = runs["first"]
    assert (first.kind, first.network, first.model) == ("train", "gru", "GRU")
    assert (first.seed, first.digest, first.data) == (7, "d1g3st", "sales.csv")
    assert (first.scores["mase"], first.arima, first.seconds) == (0.9, 1.25, 61.5)
    assert first.shape == "2 x 8, 1 member"
    assert runs["unscored"].scores == {}
    tuned = runs["tuned"]
    assert (tuned.kind, tuned.scores["mase"], tuned.seed) == ("tune", 0.8, 3)
    assert tuned.shape == "1 x 24, 9 trials"


def test_a_student_is_told_from_what_was_trained(root):
    path = root / "second" / "model" / "manifest.json"
    manifest = {**json.loads(path.read_text()), "distilled": {"share": 0.5}}
    path.write_text(json.dumps(sealed(manifest)))
    kinds = {each.name: each.kind for each in runs_below(root)[0]}
    assert (kinds["first"], kinds["second"]) == ("train", "distill")


def test_backtests_and_comparisons_are_runs_too(root):
    a_backtest(root, "tested", "2026-01-05T00:00:00+00:00")
    a_comparison(root, "compared", "2026-01-06T00:00:00+00:00")
    found, damaged = runs_below(root)
    runs = {each.name: each for each in found}
    assert damaged == []
    tested, compared = runs["tested"], runs["compared"]
    assert (tested.kind, tested.network, tested.shape) == ("backtest", "gru", "3 origins")
    assert (tested.scores["mase"], tested.arima, tested.horizon) == (0.75, 0.95, 6)
    assert (compared.kind, compared.network, compared.seed) == ("compare", "gru", 4)
    assert (compared.scores["mase"], compared.arima) == (0.7, 0.6)
    a_comparison(root, "of-means", "2026-01-04T00:00:00+00:00", judged="rmsse")
    assert next(r for r in runs_below(root)[0] if r.name == "of-means").network == "lstm"
    assert [each.name for each in in_order(found, "created")][:2] == ["compared", "tested"]
    (root / "tested" / "metrics.json").write_text("{}")
    assert [folder.name for folder, _ in runs_below(root)[1]] == ["tested"]


def test_runs_are_sorted_and_those_without_a_figure_come_last(root):
    runs, _ = runs_below(root)
    names = [each.name for each in in_order(runs, "mase")]
    assert names == ["second", "tuned", "first", "unscored"]
    newest = [each.name for each in in_order(runs, "created")]
    assert newest == ["tuned", "unscored", "second", "first"]


def test_the_curves_of_a_training_are_read(root):
    first = next(each for each in runs_below(root)[0] if each.name == "first")
    assert list(history_of(first)) == [
        ("train_loss.member-1", 10, 0.9),
        ("validation_loss.member-1", 10, 0.8),
        ("train_loss.member-1", 20, 0.7),
        ("validation_loss.member-1", 20, 0.6),
        ("train_loss.member-1.refit", 5, 0.5),
    ]


def test_the_command_lists_runs(root, capsys):
    assert run(["runs", "--sort", "mase"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "sales.csv" in line]
    assert [row.split()[0] for row in rows] == ["second", "tuned", "first", "unscored"]
    assert "gru 2 x 8, 1 member" in rows[2]
    assert run(["runs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["runs"][0]["name"] == "tuned"
    assert document["runs"][3]["settings"]["training"] == {"seed": 7}
    assert document["runs"][3]["arima_mase"] == 1.25
    assert run(["runs", "--root", "nowhere"]) == 0
    assert "There is no finished run below nowhere." in capsys.readouterr().out


def test_a_damaged_run_is_named_and_left_out(root, capsys):
    (root / "first" / "model" / "manifest.json").write_text("{")
    (root / "tuned" / "tuning.json").write_text("[]")
    assert run(["runs"]) == 3
    shown = capsys.readouterr()
    assert "first is left out" in shown.err
    assert "tuned is left out" in shown.err
    assert "second" in shown.out


def test_an_order_that_there_is_not_is_refused(root):
    with pytest.raises(UsageError) as caught:
        run(["runs", "--sort", "luck"])
    assert caught.value.code == "usage/no-such-order"
    assert "One of: created, name, mase" in str(caught.value)


def test_runs_are_handed_over_to_mlflow_once(root, capsys):
    mlflow = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{root.resolve()}/store.db"
    assert run(["runs", "--mlflow", uri]) == 0
    assert "4 handed over to MLflow, 0 were there already." in capsys.readouterr().out
    a_training(root, "third", 0.6, "2026-01-05T00:00:00+00:00")
    assert run(["runs", "--mlflow", uri, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mlflow"] == {"written": 1, "known": 4}
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("lstmcast").experiment_id])
    by_name = {each.info.run_name: each for each in found}
    assert sorted(by_name) == ["first", "second", "third", "tuned", "unscored"]
    first = by_name["first"]
    assert first.data.metrics["mase"] == 0.9
    assert first.data.metrics["arima_mase"] == 1.25
    assert first.data.params["settings.forecast.horizon"] == "12"
    assert first.data.params["chosen.steps"] == "30"
    assert first.data.tags["lstmcast.digest"] == "d1g3st"
    curve = client.get_metric_history(first.info.run_id, "validation_loss.member-1")
    assert sorted((point.step, point.value) for point in curve) == [(10, 0.8), (20, 0.6)]
    assert by_name["tuned"].data.params["chosen.hidden"] == "24"


def test_a_store_that_there_is_not_is_an_output_error(root):
    pytest.importorskip("mlflow.tracking")
    with pytest.raises(OutputError) as caught:
        run(["runs", "--mlflow", "ftp://nowhere"])
    assert caught.value.code == "output/mlflow"
