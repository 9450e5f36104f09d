"""First and last periods of a resampled table: what their rows fill only in part is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.config.schema import DataSettings
from forecast.data.load import panel_from_frame

CODES = ("repair/partial-period", "repair/interval-ends", "warning/no-whole-period")


def summed(times, resample, values=1.0, ids=None, **more):
    """The panel of sums, its notes on periods and intervals, and its first and last time."""
    columns = {"ds": pd.DatetimeIndex(times), "y": values}
    frame = pd.DataFrame(columns if ids is None else {"id": ids, **columns})
    settings = DataSettings(**{"resample": resample, "agg": "sum", **more})
    panel, report = panel_from_frame(frame, settings)
    notes = [n.text for n in (*report.repairs, *report.warnings) if n.code in CODES]
    return panel, notes, report.span


def test_months_that_the_days_do_not_fill_are_left_out_at_both_ends_and_said():
    days = pd.date_range("2019-01-14", "2020-06-04")
    panel, notes, span = summed(days, "MS")
    assert span == ("2019-02-01", "2020-05-01")
    assert panel.values[0] == 28
    assert [n.split(":")[0] for n in notes] == [
        "January 2019 holds 18 of 31 days", "June 2020 holds 4 of 30 days",
    ]  # fmt: skip
    assert "data.drop_partial=false" in notes[0]


def test_what_a_note_advises_keeps_the_partial_periods():
    days = pd.date_range("2019-01-14", "2020-06-04")
    panel, notes, _ = summed(days, "MS", drop_partial=False)
    assert (panel.values[0], panel.values[-1], notes) == (18, 4, [])


@pytest.mark.parametrize("alias", ["MS", "ME", "QS", "W", "YS"])
def test_whole_periods_all_stay(alias):
    first, last = ("2018-01-01", "2023-12-31")
    assert summed(pd.date_range(first, last), alias)[1] == []


@pytest.mark.parametrize(
    ("freq", "alias", "said"),
    [
        ("h", "D", "4 January 2024 holds 11 of 24 hours"),
        ("h", "MS", "January 2024 holds 83 of 744 hours"),
        ("15min", "h", None),
        ("MS", "YS", "2024 holds 1 of 12 months"),
    ],
)
def test_any_step_tells_what_is_missing_of_a_longer_one(freq, alias, said):
    times = pd.date_range("2023-01-01", "2024-01-04 10:59", freq=freq)
    notes = summed(times, alias)[1]
    assert [n.split(":")[0] for n in notes] == ([said] if said else [])


def test_gaps_inside_and_days_that_are_always_closed_make_no_period_partial():
    days = pd.date_range("2023-01-01", "2024-06-29")  # the Sunday after it is shut
    days = days[(days.dayofweek < 6) & ~((days >= "2024-06-03") & (days < "2024-06-10"))]
    _, notes, span = summed(days, "MS")
    assert (notes, span[1]) == ([], "2024-06-01")
    _, notes, _ = summed(days[:-1], "MS")
    assert notes[0].startswith("June 2024 holds 24 of 25 days")


def test_nights_that_are_always_closed_make_no_day_partial():
    hours = pd.date_range("2024-01-01", "2024-03-31 23:00", freq="h")
    assert summed(hours[(hours.hour >= 8) & (hours.hour < 18)], "D")[1] == []


def test_sales_that_are_rare_days_are_not_held_to_the_calendar():
    rng = np.random.default_rng(1)
    days = np.sort(rng.choice(pd.date_range("2021-01-01", "2023-12-28"), 150, replace=False))
    days = np.append(days, np.datetime64("2023-12-27"))
    assert summed(np.unique(days), "MS")[1] == []


def test_a_series_that_ends_within_a_month_is_judged_by_its_own_days():
    long, short = (
        pd.date_range("2023-01-01", "2024-06-30"),
        pd.date_range("2023-01-01", "2024-03-9"),
    )
    times, ids = [*long, *short], ["a"] * len(long) + ["b"] * len(short)
    panel, notes, _ = summed(times, "MS", ids=ids)
    assert panel.lengths.tolist() == [18, 14]
    assert len(notes) == 1 and notes[0].startswith("1 series begins or ends within a period")
    panel, notes, _ = summed(times, "MS", ids=ids, missing="zero")  # no row means zero: it is whole
    assert notes == [] and panel.series(1)[14] == 9


def test_a_series_without_a_whole_period_is_named():
    long, short = (
        pd.date_range("2023-01-01", "2024-06-30"),
        pd.date_range("2024-03-03", "2024-03-9"),
    )
    ids = ["a"] * len(long) + ["b"] * len(short)
    panel, notes, _ = summed([*long, *short], "MS", ids=ids)
    assert panel.ids.tolist() == ["a"]
    assert any(n.startswith("1 series has no whole period") for n in notes)


def test_a_series_without_any_value_does_not_hide_whose_period_is_partial():
    long = pd.date_range("2023-01-01", "2024-06-30")
    short = pd.date_range("2023-01-01", "2024-03-09")
    ids = ["a"] * len(long) + ["b"] * len(long) + ["c"] * len(short)
    values = [1.0] * len(long) + [np.nan] * len(long) + [1.0] * len(short)
    panel, notes, _ = summed([*long, *long, *short], "MS", values=values, ids=ids)
    assert (panel.ids.tolist(), panel.lengths.tolist()) == (["a", "c"], [18, 14])
    assert len(notes) == 1


def till(seed: int, days: int = 90, first: str = "2024-03-01", receipts: int = 30):
    """Times of receipts: busy in the morning, fewer and fewer until the evening, shut on Sundays,
    Saturdays until two."""
    rng = np.random.default_rng(seed)
    found = []
    for day in pd.date_range(first, periods=days):
        hours = 8 + np.minimum(rng.exponential(3, rng.poisson(receipts) + 1), 12)
        hours = hours[hours < 14] if day.dayofweek == 5 else hours
        if day.dayofweek < 6:
            found += [day + pd.Timedelta(seconds=int(3600 * h)) for h in np.sort(hours)]
    return pd.DatetimeIndex(found)


def test_a_day_of_receipts_that_is_cut_off_is_left_out_at_either_end():
    times = till(0)
    times = times[(times > "2024-03-01 16:00") & (times < "2024-05-28 10:40")]
    _, notes, span = summed(times, "D")
    assert [s[:10] for s in span] == ["2024-03-02", "2024-05-27"]
    assert "the rows of 1 March 2024 begin at 2024-03-01 16:" in notes[0]
    assert "the rows of 28 May 2024 end at 2024-05-28 10:" in notes[1]
    _, notes, _ = summed(times, "MS")
    assert any(n.startswith("May 2024 holds") for n in notes)


def test_the_last_day_before_the_end_of_a_month_counts_as_whole_only_if_it_is():
    times = till(1, days=121, first="2024-01-02")  # to 1 May
    whole = times[times < "2024-05-01"]
    assert not any("April" in n for n in summed(whole, "MS")[1])
    cut = times[times < "2024-04-30 10:00"]
    assert any("the rows of April 2024 end at" in n for n in summed(cut, "MS")[1])


@pytest.mark.parametrize("receipts", [3, 12, 60])
def test_tills_that_are_quiet_in_the_evening_lose_hardly_a_whole_day(receipts):
    notes = [summed(till(seed, 60, receipts=receipts), "D")[1] for seed in range(60)]
    assert sum(map(len, notes)) <= 6  # of 120 first and last days


# --- Times that name the ends of intervals -------------------------------------------------------


def test_quarter_hours_that_are_named_by_their_end_make_whole_days():
    times = pd.date_range("2024-01-01 00:15", "2024-03-01", freq="15min")
    panel, notes, span = summed(times, "D")
    assert panel.values.tolist() == [96] * 60
    assert span == ("2024-01-01", "2024-02-29")
    assert "name the ends of intervals" in notes[0] and len(notes) == 1
    panel, notes, _ = summed(times, "D", stamps="start")
    assert panel.values.tolist() == [96] * 59  # the first day lacks a quarter of an hour
    panel, _, _ = summed(times, "h")
    assert panel.values.tolist() == [4] * (60 * 24)


def test_times_that_begin_intervals_stay_where_they_are():
    times = pd.date_range("2024-01-01", "2024-02-29 23:45", freq="15min")
    panel, notes, _ = summed(times, "D")
    assert (panel.values.tolist(), notes) == ([96] * 60, [])


def test_the_ends_that_settings_say_count_though_the_file_does_not_show_them():
    times = pd.date_range("2024-01-01 00:15", "2024-02-01 10:30", freq="15min")
    panel, notes, span = summed(times, "D", stamps="end")
    assert (panel.values.tolist(), span[1][:10]) == ([96] * 31, "2024-01-31")
    assert "2 of 24" not in notes[1] and "1 February 2024 holds 42 of 96 steps" in notes[1]


@pytest.mark.parametrize("written", ["%d.%m.%Y %H:%M", "%d.%m.%Y %H"])
def test_midnight_written_as_24_belongs_to_the_day_before_and_bins_are_plain_dates(
    tmp_path, written
):
    from forecast.data.load import load_panel

    lines = ["ds;y"]
    for day in pd.date_range("2024-01-01", periods=50):
        for hour in range(1, 25):
            text = day.strftime(written).replace(" 00", f" {hour}", 1)
            lines.append(f"{text};10")
    (tmp_path / "a.csv").write_text("\n".join(lines[:-10]))  # the last day ends at 14 o'clock
    settings = DataSettings(resample="D", agg="sum")
    panel, report = load_panel(tmp_path / "a.csv", settings)
    assert (panel.values.tolist(), report.span) == ([240] * 49, ("01.01.2024", "18.02.2024"))


def test_ends_of_intervals_by_the_clock_of_a_zone_fall_into_the_hours_that_there_are():
    begins = pd.date_range("2024-03-29", "2024-04-02", freq="15min", tz="Europe/Berlin")[:-1]
    ends = (begins + pd.Timedelta(minutes=15)).tz_localize(None)
    panel, _, _ = summed(ends, "h", stamps="end", tz="Europe/Berlin")
    assert np.nansum(panel.values) == len(begins)
    assert np.isnan(panel.values).sum() == 1 and np.nanmax(panel.values) == 4


def test_covariates_of_ends_lie_in_the_period_of_their_interval():
    times = pd.date_range("2024-01-01 00:15", "2024-03-01", freq="15min")
    begins = times - pd.Timedelta(minutes=15)
    frame = pd.DataFrame({"ds": times, "y": 1.0, "day": begins.dayofyear.astype(float)})
    settings = DataSettings(resample="D", agg="sum", past_cov=("day",))
    panel, _ = panel_from_frame(frame, settings)
    assert panel.covariates.columns[0].values.tolist() == list(range(1, 61))


def test_an_outlook_is_read_by_ends_where_the_data_are(tmp_path):
    quarters = pd.date_range("2024-01-01 00:15", "2024-03-02 12:00", freq="15min")
    data, outlook = quarters[quarters <= "2024-03-01"], quarters[quarters > "2024-03-01"]
    begins = (outlook - pd.Timedelta(minutes=15)).hour  # the outlook itself ends at noon
    path = tmp_path / "outlook.csv"
    pd.DataFrame({"ds": outlook, "hour": begins.astype(float)}).to_csv(path, index=False)
    frame = pd.DataFrame({"ds": data, "y": 1.0})
    frame["hour"] = (data - pd.Timedelta(minutes=15)).hour.astype(float)
    settings = DataSettings(
        resample="h", agg="sum", future_cov=("hour",), future_covariates=str(path)
    )
    panel, _ = panel_from_frame(frame, settings)
    ahead = panel.covariates.columns[0].values[len(panel.values) :]
    assert ahead[:36].tolist() == [*range(24), *range(12)]


def test_sums_of_readings_that_never_fall_are_said_to_mean_nothing_and_the_advice_works():
    times = pd.date_range("2024-01-01", periods=24 * 20, freq="h")
    used = np.arange(480) % 24 / 10
    frame = pd.DataFrame({"ds": times, "y": 5000 + used.cumsum()})
    codes, values = {}, {}
    for agg in ("sum", "last"):
        settings = DataSettings(resample="D", agg=agg, stamps="start")
        panel, report = panel_from_frame(frame, settings)
        codes[agg] = [n.code for n in report.warnings]
        values[agg] = panel.values
    assert codes == {"sum": ["warning/readings"], "last": []}
    np.testing.assert_allclose(np.diff(values["last"]), used[:24].sum())
    sales = frame.assign(y=used)
    report = panel_from_frame(sales, DataSettings(resample="D", agg="sum"))[1]
    assert "warning/readings" not in [n.code for n in report.warnings]
