from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.transforms.scaling import calls_for_log, scale_panel
from tests.builders import make_panel


def scaled(values, offsets=None, lags=(1, 12), level_window=12):
    values = np.asarray(values, float)
    offsets = np.array([0, len(values)]) if offsets is None else offsets
    return scale_panel(values, offsets, lags=lags, level_window=level_window)


def test_the_transform_and_its_inverse_give_the_values_back():
    panel = make_panel(missing=0.1)
    result = scaled(panel.values, panel.offsets)
    series = np.repeat(np.arange(panel.size), panel.lengths)
    known = np.isfinite(panel.values)
    back = result.transform.invert(result.values[known].astype(float), series[known])
    np.testing.assert_allclose(back, panel.values[known], rtol=1e-5)
    assert np.isnan(result.values[~known]).all()


def test_positive_series_are_logged_and_others_are_not():
    values = np.concatenate(
        [[10.0, 12, 11, 13], [-1.0, 2, 3, 1], [0.0, 5, 6, 7], [0.001, 50, 60, 70]]
    )
    result = scaled(values, np.array([0, 4, 8, 12, 16]))
    assert result.transform.logged.tolist() == [True, False, False, False]


def test_the_choice_of_logarithms_can_be_made_by_the_caller():
    values = np.array([10.0, 12, 11, 13, 10.0, 12, 11, 13])
    chosen = scale_panel(
        values, np.array([0, 4, 8]), lags=[1], level_window=1, logged=np.array([True, False])
    )
    assert chosen.transform.logged.tolist() == [True, False]
    assert calls_for_log(values, np.array([0, 4, 8])).tolist() == [True, True]


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e12])
def test_the_networks_units_do_not_depend_on_the_size_of_the_values(size):
    rng = np.random.default_rng(1)
    values = rng.standard_normal(50).cumsum()
    one, other = scaled(values), scaled(values * size)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(one.scale, other.scale, rtol=1e-4)


@pytest.mark.parametrize("constant", [0.0, 5.0, -3.0, 1e12, 1e-9])
def test_a_constant_series_stays_finite_and_invertible(constant):
    result = scaled(np.full(20, constant))
    assert np.isfinite(result.values).all()
    assert (result.scale == 0).all() and (result.move == 1).all()
    back = result.transform.invert(result.values.astype(float), np.zeros(20, int))
    np.testing.assert_allclose(back, constant, rtol=1e-6, atol=1e-300)


def test_the_level_is_the_mean_of_the_last_season_of_the_same_series():
    values = np.concatenate([np.arange(1.0, 25.0), np.arange(-50.0, -26.0)])
    result = scaled(values, np.array([0, 24, 48]), level_window=4)
    unlogged = result.values[24:]
    expected = [unlogged[max(0, n - 3) : n + 1].mean() for n in range(24)]
    np.testing.assert_allclose(result.level[24:], expected, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.5, 1e4), min_size=4, max_size=60), st.data())
def test_the_level_and_the_units_at_a_position_do_not_see_what_follows(values, data):
    values = np.array(values)
    cut = data.draw(st.integers(2, len(values) - 1))
    changed = values.copy()
    changed[cut:] = changed[cut:] * 3 + 1
    one, other = scaled(-values), scaled(-changed)  # negative: never logged
    for name in ("level", "scale", "move"):
        # In original units: a shift and a division of the whole series cancel.
        shifts = [r.transform.shift[0] if name == "level" else 0.0 for r in (one, other)]
        first, second = (
            getattr(r, name)[:cut].astype(float) * r.transform.unit[0] + shift
            for r, shift in zip((one, other), shifts, strict=True)
        )
        known = (one.scale[:cut] > 0) & (other.scale[:cut] > 0)
        np.testing.assert_array_equal(one.scale[:cut] > 0, other.scale[:cut] > 0)
        rounding = 1e-5 * np.abs(changed).max()  # float32 of the larger series
        assert (np.abs(first - second)[known] <= rounding).all()


def test_no_unit_is_known_before_two_steps_were_seen():
    result = scaled([np.nan, np.nan, 5.0, 6.0, 5.5])
    assert np.isfinite(result.level).all()
    assert result.scale[:4].tolist() == [0, 0, 0, 0]
    assert result.scale[4] > 0
