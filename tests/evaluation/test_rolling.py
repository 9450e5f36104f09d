"""Rolling origins, the table that utilsforecast takes as it is, and the scores it confirms."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from forecast.common.errors import InputError
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.evaluation.rolling import backtest, backtest_table, held_out, rolling_origins
from forecast.models.baselines.forecast import forecast_baselines_windows
from forecast.models.baselines.naive import seasonal_naive

LEVELS = np.array([0.025, 0.1, 0.5, 0.9, 0.975])


def make_panel(series: list[np.ndarray], alias: str = "D", time_format: str = "%Y-%m-%d") -> Panel:
    lengths = [len(each) for each in series]
    return Panel(
        ids=np.array([f"s{i}" for i in range(len(series))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate(series).astype(float),
        first=np.arange(len(series)) + 18_000,
        frequency=Frequency(alias),
        time_format=time_format,
    )


def walks(lengths: list[int], seed: int = 0) -> Panel:
    rng = np.random.default_rng(seed)
    return make_panel([100 + rng.normal(size=n).cumsum() for n in lengths])


def naive_of(season: int, horizon: int):
    """A forecaster: seasonal naive under the name of its season."""

    def forecaster(panel: Panel, origins: np.ndarray) -> Forecast:
        forecast = seasonal_naive(panel, origins, horizon, LEVELS, season)
        name = f"naive{season}"
        source = np.where(forecast.available, name, "").astype(object)
        return Forecast(**{**vars(forecast), "name": name, "source": source})

    return forecaster


def test_the_last_origin_leaves_the_horizon_and_the_others_step_back():
    origins = rolling_origins(np.array([30, 20]), horizon=4, windows=3)
    assert origins.tolist() == [[18, 8], [22, 12], [26, 16]]
    assert rolling_origins(np.array([30]), 4, 3, step_size=1).tolist() == [[24], [25], [26]]
    assert rolling_origins(np.array([30]), 4, 1, gap=2).tolist() == [[24]]


def test_a_series_too_short_for_an_origin_has_nothing_after_it():
    panel = walks([30, 9])
    origins = rolling_origins(panel.lengths, horizon=4, windows=3)
    assert origins.tolist() == [[18, 9], [22, 9], [26, 5]]
    assert held_out(panel, origins).tolist() == [[True, False], [True, False], [True, True]]


def test_no_series_long_enough_is_an_error_that_says_what_is_needed():
    with pytest.raises(InputError, match="8 observations are needed") as caught:
        rolling_origins(np.array([5, 7]), horizon=6, windows=2)
    assert caught.value.code == "input/too-short-for-backtest" and caught.value.value == 7


def test_every_forecaster_is_called_once_for_each_window_and_never_sees_the_future():
    panel = walks([40, 40])
    origins = rolling_origins(panel.lengths, 5, 3)
    seen = []

    def peeking(panel: Panel, each: np.ndarray) -> Forecast:
        seen.append(each.tolist())
        return naive_of(1, 5)(panel, each)

    result = backtest(panel, origins, {"naive1": peeking}, season=1)
    assert seen == origins.tolist()
    changed = Panel(**{**vars(panel), "values": panel.values.copy()})
    changed.values[[39, 79]] = 1e6
    other = backtest(changed, origins, {"naive1": peeking}, season=1)
    for one, two in zip(result.forecasts["naive1"], other.forecasts["naive1"], strict=True):
        assert np.array_equal(one.point, two.point)


def test_the_table_has_a_row_for_each_actual_and_the_last_time_seen_as_cutoff():
    values = np.arange(12.0)
    values[10] = np.nan
    panel = make_panel([values])
    result = backtest(panel, np.array([[6], [9]]), {"naive1": naive_of(1, 3)}, season=1)
    table = backtest_table(result, levels=(80,), as_written=True)
    assert table.column_names == [
        "unique_id", "ds", "cutoff", "y", "naive1", "naive1-lo-80", "naive1-hi-80",
    ]  # fmt: skip
    start = np.datetime64("1970-01-01") + 18_000
    expected = [(6, 5), (7, 5), (8, 5), (9, 8), (11, 8)]
    assert table["ds"].to_pylist() == [str(start + t) for t, _ in expected]
    assert table["cutoff"].to_pylist() == [str(start + c) for _, c in expected]
    assert table["y"].to_pylist() == [6, 7, 8, 9, 11]
    assert table["naive1"].to_pylist() == [5, 5, 5, 8, 8]


def test_utilsforecast_finds_the_same_numbers_in_the_table():
    losses = pytest.importorskip("utilsforecast.losses")
    from utilsforecast.evaluation import evaluate

    panel = walks([60, 48, 90, 70])
    panel.values[[57, 100]] = np.nan
    origins = rolling_origins(panel.lengths, 6, 3, step_size=4)
    forecasters = {f"naive{m}": naive_of(m, 6) for m in (1, 7)}
    result = backtest(panel, origins, forecasters, season=7)
    table = backtest_table(result).to_pandas()
    train = training_frame(panel)
    metrics = [losses.mae, losses.rmse, losses.smape, losses.coverage]
    metrics += [partial(losses.mase, seasonality=7), partial(losses.rmsse, seasonality=7)]
    found = evaluate(table, metrics=metrics, train_df=train, level=[80, 95])
    by_series = found.groupby(["metric", "unique_id"])[list(forecasters)].mean()
    units = {"smape": 200.0}
    names = {"coverage_level80": "coverage-80", "coverage_level95": "coverage-95"}
    checked = set()
    for metric in by_series.index.get_level_values(0).unique():
        for model in forecasters:
            ours = result.scores.per_series[model][names.get(metric, metric)]
            theirs = units.get(metric, 1.0) * by_series.loc[metric][model].to_numpy()
            assert ours == pytest.approx(theirs, rel=1e-6), metric
            checked.add(metric)
    assert len(checked) == 7
    overall = by_series.loc["mase"].mean()
    for model in forecasters:
        assert result.scores.score(model).values["mase"] == pytest.approx(overall[model], rel=1e-6)


def training_frame(panel: Panel):
    """The whole panel as utilsforecast's train_df: it cuts at each cutoff itself."""
    import pandas as pd

    within = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1], panel.lengths)
    stamps = panel.frequency.stamps(np.repeat(panel.first, panel.lengths) + within)
    ids = np.repeat(panel.ids, panel.lengths)
    return pd.DataFrame({"unique_id": ids, "ds": stamps, "y": panel.values})


def test_baselines_made_beforehand_join_the_table_and_rows_without_one_are_null():
    panel = walks([40, 5])
    origins = rolling_origins(panel.lengths, 3, 2)
    ready = forecast_baselines_windows(
        panel, origins, 3, ["seasonal-naive", "theta"], LEVELS, 7, 60, 1,
        wanted=held_out(panel, origins),
    )  # fmt: skip
    result = backtest(panel, origins, {"naive1": naive_of(1, 3)}, season=7, ready=ready)
    assert list(result.forecasts) == ["naive1", "SeasonalNaive", "DynamicOptimizedTheta"]
    theta = result.scores.score("DynamicOptimizedTheta")
    assert theta.series == 1 and theta.fallen_back == ("s1",)
    table = backtest_table(result)
    assert table["DynamicOptimizedTheta"].null_count == 3  # the fallback of the short series
    assert table["SeasonalNaive"].null_count == 0 and table.num_rows == 9


def test_a_gap_moves_the_scored_steps_away_from_the_origin():
    panel = make_panel([np.arange(20.0)])
    origins = rolling_origins(panel.lengths, 3, 2, gap=2)
    result = backtest(panel, origins, {"naive1": naive_of(1, 5)}, season=1, gap=2)
    table = backtest_table(result, as_written=True)
    assert table["y"].to_pylist() == [14, 15, 16, 17, 18, 19]
    assert result.scores.horizon == 3
    assert result.scores.score("naive1").values["mae"] == pytest.approx(4.0)  # 3, 4, 5 steps off
