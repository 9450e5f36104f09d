"""Sample paths: their marginals, their dependence over steps, the files, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyarrow import csv, parquet

from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.common.quantiles import normal_scores
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel, panel_to_arrow
from forecast.evaluation.sample_paths import scores_of_paths
from forecast.inference import sample_paths as samples
from forecast.inference.conformal import dependence
from forecast.inference.predict import forecast_panel
from forecast.inference.sample_paths import (
    path_beside,
    paths_from,
    refuse_too_many,
    sample_blocks,
    write_samples,
)
from forecast.models.store import load_model, save_model
from tests.builders import make_panel, random_forecaster, reword
from tests.models.test_likelihoods import count_panel, forecaster_of

LEVELS_ = np.array(LEVELS)


def drawn(forecaster, panel, horizon, number, **more):
    """All paths, (S, N, H)."""
    blocks = list(sample_blocks(forecaster, panel, horizon, number, 3, **more))
    return np.concatenate([paths for _, paths in blocks])


@pytest.mark.parametrize("likelihood", ["quantiles", "student-t", "negative-binomial"])
def test_each_step_of_the_paths_follows_its_own_forecast(likelihood):
    panel = count_panel(length=70, mean=60)
    forecaster = replace(forecaster_of(likelihood), dependence=0.8)
    paths = drawn(forecaster, panel, 6, 20_000)
    made = forecast_panel(forecaster, panel, 6)
    slack = 0.015 if likelihood == "quantiles" else 0.03  # steep between the fine levels
    for index, level in enumerate(LEVELS):
        at = made.quantiles[:, None, :, index]
        assert ((paths <= at).mean(1) >= level - slack).all()
        assert ((paths < at).mean(1) <= level + slack).all()
    if likelihood == "negative-binomial":
        assert (paths == np.round(paths)).all() and (paths >= 0).all()


def test_the_steps_of_a_path_are_as_dependent_as_the_model_says():
    panel, forecaster = make_panel((60,)), random_forecaster(seed=4)
    made = forecast_panel(forecaster, panel, 8, allow_negative=True)
    noise = np.random.default_rng(0).standard_normal((1, 40_000, 8))
    for rho in (0.0, 0.7, -0.4):
        paths = paths_from(made, noise, rho)[0]  # (N, H)
        scores = normal_scores(
            np.broadcast_to(made.quantiles[0], (len(paths), 8, len(LEVELS))), LEVELS_, paths
        )
        found = np.corrcoef(scores.T)
        wanted = rho ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
        np.testing.assert_allclose(found, wanted, atol=0.03)
        assert dependence(scores) == pytest.approx(rho, abs=0.02)


def test_scores_are_read_off_the_quantiles_and_few_pairs_say_little():
    quantiles = np.broadcast_to(np.array([8.0, 9.0, 10.0, 12.0, 14.0]), (1, 6, 5))
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    actual = np.array([[10.0, 12.0, 8.0, 11.0, 99.0, np.nan]])
    found = normal_scores(quantiles, levels, actual)[0]
    assert found[:5] == pytest.approx([0, 0.6745, -1.2816, 0.3372, 4.0], abs=1e-4)
    assert np.isnan(found[5])
    ties = normal_scores(np.zeros((1, 1, 5)), levels, np.zeros((1, 1)))
    assert ties == pytest.approx(0.0)
    assert dependence(np.full((1, 1), 2.0)) == 0.5
    assert 0.5 < dependence(np.ones((1, 3))) < 0.6
    assert dependence(np.ones((400, 9))) == pytest.approx(0.99)


def test_paths_depend_on_the_seed_alone_and_not_on_the_blocks(monkeypatch, tmp_path):
    panel, forecaster = make_panel((60, 48, 30)), random_forecaster()
    one = drawn(forecaster, panel, 5, 7)
    monkeypatch.setattr(samples, "AT_ONCE", 40)
    np.testing.assert_allclose(drawn(forecaster, panel, 5, 7), one, rtol=1e-6)
    for name in ("a.csv", "b.csv"):
        write_samples(tmp_path / name, forecaster, panel, 5, 7, 3)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    write_samples(tmp_path / "b.csv", forecaster, panel, 5, 7, 4)
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_has_a_row_for_each_series_sample_and_step(tmp_path, suffix, monkeypatch):
    panel, forecaster = make_panel((60, 48)), random_forecaster()
    monkeypatch.setattr(samples, "AT_ONCE", 1)  # a block for each series
    path = tmp_path / f"samples{suffix}"
    assert write_samples(path, forecaster, panel, 3, 4, 1) == 24
    table = csv.read_csv(path) if suffix == ".csv" else parquet.read_table(path)
    assert table.column_names == ["unique_id", "ds", "sample", "LSTM"]
    assert table["unique_id"].to_pylist() == ["series-0"] * 12 + ["series-1"] * 12
    assert table["sample"].to_pylist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4] * 2
    times = [str(each)[:10] for each in table["ds"].to_pylist()]
    assert times[:3] == ["1975-01-01", "1975-02-01", "1975-03-01"] and times[:3] * 4 == times[:12]
    paths = [paths for _, paths in sample_blocks(forecaster, panel, 3, 4, 1)]
    np.testing.assert_allclose(table["LSTM"].to_numpy(), np.concatenate(paths).ravel(), rtol=1e-8)


def test_a_series_that_is_never_negative_has_no_negative_sample_unless_allowed():
    panel = count_panel(length=60, mean=2)
    forecaster = random_forecaster()
    assert drawn(forecaster, panel, 6, 200).min() == 0
    assert drawn(forecaster, panel, 6, 200, allow_negative=True).min() < 0


def test_the_dependence_is_kept_in_the_model_folder(tmp_path):
    forecaster = replace(random_forecaster(), dependence=0.83)
    save_model(tmp_path / "model", forecaster, Frequency("MS"), {})
    assert load_model(tmp_path / "model")[0].dependence == 0.83
    path = tmp_path / "model" / "manifest.json"
    reword(path, '"dependence": 0.83,', "")
    assert load_model(tmp_path / "model")[0].dependence == 0.5


def test_sums_over_the_horizon_are_covered_only_where_steps_are_drawn_together():
    random = np.random.default_rng(2)
    steps = random.standard_normal((300, 62)).cumsum(1)  # a random walk: errors that last
    panel = Panel(
        np.array([f"w{k:03}" for k in range(300)], dtype=object),
        np.arange(301) * 62,
        100 + steps.reshape(-1),
        np.arange(300) * 12,  # each at a time of its own
        Frequency("D"),
    )
    plain = random_forecaster(hidden=8)
    zero = {name: np.zeros_like(w) for name, w in plain.members[0].items()}
    forecaster = replace(plain, members=(zero,))
    from forecast.training.selection import calibrated

    ready = calibrated(forecaster, panel, np.full((1, 300), 38), 12)
    assert ready.dependence > 0.7
    origins = np.full((1, 300), 50)
    together = scores_of_paths(ready, panel, panel, origins, 12, 200, 1)
    apart = scores_of_paths(replace(ready, dependence=0.0), panel, panel, origins, 12, 200, 1)
    assert together["coverage-of-sum-80"] > apart["coverage-of-sum-80"] + 0.15
    assert together["coverage-of-sum-80"] > 0.6
    assert together["crps-of-sum"] < apart["crps-of-sum"]
    assert together["crps"] == pytest.approx(apart["crps"], rel=0.03)  # the same marginals


def test_more_paths_than_fit_are_refused():
    refuse_too_many(1_000_000, 50)
    with pytest.raises(UsageError) as caught:
        refuse_too_many(1_000_000, 100)
    assert str(caught.value) == (
        "--samples: the samples of one series are 1,000,000 x 100 values, more than 50,000,000 "
        "(found 1000000). Ask for at most 500,000"
    )


def test_samples_lie_beside_the_forecast(tmp_path):
    assert path_beside(tmp_path / "predictions.csv") == tmp_path / "samples.csv"
    assert path_beside(tmp_path / "mine.parquet") == tmp_path / "mine-samples.parquet"
    assert path_beside(tmp_path / "mine.csv.gz") == tmp_path / "mine.csv-samples.csv"


@pytest.fixture
def saved(tmp_path):
    """A model of monthly data, and a file to forecast from."""
    panel = make_panel((60, 48))
    save_model(tmp_path / "run" / "model", random_forecaster(), panel.frequency, {})
    csv.write_csv(panel_to_arrow(panel), tmp_path / "data.csv")
    return ["predict", str(tmp_path / "data.csv"), "--model", str(tmp_path / "run")]


def test_predict_writes_samples_beside_its_forecast(saved, tmp_path, capsys):
    out = tmp_path / "forecast.csv"
    asked = ["--samples", "5", "--seed", "9", "--output", str(out), "--horizon", "4"]
    assert run([*saved, *asked]) == 0
    table = csv.read_csv(tmp_path / "forecast-samples.csv")
    assert table.num_rows == 2 * 5 * 4
    assert "samples" in capsys.readouterr().out
    assert run([*saved, "--samples", "5", "--quiet"]) == 0
    assert (tmp_path / "run" / "samples.csv").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--samples", "5", "--output", "-"], "usage/samples-without-file"),
        (["--samples", "5", "--shard", "1/2", "--output", "parts"], "usage/samples-elsewhere"),
        (["--samples", "5", "--follow"], "usage/samples-elsewhere"),
        (["--seed", "5"], "usage/seed-without-samples"),
    ],
)
def test_options_that_would_be_ignored_are_refused(saved, options, code):
    with pytest.raises(UsageError) as caught:
        run([*saved, *options])
    assert caught.value.code == code


def test_a_forecast_that_goes_to_no_file_has_no_place_for_samples(saved):
    with pytest.raises(UsageError) as caught:
        run([*saved, "--samples", "5", "--output", "-"])
    assert str(caught.value) == (
        "--samples: sample paths go into a file beside the forecast's (found 5). Name that one: "
        "--output forecast.csv, or .parquet"
    )
