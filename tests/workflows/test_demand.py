"""Intermittent demand: what is noticed, compared and said, and points that can be added up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import PAST, Covariate, Covariates, Panel
from forecast.evaluation import metrics
from forecast.evaluation.scores import score_forecasts
from forecast.evaluation.significance import verdict
from forecast.inference.point import with_point
from forecast.models.baselines.forecast import forecast_baselines
from forecast.transforms.demand import is_intermittent, mask_censored, mean_interval
from forecast.workflows.demand import choose_point, point_of, usual_baselines

LEVELS = np.array([0.1, 0.5, 0.9])
CROSTON = ("croston", "croston-sba", "tsb", "adida", "imapa")


def panel_of(series: list[np.ndarray]) -> Panel:
    lengths = [len(each) for each in series]
    return Panel(
        np.array([f"s{k:02d}" for k in range(len(series))], dtype=object),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(series).astype(float),
        np.zeros(len(series), np.int64),
        Frequency("D"),
    )


def lumpy(size: int = 20, length: int = 120, seed: int = 0) -> Panel:
    """Demand on one day in three, three pieces on average."""
    random = np.random.default_rng(seed)
    return panel_of(
        [(random.random(length) < 0.33) * (1 + random.poisson(2, length)) for _ in range(size)]
    )


def test_the_mean_interval_is_steps_for_each_demand_and_needs_a_third_more_than_one():
    panel = panel_of(
        [
            np.array([2.0, 0, 0, 1, 0, 0]),
            np.array([1.0, 1, 1, np.nan, 0]),
            np.array([1.0, -1, 0, 0]),
            np.zeros(4),
        ]
    )
    interval = mean_interval(panel)
    assert interval[:2] == pytest.approx([3.0, 4 / 3]) and np.isnan(interval[2:]).all()
    assert is_intermittent(lumpy())
    assert not is_intermittent(panel_of([np.arange(1.0, 30.0), np.arange(9.0)]))


def test_croston_type_models_are_statsforecasts_and_their_quantiles_have_the_points_mean():
    from statsforecast.models import ADIDA, CrostonSBA

    panel = lumpy(3)
    made = forecast_baselines(panel, panel.lengths, 4, CROSTON, LEVELS, 7, 600.0, 1)
    assert list(made) == ["CrostonOptimized", "CrostonSBA", "TSB", "ADIDA", "IMAPA"]
    for column, model in (("CrostonSBA", CrostonSBA()), ("ADIDA", ADIDA())):
        for s in range(3):
            theirs = model.forecast(panel.series(s), 4)["mean"][0]
            assert made[column].point[s] == pytest.approx(np.full(4, theirs), rel=1e-6)
    for forecast in made.values():
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
        assert (forecast.quantiles[:, :, 0] == 0).all() and (forecast.source != "").all()
    every = np.linspace(0.005, 0.995, 100)
    fine = forecast_baselines(panel, panel.lengths, 2, ["tsb"], every, 7, 600.0, 1)["TSB"]
    assert fine.quantiles.mean(axis=2) == pytest.approx(fine.point, rel=0.05)


def test_below_zero_is_no_demand_and_gets_seasonal_naive():
    panel = panel_of([np.array([1.0, -1, 0, 2, 0, 0, 3, 0])])
    made = forecast_baselines(panel, panel.lengths, 2, ["tsb"], LEVELS, 1, 600.0, 1)["TSB"]
    assert made.source.tolist() == ["SeasonalNaive"] and "no demand" in made.notes[0]


def test_days_on_which_nobody_ever_works_are_closed_and_no_lack_of_demand():
    random = np.random.default_rng(3)
    weekday = np.arange(210) % 7
    office = np.where(weekday < 5, 1 + random.poisson(30, 210), 0)
    market = np.where(weekday < 3, 1 + random.poisson(8, 210), 0)
    panel = panel_of([office, market])
    assert mean_interval(panel) == pytest.approx([1.0, 1.0])
    assert not is_intermittent(panel)
    once = office.copy()
    once[5] = 4  # a Saturday after all: then Saturdays are days like others
    assert mean_interval(panel_of([once]))[0] > 1.1
    items = panel_of([each * (weekday[:120] < 5) for each in np.split(lumpy().values, 20)])
    assert is_intermittent(items)  # on the days that are left demand is still lumpy
    assert (mean_interval(items) > 2).all()


def test_the_croston_types_are_usual_where_demand_is_intermittent_and_nothing_was_named():
    usual = ("arima", "seasonal-naive")
    names, why = usual_baselines(lumpy(), usual, Settings())
    assert names == (*usual, *CROSTON) and "more than 1.32" in why[0][2]
    asked = Settings(baselines={"names": ("ets",)})
    assert usual_baselines(lumpy(), usual, asked) == (("ets",), ())
    assert usual_baselines(panel_of([np.arange(1.0, 50.0)]), usual, Settings()) == (usual, ())


def test_the_point_is_the_mean_for_intermittent_demand_and_a_model_keeps_its_own():
    smooth = panel_of([np.arange(1.0, 50.0)])
    assert choose_point(lumpy(), Settings())[1] == "mean"
    assert choose_point(smooth, Settings())[1] == "median"
    asked = Settings(forecast={"point": "0.95"})
    assert choose_point(lumpy(), asked)[1] == "0.95"
    trained = {"chosen": [{"name": "point", "value": "mean", "why": ""}]}
    assert point_of(Settings(), trained) == "mean" and point_of(asked, trained) == "0.95"
    assert point_of(Settings(), {}) == "median"


@pytest.mark.parametrize("wrong", ["average", "1", "0", "-0.2", "nan"])
def test_a_point_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="median, mean or a quantile"):
        Settings(forecast={"point": wrong})


def forecast_of(panel: Panel, origins, point: np.ndarray, name: str = "LSTM") -> Forecast:
    """Every quantile at the point."""
    quantiles = np.repeat(point[:, :, None], 3, axis=2)
    size = panel.size
    return Forecast(
        name, np.asarray(origins), point, LEVELS, quantiles, np.full(size, name, object),
        np.ones(size, bool),
    )  # fmt: skip


def test_points_are_medians_means_and_quantiles_of_the_same_distribution():
    quantiles = np.array([[[0.0, 1.0, 8.0]], [[-3.0, 0.0, 3.0]]])
    made = replace(forecast_of(lumpy(2), [0, 0], np.array([[1.0], [0.0]])), quantiles=quantiles)
    assert with_point(made, "median") is made
    mean = with_point(made, "mean")
    assert mean.point[0, 0] > 2 and mean.point[1, 0] == pytest.approx(0.0)
    assert with_point(made, "0.9").point[:, 0] == pytest.approx([8.0, 3.0])
    assert np.array_equal(mean.quantiles, quantiles)


def test_metrics_of_sums_and_stock_by_hand():
    actual = np.array([[2.0, 0, 4, np.nan], [0, 0, 0, 0]])
    point = np.array([[1.0, 1, 1, 9], [1, 1, 1, 1]])
    assert metrics.wape(actual, point)[0] == pytest.approx((1 + 1 + 3) / 6)
    assert np.isnan(metrics.wape(actual, point)[1])
    assert metrics.bias(actual, point) == pytest.approx([-1.0, 1.0])
    assert metrics.bias_percent(actual, point)[0] == pytest.approx(-50.0)
    # stock after each step: -1, 0, -3, -3
    assert metrics.periods_in_stock(actual, point).tolist() == [-7.0, 1 + 2 + 3 + 4]
    stock = np.array([[2.0, 2, 2, 2], [0, 0, 0, 0]])
    assert metrics.service_level(actual, stock) == pytest.approx([2 / 3, 1.0])
    # too few: 2 pieces at 9; too many: 2 at 1
    assert metrics.stock_cost(actual, stock, (9.0, 1.0)) == pytest.approx([20 / 3, 0.0])


def test_the_stock_of_lowest_cost_is_the_quantile_of_the_costs():
    demand = np.random.default_rng(0).poisson(4, (1, 4000)).astype(float)
    costs = [metrics.stock_cost(demand, np.full((1, 4000), s), (9.0, 1.0))[0] for s in range(12)]
    assert int(np.argmin(costs)) == np.quantile(demand, 0.9)


def scored(share: float, other: float = 1.0):
    """Scores of a forecast of `share` times the true mean, beside TSB at `other` times it."""
    panel = lumpy(40)
    origins = panel.lengths - 28
    mean = 0.33 * 3.0
    shape = (panel.size, 28)
    made = {
        "LSTM": forecast_of(panel, origins, np.full(shape, share * mean)),
        "TSB": forecast_of(panel, origins, np.full(shape, other * mean), "TSB"),
    }
    return score_forecasts(panel, made, 7, (), cost=(9, 1))


def test_a_forecast_of_half_the_demand_is_not_called_the_most_accurate():
    told = verdict(scored(0.48, 3.0))
    assert "so it is not called the most accurate" in told and "% less in sum" in told
    assert "WAPE" in told and "a bias of -5" in told and "TSB" in told


def test_zero_everywhere_has_the_lowest_mase_and_does_not_win():
    table = scored(0.0)
    mase = {score.model: score.values["mase"] for score in table.scores}
    assert mase["LSTM"] < mase["TSB"] and table.intermittent
    assert verdict(table).startswith("LSTM did not win: TSB was the most accurate on 40 series")
    assert "goes by RMSSE" in table.caption()


def test_a_good_forecast_of_intermittent_demand_wins_with_its_sums_told():
    told = verdict(scored(1.0, 2.0))
    assert told.startswith("LSTM was the most accurate on 40 series: RMSSE")
    assert "Demand is intermittent: LSTM has WAPE" in told
    assert "of the Croston-type baselines the best, TSB has WAPE" in told


def test_service_and_cost_are_scored_where_the_quantile_is_there():
    table = scored(1.0)
    values = table.score("LSTM").values
    assert 0 < values["service_level"] < 1 and values["stock_cost"] > 0
    panel = lumpy(4)
    made = forecast_of(panel, panel.lengths - 5, np.ones((4, 5)))
    without = score_forecasts(panel, {"LSTM": made}, 7, (), cost=(3, 1))
    assert "service_level" not in without.score("LSTM").values


def with_column(values: list[float], categories=None) -> Panel:
    panel = panel_of([np.array([5.0, 1.0, 0.0, 4.0])])
    column = Covariate("shelf", PAST, np.array(values), categories)
    return replace(panel, covariates=Covariates(np.array([0, len(values)]), (column,)))


@pytest.mark.parametrize(
    ("values", "categories", "how"),
    [
        ([0.0, 1, 1, 0], None, "'shelf' is 1"),
        ([7.0, 0, -1, 3], None, "the stock 'shelf' is 0 or less"),
        ([0.0, 1, 1, 0], ("no", "Yes"), "'shelf' is 1"),
    ],
)
def test_demand_that_an_empty_shelf_cut_off_is_masked(values, categories, how):
    panel, count, told = mask_censored(with_column(values, categories), "Shelf", keep=False)
    assert told == how and count == 2 and panel.covariates is None
    assert np.isnan(panel.values).tolist() == [False, True, True, False]


def test_words_that_say_nothing_of_the_shelf_are_refused():
    with pytest.raises(InputError, match="does not say where demand was cut off"):
        mask_censored(with_column([0.0, 1, 0, 1], ("red", "blue")), "shelf", keep=False)
