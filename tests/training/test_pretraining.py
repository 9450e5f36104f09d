from __future__ import annotations

import numpy as np
import pytest
import torch

from forecast.common.errors import UsageError
from forecast.data.forecast import LEVELS
from forecast.models.pretrained import kind_of
from forecast.models.store import load_model
from forecast.training.pretraining import pool
from forecast.training.pretraining import pretrain as pretraining
from forecast.training.pretraining.pretrain import Pretraining, export, pretrain
from forecast.transforms.windows import step_layout


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pretraining, "POOL_SERIES", {"step": 80, "day": 20})


def small_run(kind, **changes):
    return Pretraining(
        kind, 10, hidden_size=8, batch_size=4, levels=LEVELS, dropout=0.1, pool_steps=4, **changes
    )


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
    rng = np.random.default_rng(0)
    lengths = np.full(400, 100)
    kept = pool._kept(rng, lengths, step_layout(1), pool.CUT["step"])
    assert 150 < (kept < 100).sum() < 250
    assert kept.min() >= pool.LEAST_STEPS
    # Growth by a factor of 1000: whole series would never be logged, most first parts are.
    growing = np.exp(np.linspace(0, np.log(1000), 100))[None].repeat(400, 0)
    growing = growing * np.exp(rng.normal(0, 0.01, growing.shape))
    logged = pool._logged(rng, growing.ravel(), np.arange(401) * 100, step_layout(1))
    assert 0.2 < logged.mean() < 0.9


def test_worker_processes_make_the_very_series_that_would_be_made_here(tmp_path):
    run = small_run("step", mixer=3)
    here = pretrain(run, tmp_path / "here")
    ahead = pretrain(run, tmp_path / "ahead", workers=1)
    one, two = (state.averaged.state_dict() for state in (here, ahead))
    assert all(torch.equal(one[name], two[name]) for name in one)
    export(run, tmp_path / "here", tmp_path / "backbone", {})
    assert load_model(tmp_path / "backbone")[0].members[0]["mixer.points"].shape == (3, 18)


def test_a_run_out_of_time_stops_at_a_checkpoint_and_goes_on(tmp_path):
    run = small_run("day")
    parts = pretrain(run, tmp_path / "x", every=3, seconds=0.0)
    assert parts.step == 0
    parts = pretrain(run, tmp_path / "x", every=3, seconds=1e-9, until=3)
    whole = pretrain(run, tmp_path / "x", every=3)
    assert whole.step == 10
