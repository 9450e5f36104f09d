"""`predict` takes the model of these data, asks where there is none, and replaces nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import ModelNotFoundError
from forecast.models.trained_data import is_of, remember
from tests.builders import make_panel
from tests.teaching import taught_here

SMALL = """
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 2, refit: false, jobs: 1, device: cpu}
baselines: {names: [seasonal-naive]}
evaluation: {windows: 1}
forecast: {horizon: 6}
"""


@pytest.fixture
def lstmcast(lstmcast, sales, monkeypatch):
    monkeypatch.setattr("forecast.training.learn.train_members", taught_here)
    Path("small.yaml").write_text(SMALL)
    rows = Path("sales.csv").read_text().splitlines()[1:]
    months = [row.split(",")[0] for row in rows]
    spots = [f"{month},{7 + (n * 37) % 11}" for n, month in enumerate(months)]
    Path("spots.csv").write_text("month,spots\n" + "\n".join(spots) + "\n")
    other = [f"{month},{900 - n + (n * 31) % 17}" for n, month in enumerate(months)]
    Path("other.csv").write_text("month,sales\n" + "\n".join(other) + "\n")
    return lstmcast


def trained(lstmcast, data: str, name: str, second: int) -> Path:
    code, _, err = lstmcast("train", data, "--config", "small.yaml", "--out", f"runs/{name}", "-q")
    assert code == 0, err
    manifest = Path(f"runs/{name}/model/manifest.json")
    os.utime(manifest, (second, second))  # the order of training, whatever the clock's grain
    return Path(f"runs/{name}")


def contents(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_newest_model_of_these_data_is_taken_not_the_newest_of_all(lstmcast):
    first = trained(lstmcast, "sales.csv", "sales", 1)
    trained(lstmcast, "spots.csv", "spots", 2)
    code, out, err = lstmcast("predict", "sales.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["model"] == str(first / "model")
    grown = Path("sales.csv").read_text() + "2006-01,180\n"
    Path("later.csv").write_text(grown)  # the same data under another name, a month on
    document = json.loads(lstmcast("predict", "later.csv", "--json")[1])
    assert document["model"] == str(first / "model")
    assert document["span"][0] == "2006-02"


def test_data_that_no_model_knows_are_refused_and_the_models_named(lstmcast):
    trained(lstmcast, "sales.csv", "sales", 1)
    for data in ("spots.csv", "other.csv"):  # other columns; the same ones with another past
        code, out, err = lstmcast("predict", data)
        assert (code, out) == (10, "")
        assert "model/none-of-these-data" in err
        assert "runs/sales (of sales.csv)" in err
        assert "--model" in err
    code, _, err = lstmcast("predict", "other.csv", "--model", "runs/sales", "-q")
    assert code == 0, err  # whoever names it means it


def test_a_student_is_never_taken_unless_it_is_named(lstmcast):
    teacher = trained(lstmcast, "sales.csv", "sales", 1)
    code, _, err = lstmcast("distill", str(teacher), "--hidden", "4", "--max-steps", "2",
                            "--out", "runs/student", "-q")  # fmt: skip
    assert code == 0, err
    os.utime("runs/student/model/manifest.json", (5, 5))
    for words in (("predict",), ("predict", "sales.csv")):
        document = json.loads(lstmcast(*words, "--json")[1])
        assert document["model"] == str(teacher / "model")
    named = json.loads(lstmcast("predict", "--model", "runs/student", "--json")[1])
    assert named["model"] == "runs/student/model"


def test_what_train_wrote_stays_and_every_forecast_has_a_file_of_its_own(lstmcast):
    run = trained(lstmcast, "sales.csv", "sales", 1)
    before = contents(run)
    paths = [json.loads(lstmcast("predict", "--horizon", str(h), "--json")[1])["path"]
             for h in (3, 4, 3)]  # fmt: skip
    after = contents(run)
    mark = f"{run}/.lstmcast.json"  # lists the files of the run
    assert {n: after[n] for n in before if n != mark} == {
        n: content for n, content in before.items() if n != mark
    }
    assert len(set(paths)) == 3
    assert set(after) - set(before) == set(paths)
    assert [len(Path(path).read_text().splitlines()) for path in paths] == [4, 5, 4]
    assert "SeasonalNaive" in (run / "predictions.csv").read_text()
    chart = json.loads(lstmcast("plot", str(run), "--json")[1])
    assert len(chart["medians"]["LSTM"]) == 3  # of the newest forecast


def test_a_missing_file_is_said_to_be_missing_not_to_be_of_no_model(lstmcast):
    trained(lstmcast, "sales.csv", "sales", 1)
    code, _, err = lstmcast("predict", "nowhere.csv")
    assert code == 4
    assert "input/not-found" in err


def test_without_any_model_one_is_asked_for(lstmcast):
    code, _, err = lstmcast("predict", "sales.csv")
    assert code == 10
    assert "model/none" in err


COLUMNS = {"time": ["ds"], "target": ["y"], "id": ["unique_id"]}


def manifest_of(panel, columns=COLUMNS, path="/data/a.csv"):
    from dataclasses import asdict

    return {
        "frequency": asdict(panel.frequency),
        "data": {"columns": columns, "past": remember(panel), "path": path},
    }


def test_data_are_the_same_when_they_grew_lost_a_beginning_or_a_series():
    panel = make_panel((60, 60, 60, 60))
    manifest = manifest_of(panel.truncate(panel.lengths - 7))
    assert is_of(manifest, panel, COLUMNS, None)
    assert is_of(manifest, panel.select(np.array([0, 1, 3])), COLUMNS, None)
    assert not is_of(manifest, panel.select(np.array([3])), COLUMNS, None)
    assert not is_of(manifest, panel, {**COLUMNS, "target": ["z"]}, None)
    assert not is_of(manifest, make_panel((60, 60, 60, 60), alias="D"), COLUMNS, "/data/a.csv")


def test_one_unnamed_series_is_told_by_its_past_or_its_file():
    columns = {**COLUMNS, "id": []}
    panel, other = make_panel((60,), seed=1), make_panel((60,), seed=2)
    manifest = manifest_of(panel, columns)
    assert is_of(manifest, panel, columns, "/elsewhere/b.csv")
    assert not is_of(manifest, other, columns, "/elsewhere/b.csv")
    assert is_of(manifest, other, columns, "/data/a.csv")  # the file was restated


def test_a_horizon_beyond_the_history_is_refused(lstmcast):
    for command in ("train", "forecast"):
        code, out, err = lstmcast(command, "sales.csv", "--horizon", "1000")
        assert (code, out) == (2, "")
        assert "usage/horizon-too-long" in err
        assert "at most 24" in err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "library"),
    [
        (("explain", "runs/none"), "captum"),
        (("tune", "sales.csv"), "optuna"),
        (("export", "runs/none", "--onnx"), "onnx"),
        (("forecast", ".", "--engine", "ray", "--output", "parts"), "ray"),
    ],
)
def test_a_missing_library_is_noticed_before_anything_is_done(
    lstmcast, monkeypatch, words, library
):
    from forecast.common import resources

    found = resources.find_spec
    monkeypatch.setattr(
        resources, "find_spec", lambda name: None if name == library else found(name)
    )
    code, out, err = lstmcast(*words)
    assert (code, out) == (2, "")
    assert "usage/extra-missing" in err
    assert "pip install 'lstmcast[" in err
    assert not Path("parts").exists()


@pytest.mark.parametrize(
    ("prefix", "line", "again"),
    [
        (
            "/home/me/.local/share/uv/tools/lstmcast",
            "uv tool install 'lstmcast[tune]'",
            "uv tool install 'lstmcast[tune]' --force",
        ),
        (
            "/home/me/.local/share/pipx/venvs/lstmcast",
            "pipx install 'lstmcast[tune]' --force",
            "pipx install 'lstmcast[tune]' --force",
        ),
        (
            "/home/me/venv",
            "pip install 'lstmcast[tune]'",
            "pip install --force-reinstall --no-deps 'optuna>=4.4'",  # and not torch with it
        ),
    ],
)
def test_the_line_that_installs_an_extra_is_right_for_the_tool(monkeypatch, prefix, line, again):
    """again: where a part of the library is there, which would be kept as it is."""
    from forecast.common import resources

    monkeypatch.setattr("sys.prefix", prefix)
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["torch>=2", "optuna>=4.4; extra"])
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"optuna": ["Optuna"]})
    for there, wanted in ((None, line), ("a spec", again)):
        monkeypatch.setattr(resources, "find_spec", lambda name, there=there: there)
        assert resources._missing("optuna", "tune", "tune").remedy == wanted


def test_no_model_at_all_names_none(tmp_path):
    from forecast.models.trained_data import newest_trained

    with pytest.raises(ModelNotFoundError, match="no trained model"):
        newest_trained(tmp_path)


def shapes(folder: Path, months: int = 0) -> dict[str, tuple[Path, list[str]]]:
    """One panel of two shops, less its last `months`, written in every shape, and its flags."""
    times = pd.date_range("2015-01-01", periods=72, freq="MS").strftime("%Y-%m-%d")
    step = np.arange(72)
    wide = pd.DataFrame({"month": times, "east": 90 + 9 * np.sin(step / 2) + step % 5,
                         "west": 40 + 5 * np.cos(step / 2) + step % 7}).round(2)  # fmt: skip
    wide = wide.iloc[: 72 - months]
    long = wide.melt("month", var_name="shop", value_name="units")
    across = wide.set_index("month").T.rename_axis("shop").reset_index()
    folder.mkdir()
    wide.to_csv(folder / "wide.csv", index=False)
    wide.assign(rain=1.5).to_csv(folder / "more.csv", index=False)
    long.to_csv(folder / "long.csv", index=False)
    across.to_csv(folder / "across.csv", index=False)
    long.to_excel(folder / "long.xlsx", index=False)
    long.to_parquet(folder / "long.parquet", index=False)
    (folder / "each").mkdir()
    for shop, part in long.groupby("shop"):
        part.drop(columns="shop").to_csv(folder / "each" / f"{shop}.csv", index=False)
    return {
        "long": (folder / "long.csv", []),
        "wide": (folder / "wide.csv", ["--wide"]),
        "targets": (folder / "more.csv", ["--target-col", "east,west"]),
        "across": (folder / "across.csv", ["--transpose"]),
        "excel": (folder / "long.xlsx", []),
        "parquet": (folder / "long.parquet", []),
        "folder": (folder / "each", []),
    }


@pytest.mark.parametrize("shape", ["wide", "targets", "across", "excel", "parquet", "folder"])
def test_what_train_reads_in_any_shape_predict_reads_too_and_forecasts_alike(
    shape, lstmcast, tmp_path
):
    old, new = shapes(tmp_path / "old", months=3), shapes(tmp_path / "new")
    found = {}
    for name in ("long", shape):
        path, flags = old[name]
        code, _, err = lstmcast(
            "train", str(path), *flags, "--config", "small.yaml", "--out", f"runs/{name}", "-q"
        )
        assert code == 0, err
        for table in (path, new[name][0]):  # as trained on, and grown
            code, out, err = lstmcast("predict", str(table), "--model", f"runs/{name}", "-o", "-")
            assert code == 0, err
            found.setdefault(name, []).append(sorted(out.splitlines()))
        code, out, _ = lstmcast("predict", str(path), "--root", "runs", "--json")
        assert code == 0 and json.loads(out)["series"] == 2  # its model is found by the data
    assert found[shape] == found["long"]


def test_times_that_named_ends_in_training_name_them_in_a_file_that_ends_at_noon(
    lstmcast, tmp_path
):
    quarters = pd.date_range("2024-01-01 00:15", "2024-03-01 12:00", freq="15min")
    begins = quarters - pd.Timedelta(minutes=15)
    table = pd.DataFrame({"ds": quarters, "y": 10.0 + begins.dayofweek})
    table[quarters <= "2024-03-01"].to_csv(tmp_path / "whole.csv", index=False)
    table.to_csv(tmp_path / "noon.csv", index=False)
    flags = ["--resample", "D", "--agg", "sum", "--config", "small.yaml"]
    code, _, err = lstmcast("train", str(tmp_path / "whole.csv"), *flags, "--out", "runs/a", "-q")
    assert code == 0, err
    made = []
    for name in ("whole.csv", "noon.csv"):  # the begun day is left out
        code, out, err = lstmcast("predict", str(tmp_path / name), "--model", "runs/a", "-o", "-")
        assert code == 0, err
        made.append(out)
    assert made[0] == made[1]
