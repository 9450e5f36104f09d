from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from forecast.common.errors import TrainingError
from forecast.models.networks.covariate_effect import COVARIATE_LAYERS
from forecast.models.networks.residual import ResidualNetwork
from forecast.training import loop, sampler
from forecast.training.config import BEHIND
from forecast.training.loop import (
    AdamW,
    BestWeights,
    Schedule,
    fit,
    resolve_device,
    resolve_precision,
)
from forecast.training.losses import pinball
from forecast.training.sampler import Sampler, ValidationLoss, to_device
from forecast.transforms.augment import IN_THREE_WAYS
from forecast.transforms.scaling import scale_panel
from forecast.transforms.windows import Flat, Gather, segment_layout, step_layout
from tests import builders
from tests.builders import make_panel, train_config

LAYOUT = step_layout(12)


def config(**changes):
    return train_config(**changes, seed=5)


def same(one, other):
    return all(np.array_equal(one[k], other[k]) for k in one)


def test_the_same_seed_gives_the_same_bytes():
    panel = make_panel()
    one, other = (fit(panel.values, panel.offsets, LAYOUT, config()) for _ in range(2))
    assert same(one.weights, other.weights)
    third = fit(panel.values, panel.offsets, LAYOUT, replace(config(), seed=6))
    assert not same(one.weights, third.weights)


def test_training_on_several_views_gives_the_same_bytes_and_other_weights():
    panel = make_panel()
    several = replace(config(), views=IN_THREE_WAYS)
    one, other = (fit(panel.values, panel.offsets, LAYOUT, several) for _ in range(2))
    assert same(one.weights, other.weights)
    assert not same(one.weights, fit(panel.values, panel.offsets, LAYOUT, config()).weights)


@pytest.mark.parametrize("layout", [LAYOUT, segment_layout(24)])
def test_values_after_the_origin_change_no_weight(layout):
    width = layout.width
    panel = make_panel((60 * width, 40 * width), layout.season)
    keep = panel.lengths - 10 * width
    changed = panel.values.copy()
    for s in range(panel.size):
        changed[panel.offsets[s] + keep[s] : panel.offsets[s + 1]] = -1e9
    other = replace(panel, values=changed)
    numbers = config(horizon=width + 2)
    one, two = (fit(*cut(p, keep), layout, numbers) for p in (panel, other))
    assert same(one.weights, two.weights)


def cut(panel, keep):
    past = panel.truncate(keep)
    return past.values, past.offsets


def test_no_window_of_training_reaches_into_the_validation_block():
    panel = make_panel((80, 50))
    lags = [lag for lag in LAYOUT.lags if lag]
    scaled = scale_panel(panel.values, panel.offsets, lags=lags, level_window=12)
    ends = torch.as_tensor(panel.lengths - 9)
    drawn = Sampler([to_device(Flat.of(scaled), ends.device)], LAYOUT, config(batch_size=64), ends)
    for _ in range(20):
        series, end, _ = drawn.draw()
        assert (end < ends[series]).all() and (end > 0).all()
        step = torch.arange(30)
        position = end[None, :, None] + step
        _, known = Gather(drawn.flats[0], series).values(position)
        assert (known[0].bool() <= (position[0] < ends[series][:, None])).all()


def test_the_best_weights_are_kept_not_the_last():
    panel = make_panel((60,), seed=3)
    seen = []
    origins = (panel.lengths - 6)[None]
    wild = config(steps=40, learning_rate=0.5, average=0.0, warmup=0, clip=1e6)
    result = fit(panel.values, panel.offsets, LAYOUT, wild, validation=origins, report=seen.append)
    losses = [progress.validation_loss for progress in seen if progress.evaluated]
    assert result.best_loss <= min(losses)
    assert losses[-1] > result.best_loss


def test_training_stops_when_patience_runs_out():
    panel = make_panel((60,), seed=3)
    wild = config(steps=200, learning_rate=0.5, average=0.0, warmup=0, clip=1e6, patience=2)
    result = fit(panel.values, panel.offsets, LAYOUT, wild, validation=(panel.lengths - 6)[None])
    assert result.ended == "patience"


def test_a_fit_from_bad_to_worse_stops_sooner_than_one_that_stands_still():
    network = torch.nn.Linear(1, 1)
    worse, still = BestWeights(network, 1.0), BestWeights(network, 1.0)
    assert [worse.offer(network, 1.1, step) for step in range(3)] == [2, 4, 6]
    assert [still.offer(network, 1.01, step) for step in range(3)] == [1, 2, 3]
    below_zero = BestWeights(network, -1.0)  # a likelihood's loss: no share of it says anything
    assert below_zero.offer(network, -0.5, 1) == 1


def test_a_fit_that_is_far_behind_is_given_up_after_a_third_of_its_steps():
    panel = make_panel((60,), seed=3)
    seen = []

    def ended(behind):
        seen.clear()
        numbers = replace(config(steps=60), behind=behind)
        return fit(
            panel.values, panel.offsets, LAYOUT, numbers,
            validation=(panel.lengths - 6)[None], report=seen.append,
        ).ended  # fmt: skip

    assert ended(1e-6) == BEHIND
    assert seen[-1].step == 21  # evaluated every third step
    assert ended(1e6) != BEHIND


def test_of_very_many_origins_some_evenly_spread_are_watched(monkeypatch):
    panel = make_panel((40,) * 30)
    lags = [lag for lag in LAYOUT.lags if lag]
    flat = Flat.of(scale_panel(panel.values, panel.offsets, lags=lags, level_window=12))
    flat = to_device(flat, torch.device("cpu"))
    origins = np.stack([panel.lengths - 12, panel.lengths - 6])
    assert len(ValidationLoss([flat], LAYOUT, config(), origins).series) == 60
    monkeypatch.setattr(sampler, "MOST_WATCHED", 12)
    some = ValidationLoss([flat], LAYOUT, config(), origins)
    assert len(some.series) == 12
    assert (some.series[0], some.series[-1]) == (0, 29)
    assert set(some.origins.tolist()) == {28, 34}


def test_a_small_network_learns_what_no_skip_can_say():
    # Two alternating slopes: the next step depends on the last two values, not on a season.
    rng = np.random.default_rng(0)
    y = [1.0, 0.5]
    for _ in range(400):
        y.append(1.6 * y[-1] - 0.95 * y[-2] + 0.05 * rng.standard_normal())
    values = np.array(y)
    seen = []
    numbers = config(
        steps=150, horizon=3, batch_size=32, hidden_size=16, context=16, origins_per_window=8
    )
    fit(
        values,
        np.array([0, len(values)]),
        step_layout(1),
        numbers,
        validation=np.array([[len(values) - 60], [len(values) - 30]]),
        report=seen.append,
    )
    first = next(each for each in seen if each.evaluated)  # a slow machine reports in between
    assert seen[-1].best < 0.7 * first.validation_loss


def test_a_slow_machine_gives_up_at_the_same_step(monkeypatch):
    panel, ends = make_panel((60,), seed=3), []
    numbers = replace(config(steps=60), behind=1e-6)
    for seconds in (1e9, 0.0):  # between two reports
        monkeypatch.setattr(loop, "SECONDS_BETWEEN", seconds)
        seen = []
        fit(
            panel.values, panel.offsets, LAYOUT, numbers,
            validation=(panel.lengths - 6)[None], report=seen.append,
        )  # fmt: skip
        ends.append(seen[-1].step)
    assert ends == [21, 21]


def test_an_interruption_keeps_the_best_so_far():
    panel = make_panel()
    asked = iter([False] * 4 + [True] * 100)
    result = fit(
        panel.values, panel.offsets, LAYOUT, config(steps=50), interrupted=lambda: next(asked)
    )
    assert result.ended == "interrupted"
    assert result.best_step == 5


def test_a_deadline_ends_training_with_the_schedule_run_out(monkeypatch):
    ticks = count(0, 0.01)
    monkeypatch.setattr(
        "forecast.training.distributed.SingleProcess.clock", lambda self: next(ticks)
    )
    panel = make_panel()
    seen = []
    numbers = config(steps=100_000, seconds=0.5)
    result = fit(panel.values, panel.offsets, LAYOUT, numbers, report=seen.append)
    assert result.ended == "deadline"
    assert seen[-1].learning_rate < 0.1 * numbers.learning_rate


def test_the_rate_warms_up_and_falls_along_a_cosine():
    schedule = Schedule(config(steps=100, warmup=10, learning_rate=1.0))
    rates = [schedule.rate(step, 0.0) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) > 0.95
    assert rates[-1] < 0.001
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_the_rate_halves_on_a_plateau():
    schedule = Schedule(config(schedule="plateau", warmup=0, learning_rate=1.0))
    for loss in (1.0, 1.0, 1.0):
        schedule.seen(loss)
    assert schedule.rate(50, 0.0) == 0.5


def test_a_series_without_two_values_teaches_nothing():
    with pytest.raises(TrainingError, match="two values"):
        fit(np.array([1.0]), np.array([0, 1]), LAYOUT, config())


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step():
    panel = make_panel()
    numbers = config(learning_rate=1e30, clip=1e30, warmup=0, average=0.0)
    with pytest.raises(TrainingError, match="step"):
        fit(panel.values, panel.offsets, LAYOUT, numbers)


def test_an_absent_device_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainingError, match="no CUDA device"):
        resolve_device("cuda")


@pytest.mark.parametrize("able", [{"avx512_bf16": True}, {"amx_bf16": True}, {}])
def test_an_lstm_is_trained_in_half_precision_where_the_processor_multiplies_it(monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    cpu, gpu, auto = torch.device("cpu"), torch.device("cuda"), config(precision="auto")
    fast = "bf16" if able else "fp32"
    assert resolve_precision(auto, cpu) == fast
    assert resolve_precision(auto, gpu) == "fp32"
    assert resolve_precision(replace(auto, network="gru"), cpu) == "fp32"
    assert resolve_precision(config(precision="fp32"), cpu) == "fp32"
    panel = make_panel()
    learnt, said = (
        fit(panel.values, panel.offsets, LAYOUT, config(precision=name)).weights
        for name in ("auto", fast)
    )
    assert all(np.array_equal(learnt[name], said[name]) for name in learnt)


def test_its_optimiser_takes_the_steps_of_torch_s_own_to_the_bit():
    """Layers of covariates, which learn ten times as fast, among them."""
    torch.manual_seed(0)
    mine = ResidualNetwork(LAYOUT.features, 8, 1, 3, 0.0, 2, 1)
    theirs = copy.deepcopy(mine)
    new = [p for n, p in theirs.named_parameters() if n.startswith(COVARIATE_LAYERS)]
    old = [p for n, p in theirs.named_parameters() if not n.startswith(COVARIATE_LAYERS)]
    assert new and old
    own = AdamW(mine, 0.02, torch.device("cpu"))
    torchs = torch.optim.AdamW([{"params": old}, {"params": new}], weight_decay=0.02, fused=True)
    for rate in (0.01, 0.003):
        torchs.param_groups[0]["lr"], torchs.param_groups[1]["lr"] = rate, 10 * rate
        for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            if one.ndim > 1:  # the others have none
                one.grad = torch.randn(one.shape)
                other.grad = one.grad.clone()
        own.step(rate)
        torchs.step()
        torchs.zero_grad()
    pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert all(each.grad is None for each in mine.parameters())


def test_a_member_s_process_does_not_load_torch_s_compiler():
    """It takes a second of every member."""
    code = (
        "import sys; from tests.builders import make_panel, train_config;"
        "from forecast.training.loop import fit; from forecast.transforms.windows import "
        "step_layout; panel = make_panel(); numbers = train_config(steps=2, seed=1);"
        "fit(panel.values, panel.offsets, step_layout(12), numbers);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    root = Path(builders.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_half_precision_learns_nearly_the_same():
    panel = make_panel()
    whole, half = (
        fit(panel.values, panel.offsets, LAYOUT, config(precision=name)).weights
        for name in ("fp32", "bf16")
    )
    apart = max(np.abs(whole[name] - half[name]).max() for name in whole)
    assert 0 < apart < 0.05


def test_the_pinball_loss_is_the_hand_worked_one():
    predicted = torch.tensor([[1.0, 2.0, 4.0]]).reshape(1, 1, 1, 1, 3)
    actual, known = torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 1, 1, 1)
    levels = torch.tensor([0.1, 0.5, 0.9])
    loss = pinball(predicted, actual, known, torch.full((1, 1), 2.0), levels)
    assert loss.item() == pytest.approx((0.1 * 2 + 0.5 * 1 + 0.1 * 1) / 3)
    masked = torch.cat([known, 0 * known], -1), torch.cat([actual, actual * 50], -1)
    twice = predicted.expand(1, 1, 1, 2, 3)
    again = pinball(twice, masked[1], masked[0], torch.full((1, 1), 2.0), levels)
    assert again.item() == pytest.approx(loss.item())
