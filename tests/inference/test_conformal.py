from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.inference.conformal import calibrate, stretch

APART = np.arange(10_000)  # every series at a time of its own
LEVELS = np.array([0.025, 0.1, 0.5, 0.9, 0.975])
NORMAL = np.array([-1.96, -1.2816, 0.0, 1.2816, 1.96])


def sample(true_spread, count=4000):
    actual = true_spread * np.random.default_rng(0).standard_normal((count, 1))
    return np.broadcast_to(NORMAL, (count, 1, 5)), actual


def test_intervals_half_as_wide_as_the_errors_are_doubled():
    quantiles, actual = sample(2.0)
    factors = calibrate(quantiles, LEVELS, actual, APART[: len(actual)])
    assert factors[2] == 1
    np.testing.assert_allclose(factors[[0, 1, 3, 4]], 2, rtol=0.08)
    fixed = stretch(quantiles, factors)
    inside = (actual >= fixed[..., 1]) & (actual <= fixed[..., 3])
    assert abs(inside.mean() - 0.8) < 0.02


def test_few_actuals_move_the_width_only_a_little():
    quantiles, actual = sample(4.0, 2)
    factors = calibrate(quantiles, LEVELS, actual, APART[: len(actual)])
    assert (np.abs(np.log(factors)) < 0.15).all()


def test_intervals_are_narrowed_only_on_much_evidence():
    few, many = (
        calibrate(sample(0.5, n)[0], LEVELS, sample(0.5, n)[1], APART[:n]) for n in (40, 4000)
    )
    assert few[0] > 0.9
    assert many[0] < 0.6


def test_what_happens_to_all_series_at_once_moves_the_width_only_a_little():
    """One month in which all went wrong: many actuals, and one witness."""
    quantiles, actual = sample(2.0)
    at_once = calibrate(quantiles, LEVELS, actual, np.zeros(len(actual), int))
    assert at_once[0] == pytest.approx(2 ** (10 / 50), rel=0.02)
    steps = np.repeat(quantiles, 12, 1), np.repeat(actual, 12, 1)
    near = calibrate(steps[0], LEVELS, steps[1], np.arange(4000) % 12)
    assert near[0] == pytest.approx(at_once[0])
    years = calibrate(quantiles, LEVELS, actual, np.arange(4000) % 100)
    assert years[0] == pytest.approx(2 ** (1000 / 1040), rel=0.08)


def test_missing_actuals_and_constant_forecasts_calibrate_nothing():
    quantiles, actual = sample(1.0, 5)
    assert (calibrate(quantiles, LEVELS, actual * np.nan, APART[:5]) == 1).all()
    assert np.isfinite(calibrate(np.ones((5, 1, 5)), LEVELS, np.ones((5, 1)), APART[:5])).all()


@pytest.mark.parametrize("right", [0, 1, 3, 10, 20])
def test_forecasts_without_any_width_leave_every_factor_a_number(right):
    """Counts with an off season: zeros forecast for sure, and some of them are none."""
    quantiles = np.zeros((20, 1, len(LEVELS)))
    actual = np.where(np.arange(20) < right, 0.0, 3.0)[:, None]
    factors = calibrate(quantiles, LEVELS, actual, APART[: len(actual)])
    assert np.isfinite(factors).all()
    assert (factors >= 1).all() or right == 20
    actual[0] = np.finfo(float).max
    quantiles[0] = np.linspace(-1e-300, 1e-300, len(LEVELS))
    with np.errstate(over="ignore"):
        assert np.isfinite(calibrate(quantiles, LEVELS, actual, APART[: len(actual)])).all()


def test_stretched_quantiles_stay_in_order():
    random = np.random.default_rng(1)
    quantiles = np.sort(random.standard_normal((7, 3, 5)), -1)
    out = stretch(quantiles, np.array([0.5, 4, 1, 4, 0.5]))
    assert (np.diff(out, axis=-1) >= 0).all()


def test_counts_of_an_off_season_give_finite_factors():
    """Forecasts of nothing but zeros, and a few actuals above: an endless ratio beside others."""
    actual = np.zeros((1, 40))
    actual[0, :4] = [1, 2, 1, 1]
    assert np.isfinite(calibrate(np.zeros((1, 40, len(LEVELS))), LEVELS, actual, APART[:1])).all()


@given(st.integers(0, 2**31), st.integers(1, 60), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_factors_are_finite_and_bounded_whatever_the_counts(seed, steps, share):
    random = np.random.default_rng(seed)
    quantiles = np.sort(random.poisson(0.7, (2, steps, len(LEVELS))), -1).astype(float)
    quantiles[random.random((2, steps)) < share] = 0
    actual = random.poisson(0.7, (2, steps)).astype(float)
    actual[random.random((2, steps)) < 0.2] = np.nan
    factors = calibrate(quantiles, LEVELS, actual, APART[: len(actual)])
    assert (factors >= 0.5).all() and (factors <= 4.0).all()
