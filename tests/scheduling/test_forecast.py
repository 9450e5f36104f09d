from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from forecast.common.progress import Silent
from forecast.data.forecast import LEVELS
from forecast.data.panel import STATIC, Covariate, Covariates, Unseen
from forecast.inference.point import mean_of_quantiles
from forecast.models.baselines.forecast import forecast_baselines
from forecast.scheduling import forecast as forecasting
from forecast.scheduling.as_of import digest_of, take_snapshot
from forecast.scheduling.config_file import load_config
from forecast.scheduling.forecast import NO_VALUE, TOO_SHORT, blend_of, forecast_all, objections
from forecast.scheduling.models import Service, naive_service, pretrained_service
from forecast.scheduling.publication import about_the_forecast, prediction_table
from forecast.workflows.combination import Combination
from tests.builders import make_panel

LATER = datetime(2100, 1, 1, tzinfo=UTC)
ONES = np.ones(len(LEVELS))


class Heard(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, code, text):
        self.warnings.append((code, text))


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "batch.yaml"
    path.write_text(
        "jobs:\n  a:\n    data: x.csv\n    settings:\n      forecast: {horizon: 6}\n"
        "      training: {jobs: 1}\n"
    )
    return load_config(path, environ={}).jobs["a"]


@pytest.fixture
def snapshot(job):
    return take_snapshot(make_panel((60, 60, 60)), job, 6, None, LATER)


def trained(job, snapshot):
    """The pretrained network in the part of a trained model."""
    service = pretrained_service(job, snapshot.panel, (12,))
    return replace(service, kind="trained")


def spoilt(monkeypatch, rows, value):
    """The networks' forecasts of some series (by the panel's position) are spoilt."""
    real = forecasting.forecast_panel

    def fake(forecaster, panel, horizon, **more):
        made = real(forecaster, panel, horizon, **more)
        for name in rows:
            for at in np.flatnonzero(panel.ids == name):
                made.point[at] = value
                made.quantiles[at] = value
        return made

    monkeypatch.setattr(forecasting, "forecast_panel", fake)


def test_every_series_is_forecast_by_the_model_in_service(job, snapshot):
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 10.0, Silent())
    assert made.forecast.source.tolist() == ["LSTM"] * 3
    assert (made.fallbacks, made.failed) == (0, 0)
    assert made.reason.tolist() == ["", "", ""]
    assert np.isfinite(made.forecast.quantiles).all()


def of_classes(job):
    """Four toys, one of them of a single value, and one that has none yet."""
    kind = Covariate("kind", STATIC, np.zeros(4), ("toys",))
    panel = make_panel((60, 60, 60, 1))
    new = Unseen("new", {"kind": 0.0})
    covariates = Covariates(panel.offsets, (kind,), (new,))
    panel = replace(panel, first=np.array([0, 0, 0, 59]), covariates=covariates)
    return take_snapshot(panel, job, 6, None, LATER)


def test_new_items_of_a_run_start_at_the_level_of_their_class(job):
    snapshot = of_classes(job)
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 10.0, Silent())
    assert made.forecast.source.tolist() == ["LSTM"] * 3 + ["class level: kind=toys"]
    assert made.reason.tolist() == ["", "", "", TOO_SHORT]
    assert made.forecast.point[3, 0] == pytest.approx(np.median(made.forecast.quantiles[:3, 0]))
    assert (made.fallbacks, made.failed) == (2, 0)
    table = prediction_table(snapshot, made, job.settings.forecast).to_pylist()
    new = [row for row in table if row["unique_id"] == "new"]
    assert [row["LSTM"] for row in new] == pytest.approx(made.forecast.point[3])
    assert {(row["source"], row["reason"]) for row in new} == {("class level: kind=toys", NO_VALUE)}
    assert [row["ds"] for row in new] == [row["ds"] for row in table[:6]]
    about = about_the_forecast(trained(job, snapshot), snapshot, made)["series"]
    assert (about["forecast"], about["by_source"]) == (5, {"LSTM": 3, "class level: kind=toys": 2})
    blend = blended(job, snapshot, made)
    assert (blend.point[3] == made.forecast.point[3]).all()
    both = prediction_table(snapshot, replace(made, blend=blend), job.settings.forecast)
    assert both.num_rows == 30 and both.column("Blend").null_count == 0


def test_another_class_of_an_item_without_any_value_is_other_data(job):
    snapshot = of_classes(job)
    covariates = snapshot.panel.covariates
    other = replace(covariates, unseen=(Unseen("new", {"kind": 1.0}),))
    assert digest_of(snapshot.seen) == snapshot.digest
    assert digest_of(replace(snapshot.seen, covariates=other)) != snapshot.digest


BLEND = Combination({"LSTM": 0.5, "DynamicOptimizedTheta": 0.3, "SeasonalNaive": 0.2})


def with_point(job, snapshot, point, factors=ONES):
    service = trained(job, snapshot)
    return forecast_all(job, snapshot, service, (12,), factors, 10.0, Silent(), point=point)


def test_every_row_has_the_point_that_is_published_and_the_intervals_of_the_medians(job):
    snapshot = of_classes(job)
    made = {point: with_point(job, snapshot, point) for point in ("median", "mean", "0.9")}
    for one in made.values():
        assert (one.forecast.quantiles == made["median"].forecast.quantiles).all()
        assert one.forecast.source.tolist() == made["median"].forecast.source.tolist()
    for which in (lambda one: one.forecast, lambda one: one.unseen[1]):
        high = which(made["0.9"])
        assert (high.point == high.quantiles[:, :, LEVELS.index(0.9)]).all()
        means = which(made["mean"])
        wanted = mean_of_quantiles(means.quantiles, means.levels)
        assert means.point == pytest.approx(wanted)
        assert (means.point != which(made["median"]).point).any()


def test_a_mean_is_not_pulled_by_the_adjustment_of_the_intervals_but_a_quantile_is(job):
    snapshot = of_classes(job)
    narrow = 0.2 * ONES
    narrow[len(LEVELS) // 2] = 1
    plain, means = (with_point(job, snapshot, "mean", each) for each in (ONES, narrow))
    assert (means.forecast.quantiles != plain.forecast.quantiles).any()
    assert means.forecast.point == pytest.approx(plain.forecast.point, rel=1e-12)
    assert means.unseen[1].point == pytest.approx(plain.unseen[1].point, rel=1e-12)
    high = with_point(job, snapshot, "0.9", narrow).forecast
    assert (high.point == high.quantiles[:, :, LEVELS.index(0.9)]).all()


def test_the_blend_s_point_is_its_own_quantile_or_the_mean_of_the_means(job):
    snapshot = take_snapshot(make_panel((60, 60, 60)), job, 6, None, LATER)
    stock, means, medians = (with_point(job, snapshot, each) for each in ("0.9", "mean", "median"))
    blend = blended(job, snapshot, stock)
    assert blend.point == pytest.approx(blend.quantiles[:, :, LEVELS.index(0.9)])
    more = blended(job, snapshot, means).point - blended(job, snapshot, medians).point
    assert more == pytest.approx(0.5 * (means.forecast.point - medians.forecast.point))


def blended(job, snapshot, made):
    service = replace(trained(job, snapshot), blend=BLEND)
    return blend_of(job, snapshot, service, made, 60.0, Silent())


def test_the_blend_beside_the_forecast_has_the_weights_of_the_model_in_service(job):
    panel = make_panel((60, 60, 58))  # one ends two steps early
    snapshot = take_snapshot(panel, job, 6, None, LATER)
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 10.0, Silent())
    blend = blended(job, snapshot, made)
    parts = forecast_baselines(
        panel, panel.lengths, 8, ["theta", "seasonal-naive"], np.array(LEVELS), 12, 60.0, 1
    )
    theta, naive = (np.vstack([each.point[:2, :6], each.point[2, 2:8]]) for each in parts.values())
    assert snapshot.lags.tolist() == [0, 0, 2]
    wanted = 0.5 * made.forecast.point + 0.3 * theta + 0.2 * naive
    assert blend.point == pytest.approx(wanted)
    assert blend.name == "Blend" and (np.diff(blend.quantiles, axis=2) >= 0).all()
    assert blended(without_blend(job), snapshot, made) is None
    assert blend_of(job, snapshot, trained(job, snapshot), made, 60.0, Silent()) is None


def without_blend(job):
    settings = job.settings.model_copy(
        update={"baselines": job.settings.baselines.model_copy(update={"blend": False})}
    )
    return replace(job, settings=settings)


def test_where_the_model_in_service_made_no_forecast_the_blend_is_the_one_that_stands(
    job, snapshot, monkeypatch
):
    spoilt(monkeypatch, ["series-1"], 1e12)
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 60.0, Silent())
    blend = blended(job, snapshot, made)
    assert blend.source.tolist() == ["Blend", "AutoARIMA", "Blend"]
    assert (blend.point[1] == made.forecast.point[1]).all()
    assert (blend.point[0] != made.forecast.point[0]).any()


def without_arima(monkeypatch):
    def broken(*words, **more):
        raise RuntimeError("no ARIMA here")

    monkeypatch.setattr(forecasting, "forecast_baselines", broken)


def test_a_series_that_the_networks_spoil_gets_arima_and_says_why(job, snapshot, monkeypatch):
    spoilt(monkeypatch, ["series-1"], 1e12)
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 60.0, Silent())
    assert made.forecast.source.tolist() == ["LSTM", "AutoARIMA", "LSTM"]
    assert made.reason[1].startswith("LSTM: implausible: 1e+12 where the history is")
    assert (made.fallbacks, made.failed) == (1, 1)
    assert np.isfinite(made.forecast.point).all()


@pytest.mark.parametrize("value", [np.nan, 1e12])
def test_without_arima_there_is_still_seasonal_naive(job, snapshot, monkeypatch, value):
    spoilt(monkeypatch, ["series-0", "series-2"], value)
    without_arima(monkeypatch)
    heard = Heard()
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 0.1, heard)
    assert made.forecast.source.tolist() == ["SeasonalNaive", "LSTM", "SeasonalNaive"]
    assert made.failed == 2
    assert [code for code, _ in heard.warnings] == ["run/forecaster-failed"]
    past = snapshot.panel.series(0)
    assert made.forecast.point[0] == pytest.approx(past[-12:-6])


def test_a_pretrained_network_that_cannot_be_made_leaves_the_rest(job, snapshot, monkeypatch):
    spoilt(monkeypatch, ["series-1"], np.nan)
    service = trained(job, snapshot)

    def broken(*words):
        raise RuntimeError("no backbone")

    monkeypatch.setattr(forecasting, "pretrained_service", broken)
    made = forecast_all(job, snapshot, service, (12,), ONES, 30.0, Silent())
    assert made.forecast.source.tolist() == ["LSTM", "AutoARIMA", "LSTM"]
    assert made.forecast.available.all()


def test_a_network_that_breaks_down_does_not_cost_the_forecast(job, snapshot, monkeypatch):
    def broken(*words, **more):
        raise FloatingPointError("bang")

    monkeypatch.setattr(forecasting, "forecast_panel", broken)
    without_arima(monkeypatch)
    heard = Heard()
    made = forecast_all(job, snapshot, naive_and_network(job, snapshot), (12,), ONES, 0.1, heard)
    assert set(made.forecast.source) == {"SeasonalNaive"}
    assert made.failed == 3
    assert any("bang" in text for _, text in heard.warnings)


def naive_and_network(job, snapshot):
    service = trained(job, snapshot)
    return Service(**{**vars(service), "kind": "pretrained"})


def test_a_series_that_is_too_short_is_no_failure_but_says_so(job):
    panel = make_panel((60, 2, 1))
    panel = replace(panel, first=np.array([0, 58, 59]))
    snapshot = take_snapshot(panel, job, 6, None, LATER)
    made = forecast_all(job, snapshot, trained(job, snapshot), (12,), ONES, 10.0, Silent())
    assert made.forecast.source.tolist() == ["LSTM", "SeasonalNaive", "SeasonalNaive"]
    assert made.reason.tolist() == ["", TOO_SHORT, TOO_SHORT]
    assert (made.fallbacks, made.failed) == (2, 0)
    assert made.forecast.point[2] == pytest.approx([panel.values[-1]] * 6)


def test_late_series_are_forecast_for_the_steps_after_the_as_of(job):
    whole = make_panel((60, 60))
    late = whole.truncate(np.array([60, 57]))
    snapshot = take_snapshot(late, job, 6, None, LATER)
    service = trained(job, snapshot)
    made = forecast_all(job, snapshot, service, (12,), ONES, 10.0, Silent())
    assert made.forecast.origins.tolist() == [60, 60]
    alone = take_snapshot(late.select(np.array([1])), job, 6, None, LATER)
    longer = forecast_all(job, alone, replace(service, horizon=9), (12,), ONES, 10.0, Silent())
    assert made.forecast.point[1] == pytest.approx(longer.forecast.point[0, 3:9], rel=1e-5)


def test_the_online_adjustment_stretches_the_intervals_and_leaves_the_median(job, snapshot):
    service = trained(job, snapshot)
    plain = forecast_all(job, snapshot, service, (12,), ONES, 10.0, Silent()).forecast
    wide = np.where(np.array(LEVELS) == 0.5, 1.0, 1.5)
    stretched = forecast_all(job, snapshot, service, (12,), wide, 10.0, Silent()).forecast
    assert stretched.point == pytest.approx(plain.point)
    widths = [f.quantiles[..., -1] - f.quantiles[..., 5] for f in (plain, stretched)]
    assert widths[1] == pytest.approx(1.5 * widths[0])


def test_seasonal_naive_can_be_the_model_in_service(job, snapshot):
    made = forecast_all(job, snapshot, naive_service(12, 6, {}), (12,), ONES, 10.0, Silent())
    assert made.forecast.source.tolist() == ["SeasonalNaive"] * 3
    assert (made.fallbacks, made.failed) == (0, 0)


def test_what_no_forecast_may_be():
    panel = make_panel((20, 20, 20, 20))
    panel.values[60:] = 0.0
    point = np.full((4, 2), 100.0)
    point[3] = 0.5
    quantiles = np.repeat(point[:, :, None], len(LEVELS), 2)
    assert objections(panel, point, quantiles).tolist() == ["", "", "", ""]
    quantiles[0, 0, 3] = 200.0
    point[1, 1] = -5000.0
    quantiles[2, 0, 0] = -np.inf
    found = objections(panel, point, quantiles)
    assert found[0] == "its quantiles cross"
    assert found[1].startswith("implausible: -5000 where the history is")
    assert found[2] == "it is not a finite number"
