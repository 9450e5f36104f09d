"""Metrics against hand-worked numbers, utilsforecast, and their mathematical properties."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.evaluation import catalogue, metrics, significance
from forecast.evaluation import metrics as crps_module
from forecast.evaluation import scores as score_table
from forecast.evaluation.scores import score_forecasts
from forecast.models.baselines import naive

LEVELS = np.array([0.025, 0.1, 0.5, 0.9, 0.975])
values = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


def make_panel(series: list[np.ndarray]) -> Panel:
    lengths = [len(each) for each in series]
    return Panel(
        ids=np.array([f"s{i:03d}" for i in range(len(series))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate(series).astype(float),
        first=np.zeros(len(series), dtype=np.int64),
        frequency=Frequency("D"),
    )


def make_forecast(name: str, origins: np.ndarray, point: np.ndarray, width: float = 1.0):
    spread = width * np.array([-1.96, -1.28, 0.0, 1.28, 1.96])
    return Forecast(
        name=name,
        origins=np.asarray(origins),
        point=point,
        levels=LEVELS,
        quantiles=point[:, :, None] + spread,
        source=np.full(len(point), name, dtype=object),
        available=np.ones(len(point), dtype=bool),
        seconds=0.5,
    )


def random_panel(count: int = 12, length: int = 60, seed: int = 0) -> Panel:
    rng = np.random.default_rng(seed)
    return make_panel([50 + rng.normal(size=length - i).cumsum() for i in range(count)])


def held_out(panel: Panel, horizon: int, noise: float, seed: int, name: str) -> Forecast:
    rng = np.random.default_rng(seed)
    origins = panel.lengths - horizon
    actual = panel.window(origins, horizon)
    return make_forecast(name, origins, actual + noise * rng.normal(size=actual.shape))


# --- hand-worked numbers -----------------------------------------------------------------------


def test_each_point_metric_gives_the_hand_worked_number():
    actual = np.array([[10.0, 20.0, np.nan, 0.0]])
    point = np.array([[12.0, 16.0, 99.0, 0.0]])
    assert metrics.mae(actual, point) == pytest.approx([2.0])
    assert metrics.rmse(actual, point) == pytest.approx([np.sqrt(20 / 3)])
    assert metrics.smape(actual, point) == pytest.approx([(400 / 22 + 800 / 36 + 0) / 3])
    assert metrics.mape(actual, point) == pytest.approx([20.0])  # the zero actual is left out
    assert metrics.zero_actuals(actual) == 1


def test_seasonal_error_is_the_mean_difference_at_the_seasonal_lag():
    values = np.array([1.0, 5.0, 2.0, 8.0, 4.0, 4.0])
    offsets = np.array([0, 6])
    assert metrics.seasonal_errors(values, offsets, 2) == pytest.approx([(1 + 3 + 2 + 4) / 4])
    assert metrics.seasonal_errors(values, offsets, 2, power=2) == pytest.approx([30 / 4])


def test_seasonal_error_leaves_out_pairs_with_a_missing_value():
    values = np.array([1.0, np.nan, 2.0, 8.0, 4.0, 4.0])
    assert metrics.seasonal_errors(values, np.array([0, 6]), 2) == pytest.approx([(1 + 2 + 4) / 3])


def test_seasonal_error_of_a_series_shorter_than_the_season_uses_lag_one():
    values = np.array([1.0, 2.0, 4.0, 7.0, 7.5, 1.0, 3.0])
    errors = metrics.seasonal_errors(values, np.array([0, 3, 7]), 3)
    assert errors == pytest.approx([(1 + 2) / 2, 4.0])
    assert metrics.lag_of_scale(np.array([3, 4]), 3).tolist() == [1, 3]


def test_seasonal_error_is_undefined_for_a_constant_or_empty_or_single_series():
    values = np.array([3.0, 3.0, 3.0, 9.0])
    assert np.isnan(metrics.seasonal_errors(values, np.array([0, 3, 3, 4]), 1)).all()


def test_an_exactly_repeating_series_has_no_scale_in_spite_of_rounding():
    values = 100 * np.sin(2 * np.pi * np.arange(240) / 24)
    assert np.isnan(metrics.seasonal_errors(values, np.array([0, 240]), 24)[0])


def test_quantile_metrics_give_the_hand_worked_numbers():
    actual = np.array([[10.0, 20.0]])
    quantiles = np.array([[[8.0, 11.0], [21.0, 25.0]]])
    levels = np.array([0.1, 0.9])
    losses = [0.1 * 2 + 0.9 * 1, 0.1 * 1 + 0.1 * 5]  # step 1: q10 and q90, step 2: the same
    assert metrics.wql(actual, quantiles, levels) == pytest.approx(2 * sum(losses) / 2 / 30)
    assert metrics.scaled_crps(actual, quantiles, levels) == pytest.approx([sum(losses) / 30])
    low, high = quantiles[:, :, 0], quantiles[:, :, 1]
    assert metrics.coverage(actual, low, high) == pytest.approx([0.5])
    interval = (3 + 4 + (2 / 0.2) * 1) / 2
    assert metrics.msis(actual, low, high, np.array([2.0]), 80) == pytest.approx([interval / 2])


def test_wql_without_any_nonzero_actual_is_undefined():
    assert np.isnan(metrics.wql(np.zeros((1, 2)), np.ones((1, 2, 1)), np.array([0.5])))


def test_owa_is_the_mean_of_two_ratios():
    assert metrics.owa(10, 1, 20, 4) == pytest.approx((0.5 + 0.25) / 2)
    assert np.isnan(metrics.owa(1, 1, 0, 1))


def test_a_missing_forecast_is_never_scored_as_good():
    actual, point = np.array([[1.0, 2.0]]), np.array([[1.0, np.nan]])
    assert np.isnan(metrics.mae(actual, point)[0])
    assert np.isnan(metrics.smape(actual, point)[0])
    assert np.isnan(metrics.coverage(actual, point, point)[0])


# --- Naive2 ------------------------------------------------------------------------------------


def naive2_of_one(y: np.ndarray, horizon: int, m: int) -> np.ndarray:
    """M4's Naive2 for one series, written from R's `acf` and `decompose`, loops and all."""
    seasonal = False
    if len(y) >= 3 * m:
        centred = y - y.mean()
        r = [(centred[k:] * centred[: len(y) - k]).sum() / (centred**2).sum() for k in range(m + 1)]
        limit = 1.645 * np.sqrt((1 + 2 * sum(each**2 for each in r[1:m])) / len(y))
        seasonal = abs(r[m]) > limit
    if not seasonal:
        return np.repeat(y[-1], horizon)
    half = m // 2
    weights = np.full(m, 1 / m) if m % 2 else np.array([0.5, *np.ones(m - 1), 0.5]) / m
    ratios: list[list[float]] = [[] for _ in range(m)]
    for t in range(half, len(y) - half):
        ratios[t % m].append(y[t] / (weights * y[t - half : t + half + 1]).sum())
    index = np.array([np.mean(each) for each in ratios])
    index /= index.mean()
    n = len(y)
    return y[-1] / index[(n - 1) % m] * index[(n + np.arange(horizon)) % m]


@pytest.mark.parametrize("m", [2, 4, 7, 12])
def test_naive2_equals_the_competition_code_series_by_series(m):
    rng = np.random.default_rng(m)
    series = []
    for _ in range(20):
        t = np.arange(int(rng.integers(2, 9 * m)))
        swing = rng.uniform(0, 0.5)
        series.append(
            (100 + t) * (1 + swing * np.sin(2 * np.pi * t / m)) * rng.lognormal(0, 0.1, len(t))
        )
    panel = make_panel(series)
    got = naive.naive2(panel.values, panel.offsets, 2 * m + 1, m)
    expected = np.stack([naive2_of_one(each, 2 * m + 1, m) for each in series])
    assert got == pytest.approx(expected, rel=1e-9)
    assert any(len(set(row)) > 1 for row in expected.tolist())  # some were seasonal
    assert any(len(set(row)) == 1 for row in expected.tolist())  # and some were not


def test_naive2_steps_over_missing_values_and_gives_nan_without_any():
    y = np.tile([10.0, 20.0, 30.0, 40.0], 6)
    y[-1] = np.nan
    y[5] = np.nan
    panel = make_panel([y, np.array([np.nan, np.nan])])
    got = naive.naive2(panel.values, panel.offsets, 4, 4)
    assert got[0] == pytest.approx([10, 20, 30, 40], rel=0.05)
    assert np.isnan(got[1]).all()


@pytest.mark.proof
@pytest.mark.skipif("LSTMCAST_BENCHMARK_DATA" not in os.environ, reason="no benchmark data")
@pytest.mark.parametrize(
    ("name", "horizon", "m", "published"),
    [("m4_hourly", 48, 24, (18.383, 2.395)), ("m4_weekly", 13, 1, (9.161, 2.777))],
)
def test_naive2_gives_the_published_numbers_of_m4(name, horizon, m, published):
    folder = Path(os.environ["LSTMCAST_BENCHMARK_DATA"]) / "panels" / name
    order = [("unique_id", "ascending"), ("ds", "ascending")]
    train, test = (pq.read_table(folder / f"{p}.parquet").sort_by(order) for p in ("train", "test"))
    ids = train["unique_id"].to_numpy(zero_copy_only=False).astype(str)
    offsets = np.append(np.unique(ids, return_index=True)[1], len(ids))
    values, actual = train["y"].to_numpy(), test["y"].to_numpy().reshape(-1, horizon)
    forecast = naive.naive2(values, offsets, horizon, m)
    mase = metrics.mase(actual, forecast, metrics.seasonal_errors(values, offsets, m))
    got = metrics.smape(actual, forecast).mean(), mase.mean()
    assert got == pytest.approx(published, abs=5e-4)


# --- the library as an oracle ------------------------------------------------------------------


def as_frames(panel: Panel, forecast: Forecast):
    """Training rows and forecast rows of one origin, as utilsforecast wants them."""
    import pandas as pd

    horizon = forecast.point.shape[1]
    train, test = [], []
    actual = panel.window(forecast.origins, horizon)
    for s in range(panel.size):
        n = forecast.origins[s]
        past = {"unique_id": panel.ids[s], "ds": np.arange(n), "y": panel.series(s)[:n]}
        train.append(pd.DataFrame(past))
        row = {"unique_id": panel.ids[s], "ds": n + np.arange(horizon), "y": actual[s]}
        row["m"] = forecast.point[s]
        for level in (80, 95):
            low, high = forecast.interval(level)
            row[f"m-lo-{level}"], row[f"m-hi-{level}"] = low[s], high[s]
        for index, q in enumerate(forecast.levels):
            row[f"m-q{q}"] = forecast.quantiles[s, :, index]
        test.append(pd.DataFrame(row))
    return pd.concat(train), pd.concat(test)


def test_series_scores_agree_with_utilsforecast():
    losses = pytest.importorskip("utilsforecast.losses")
    panel = random_panel()
    forecast = held_out(panel, 8, 2.0, 1, "m")
    train, test = as_frames(panel, forecast)
    table = score_forecasts(panel, {"m": forecast}, season=4)
    ours = table.per_series["m"]
    theirs = {
        "mae": losses.mae(test, ["m"]),
        "rmse": losses.rmse(test, ["m"]),
        "mase": losses.mase(test, ["m"], 4, train),
        "rmsse": losses.rmsse(test, ["m"], 4, train),
        "coverage-80": losses.coverage(test, ["m"], 80),
        "coverage-95": losses.coverage(test, ["m"], 95),
    }
    for name, frame in theirs.items():
        assert ours[name] == pytest.approx(frame["m"].to_numpy(), rel=1e-6), name
    smape, mape = losses.smape(test, ["m"])["m"], losses.mape(test, ["m"])["m"]
    assert ours["smape"] == pytest.approx(200 * smape.to_numpy(), rel=1e-6)
    assert ours["mape"] == pytest.approx(100 * mape.to_numpy(), rel=1e-6)
    columns = {"m": [f"m-q{q}" for q in LEVELS]}
    crps = losses.scaled_crps(test, columns, LEVELS)["m"]  # all actuals are positive
    assert ours["scaled_crps"] == pytest.approx(crps.to_numpy(), rel=1e-6)
    scale = metrics.seasonal_errors(*_training(panel, forecast), 4)
    winkler = losses.winkler_score(test, ["m"], 80)["m"].to_numpy()
    assert ours["msis-80"] * scale == pytest.approx(winkler, rel=1e-6)


def _training(panel: Panel, forecast: Forecast) -> tuple[np.ndarray, np.ndarray]:
    past = panel.truncate(forecast.origins)
    return past.values, past.offsets


# --- properties --------------------------------------------------------------------------------

matrix = hnp.arrays(float, (3, 5), elements=values)


@given(matrix, matrix, st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_mase_does_not_depend_on_the_unit(actual, point, unit):
    scale = np.array([1.0, 2.0, 3.0])
    one = metrics.mase(actual, point, scale)
    other = metrics.mase(unit * actual, unit * point, unit * scale)
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@given(hnp.arrays(float, 40, elements=values), st.floats(0.01, 100), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_the_scale_follows_the_unit(flat, unit, m):
    offsets = np.array([0, 15, 40])
    one, other = (metrics.seasonal_errors(f, offsets, m) for f in (flat, unit * flat))
    assert unit * one == pytest.approx(other, rel=1e-9, nan_ok=True)


@given(matrix)
@settings(max_examples=30, deadline=None)
def test_a_perfect_forecast_scores_zero(actual):
    scale = np.ones(3)
    for score in (
        metrics.mae(actual, actual),
        metrics.rmse(actual, actual),
        metrics.smape(actual, actual),
        metrics.mase(actual, actual, scale),
        metrics.rmsse(actual, actual, scale),
        metrics.pinball(actual, actual, 0.3),
        metrics.msis(actual, actual, actual, scale, 80),
    ):
        assert (score == 0).all()
    assert (metrics.coverage(actual, actual, actual) == 1).all()


@given(matrix, matrix)
@settings(max_examples=30, deadline=None)
def test_the_pinball_loss_at_the_median_is_half_the_absolute_error(actual, point):
    assert metrics.pinball(actual, point, 0.5) == pytest.approx(metrics.mae(actual, point) / 2)


@given(matrix, matrix)
@settings(max_examples=50, deadline=None)
def test_smape_lies_between_0_and_200(actual, point):
    score = metrics.smape(actual, point)
    assert ((score >= 0) & (score <= 200 + 1e-9)).all()


@given(matrix, matrix, hnp.arrays(bool, 5).filter(lambda mask: mask.any()))
@settings(max_examples=50, deadline=None)
def test_masking_steps_equals_leaving_them_out(actual, point, keep):
    masked = np.where(keep, actual, np.nan)
    for metric in (metrics.mae, metrics.rmse, metrics.smape, metrics.mape):
        assert metric(masked, point) == pytest.approx(
            metric(actual[:, keep], point[:, keep]), nan_ok=True
        )
    quantiles, levels = point[:, :, None] + np.array([-1.0, 1.0]), np.array([0.2, 0.8])
    assert metrics.wql(masked, quantiles, levels) == pytest.approx(
        metrics.wql(actual[:, keep], quantiles[:, keep], levels), nan_ok=True
    )


def test_the_order_of_the_series_changes_nothing():
    panel = random_panel(6)
    series = [panel.series(s) for s in range(6)]
    forecast = held_out(panel, 5, 1.0, 3, "m")
    order = np.array([3, 1, 5, 0, 2, 4])
    turned = make_forecast("m", forecast.origins[order], forecast.point[order])
    one = score_forecasts(panel, {"m": forecast}, 3).score("m")
    other = score_forecasts(make_panel([series[i] for i in order]), {"m": turned}, 3)
    assert one.values == pytest.approx(other.score("m").values)


# --- the table ---------------------------------------------------------------------------------


def test_only_values_before_the_origin_enter_the_scale():
    panel = random_panel(4)
    forecast = held_out(panel, 6, 1.0, 1, "m")
    changed = panel.values.copy()
    changed[panel.offsets[1:] - 1] += 1000.0  # the last actual of each series
    other = score_forecasts(
        Panel(panel.ids, panel.offsets, changed, panel.first, panel.frequency), {"m": forecast}, 4
    )
    table = score_forecasts(panel, {"m": forecast}, 4)
    scale = table.per_series["m"]["mae"] / table.per_series["m"]["mase"]
    assert other.per_series["m"]["mae"] / other.per_series["m"]["mase"] == pytest.approx(scale)


def test_a_new_metric_is_one_entry_and_stands_in_every_table(monkeypatch):
    def largest(scored):
        return np.abs(scored.actual - scored.point).max(axis=1)

    worst = catalogue.Metric("worst", "worst error", "the largest error", largest)
    monkeypatch.setattr(catalogue, "METRICS", (*catalogue.METRICS, worst))
    panel = make_panel([np.array([1.0, 2, 3, 4, 5, 7])])
    forecast = make_forecast("a", np.array([4]), np.array([[5.0, 5.0]]))
    table = score_forecasts(panel, {"a": forecast}, 1)
    assert table.score("a").values["worst"] == 2.0
    assert table.to_dict()["models"][0]["worst"] == 2.0
    assert catalogue.metric_named("worst").heading == "worst error"


def test_several_origins_are_averaged_within_each_series_first():
    panel = make_panel([np.arange(10.0) ** 1.5, np.arange(20.0) ** 1.2])
    origins = [np.array([6, 14]), np.array([8, 16])]
    each = [make_forecast("m", o, panel.window(o, 2) + 1 + w) for w, o in enumerate(origins)]
    table = score_forecasts(panel, {"m": each}, 1)
    assert table.windows == 2 and table.step == 2
    assert table.score("m").values["mae"] == pytest.approx(1.5)
    assert table.score("m").pairs == 4 and table.score("m").seconds == pytest.approx(1.0)
    assert table.per_step["m"]["mae"] == pytest.approx([1.5, 1.5])


def test_an_origin_without_actuals_is_not_scored():
    panel = make_panel([np.arange(10.0) ** 1.5, np.arange(20.0) ** 1.2])
    origins = np.array([10, 14])  # nothing of the first series lies after its origin
    table = score_forecasts(panel, {"m": make_forecast("m", origins, np.ones((2, 2)))}, 1)
    assert table.score("m").series == 1 and table.without_actuals == 1
    assert np.isnan(table.per_series["m"]["mae"][0])


def test_a_gap_leaves_out_the_first_steps():
    panel = random_panel(3)
    origins = panel.lengths - 6
    point = panel.window(origins, 6)
    point[:, :2] += 100
    table = score_forecasts(panel, {"m": make_forecast("m", origins, point)}, 1, gap=2)
    assert table.horizon == 4 and table.score("m").values["mae"] == 0


def test_series_without_a_forecast_are_named_and_not_scored():
    panel = random_panel(5)
    good = held_out(panel, 4, 1.0, 1, "LSTM")
    part = held_out(panel, 4, 1.0, 2, "AutoARIMA")
    part.available[1] = False
    part.point[1] = np.nan
    part.source[3] = "SeasonalNaive"
    table = score_forecasts(panel, {"LSTM": good, "AutoARIMA": part}, 1)
    score = table.score("AutoARIMA")
    assert score.series == 3
    assert "AutoARIMA is scored on 3 series (3 of 5 forecasts) only" in table.caption()
    assert score.unavailable == ("s001",) and score.fallen_back == ("s003",)
    assert np.isfinite(score.values["owa"])


def test_who_made_no_forecast_at_all_has_no_figures():
    panel = random_panel(3)
    good = held_out(panel, 4, 1.0, 1, "LSTM")
    none = held_out(panel, 4, 1.0, 2, "AutoARIMA")
    none.available[:] = False
    none.point[:] = np.nan
    none.source[:] = ""
    table = score_forecasts(panel, {"LSTM": good, "AutoARIMA": none}, 1)
    assert "AutoARIMA made none of its 3 forecasts, so it has no figures" in table.caption()
    assert table.to_rows()[1]["mase"] is None and table.to_rows()[1]["unavailable"] == 3


@pytest.mark.parametrize(("memory", "shown"), [((2e6, 5e6), 5e6 / 2**20), ((np.nan,) * 2, None)])
def test_the_memory_of_a_forecaster_is_that_of_its_worst_window(memory, shown):
    panel = random_panel(3)
    windows = [held_out(panel, 4, 1.0, 1, "LSTM") for _ in range(2)]
    windows = [replace(each, memory=size) for each, size in zip(windows, memory, strict=True)]
    row = score_forecasts(panel, {"LSTM": windows}, 1).to_rows()[0]
    assert row["memory_mb"] == pytest.approx(shown)


def test_a_sentence_on_chance_is_not_said_twice():
    told = "LSTM won; the difference between LSTM and AutoARIMA is more than chance (p = 0.01)."
    other = "LSTM lost; the difference between LSTM and Theta is more than chance (p = 0.01)."
    assert significance.with_more(told, "more.") == told
    assert significance.with_more(other, "more.") == other + " more."
    assert significance.with_more(other, "") == other


def test_a_forecast_with_a_missing_step_counts_as_no_forecast():
    panel = random_panel(3)
    forecast = held_out(panel, 4, 1.0, 1, "LSTM")
    forecast.point[1, 2] = np.nan
    score = score_forecasts(panel, {"LSTM": forecast}, 1).score("LSTM")
    assert score.unavailable == ("s001",) and score.series == 2


def test_a_verdict_on_figures_that_do_not_exist_names_no_number():
    panel = random_panel(4)
    made = held_out(panel, 6, 1.0, 1, "LSTM")
    none = replace(made, point=np.full_like(made.point, np.nan))
    said = significance.verdict(score_forecasts(panel, {"LSTM": none}, 4))
    assert said == "LSTM has no figures: it made no forecast that could be scored."


def test_a_lone_forecaster_has_nothing_to_be_compared_with():
    panel = random_panel(3)
    table = score_forecasts(panel, {"LSTM": held_out(panel, 4, 1.0, 1, "LSTM")}, 1)
    mase = table.score("LSTM").values["mase"]
    assert significance.verdict(table) == (
        f"LSTM has MASE {mase:.3f}; there is nothing to compare it with."
    )
    assert significance.verdict(table, "ETS") == "ETS was not scored, so there is no verdict."


def test_best_shares_split_ties_and_need_a_rival():
    from forecast.evaluation.scores import best_shares

    shares = best_shares(
        {
            "a": np.array([1.0, 2.0, 1.0, np.nan, 5.0]),
            "b": np.array([2.0, 1.0, 1.0, np.nan, np.nan]),
        }
    )
    assert shares == {"a": 1.5, "b": 1.5}


def test_special_series_are_counted_in_the_caption():
    panel = make_panel([np.full(9, 4.0), np.r_[0.0, 1, 2, 3, 0], np.arange(30.0) ** 2])
    forecast = make_forecast("m", panel.lengths - 2, np.ones((3, 2)))
    table = score_forecasts(panel, {"m": forecast}, 4)
    assert (table.undefined_scale, table.short_for_season, table.zero_actuals) == (1, 1, 1)
    caption = table.caption()
    assert "3 series, 1 origin, 2 steps" in caption and "seasonal naive, 4 steps back" in caption
    assert "1 series too short for that: 1 step back" in caption
    assert "1 series with a constant past have no MASE" in caption


def test_the_table_is_plain_json_without_nan():
    panel = make_panel([np.full(9, 4.0)])
    forecast = make_forecast("m", np.array([7]), np.ones((1, 2)))
    document = score_forecasts(panel, {"m": forecast}, 1).to_dict()
    text = json.dumps(document, allow_nan=False)
    row = json.loads(text)["models"][0]
    assert row["mase"] is None and row["mae"] == 3.0 and row["series"] == 1
    assert len(document["steps"]) == 2 and document["steps"][1]["mae"] == 3.0


def test_forecasts_from_different_origins_are_refused():
    panel = random_panel(3)
    one, other = held_out(panel, 4, 1, 1, "a"), held_out(panel, 5, 1, 1, "b")
    with pytest.raises(ValueError, match="not forecast from the same origins"):
        score_forecasts(panel, {"a": one, "b": other}, 1)


def test_wql_is_over_the_levels_that_all_share():
    panel = random_panel(3)
    full = held_out(panel, 4, 1.0, 1, "a")
    half = Forecast(
        **{**vars(full), "name": "b", "levels": LEVELS[1:4]}
        | {
            "quantiles": full.quantiles[:, :, 1:4],
            "source": np.full(3, "b", dtype=object),
        }
    )
    table = score_forecasts(panel, {"a": full, "b": half}, 1)
    assert table.quantiles == (0.1, 0.5, 0.9)
    assert table.score("a").values["wql"] == pytest.approx(table.score("b").values["wql"])
    assert "coverage-95" not in table.score("b").values


# --- comparison and verdict --------------------------------------------------------------------


def test_the_bootstrap_sees_a_clear_lead_and_not_noise():
    rng = np.random.default_rng(0)
    low, high, p = significance.paired_bootstrap(rng.normal(-1, 1, 60))
    assert high < 0 and p < 0.01 and low < -0.5
    assert significance.paired_bootstrap(rng.normal(0, 1, 60) - 0.02)[2] > 0.1
    assert significance.paired_bootstrap(rng.normal(-1, 1, 20_000))[2] < 1e-6


def test_the_bootstrap_is_honest_when_there_is_no_difference():
    rng = np.random.default_rng(1)
    p = [significance.paired_bootstrap(rng.normal(size=40), draws=400)[2] for _ in range(400)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.10


def test_diebold_mariano_equals_the_t_test_when_origins_do_not_overlap():
    from scipy import stats

    differences = np.random.default_rng(2).normal(0.4, 1, 25)
    low, high, p = significance.diebold_mariano(differences, lag=0)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-9)
    assert low < differences.mean() < high


def test_diebold_mariano_trusts_overlapping_origins_less():
    noise = np.random.default_rng(3).normal(size=60)
    smooth = np.convolve(noise, np.ones(5) / 5, "valid") + 0.3
    assert (
        significance.diebold_mariano(smooth, lag=4)[2]
        > significance.diebold_mariano(smooth, lag=0)[2]
    )


def scored(count: int, noises: dict[str, float], horizon: int = 6) -> score_table.ScoreTable:
    panel = random_panel(count, 80)
    each = {
        name: held_out(panel, horizon, noise, seed, name)
        for seed, (name, noise) in enumerate(noises.items())
    }
    return score_forecasts(panel, each, 1)


def test_the_verdict_says_by_how_much_the_lstm_won_and_that_it_is_no_chance():
    text = significance.verdict(scored(40, {"LSTM": 1.0, "AutoARIMA": 2.0, "SeasonalNaive": 3.0}))
    assert text.startswith("LSTM was the most accurate on 40 series: MASE ")
    assert "for AutoARIMA" in text and "% lower" in text
    assert "the difference between LSTM and AutoARIMA is more than chance" in text


def test_the_verdict_says_plainly_when_the_lstm_lost():
    text = significance.verdict(scored(40, {"LSTM": 2.0, "AutoARIMA": 1.8, "SeasonalNaive": 1.0}))
    assert text.startswith("LSTM did not win: SeasonalNaive was the most accurate on 40 series")
    assert "for LSTM, which is" in text and "% worse, and " in text and "for AutoARIMA" in text
    assert "difference between LSTM and SeasonalNaive is more than chance" in text


def test_the_verdict_admits_that_a_narrow_lead_may_be_chance():
    text = significance.verdict(scored(12, {"LSTM": 1.0, "AutoARIMA": 1.01}))
    assert "within what chance alone can do" in text


def test_the_verdict_admits_that_one_series_cannot_tell():
    text = significance.verdict(scored(1, {"LSTM": 1.0, "AutoARIMA": 2.0}))
    assert "with 1 series and 1 origin it cannot be told" in text


def test_the_verdict_of_one_series_uses_its_origins():
    panel = random_panel(1, 200)
    origins = [np.array([n]) for n in range(60, 180, 6)]
    each: dict[str, list[Forecast]] = {"LSTM": [], "AutoARIMA": []}
    rng = np.random.default_rng(0)
    for origin in origins:
        actual = panel.window(origin, 6)
        for name, noise in (("LSTM", 0.5), ("AutoARIMA", 3.0)):
            each[name].append(
                make_forecast(name, origin, actual + noise * rng.normal(size=actual.shape))
            )
    text = significance.verdict(score_forecasts(panel, each, 1))
    assert "Diebold-Mariano test over 20 origins" in text and "more than chance" in text


def test_the_verdict_compares_on_shared_series_only():
    panel = random_panel(20)
    good = held_out(panel, 4, 1.0, 1, "LSTM")
    part = held_out(panel, 4, 2.0, 2, "AutoARIMA")
    part.available[5:] = False
    table = score_forecasts(panel, {"LSTM": good, "AutoARIMA": part}, 1)
    result = significance.compare(table, "LSTM", "AutoARIMA")
    assert result.series == 5
    assert result.first_loss == pytest.approx(table.per_series["LSTM"]["mase"][:5].mean())
    assert "on 5 series" in significance.verdict(table)


def test_the_verdict_falls_back_on_absolute_errors_when_no_mase_is_defined():
    panel = make_panel([np.r_[np.full(9, 4.0), 5.0]] * 2)
    origins = np.array([9, 9])
    near, far = np.full((2, 1), 4.9), np.full((2, 1), 4.0)
    each = {"LSTM": make_forecast("LSTM", origins, near)}
    each["AutoARIMA"] = make_forecast("AutoARIMA", origins, far)
    text = significance.verdict(score_forecasts(panel, each, 1))
    assert "MAE 0.100 against 1.000 for AutoARIMA" in text


def test_a_tie_is_called_a_tie():
    panel = random_panel(3)
    one = held_out(panel, 4, 1.0, 1, "LSTM")
    other = make_forecast("AutoARIMA", one.origins, one.point)
    text = significance.verdict(score_forecasts(panel, {"LSTM": one, "AutoARIMA": other}, 1))
    assert "LSTM and AutoARIMA tied" in text and "neither leads" in text


def test_held_out_values_that_are_all_0_tell_nobody_apart():
    panel = make_panel([np.r_[np.arange(1.0, 10.0), 0.0, 0.0]] * 2)
    origins = np.array([9, 9])
    each = {name: make_forecast(name, origins, np.full((2, 2), error))
            for name, error in (("LSTM", 0.0), ("AutoARIMA", 0.1))}  # fmt: skip
    text = significance.verdict(score_forecasts(panel, each, 1))
    assert text.startswith("All 4 held-out values are 0") and text.endswith("--windows 4.")
    panel.values[-1] = 0.5  # one value that is something
    assert "was the most accurate" in significance.verdict(score_forecasts(panel, each, 1))


def test_a_rival_that_had_time_for_a_few_series_is_not_called_the_winner():
    panel = random_panel(6)
    made = {
        name: held_out(panel, 4, noise, seed, name)
        for seed, (name, noise) in enumerate([("LSTM", 0.5), ("AutoARIMA", 0.1), ("AutoETS", 1.0)])
    }
    some = made["AutoARIMA"]
    some.available[2:] = False
    some.point[2:] = np.nan
    some.source[2:] = ""
    said = significance.verdict(score_forecasts(panel, made, 1))
    assert said.startswith("LSTM was the most accurate on 6 series")
    assert "for AutoARIMA" in said and "(on 2 series)" in said


def normal_crps(actual, mean, deviation):
    """Closed form of Gneiting & Raftery 2007, equation 21."""
    z = (actual - mean) / deviation
    inner = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    return deviation * inner


def test_the_crps_of_a_normals_quantiles_and_of_its_samples_is_the_closed_form():
    random = np.random.default_rng(5)
    mean, deviation = random.normal(10, 3, (4, 6)), random.uniform(0.5, 2, (4, 6))
    actual = random.normal(mean, 2 * deviation)
    wanted = normal_crps(actual, mean, deviation)
    quantiles = stats.norm.ppf(LEVELS, mean[..., None], deviation[..., None])
    assert crps_module.crps(actual, quantiles, LEVELS) == pytest.approx(wanted, rel=1e-9)
    samples = random.normal(mean[..., None], deviation[..., None], (4, 6, 20_000))
    assert crps_module.crps_of_samples(actual, samples) == pytest.approx(wanted, abs=0.06)
    few = random.normal(mean[..., None, None], deviation[..., None, None], (4, 6, 4000, 5))
    mean_of_few = crps_module.crps_of_samples(actual[..., None], few).mean(-1)
    assert mean_of_few == pytest.approx(wanted, abs=0.1)  # without bias


def test_the_crps_of_quantiles_that_coincide_is_the_integral_of_the_quantile_loss():
    quantiles = np.array([0.0, 0.0, 1.0, 1.0, 7.0])[None, None]
    share = (np.arange(400_000) + 0.5) / 400_000
    scores = stats.norm.ppf(LEVELS)
    piece = np.clip(np.searchsorted(scores, stats.norm.ppf(share)) - 1, 0, 3)
    part = (stats.norm.ppf(share) - scores[piece]) / np.diff(scores)[piece]
    inverse = quantiles[0, 0][piece] + part * np.diff(quantiles[0, 0])[piece]
    for actual in (-2.0, 0.0, 0.4, 1.0, 5.0, 30.0):
        error = actual - inverse
        wanted = 2 * np.maximum(share * error, (share - 1) * error).mean()
        found = crps_module.crps(np.array([[actual]]), quantiles, LEVELS)
        assert found == pytest.approx(np.array([[wanted]]), abs=1e-3)


def test_the_crps_of_one_value_is_the_absolute_error_and_a_missing_actual_has_none():
    actual = np.array([[3.0, np.nan, -1.0]])
    found = crps_module.crps(actual, np.full((1, 3, 5), 2.0), LEVELS)
    assert found == pytest.approx(np.array([[1.0, np.nan, 3.0]]), nan_ok=True)


def test_the_score_table_has_the_crps_over_all_and_by_step():
    panel = make_panel([np.arange(12.0), np.arange(12.0) ** 1.5])
    origins = np.array([10, 9])
    made = make_forecast("m", origins, np.full((2, 3), 8.0))
    table = score_forecasts(panel, {"m": made}, 1)
    actual = np.stack([[10, 11, np.nan], np.arange(9, 12) ** 1.5])
    each = crps_module.crps(actual, made.quantiles, made.levels)
    assert table.per_series["m"]["crps"] == pytest.approx(np.nanmean(each, axis=1))
    assert table.per_step["m"]["crps"] == pytest.approx(np.nanmean(each, axis=0))
    assert table.to_rows()[0]["crps"] == pytest.approx(np.nanmean(each, axis=1).mean())
