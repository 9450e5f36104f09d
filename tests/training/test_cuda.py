"""Training on a GPU: what holds on a CPU holds there, up to rounding. Skipped without one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from forecast.data.forecast import LEVELS
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.networks.registry import NETWORK_SPECS, spec_of
from forecast.models.networks.residual import ResidualNetwork
from forecast.models.store import load_model, save_model
from forecast.training.checkpoint import Checkpoint
from forecast.training.loop import fit
from forecast.training.pretraining.pretrain import Pretraining, export, pretrain
from forecast.transforms.augment import IN_THREE_WAYS
from forecast.transforms.windows import segment_layout, step_layout
from tests import ROOT
from tests.builders import make_panel, train_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LAYOUT = step_layout(12)


def config(**changes):
    return train_config(**{"device": "cuda", **changes}, seed=5)


def forecaster_of(made, layout=LAYOUT, **changes):
    levels = np.array(LEVELS)
    return Forecaster(layout, (made.weights,), levels, 12, 6, np.ones(len(LEVELS)), **changes)


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_the_loss_falls_and_the_model_forecasts_on_a_cpu_as_it_does_on_the_gpu(tmp_path):
    panel = make_panel((90, 80, 70), seed=1)
    losses = []
    made = fit(
        panel.values, panel.offsets, LAYOUT, config(steps=200, batch_size=32, dropout=0.0),
        validation=(panel.lengths - 6)[None],
        report=lambda p: losses.append(p.validation_loss) if p.evaluated else None,
    )  # fmt: skip
    assert min(losses[-5:]) < losses[0]
    save_model(tmp_path / "model", forecaster_of(made), panel.frequency, {})
    loaded, _ = load_model(tmp_path / "model")
    first = forecast_panel(forecaster_of(made), panel, 6)
    again = forecast_panel(loaded, panel, 6)
    assert np.array_equal(first.quantiles, again.quantiles)
    assert np.isfinite(again.quantiles).all()


@pytest.mark.parametrize("layout", [LAYOUT, segment_layout(24)])
def test_the_networks_pass_on_the_gpu_is_that_of_numpy(layout):
    from forecast.models.networks.numpy_forward import forward, last_state
    from forecast.training.sampler import to_device
    from forecast.transforms.augment import View, seen
    from forecast.transforms.windows import ahead, context

    torch.manual_seed(0)
    panel = make_panel((60 * layout.width, 40 * layout.width), seed=2)
    network = ResidualNetwork(layout.features, 16, 2, len(LEVELS)).cuda().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    flat, _ = seen(panel.values, panel.offsets, layout, View())
    rows, end = np.arange(2), panel.lengths
    weights = {k: v.cpu().numpy() for k, v in network.state_dict().items()}
    state = last_state(weights, context(flat, layout, rows, end, 12))
    said = forward(weights, layout, state, ahead(flat, layout, rows, end[None], 2), len(LEVELS))
    there = to_device(flat, torch.device("cuda"))
    rows_, end_ = torch.as_tensor(rows).cuda(), torch.as_tensor(end).cuda()
    with torch.no_grad():
        x = context(there, layout, rows_, end_, 12)
        decoder = ahead(there, layout, rows_, end_[None], 2)
        gpu = network(layout, network.last_state(x), decoder).cpu().numpy()
    assert np.abs(gpu - said).max() <= 2e-4 * np.abs(said).max()


@pytest.mark.parametrize("changes", [{}, {"views": IN_THREE_WAYS}, {"precision": "bf16"}])
def test_the_same_seed_gives_the_same_forecast(changes):
    panel = make_panel()
    one, two = (fit(panel.values, panel.offsets, LAYOUT, config(**changes)) for _ in range(2))
    first, second = (forecast_panel(forecaster_of(x), panel, 6).quantiles for x in (one, two))
    assert np.abs(first / second - 1).max() < 1e-3
    other = fit(panel.values, panel.offsets, LAYOUT, replace(config(**changes), seed=6))
    assert not same(one.weights, other.weights)


def test_a_training_that_was_stopped_goes_on_to_about_the_same_weights(tmp_path):
    panel = make_panel()
    whole = fit(panel.values, panel.offsets, LAYOUT, config(steps=16))
    calls = iter(range(1000))
    kept = Checkpoint(tmp_path / "x", 1e9)
    stopped = fit(
        panel.values, panel.offsets, LAYOUT, config(steps=16),
        checkpoint=kept, interrupted=lambda: next(calls) >= 9,
    )  # fmt: skip
    assert stopped.ended == "interrupted"
    again = Checkpoint(tmp_path / "x", 1e9)
    resumed = fit(panel.values, panel.offsets, LAYOUT, config(steps=16), checkpoint=again)
    assert (resumed.ended, resumed.best_step) == ("steps", whole.best_step)
    for name, weight in whole.weights.items():
        assert np.abs(weight - resumed.weights[name]).max() < 1e-3, name


@pytest.mark.parametrize("network", sorted(NETWORK_SPECS))
def test_every_network_of_the_family_trains_there(network):
    panel = make_panel()
    multiple = spec_of(network).multiple(LAYOUT.features)
    hidden = -(-24 // multiple) * multiple
    numbers = config(network=network, hidden_size=hidden, steps=4)
    made = fit(panel.values, panel.offsets, LAYOUT, numbers)
    assert all(np.isfinite(weight).all() for weight in made.weights.values())
    assert np.isfinite(
        forecast_panel(forecaster_of(made, network=network), panel, 6).quantiles
    ).all()


@pytest.mark.parametrize("likelihood", ["student-t", "negative-binomial"])
def test_every_likelihood_trains_there(likelihood):
    from forecast.transforms.augment import PLAIN

    panel = make_panel(level=20.0)
    panel = replace(panel, values=np.round(panel.values))
    made = fit(panel.values, panel.offsets, LAYOUT, config(likelihood=likelihood, views=PLAIN))
    forecaster = forecaster_of(made, likelihood=likelihood, views=PLAIN)
    assert np.isfinite(forecast_panel(forecaster, panel, 6).quantiles).all()


@pytest.mark.parametrize("kind", ["step", "day"])
def test_pretraining_goes_on_where_it_was_stopped(tmp_path, kind):
    run = Pretraining(
        kind, 12, hidden_size=8, batch_size=16, levels=LEVELS, device="cuda", pool_steps=4,
        pool_series=60,
    )  # fmt: skip
    whole = pretrain(run, tmp_path / "whole", workers=2)
    pretrain(run, tmp_path / "parts", until=5)
    parts = pretrain(run, tmp_path / "parts")
    for name, tensor in whole.averaged.state_dict().items():
        other = parts.averaged.state_dict()[name]
        assert (tensor - other).abs().max() < 1e-3, name
    export(run, tmp_path / "whole", tmp_path / "backbone", {})
    assert load_model(tmp_path / "backbone")[0].context > 0


def test_one_rank_of_torchrun_speaks_nccl(tmp_path):
    """`torchrun train --device cuda`, as a user starts it."""
    panel = make_panel((80, 70, 60))
    rows = ["unique_id,ds,y"]
    for s, name in enumerate(panel.ids):
        values = panel.values[panel.offsets[s] : panel.offsets[s + 1]]
        months = np.datetime64("2000-01", "M") + np.arange(len(values))
        rows += [f"{name},{m}-01,{v}" for m, v in zip(months, values, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1",
         "-m", "forecast", "train", str(tmp_path / "data.csv"), "--out", str(tmp_path / "run"),
         "--device", "cuda", "--baselines", "none", "--max-steps", "20", "--members", "1",
         "--set", "training.try_scratch=false", "--set", "training.refit=false", "--horizon", "6"],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    about = json.loads((tmp_path / "run" / "model" / "manifest.json").read_text())
    assert "cuda" in json.dumps(about)
