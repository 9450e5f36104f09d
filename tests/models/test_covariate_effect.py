from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import Covariate, Covariates
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import COUNTS, LIKELIHOODS, QUANTILES, STUDENT_T, head_width
from forecast.models.networks import numpy_forward
from forecast.models.networks.covariate_effect import (
    COVARIATE_LAYERS,
    SPREAD_PACE,
    beside,
    by_row,
    by_window,
    less,
    own_response,
    without_effect,
)
from forecast.models.networks.head import LEAST_DISPERSION, assemble
from forecast.models.networks.registry import effects_of, state_shapes
from forecast.models.networks.residual import ResidualNetwork
from forecast.models.store import load_model, save_model
from forecast.training.loop import fit
from forecast.training.sampler import tensors, to_device
from forecast.transforms.augment import AS_IT_IS, PLAIN, View
from forecast.transforms.covariates import Design, Entry, encode, fit_design, widths
from forecast.transforms.scaling import scale_panel
from forecast.transforms.windows import Flat, ahead, context, segment_layout, step_layout, targets
from tests.builders import make_panel, train_config

LAYOUTS = [step_layout(12), step_layout(7, 28), segment_layout(24), segment_layout(48)]
HORIZON = 9


def covered(layout, lengths=(45, 30), extra=60, seed=5, missing=0.05):
    """A panel with one covariate known ahead, one of the past, one that never changes."""
    width = layout.width
    panel = make_panel([n * width for n in lengths], layout.season, seed=seed, missing=missing)
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(panel.lengths + extra)])
    rows = int(offsets[-1])
    columns = (
        Covariate("heat", "future", random.standard_normal(rows)),
        Covariate("clicks", "past", random.standard_normal(rows)),
        Covariate("area", "static", random.standard_normal(panel.size)),
    )
    design = Design(
        (Entry("heat", "future"), Entry("clicks", "past", flag=True), Entry("area", "static"))
    )
    return replace(panel, covariates=Covariates(offsets, columns)), design


def forecaster_of(layout, design, seed=0, zero=False, likelihood=QUANTILES):
    """A forecaster of random weights that reads `design`; zero: its covariates' layers are zero."""
    random = np.random.default_rng(seed)
    counts = widths(design, layout.segment_points)
    shapes = state_shapes(layout.features, 8, 2, len(LEVELS), *counts, likelihood=likelihood)
    weights = {
        name: (0.3 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    if zero:
        for name in ("effect_out.weight", "embed_covariates.weight"):
            weights[name] = np.zeros_like(weights[name])
    return Forecaster(
        layout, (weights,), np.array(LEVELS), 6, HORIZON, np.ones(len(LEVELS)), design=design,
        likelihood=likelihood, views=PLAIN if likelihood == COUNTS else AS_IT_IS,
    )  # fmt: skip


def flat_of(panel, layout):
    lags = [lag for lag in layout.lags if lag]
    return Flat.of(
        scale_panel(panel.values, panel.offsets, lags=lags, level_window=layout.level_window)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_covariates_there_are_no_tensors_for_them(layout):
    plain = ResidualNetwork(layout.features, 8, 2, 5)
    assert not [name for name in plain.state_dict() if name.startswith(COVARIATE_LAYERS)]
    covered_ = ResidualNetwork(layout.features, 8, 2, 5, known_ahead=4, beside=7)
    found = {name: tuple(tensor.shape) for name, tensor in covered_.state_dict().items()}
    assert found == state_shapes(layout.features, 8, 2, 5, 4, 7)
    assert set(found) - set(state_shapes(layout.features, 8, 2, 5)) == {
        "effect_in.weight",
        "effect_in.bias",
        "effect_out.weight",
        "effect_own",
        "embed_covariates.weight",
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_untrained_covariates_change_no_forecast(layout):
    panel, design = covered(layout)
    forecaster = forecaster_of(layout, design, zero=True)
    plain = {n: a for n, a in forecaster.members[0].items() if not n.startswith(COVARIATE_LAYERS)}
    without = replace(forecaster, members=(plain,), design=None)
    np.testing.assert_allclose(
        forecast_panel(forecaster, panel, HORIZON).quantiles,
        forecast_panel(without, panel, HORIZON).quantiles,
        rtol=1e-5,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_effect_on_a_mirrored_series_is_mirrored(layout):
    panel, design = covered(layout)
    known_ahead = replace(design, entries=(Entry("heat", "future"),))
    forecaster = forecaster_of(layout, known_ahead)
    weights = dict(forecaster.members[0])
    weights["effect_out.weight"] = weights["effect_out.weight"] * np.float32([[-1], [1]])  # effect
    below = replace(panel, values=-panel.values)
    upright = replace(forecaster, members=(weights,), views=(View(False, False),))
    mirrored = replace(forecaster, views=(View(False, True),))
    one, two = (
        forecast_panel(f, p, HORIZON, allow_negative=True).quantiles
        for f, p in ((upright, below), (mirrored, panel))
    )
    np.testing.assert_allclose(two, -one[..., ::-1], rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_level_less_the_effect_is_the_level_of_the_series_less_the_effect(layout):
    """`less` agrees with scaling the adjusted series from the start, gaps included."""
    panel, _ = covered(layout, missing=0.3)
    flat = flat_of(panel, layout)
    series, length = np.array([0, 1]), int(panel.lengths.max())
    effect = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    local, here = less(flat, layout, series, np.zeros(2, np.int64), effect)
    for s in (0, 1):
        n = int(panel.lengths[s])
        own = flat.values[flat.starts[s] : flat.starts[s] + n].astype(float) - effect[s, :n]
        again = scale_panel(own, np.array([0, n]), lags=[1], level_window=layout.level_window)
        wanted = again.values * again.transform.unit + again.transform.shift
        level = again.level * again.transform.unit + again.transform.shift
        first = int(np.flatnonzero(np.isfinite(own))[0])
        at = local.starts[here[s]] + np.arange(n)
        np.testing.assert_allclose(local.values[at], wanted, atol=1e-4)
        np.testing.assert_allclose(local.level[at][first:], level[first:], atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_read_the_same_from_a_stretch_as_from_whole_series(layout):
    panel, design = covered(layout)
    flat, known = flat_of(panel, layout), encode(design, panel, HORIZON)
    series, steps, chunks = np.array([1, 0, 1]), 6, 2
    end = panel.lengths[series] - np.array([3, 50, 20])
    local, here = without_effect(
        flat, layout, by_window(known, lambda x: x[..., :1] * 0), series, end, steps, chunks
    )
    assert not local.effect.any()
    np.testing.assert_allclose(
        context(local, layout, here, end, steps),
        context(flat, layout, series, end, steps),
        atol=1e-5,
    )
    one, two = (ahead(*args, end[None], chunks) for args in (
        (local, layout, here), (flat, layout, series)
    ))  # fmt: skip
    for name in ("skips", "carried", "present", "level", "scale", "move"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=1e-5)
    for mine, other in zip(
        targets(local, layout, here, end[None], chunks, HORIZON),
        targets(flat, layout, series, end[None], chunks, HORIZON),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy_and_torch_agree_on_covariates(layout):
    panel, design = covered(layout)
    flat, known = flat_of(panel, layout), encode(design, panel, HORIZON)
    weights = forecaster_of(layout, design).members[0]
    network = ResidualNetwork(
        layout.features, 8, 2, len(LEVELS), 0.0, known.ahead, known.beside(layout)
    ).eval()
    network.load_state_dict({name: torch.as_tensor(a) for name, a in weights.items()})
    series, end, cpu = np.array([0, 1]), panel.lengths - 4, torch.device("cpu")
    theirs = torch.as_tensor(series), torch.as_tensor(end)
    mine = without_effect(
        flat,
        layout,
        by_window(known, partial(numpy_forward.effect, weights)),
        series,
        end,
        6,
        2,
        own=weights["effect_own"],
    )
    with torch.no_grad():
        other = without_effect(
            to_device(flat, cpu),
            layout,
            by_window(tensors(known, cpu), network.effect),
            *theirs,
            6,
            2,
            own=network.effect_own,
        )
        extra = beside(tensors(known, cpu), layout, *theirs, 6)
        x = context(other[0], layout, other[1], theirs[1], 6)
        state = network.states(x, extra)[-1:].numpy()
    for name in ("level", "effect", "spread", "own"):
        found, wanted = getattr(mine[0], name), getattr(other[0], name).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        assert found.any()
    ours = numpy_forward.last_state(
        weights,
        context(mine[0], layout, mine[1], end, 6),
        beside(known, layout, series, end, 6),
    )
    np.testing.assert_allclose(ours, state, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_effect_by_row_is_the_effect_by_window(layout):
    panel, design = covered(layout)
    known = tensors(encode(design, panel), torch.device("cpu"))
    network = ResidualNetwork(layout.features, 8, 2, 3, 0.0, known.ahead, known.beside(layout))
    torch.nn.init.normal_(network.effect_out.weight)
    series = torch.tensor([1, 0, 1])
    position = torch.tensor([[0], [4], [9]]) + torch.arange(12)
    one = by_window(known, network.effect)(series, position)
    two = by_row(known, known.every(), network.effect)(series, position)
    torch.testing.assert_close(one, two)


def test_a_calendar_has_a_row_for_each_date_and_not_for_each_value():
    panel = replace(make_panel((60, 45), 7, alias="D"), first=np.array([0, 9]))
    design = fit_design(panel, panel.lengths, calendar=True, holidays=(), calendar_tz=None)
    known = tensors(encode(design, panel, 5), torch.device("cpu"))
    network = ResidualNetwork(LAYOUTS[1].features, 8, 2, 3, 0.0, known.ahead)
    torch.nn.init.normal_(network.effect_out.weight)
    assert known.alike and known.every().shape[1] == 65
    series, position = torch.tensor([1, 0]), torch.tensor([[-2], [50]]) + torch.arange(12)
    one = by_window(known, network.effect)(series, position)
    two = by_row(known, known.every(), network.effect)(series, position)
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[2]])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_unknown_at_the_origin_changes_a_forecast(layout, seed):
    panel, design = covered(layout, seed=seed)
    origins = panel.lengths - np.array([HORIZON + 5, HORIZON + 2])
    forecaster = forecaster_of(layout, design, seed)
    honest = forecast_panel(forecaster, panel.truncate(origins), HORIZON).quantiles

    def changed(name, first, by=1e6):
        """Forecasts when column `name` (or y) is another from each series' step `first` on."""
        values, columns = panel.values.copy(), []
        at = panel.offsets[:-1] if name == "y" else panel.covariates.offsets[:-1]
        ends = panel.offsets[1:] if name == "y" else panel.covariates.offsets[1:]
        for column in panel.covariates.columns:
            new = column.values.copy()
            if column.name == name:
                for s in range(panel.size):
                    new[at[s] + first[s] : ends[s]] += by
            columns.append(replace(column, values=new))
        if name == "y":
            for s in range(panel.size):
                values[at[s] + first[s] : ends[s]] += by
        covariates = replace(panel.covariates, columns=tuple(columns))
        poisoned = replace(panel, values=values, covariates=covariates)
        return forecast_panel(forecaster, poisoned.truncate(origins), HORIZON).quantiles

    np.testing.assert_array_equal(changed("y", origins), honest)
    np.testing.assert_array_equal(changed("clicks", origins), honest)
    np.testing.assert_array_equal(changed("heat", origins + HORIZON), honest)
    assert (changed("heat", origins, 1.0) != honest).any()
    assert (changed("clicks", origins - 1, 1.0) != honest).any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_how_much_more_a_series_responds_is_learnt_from_what_it_did_so_far(layout):
    """Twice the effect that is said, behind a season and noise: a share of 1, in the end."""
    random, length = np.random.default_rng(0), 60 * layout.season
    effect = (random.random((2, length)) < 0.1).astype(np.float32) * 3
    season = np.tile(random.standard_normal(layout.season) * 5, 60)
    noise = 0.5 * random.standard_normal((2, length))
    z = (season + noise + effect * [[1.0], [0.0]]).astype(np.float32)  # less the effect itself
    z[:, 5::17] = np.nan
    own = np.array([3.0, 1.0], np.float32)
    share = own_response(layout, z, effect, own)
    assert share.shape == z.shape and share.dtype == np.float32
    assert (share[:, : layout.season] == 0).all()
    assert abs(share[:, -1] - [1, 0]).max() < 0.1
    strict = own_response(layout, z, effect, np.array([9.0, 1.0], np.float32))
    assert (abs(strict[0]) <= abs(share[0]) + 1e-6).all() and strict[0, -1] < share[0, -1]
    middle = length // 2
    z[:, middle:] += 1e3
    np.testing.assert_array_equal(
        own_response(layout, z, effect, own)[:, :middle], share[:, :middle]
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_step_is_as_many_times_as_wide_as_its_covariates_say(layout, likelihood):
    panel, _ = covered(layout)
    decoder = ahead(flat_of(panel, layout), layout, np.array([0, 1]), panel.lengths[None], 2)
    shape = (1, 2, 2, head_width(len(LEVELS), likelihood))
    raw = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    spread = np.log(np.arange(1, 1 + 4 * layout.chunk)).reshape(1, 2, 2, layout.chunk)
    one, many = (
        assemble(layout, each, raw, len(LEVELS), likelihood)
        for each in (decoder, replace(decoder, spread=spread.astype(np.float32)))
    )
    times, middle = np.exp(spread), len(LEVELS) // 2
    if likelihood == QUANTILES:
        wide, usual = (x - x[..., middle, None] for x in (many, one))
        np.testing.assert_allclose(wide, times[..., None] * usual, rtol=1e-4, atol=1e-4)
        one, many = one[..., middle, None], many[..., middle, None]  # the median stays
    else:  # of a Student t the scale, of counts the dispersion
        least = LEAST_DISPERSION if likelihood == COUNTS else 0.0
        np.testing.assert_allclose(many[..., 1] - least, times * (one[..., 1] - least), rtol=1e-3)
    np.testing.assert_array_equal(one[..., 0], many[..., 0])


def test_a_network_of_before_forecasts_as_one_that_says_nothing_of_the_spread():
    panel, design = covered(LAYOUTS[1])
    new = forecaster_of(LAYOUTS[1], design)
    weights = dict(new.members[0])
    del weights["effect_own"]
    weights["effect_out.weight"] = weights["effect_out.weight"][:1]
    assert (effects_of(new.members[0]), effects_of(weights), effects_of({})) == (2, 1, 0)
    silent = {
        **new.members[0],
        "effect_out.weight": np.pad(weights["effect_out.weight"], ((0, 1), (0, 0))),
        "effect_own": np.zeros(2, np.float32),
    }
    before, now = (
        forecast_panel(replace(new, members=(each,)), panel, HORIZON).quantiles
        for each in (weights, silent)
    )
    np.testing.assert_allclose(before, now, rtol=1e-6)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_model_with_covariates_is_kept_and_one_of_before_is_read(tmp_path, likelihood):
    panel, design = covered(LAYOUTS[0])
    panel = replace(panel, values=np.round(np.abs(panel.values)))
    now = forecaster_of(LAYOUTS[0], design, likelihood=likelihood)
    weights = dict(now.members[0])
    del weights["effect_own"]
    weights["effect_out.weight"] = weights["effect_out.weight"][:1]
    before = replace(now, members=(weights,))
    for name, forecaster, version in (("now", now, 3), ("before", before, 2)):
        save_model(tmp_path / name, forecaster, Frequency("MS"), {})
        read, manifest = load_model(tmp_path / name)
        assert manifest["schema_version"] == version  # an edition of before says what it cannot
        np.testing.assert_array_equal(
            forecast_panel(read, panel, HORIZON).quantiles,
            forecast_panel(forecaster, panel, HORIZON).quantiles,
        )


def learnable(covariate, seed=2, size=6, length=90):
    """Monthly series with a season, and `covariate(x)` of noise x added; x known 12 steps on."""
    random = np.random.default_rng(seed)
    panel = make_panel([length] * size, 12, seed=seed)
    x = random.standard_normal((size, length + 12))
    values = panel.values.reshape(size, length) * np.exp(0.1 * covariate(x))
    column = Covariate("x", "future", x.reshape(-1))
    offsets = np.arange(size + 1) * (length + 12)
    return replace(panel, values=values.reshape(-1), covariates=Covariates(offsets, (column,)))


def fitted(panel, design, steps=40, **numbers):
    layout = step_layout(12)
    config = train_config(steps=steps, hidden_size=16, batch_size=16, **numbers, seed=1)
    known = encode(design, panel, 0) if design else None
    validation = panel.lengths[None] - 6
    return fit(panel.values, panel.offsets, layout, config, validation=validation, known=known)


def test_what_a_covariate_does_is_learnt_through_inputs_and_targets():
    panel = learnable(lambda x: x[:, :90])
    design = Design((Entry("x", "future"),))
    with_it, without = fitted(panel, design), fitted(panel, None)
    assert with_it.best_loss < 0.6 * without.best_loss


def test_what_a_covariate_of_the_past_tells_of_the_next_steps_is_learnt():
    panel = learnable(lambda x: np.concatenate([x[:, :1] * 0, x[:, :89]], 1))
    past = replace(panel.covariates.columns[0], role="past")
    panel = replace(panel, covariates=replace(panel.covariates, columns=(past,)))
    design = Design((Entry("x", "past"),))
    with_it = fitted(panel, design, steps=80, horizon=1)
    without = fitted(panel, None, steps=80, horizon=1)
    assert with_it.best_loss < 0.85 * without.best_loss


@pytest.mark.parametrize("likelihood", (QUANTILES, STUDENT_T))
def test_what_a_covariate_does_to_the_spread_is_learnt(likelihood):
    """Errors are five times as large where it is 1."""
    random = np.random.default_rng(4)
    panel = learnable(lambda x: x[:, :90] * 0)
    wild = (random.random((6, 102)) < 0.3).astype(float)
    errors = 0.02 * random.standard_normal((6, 90)) * (1 + 4 * wild[:, :90])
    column = replace(panel.covariates.columns[0], values=wild.reshape(-1))
    panel = replace(
        panel,
        values=panel.values * np.exp(errors.reshape(-1)),
        covariates=replace(panel.covariates, columns=(column,)),
    )
    made = fitted(panel, Design((Entry("x", "future"),)), steps=120, likelihood=likelihood)
    said = numpy_forward.effect(made.weights, np.array([[[0.0], [1.0]]], np.float32))[0, :, 1]
    assert SPREAD_PACE * (said[1] - said[0]) > np.log(1.5)


def test_what_a_covariate_does_to_counts_is_learnt():
    """Three times the sales where it is 1; the forecasts, whole numbers, follow."""
    random = np.random.default_rng(4)
    promotion = (random.random((6, 102)) < 0.2).astype(float)
    counts = random.negative_binomial(4, 4 / (4 + 8 * 3**promotion)).astype(float)
    panel = learnable(lambda x: x[:, :90])
    column = replace(panel.covariates.columns[0], values=promotion.reshape(-1))
    panel = replace(
        panel,
        values=counts[:, :90].reshape(-1),
        covariates=replace(panel.covariates, columns=(column,)),
    )
    design = Design((Entry("x", "future"),))
    with_it = fitted(panel, design, steps=120, likelihood=COUNTS)
    assert with_it.best_loss < 0.97 * fitted(panel, None, steps=120, likelihood=COUNTS).best_loss
    forecaster = Forecaster(
        step_layout(12), (with_it.weights,), np.array(LEVELS), 12, 12, np.ones(len(LEVELS)),
        design=design, views=PLAIN, likelihood=COUNTS,
    )  # fmt: skip
    made = forecast_panel(forecaster, panel, 12)
    np.testing.assert_array_equal(made.quantiles, np.round(made.quantiles))
    on = promotion[:, 90:] == 1
    assert made.point[on].mean() > 1.8 * made.point[~on].mean()


def test_training_goes_on_from_a_network_of_before():
    panel, design = learnable(lambda x: x[:, :90]), Design((Entry("x", "future"),))
    weights = fitted(panel, design, steps=8).weights
    before = {name: array for name, array in weights.items() if name != "effect_own"}
    before["effect_out.weight"] = before["effect_out.weight"][:1]
    layout, known = step_layout(12), encode(design, panel, 0)
    config = train_config(steps=0, hidden_size=16, batch_size=16, seed=1)
    made = fit(panel.values, panel.offsets, layout, config, initial=before, known=known).weights
    np.testing.assert_array_equal(made["effect_out.weight"][:1], before["effect_out.weight"])
    assert not made["effect_out.weight"][1:].any()


def test_the_same_seed_learns_the_same_bytes_from_covariates():
    panel = learnable(lambda x: x[:, :90])
    design = Design((Entry("x", "future"),))
    one, two = (fitted(panel, design, steps=8) for _ in range(2))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name])
