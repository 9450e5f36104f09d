from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from forecast.training.sampler import to_device
from forecast.transforms.scaling import scale_panel
from forecast.transforms.windows import (
    Flat,
    ahead,
    context,
    resample_matrix,
    segment_layout,
    step_layout,
    targets,
)
from tests.builders import make_panel

LAYOUTS = [
    step_layout(12),
    step_layout(1),
    step_layout(7, 28),
    segment_layout(24),
    segment_layout(48),
]


def flat_of(panel, layout):
    lags = [lag for lag in layout.lags if lag]
    return Flat.of(
        scale_panel(panel.values, panel.offsets, lags=lags, level_window=layout.level_window)
    )


def batch(layout):
    panel = make_panel((60 * layout.width, 44 * layout.width), layout.season, missing=0.05)
    return panel, flat_of(panel, layout), np.array([0, 1, 1]), panel.lengths[[0, 1, 1]] - [0, 0, 5]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy_and_torch_gather_the_same_numbers(layout):
    _, flat, series, end = batch(layout)
    on_torch = to_device(flat, torch.device("cpu"))
    s, e = torch.as_tensor(series), torch.as_tensor(end)
    x = context(flat, layout, series, end, 9)
    assert x.shape == (9, 3, layout.features)
    np.testing.assert_allclose(x, context(on_torch, layout, s, e, 9).numpy(), atol=1e-5)
    decoder, other = (
        ahead(flat, layout, series, end[None], 2),
        ahead(on_torch, layout, s, e[None], 2),
    )
    for name in ("skips", "carried", "present", "level", "scale", "move"):
        np.testing.assert_allclose(getattr(decoder, name), getattr(other, name).numpy(), atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_targets_are_the_values_after_the_origin(layout):
    panel, flat, series, _ = batch(layout)
    origin = np.array([[40, 30, 35]]) * layout.width
    horizon = layout.chunk + 3
    actual, known = targets(flat, layout, series, origin, 2, horizon)
    for b, s in enumerate(series):
        start = panel.offsets[s] + origin[0, b]
        wanted = flat.values[start : start + horizon] - flat.level[start - 1]
        inside = wanted[: panel.offsets[s + 1] - start]
        seen = actual[0, b].reshape(-1)[: len(inside)]
        mask = known[0, b].reshape(-1)
        np.testing.assert_allclose(seen, np.nan_to_num(inside), atol=1e-5)
        assert mask[: len(inside)].tolist() == np.isfinite(inside).astype(float).tolist()
        assert mask[horizon:].sum() == 0


@pytest.mark.parametrize("layout", [step_layout(12), segment_layout(24)])
def test_a_skip_repeats_the_value_one_season_ago(layout):
    panel = make_panel((60 * layout.width,), layout.season)
    flat = flat_of(panel, layout)
    origin = np.array([[50 * layout.width]])
    decoder = ahead(flat, layout, np.array([0]), origin, 1)
    season = layout.lags.index(layout.season) + 1
    start = origin[0, 0] - layout.season
    wanted = flat.values[start + np.arange(layout.chunk) % layout.season] - decoder.level[0, 0]
    np.testing.assert_allclose(decoder.skips[0, 0, 0, season], wanted, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_after_the_origin_is_read(layout):
    panel, flat, series, end = batch(layout)
    origin = end - 3 * layout.width
    values = flat.values.copy()
    for s in range(panel.size):
        cut = panel.offsets[s] + origin[series == s].min()
        values[cut : panel.offsets[s + 1]] = 1e6
    poisoned = Flat(**{**vars(flat), "values": values})
    first = origin.copy()
    first[series == 1] = origin[series == 1].min()
    for make in (
        lambda f: [context(f, layout, series, first, 8)],
        lambda f: list(vars(ahead(f, layout, series, first[None], 3)).values()),
    ):
        for clean, other in zip(make(flat), make(poisoned), strict=True):
            np.testing.assert_array_equal(clean, other)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 12, 13, 30])
def test_an_origin_looks_the_same_whatever_values_come_after_it(layout, steps):
    """Shift and unit of a series come from all of its values: no input may depend on them."""
    rng = np.random.default_rng(steps)
    origin = steps * layout.width + (steps % 3 if layout.width > 1 else 0)
    long = np.exp(np.cumsum(rng.normal(0.02, 0.1, origin + 60 * layout.width)))
    seen = []
    for values in (long[:origin], long):
        lags = [lag for lag in layout.lags if lag]
        flat = Flat.of(
            scale_panel(
                values,
                np.array([0, len(values)]),
                lags=lags,
                level_window=layout.level_window,
                logged=np.array([True]),
            )
        )
        one, at = np.zeros(1, int), np.array([origin])
        decoder = ahead(flat, layout, one, at[None], 2)
        unit = np.where(flat.scale[origin - 1] > 0, 1 / decoder.move, 0)[..., None, None, None]
        seen.append(
            [context(flat, layout, one, at, 20), decoder.skips * unit, decoder.carried * unit]
        )
    for short, whole in zip(*seen, strict=True):
        np.testing.assert_allclose(short, whole, atol=2e-3)


def test_the_drift_of_a_straight_line_carries_the_level_and_the_last_value_on():
    layout = step_layout(1)
    line = np.arange(100.0) - 300
    flat = Flat.of(scale_panel(line, np.array([0, 100]), lags=[1], level_window=1))
    decoder = ahead(flat, layout, np.array([0]), np.array([[60]]), 1)
    forecast = (decoder.skips + decoder.carried)[0, 0, 0, :2] / decoder.scale[0, 0]
    np.testing.assert_allclose(forecast, [np.arange(1, 25)] * 2, rtol=1e-4)


def test_positions_outside_a_series_are_missing_not_the_neighbours_values():
    layout = step_layout(4)
    panel = make_panel((10, 10), 4)
    x = context(flat_of(panel, layout), layout, np.array([1]), np.array([3]), 6)
    present = x[:, 0, 4]
    assert present.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.abs(x[:3, 0, :4]).max() == 0


@pytest.mark.parametrize(
    ("source", "target"), [(24, 24), (48, 24), (96, 24), (12, 24), (24, 48), (24, 144)]
)
def test_resampling_a_day_keeps_a_constant_and_orders(source, target):
    matrix = resample_matrix(source, target)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    assert (matrix >= 0).all()
    slope = matrix @ np.arange(source)
    assert (np.diff(slope) >= -1e-4).all()


def test_ten_million_observations_are_windowed_in_a_gigabyte():
    count, length = 20_000, 500
    values = np.random.default_rng(0).random(count * length) + 1
    offsets = np.arange(count + 1) * length
    layout = step_layout(12)
    tracemalloc.start()
    scaled = scale_panel(values, offsets, lags=[1, 12, 24, 36], level_window=12)
    flat = Flat.of(scaled)
    peak = tracemalloc.get_traced_memory()[1]
    kept = sum(a.nbytes for a in vars(flat).values() if isinstance(a, np.ndarray))
    del scaled
    series = np.random.default_rng(1).integers(0, count, 64)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    context(flat, layout, series, np.full(64, length), 72)
    drawn = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert kept < 300e6
    assert drawn < 50e6
    assert peak < 1e9
