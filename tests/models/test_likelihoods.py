"""Distributions in place of quantiles: what the head makes of them, what they learn."""

from __future__ import annotations

import typing
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from forecast.common.errors import InputError, ModelDamagedError, UsageError
from forecast.config.schema import NetworkSettings, Settings
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.inference.one_step import one_step_ahead
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.streaming import GrowingSeries
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import (
    COUNTS,
    LIKELIHOODS,
    QUANTILES,
    STUDENT_T,
    check_counts,
    head_width,
    quantiles_at,
)
from forecast.models.networks.head import assemble, with_new_spread
from forecast.models.networks.numpy_forward import forward, last_state
from forecast.models.networks.registry import state_shapes
from forecast.models.networks.residual import ResidualNetwork
from forecast.models.store import MANIFEST, load_model, save_model
from forecast.training.loop import fit
from forecast.training.losses import counts_of, loss_of, negative_binomial, student_t
from forecast.training.plan import make_plan
from forecast.training.sampler import to_device
from forecast.transforms.augment import AS_IT_IS, PLAIN, seen
from forecast.transforms.windows import ahead, context, segment_layout, step_layout
from tests.builders import make_panel, random_forecaster, reword, train_config

DISTRIBUTIONS = (STUDENT_T, COUNTS)
LAYOUTS = [step_layout(12), segment_layout(48)]
LEVELS_ = np.array(LEVELS)
pytestmark = pytest.mark.usefixtures("one_thread")


def count_panel(series: int = 3, length: int = 60, mean: float = 6.0, seed: int = 0) -> Panel:
    """Independent negative binomial counts of dispersion 0.5."""
    random = np.random.default_rng(seed)
    values = random.negative_binomial(2, 2 / (2 + mean), series * length).astype(float)
    return Panel(
        np.array([f"shop-{k:03}" for k in range(series)], dtype=object),
        np.arange(series + 1) * length,
        values,
        np.zeros(series, np.int64),
        Frequency("D"),
    )


def trained_on(panel: Panel, likelihood: str, steps: int, **changes: object) -> Forecaster:
    """A forecaster that learnt from all values of the panel, from random weights."""
    layout = step_layout(1)
    views = PLAIN if likelihood == COUNTS else AS_IT_IS
    config = train_config(
        steps=steps,
        likelihood=likelihood,
        context=24,
        origins_per_window=8,
        batch_size=16,
        views=views,
        seed=1,
        **changes,
    )
    fitted = fit(panel.values, panel.offsets, layout, config)
    return Forecaster(
        layout,
        (fitted.weights,),
        LEVELS_,
        24,
        config.horizon,
        np.ones(len(LEVELS)),
        views=views,
        likelihood=likelihood,
    )


def window(layout, likelihood):
    """What one network reads and says at the ends of two series, in numpy and in torch."""
    panel = make_panel((50 * layout.width, 36 * layout.width), layout.season, missing=0.05)
    panel = replace(panel, values=np.round(panel.values))
    flat, _ = seen(panel.values, panel.offsets, layout, PLAIN[0])
    series = np.array([0, 1])
    torch.manual_seed(3)
    made = ResidualNetwork(layout.features, 16, 2, 11, likelihood=likelihood).eval()
    torch.nn.init.normal_(made.out.weight, std=0.1)
    torch.nn.init.normal_(made.out.bias, std=0.1)
    x = context(flat, layout, series, panel.lengths, 10)
    decoder = ahead(flat, layout, series, panel.lengths[None], 2)
    tensors = ahead(
        to_device(flat, torch.device("cpu")),
        layout,
        torch.tensor([0, 1]),
        torch.as_tensor(panel.lengths)[None],
        2,
    )
    return made, x, decoder, tensors


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_in_numpy_agree_with_torch(layout, likelihood):
    made, x, decoder, tensors = window(layout, likelihood)
    weights = {k: v.numpy() for k, v in made.state_dict().items()}
    with torch.no_grad():
        wanted = made(layout, made.states(torch.as_tensor(x))[-1:], tensors).numpy()
    mine = forward(weights, layout, last_state(weights, x), decoder, 11, likelihood=likelihood)
    np.testing.assert_allclose(mine, wanted, atol=2e-5, rtol=2e-5)
    wanted_shapes = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    assert state_shapes(layout.features, 16, 2, 11, likelihood=likelihood) == wanted_shapes


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_parameters_are_valid_and_quantiles_do_not_cross_whatever_the_head_says(likelihood):
    layout = step_layout(12)
    _, _, decoder, _ = window(layout, likelihood)
    width = head_width(11, likelihood)
    raw = 8 * np.random.default_rng(0).standard_normal((1, 2, 2, width)).astype(np.float32)
    said = assemble(layout, decoder, raw, 11, likelihood)
    assert (said[..., 1] > 0).all()
    assert (said[..., 2] > 2).all() if likelihood == STUDENT_T else (said[..., 0] > 0).all()
    made = quantiles_at(said, LEVELS_, decoder, likelihood)
    assert made.shape == (1, 2, 2, 24, 11)
    assert (np.diff(made, axis=-1) >= 0).all()


def test_quantiles_of_the_student_t_are_scipys():
    _, _, decoder, _ = window(step_layout(12), STUDENT_T)
    random = np.random.default_rng(1)
    freedom = np.repeat(random.uniform(2.1, 30, (1, 2, 2, 1)), 24, -1)
    said = np.stack([random.normal(size=(1, 2, 2, 24)), np.full((1, 2, 2, 24), 0.7), freedom], -1)
    wanted = stats.t.ppf(LEVELS_, said[..., 2:], said[..., :1], said[..., 1:2])
    np.testing.assert_allclose(quantiles_at(said, LEVELS_, decoder, STUDENT_T), wanted, rtol=1e-9)


def test_quantiles_of_counts_are_scipys_whole_numbers():
    _, _, decoder, _ = window(step_layout(12), COUNTS)
    random = np.random.default_rng(2)
    mean, spread = 10 ** random.uniform(-4, 4, (2, 1, 2, 2, 24))
    said = np.stack([mean, spread], -1)
    made = quantiles_at(said, LEVELS_, decoder, COUNTS)
    shift, unit = decoder.shift[None, :, None, None, None], decoder.unit[None, :, None, None, None]
    counts = (made + decoder.level[:, :, None, None, None]) * unit + shift
    size = 1 / said[..., 1:]
    wanted = stats.nbinom.ppf(LEVELS_, size, size / (size + said[..., :1]))
    np.testing.assert_allclose(counts, wanted, atol=1e-6 * (1 + wanted.max()))


def test_the_losses_are_the_distributions_log_likelihoods():
    random = np.random.default_rng(3)
    shape = (2, 3, 1, 4)
    location, actual = random.normal(size=(2, *shape))
    width, freedom = random.uniform(0.5, 2, shape), random.uniform(2.5, 9, shape)
    scale = random.uniform(0.5, 2, (2, 3))
    known = (random.random(shape) > 0.3).astype(float)
    said = torch.tensor(np.stack([location, width, freedom], -1))
    one = torch.as_tensor
    wanted = -stats.t.logpdf(actual, freedom, location, width) - np.log(scale)[:, :, None, None]
    made = student_t(said, one(actual), one(known), one(scale))
    assert float(made) == pytest.approx((wanted * known).sum() / known.sum(), rel=1e-6)

    mean, spread = random.uniform(0.2, 9, shape), random.uniform(0.05, 2, shape)
    counts = random.integers(0, 12, shape).astype(float)
    size = 1 / spread
    wanted = -stats.nbinom.logpmf(counts, size, size / (size + mean))
    said = torch.tensor(np.stack([mean, spread], -1))
    made = negative_binomial(said, one(counts), one(known))
    assert float(made) == pytest.approx((wanted * known).sum() / known.sum(), rel=1e-6)


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_targets_that_are_unknown_or_wild_do_not_steer(likelihood):
    layout = step_layout(12)
    made, x, _, decoder = window(layout, likelihood)
    said = made(layout, made.states(torch.as_tensor(x))[-1:], decoder)
    known, actual = torch.zeros(1, 2, 2, 24), torch.full((1, 2, 2, 24), 1e12)
    known[0, 0, 0, :3], actual[0, 0, 0, :3] = 1, 0.2
    levels = torch.tensor(LEVELS)
    loss = loss_of(likelihood, said, actual, known, decoder, levels)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p.grad).all()) for p in made.parameters() if p.grad is not None)
    wild = loss_of(likelihood, said.detach(), actual.clamp(max=1e6), known * 0 + 1, decoder, levels)
    assert float(wild) < 1000


def test_counts_are_found_again_in_the_scaled_targets():
    panel = count_panel(mean=900)
    layout = step_layout(1)
    flat, transform = seen(panel.values, panel.offsets, layout, PLAIN[0])
    series, origin = np.arange(3), np.full(3, 40)
    decoder = ahead(flat, layout, series, origin[None], 1)
    after = panel.window(origin, 20)
    scaled = transform.apply(after, series[:, None]) - decoder.level[0][:, None]
    tensors = replace(
        decoder, **{k: torch.as_tensor(v) for k, v in vars(decoder).items() if v is not None}
    )
    found = counts_of(torch.as_tensor(scaled)[None, :, None], tensors)
    np.testing.assert_array_equal(found[0, :, 0].numpy(), after)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_nothing_after_the_origin_is_seen(likelihood):
    panel = count_panel(length=80, mean=40)
    forecaster = forecaster_of(likelihood)
    earlier = panel.truncate(np.full(3, 50))
    before = forecast_panel(forecaster, earlier, 12).quantiles
    changed = replace(panel, values=np.where(np.arange(240) % 80 >= 50, 7e5, panel.values))
    after = forecast_panel(forecaster, changed.truncate(np.full(3, 50)), 12).quantiles
    assert before.tobytes() == after.tobytes()


def forecaster_of(likelihood: str) -> Forecaster:
    """Random weights with the head of the likelihood."""
    plain = random_forecaster(step_layout(7), hidden=8)
    if likelihood == QUANTILES:
        return plain
    shapes = state_shapes(plain.layout.features, 8, 2, 11, likelihood=likelihood)
    random = np.random.default_rng(5)
    weights = {
        name: (0.1 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    views = PLAIN if likelihood == COUNTS else AS_IT_IS
    return replace(plain, members=(weights, weights), likelihood=likelihood, views=views)


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_a_saved_model_forecasts_the_same_bytes_and_a_wrong_likelihood_is_refused(
    tmp_path, likelihood
):
    forecaster, panel = forecaster_of(likelihood), count_panel(mean=30)
    save_model(tmp_path / "model", forecaster, panel.frequency, {})
    again, manifest = load_model(tmp_path / "model")
    assert manifest["network"]["likelihood"] == again.likelihood == likelihood
    one, other = (forecast_panel(f, panel, 14).quantiles for f in (forecaster, again))
    assert one.tobytes() == other.tobytes()
    path = tmp_path / "model" / MANIFEST
    reword(path, f'"{likelihood}"', '"quantiles"')
    with pytest.raises(ModelDamagedError, match="does not hold the tensors of its manifest"):
        load_model(tmp_path / "model")
    reword(path, '"quantiles"', '"gamma"')
    with pytest.raises(ModelDamagedError, match="no likelihood is called so"):
        load_model(tmp_path / "model")


def test_a_model_from_before_there_were_likelihoods_has_quantiles(tmp_path):
    save_model(tmp_path / "model", random_forecaster(), Frequency("MS"), {})
    path = tmp_path / "model" / MANIFEST
    reword(path, '"likelihood": "quantiles",', "")
    assert load_model(tmp_path / "model")[0].likelihood == QUANTILES


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_a_growing_series_is_forecast_as_predict_does_and_one_step_ahead_too(likelihood):
    panel = count_panel(series=2, length=70, mean=40)
    panel = replace(panel, values=panel.values + 50)  # logarithms would fit
    forecaster = forecaster_of(likelihood)
    growing = GrowingSeries(forecaster, panel.series(0)[:50], 14, exact=True)
    for value in panel.series(0)[50:]:
        growing.append(value)
    wanted = forecast_panel(forecaster, panel, 14).quantiles[0]
    np.testing.assert_allclose(growing.quantiles(14)[0], wanted, rtol=1e-5)
    steps = one_step_ahead(forecaster, panel, np.array([True, True]))
    assert np.isfinite(steps[20:70]).all()
    assert (np.diff(steps[20:70], axis=-1) >= 0).all()


def test_forecasts_of_counts_are_counts_at_every_level():
    forecaster = replace(forecaster_of(COUNTS), factors=np.linspace(1.3, 1.7, 11))
    made = forecast_panel(forecaster, count_panel(mean=2), 14)
    for each in (made, at_levels(made, np.array([0.05, 0.5, 0.83, 0.99]))):
        assert (each.quantiles == np.round(each.quantiles)).all()
        assert (each.quantiles >= 0).all()
        assert (np.diff(each.quantiles, axis=-1) >= 0).all()


def test_a_start_from_quantiles_keeps_the_median_as_the_location():
    layout = step_layout(12)
    plain = random_forecaster(layout, hidden=16).members[0]
    _, x, decoder, _ = window(layout, STUDENT_T)
    state = last_state(plain, x)
    median = forward(plain, layout, state, decoder, 11)[..., 5]
    begun = with_new_spread(plain, 11, STUDENT_T)
    said = forward(begun, layout, state, decoder, 11, likelihood=STUDENT_T)
    np.testing.assert_allclose(said[..., 0], median, rtol=1e-5, atol=1e-5)
    counts = forward(
        with_new_spread(plain, 11, COUNTS), layout, state, decoder, 11, likelihood=COUNTS
    )
    unit, shift = decoder.unit[None, :, None, None], decoder.shift[None, :, None, None]
    wanted = (median + decoder.level[:, :, None, None]) * unit + shift
    far = wanted > 4 * decoder.scale[:, :, None, None] * unit  # there the mean does not bend
    assert far.mean() > 0.2
    np.testing.assert_allclose(counts[..., 0][far], wanted[far], rtol=1e-4)


def test_a_student_t_finds_the_location_scale_and_tails_that_made_the_data():
    random = np.random.default_rng(7)
    values = 50 + 4 * stats.t.rvs(3, size=40 * 120, random_state=random)
    panel = Panel(
        np.array([f"s{k:02}" for k in range(40)], dtype=object),
        np.arange(41) * 120,
        values,
        np.zeros(40, np.int64),
        Frequency("D"),
    )
    forecaster = trained_on(panel, STUDENT_T, 500, learning_rate=1e-2, dropout=0.0)
    past, after = panel.truncate(np.full(40, 100)), panel.window(np.full(40, 100), 6)
    made = forecast_panel(forecaster, past, 6)
    last = past.values[past.offsets[1:] - 1]
    assert np.abs(made.point - 50).mean() < 0.8 * np.abs(last - 50).mean()
    wanted = 50 + 4 * stats.t.ppf(LEVELS_, 3)
    found = made.quantiles.mean((0, 1))
    np.testing.assert_allclose((found - 50)[[1, 9]], (wanted - 50)[[1, 9]], rtol=0.25)
    low, high = made.interval(80)
    assert abs(((low <= after) & (after <= high)).mean() - 0.8) < 0.08


def test_a_negative_binomial_finds_the_mean_and_spread_of_counts():
    panel = count_panel(series=40, length=120, mean=6.0, seed=4)
    forecaster = trained_on(panel, COUNTS, 150, learning_rate=1e-2, dropout=0.0)
    past = panel.truncate(np.full(40, 100))
    made = forecast_panel(forecaster, past, 6)
    truth = stats.nbinom.ppf(LEVELS_, 2, 2 / 8)
    np.testing.assert_allclose(made.quantiles.mean((0, 1)), truth, rtol=0.2, atol=1.0)
    after = panel.window(np.full(40, 100), 6)
    low, high = made.interval(80)
    inside = stats.nbinom.cdf(truth[9], 2, 0.25) - stats.nbinom.cdf(truth[1] - 1, 2, 0.25)
    assert abs(((low <= after) & (after <= high)).mean() - inside) < 0.08


def test_what_is_no_count_is_refused_with_its_series_and_value():
    panel = count_panel()
    check_counts(replace(panel, values=np.where(np.arange(180) == 70, np.nan, panel.values)))
    for value in (-2.0, 3.5):
        broken = replace(panel, values=np.where(np.arange(180) == 70, value, panel.values))
        with pytest.raises(InputError) as caught:
            make_plan(broken, (7,), settings(likelihood=COUNTS))
        assert caught.value.exit_code == 4
        assert caught.value.code == "input/not-counts"
        assert str(caught.value) == (
            "series shop-001: a negative binomial forecast is of counts: whole numbers that are "
            f"not negative (found {value}). Train with --likelihood student-t, or leave "
            "--likelihood out"
        )


def test_every_likelihood_that_can_be_asked_for_has_a_head():
    asked = typing.get_args(NetworkSettings.model_fields["likelihood"].annotation)
    assert asked == LIKELIHOODS
    assert all(head_width(11, each) > 0 for each in asked)


def settings(**network: object) -> Settings:
    return Settings(network=network)  # type: ignore[arg-type]


def test_a_plan_says_that_the_spread_is_new_and_leaves_the_untrained_start_out():
    plan = make_plan(count_panel(), (7,), settings(likelihood=STUDENT_T))
    reasons = {name: why for name, _, why in plan.reasons}
    assert reasons["start"] == (
        "learnt from synthetic series; its median is the location, the spread is new"
    )
    assert plan.config.likelihood == STUDENT_T
    assert not plan.start.whole
    assert make_plan(count_panel(), (7,), settings()).start.whole
    assert make_plan(count_panel(), (7,), settings(likelihood=COUNTS)).views == PLAIN


def test_init_takes_a_model_of_quantiles_but_not_of_another_distribution(tmp_path):
    for likelihood in (QUANTILES, STUDENT_T):
        model = forecaster_of(likelihood)
        save_model(tmp_path / likelihood, model, Frequency("D"), {})

    def asked(start: str, likelihood: str) -> Settings:
        plain = settings(likelihood=likelihood)
        training = plain.training.model_copy(update={"init": str(tmp_path / start)})
        return plain.model_copy(update={"training": training})

    plan = make_plan(count_panel(), (7,), asked(QUANTILES, STUDENT_T))
    assert not plan.start.whole
    assert plan.start.weights["out.bias"].shape == (head_width(11, STUDENT_T),)
    assert make_plan(count_panel(), (7,), asked(STUDENT_T, STUDENT_T)).start.whole
    with pytest.raises(UsageError) as caught:
        make_plan(count_panel(), (7,), asked(STUDENT_T, QUANTILES))
    assert caught.value.message == (
        "--init starts from a model of likelihood student-t, which says no quantiles"
    )
