"""Forecasts of days that draw on the means of their weeks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.data.frequency import Frequency
from forecast.data.open_steps import shut_slots
from forecast.data.panel import Panel
from forecast.inference.longer_steps import (
    longer_steps,
    means_of,
    towards_means,
    whole_steps,
)
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Longer
from forecast.transforms.windows import step_layout
from tests.builders import make_panel, random_forecaster

WEEKS = (Longer(7, 52, 60), Longer(14, 26, 40))
DAYS = replace(random_forecaster(step_layout(7)), longer=WEEKS)


def panel_of(*series: np.ndarray, alias: str = "D") -> Panel:
    return Panel(
        np.array([f"s{n}" for n in range(len(series))], object),
        np.cumsum([0, *map(len, series)]),
        np.concatenate([np.asarray(each, float) for each in series]),
        np.zeros(len(series), np.int64),
        Frequency(alias),
    )


def steps(panel: Panel) -> list[int]:
    return [each.steps for each in longer_steps(panel)]


@pytest.mark.parametrize(
    ("alias", "enough", "found"),
    [("D", 54 * 7, [7]), ("D", 28 * 14, [7, 14]), ("B", 28 * 10, [5, 10]), ("W", 60, [2, 4])],
)
def test_there_must_be_a_year_to_look_back_on(alias, enough, found):
    season = 52 if alias == "W" else 7
    assert steps(make_panel((enough,), season, alias=alias)) == found
    assert len(longer_steps(make_panel((enough - 1,), season, alias=alias))) == len(found) - 1


@pytest.mark.parametrize("alias", ["h", "MS", "QS", "YS", "1"])
def test_other_steps_have_no_longer_ones(alias):
    assert not longer_steps(make_panel((2000,), 12, alias=alias))


def test_rare_demand_has_none_and_its_forecast_stays_beside_series_that_have():
    rare = (np.random.default_rng(0).random(800) < 0.3).astype(float)
    assert not longer_steps(panel_of(rare))
    busy = make_panel((800,), 7, alias="D").values
    both = panel_of(rare, busy)
    assert steps(both) == [7, 14]
    with_them, without = (
        forecast_panel(each, both, 20).quantiles for each in (DAYS, replace(DAYS, longer=()))
    )
    np.testing.assert_array_equal(with_them[0], without[0])
    assert not np.allclose(with_them[1], without[1])


def test_means_are_counted_back_from_the_end_and_want_half_of_their_steps():
    first = [9.0, 9.0, *[1.0, 2, 3, 4], *[5, np.nan, 7, np.nan], *[np.nan, np.nan, np.nan, 8]]
    means = means_of(panel_of(first, [1.0, 2, 3], [2.0, 4, 6, 8]), 4)
    np.testing.assert_array_equal(means.offsets, [0, 3, 3, 4])
    np.testing.assert_array_equal(means.values, [2.5, 6, np.nan, 5])


def test_series_are_multiplied_halfway_and_those_with_values_below_zero_shifted():
    panel = panel_of([10.0, 30.0], [-1.0, 1.0], [10.0, 30.0], alias="D")
    quantiles = np.array([[[8, 10, 12], [24, 30, 36]], [[-3, -1, 1], [0, 1, 2]], [[1, 2, 3]] * 2])
    wanted = np.array([[30.0], [4.0], [np.nan]])  # the medians' means are 20, 0 and 2
    made = towards_means(quantiles.astype(float), panel, [(2, wanted)])
    np.testing.assert_allclose(made[0], quantiles[0] * 1.25)
    np.testing.assert_allclose(made[1], quantiles[1] + 2)
    np.testing.assert_array_equal(made[2], quantiles[2])


def test_a_mean_far_off_moves_the_forecast_to_twice_as_high_at_most():
    made = towards_means(np.ones((1, 2, 3)), panel_of([1.0, 1.0]), [(2, np.array([[1e9]]))])
    np.testing.assert_allclose(made, 1.5)


def test_days_that_never_are_do_not_count_in_the_mean_of_a_week():
    values = np.where(np.arange(70) % 7 == 3, np.nan, 10.0)
    panel = panel_of(values)
    panel = replace(panel, shut=shut_slots(panel, shared=True))
    quantiles = np.full((1, 7, 3), 10.0)
    quantiles[:, 3] = 1e6  # whatever is said of the closed day
    made = towards_means(quantiles, panel, [(7, np.array([[10.0]]))])
    np.testing.assert_allclose(made, quantiles)


def test_values_after_the_origin_change_nothing_and_no_series_matters_to_another():
    panel = make_panel((800, 500, 100), 7, alias="D", missing=0.02)
    keep = panel.lengths - [9, 30, 5]
    poisoned = panel.values.copy()
    for s in range(panel.size):
        poisoned[panel.offsets[s] + keep[s] : panel.offsets[s + 1]] = 1e9
    one = forecast_panel(DAYS, panel.truncate(keep), 30).quantiles
    two = forecast_panel(DAYS, replace(panel, values=poisoned).truncate(keep), 30).quantiles
    np.testing.assert_array_equal(one, two)
    for s in range(panel.size):
        alone = forecast_panel(DAYS, panel.truncate(keep).select(np.array([s])), 30).quantiles[0]
        np.testing.assert_allclose(alone, one[s], rtol=1e-5)


def test_the_first_steps_are_the_same_whatever_the_horizon():
    panel = make_panel((800, 500), 7, alias="D")
    long = forecast_panel(DAYS, panel, 45).quantiles
    for horizon in (1, 10, 14, 30):
        short = forecast_panel(DAYS, panel, horizon).quantiles
        np.testing.assert_allclose(short, long[:, :horizon], rtol=1e-6)
    assert [whole_steps(WEEKS, h) for h in (1, 14, 15)] == [14, 14, 28]


def test_a_series_in_other_units_has_the_same_forecast_in_them():
    panel = make_panel((800, 500), 7, alias="D")
    made = forecast_panel(DAYS, panel, 20).quantiles
    thousands = forecast_panel(DAYS, replace(panel, values=panel.values * 1024), 20).quantiles
    np.testing.assert_allclose(thousands, made * 1024, rtol=1e-4)


def test_a_series_too_short_for_a_season_of_weeks_is_left_as_it_is():
    panel = make_panel((800, 300), 7, alias="D")
    made, plain = (forecast_panel(f, panel, 20) for f in (DAYS, replace(DAYS, longer=())))
    np.testing.assert_array_equal(made.quantiles[1], plain.quantiles[1])
    assert not np.allclose(made.quantiles[0], plain.quantiles[0])
