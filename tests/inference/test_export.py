"""An exported file forecasts what the model does, says what it is, and int8 is judged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forecast.cli.app import run
from forecast.common.errors import ForecastError, UsageError
from forecast.common.progress import Silent
from forecast.common.resources import needed
from forecast.config.schema import Settings
from forecast.data.panel import panel_to_arrow
from forecast.inference.onnx.export import (
    forecast_with,
    largest_difference,
    layers_of,
    metadata_of,
    quantised,
    rectangle,
    session_of,
    to_onnx,
)
from forecast.inference.onnx.graph import WholeForecaster, networks_of
from forecast.inference.point import with_point
from forecast.inference.predict import forecast_panel
from forecast.inference.tables import csv_bytes
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.models.store import save_model
from forecast.transforms.augment import IN_THREE_WAYS
from forecast.transforms.windows import segment_layout, step_layout
from forecast.workflows.export import INT8, beyond_the_file, export_run
from tests import ROOT
from tests.builders import make_panel, random_forecaster

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LAYOUTS = {
    "months": (step_layout(12), "MS", 12, (60, 48, 30, 7, 2, 0)),
    "days with a year": (step_layout(7, 364), "D", 7, (900, 300, 30)),
    "hours": (segment_layout(24), "h", 24, (900, 700, 300, 30)),
    "half-hours": (segment_layout(48), "30min", 48, (1500, 300)),
}


def forecaster_of(layout):
    made = random_forecaster(layout, members=2, horizon=30)
    return replace(made, factors=np.linspace(0.8, 1.3, len(made.levels)), views=IN_THREE_WAYS)


def apart(made: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference as a share of each series' largest forecast; none where both are NaN."""
    assert np.array_equal(np.isnan(made), np.isnan(wanted))
    size = np.abs(wanted).max((1, 2), keepdims=True)
    return float(np.nanmax(np.abs(made - wanted) / size))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_torch_module_does_all_that_prediction_does(kind):
    import torch

    layout, alias, season, lengths = LAYOUTS[kind]
    forecaster = forecaster_of(layout)
    panel = make_panel(lengths, season, alias=alias, missing=0.05)
    panel.values[: lengths[0]] -= 150.0  # one with negative values, the others in logarithms
    module = WholeForecaster(forecaster, networks_of(forecaster)).eval()
    with torch.no_grad():
        made = module(torch.from_numpy(rectangle(panel))).numpy()
    assert apart(made, forecast_panel(forecaster, panel, 30).quantiles) < 1e-5


# The runs of these tests lie in the working directory.
HERE = Settings.model_validate({"output": {"root": "."}})


MANIFEST = {"season": 24, "frequency": {"alias": "h"}, "data": {"digest": "abc"}}


@pytest.fixture(scope="module")
def exported():
    """A model of hours and its file."""
    forecaster = forecaster_of(segment_layout(24))
    return forecaster, to_onnx(forecaster, metadata_of(forecaster, MANIFEST))


@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("length", [40, 700, 1600])
def test_the_file_agrees_at_any_batch_size_and_length(exported, batch, length):
    forecaster, blob = exported
    panel = make_panel((length, *([length // 2] * (batch - 1))), 24, alias="h", missing=0.03)
    made = forecast_with(session_of(blob), panel, "file").quantiles
    assert apart(made, forecast_panel(forecaster, panel, 30).quantiles) < 1e-5


def test_what_lies_before_a_series_changes_nothing(exported):
    _, blob = exported
    panel = make_panel((500,), 24, alias="h")
    rows = rectangle(panel)
    wider = np.concatenate([np.full((1, 333), np.nan), rows], 1)
    session = session_of(blob)
    narrow, wide = (session.run(None, {"values": x})[0] for x in (rows, wider))
    assert np.allclose(narrow, wide, rtol=1e-9)


def test_the_file_has_open_batch_and_length_and_no_data_beside_it(exported):
    forecaster, blob = exported
    model = onnx.load_model_from_string(blob)
    (values,), (quantiles,) = model.graph.input, model.graph.output
    dims = [d.dim_param or d.dim_value for d in values.type.tensor_type.shape.dim]
    assert dims == ["batch", "length"]
    dims = [d.dim_param or d.dim_value for d in quantiles.type.tensor_type.shape.dim]
    assert dims == ["batch", 30, len(forecaster.levels)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_metadata_say_what_the_numbers_are(exported):
    forecaster, blob = exported
    about = metadata_of(forecaster, MANIFEST)
    assert (about["horizon"], about["season"], about["frequency"]) == ("30", "24", "h")
    assert json.loads(about["levels"]) == forecaster.levels.tolist()
    assert about["context"] == str(forecaster.context)
    stored = onnx.load_model_from_string(blob).metadata_props
    assert {entry.key: entry.value for entry in stored} == about


def test_the_mean_that_predict_publishes_can_be_had_from_the_quantiles_of_the_file(exported):
    forecaster, blob = exported
    panel = make_panel((500, 400), 24, alias="h", missing=0.03)
    about = metadata_of(forecaster, MANIFEST, "mean")
    made = forecast_with(session_of(blob), panel, "file").quantiles
    mean = made @ np.array(json.loads(about["mean_weights"]))
    assert about["point"] == "mean"
    expected = with_point(forecast_panel(forecaster, panel, 30), "mean").point
    assert np.allclose(mean, expected, rtol=1e-4)


def test_what_predict_does_beyond_the_file_is_said():
    chosen = [{"name": "point", "value": "mean", "why": "demand is intermittent"}]
    blend = {"weights": {"LSTM": 0.8, "Theta": 0.2}, "interval_factors": [1.0] * 11}
    manifest = {"settings": {"data": {"hierarchy": "state,item"}}, "chosen": chosen, "blend": blend}
    said = beyond_the_file(manifest, "mean")
    assert all(
        any(word in text for text in said) for word in ("hierarchy", "mean_weights", "Theta")
    )
    assert len(said) == 3 and beyond_the_file({}, "median") == ()
    assert "the quantile 0.9" in beyond_the_file({}, "0.9")[0]


@pytest.mark.parametrize("name", [name for name in NETWORK_SPECS if name != "lstm"])
def test_every_network_of_the_family_can_be_exported(name):
    forecaster = random_forecaster(step_layout(4), network=name, horizon=6)
    if not NETWORK_SPECS[name].window:  # else its tensors are as long as the context
        forecaster = replace(forecaster, context=5)
    session = session_of(to_onnx(forecaster, {"levels": json.dumps(forecaster.levels.tolist())}))
    panel = make_panel((40, 13), 4, alias="QS")
    made = forecast_with(session, panel, "file").quantiles
    assert apart(made, forecast_panel(forecaster, panel, 6).quantiles) < 1e-5


def test_a_file_that_forecasts_otherwise_is_refused(exported):
    forecaster, blob = exported
    other = replace(forecaster, factors=forecaster.factors * 1.001)
    with pytest.raises(ForecastError, match="does not forecast what the model does"):
        largest_difference(other, session_of(blob))


def test_a_model_with_covariates_is_refused(exported):
    forecaster, _ = exported
    with pytest.raises(UsageError) as caught:
        to_onnx(replace(forecaster, design=object()), {})
    assert caught.value.code == "export/covariates"


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """The run folder of a model, whose data lie where its manifest says."""
    monkeypatch.chdir(tmp_path)
    panel = make_panel((90, 80, 70), 12)
    table = panel_to_arrow(panel)
    Path("data.csv").write_bytes(csv_bytes(table))
    about = {"season": 12, "data": {"path": "data.csv", "digest": "d"}, "settings": {}}
    save_model(Path("run/model"), random_forecaster(hidden=16), panel.frequency, about)
    return Path("run")


def test_export_writes_beside_the_model_what_the_page_on_it_reads(saved):
    result = export_run(Settings(), Silent(), model=str(saved))
    assert [(v.name, v.path) for v in result.variants] == [
        ("the model", None),
        ("float32", saved / "model.onnx"),
    ]
    assert (result.kept, result.exit_code, result.sentence) == (None, 0, "")
    assert result.difference < 1e-5
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    Path("example.py").write_text(code.replace("runs/RUN/", f"{saved}/"))
    done = subprocess.run(
        [sys.executable, "example.py"], capture_output=True, text=True, check=True
    )
    assert "after 12 steps" in done.stdout


def test_int8_is_written_where_the_validation_error_stays(saved):
    result = export_run(HERE, Silent(), model=str(saved), int8=True)
    full, small = result.variants[1:]
    grown = max(small.scores[name] / full.scores[name] - 1 for name in ("wql", "mase"))
    assert result.kept is (grown <= 0.01)
    assert result.variants[0].scores["mase"] == pytest.approx(full.scores["mase"], rel=1e-4)
    assert (saved / "model.int8.onnx").exists() is result.kept


def test_int8_is_not_written_where_the_error_grows(saved, monkeypatch):
    monkeypatch.setattr("forecast.workflows.export.MOST_LOSS", -1.0)
    result = export_run(HERE, Silent(), model=str(saved), int8=True)
    assert (result.kept, result.exit_code) == (False, 3)
    assert "int8 is not kept: its validation error differs by" in result.sentence
    assert (saved / "model.onnx").exists()
    assert not (saved / "model.int8.onnx").exists()


def test_the_command_prints_size_time_and_error(saved, capsys):
    assert run(["export", "run", "--onnx", "--root", "."]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"float32 +[\d,]+ KiB +\d+\.\d\d ms", shown)
    assert "model.onnx" in shown
    run(["export", "run", "--onnx", "--int8", "--json", "--root", "."])
    document = json.loads(capsys.readouterr().out)
    assert [v["name"] for v in document["variants"]] == ["the model", "float32", "int8"]
    assert document["variants"][1]["scores"].keys() == {"wql", "mase"}


@pytest.mark.parametrize(
    ("words", "code"),
    [(["run"], "usage/missing-form"), (["run", "--onnx", "--data", "x.csv"], "usage/data-unused")],
)
def test_options_that_would_do_nothing_are_refused(saved, words, code):
    with pytest.raises(UsageError) as caught:
        run(["export", *words])
    assert caught.value.code == code


def test_a_missing_library_is_named_with_its_extra():
    with pytest.raises(UsageError) as caught:
        needed("no_such_library", "onnx", "export")
    assert caught.value.code == "usage/extra-missing"
    assert "pip install 'lstmcast[onnx]'" in str(caught.value)


def test_a_model_of_a_distribution_is_refused(exported):
    forecaster, _ = exported
    with pytest.raises(UsageError) as caught:
        to_onnx(replace(forecaster, likelihood="student-t"), {})
    assert caught.value.code == "export/likelihood"


def test_int8_weights_take_less_and_change_little():
    big = random_forecaster(segment_layout(48), hidden=96, horizon=48)
    blob = to_onnx(big, {"levels": json.dumps(big.levels.tolist())})
    small = quantised(blob)
    assert len(small) < 0.6 * len(blob)
    names = layers_of(onnx.load_model_from_string(blob))
    assert len([name for name in names if "lstm" in name.lower()]) == 2
    assert len(names) == 2 + 9, "embedding, layers, head and mixer, not the averages over a day"
    panel = make_panel((900, 700), 48, alias="30min")
    made = forecast_with(session_of(small), panel, INT8).quantiles
    wanted = forecast_panel(big, panel, 48).quantiles
    assert 1e-6 < apart(made, wanted) < 0.2
    stored = onnx.load_model_from_string(small).metadata_props
    assert {"levels", "precision"} <= {entry.key for entry in stored}
