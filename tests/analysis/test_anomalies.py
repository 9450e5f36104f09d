"""Anomalies of a panel, and of rows as they come."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from forecast.analysis import anomalies
from forecast.analysis.anomalies import (
    MOST,
    anomaly_score,
    expected,
    find_anomalies,
    score_values,
    without_anomalies,
)
from forecast.analysis.anomaly_stream import WatchedSeries, anomaly_table
from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import panel_to_arrow
from forecast.models.pretrained import load_backbone
from forecast.transforms.windows import segment_layout, step_layout
from tests.builders import make_panel

DAILY = replace(load_backbone(step_layout(7)), context=28)
ONE = np.array([0, 10])


def daily(length=220, seed=1, **more):
    return make_panel((length,), season=7, alias="D", seed=seed, **more)


def spoilt(panel, change):
    values = panel.values.copy()
    change(values)
    return replace(panel, values=values)


def found(panel, forecaster=DAILY, threshold=4.0):
    made = find_anomalies(forecaster, panel, threshold)
    return list(zip(made.position.tolist(), made.kind.tolist(), strict=True))


def test_a_score_is_the_normal_quantile_of_the_forecast_probability():
    quantiles = np.array([[-3.92, -2.56, -1.68, -1.05, -0.5, 0, 0.5, 1.05, 1.68, 2.56, 3.92]])
    score = [
        anomaly_score(np.array([y]), quantiles, np.array(LEVELS))[0] for y in (0, 3.92, 7.84, -2.56)
    ]
    np.testing.assert_allclose(score, [0, 1.96, 3.92, -1.2816], atol=1e-3)


def test_without_width_any_other_value_is_as_surprising_as_can_be():
    flat = np.full((3, len(LEVELS)), 5.0)
    score = anomaly_score(np.array([5.0, 5.1, np.nan]), flat, np.array(LEVELS))
    np.testing.assert_array_equal(score, [0.0, MOST, np.nan])


def test_the_expected_range_ends_where_the_score_does():
    quantiles = np.sort(np.random.default_rng(0).normal(50, 9, (4, len(LEVELS))), 1)
    low, high = expected(quantiles, np.array(LEVELS), np.full(4, 3.0), np.ones(4, bool))
    for bound, sign in ((low, -3), (high, 3)):
        np.testing.assert_allclose(
            anomaly_score(bound, quantiles, np.array(LEVELS)), sign, rtol=1e-6
        )


def test_a_quiet_series_has_no_anomaly():
    assert found(daily()) == []


@pytest.mark.parametrize("factor", [1.6, 0.5])
def test_a_spike_is_a_point_and_spoils_nothing_after_it(factor):
    def spike(y):
        y[150] *= factor

    assert found(spoilt(daily(), spike)) == [(150, "point")]


def test_a_level_shift_is_named_after_five_values_and_then_over():
    def shift(y):
        y[150:] += 60

    made = found(spoilt(daily(), shift))
    assert made[:5] == [
        (150, "point"),
        (151, "run"),
        (152, "run"),
        (153, "run"),
        (154, "level shift"),
    ]
    assert max(position for position, _ in made) <= 156


def test_gaps_are_named_with_their_length_at_their_first_step():
    def holes(y):
        y[100], y[140:144] = np.nan, np.nan

    made = find_anomalies(DAILY, spoilt(daily(), holes), 4.0)
    assert made.position.tolist() == [100, 140]
    assert made.reason.tolist() == ["1 value is missing", "4 values are missing"]


def test_steps_that_never_are_belong_to_no_gap():
    values = np.array([1, np.nan, np.nan, 4, np.nan, 6.0])
    there = np.array([True, False, True, True, False, True])
    length, back = anomalies.gaps(values, np.array([0, 6]), there)
    assert length.tolist() == [0, 0, 0, 1, 0, 0] and back.tolist() == [0, 0, 0, 1, 0, 0]


def test_a_standstill_of_a_series_that_moves_is_named_from_its_eighth_value():
    def stuck(y):
        y[150:160] = y[150]

    kinds = dict(found(spoilt(daily(), stuck)))
    assert [n for n, kind in kinds.items() if kind == "standstill"] == [157, 158, 159]


def test_a_series_that_never_moved_surprises_when_it_does():
    made = found(
        spoilt(
            daily(120),
            lambda y: y.__setitem__(slice(None), np.where(np.arange(120) == 90, 7.0, 5.0)),
        )
    )
    assert (90, "point") in made
    assert all(position >= 90 for position, _ in made)


def test_what_is_said_of_a_value_does_not_change_when_more_arrive():
    def odd(y):
        y[90] *= 2
        y[120:] -= 50
        y[160], y[170:180] = np.nan, y[170]

    whole = spoilt(daily(), odd)
    early = found(whole.truncate(np.array([165])))
    assert early == [each for each in found(whole) if each[0] < 165]


def test_the_first_season_is_not_judged():
    panel = spoilt(daily(), lambda y: y.__setitem__(5, 1e4))
    assert np.isnan(score_values(DAILY, panel, 4.0).score[:24]).all()


@pytest.mark.parametrize("start", [0, 10, 250])
def test_values_that_come_one_by_one_are_judged_as_in_a_batch(start):
    layout = segment_layout(24)
    forecaster = replace(load_backbone(layout), context=6)
    panel = make_panel((420,), season=168, alias="h", missing=0.02, seed=3)

    def odd(y):
        y[[230, 260, 300]] *= 1.7
        y[330:] += 70
        y[380:394], y[345:350], y[270] = y[380], np.nan, -3.0

    panel = spoilt(panel, odd)
    cut = panel.truncate(np.array([start]))
    watched = WatchedSeries(forecaster, 3.0, cut, score_values(forecaster, cut, 3.0))
    came = []
    for n in range(start, 420):
        came += [(n - a.back, a.kind, a.score) for a in watched.take(panel.values[n])]
    batch = find_anomalies(forecaster, panel, 3.0)
    wanted = zip(batch.position, batch.kind, batch.score, strict=True)
    wanted = [each for each in wanted if each[0] >= start]
    came = sorted((each for each in came if each[0] >= start), key=lambda a: (a[0], a[1] != "gap"))
    assert [each[:2] for each in came] == [each[:2] for each in wanted]
    assert {kind for _, kind, _ in wanted} >= {"point", "run", "gap", "standstill"}
    np.testing.assert_allclose([a[2] for a in came], [a[2] for a in wanted], atol=1e-3)


@pytest.mark.parametrize("start", [10, 250, 310])
def test_the_hour_that_the_clock_skips_goes_on_in_the_stream_as_in_a_batch(start):
    forecaster = replace(load_backbone(segment_layout(24)), context=6)
    frequency, jump = Frequency("h"), 300
    skipped = frequency.locate(np.array(["2024-03-31T02"], "M8[ns]"))[0]
    panel = make_panel((420,), season=24, alias="h", seed=3)
    panel = replace(panel, first=skipped - jump, tz="Europe/Berlin")
    panel = spoilt(panel, lambda y: y.__setitem__(jump, np.nan))
    batch = score_values(forecaster, panel, 0.1).score
    cut = panel.truncate(np.array([start]))
    watched = WatchedSeries(forecaster, 0.1, cut, score_values(forecaster, cut, 0.1))
    came = {}
    for n in range(start, 420):
        if n != jump:
            at = {"missing": 1, "shut": (0,), "skipped": (0,)} if n == jump + 1 else {}
            for found_here in watched.take(panel.values[n], **at):
                came[n] = found_here.score
    later = [n for n in came if n > jump]
    assert len(later) > 50
    np.testing.assert_allclose([came[n] for n in later], batch[later], atol=1e-3)


def test_rules_do_not_look_across_series():
    score = np.array([9.0] * 4 + [0.0] + [9.0] * 5)
    kinds = anomalies.kinds(score, 4.0, np.array([0, 2, 10]))
    assert kinds.tolist() == [
        "point",
        "run",
        "point",
        "run",
        "",
        "point",
        *["run"] * 3,
        "level shift",
    ]


def test_where_surprises_crowd_the_history_takes_them():
    out = np.zeros(60, bool)
    out[10], out[30:60] = True, True
    left_out = anomalies.held(out, np.array([0, 60]))
    assert np.flatnonzero(left_out).tolist() == [10, 11, 12, 13, 14, *range(30, 35)]


def test_the_table_writes_times_as_the_panel_does():
    made = anomaly_table(
        daily(), find_anomalies(DAILY, spoilt(daily(), _one_spike), 4.0)
    ).to_pylist()
    assert [row["ds"] for row in made] == ["1970-05-31"]
    assert made[0]["lo"] < made[0]["hi"] < made[0]["y"]
    found = find_anomalies(DAILY, spoilt(daily(), _one_spike), 4.0)
    dated = anomaly_table(daily(), found, dated=True)  # for a workbook, which has dates
    assert dated.column("ds").to_pylist() == [datetime(1970, 5, 31)]


def _one_spike(y):
    y[150] *= 2


def test_masked_anomalies_are_counted_and_only_they_are_missing():
    panel = spoilt(daily(), _one_spike)
    masked, ((name, value, why),) = without_anomalies(panel, (7,), Settings())
    assert (name, value) == ("masked", "1 anomalies") and why.startswith("1 point; 0.45%")
    assert np.flatnonzero(np.isnan(masked.values)).tolist() == [150]


def test_train_learns_from_the_masked_panel_and_scores_on_the_panel(monkeypatch, tmp_path):
    from forecast.workflows import train as pipeline

    seen = []

    class Stop(Exception):
        pass

    def learn(panel, *more):
        seen.append(panel)
        raise Stop

    monkeypatch.setattr(pipeline, "learn", learn)
    file = write(tmp_path, spoilt(daily(), _one_spike))
    for mask in (False, True):
        settings = Settings.model_validate({"training": {"mask_anomalies": mask}})
        with pytest.raises(Stop):
            pipeline.train_run(str(file), settings, pipeline_listener())
    assert [int(np.isnan(panel.values).sum()) for panel in seen] == [0, 1]


def pipeline_listener():
    from forecast.common.progress import Silent

    return Silent()


def write(folder, panel):
    from pyarrow import csv

    path = folder / "data.csv"
    csv.write_csv(panel_to_arrow(panel), path)
    return path


def test_detect_prints_anomalies_as_csv_and_says_what_was_judged(tmp_path, capsys):
    file = write(tmp_path, spoilt(daily(), _one_spike))
    assert run(["detect", str(file), "--season", "7"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == '"unique_id","ds","y","score","lo","hi","kind","reason"'
    assert len(out.splitlines()) == 2 and '"1970-05-31"' in out
    assert "196 of 220 values" in err and "1 (point 1)" in err


def test_detect_prints_one_document_and_takes_the_threshold(tmp_path, capsys):
    file = write(tmp_path, spoilt(daily(), _one_spike))
    found = {}
    for threshold in ("2", "50"):
        assert run(["detect", str(file), "--json", "--quiet", "--threshold", threshold]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["threshold"] == float(threshold)
        found[threshold] = len(document["anomalies"])
    assert found["2"] > found["50"]


def test_detect_follows_rows_and_names_the_bad_ones(tmp_path, capsys, monkeypatch):
    panel = spoilt(daily(), _one_spike)
    file = write(tmp_path, panel.truncate(np.array([140])))
    rows = [f"1970-05-{n - 119:02d},{panel.values[n]}" for n in range(140, 151)]
    rows = [*rows[:4], "nonsense", *rows[4:], "1970-05-31,1", "1970-06-02,1000"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(rows).encode())))
    assert run(["detect", str(file), "--follow", "--season", "7"]) == 3
    out, err = capsys.readouterr()
    assert [line.split(",")[1:3:5] for line in out.splitlines()] == [
        ["ds"], ["1970-05-31"], ["1970-06-01"], ["1970-06-02"],
    ]  # fmt: skip
    assert [line.split(",")[6] for line in out.splitlines()[1:]] == ["point", "gap", "point"]
    assert "line 5: has 1 field, not unique_id,ds,y or ds,y (row/fields)" in err
    assert "line 13: 1970-05-31 has been there already (row/duplicate-time)" in err
    assert "line 14: comes after a gap of 1 step, which count as missing (row/gap)" in err
    assert "12 used, 2 refused, 1 after gaps" in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-", "--follow"], "usage/one-stdin"),
        (["x.csv", "--follow", "-o", "y"], "usage/follow-to-file"),
    ],
)
def test_following_takes_one_stream_and_no_file(words, code):
    with pytest.raises(UsageError) as caught:
        run(["detect", *words])
    assert caught.value.code == code
