from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import load, predict, train
from forecast.common.errors import InputError, ModelNotFoundError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.training import learn as learning
from tests import ROOT
from tests.builders import make_panel
from tests.teaching import taught_here

QUICK = dict(max_steps=20, hidden=8, members=1, baselines="seasonal-naive")


def table(lengths=(72, 60), seed=0, start="2015-01"):
    panel = make_panel(lengths, seed=seed)
    months = pd.period_range(start, periods=max(lengths), freq="M").to_timestamp()
    return pd.DataFrame(
        {
            "unique_id": np.repeat(panel.ids.astype(str), panel.lengths),
            "ds": np.concatenate([months[:n] for n in panel.lengths]),
            "y": panel.values.round(3),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    table().to_csv(folder / "data.csv", index=False)
    return folder, train(folder / "data.csv", out=str(folder / "run"), level="80,95", **QUICK)


@pytest.fixture
def taught(monkeypatch):
    """No worker processes: what a test asks of a training lies before it or after it."""
    monkeypatch.setattr(learning, "train_members", taught_here)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_every_file_that_the_interface_names(trained):
    folder, run = trained
    assert {p.name for p in run.folder.iterdir()} >= {
        "model",
        "predictions.csv",
        "metrics.json",
        "metrics.csv",
        "backtest.csv",
        "history.csv",
        "forecast.png",
    }
    assert all(Path(path).exists() for path, _ in run.result.files)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_predictions_have_the_columns_and_the_time_form_of_the_interface(trained):
    _, run = trained
    made = rows(run.folder / "predictions.csv")
    assert list(made[0])[:7] == [
        "unique_id",
        "ds",
        "LSTM",
        "LSTM-lo-80",
        "LSTM-hi-80",
        "LSTM-lo-95",
        "LSTM-hi-95",
    ]
    assert [made[0]["ds"], made[11]["ds"]] == ["2021-01-01", "2021-12-01"]
    assert len(made) == 2 * run.result.scores.horizon
    bounds = [
        [float(r[f"LSTM{e}"]) for e in ("-lo-95", "-lo-80", "", "-hi-80", "-hi-95")] for r in made
    ]
    assert (np.diff(bounds) >= 0).all() and np.min(bounds) >= 0


def test_held_out_forecasts_stand_beside_the_actuals(trained):
    folder, run = trained
    data = {(r["unique_id"], r["ds"]): float(r["y"]) for r in rows(folder / "data.csv")}
    held = rows(run.folder / "backtest.csv")
    assert held
    for row in held:
        assert data[row["unique_id"], row["ds"]] == float(row["y"])
        assert row["cutoff"] < row["ds"]


def test_the_scores_are_those_of_the_held_out_table(trained):
    _, run = trained
    held = pd.read_csv(run.folder / "backtest.csv")
    document = json.loads((run.folder / "metrics.json").read_text())
    lstm = next(m for m in document["models"] if m["model"] == "LSTM")
    mae = (held.y - held.LSTM).abs().groupby(held.unique_id).mean().mean()
    assert lstm["mae"] == pytest.approx(mae, rel=1e-6)
    assert document["verdict"] == run.verdict


def test_predict_repeats_what_train_forecast(trained):
    folder, run = trained
    again = load(run.folder).predict(folder / "data.csv", level="80,95")
    names = [c for c in again.columns if c.startswith("LSTM")]
    np.testing.assert_allclose(again[names], run.predictions[names])
    from_frame = predict(pd.read_csv(folder / "data.csv"), model=run.folder)
    np.testing.assert_allclose(from_frame["LSTM"], again["LSTM"])


def test_new_rows_move_the_origin_and_a_new_series_is_forecast_too(trained):
    _, run = trained
    longer = pd.concat([table((75, 60)), table((30,), seed=9).assign(unique_id="new")])
    made = run.predict(longer)
    assert sorted(made.unique_id.unique()) == ["new", "series-0", "series-1"]
    first = made[made.unique_id == "series-0"].ds.min()
    assert first == pd.Timestamp("2021-04-01")
    assert np.isfinite(made["LSTM"]).all()


def test_values_after_the_held_out_origin_change_no_scored_forecast(tmp_path, taught):
    frame = table((72,))
    changed = frame.copy()
    changed.loc[changed.index[-24:], "y"] *= 7
    runs = [
        train(data, out=str(tmp_path / name), windows=1, horizon=24, **QUICK)
        for name, data in (("one", frame), ("two", changed))
    ]
    one, two = (pd.read_csv(run.folder / "backtest.csv") for run in runs)
    assert (one.y != two.y).all()
    names = [c for c in one.columns if c.startswith(("LSTM", "SeasonalNaive"))]
    assert one[names].equals(two[names])


def test_the_same_seed_and_data_give_the_same_bytes_on_one_core_and_on_two(tmp_path):
    options = {**QUICK, "members": 2}
    made = [
        train(table((60,)), out=str(tmp_path / name), jobs=jobs, **options).folder
        for name, jobs in (("a", 1), ("b", 2))
    ]
    for name in ("predictions.csv", "backtest.csv", "history.csv", "model/weights.safetensors"):
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes(), name


def test_other_levels_and_quantiles_are_columns(trained):
    _, run = trained
    made = run.predict(level="90", quantiles="0.25", horizon=30)
    assert [c for c in made.columns if c.startswith("LSTM")] == [
        "LSTM",
        "LSTM-lo-90",
        "LSTM-hi-90",
        "LSTM-q0.25",
    ]
    assert len(made) == 60


def test_very_short_data_are_forecast_without_a_score(tmp_path, taught):
    run = train(table((6,)), horizon=4, out=str(tmp_path / "run"), **QUICK)
    assert run.scores is None and run.verdict == ""
    assert np.isfinite(run.predictions["LSTM"]).all()


def test_data_of_another_frequency_are_refused(trained):
    _, run = trained
    daily = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=40), "y": range(40)})
    with pytest.raises(InputError, match="another frequency"):
        run.predict(daily)


def test_a_wrong_option_names_the_nearest_one():
    with pytest.raises(UsageError, match="horizon"):
        train(table(), horizont=3)


def test_without_a_model_predict_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"forecast\.train\(data\)"):
        predict(table(), root=str(tmp_path))


@pytest.mark.parametrize("other", [{"from_scratch": True}, {"hidden": 16}, {"layers": 3}])
def test_a_start_and_a_contradiction_to_it_are_refused(trained, other):
    _, run = trained
    with pytest.raises(UsageError, match="init starts from a network of 2 x 8 units"):
        train(table((60,)), init=str(run.folder), baselines="none", **other)


def test_training_data_that_are_gone_are_an_error(trained):
    folder, run = trained
    (folder / "data.csv").rename(folder / "elsewhere.csv")
    try:
        with pytest.raises(InputError, match="cannot be read again"):
            run.predict()
    finally:
        (folder / "elsewhere.csv").rename(folder / "data.csv")


def command(*words, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "forecast", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


SLOW = (
    "--max-steps",
    "100000",
    "--set",
    "training.patience=100000",
    "--hidden",
    "8",
    "--members",
    "2",
    "--baselines",
    "none",
)


def wait_for_training(process):
    """Reads progress until a worker has reported."""
    for line in process.stderr:
        if "loss" in line:
            return
    raise AssertionError(f"no progress: {process.stderr.read()}")


@pytest.mark.parametrize("moment", ["start", "training"])
def test_a_kill_leaves_no_half_written_model_and_the_last_one_predicts(trained, tmp_path, moment):
    folder, before = trained
    data = folder / "data.csv"
    shutil.copytree(before.folder, tmp_path / "runs" / "first")
    process = command("train", str(data), *SLOW, "--root", str(tmp_path / "runs"), cwd=tmp_path)
    if moment == "training":
        wait_for_training(process)
    workers = workers_of(process.pid)
    assert workers or moment == "start"
    process.kill()
    process.communicate()
    assert [p.name for p in (tmp_path / "runs").iterdir() if not p.name.startswith(".")] == [
        "first"
    ]
    made = predict(root=str(tmp_path / "runs"))
    assert made["LSTM"].tolist() == before.predict()["LSTM"].tolist()
    assert_gone(workers)


def workers_of(parent: int) -> set[str]:
    """Process ids of the training workers that `parent` started."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {r[0] for r in rows if r[1] == str(parent) and "forecast.training.ensemble" in r[2]}


def assert_gone(workers: set[str]):
    """Workers notice that their parent is gone within a few steps."""
    left = workers
    for _attempt in range(100):
        listed = subprocess.run(["ps", "-eo", "pid,stat"], capture_output=True, text=True).stdout
        alive = {r[0] for line in listed.splitlines() if not (r := line.split())[1].startswith("Z")}
        left = workers & alive
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(left)


def test_ctrl_c_keeps_the_best_weights_and_says_so(tmp_path):
    data = tmp_path / "data.csv"
    table((60,)).to_csv(data, index=False)
    process = command("train", str(data), *SLOW, "--out", str(tmp_path / "run"), cwd=tmp_path)
    wait_for_training(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert np.isfinite(load(tmp_path / "run").predict(tmp_path / "data.csv")["LSTM"]).all()
    manifest = json.loads((tmp_path / "run" / "model" / "manifest.json").read_text())
    assert manifest["training"]["interrupted"] is True


SMALL = ("--max-steps", "2", "--members", "1", "--set", "training.try_scratch=false",
         "--baselines", "none", "--windows", "1", "--horizon", "3")  # fmt: skip


def shop(path, ahead=0):
    """A shop's ninety days with columns of yes and no, and `ahead` more of which all but the sales
    is known."""
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(90 + ahead))
    rows = [
        f"{day},{50 + t % 7 + 20 * (t % 5 == 0) if t < 90 else ''},{'ja' if t % 5 == 0 else 'nein'}"
        f",{int(t % 5 == 0)},{t},{int(t % 7 > 4)}"
        for t, day in enumerate(days)
    ]
    path.write_text("\n".join(["Datum,Umsatz,Aktion,promo,Nr,weekend", *rows]) + "\n")


def advice(words):
    """The one line on columns that are not used, if there is one."""
    lines = [line for line in words.splitlines() if "not used:" in line]
    assert len(lines) < 2
    return lines[0] if lines else ""


def test_columns_of_yes_and_no_that_are_not_used_are_named_and_the_advice_works(
    lstmcast, tmp_path, monkeypatch, taught
):
    monkeypatch.chdir(tmp_path)
    shop(tmp_path / "shop.csv")
    code, out, err = lstmcast("train", "shop.csv", "--out", "a", *SMALL)
    said = advice(out + err)
    assert code == 0 and "not used: Aktion, promo. " in said, err
    assert "--future-cov Aktion,promo" in said and "--past-cov Aktion,promo" in said
    # as a column that is not known ahead
    asked = ("--past-cov", "Aktion,promo", *SMALL)
    code, out, err = lstmcast("train", "shop.csv", "--out", "b", *asked)
    assert code == 0 and not advice(out + err), err
    # as one that is, here and for predict: as rows after the last value, and in a file
    shop(tmp_path / "ahead.csv", ahead=3)
    asked = ("--future-cov", "Aktion,promo", *SMALL)
    assert lstmcast("train", "ahead.csv", "--out", "c", *asked)[0] == 0
    assert lstmcast("predict", "ahead.csv", "--model", "c", "-o", "c.csv")[0] == 0
    (tmp_path / "file.csv").write_text((tmp_path / "ahead.csv").read_text())
    given = ("--future-covariates", "file.csv")
    assert lstmcast("train", "shop.csv", "--out", "d", *asked, *given)[0] == 0
    assert lstmcast("predict", "shop.csv", "--model", "d", *given, "-o", "d.csv")[0] == 0


@pytest.mark.parametrize(
    ("columns", "cells"),
    [("y,shop_id", "{y},{flag}"), ("y,total", "{y},{flag}"), ("y,price", "{y},2.5")],
)
def test_ids_totals_and_numbers_are_not_proposed(columns, cells, tmp_path):
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(40))
    rows = [f"{d},{cells.format(y=5 + t % 7, flag=t % 2)}" for t, d in enumerate(days)]
    (tmp_path / "a.csv").write_text("\n".join([f"ds,{columns}", *rows]) + "\n")
    assert load_panel(tmp_path / "a.csv", DataSettings(no_id=True))[1].flags == ()
