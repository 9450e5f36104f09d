from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.frequency import Frequency
from forecast.data.load import panel_from_frame
from forecast.data.open_steps import never_filled, reach, rows_ahead
from forecast.data.panel import Covariate, Covariates, Panel
from forecast.transforms.calendar import calendar_features, public_holidays, wall_clock
from forecast.transforms.covariates import CATEGORIES, encode, fit_design, read_design, widths
from tests.builders import make_panel

DAY = 86_400 * 10**9


def positions(frequency, *times):
    return frequency.positions(np.array(times, "M8[ns]"))


def features(frequency, times, **what):
    what = {"calendar": False, "holidays": (), **what}
    tz, zone = what.pop("tz", None), what.pop("zone", None)
    return calendar_features(frequency, positions(frequency, *times), tz, zone, **what)


def covered(values, role="future", categories=None, lengths=(30, 20), extra=5):
    panel = make_panel(lengths, 7, alias="D")
    offsets = np.concatenate([[0], np.cumsum(panel.lengths + extra)])
    column = Covariate("x", role, np.asarray(values, float), categories)
    return replace(panel, covariates=Covariates(offsets, (column,)))


def designed(panel, keep=None, **what):
    what = {"calendar": False, "holidays": (), "calendar_tz": None, **what}
    return fit_design(panel, panel.lengths if keep is None else keep, **what)


def test_the_weekday_of_a_day_is_its_own():
    days = features(Frequency("D"), ["2024-02-26", "2024-02-29", "2024-03-03"], calendar=True)
    assert days[:, :7].argmax(1).tolist() == [0, 3, 6]  # Monday, Thursday, Sunday


def test_hours_count_on_the_clock_of_the_zone_that_is_named():
    hourly = Frequency("h")
    utc = ["2012-01-01T13:00", "2012-07-01T14:00"]  # both midnight in Melbourne
    here = features(hourly, utc, calendar=True, tz="UTC", zone="Australia/Melbourne")
    midnight = features(hourly, ["2012-01-02T00:00", "2012-07-02T00:00"], calendar=True)
    np.testing.assert_allclose(here, midnight, atol=1e-6)
    with pytest.raises(UsageError) as caught:
        features(hourly, utc, calendar=True, zone="Australia/Melbourne")
    assert caught.value.code == "usage/calendar-zone" and "--tz" in caught.value.remedy


def test_a_fixed_offset_is_a_zone_and_an_unknown_name_is_refused():
    noon = np.array([12 * 3600 * 10**9])
    assert (wall_clock(noon, "+10:30") - noon).tolist() == [10.5 * 3600 * 10**9]
    with pytest.raises(UsageError) as caught:
        wall_clock(noon, "Mars/Olympus")
    assert caught.value.code == "usage/calendar-zone"


def test_an_exchange_has_its_own_days_off():
    days = np.array([np.datetime64("2024-03-29").astype(int)])  # Good Friday: no federal holiday
    assert days[0] in public_holidays(("XNYS",), days)
    assert days[0] not in public_holidays(("US",), days)


def trading_days(extra: tuple[str, ...] = ()) -> Panel:
    """A price of every weekday of 2022 on which the exchange of New York is open, and `extra`."""
    days = np.arange("2022-01-03", "2022-12-24", dtype="M8[D]")
    days = days[np.is_busday(days)]
    rests = np.isin(days.astype(int), public_holidays(("XNYS",), days.astype(int)))
    kept = days[~rests | np.isin(days, np.array(extra, "M8[D]"))]
    frame = pd.DataFrame({"ds": kept.astype(str), "y": np.arange(len(kept)) + 50.0})
    return panel_from_frame(frame, DataSettings(holidays=("XNYS",), freq="B"))[0]


def test_days_on_which_the_exchange_is_closed_are_no_steps_where_none_has_a_value():
    panel = trading_days()
    assert panel.closed == ("XNYS",)
    assert never_filled(panel).tolist() == [np.isnan(panel.values).sum()] and panel.size == 1
    steps = reach(panel, panel.lengths, 5)
    _, ahead, _ = rows_ahead(panel, np.array([0]), panel.lengths, steps, 5)
    stamps = panel.frequency.stamps(panel.first[0] + panel.lengths[0] + ahead)
    # Christmas was a Sunday and is kept on Monday the 26th; New Year's day on the 2nd of January
    assert [str(day)[:10] for day in stamps] == [
        "2022-12-27", "2022-12-28", "2022-12-29", "2022-12-30", "2023-01-03",
    ]  # fmt: skip
    other = trading_days(extra=("2022-07-04",))
    assert other.closed == ()


def test_holidays_are_those_of_the_part_of_the_country():
    days = np.arange(
        np.datetime64("2014-10-01").astype(int), np.datetime64("2014-12-31").astype(int)
    )
    cup = np.datetime64("2014-11-04").astype(int)  # Melbourne Cup day, in Victoria alone
    assert cup in public_holidays(["AU-VIC"], days)
    assert cup not in public_holidays(["AU"], days)
    flags = features(
        Frequency("D"), ["2014-11-03", "2014-11-04", "2014-11-05"], holidays=("AU-VIC",)
    )
    assert flags.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]  # is one; one follows; one was


def test_an_unknown_country_is_refused_by_name():
    with pytest.raises(UsageError) as caught:
        public_holidays(["XX"], np.array([0]))
    assert caught.value.code == "usage/holidays"
    assert caught.value.value == "XX"


def test_months_count_their_weekdays_and_working_holidays():
    months = ["2024-02-01", "2024-03-01"]
    counted = features(Frequency("MS"), months, calendar=True)
    february, march = counted[:, 6:13]
    # February 2024: 29 days, five Thursdays; March: 31 days, five of Friday, Saturday, Sunday.
    assert (february - february.min()).tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert (march - march.min()).tolist() == [0, 0, 0, 0, 1, 1, 1]
    ends = features(Frequency("ME"), ["2024-02-29", "2024-03-31"], calendar=True)
    np.testing.assert_allclose(ends, counted, atol=1e-6)
    christmas = features(Frequency("MS"), ["2024-12-01"], holidays=("DE",))
    assert christmas[0, 0] == 2  # the 25th and 26th


def test_integers_have_no_calendar():
    with pytest.raises(InputError) as caught:
        calendar_features(
            Frequency("1", integer=True), np.arange(3), None, None, calendar=True, holidays=()
        )
    assert caught.value.code == "input/calendar-without-dates"


@pytest.mark.parametrize("alias", ["h", "30min", "D", "B", "W-SUN", "MS", "QE-DEC", "YS-JAN"])
def test_calendars_of_all_frequencies_are_finite_and_know_their_width(alias):
    panel = replace(make_panel((20, 9), alias=alias), first=np.array([40, 43]))
    design = designed(panel, calendar=True, holidays=("US",))
    known = encode(design, panel, 12)
    assert known.shared.shape == (32 + 1, design.calendar_width)
    assert np.isfinite(known.shared).all() and not known.shared[-1].any()
    assert known.shared_starts.tolist() == [0, 3]
    assert (known.ahead, known.beside(_step())) == widths(design, 1)


def _step():
    from forecast.transforms.windows import step_layout

    return step_layout(12)


def test_there_is_no_design_without_covariates():
    assert designed(make_panel((20,))) is None


def test_centre_and_scale_come_from_what_was_seen_before_the_held_out_windows():
    values = np.concatenate([np.arange(35.0), np.arange(25.0)])
    panel = covered(values)
    poisoned = values.copy()
    poisoned[np.r_[20:35, 45:60]] = 1e9
    keep = np.array([20, 10])
    assert designed(panel, keep) == designed(covered(poisoned), keep)


def test_missing_values_are_zero_and_said_to_be_missing():
    values = np.arange(60.0)
    values[3] = np.nan
    panel = covered(values, lengths=(55,))
    design = designed(panel)
    assert design.entries[0].flag
    own = encode(design, panel).own
    assert own[3].tolist() == [0.0, 0.0] and own[4, 1] == 1.0
    assert abs(own[:55, 0].mean()) < 0.01


def test_series_that_differ_are_measured_by_their_own_past():
    values = np.concatenate([1e6 + np.arange(35.0), np.arange(25.0)])
    panel = covered(values)
    design = designed(panel)
    assert design.entries[0].own
    own = encode(design, panel).own[:, 0]
    np.testing.assert_allclose([own[:30].mean(), own[35:55].mean()], 0, atol=1e-5)
    later = values.copy()
    later[30:35] = -5.0  # steps to come have no part in the measure
    np.testing.assert_array_equal(
        encode(design, covered(later)).own[:30], encode(design, panel).own[:30]
    )


def test_rare_categories_and_new_ones_are_nothing():
    names = tuple(f"c{n:02d}" for n in range(40))
    values = np.repeat(np.arange(40), np.arange(1, 41))[:60]
    panel = covered(values, categories=names, lengths=(55,))
    design = designed(panel)
    assert len(design.entries[0].categories) <= CATEGORIES
    own = encode(design, panel).own
    assert own[:60].sum(1).max() == 1.0
    later = covered(np.zeros(60), categories=("unheard",), lengths=(55,))
    assert not encode(design, later).own.any()


def test_a_flag_is_read_as_it_is():
    values = np.arange(60) % 2.0
    design = designed(covered(values, lengths=(55,)))
    assert encode(design, covered(values, lengths=(55,))).own[:4, 0].tolist() == [0, 1, 0, 1]


def test_hourly_numbers_have_the_mean_of_their_last_day_beside_them():
    panel = make_panel((24 * 10,), 24, alias="h")
    values = np.random.default_rng(0).standard_normal(240 + 24)
    column = Covariate("x", "future", values)
    panel = replace(panel, covariates=Covariates(np.array([0, 264]), (column,)))
    design = designed(panel)
    own = encode(design, panel).own
    assert own.shape == (265, 2)
    np.testing.assert_allclose(own[100, 1], own[77:101, 0].mean(), atol=1e-5)
    np.testing.assert_allclose(own[2, 1], own[:3, 0].mean(), atol=1e-5)


def test_a_missing_column_and_one_of_another_kind_are_refused():
    panel = covered(np.arange(60.0), lengths=(55,))
    design = designed(panel)
    with pytest.raises(InputError) as caught:
        encode(design, replace(panel, covariates=None))
    assert caught.value.code == "input/covariate-missing"
    assert "the covariate x, and" in str(caught.value)
    with pytest.raises(InputError) as caught:
        encode(design, covered(np.zeros(60), categories=("sun",), lengths=(55,)))
    assert caught.value.code == "input/covariate-kind"


def test_all_static_columns_that_are_missing_are_named_with_their_flag():
    panel = make_panel((50, 60), 7)
    offsets = np.cumsum([0, *panel.lengths])
    columns = tuple(Covariate(name, "static", np.array([1.0, 2.0])) for name in ("size", "age"))
    design = designed(replace(panel, covariates=Covariates(offsets, columns)))
    with pytest.raises(InputError, match="trained with the static columns size, age") as caught:
        encode(design, panel)
    assert caught.value.remedy.endswith("--static FILE")
    with pytest.raises(InputError, match="trained with the static column age"):
        encode(design, replace(panel, covariates=Covariates(offsets, columns[:1])))


def test_a_design_comes_back_from_its_json():
    panel = covered(np.arange(60) % 3, categories=("a", "b", "c"), lengths=(55,))
    design = designed(panel, calendar=True, holidays=("DE",))
    assert read_design(json.loads(json.dumps(asdict(design)))) == design
    broken = asdict(design)
    broken["entries"][0]["scale"] = 0.0
    with pytest.raises(ValueError):
        read_design(broken)
