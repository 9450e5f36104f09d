"""Every network of the family, held to the same demands."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from forecast.config.schema import Network
from forecast.data.frequency import Frequency
from forecast.inference.predict import forecast_panel
from forecast.models.networks.base import Size
from forecast.models.networks.numpy_forward import attention_maps, forward, last_state, states
from forecast.models.networks.numpy_ops import linear, sigmoid
from forecast.models.networks.registry import NETWORK_SPECS, size_of, spec_of, state_shapes
from forecast.models.networks.residual import ResidualNetwork
from forecast.models.store import load_model, save_model
from forecast.training.checkpoint import Checkpoint
from forecast.training.loop import fit
from forecast.training.losses import pinball
from forecast.training.sampler import to_device
from forecast.transforms.scaling import scale_panel
from forecast.transforms.windows import Flat, ahead, context, segment_layout, step_layout, targets
from tests import ROOT, reference_networks
from tests.builders import make_panel, random_forecaster, train_config

NAMES = tuple(NETWORK_SPECS)
PAGE = ROOT / "docs" / "networks.md"
LAYOUTS = {"steps": step_layout(12), "days": segment_layout(24)}
HIDDEN, STEPS, QUANTILES = 48, 10, 5
pytestmark = pytest.mark.usefixtures("one_thread")


def network(name, layout, **changes):
    torch.manual_seed(3)
    made = ResidualNetwork(
        layout.features, HIDDEN, 2, QUANTILES, network=name, context=STEPS, **changes
    ).eval()
    torch.nn.init.normal_(made.out.weight, std=0.1)
    return made


def arrays(made):
    return {name: tensor.numpy() for name, tensor in made.state_dict().items()}


@cache
def windows(kind):
    """Flat arrays, inputs (T, B, F) at the series' ends, and what the head reads there."""
    layout = LAYOUTS[kind]
    panel = make_panel((50 * layout.width, 36 * layout.width), layout.season, missing=0.05)
    lags = [lag for lag in layout.lags if lag]
    flat = Flat.of(
        scale_panel(panel.values, panel.offsets, lags=lags, level_window=layout.level_window)
    )
    series = np.array([0, 1])
    x = context(flat, layout, series, panel.lengths, STEPS)
    return panel, flat, x, ahead(flat, layout, series, panel.lengths[None], 2)


def test_the_option_offers_every_network_and_no_other():
    assert set(get_args(Network)) == set(NETWORK_SPECS)
    assert all(spec.name == name for name, spec in NETWORK_SPECS.items())
    assert len({spec.title for spec in NETWORK_SPECS.values()}) == len(NETWORK_SPECS)
    with pytest.raises(ValueError, match="no network is called 'elman'"):
        spec_of("elman")


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_those_known_without_torch(name, kind):
    layout = LAYOUTS[kind]
    made = network(name, layout, known_ahead=3, beside=2)
    found = {tensor: tuple(value.shape) for tensor, value in made.state_dict().items()}
    wanted = state_shapes(layout.features, HIDDEN, 2, QUANTILES, 3, 2, network=name, context=STEPS)
    assert found == wanted
    assert size_of(arrays(made), name) == (HIDDEN, 2)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_part_has_as_many_parameters_as_its_formula_says(name, kind):
    size = Size(LAYOUTS[kind].features, HIDDEN, STEPS)
    for part in spec_of(name).parts(1):
        tensors = dict(part.module(size).named_parameters())
        second = sum(p.numel() for n, p in tensors.items() if "bias_hh" in n)
        if name == "gru":  # the candidate's second bias does count
            second -= HIDDEN
        assert sum(p.numel() for p in tensors.values()) - second == part.parameters(size)


def test_the_formulas_are_the_literatures():
    h = 7
    size = Size(15, h, 10)
    count = {name: spec_of(name).layer[0].parameters(size) for name in ("lstm", "rnn", "gru")}
    assert count == {"lstm": 4 * h * (h + h + 1), "rnn": h * (h + h + 1), "gru": 3 * h * 15 + h}
    assert spec_of("peephole").layer[0].parameters(size) == count["lstm"] + 3 * h


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_torch_and_what_predicts_are_held_to_the_equations(name, kind):
    layout, (panel, flat, x, decoder) = LAYOUTS[kind], windows(kind)
    made = network(name, layout)
    weights = arrays(made)
    here = ahead(
        to_device(flat, torch.device("cpu")),
        layout,
        torch.tensor([0, 1]),
        torch.as_tensor(panel.lengths)[None],
        2,
    )
    with torch.no_grad():
        all_states = made.states(torch.as_tensor(x)).numpy()
        last = made.last_state(torch.as_tensor(x))
        wanted = made(layout, last, here).numpy()
    mine = last_state(weights, x, network=name)
    np.testing.assert_allclose(mine, last.numpy(), atol=1e-5)
    np.testing.assert_allclose(states(weights, x, network=name), all_states, atol=1e-5)
    reference = reference_networks.states(weights, x, name)
    np.testing.assert_allclose(all_states, reference, atol=1e-5)
    np.testing.assert_allclose(mine, all_states[-1:], atol=1e-5)
    made_here = forward(weights, layout, mine, decoder, QUANTILES)
    np.testing.assert_allclose(made_here, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_does_not_change_with_the_steps_after_it(name):
    _, _, x, _ = windows("days")
    made = network(name, LAYOUTS["days"])
    other = x.copy()
    other[6:] = np.random.default_rng(0).standard_normal(other[6:].shape)
    places = torch.tensor([2, 5])
    with torch.no_grad():
        one, two = (made.states(torch.as_tensor(z), places=places) for z in (x, other))
    assert torch.equal(one, two)
    weights = arrays(made)
    mine = [states(weights, z, network=name)[:6] for z in (x, other)]
    assert np.array_equal(*mine)
    assert not np.array_equal(*(last_state(weights, z, network=name) for z in (x, other)))


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_does_not_change_with_what_comes_after_its_origin(name):
    panel = make_panel((60, 48))
    forecaster = random_forecaster(hidden=HIDDEN, network=name)
    changed = replace(panel, values=panel.values.copy())
    cut = panel.lengths - 12
    for start, keep, end in zip(panel.offsets[:-1], cut, panel.offsets[1:], strict=True):
        changed.values[start + keep : end] *= 7
    one, two = (forecast_panel(forecaster, each.truncate(cut), 12) for each in (panel, changed))
    assert one.name == spec_of(name).title
    assert (one.source == one.name).all()
    assert one.quantiles.tobytes() == two.quantiles.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_one_batch_is_learnt_by_heart(name):
    layout, (panel, flat, _, _) = LAYOUTS["steps"], windows("steps")
    on = to_device(flat, torch.device("cpu"))
    series, origin = torch.tensor([0, 1]), torch.as_tensor(panel.lengths - 24)
    decoder = ahead(on, layout, series, origin[None], 1)
    actual, known = targets(on, layout, series, origin[None], 1, 24)
    inputs = context(on, layout, series, origin, STEPS)
    made, levels = network(name, layout).train(), torch.linspace(0.1, 0.9, QUANTILES)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.01)
    losses = []
    for _ in range(80):
        predicted = made(layout, made.last_state(inputs), decoder)
        loss = pinball(predicted, actual, known, decoder.scale, levels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    unused = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []  # every tensor has a part in the forecast


def test_an_xlstm_survives_inputs_whose_exponentials_would_overflow():
    made = spec_of("xlstm").layer[0].module(Size(15, 8, 10))
    x = 1000 * torch.randn(30, 3, 8, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    out = made(x)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(x.grad).all()


def after(calls):
    """True from the call number `calls` on."""
    count = iter(range(10**9))
    return lambda: next(count) >= calls


@pytest.mark.parametrize("name", NAMES)
def test_training_stops_and_goes_on_to_the_same_bits_and_is_saved_and_loaded(name, tmp_path):
    panel = make_panel((60, 48))
    layout = LAYOUTS["steps"]
    config = train_config(network=name, hidden_size=HIDDEN, layers=1, steps=6, seed=1)
    words = (panel.values, panel.offsets, layout, config)
    watched = (panel.lengths - 12)[None]
    once = fit(*words, validation=watched)
    place = Checkpoint(tmp_path / "fit.checkpoint", 1e9)
    parts = fit(*words, validation=watched, interrupted=after(3), checkpoint=place)
    assert parts.ended == "interrupted"
    again = fit(*words, validation=watched, checkpoint=place)
    assert all(np.array_equal(again.weights[k], v) for k, v in once.weights.items())

    forecaster = replace(
        random_forecaster(layout, hidden=HIDDEN, network=name, horizon=6),
        members=(once.weights,),
        context=config.context,
    )
    save_model(tmp_path / "model", forecaster, Frequency("MS"), {})
    loaded, manifest = load_model(tmp_path / "model")
    assert manifest["network"]["name"] == loaded.network == name
    one, two = (forecast_panel(each, panel, 6).quantiles for each in (forecaster, loaded))
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_trains_too(name):
    panel = make_panel((60, 48))
    config = train_config(network=name, hidden_size=24, layers=1, steps=2, precision="bf16", seed=1)
    fitted = fit(panel.values, panel.offsets, LAYOUTS["steps"], config)
    assert fitted.best_step == 2
    assert all(np.isfinite(tensor).all() for tensor in fitted.weights.values())


@pytest.mark.parametrize("name", ["attention", "transformer", "lstm-transformer"])
def test_attention_weights_are_shares_and_the_ones_that_the_pass_uses(name):
    _, _, x, _ = windows("steps")
    weights = arrays(network(name, LAYOUTS["steps"]))
    maps = attention_maps(weights, x, network=name)
    heads = 1 if name == "attention" else 4
    assert [each.shape for each in maps] == [(heads, 2, STEPS)] * 2
    for each in maps:
        np.testing.assert_allclose(each.sum(-1), 1, atol=1e-5)
        assert (each > 0).all() and each.std() > 0
    assert attention_maps(arrays(network("gru", LAYOUTS["steps"])), x, network="gru") == []


def test_the_page_on_networks_names_each_and_its_column():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\S+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert dict(rows) == {name: spec.title for name, spec in NETWORK_SPECS.items()}


def test_the_template_of_the_page_on_networks_works(tmp_path):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (tmp_path / "gate.py").write_text(code[1], encoding="utf-8")
    found = importlib.util.spec_from_file_location("gate", tmp_path / "gate.py")
    gate = importlib.util.module_from_spec(found)
    found.loader.exec_module(gate)
    (part,) = gate.SPEC.parts(1)
    size = Size(15, 7, 10)
    made = part.module(size)
    x = np.random.default_rng(0).standard_normal((10, 3, 7)).astype(np.float32)
    with torch.no_grad():
        wanted = made(torch.as_tensor(x)).numpy()
    keep = sigmoid(linear(arrays(made), "gate", x))
    h = np.zeros(x.shape[1:], np.float32)
    for t in range(len(x)):
        h = keep[t] * h + (1 - keep[t]) * x[t]
        np.testing.assert_allclose(h, wanted[t], atol=1e-6)
    assert sum(p.numel() for p in made.parameters()) == part.parameters(size)
