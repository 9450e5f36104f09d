"""Frequencies: arithmetic on the grid, what is inferred, seasons, and times written back."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.frequency import Frequency, infer_frequency, parse_frequency
from forecast.data.io.arrow import as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.io.timestamps import parse_times
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from forecast.data.seasonality import confirm_seasons

ALIASES = [
    "YS-JAN", "YE-DEC", "YS-APR", "QS-JAN", "QS-FEB", "QE-DEC", "MS", "ME", "2MS", "6MS", "W-SUN",
    "W-WED", "2W-MON", "D", "7D", "3D", "B", "h", "2h", "6h", "30min", "15min", "min", "s", "10s",
]  # fmt: skip


def stamps_of(alias: str, count: int = 60, start: str = "2019-11-05") -> np.ndarray:
    import pandas as pd

    return pd.date_range(start, periods=count, freq=alias).to_numpy().astype("M8[ns]")


def inferred(stamps: np.ndarray) -> Frequency | None:
    return infer_frequency(stamps.astype(np.int64), np.array([0]), False)


@pytest.mark.parametrize("alias", ALIASES)
def test_every_alias_steps_as_pandas_does(alias: str) -> None:
    import pandas as pd

    stamps = stamps_of(alias)
    frequency = parse_frequency(alias, stamps.astype(np.int64), integer=False)
    positions = frequency.positions(stamps)
    assert (np.diff(positions) == 1).all()
    ahead = frequency.stamps(positions[-1] + np.arange(1, 30))
    want = pd.date_range(stamps[-1], periods=30, freq=alias).to_numpy()[1:]
    assert (ahead == want.astype("M8[ns]")).all()


@pytest.mark.parametrize("alias", [a for a in ALIASES if a not in ("7D", "6MS")])
def test_every_alias_is_inferred_from_its_times(alias: str) -> None:
    found = inferred(stamps_of(alias))
    assert found is not None
    assert found.alias == {"2QS-JAN": "6MS"}.get(alias, alias)


def test_quarter_ends_and_starts_are_told_apart() -> None:
    assert inferred(stamps_of("QE-DEC")).alias == "QE-DEC"
    assert inferred(stamps_of("QS-OCT")).alias == "QS-JAN"


def test_a_month_grid_may_lie_on_any_day() -> None:
    stamps = np.array([f"2020-{m:02d}-15" for m in range(1, 13)], "M8[ns]")
    found = inferred(stamps)
    assert found.alias == "MS"
    assert (found.stamps(found.positions(stamps)) == stamps).all()
    assert found.stamps(found.positions(stamps[-1:]) + 1)[0] == np.datetime64("2021-01-15", "ns")


def test_half_past_is_kept_as_the_phase() -> None:
    stamps = stamps_of("h", start="2020-01-01 00:30")
    found = inferred(stamps)
    assert found.alias == "h"
    assert found.stamps(found.positions(stamps[:1]))[0] == stamps[0]
    with pytest.raises(ValueError, match="not on the grid"):
        found.positions(np.array(["2020-01-01T00:00"], "M8[ns]"))


def test_gaps_do_not_hide_the_frequency() -> None:
    stamps = np.delete(stamps_of("D", 100), [3, 4, 20, 21, 22, 70])
    assert inferred(stamps).alias == "D"


def test_a_usual_step_of_two_with_some_of_one_means_one() -> None:
    every = stamps_of("h", 60)
    assert inferred(np.concatenate([every[:10], every[10::2]])).alias == "h"


def test_weekdays_alone_are_business_days() -> None:
    assert inferred(stamps_of("B", 30)).alias == "B"
    assert inferred(stamps_of("D", 30)).alias == "D"


def test_irregular_times_have_no_frequency() -> None:
    rng = np.random.default_rng(3)
    stamps = np.sort(rng.integers(0, 10**15, 50)).astype("M8[ns]")
    assert inferred(stamps) is None


def test_integer_steps_keep_their_stride_and_phase() -> None:
    found = infer_frequency(np.arange(3, 103, 5), np.array([0]), True)
    assert (found.alias, found.integer, found.phase) == ("5", True, 3)
    assert found.stamps(np.array([0, 1])).tolist() == [3, 8]


@given(
    st.sampled_from(ALIASES),
    st.integers(-200, 200),
    st.integers(0, 23),
)
@settings(max_examples=150, deadline=None)
def test_positions_and_stamps_are_inverse(alias: str, position: int, hour: int) -> None:
    phase = hour * 3600 * 10**9 if alias in ("MS", "ME", "B", "YS-JAN", "QE-DEC") else hour * 10**9
    frequency = Frequency(alias, phase=phase)
    at = np.arange(position, position + 5)
    stamps = frequency.stamps(at)
    assert (np.diff(stamps) > np.timedelta64(0)).all()
    assert (frequency.positions(stamps) == at).all()


@pytest.mark.parametrize(
    ("alias", "seasons"),
    [
        ("h", (24, 168)), ("30min", (48, 336)), ("15min", (96, 672)), ("min", (1440,)),
        ("D", (7, 365)), ("B", (5, 260)), ("W-SUN", (52,)), ("MS", (12,)), ("ME", (12,)),
        ("QS-JAN", (4,)), ("YE-DEC", (1,)), ("1", ()), ("2h", (12, 84)), ("6h", (4, 28)),
    ],
)  # fmt: skip
def test_each_frequency_suggests_its_seasons(alias: str, seasons: tuple[int, ...]) -> None:
    assert Frequency(alias, integer=alias.isdigit()).seasons == seasons


@pytest.mark.parametrize(
    ("alias", "steps"),
    [("h", 24), ("30min", 48), ("7h", None), ("D", None), ("MS", None), ("1", None)],
)
def test_steps_per_day_only_where_they_divide_it(alias: str, steps: int | None) -> None:
    assert Frequency(alias, integer=alias.isdigit()).steps_per_day == steps


@pytest.mark.parametrize("text", ["", "x", "0.5h", "hh", "3", "MS-"])
def test_what_is_no_frequency_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_frequency(text, np.array([0]), integer=False)


@pytest.mark.parametrize(
    ("old", "new"), [("H", "h"), ("T", "min"), ("M", "MS"), ("Q", "QS-JAN"), ("A", "YS-JAN"),
                     ("daily", "D"), ("5T", "5min")],
)  # fmt: skip
def test_older_and_plainer_names_are_understood(old: str, new: str) -> None:
    start = np.array([np.datetime64("2020-01-01", "ns").astype(np.int64)])
    assert parse_frequency(old, start, integer=False).alias == new


@pytest.mark.parametrize(
    "written",
    [
        ["1960-11", "1960-12"], ["2020-01-31", "2020-02-01"], ["04/30/2021", "05/07/2021"],
        ["30.4.2021", "7.5.2021"], ["2014-12-31T13:00:00Z", "2014-12-31T13:30:00Z"],
        ["2020-01-01 10:00", "2020-01-01 11:00"],
        ["2020-01-01T10:00:00+01:00", "2020-01-01T11:00:00+01:00"],
        ["2020-01-01 10:00:00.250", "2020-01-01 10:00:00.500"], ["20200131", "20200201"],
        ["202001", "202002"], ["2020.01", "2020.02"], ["2020Q1", "2020Q2"], ["2020M01", "2020M02"],
        ["20200131 12:00", "20200131 13:00"],
        ["2020/Q1", "2020/Q2"], ["2020-q1", "2020-q2"], ["Q1 2020", "Q2 2020"],
        ["2020-W01", "2020-W53"], ["2020W011", "2020W012"], ["31 Jan 2020", "01 Feb 2020"],
        ["Jan-99", "Feb-99"], ["January 2020", "February 2020"], ["JAN 2020", "FEB 2020"],
        ["1/31/2020 1:05 PM", "2/1/2020 12:05 AM"], ["2020/01/31", "2020/02/01"],
        ["13/01/20", "14/01/20"], ["Jan 31, 2020", "Feb 01, 2020"],
        ["20200131T1200", "20200131T1300"], ["01/2020", "02/2020"], ["2020 January", "2020 March"],
    ],
)  # fmt: skip
def test_times_are_written_as_they_were_read(written: list[str]) -> None:
    times = parse_times(as_strings(written), name="ds")
    assert not times.bad.any(), times.reason
    assert (np.diff(times.stamps) > 0).all()
    assert format_stamps(times.stamps, times.format, times.tz).to_pylist() == written


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)),
       st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y%m%dT%H%M%S",
                        "%d %B %Y", "%b %d, %Y"]))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_our_formatter_agrees_with_strftime(moment, pattern: str) -> None:
    stamp = np.array([np.datetime64(moment, "ns")])
    assert format_stamps(stamp, pattern).to_pylist() == [moment.strftime(pattern)]


@given(st.dates(min_value=date(1700, 1, 1), max_value=date(2200, 1, 1)))
@settings(max_examples=150, deadline=None)
def test_iso_weeks_agree_with_the_calendar(day) -> None:
    year, week, weekday = day.isocalendar()
    text = f"{year}-W{week:02d}-{weekday}"
    times = parse_times(as_strings([text]), name="week")
    assert times.stamps[0] == np.datetime64(day, "ns").astype(np.int64)
    assert format_stamps(times.stamps, times.format).to_pylist() == [text]


def test_clock_times_are_written_with_the_offset_of_their_zone() -> None:
    stamps = np.array(["2021-03-28T01:30", "2021-03-28T03:30", "2021-10-31T02:30"], "M8[ns]")
    texts = format_stamps(stamps, "%Y-%m-%dT%H:%M:%S%:z", "Europe/Berlin").to_pylist()
    assert texts == [
        "2021-03-28T01:30:00+01:00", "2021-03-28T03:30:00+02:00", "2021-10-31T02:30:00+02:00",
    ]  # fmt: skip
    later = format_stamps(stamps[2:], "%H:%M%:z", "Europe/Berlin", np.ones(1, bool)).to_pylist()
    assert later == ["02:30+01:00"]
    in_utc = format_stamps(stamps, "%H:%MZ", "Europe/Berlin").to_pylist()
    assert in_utc == ["00:30Z", "01:30Z", "00:30Z"]
    assert format_stamps(stamps[:1], "epoch:s", "Europe/Berlin").to_pylist() == [1616891400]


def test_years_with_a_fraction_are_months() -> None:
    written = ["1949", "1949.0833", "1949.1667", "1949.25", "1949.9167", "1950"]
    times = parse_times(as_strings(written), name="time")
    assert not times.bad.any()
    months = times.stamps.astype("M8[ns]").astype("M8[M]").astype(str).tolist()
    assert months == ["1949-01", "1949-02", "1949-03", "1949-04", "1949-12", "1950-01"]
    assert format_stamps(times.stamps, times.format).to_pylist() == written


def test_integers_and_epochs_stay_numbers() -> None:
    assert format_stamps(np.array([7, 8]), "integer").to_pylist() == [7, 8]
    stamps = np.array(["2020-01-01", "2020-01-02"], "M8[ns]")
    assert format_stamps(stamps, "epoch:ms").to_pylist() == [1577836800000, 1577923200000]


def make_panel(series: list[np.ndarray], frequency: Frequency) -> Panel:
    lengths = np.array([len(s) for s in series])
    return Panel(
        ids=np.array([f"s{n}" for n in range(len(series))], object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate(series),
        first=np.zeros(len(series), np.int64),
        frequency=frequency,
    )


def seasonal(length: int, season: int, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    profile = rng.normal(0, 3, season)
    level = np.cumsum(rng.normal(0, 0.2, length))
    return 50 + level + np.resize(profile, length) + rng.normal(0, noise, length)


@pytest.mark.parametrize("season", [4, 12, 24, 7])
def test_a_season_is_found_in_integer_steps(season: int) -> None:
    panel = make_panel([seasonal(season * 12, season, n) for n in range(12)], Frequency("1", True))
    assert confirm_seasons(panel)[:1] == (season,)


def test_random_walks_have_no_season() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        walks = [np.cumsum(rng.normal(0, 1, 200)) for _ in range(10)]
        assert confirm_seasons(make_panel(walks, Frequency("1", True))) == ()
        assert confirm_seasons(make_panel(walks, Frequency("MS"))) == ()


def test_one_noise_series_rarely_passes_for_seasonal() -> None:
    found = 0
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(0, 1, 120)
        found += confirm_seasons(make_panel([noise], Frequency("MS"))) != ()
    assert found <= 5


@pytest.mark.parametrize("length", [150, 400, 800])
def test_noise_and_walks_rarely_pass_for_seasonal_among_hundreds_of_lags(length: int) -> None:
    found = 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 1, length)
        for series in (noise, np.cumsum(noise)):
            found += confirm_seasons(make_panel([series], Frequency("1", True))) != ()
    assert found <= 6  # of 120; by three standard errors of each lag it was up to 23


@pytest.mark.parametrize("length", [150, 400])
def test_a_plain_season_of_one_series_is_found_among_hundreds_of_lags(length: int) -> None:
    found = [
        confirm_seasons(make_panel([seasonal(length, 12, seed)], Frequency("1", True)))[:1]
        for seed in range(40)
    ]
    assert found.count((12,)) >= 36


def test_a_cycle_of_years_is_found() -> None:
    rng = np.random.default_rng(1)
    spots = 50 + 40 * np.sin(np.arange(110) / 11 * 2 * np.pi) + rng.normal(0, 8, 110)
    assert confirm_seasons(make_panel([spots], Frequency("YS-JAN"))) == (11,)


def test_what_years_of_many_countries_share_is_no_cycle() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shared = np.cumsum(rng.normal(0, 1, 60))
        countries = [shared + np.cumsum(rng.normal(0, 0.3, 60)) for _ in range(50)]
        assert confirm_seasons(make_panel(countries, Frequency("YS-JAN"))) == ()


def test_days_and_weeks_of_hourly_data_are_both_found() -> None:
    rng = np.random.default_rng(5)
    week = np.concatenate(
        [np.sin(np.arange(24) / 24 * 2 * np.pi) * (3 if d < 5 else 1) for d in range(7)]
    )
    panel = make_panel(
        [np.tile(week, 8) + rng.normal(0, 0.2, 24 * 56) for _ in range(4)], Frequency("h")
    )
    assert confirm_seasons(panel) == (24, 168)


def test_a_day_without_a_week_is_only_a_day() -> None:
    rng = np.random.default_rng(5)
    day = np.sin(np.arange(24) / 24 * 2 * np.pi) * 3
    panel = make_panel(
        [np.tile(day, 56) + rng.normal(0, 0.5, 24 * 56) for _ in range(4)], Frequency("h")
    )
    assert confirm_seasons(panel) == (24,)


def test_missing_values_do_not_hide_a_season() -> None:
    series = [seasonal(144, 12, n) for n in range(6)]
    rng = np.random.default_rng(0)
    for s in series:
        s[rng.random(len(s)) < 0.15] = np.nan
    assert confirm_seasons(make_panel(series, Frequency("MS"))) == (12,)


def test_series_shorter_than_a_season_confirm_nothing() -> None:
    assert confirm_seasons(make_panel([np.arange(5.0)], Frequency("MS"))) == ()
    assert confirm_seasons(make_panel([np.full(100, 3.0)], Frequency("MS"))) == ()


def test_times_that_no_calendar_holds_are_refused() -> None:
    with pytest.raises(OverflowError):
        Frequency("YS-JAN").stamps(np.array([400]))
    with pytest.raises(OverflowError):
        Frequency("D").stamps(np.array([200_000]))


def test_times_that_cannot_be_told_are_an_error_of_the_input():
    yearly = Frequency("YS-JAN")
    with pytest.raises(InputError, match="1678 to 2261") as caught:
        yearly.stamps(np.array([0, 10_000]))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("months", [5, 7, 8, 13, 18])
def test_a_step_of_months_that_no_year_is_made_of_is_asked_for(months: int, tmp_path) -> None:
    numbers = [24_000 + months * n for n in range(16)]
    rows = [f"{n // 12}-{n % 12 + 1:02d}-01,{n * n % 17}" for n in numbers]
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(["ds,y", *rows]))
    with pytest.raises(InputError, match="--freq") as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/odd-months"
    asked = caught.value.remedy.split()[2]
    assert load_panel(path, DataSettings(freq=asked))[1].frequency == asked
