from __future__ import annotations

import numpy as np
import pytest
import torch

from forecast.common.errors import UsageError
from forecast.data.forecast import LEVELS
from forecast.models.pretrained import kind_of
from forecast.models.store import load_model
from forecast.training.pretraining import pretrain as pretraining
from forecast.training.pretraining.pretrain import Pool, Pretraining, export, pretrain
from forecast.transforms.windows import step_layout


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pretraining, "POOL_SERIES", {"step": 80, "day": 20})
    monkeypatch.setattr(pretraining, "POOL_STEPS", 4)


def small_run(kind, **changes):
    return Pretraining(kind, 10, hidden_size=8, batch_size=4, levels=LEVELS, dropout=0.1, **changes)


@pytest.mark.parametrize("kind", ["step", "day"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(tmp_path, kind):
    whole = pretrain(small_run(kind), tmp_path / "whole")
    pretrain(small_run(kind), tmp_path / "parts", until=3)
    pretrain(small_run(kind), tmp_path / "parts", until=6)
    parts = pretrain(small_run(kind), tmp_path / "parts")
    for name in ("network", "averaged"):
        one, two = (getattr(state, name).state_dict() for state in (whole, parts))
        assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    pretrain(small_run("step"), tmp_path / "x", until=2)
    with pytest.raises(UsageError, match="another pretraining run"):
        pretrain(small_run("step", seed=8), tmp_path / "x", until=4)


def test_the_exported_backbone_is_a_model_folder_of_the_averaged_weights(tmp_path):
    run = small_run("day")
    state = pretrain(run, tmp_path / "x")
    export(run, tmp_path / "x", tmp_path / "backbone", {"losses": []})
    forecaster, manifest = load_model(tmp_path / "backbone")
    assert kind_of(forecaster.layout) == "day"
    assert manifest["pretraining"]["step"] == 10
    for name, tensor in state.averaged.state_dict().items():
        assert (forecaster.members[0][name] == tensor.numpy()).all()


def test_the_beginning_of_half_of_the_series_is_cut_off_and_no_choice_sees_a_whole_series():
    pool = Pool(small_run("step"), 0, torch.device("cpu"))
    rng = np.random.default_rng(0)
    lengths = np.full(400, 100)
    kept = pool._kept(lengths, step_layout(1))
    assert 150 < (kept < 100).sum() < 250
    assert kept.min() >= pretraining.LEAST_STEPS
    # Growth by a factor of 1000: whole series would never be logged, most first parts are.
    growing = np.exp(np.linspace(0, np.log(1000), 100))[None].repeat(400, 0)
    growing = growing * np.exp(rng.normal(0, 0.01, growing.shape))
    logged = pool._logged(growing.ravel(), np.arange(401) * 100, step_layout(1))
    assert 0.2 < logged.mean() < 0.9
