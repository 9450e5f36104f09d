from __future__ import annotations

import numpy as np
import pytest
import torch

from forecast.models.networks.head import _outwards, assemble, head_inputs, head_width
from forecast.models.networks.numpy_forward import forward, last_state
from forecast.models.networks.registry import state_shapes
from forecast.models.networks.residual import Dropout, ResidualNetwork
from forecast.models.networks.torch_layers import Linear
from forecast.training.sampler import to_device
from forecast.transforms.scaling import scale_panel
from forecast.transforms.windows import (
    POINTS,
    SKIPS,
    Flat,
    ahead,
    context,
    segment_layout,
    step_layout,
)
from tests.builders import make_panel
from tests.reference_networks import lstm_step

LAYOUTS = [step_layout(12), step_layout(7, 28), segment_layout(24), segment_layout(48)]


def network(layout, hidden=16, quantiles=5, zero=False, mixer=0):
    torch.manual_seed(3)
    made = ResidualNetwork(layout.features, hidden, 2, quantiles, mixer=mixer).eval()
    if mixer:
        torch.nn.init.normal_(made.mixer.out, std=0.3)
    if not zero:
        torch.nn.init.normal_(made.out.weight, std=0.1)
        torch.nn.init.normal_(made.out.bias, std=0.1)
    return made


def inputs(layout):
    panel = make_panel((50 * layout.width, 36 * layout.width), layout.season, missing=0.05)
    lags = [lag for lag in layout.lags if lag]
    flat = Flat.of(
        scale_panel(panel.values, panel.offsets, lags=lags, level_window=layout.level_window)
    )
    series = np.array([0, 1])
    x = context(flat, layout, series, panel.lengths, 10)
    return panel, flat, x, ahead(flat, layout, series, panel.lengths[None], 2)


def torch_decoder(layout, flat, panel):
    series = torch.tensor([0, 1])
    return ahead(
        to_device(flat, torch.device("cpu")),
        layout,
        series,
        torch.as_tensor(panel.lengths)[None],
        2,
    )


@pytest.mark.parametrize("mixer", [0, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_numpy_forward_pass_agrees_with_torch(layout, mixer):
    made = network(layout, mixer=mixer)
    panel, flat, x, decoder = inputs(layout)
    weights = {k: v.numpy() for k, v in made.state_dict().items()}
    with torch.no_grad():
        state = made.states(torch.as_tensor(x))[-1:]
        wanted = made(layout, state, torch_decoder(layout, flat, panel)).numpy()
    mine = last_state(weights, x)
    np.testing.assert_allclose(mine, state.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        forward(weights, layout, mine, decoder, 5), wanted, atol=2e-5, rtol=1e-5
    )


def test_the_mixer_over_the_horizon_starts_at_zero_and_sees_neighbours_alone():
    layout = step_layout(12)
    panel, flat, _, _ = inputs(layout)
    plain, mixed = network(layout), network(layout, mixer=4)
    mixed.load_state_dict({**mixed.state_dict(), **plain.state_dict()})
    torch.nn.init.zeros_(mixed.mixer.out)
    seen, state = torch_decoder(layout, flat, panel), torch.zeros(1, 2, 16)
    with torch.no_grad():
        assert torch.equal(plain(layout, state, seen), mixed(layout, state, seen))
        torch.nn.init.normal_(mixed.mixer.out)
        tokens = head_inputs(layout, seen)
        z = torch.zeros(1, 2, 2, 16)
        width = head_width(5)
        one = mixed.mixer(tokens, z, width)
        changed = tokens.clone()
        changed[..., 10] += 1.0  # the level at the eleventh step of each block
        two = mixed.mixer(changed, z, width)
    moved = (one != two).any(0).any(0).any(0)[2 * SKIPS :].reshape(POINTS, 5).any(-1)
    assert moved.nonzero().ravel().tolist() == [8, 9, 10, 11, 12]
    assert (one[..., : 2 * SKIPS] == 0).all()


def test_one_lstm_step_agrees_with_torchs_cell():
    cell = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    with torch.no_grad():
        wanted = cell(x, (h, c))
        gates = (x @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh).numpy()
    mine = lstm_step(gates, h.numpy(), c.numpy(), cell.weight_hh.detach().numpy().T)
    for one, other in zip(mine, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_untrained_network_is_a_mixture_of_its_skips(layout):
    panel, flat, x, decoder = inputs(layout)
    made = network(layout, zero=True)
    with torch.no_grad():
        made_decoder = torch_decoder(layout, flat, panel)
        out = made(layout, made.states(torch.as_tensor(x))[-1:], made_decoder).numpy()
    median = out[..., 2]
    moved = decoder.skips + decoder.carried
    choices = np.stack([decoder.skips, moved])
    present = decoder.present > 0
    low = np.where(present, choices, np.inf).min((0, -2))
    high = np.where(present, choices, -np.inf).max((0, -2))
    assert ((median >= low - 1e-4) & (median <= high + 1e-4)).all()


def test_quantiles_never_cross_whatever_the_head_says():
    layout = step_layout(12)
    _, _, _, decoder = inputs(layout)
    raw = 5 * np.random.default_rng(0).standard_normal((1, 2, 2, head_width(7))).astype(np.float32)
    assert (np.diff(assemble(layout, decoder, raw, 7), axis=-1) >= 0).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 2, 3, 6), (3, 1, 1, 1)])
def test_a_product_by_onednn_and_its_gradients_are_those_of_torch(shape, bias):
    torch.manual_seed(1)
    x = torch.randn(*shape[:-1], 2, shape[-1]).transpose(0, -2).requires_grad_()
    layer = Linear(shape[-1], 4, bias=bias)
    plain = torch.nn.Linear(shape[-1], 4, bias=bias)
    plain.load_state_dict(layer.state_dict())
    weight = torch.randn(4)
    found = []
    for each in (layer, plain):
        x.grad = None
        made = each(x)
        (made * weight).sum().backward()
        found.append([made, x.grad, *(p.grad for p in each.parameters())])
    for mine, torchs in zip(*found, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-5, atol=1e-5)


def test_gaps_are_summed_from_the_median_outwards():
    gaps = np.arange(1.0, 8.0, dtype=np.float32)
    want = [-6, -3, -1, 0, 5, 11, 18]  # the gap of the median itself counts for nothing
    np.testing.assert_array_equal(_outwards(np, gaps), want)
    np.testing.assert_array_equal(_outwards(torch, torch.from_numpy(gaps)), want)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(3)
    layer = Dropout(0.3)
    made = layer(torch.ones(1001, 97))
    assert abs(float((made == 0).float().mean()) - 0.3) < 0.01
    kept = made[made != 0]
    np.testing.assert_allclose(kept.numpy(), 1 / 0.7, rtol=1e-6)
    assert torch.equal(layer.eval()(torch.ones(5)), torch.ones(5))


def test_the_shapes_known_without_torch_are_the_networks():
    made = ResidualNetwork(14, 16, 3, 11)
    wanted = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    assert state_shapes(14, 16, 3, 11) == wanted


def test_an_lstm_layer_has_as_many_parameters_as_the_formula_says():
    hidden = 16
    layer = ResidualNetwork(14, hidden, 1, 5).lstms[0]
    one_bias = 4 * hidden * (hidden + hidden + 1)
    assert sum(p.numel() for p in layer.parameters()) == one_bias + 4 * hidden
