"""The building blocks of synthetic series against what theory or a reference says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from dateutil.easter import easter as reference_easter
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import UsageError
from forecast.training.pretraining.base import WIDEST, Frame, heavy, link, log_uniform, shocks
from forecast.training.pretraining.calendar_effects import _weekdays, easter
from forecast.training.pretraining.components import (
    HOURS,
    ar1,
    autoregression,
    garch,
    lay_out,
    make_week,
    moving_average,
    profiles,
    seasonal_recursion,
    smooth_path,
)
from forecast.training.pretraining.config import SyntheticConfig, load_config
from forecast.training.pretraining.counts import overdispersed
from forecast.training.pretraining.families import families
from forecast.training.pretraining.gaussian_process import rbf
from forecast.training.pretraining.generate import (
    never_constant,
    observed,
    rescaled,
    with_outliers,
    with_years,
)
from forecast.training.pretraining.structural import random_poles
from tests import ROOT


def frame_of(size: int, length: int = 120, season: int = 12) -> Frame:
    return Frame(length, np.full(size, season), np.full(size, length))


def test_the_written_recipe_is_the_built_in_one() -> None:
    path = ROOT / "configs" / "synthetic.yaml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert load_config(path) == SyntheticConfig()
    # Nothing is left to a default: the file shows every figure.
    assert SyntheticConfig().model_dump() == SyntheticConfig.model_validate(written).model_dump()
    assert set(written["step"]) == set(SyntheticConfig().step.model_dump())
    assert set(written["day"]) == set(SyntheticConfig().day.model_dump())


def test_every_family_has_a_weight_and_every_weight_a_family() -> None:
    config = SyntheticConfig()
    assert set(config.step.weights) == set(families("step"))
    assert set(config.day.weights) == set(families("day"))
    assert all(family.source for kind in ("step", "day") for family in families(kind).values())


def test_a_recipe_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("step:\n  wieghts: {walk: 1}\n")
    with pytest.raises(UsageError, match="wieghts") as caught:
        load_config(path)
    assert caught.value.code == "usage/synthetic-recipe"
    assert str(path) in str(caught.value)


def test_shocks_and_autoregressions_have_unit_variance() -> None:
    rng = np.random.default_rng(1)
    assert shocks(rng, 400, 500).var() == pytest.approx(1.0, abs=0.06)
    assert heavy(rng, 5.0, (400, 500)).var() == pytest.approx(1.0, abs=0.06)
    path = ar1(rng, np.full(2000, 0.8), 200)
    assert path.var() == pytest.approx(1.0, abs=0.06)
    lagged = (path[1:] * path[:-1]).mean() / path.var()
    assert lagged == pytest.approx(0.8, abs=0.02)


def test_smooth_paths_have_unit_variance_whatever_their_memory() -> None:
    rng = np.random.default_rng(2)
    for memory in (4.0, 20.0):
        path = smooth_path(rng, 600, np.full(400, memory))
        assert path[50:].var() == pytest.approx(1.0, abs=0.12)


def test_garch_noise_has_unit_variance_and_clusters() -> None:
    noise = garch(np.random.default_rng(3), 600, 600)
    assert noise.var() == pytest.approx(1.0, abs=0.12)
    square = noise**2 - (noise**2).mean(axis=0)
    lagged = (square[1:] * square[:-1]).mean(axis=0) / square.var(axis=0)
    assert np.median(lagged) > 0.08
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.02


def test_autoregression_follows_its_equation() -> None:
    noise = np.random.default_rng(4).standard_normal((30, 2))
    coefficients = np.array([[0.5, -0.2], [0.3, 0.1]])
    path = autoregression(noise, coefficients)
    expected = coefficients[0] * path[9] + coefficients[1] * path[8] + noise[10]
    np.testing.assert_allclose(path[10], expected)


def test_seasonal_recursion_and_moving_average_reach_back_their_own_lags() -> None:
    noise = np.random.default_rng(5).standard_normal((40, 2))
    season, phi = np.array([4, 7]), np.array([0.9, -0.5])
    start = np.random.default_rng(6).standard_normal((7, 2))
    path = seasonal_recursion(noise, phi, season, start)
    np.testing.assert_allclose(path[20, 0], 0.9 * path[16, 0] + noise[20, 0])
    np.testing.assert_allclose(path[20, 1], -0.5 * path[13, 1] + noise[20, 1])
    np.testing.assert_allclose(path[0, 0], 0.9 * start[3, 0] + noise[0, 0])
    average = moving_average(noise, phi, season)
    np.testing.assert_allclose(average[20, 1], noise[20, 1] - 0.5 * noise[13, 1])
    np.testing.assert_allclose(average[:4, 0], noise[:4, 0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_random_poles_lie_inside_the_unit_circle(seed: int) -> None:
    first, second = random_poles(np.random.default_rng(seed), 50)
    for a, b in zip(first, second, strict=True):
        assert np.abs(np.roots([1.0, -a, -b])).max() < 1.0


def test_profiles_have_mean_zero_and_deviation_one_over_their_cycle() -> None:
    season = np.repeat([1, 4, 7, 12, 52], 20)
    drawn = profiles(np.random.default_rng(7), season)
    assert drawn.shape == (52, 100)
    for profile, m in zip(drawn.T, season, strict=True):
        assert abs(profile[:m].mean()) < 1e-9
        assert (profile[m:] == 0).all()
        assert profile[:m].std() == pytest.approx(0.0 if m == 1 else 1.0, abs=1e-6)


def test_profiles_repeat_from_their_phase() -> None:
    profile = np.arange(12.0).reshape(12, 1)
    path = lay_out(profile, np.array([12]), np.array([5.0]), 30)
    np.testing.assert_allclose(path[:, 0], (np.arange(30) + 5) % 12)
    half = lay_out(profile, np.array([12]), np.array([5.5]), 3)
    np.testing.assert_allclose(half[:, 0], [5.5, 6.5, 7.5])


def test_squared_exponential_draws_have_their_covariance() -> None:
    frame = frame_of(6000, 60)
    paths = rbf(np.random.default_rng(8), frame)
    assert paths.var() == pytest.approx(1.0, abs=0.05)
    rough, smooth = paths[:, :50], np.diff(paths, axis=0)
    assert np.abs(smooth).mean() < 0.6 * np.abs(rough).mean()


def test_counts_have_the_variance_of_the_negative_binomial() -> None:
    mean = np.full((4000, 3), 20.0)
    drawn = overdispersed(np.random.default_rng(9), mean, np.array([2.0, 10.0, 1e6]))
    np.testing.assert_allclose(drawn.mean(axis=0), 20.0, rtol=0.06)
    np.testing.assert_allclose(drawn.var(axis=0), [220.0, 60.0, 20.0], rtol=0.15)


def test_easter_falls_where_the_reference_says() -> None:
    years = np.arange(1950, 2060)
    march = np.array(
        [
            (reference_easter(int(y)) - reference_easter(int(y)).replace(month=3, day=1)).days
            for y in years
        ]
    )
    np.testing.assert_array_equal(easter(years), march)


def test_weekdays_of_a_month_are_counted_as_numpy_counts_them() -> None:
    months = np.arange("1990-01", "2010-01", dtype="datetime64[M]")
    begin, end = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    for weekday in range(7):
        mask = "".join("1" if d == weekday else "0" for d in range(7))
        expected = np.busday_count(begin, end, weekmask=mask)
        found = _weekdays(begin.astype(np.int64), end.astype(np.int64), weekday)
        np.testing.assert_array_equal(found, expected)


def test_links_narrow_wide_paths_and_stay_finite() -> None:
    frame = frame_of(500)
    rng = np.random.default_rng(10)
    values = link(rng, frame, 40 * np.cumsum(rng.standard_normal((120, 500)), axis=0))
    assert np.isfinite(values).all()
    positive = values[:, (values > 0).all(axis=0)]
    assert positive.shape[1] > 350
    assert np.log(positive).std(axis=0).max() < 3 * WIDEST


def test_outliers_touch_few_steps_and_keep_positive_series_positive() -> None:
    rng, frame = np.random.default_rng(11), frame_of(300)
    values = np.exp(0.3 * rng.standard_normal((120, 300)))
    spoilt = with_outliers(rng, frame, values, 1.0)
    changed = (spoilt != values).mean()
    assert 0.002 < changed < 0.08
    assert (spoilt > 0).all()
    np.testing.assert_array_equal(with_outliers(rng, frame, values, 0.0), values)


def test_scales_span_decades_and_counts_are_left_alone() -> None:
    rng, frame = np.random.default_rng(12), frame_of(400)
    values = rng.poisson(5.0, (120, 400)) + 1.0
    counts = np.arange(400) < 100
    scaled = rescaled(rng, frame, values, counts, 0.5)
    np.testing.assert_array_equal(scaled[:, :100], values[:, :100])
    level = np.log10(scaled[:, 100:].mean(axis=0))
    assert level.min() < 0
    assert level.max() > 4


def test_constant_series_are_given_one_change() -> None:
    frame = frame_of(4)
    fixed = never_constant(np.random.default_rng(13), frame, np.zeros((120, 4)))
    assert (np.ptp(fixed, axis=0) > 0).all()
    assert (fixed != 0).sum() == 4


def test_missing_runs_are_runs() -> None:
    frame = frame_of(200)
    mask = observed(np.random.default_rng(14), frame, points=0.0, stretches=1.0)
    edges = np.abs(np.diff(mask.astype(int), axis=0)).sum(axis=0)
    assert (edges <= 4).all()
    assert (edges > 0).mean() > 0.9


def test_weeks_have_five_to_six_workdays_and_start_at_any_hour() -> None:
    frame = Frame(28 * HOURS, np.full(600, HOURS), np.full(600, 28 * HOURS))
    week = make_week(np.random.default_rng(15), frame)
    assert set(week.hour[0].tolist()) == set(range(HOURS))
    np.testing.assert_array_equal(week.hour[HOURS], week.hour[0])
    np.testing.assert_array_equal(week.day[HOURS], week.day[0] + 1)
    worked = (week.kind[:28] == 0).mean(axis=0)
    assert np.median(worked) == pytest.approx(5 / 7, abs=0.02)
    assert worked.max() == pytest.approx(6 / 7, abs=0.02)


def test_log_uniform_draws_are_even_over_decades() -> None:
    drawn = log_uniform(np.random.default_rng(16), 0.01, 100.0, 20_000)
    counts, _ = np.histogram(np.log10(drawn), bins=4, range=(-2, 2))
    assert counts.min() > 4500


def test_long_daily_series_repeat_after_a_year_and_others_are_left_alone():
    rng = np.random.default_rng(3)
    lengths = np.full(60, 1460)
    flat = np.full((1460, 60), 100.0) * np.exp(0.01 * rng.standard_normal((1460, 60)))
    daily = Frame(1460, np.full(60, 7), lengths)
    changed = with_years(rng, daily, flat)
    touched = (changed != flat).any(axis=0)
    assert 0.5 < touched.mean() < 0.95
    log = np.log(changed[:, touched])
    same = [np.corrcoef(log[:-365, s], log[365:, s])[0, 1] for s in range(log.shape[1])]
    assert np.median(same) > 0.8
    monthly = Frame(1460, np.full(60, 12), lengths)
    assert with_years(rng, monthly, flat) is flat
