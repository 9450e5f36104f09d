"""Which metric says who is best: what the published points are best at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation.catalogue import judging, metric_named
from forecast.evaluation.rolling import Backtest, backtest_table
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.evaluation.significance import compare, verdict
from tests.builders import make_panel

LEVELS = (0.1, 0.5, 0.9)
PANEL = make_panel((60,) * 12)
ORIGINS = PANEL.lengths - 6
ACTUAL = PANEL.window(ORIGINS, 6)


def forecast_of(name: str, quantiles: list[float], point: float, levels=LEVELS) -> Forecast:
    """What came, plus these at each level, and plus `point`."""
    made = ACTUAL[:, :, None] + np.array(quantiles)
    return Forecast(
        name, ORIGINS, ACTUAL + point, np.array(levels), made, np.full(12, name, object),
        np.ones(12, bool),
    )  # fmt: skip


# The network's stock level lies two above what came, the other's, whose median is right, two below.
STOCK = forecast_of("LSTM", [-1.0, 0.5, 2.0], 2.0)
MEDIANS = forecast_of("AutoARIMA", [-3.0, 0.0, -2.0], 0.0)


def scored(*forecasts: Forecast, point: str, panel: Panel = PANEL) -> ScoreTable:
    return score_forecasts(panel, {each.name: each for each in forecasts}, 12, (), point=point)


@pytest.mark.parametrize(
    ("lumpy", "point", "levels", "names"),
    [
        (False, "median", LEVELS, ("mase", "mae")),
        (False, "mean", LEVELS, ("rmsse", "mae")),
        (True, "median", LEVELS, ("rmsse", "mae")),
        (True, "mean", (), ("rmsse", "mae")),
        (False, "0.9", LEVELS, ("scaled_loss-0.9", "loss-0.9")),
        (True, "0.9", LEVELS, ("scaled_loss-0.9", "loss-0.9")),
        (False, "0.95", LEVELS, ("scaled_crps", "crps")),
    ],
)
def test_points_are_told_by_what_they_are_best_at(lumpy, point, levels, names):
    assert judging(lumpy, point, levels) == names
    for name in names:
        assert metric_named(name).name == name and metric_named(name).meaning


def test_stock_levels_are_told_by_their_own_loss_and_not_by_the_distance_from_medians():
    table = scored(STOCK, MEDIANS, point="0.9")
    values = {name: table.score(name).values for name in ("LSTM", "AutoARIMA")}
    assert values["LSTM"]["mase"] > values["AutoARIMA"]["mase"]
    losses = {name: each["loss-0.9"] for name, each in values.items()}
    assert losses == pytest.approx({"LSTM": 2 * 0.1 * 2, "AutoARIMA": 2 * 0.9 * 2})
    told = verdict(table)
    assert told.startswith("LSTM was the most accurate on 12 series: scaled 0.9 quantile loss ")
    assert compare(table, "LSTM", "AutoARIMA").metric == "scaled 0.9 quantile loss"
    assert (table.score("LSTM").best, table.score("AutoARIMA").best) == (12, 0)
    assert sorted(("AutoARIMA", "LSTM"), key=table.rank) == ["LSTM", "AutoARIMA"]
    assert "who is best goes by scaled 0.9 quantile loss" in table.caption()
    assert verdict(scored(STOCK, MEDIANS, point="median")).startswith("LSTM did not win")


def test_the_loss_of_a_median_is_its_absolute_error():
    table = scored(forecast_of("LSTM", [-1.0, 2.0, 3.0], 2.0), MEDIANS, point="0.5")
    values = table.score("LSTM").values
    assert values["loss-0.5"] == pytest.approx(values["mae"])
    assert values["scaled_loss-0.5"] == pytest.approx(values["mase"])
    each = table.per_step["LSTM"]
    assert each["scaled_loss-0.5"] == pytest.approx(each["mase"])


def test_where_the_past_is_constant_the_loss_stands_in_unscaled():
    values = PANEL.values.copy()
    for start, length in zip(PANEL.offsets, PANEL.lengths, strict=False):
        values[start : start + length - 6] = 3.0
    constant = Panel(PANEL.ids, PANEL.offsets, values, PANEL.first, PANEL.frequency)
    table = scored(STOCK, MEDIANS, point="0.9", panel=constant)
    assert math.isnan(table.score("LSTM").values["scaled_loss-0.9"])
    assert ": 0.9 quantile loss 0.400 against 3.600" in verdict(table)
    assert table.rank("LSTM") < table.rank("AutoARIMA")


def test_points_without_quantiles_are_no_rivals_of_stock_levels():
    bare = forecast_of("Naive2", [], 0.0, levels=())
    table = scored(STOCK, MEDIANS, bare, point="0.9")
    assert "Naive2" not in verdict(table)
    assert (table.score("Naive2").best, compare(table, "LSTM", "Naive2").series) == (0, 0)


def test_a_stock_level_that_others_lack_is_told_by_all_quantiles():
    table = scored(STOCK, MEDIANS, point="0.8")
    assert (table.judged, "loss-0.8" in table.metrics) == ("scaled_crps", False)
    assert ": sCRPS " in verdict(table)


@pytest.mark.parametrize(("point", "there"), [("0.9", True), ("mean", False)])
def test_the_quantile_that_judges_is_written_beside_the_points(point, there):
    made = {each.name: [each] for each in (STOCK, MEDIANS)}
    table = scored(STOCK, MEDIANS, point=point)
    written = backtest_table(Backtest(PANEL, ORIGINS[None], 0, made, table), ())
    assert ("AutoARIMA-q0.9" in written.column_names) is there
    if there:
        assert written["AutoARIMA-q0.9"].to_numpy() == pytest.approx((ACTUAL - 2).reshape(-1))
