from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.frequency import Frequency
from forecast.data.load import panel_from_frame
from forecast.scheduling.as_of import (
    counted_from_utc,
    digest_of,
    grid_of,
    last_over,
    take_snapshot,
)
from forecast.scheduling.clock import on_the_data_s_clock, position_of
from forecast.scheduling.config_file import load_config
from forecast.scheduling.history import Known, compare, fingerprints
from tests.builders import make_panel

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def job(folder, more=""):
    path = folder / "batch.yaml"
    path.write_text(f"jobs:\n  a:\n    data: x.csv\n{more}")
    return load_config(path, environ={}).jobs["a"]


def daily(lengths=(30, 30, 30), **more):
    return make_panel(lengths, 7, alias="D", **more)


@pytest.mark.parametrize(
    ("alias", "last"),
    [
        ("D", "2024-03-17"),
        ("h", "2024-03-17T23:00"),
        ("B", "2024-03-15"),
        ("W-SUN", "2024-03-17"),
        ("W-MON", "2024-03-11"),
        ("MS", "2024-02-01"),
        ("ME", "2024-02-29"),
        ("QE-DEC", "2023-12-31"),
        ("YS-JAN", "2023-01-01"),
    ],
)
def test_a_period_counts_once_it_is_over(alias, last):
    panel = replace(make_panel(), frequency=Frequency(alias))
    position = last_over(panel, np.datetime64("2024-03-18T00:30", "ns"))
    assert panel.frequency.stamps(np.array([position]))[0] == np.datetime64(last, "ns")


@pytest.mark.parametrize(
    ("alias", "stamps", "last"),
    [
        ("W-FRI", "auto", "2024-03-08"),
        ("W-FRI", "end", "2024-03-15"),
        ("W-SUN", "start", "2024-03-10"),
        ("MS", "end", "2024-03-01"),
        ("D", "end", "2024-03-17"),
        ("B", "start", "2024-03-15"),
        ("h", "end", "2024-03-18T00:00"),
        ("30min", "end", "2024-03-18T00:30"),
    ],
)
def test_the_job_says_whether_a_time_names_the_start_or_the_end(alias, stamps, last):
    panel = replace(make_panel(), frequency=Frequency(alias))
    position = last_over(panel, np.datetime64("2024-03-18T00:30", "ns"), stamps)
    assert panel.frequency.stamps(np.array([position]))[0] == np.datetime64(last, "ns")


def test_weeks_that_end_on_friday_are_forecast_on_saturday(tmp_path):
    panel = replace(make_panel((20,), 4), frequency=Frequency("W-FRI"), tz="UTC")
    saturday = panel.frequency.stamps(np.array([19]))[0] + np.timedelta64(30, "h")
    now = saturday.astype("M8[s]").item().replace(tzinfo=UTC)
    told = job(tmp_path, "    stamps: end\n")
    assert take_snapshot(panel, told, 4, None, now).panel.lengths.tolist() == [20]
    assert take_snapshot(panel, job(tmp_path), 4, None, now).panel.lengths.tolist() == [19]


def test_a_partial_last_period_is_dropped_unless_the_job_keeps_it(tmp_path):
    panel = daily()  # 1 to 30 January 1970
    noon = datetime(1970, 1, 30, 12, tzinfo=UTC)
    panel = replace(panel, tz="UTC")
    snapshot = take_snapshot(panel, job(tmp_path), 7, None, noon)
    assert (snapshot.time, snapshot.dropped, snapshot.panel.lengths.tolist()) == (
        "1970-01-29",
        1,
        [29] * 3,
    )
    kept = take_snapshot(panel, job(tmp_path, "    drop_partial: false\n"), 7, None, noon)
    assert (kept.time, kept.dropped) == ("1970-01-30", 0)


def test_hours_made_of_quarters_named_by_their_end_are_over_when_the_next_begins(tmp_path):
    panel = replace(make_panel((48,), 4), frequency=Frequency("h"), tz="UTC")
    now = datetime(1970, 1, 2, 12, 30, tzinfo=UTC)
    told = "    stamps: end\n    settings: {data.resample: h, data.agg: sum}\n"
    assert take_snapshot(panel, job(tmp_path, told), 4, None, now).label == "19700102T110000"


@pytest.mark.parametrize(
    ("rules", "last"),
    [
        ("    schedule: {time_zone: Australia/Lord_Howe}\n", "1970-01-29"),
        ("    settings: {data: {tz: Australia/Lord_Howe}}\n", "1970-01-29"),
        ("    schedule: {time_zone: America/New_York}\n", "1970-01-28"),
    ],
)
def test_days_without_a_zone_go_by_the_job_s(tmp_path, rules, last):
    afternoon = datetime(1970, 1, 29, 16, tzinfo=UTC)  # the small hours of the 30th in Lord Howe
    snapshot = take_snapshot(daily(), job(tmp_path, rules), 7, None, afternoon)
    assert snapshot.time == last
    begins = datetime.fromisoformat(snapshot.moment)
    assert begins.hour != 0  # midnight there, not in UTC
    assert snapshot.age == pytest.approx((afternoon - begins).total_seconds(), abs=3601)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-20", "1970-01-20"),
        ("1970-01-20T00:00", "1970-01-20"),
        ("1970-01-20T00:00+01:00", "1970-01-19"),
        ("1970-01", "1970-01-30"),
        ("1999", "1970-01-30"),
    ],
)
def test_nothing_after_the_as_of_is_seen(tmp_path, text, time):
    panel = replace(daily(), tz="UTC")
    snapshot = take_snapshot(panel, job(tmp_path), 7, text, LATER)
    assert snapshot.time == time
    changed = panel.values.copy()
    cut = snapshot.position + 1 - panel.first[0]
    if cut < 30:
        changed[cut:30] = 1e9
        again = take_snapshot(replace(panel, values=changed), job(tmp_path), 7, text, LATER)
        assert again.digest == snapshot.digest


def test_what_is_no_time_is_refused(tmp_path):
    for text in ("yesterday", "1970-13-01", ""):
        with pytest.raises(UsageError, match="--as-of must name a time"):
            take_snapshot(daily(), job(tmp_path), 7, text, LATER)
    with pytest.raises(InputError, match="no value lies up to the as-of"):
        take_snapshot(daily(), job(tmp_path), 7, "1969-01-01", LATER)


def test_late_series_are_forecast_to_the_same_end_and_ended_ones_left_out(tmp_path):
    panel = daily((30, 28, 15))
    snapshot = take_snapshot(panel, job(tmp_path), 7, None, LATER)
    assert snapshot.lags.tolist() == [0, 2]
    assert snapshot.left_out == (("series-2", "ends at 1970-01-15"),)
    assert snapshot.seen.size == 3
    rules = "    freshness: {series_error_after: 1d, series_warn_after: 12h}\n"
    strict = take_snapshot(panel, job(tmp_path, rules), 7, None, LATER)
    assert [name for name, _ in strict.left_out] == ["series-1", "series-2"]
    mild = "    freshness: {series_error_after: 30d, series_warn_after: 36h}\n"
    late = take_snapshot(panel, job(tmp_path, mild), 7, None, LATER)
    assert (late.left_out, late.late) == ((), ("series-1", "series-2"))


def test_values_that_are_missing_at_the_as_of_count_as_late(tmp_path):
    panel = daily((30, 30))
    panel.values[58:60] = np.nan
    snapshot = take_snapshot(panel, job(tmp_path), 7, None, LATER)
    assert snapshot.lags.tolist() == [0, 2]


def test_the_age_is_measured_on_the_data_s_own_clock(tmp_path):
    at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert on_the_data_s_clock(at, "+05:30") == np.datetime64("2024-03-01T17:30", "ns")
    assert on_the_data_s_clock(at, "Europe/Paris") == np.datetime64("2024-03-01T13:00", "ns")
    panel = replace(daily(), tz="UTC")
    snapshot = take_snapshot(panel, job(tmp_path), 7, None, datetime(1970, 2, 2, tzinfo=UTC))
    assert snapshot.age == 3 * 86400
    assert take_snapshot(panel, job(tmp_path), 7, "1970-01-31", LATER).age == 86400


def test_integer_steps_have_an_as_of_and_no_age(tmp_path):
    panel = replace(daily(), frequency=Frequency("1", integer=True), time_format="integer")
    snapshot = take_snapshot(panel, job(tmp_path), 7, "12", LATER)
    assert (snapshot.time, snapshot.label, snapshot.age) == ("12", "12", None)
    assert position_of("12", panel) == 12


def test_the_digest_sees_every_value_id_and_place():
    panel = make_panel()
    values = panel.values.copy()
    values[5] = np.nextafter(values[5], 0)
    others = [
        replace(panel, values=values),
        replace(panel, first=panel.first + 1),
        replace(panel, ids=np.array(["a", "b", "c"], object)),
        replace(panel, tz="UTC"),
    ]
    assert len({digest_of(p) for p in (panel, *others)}) == 5


def known(panel):
    prints = fingerprints(panel, panel.first, panel.lengths)
    return Known(panel.ids.tolist(), panel.first, panel.lengths, prints)


def test_history_is_compared_as_far_as_it_was_seen():
    panel = make_panel((60, 48, 30), missing=0.1)
    before = known(panel.truncate(panel.lengths - 5))
    same = compare(panel, before)
    assert (same.new, same.gone, same.shorter, same.share) == ((), (), (), 0.0)
    assert len(same.restated) == len(same.moved) == 0
    values = panel.values.copy()
    values[60 + 10] += 1e-9  # deep in the second series' past
    values[59] += 1  # new in the first series
    assert compare(replace(panel, values=values), before).restated.tolist() == [1]
    late = values.copy()
    late[:] = panel.values
    late[60 + 4] = np.nan if np.isfinite(late[60 + 4]) else 1.0
    assert compare(replace(panel, values=late), before).restated.tolist() == [1]


def test_new_gone_shorter_and_moved_series_are_told_apart():
    panel = make_panel((60, 48, 30))
    before = known(panel)
    short = compare(panel.truncate(panel.lengths - [0, 1, 0]), before)
    assert (short.shorter, short.restated.tolist()) == (("series-1",), [])
    two = compare(panel.select(np.array([0, 2])), before)
    assert two.gone == ("series-1",)
    assert two.share == pytest.approx(1 / 3)
    assert compare(panel, known(panel.select(np.array([0, 2])))).new == ("series-1",)
    moved = replace(panel, first=panel.first + np.array([0, 0, 4]))
    assert compare(moved, before).moved.tolist() == [2]
    assert compare(panel, Known([], *(np.empty(0, np.int64),) * 3)).new == ()


@pytest.mark.parametrize("offset", ["+01:00", "-03:00", "+05:30", "+11:00"])
@pytest.mark.parametrize("step", ["h", "30min", "15min"])
def test_positions_of_one_offset_are_those_of_the_same_times_in_utc(offset, step):
    times = pd.date_range("2024-03-30T00:00", periods=80, freq=step, tz=offset)
    panels = [
        panel_from_frame(pd.DataFrame({"ds": each, "y": range(80)}), DataSettings())[0]
        for each in (times.map(lambda t: t.isoformat()), times.tz_convert("UTC"))
    ]
    one, other = (counted_from_utc(each) for each in panels)
    assert one.first[0] == other.first[0]
    assert grid_of(one) == grid_of(other)
    steps = panels[0].first + np.arange(3)
    moved = one.first + np.arange(3)
    assert (panels[0].frequency.stamps(steps) == one.frequency.stamps(moved)).all()


def test_a_part_that_was_last_sold_long_ago_is_forecast_from_the_end_of_the_table(tmp_path):
    days = pd.to_datetime(["2020-01-01", "2020-06-30", "2020-01-01", "2020-03-01"])
    frame = pd.DataFrame({"id": list("aabb"), "ds": days, "y": 1.0})
    panel, _ = panel_from_frame(frame, DataSettings(missing="zero", freq="D"))
    snapshot = take_snapshot(panel, job(tmp_path), 7, None, LATER)
    assert (snapshot.lags.tolist(), snapshot.left_out) == ([0, 0], ())
    earlier = take_snapshot(panel, job(tmp_path), 7, "2020-05-31", LATER)
    assert earlier.panel.lengths.tolist() == [152, 152]
