"""The report page: what it shows is what it was given, and no data can become markup or script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import OutputError
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.io.notes import Note
from forecast.data.load import LoadReport, panel_from_frame
from forecast.data.open_steps import reach
from forecast.data.panel import Panel
from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.scores import score_forecasts
from forecast.inference.tables import forecast_table
from forecast.reporting.charts.fan import FanChart
from forecast.reporting.html import page as page_module
from forecast.reporting.html.ahead import heading, total_of
from forecast.reporting.html.contents import (
    LearningCurve,
    Reliability,
    ReportData,
    Residuals,
    ScoreRow,
    SeriesEntry,
    Setting,
    Tile,
)
from forecast.reporting.html.gather import (
    _holds,
    chosen_series,
    learning_curves,
    member_names,
    reliability,
    report_data,
    residual_autocorrelation,
    run_report,
)
from forecast.reporting.html.page import missing, packed_series, render_report, told, write_report
from forecast.reporting.html.score_table import figure, score_table
from tests.builders import make_panel

HOSTILE = "</script><script>alert(1)</script>\"'&\x1b[2J\u202e{{7*7}}<img src=x onerror=alert(1)>"
LIMIT = 3_000_000


class Page(HTMLParser):
    """The elements of a page: (tag, attributes, text)."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        self.inside = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), ""))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            tag, attributes, text = self.elements[-1]
            self.elements[-1] = (tag, attributes, text + data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]

    @property
    def payload(self) -> dict:
        return json.loads(next(text for a, text in self.all("script") if a.get("id") == "payload"))


def make_chart(title: str = "a", t: int = 40, h: int = 12, seed: int = 0) -> FanChart:
    chance = np.random.default_rng(seed)
    times = (np.datetime64("2020-01") + np.arange(t + h)).astype("datetime64[ns]")
    y = 100 + chance.standard_normal(t + h).cumsum()
    bands = {level: (y[t:] - level / 40, y[t:] + level / 40) for level in (80.0, 95.0)}
    medians = {"LSTM": y[t:] + 0.1, "AutoARIMA": y[t:] - 0.3}
    return FanChart(title, times, y[:t], medians, {name: bands for name in medians}, y[t:])


def make_data(count: int = 3, **changes) -> ReportData:
    entries = tuple(
        SeriesEntry(
            make_chart(f"s{i}", seed=i), {"LSTM": 0.8, "AutoARIMA": 0.9 + i}, make_chart("f")
        )
        for i in range(count)
    )
    steps = np.arange(1, 20.0)
    fields = {
        "title": "data.csv",
        "created": "2026-11-20 18:00 UTC",
        "verdict": "LSTM was the most accurate.",
        "won": True,
        "facts": ("3 series",),
        "tiles": (Tile("MASE", "0.8", "lower", True),),
        "scores": (
            ScoreRow("LSTM", {"mase": 0.8, "coverage-80": 0.79, "mape": float("nan")}, 12.0),
            ScoreRow("AutoARIMA", {"mase": 0.9, "coverage-80": 0.99, "mape": 3.0}, 200.0, "note"),
        ),
        "scores_note": "m = 12",
        "series": entries,
        "total_series": count,
        "step_errors": {"LSTM": np.arange(12.0), "AutoARIMA": np.arange(12.0) + 1},
        "reliability": {"LSTM": Reliability(np.array([0.1, 0.9]), np.array([0.2, 0.8]))},
        "residuals": {"LSTM": Residuals(np.array([0.5, 0.1, np.nan]), 0.2)},
        "learning": (LearningCurve("member 1", steps, 1 / steps, 2 / steps, steps * 1e-4),),
        "description": (("Rows", "10"),),
        "repairs": ("2 rows sorted",),
        "settings": (Setting("forecast.horizon", "12", "flag"),),
        "versions": (("torch", "2.13"),),
    }
    return ReportData(**{**fields, **changes})


def test_the_policy_allows_this_script_and_style_and_nothing_else():
    page = Page(render_report(make_data()))
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv"))

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    script = next(text for a, text in page.all("script") if "type" not in a)
    assert f"script-src 'sha256-{digest(script)}'" in policy
    assert f"style-src 'sha256-{digest(page.all('style')[0][1])}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_asks_for_nothing_from_anywhere():
    source = render_report(make_data())
    page = Page(source)
    for tag, attributes, _ in page.elements:
        assert not {"src", "srcset", "action", "style", "background"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#")
    assert not page.all("link") and not page.all("iframe")
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", source))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "url(" not in page.all("style")[0][1]
    assert "@import" not in source


def data_saying(word: str) -> ReportData:
    """A report in which every text is `word`."""
    return make_data(
        **{name: word for name in ("title", "created", "verdict", "scores_note", "headline")},
        facts=(word,),
        tiles=(Tile(word, word, word),),
        scores=(ScoreRow(word, {word: 1.0}, 1.0, word),),
        series=(SeriesEntry(make_chart(word), {"LSTM": 1.0}, note=word),),
        step_errors={word: np.ones(3)},
        reliability={word: Reliability(np.array([0.5]), np.array([0.5]))},
        residuals={word: Residuals(np.array([0.5, 0.1]), 0.1)},
        learning=(LearningCurve(word, *(np.ones(2) for _ in range(4))),),
        description=((word, word),),
        repairs=(word,),
        settings=(Setting(word, word, word),),
        versions=((word, word),),
    )


def test_no_text_can_add_an_element_or_an_attribute():
    source = render_report(data_saying(HOSTILE))
    page, tame = Page(source), Page(render_report(data_saying("tame")))
    assert [tag for tag, _, _ in page.elements] == [tag for tag, _, _ in tame.elements]
    assert [a.keys() for _, a, _ in page.elements] == [a.keys() for _, a, _ in tame.elements]
    assert len(page.all("script")) == 2
    assert "\x1b" not in source and "\u202e" not in source


def test_a_hostile_name_is_shown_as_it_is():
    page = Page(render_report(data_saying(HOSTILE)))
    visible = "</script><script>alert(1)</script>\"'& [2J {{7*7}}<img src=x onerror=alert(1)>"
    assert page.payload["packed"]["items"][0][0] == visible
    assert visible in page.all("title")[0][1]
    assert visible in page.all("li")[0][1]


def test_a_page_with_nothing_to_show_is_still_a_page():
    page = Page(render_report(ReportData("empty", "now", "Nothing was scored.")))
    assert "Nothing was scored." in page.all("p")[0][1]
    assert page.payload["packed"]["items"] == []
    assert not page.all("td")


@pytest.mark.parametrize(("won", "mark"), [(True, "won"), (False, "lost"), (None, "even")])
def test_the_verdict_is_coloured_by_who_won(won, mark):
    page = Page(render_report(make_data(won=won)))
    assert any(attributes.get("class") == f"hero {mark}" for attributes, _ in page.all("section"))


def test_ten_thousand_series_stay_below_three_megabytes_and_two_seconds():
    entry = make_data(1).series[0]
    data = make_data(series=(entry,) * 10_000, total_series=10_000)
    start = time.process_time()
    source = render_report(data)
    assert time.process_time() - start < 2
    assert len(source.encode()) < LIMIT
    payload = Page(source).payload
    assert payload["total"] == 10_000
    assert 1000 < len(payload["packed"]["items"]) < 10_000


def test_the_worst_of_everything_at_once_stays_below_three_megabytes():
    steps = np.arange(1.0, 50_001)
    long = LearningCurve("member", steps, np.sin(steps), np.cos(steps), steps)
    data = make_data(
        series=tuple(SeriesEntry(make_chart("x" * 300, 40_000, 10_000)) for _ in range(60)),
        learning=(long,) * 50,
        step_errors={f"model {i}": np.random.default_rng(i).random(10_000) for i in range(8)},
        repairs=("r" * 1000,) * 5000,
        description=(("d", "e" * 10_000),) * 50,
    )
    source = render_report(data)
    assert len(source.encode()) < LIMIT
    assert "4800 more" in source.replace(",", "")


def unpacked(packed: dict, number: int, view: int = 0) -> tuple[np.ndarray, dict, np.ndarray]:
    """What the page's script makes of a packed chart: history, curves, times."""
    _, place, layout, low, high, _, width, text = packed["items"][number][2][view]
    past, ahead, keys = packed["layouts"][layout]
    each = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(-1, width).astype(float)
    whole, none = each @ 256.0 ** np.arange(width), missing(width)
    values = np.where(whole == none, np.nan, low + whole / (none - 1) * (high - low))
    axis = packed["axis"]["first"] + np.cumsum(
        [0] + [step for step, count in packed["axis"]["runs"] for _ in range(count)]
    )
    index = place if isinstance(place, list) else np.arange(place, place + past + ahead)
    parts = values[past:].reshape(len(keys), ahead)
    return values[:past], dict(zip(map(tuple, keys), parts, strict=True)), axis[index]


def test_a_packed_chart_holds_history_curves_and_times():
    chart = make_chart()
    packed = packed_series([SeriesEntry(chart, {"LSTM": 0.5}, note="a remark")], ["LSTM", "Theta"])
    history, curves, times = unpacked(packed, 0)
    np.testing.assert_allclose(history, chart.history, atol=1e-3)
    np.testing.assert_allclose(curves[None, None, None], chart.actual, atol=1e-3)
    np.testing.assert_allclose(curves["LSTM", "hi", 80.0], chart.bands["LSTM"][80.0][1], atol=1e-3)
    np.testing.assert_array_equal(times, chart.times.astype("datetime64[s]").astype(int))
    assert ("AutoARIMA", "lo", 95.0) in curves  # of the others only the widest interval
    assert ("AutoARIMA", "lo", 80.0) not in curves
    assert packed["items"][0][1] == [0.5, None]
    assert packed["items"][0][3] == "a remark"
    assert packed["axis"]["exact"] == "month"


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), max_size=30),
    st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), min_size=1, max_size=9),
)
def test_packing_keeps_every_value_to_a_hundred_thousandth_of_the_range(history, median):
    chart = FanChart(
        "x", np.arange(len(history) + len(median)), np.array(history), {"m": np.array(median)}
    )
    back, curves, times = unpacked(packed_series([SeriesEntry(chart)], []), 0)
    given_, found = np.array(history + median), np.append(back, curves["m", None, None])
    np.testing.assert_array_equal(np.isnan(given_), np.isnan(found))
    if np.isfinite(given_).any():
        error = np.nanmax(np.abs(given_ - found))
        assert error <= 1e-5 * (np.nanmax(given_) - np.nanmin(given_)) + 1e-9 * abs(
            np.nanmax(given_)
        )
    np.testing.assert_array_equal(times, chart.times)


def test_series_of_other_times_share_one_axis():
    early, late = make_chart("early"), make_chart("late")
    moved = FanChart("late", late.times + np.timedelta64(3652, "D"), late.history, late.medians)
    packed = packed_series([SeriesEntry(early), SeriesEntry(moved)], [])
    for number, chart in enumerate((early, moved)):
        times = unpacked(packed, number)[2]
        np.testing.assert_array_equal(times, chart.times.astype("datetime64[s]").astype(int))


def test_fractions_of_a_second_are_kept():
    times = np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(250, "ms")
    chart = FanChart("x", times, np.ones(3), {"m": np.ones(2)})
    packed = packed_series([SeriesEntry(chart)], [])
    assert packed["axis"]["per"] == 1_000_000
    assert packed["axis"]["runs"] == [[250_000, 4]]


def test_of_a_long_chart_the_past_is_thinned_and_every_step_ahead_is_there_to_be_summed():
    chart = make_chart(t=4000, h=672)  # a week of quarters of an hour
    packed = packed_series([SeriesEntry(chart)], [])
    history, curves, times = unpacked(packed, 0)
    assert packed["items"][0][2][0][5] == [5, 1]
    np.testing.assert_allclose(history, chart.history[4::5], atol=1e-2)
    np.testing.assert_allclose(curves["LSTM", None, None], chart.medians["LSTM"], atol=1e-2)
    assert len(times) <= 1500


def test_a_horizon_that_is_thinned_itself_says_so():
    chart = make_chart(t=100, h=6001)
    packed = packed_series([SeriesEntry(chart)], [])
    _, curves, _ = unpacked(packed, 0)
    assert packed["items"][0][2][0][5] == [1, 3]  # whereupon the page tells no sum
    np.testing.assert_allclose(curves["LSTM", None, None], chart.medians["LSTM"][2::3], atol=1e-2)


def test_the_best_figure_of_each_column_is_marked():
    table = score_table(make_data())
    assert [head.name for head in table.heads] == ["MASE", "coverage 80%", "MAPE"]
    assert [head.extra for head in table.heads] == [False, False, True]
    lstm, arima = table.lines
    assert [cell.best for cell in lstm.cells] == [True, True, False]  # 0.79 is nearest to 80 %
    assert [cell.text for cell in lstm.cells] == ["0.800", "79.0%", "–"]
    assert [cell.best for cell in arima.cells] == [False, False, False]  # nothing to beat


def test_the_best_bias_is_the_one_nearest_to_zero_and_the_best_service_the_highest():
    rows = (
        ScoreRow("LSTM", {"bias_pct": -28.0, "service_level": 0.7}, series=8),
        ScoreRow("SBA", {"bias_pct": 3.0, "service_level": 0.9}, series=8),
    )
    lines = score_table(make_data(scores=rows)).lines
    assert [[cell.best for cell in line.cells] for line in lines] == [[False, False], [True, True]]


def test_a_mean_over_fewer_series_is_never_called_the_best():
    rows = (
        ScoreRow("LSTM", {"mase": 0.9}, series=8),
        ScoreRow("AutoARIMA", {"mase": 0.1}, series=2),
        ScoreRow("Theta", {"mase": 1.1}, series=8),
    )
    lines = score_table(make_data(scores=rows)).lines
    assert [line.cells[0].best for line in lines] == [True, False, False]
    assert [line.part for line in lines] == ["", "on 2 of 8 series", ""]
    payload = Page(render_report(make_data(scores=rows))).payload
    assert payload["parts"] == {"AutoARIMA": "on 2 of 8 series"}


def test_figures_and_names_of_metrics():
    assert [figure(v) for v in (0.5, 12345.6, 123.4, float("nan"))] == [
        "0.500",
        "12,346",
        "123",
        "–",
    ]
    assert metric_named("msis-95").heading == "MSIS 95%"
    assert metric_named("coverage-80").heading == "coverage 80%"
    assert metric_named("mystery").heading == "mystery"


def test_a_calibrated_forecaster_observes_what_it_promised():
    chance = np.random.default_rng(3)
    levels = np.array([0.1, 0.5, 0.9])
    normal = np.array([-1.2816, 0.0, 1.2816])
    actual = chance.standard_normal((2000, 10))
    actual[0] = np.nan
    found = reliability(actual, np.broadcast_to(normal, (2000, 10, 3)), levels)
    np.testing.assert_allclose(found.observed, levels, atol=0.01)
    narrow = reliability(actual, np.broadcast_to(normal / 3, (2000, 10, 3)), levels)
    assert narrow.observed[0] > 0.3 and narrow.observed[2] < 0.7


def test_white_errors_stay_inside_the_limit_and_a_missed_season_does_not():
    chance = np.random.default_rng(4)
    white = chance.standard_normal((400, 48)) * chance.lognormal(0, 2, (400, 1))
    found = residual_autocorrelation(white, 24)
    assert (np.abs(found.autocorrelation) < 2 * found.limit).all()
    assert found.limit == pytest.approx(1.96 / np.sqrt(400 * 48))
    seasonal = white + 2 * np.std(white, axis=1, keepdims=True) * np.sin(np.arange(48) / 12 * 6.283)
    lags = residual_autocorrelation(seasonal, 24).autocorrelation
    assert lags[11] > 0.5 and lags[5] < -0.5


def test_residuals_by_hand_with_a_gap():
    found = residual_autocorrelation(np.array([[1.0, -1.0, np.nan, 1.0]]), 9)
    assert found.autocorrelation[0] == pytest.approx(-1)  # the only pair one step apart
    assert found.autocorrelation[2] == pytest.approx(1)
    assert len(found.autocorrelation) == 3
    assert found.limit == pytest.approx(1.96 / np.sqrt(3))


@given(st.lists(st.floats(0, 10) | st.just(float("nan")), max_size=60), st.integers(0, 70))
def test_chosen_series_are_distinct_and_hold_the_extremes(scores, limit):
    values = np.array(scores, dtype=float)
    chosen = chosen_series(values, limit)
    assert len(chosen) == len(set(chosen.tolist())) == min(limit, len(values))
    known = values[np.isfinite(values)]
    if limit >= 3 and len(known):
        assert np.nanmax(values[chosen]) == known.max()
        assert np.nanmin(values[chosen]) == known.min()


def test_any_first_part_of_the_chosen_series_is_a_fair_sample():
    scores = np.random.default_rng(5).permutation(1000).astype(float)
    part = np.sort(scores[chosen_series(scores, 1000)[:100]])
    assert np.diff(part).max() < 40
    assert scores[chosen_series(scores, 1)[0]] == 500  # the page opens with the middle one


def make_run(series: int = 5, origins: int = 2) -> tuple[Panel, dict[str, list[Forecast]]]:
    chance = np.random.default_rng(6)
    n, h = 60, 6
    y = 50 + chance.standard_normal((series, n)).cumsum(axis=1)
    panel = Panel(
        np.array([f"s{i}" for i in range(series)], dtype=object),
        np.arange(series + 1) * n,
        y.ravel(),
        np.full(series, 600),
        Frequency("MS"),
    )
    levels = np.array([0.025, 0.1, 0.5, 0.9, 0.975])

    def forecast(name: str, origin: int, error: float) -> Forecast:
        point = np.full((series, h), np.nan)
        known = y[:, origin : origin + h]
        point[:, : known.shape[1]] = known + error
        point = np.where(np.isnan(point), y[:, -1:], point)
        quantiles = point[:, :, None] + np.array([-2, -1, 0, 1, 2.0])
        who = np.array([name] * series, dtype=object)
        return Forecast(name, np.full(series, origin), point, levels, quantiles, who,
                        np.ones(series, dtype=bool), seconds=2.0)  # fmt: skip

    starts = [n - h * (k + 1) for k in reversed(range(origins))]
    held = {
        name: [forecast(name, origin, error) for origin in starts]
        for name, error in (("LSTM", 0.5), ("AutoARIMA", 1.5))
    }
    return panel, held


def test_a_run_becomes_a_report_with_its_own_figures():
    panel, held = make_run()
    table = score_forecasts(panel, held, season=12)
    future = {name: each[-1].__class__(**{**each[-1].__dict__, "origins": np.full(5, 60)})
              for name, each in held.items()}  # fmt: skip
    data = report_data(
        panel, held, table, future=future, title="t", created="now", verdict="v", repairs=("r",)
    )
    assert data.won is True
    assert data.repairs == ("r",)
    assert data.scores[0].values["mase"] == table.score("LSTM").values["mase"]
    assert data.total_series == 5
    assert "monthly" in data.facts and "judged on 2 test windows" in data.facts
    np.testing.assert_allclose(data.step_errors["LSTM"], table.per_step["LSTM"]["mase"])
    first = data.series[0]
    assert first.chart.actual is not None and first.future is not None
    assert first.future.actual is None
    assert first.future.history[-1] == panel.series(int(first.chart.title[1]))[-1]
    assert first.scores["LSTM"] == pytest.approx(
        table.per_series["LSTM"]["mase"][int(first.chart.title[1])]
    )
    # The errors are constant: every quantile at or above the actual holds, full correlation.
    assert data.reliability["LSTM"].observed.tolist() == [0, 0, 0 + 1, 1, 1]
    np.testing.assert_allclose(data.residuals["LSTM"].autocorrelation, 1)
    gain = 100 * (1 - table.score("LSTM").values["mase"] / table.score("AutoARIMA").values["mase"])
    assert f"{gain:.1f}% lower than AutoARIMA" in data.tiles[0].note
    assert len(render_report(data)) < LIMIT


def test_the_hour_that_comes_twice_is_known_to_the_page_and_counts_twice_in_its_sum():
    hours = Frequency("h")
    start = hours.positions(np.array(["2023-10-27T12"], "M8[ns]"))
    panel = replace(make_panel((36, 36), 24, alias="h"), frequency=hours, tz="Europe/Paris")
    panel = replace(panel, first=np.repeat(start, 2))
    data = report_data(panel, {}, None, future={"LSTM": forecast_of(panel, 12)}, title="t",
                       created="", verdict="")  # fmt: skip
    clock = np.datetime64("2023-10-29T02:00:00")  # the one forecast of two hours
    assert data.twice.astype("datetime64[s]").tolist() == [clock.item()]
    assert page_module.payload(data)["twice"] == [int(clock.astype(np.int64))]
    utc = report_data(replace(panel, tz="UTC"), {}, None, future={"LSTM": forecast_of(panel, 12)},
                      title="t", created="", verdict="")  # fmt: skip
    assert page_module.payload(utc)["twice"] == []
    if (node := shutil.which("node")) is None:
        pytest.skip("the script of the page needs node to be run")
    script = (Path(page_module.__file__).parent / "series.js").read_text()
    call = "console.log(JSON.stringify(summed([[5, 1], [7, 2], [1, 3]], [2])))"
    made = subprocess.run([node, "-e", f"{script};{call}"], capture_output=True, check=True)
    assert json.loads(made.stdout) == [20, 4]


def forecast_of(panel: Panel, horizon: int) -> Forecast:
    """A forecast of ones."""
    shape = (panel.size, horizon)
    return Forecast(
        name="LSTM", origins=panel.lengths, point=np.ones(shape), levels=np.empty(0),
        quantiles=np.empty((*shape, 0)), source=np.repeat(np.array("LSTM", object), panel.size),
        available=np.ones(panel.size, bool), seconds=0.0,
    )  # fmt: skip


def test_a_worse_lstm_is_shown_as_one():
    panel, held = make_run()
    swapped = {"LSTM": held["AutoARIMA"], "AutoARIMA": held["LSTM"]}
    renamed = {
        name: [Forecast(**{**each.__dict__, "name": name, "source": np.array([name] * 5, object)})
               for each in forecasts]
        for name, forecasts in swapped.items()
    }  # fmt: skip
    data = report_data(
        panel,
        renamed,
        score_forecasts(panel, renamed, season=12),
        title="t",
        created="",
        verdict="",
    )
    assert data.won is False
    assert data.tiles[0].good is False and "higher than" in data.tiles[0].note


def test_rows_that_another_forecaster_made_are_left_out_of_the_diagnostics():
    panel, held = make_run(origins=1)
    forecast = held["LSTM"][0]
    source = forecast.source.copy()
    source[:4] = "SeasonalNaive"
    quantiles = forecast.quantiles.copy()
    quantiles[:4] += 1e6  # absurd, but not the LSTM's own
    held["LSTM"] = [Forecast(**{**forecast.__dict__, "source": source, "quantiles": quantiles})]
    data = report_data(
        panel, held, score_forecasts(panel, held, season=12), title="t", created="", verdict=""
    )
    assert data.reliability["LSTM"].observed.tolist() == [0, 0, 1, 1, 1]


def test_a_run_without_held_out_values_shows_the_forecast_ahead():
    panel, held = make_run(origins=1)
    ahead = {name: Forecast(**{**each[0].__dict__, "origins": np.full(5, 60)})
             for name, each in held.items()}  # fmt: skip
    data = report_data(
        panel, {"LSTM": [], "AutoARIMA": []}, None, future=ahead, title="t", created="", verdict=""
    )
    assert data.won is None and not data.tiles and not data.scores and not data.reliability
    assert data.series[0].chart is None and data.series[0].future.actual is None
    assert list(data.series[0].future.medians) == ["LSTM", "AutoARIMA"]
    assert len(Page(render_report(data)).payload["packed"]["items"]) == 5


def test_a_page_of_intermittent_demand_shows_the_metric_that_judges():
    panel, held = make_run(origins=1)
    table = replace(score_forecasts(panel, held, season=12), intermittent=True)
    data = report_data(panel, held, table, title="t", created="", verdict="")
    assert (data.headline, data.step_metric) == ("rmsse", "rmsse")
    head = score_table(data).heads[0]
    assert (head.name, head.extra) == ("RMSSE", False)
    each = table.per_series["LSTM"]["rmsse"]
    np.testing.assert_allclose(data.step_errors["LSTM"], np.sqrt((each**2).mean()))
    assert data.series[0].scores["LSTM"] in each


def test_a_page_of_a_hierarchy_begins_with_its_total_and_adds_nothing_up_itself():
    panel, held = make_run(origins=1)
    ids = panel.ids.copy()
    ids[3] = "total"
    summed = Panel(ids, panel.offsets, panel.values, panel.first, panel.frequency)
    ahead = {name: Forecast(**{**each[0].__dict__, "origins": np.full(5, 60)})
             for name, each in held.items()}  # fmt: skip
    table = score_forecasts(summed, held, season=12)
    words = {"title": "t", "created": "", "verdict": ""}
    plain = report_data(summed, held, table, future=ahead, **words)
    assert plain.total is not None
    data = report_data(summed, held, table, future=ahead, first="total", **words)
    assert data.series[0].title == "total" and data.total is None
    assert Page(render_report(data)).payload["pinned"] == 0
    assert Page(render_report(plain)).payload["pinned"] is None
    assert sorted(each.title for each in data.series) == sorted(ids.tolist())


def test_no_correlation_is_told_of_errors_more_than_half_the_horizon_apart():
    panel, held = make_run(origins=1)
    data = report_data(
        panel, held, score_forecasts(panel, held, season=12), title="t", created="", verdict=""
    )
    horizon = held["LSTM"][0].point.shape[1]
    assert len(data.residuals["LSTM"].autocorrelation) == horizon // 2


def test_a_page_writes_per_cent_in_one_way_and_a_column_with_one_number_of_decimals():
    rows = (
        ScoreRow("LSTM", {"smape": 141.234, "coverage-80": 0.839}, series=8),
        ScoreRow("SeasonalNaive", {"smape": 85.8, "coverage-80": 0.889}, series=8),
    )
    data = make_data(scores=rows, verdict="LSTM won, 25.6% lower.")
    assert [line.cells[0].text for line in score_table(data).lines] == ["141.23", "85.80"]
    page = re.sub(r"<style>.*?</style>", "", render_report(data), flags=re.S)
    assert not re.search(r"[\d}] %[^;%a-z]", page)


def test_series_with_a_constant_past_are_told_by_their_absolute_error():
    panel, held = make_run(origins=1)
    values = panel.values.reshape(5, -1).copy()
    values[:, :54] = 7.0
    flat = Panel(panel.ids, panel.offsets, values.ravel(), panel.first, panel.frequency)
    data = report_data(
        flat, held, score_forecasts(flat, held, season=12), title="t", created="", verdict=""
    )
    assert (data.headline, data.step_metric) == ("mae", "mae")
    assert data.tiles[0].label == "MAE of LSTM" and data.tiles[0].value == "0.500"
    np.testing.assert_allclose(data.step_errors["LSTM"], 0.5)
    assert data.series[0].scores["AutoARIMA"] == pytest.approx(1.5)


def test_who_stood_in_for_whom_is_said():
    panel, held = make_run(origins=1)
    source = held["AutoARIMA"][0].source.copy()
    source[2] = "SeasonalNaive"
    held["AutoARIMA"] = [Forecast(**{**held["AutoARIMA"][0].__dict__, "source": source})]
    data = report_data(
        panel, held, score_forecasts(panel, held, season=12), title="t", created="", verdict=""
    )
    notes = {entry.title: entry.note for entry in data.series}
    assert notes.pop("s2") == "For AutoARIMA, SeasonalNaive stood in."
    assert set(notes.values()) == {""}


def make_load(**changes) -> LoadReport:
    none = np.empty(0, dtype=int)
    fields = {
        "source": "/some/where/sales.csv", "digest": "ab" * 32, "rows": 1200, "dialect": {},
        "columns": {"target": ["sales"]}, "frequency": "MS", "candidates": (12,), "seasons": (12,),
        "span": ("2020-01", "2024-12"), "series": 5, "lengths": (60, 60, 60), "observed": 297,
        "missing": 3, "gaps": 1, "repairs": (Note("input/sorted", "rows were sorted"),),
        "warnings": (Note("input/outlier", "1e30 looks odd"),), "ended_early": none,
        "constant": none, "skipped": (), "coverage": none,
    }  # fmt: skip
    return LoadReport(**{**fields, **changes})


def test_a_training_run_becomes_a_page():
    panel, held = make_run()
    ahead = [Forecast(**{**each[-1].__dict__, "origins": np.full(5, 60)}) for each in held.values()]
    history = [
        {"member": 1, "phase": phase, "step": step, "train_loss": 1 / step,
         "validation_loss": None if phase == "refit" else 2 / step, "learning_rate": 1e-3}
        for phase in ("fit", "refit")
        for step in (10, 20)
    ]  # fmt: skip
    data = run_report(
        panel, make_load(), held, ahead, score_forecasts(panel, held, season=12),
        Settings.model_validate({"forecast": {"horizon": 6}}), history=history,
        chosen=[("season", 12, "confirmed by the data")],
        created=datetime(2024, 5, 6, 7, 8, tzinfo=UTC),
    )  # fmt: skip
    assert (data.title, data.created) == ("sales.csv", "2024-05-06 07:08 UTC")
    assert data.verdict.startswith("LSTM was the most accurate")
    assert data.series[0].chart.unit == "sales"
    assert data.learning[0].steps.tolist() == [10, 20, 30, 40]  # the refit goes on after the fit
    np.testing.assert_array_equal(data.learning[0].validation, [0.2, 0.1, np.nan, np.nan])
    assert data.repairs == ("rows were sorted", "1e30 looks odd")
    assert ("Missing values", "3 (1.0%)") in data.description
    assert data.decisions == (Setting("season", "12", "confirmed by the data"),)
    assert Setting("forecast.horizon", "6", "given") in data.settings
    assert Setting("forecast.level", "80.0, 95.0", "default") in data.settings
    assert ("numpy", np.__version__) in data.versions
    assert Page(render_report(data)).payload["packed"]["unit"] == "sales"


def test_a_run_that_scored_nothing_says_so():
    panel, held = make_run(origins=1)
    ahead = [Forecast(**{**each[0].__dict__, "origins": np.full(5, 60)}) for each in held.values()]
    columns = {"target": ["a", "b"]}
    data = run_report(
        panel, make_load(columns=columns), {"LSTM": []}, ahead, None, Settings(), title="x"
    )
    assert "too short" in data.verdict and data.title == "x"
    assert data.series[0].future.unit == ""


def test_the_forecast_comes_first_then_how_good_it_was():
    panel, held = make_run()
    ahead = {name: Forecast(**{**each[-1].__dict__, "origins": np.full(5, 60)})
             for name, each in held.items()}  # fmt: skip
    data = report_data(
        panel, held, score_forecasts(panel, held, season=12), future=ahead, title="t", created="",
        verdict="v",
    )  # fmt: skip
    assert data.ahead == "The next 6 months"
    source = render_report(data)
    assert (
        source.index('id="forecast"') < source.index('id="verdict"') < source.index('id="scores"')
    )
    packed = Page(source).payload["packed"]
    assert [view for view, *_ in packed["items"][0][2]] == ["ahead", "test"]
    values = unpacked(packed, 0)[1]["LSTM", None, None]
    s = int(packed["items"][0][0][1])
    np.testing.assert_allclose(values, ahead["LSTM"].point[s], rtol=1e-6)  # three bytes a number
    backtest = render_report(make_data())
    assert backtest.index('id="verdict"') < backtest.index('id="forecast"')


def test_the_sum_of_all_series_has_no_interval():
    panel, held = make_run(origins=1)
    ahead = {name: Forecast(**{**each[0].__dict__, "origins": np.full(5, 60)})
             for name, each in held.items()}  # fmt: skip
    data = report_data(panel, {}, None, future=ahead, title="t", created="", verdict="")
    chart = data.total.future
    np.testing.assert_allclose(chart.medians["LSTM"], ahead["LSTM"].point.sum(axis=0))
    assert chart.history[-1] == panel.values.reshape(5, -1)[:, -1].sum()
    assert not chart.bands and "do not add up" in data.total.note
    packed = Page(render_report(data)).payload["packed"]
    assert packed["sum"][0] == "All 5 series together" and len(packed["items"]) == 5
    missing_one = Forecast(**{**ahead["LSTM"].__dict__, "available": np.arange(5) > 0})
    for forecasts in ([missing_one], []):
        assert total_of(panel, forecasts, 36) is None
    assert total_of(panel.select(np.array([0])), [ahead["LSTM"]], 36) is None
    of_quantiles = report_data(panel, {}, None, future=ahead, point="0.95", title="", created="",
                               verdict="")  # fmt: skip
    assert of_quantiles.total is None  # the sum of stock levels is no level of the sum


def shops() -> Panel:
    """Two shops of 20 weeks up to a Friday, the first of them shut on Sundays."""
    days = pd.date_range("2023-01-02", periods=7 * 20 - 2)
    rows = [(d, s, 10.0 * (s == "B") + d.dayofweek) for s in "AB" for d in days]
    frame = pd.DataFrame(rows, columns=["ds", "unique_id", "y"])
    frame = frame[(frame["unique_id"] == "B") | (frame["ds"].dt.dayofweek < 6)]
    return panel_from_frame(frame, DataSettings())[0]


def test_a_page_shows_and_adds_up_the_steps_that_the_table_of_the_forecast_has():
    """Five steps ahead: Saturday to Wednesday; the shop without Sundays goes on to Thursday."""
    panel = shops()
    grid = 6
    assert reach(panel, panel.lengths, 5) == grid
    point = np.arange(1.0, 1 + 2 * grid).reshape(2, grid)
    names = np.array(["LSTM"] * 2, object)
    made = Forecast("LSTM", panel.lengths, point, np.array([0.5]), point[:, :, None], names,
                    np.ones(2, bool))  # fmt: skip
    data = report_data(
        panel, {}, None, future={"LSTM": made}, horizon=5, title="t", created="", verdict=""
    )
    table = forecast_table(panel, [made], [], (), 5).to_pandas()
    for each, (name, rows) in zip(data.series, table.groupby("unique_id"), strict=True):
        chart = each.future
        assert chart.title == name and chart.medians["LSTM"].tolist() == rows["LSTM"].tolist()
        days = chart.times[len(chart.history) :].astype("M8[D]").astype(str)
        assert days.tolist() == rows["ds"].tolist()
        assert np.isfinite(chart.history).all()  # no holes where the shop is shut
    together = data.total.future  # as far as both go, and on a Sunday the other shop alone
    expected = table.groupby("ds")["LSTM"].sum()
    assert together.medians["LSTM"].tolist() == expected[:5].tolist()
    assert np.isfinite(together.history).all()


@pytest.mark.parametrize(
    ("alias", "horizon", "text"),
    [
        ("MS", 12, "The next 12 months"),
        ("h", 1, "The next hour"),
        ("30min", 48, "The next 48 steps of 30min"),
        ("W-FRI", 5, "The next 5 weeks"),
    ],
)
def test_the_forecast_has_a_heading_in_words(alias, horizon, text):
    panel, _ = make_run()
    assert heading(replace(panel, frequency=Frequency(alias)), horizon) == text


@pytest.mark.parametrize(
    ("tz", "zone"),
    [(None, ""), ("UTC", "UTC"), ("+01:00", "UTC+01:00"), ("Asia/Tokyo", "Asia/Tokyo")],
)
def test_the_page_says_whose_clock_it_shows(tz, zone):
    panel, held = make_run()
    data = report_data(
        replace(panel, tz=tz), held, score_forecasts(panel, held, season=12), title="", created="",
        verdict="",
    )  # fmt: skip
    assert data.zone == zone
    assert Page(render_report(data)).payload["zone"] == zone


def test_zeros_that_no_quantile_can_be_below_are_counted():
    actual = np.array([[0.0, 0.0, 1.0, np.nan]])
    quantiles = np.array([[[0.0, 1.0], [0.0, 2.0], [0.0, 2.0], [0.0, 1.0]]])
    assert reliability(actual, quantiles, np.array([0.1, 0.9])).ties == pytest.approx(2 / 3)


def test_networks_are_called_what_they_are():
    began = [("start", "pretrained", "")]
    assert member_names(began, 2) == {
        1: "fine-tuned 1", 2: "fine-tuned 2", 3: "from scratch 1", 4: "from scratch 2",
    }  # fmt: skip
    assert member_names(began, 1) == {1: "fine-tuned", 2: "from scratch"}
    assert member_names([], 0) == {}
    rows = [
        {"member": "1", "phase": "fit", "step": 1, "train_loss": 1.0},
        {"member": "2", "step": 1},
    ]
    assert [c.name for c in learning_curves(rows, {1: "fine-tuned"})] == ["fine-tuned", "member 2"]


def test_an_interval_is_praised_only_near_its_level_and_blamed_only_beyond_chance():
    panel, held = make_run()
    table = score_forecasts(panel, held, season=12)  # 60 values: two errors are 10 points
    assert [_holds(80, held, table) for held in (79, 70.2, 60)] == [True, None, False]
    assert [_holds(95, held, table) for held in (93, 99.9, 80)] == [True, None, False]


def test_every_score_that_is_shown_is_explained_beside_it():
    source = render_report(make_data())
    shown = re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", source.split('id="meanings"')[1])
    assert [name for name, _ in shown[:3]] == ["MASE", "coverage 80%", "MAPE"]
    assert all(len(what) > 15 for _, what in shown[:3])
    assert "Words on this page" in source and "test window" in source


def test_the_page_is_written_whole(tmp_path):
    path = write_report(tmp_path, tmp_path / "report.html", make_data())
    assert path.read_text(encoding="utf-8") == render_report(make_data())
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError, match="cannot write"):
        write_report(tmp_path, path / "report.html", make_data())


def test_the_same_data_give_the_same_page():
    assert render_report(make_data()) == render_report(make_data())


@pytest.mark.parametrize(
    ("verdict", "headline", "details"),
    [
        ("LSTM won; by chance.", "LSTM won.", "By chance."),
        (
            "LSTM won: 1 against 2 for X, and LSTM 1 against 3 for Y; more than chance.",
            "LSTM won: 1 against 2 for X.",
            "LSTM 1 against 3 for Y; more than chance.",
        ),
        ("Nothing could be held out.", "Nothing could be held out.", ""),
        ("", "", ""),
    ],
)
def test_the_first_clause_of_the_verdict_is_the_headline(verdict, headline, details):
    assert told(verdict) == (headline, details)


def test_the_page_has_a_colour_for_as_many_forecasters_as_its_script_counts():
    folder = Path(page_module.__file__).parent
    count = int(re.search(r"COLOURS = (\d+)", (folder / "format.js").read_text())[1])
    style, html = (folder / "style.css").read_text(), (folder / "page.html").read_text()
    for k in range(count):
        assert style.count(f"--c{k}:") == 3  # light, dark, dark by the system
        assert f".c{k} {{" in style and f"svg .s{k} {{" in style and f"svg .f{k} {{" in style
    assert f"--c{count}:" not in style
    assert set(re.findall(r"% (\d+) \}\}", html)) == {str(count)}
    assert "% COLOURS" in (folder / "series.js").read_text()
    assert "% COLOURS" in (folder / "page.js").read_text()
