from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.open_steps import zero_slots
from forecast.data.panel import Panel
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.tables import forecast_table, span_of, wanted_levels
from forecast.models.baselines.forecast import forecast_baselines
from forecast.transforms.windows import segment_layout, step_layout
from tests.builders import make_panel, random_forecaster

LAYOUTS = [step_layout(12), segment_layout(24)]


def panel_of(*series):
    lengths = [len(y) for y in series]
    return Panel(
        np.array([f"s{k}" for k in range(len(series))], dtype=object),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([np.asarray(y, float) for y in series]),
        np.zeros(len(series), np.int64),
        Frequency("MS"),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_after_the_origin_change_no_forecast(layout):
    width = layout.width
    panel = make_panel((60 * width, 40 * width), layout.season, missing=0.03)
    keep = panel.lengths - [7, 9]
    poisoned = panel.values.copy()
    for s in range(panel.size):
        poisoned[panel.offsets[s] + keep[s] : panel.offsets[s + 1]] = -1e9
    forecaster = random_forecaster(layout)
    one = forecast_panel(forecaster, panel.truncate(keep), 30)
    two = forecast_panel(forecaster, replace(panel, values=poisoned).truncate(keep), 30)
    np.testing.assert_array_equal(one.quantiles, two.quantiles)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_series_is_forecast_the_same_alone_and_among_others(layout):
    panel = make_panel((60 * layout.width, 40 * layout.width), layout.season)
    forecaster = random_forecaster(layout)
    together = forecast_panel(forecaster, panel, 20).quantiles[1]
    alone = forecast_panel(forecaster, panel.select(np.array([1])), 20).quantiles[0]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_a_panel_of_many_values_is_forecast_in_groups_of_series_alike(monkeypatch):
    panel = make_panel((60, 90, 2, 130, 40, 70), 12, missing=0.03)
    forecaster = random_forecaster(step_layout(12))
    whole = forecast_panel(forecaster, panel, 20)
    monkeypatch.setattr("forecast.inference.predict.VALUES_AT_ONCE", 100)
    groups = forecast_panel(forecaster, panel, 20)
    np.testing.assert_allclose(groups.quantiles, whole.quantiles, rtol=1e-5)
    for name in ("origins", "source", "available"):
        np.testing.assert_array_equal(getattr(groups, name), getattr(whole, name))


def test_odd_series_get_finite_forecasts_and_leave_the_others_as_they_were():
    usual = 100 + 10 * np.sin(np.arange(60) / 2)
    odd = [
        np.zeros(40),
        np.full(40, 7.0),
        np.where(np.arange(40) % 9 == 0, 3.0, 0.0),
        [5.0, 6.0, 4.0],
        -usual,
        usual * 1e12,
        usual * 1e-9,
        np.r_[np.full(10, np.nan), usual],
        np.r_[usual, np.full(10, np.nan)],
        [1e30] + [1.0] * 30,
    ]
    forecaster = random_forecaster()
    alone = forecast_panel(forecaster, panel_of(usual), 15)
    among = forecast_panel(forecaster, panel_of(usual, *odd), 15)
    assert np.isfinite(among.quantiles).all() and among.available.all()
    np.testing.assert_allclose(among.quantiles[0], alone.quantiles[0], rtol=1e-5)


def test_scaling_a_series_scales_its_forecast():
    usual = 100 + 10 * np.sin(np.arange(60) / 2)
    forecaster = random_forecaster()
    result = forecast_panel(forecaster, panel_of(usual, usual * 1e6), 12)
    np.testing.assert_allclose(result.quantiles[0] * 1e6, result.quantiles[1], rtol=1e-4)


def test_a_series_with_two_values_gets_its_last_and_says_so():
    result = forecast_panel(random_forecaster(), panel_of([3.0, 4.0], [np.nan, np.nan]), 4)
    assert result.source.tolist() == ["SeasonalNaive", "SeasonalNaive"]
    assert (result.point[0] == 4.0).all()
    assert result.available.tolist() == [True, False]
    assert np.isnan(result.point[1]).all()


def test_a_series_that_was_never_negative_gets_no_negative_forecast():
    y = np.abs(np.random.default_rng(0).standard_normal(60)) * (np.arange(60) % 3 == 0)
    forecaster = random_forecaster(seed=4)
    assert forecast_panel(forecaster, panel_of(y), 24).quantiles.min() >= 0
    assert forecast_panel(forecaster, panel_of(y), 24, allow_negative=True).quantiles.min() < 0


def test_quantiles_do_not_cross_at_any_level_asked_for():
    panel = make_panel(missing=0.1)
    levels = np.array([0.01, 0.025, 0.05, 0.1, 0.33, 0.5, 0.75, 0.975, 0.995])
    result = at_levels(forecast_panel(random_forecaster(), panel, 40), levels)
    assert (np.diff(result.quantiles, axis=-1) >= 0).all()
    np.testing.assert_allclose(result.point, result.quantile(0.5))


def test_known_levels_are_passed_on_unchanged_and_others_lie_between():
    made = forecast_panel(random_forecaster(), make_panel(), 5)
    same = at_levels(made, made.levels)
    np.testing.assert_allclose(same.quantiles, made.quantiles, rtol=1e-9)
    between = at_levels(made, np.array([0.15]))
    assert (between.quantiles[..., 0] >= made.quantile(0.1)).all()
    assert (between.quantiles[..., 0] <= made.quantile(0.2)).all()


def test_a_horizon_beyond_the_trained_one_extends_the_forecast():
    panel = make_panel()
    forecaster = random_forecaster(horizon=12)
    short, long = forecast_panel(forecaster, panel, 12), forecast_panel(forecaster, panel, 100)
    np.testing.assert_allclose(long.point[:, :12], short.point, rtol=1e-6)
    assert np.isfinite(long.point).all()


def test_an_ensemble_is_the_mean_of_its_members():
    panel = make_panel(level=-50.0)  # never logged, so the mean is the same in both units
    both = random_forecaster(members=2)
    one, two = (replace(both, members=(weights,)) for weights in both.members)
    parts = [forecast_panel(f, panel, 6).quantiles for f in (one, two)]
    np.testing.assert_allclose(
        forecast_panel(both, panel, 6).quantiles, np.mean(parts, 0), rtol=1e-4, atol=1e-3
    )


def test_prediction_imports_neither_torch_nor_pandas(subprocess_imports):
    assert not {"torch", "pandas", "statsforecast"} & subprocess_imports("forecast.workflows.train")


@pytest.mark.parametrize("level", [0.0001, 99.9, 99.9995])
def test_intervals_of_levels_that_lie_close_together_are_told_apart(level):
    panel = make_panel()
    levels = wanted_levels([level, 99.9998], [0.999998])
    made = forecast_panel(random_forecaster(), panel, 5)
    made = replace(made, quantiles=made.quantiles - 1e3, point=made.point - 1e3)  # far from 0
    result = at_levels(made, levels)
    low, high = result.interval(level)
    outer_low, outer_high = result.interval(99.9998)
    assert (low < result.point).all() and (result.point < high).all()
    assert (outer_low < low).all() and (high < result.quantile(0.999998)).all()
    assert (result.quantile(0.999998) < outer_high).all()


def shop(weeks, *closed):
    """A daily series that begins on a Thursday (the grid's first day) and is 0 on days `closed`."""
    day = (np.arange(7 * weeks) + 3) % 7
    noise = np.random.default_rng(5).standard_normal(7 * weeks)
    return np.where(np.isin(day, closed), 0.0, 40 + 5 * noise)


def daily(*series):
    return replace(panel_of(*series), frequency=Frequency("D"))


def test_days_that_are_always_zero_stay_so_in_every_forecast():
    values = shop(10, 6)
    panel, sunday = daily(values), (np.arange(14) + 3) % 7 == 6
    made = forecast_panel(random_forecaster(step_layout(7)), panel, 14)
    assert (made.point[0, sunday] == 0).all() and (made.quantiles[0, sunday] == 0).all()
    assert (made.point[0, ~sunday] > 0).all()
    names = ["theta", "seasonal-naive"]
    for each in forecast_baselines(panel, panel.lengths, 14, names, LEVELS, 7, 60.0, 1).values():
        assert (each.point[0, sunday] == 0).all() and (each.quantiles[0, sunday] == 0).all()
        assert (each.point[0, ~sunday] > 0).all()


def test_zeros_are_only_certain_after_weeks_of_them_without_one_other():
    day = (np.arange(70) + 3) % 7
    once = shop(10, 6)
    once[np.flatnonzero(day == 6)[4]] = 3  # one Sunday it was open
    rare = np.where(np.random.default_rng(1).random(70) < 0.2, 5.0, 0.0) * (day != 6)
    gaps = shop(10, 6)
    gaps[day == 6] = np.nan  # nothing is known of Sundays: no zero to go on
    for values in (shop(3, 6), once, rare, gaps, np.zeros(70)):
        assert zero_slots(daily(values)) is None
    for values in (shop(4, 6), shop(10, 5, 6)):
        assert zero_slots(daily(values)).any()


def test_hours_of_the_night_that_are_always_zero_are_found_beside_others():
    hour = np.arange(24 * 7 * 5) % 24
    office = np.where((hour >= 8) & (hour < 18), 20.0 + hour, 0.0)
    panel = replace(panel_of(office, office + 1), frequency=Frequency("h"))
    found = zero_slots(panel)
    assert found[0].sum() == 7 * 14 and not found[1].any()
    made = forecast_panel(random_forecaster(segment_layout(24)), panel, 48)
    night = (np.arange(48) % 24 < 8) | (np.arange(48) % 24 >= 18)
    assert (made.quantiles[0, night] == 0).all()
    assert (made.quantiles[1, night] > 0).any()


def test_the_span_is_that_of_all_series_that_have_a_forecast():
    panel = make_panel((60, 50, 55, 40), alias="D")
    made = forecast_panel(random_forecaster(), panel, 3)
    made = replace(made, available=np.array([True, True, True, False]))
    table = forecast_table(panel, [made], (80.0,))
    assert span_of(panel, made) == (min(table["ds"].to_pylist()), max(table["ds"].to_pylist()))
    none = replace(made, available=np.zeros(4, bool))
    assert span_of(panel, none) == ("", "")


def test_far_levels_of_a_series_stay_above_zero_whatever_its_neighbours_do():
    made = forecast_panel(random_forecaster(), make_panel((60, 60)), 3)
    low = np.linspace(0.05, 3.0, made.quantiles.shape[2])
    quantiles = np.stack([np.tile(low, (3, 1)), np.tile(low - 2, (3, 1))])
    wanted = np.array([0.0001, 0.5, 0.9999])
    both = at_levels(replace(made, quantiles=quantiles), wanted)
    assert (both.quantiles[0] >= 0).all()
    assert (both.quantiles[1, :, 0] < -2).all()
