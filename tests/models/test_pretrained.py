from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from forecast.cli.app import run
from forecast.data.forecast import LEVELS
from forecast.inference.predict import forecast_panel
from forecast.models.pretrained import FOLDER, load_backbone
from forecast.models.store import describe
from forecast.transforms.windows import segment_layout, step_layout
from tests import ROOT
from tests.builders import make_panel

SAMPLES = ROOT / "sample_data"


@pytest.mark.parametrize(
    "layout", [step_layout(12), step_layout(1), segment_layout(24), segment_layout(48)]
)
def test_the_backbone_forecasts_any_season_and_any_horizon(layout):
    backbone = load_backbone(layout)
    panel = make_panel((30 * layout.width, 9 * layout.width), layout.season, missing=0.1)
    result = forecast_panel(backbone, panel, 3 * layout.chunk + 5)
    assert np.isfinite(result.quantiles).all()
    assert tuple(result.levels) == LEVELS
    assert (np.diff(result.quantiles, axis=-1) >= 0).all()


def test_the_backbone_beats_seasonal_naive_on_series_it_has_never_seen():
    panel = make_panel((120,) * 40, 12, seed=8)
    keep = panel.lengths - 12
    actual = panel.window(keep, 12)
    made = forecast_panel(load_backbone(step_layout(12)), panel.truncate(keep), 12)
    naive = panel.window(keep - 12, 12)
    assert np.abs(made.point - actual).mean() < 0.75 * np.abs(naive - actual).mean()
    inside = (actual >= made.quantile(0.1)) & (actual <= made.quantile(0.9))
    assert 0.65 < inside.mean() < 0.98


@pytest.mark.parametrize("kind", ["step", "year", "day"])
def test_the_package_says_how_its_weights_were_made(kind):
    story = describe(FOLDER / kind)["pretraining"]
    assert story["step"] == story["run"]["steps"]
    assert {"losses", "command", "seconds", "series"} <= set(story)
    assert (FOLDER / kind / "weights.safetensors").stat().st_size < 4e6


def test_forecast_writes_a_table_to_standard_output_and_trains_nothing(
    capfdbinary, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(["forecast", str(SAMPLES / "airline_passengers.csv"), "--horizon", "18"]) == 0
    out, _ = capfdbinary.readouterr()
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert [rows[0]["ds"], rows[-1]["ds"], len(rows)] == ["1961-01", "1962-06", 18]
    assert list(tmp_path.iterdir()) == []


def test_forecasting_needs_neither_torch_nor_pandas(subprocess_imports):
    assert not {"torch", "pandas", "statsforecast"} & subprocess_imports(
        "forecast.models.pretrained"
    )
