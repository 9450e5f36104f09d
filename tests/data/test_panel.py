"""Panels: what rows become, that nothing is lost or moved, and the report of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.frequency import Frequency
from forecast.data.load import load_panel, panel_from_frame
from forecast.data.open_steps import is_open
from forecast.data.panel import Panel, panel_to_arrow
from tests import ROOT
from tests.inputs.builders import daily, days, hours, months, table, wave, write

PLAIN = DataSettings()


def load(folder: Path, text: str | bytes, **options: object) -> Panel:
    return load_panel(write(folder, text), DataSettings(**options))[0]


def frame_of(ids: list[str], times: list, values: list):
    import pandas as pd

    return pd.DataFrame({"unique_id": ids, "ds": times, "y": values})


@st.composite
def long_tables(draw):
    """Rows of a few daily series with gaps, in any order: {(id, day): value}."""
    names = draw(st.lists(st.text("abAB01é", min_size=1, max_size=3), min_size=1, max_size=4,
                          unique=True))  # fmt: skip
    cells = {}
    for name in names:
        first = draw(st.integers(0, 400))
        steps = draw(st.lists(st.booleans(), min_size=6, max_size=20))
        kept = [0, 1] + [n for n, keep in enumerate(steps, 2) if keep] + [len(steps) + 2]
        for n in kept:
            cells[name, first + n] = draw(st.floats(-1e6, 1e6, allow_nan=False))
    order = draw(st.permutations(sorted(cells)))
    return cells, order


@given(long_tables())
@settings(max_examples=60, deadline=None)
def test_every_value_is_found_at_its_series_and_time(rows) -> None:
    cells, order = rows
    origin = np.datetime64("2020-01-01", "D")
    frame = frame_of(
        [i for i, _ in order], [origin + d for _, d in order], [cells[k] for k in order]
    )
    panel, report = panel_from_frame(frame, DataSettings(max_gap_share=1.0, freq="D"))
    found = {}
    for s, name in enumerate(panel.ids):
        stamps = panel.frequency.stamps(panel.first[s] + np.arange(panel.lengths[s]))
        for stamp, value in zip(stamps, panel.series(s), strict=True):
            if np.isfinite(value):
                found[name, int((stamp.astype("M8[D]") - origin).astype(int))] = float(value)
    assert found == cells
    assert list(panel.ids) == sorted(panel.ids)
    assert report.observed == len(cells)
    series = np.repeat(np.arange(panel.size), panel.lengths)
    at = np.concatenate([panel.first[s] + np.arange(n) for s, n in enumerate(panel.lengths)])
    # A draw may look like a calendar: days of the week without any value are no gaps.
    assert report.gaps == int((is_open(panel, series, at) & ~np.isfinite(panel.values)).sum())


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 30 + ["b"] * 30, days(30) * 2, wave(60))
    head, *lines = text.splitlines(keepends=True)
    rng = np.random.default_rng(4)
    shuffled = head + "".join(lines[n] for n in rng.permutation(60))
    a, b = load(tmp_path, text), load(tmp_path, shuffled)
    assert (a.values == b.values).all() and (a.first == b.first).all()


def test_values_are_the_exact_floats_of_the_text(tmp_path: Path) -> None:
    texts = [
        "0.1",
        "1e-300",
        "123456789.123456789",
        "-0.0",
        "5.",
        ".5",
        "+7",
        "1E5",
        "9007199254740993",
    ]
    panel = load(tmp_path, table(["ds", "y"], days(len(texts)), texts))
    assert panel.values.tolist() == [float(t) for t in texts]


def test_a_frame_and_its_file_give_the_same_panel(tmp_path: Path) -> None:
    import pandas as pd

    path = write(tmp_path, table(["id", "ds", "y"], ["b"] * 9 + ["a"] * 9, days(9) * 2, wave(18)))
    from_file, _ = load_panel(path, PLAIN)
    frame = pd.read_csv(path, parse_dates=["ds"])
    from_frame, _ = panel_from_frame(frame, PLAIN)
    assert from_file.ids.tolist() == from_frame.ids.tolist()
    assert (from_file.values == from_frame.values).all()
    assert from_file.frequency == from_frame.frequency


def test_a_frame_is_not_changed(tmp_path: Path) -> None:
    frame = frame_of(["a"] * 5, days(5), [5.0, 4, 3, 2, 1])[::-1]
    before = frame.copy()
    panel_from_frame(frame, PLAIN)
    assert frame.equals(before)


def test_an_index_of_times_is_a_column(tmp_path: Path) -> None:
    frame = frame_of(["a"] * 5, days(5), [1.0, 2, 3, 4, 5]).set_index("ds")
    panel, _ = panel_from_frame(frame, PLAIN)
    assert panel.values.tolist() == [1, 2, 3, 4, 5]


def test_the_long_table_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path, table(["unique_id", "ds", "y"], ["a"] * 9, days(9), [*wave(8), ""]))
    panel, _ = load_panel(path, PLAIN)
    back = panel_to_arrow(panel)
    assert back.column_names == ["unique_id", "ds", "y"]
    again, _ = panel_from_frame(back, PLAIN)
    assert (again.values == panel.values).all()
    assert back.column("ds").to_pylist() == days(8)


@pytest.mark.parametrize(
    ("header", "time", "target"),
    [
        (["date", "value"], "date", "value"),
        (["Month", "Passengers"], "Month", "Passengers"),
        (["Week", "Gasoline"], "Week", "Gasoline"),
        (["when", "how many"], "when", "how many"),
    ],
)
def test_two_columns_are_mapped_without_asking(tmp_path, header, time, target) -> None:
    _, report = load_panel(write(tmp_path, table(header, days(20), wave(20))), PLAIN)
    assert report.columns["time"] == [time]
    assert report.columns["target"] == [target]


@pytest.mark.parametrize("name", ["item_id", "unique_id", "series", "segment", "id", "ID"])
def test_id_columns_are_known_by_name(tmp_path: Path, name: str) -> None:
    text = table([name, "timestamp", "target"], [7] * 9 + [8] * 9, days(9) * 2, wave(18))
    assert load(tmp_path, text).ids.tolist() == ["7", "8"]


def test_extra_columns_may_hold_anything(tmp_path: Path) -> None:
    text = table(
        ["ds", "y", "price", "holiday", "note"],
        days(9), wave(9), wave(9), ["TRUE", ""] * 4 + ["x"], ["a,b".replace(",", ";")] * 9,
    )  # fmt: skip
    assert len(load(tmp_path, text).values) == 9


def test_a_column_that_numbers_the_rows_is_no_id(tmp_path: Path) -> None:
    panel = load(tmp_path, table(["id", "date", "value"], range(1, 31), days(30), wave(30)))
    assert panel.size == 1


def test_a_text_column_tells_series_apart_when_times_repeat(tmp_path: Path) -> None:
    text = table(["code", "when", "value"], ["x"] * 9 + ["y"] * 9, days(9) * 2, wave(18))
    path = write(tmp_path, text)
    panel, report = load_panel(path, PLAIN)
    assert panel.ids.tolist() == ["x", "y"]
    assert "times repeat" in report.columns["reasons"]["id"]


def test_a_text_column_is_left_alone_when_times_do_not_repeat(tmp_path: Path) -> None:
    text = table(["weather", "when", "value"], ["rain", "sun", "fog"] * 3, days(9), wave(9))
    assert load(tmp_path, text).size == 1


def test_several_columns_may_name_a_series_together(tmp_path: Path) -> None:
    text = table(
        ["date", "store", "item", "sales"], days(9) * 4, [1] * 18 + [2] * 18,
        ([1] * 9 + [2] * 9) * 2, wave(36),
    )  # fmt: skip
    assert load(tmp_path, text, id_col="store,item").ids.tolist() == ["1/1", "1/2", "2/1", "2/2"]
    assert load(tmp_path, text).ids.tolist() == ["1/1", "1/2", "2/1", "2/2"]
    other = table(
        ["date", "colour", "shape", "sales"], days(9) * 4, ["red"] * 18 + ["blue"] * 18,
        (["cube"] * 9 + ["ball"] * 9) * 2, wave(36),
    )  # fmt: skip
    assert load(tmp_path, other).ids.tolist() == ["blue/ball", "blue/cube", "red/ball", "red/cube"]
    either = table(["date", "colour", "shape", "sales"], days(9) * 2, ["red"] * 9 + ["blue"] * 9,
                   ["cube", "ball"] * 9, wave(18))  # fmt: skip
    with pytest.raises(InputError, match="--id-col colour"):
        load(tmp_path, either)


def test_a_known_id_is_joined_by_the_group_it_needs(tmp_path: Path) -> None:
    text = table(
        ["date", "item_id", "store_id", "sales"], days(9) * 4, ["x"] * 18 + ["y"] * 18,
        (["a"] * 9 + ["b"] * 9) * 2, wave(36),
    )  # fmt: skip
    assert load(tmp_path, text).ids.tolist() == ["x/a", "x/b", "y/a", "y/b"]


def test_two_numeric_columns_are_ambiguous_and_both_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, table(["Time", "Demand", "Temperature"], days(9), wave(9), wave(9, 8)))
    assert caught.value.code == "input/ambiguous-target"
    for word in ("Demand", "Temperature", "--target-col", "--wide"):
        assert word in str(caught.value)


def test_a_time_over_several_columns_is_joined(tmp_path: Path) -> None:
    parts = [t.replace(" ", "-").split(":")[0].split("-") for t in hours(48)]
    columns = [[int(p[n]) for p in parts] for n in range(4)]
    text = table(["No", "year", "month", "day", "hour", "pm2.5", "TEMP"], range(48), *columns,
                 [*wave(47), "NA"], wave(48))  # fmt: skip
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert "pm2.5" in str(caught.value) and "--target-col" in str(caught.value)
    panel = load(tmp_path, text, target_col="pm2.5")
    assert panel.frequency.alias == "h"
    assert len(panel.values) == 47  # the trailing blank is not part of the series
    named = load(tmp_path, text, time_col="year,month,day,hour", target_col="pm2.5")
    assert named.values.tolist() == panel.values.tolist()


def test_date_and_clock_columns_join(tmp_path: Path) -> None:
    split = [t.split(" ") for t in hours(48)]
    text = table(["date", "clock", "y"], [s[0] for s in split], [s[1] for s in split], wave(48))
    assert load(tmp_path, text, time_col="date,clock").frequency.alias == "h"


def test_wide_columns_are_series(tmp_path: Path) -> None:
    path = write(tmp_path, table(["ds", "b", "a"], days(9), wave(9), [*wave(8, 8), ""]))
    panel, report = load_panel(path, DataSettings(wide=True))
    assert panel.ids.tolist() == ["a", "b"]
    assert panel.lengths.tolist() == [8, 9]
    assert report.series == 2


def test_an_error_in_a_wide_file_names_its_column(tmp_path: Path) -> None:
    text = table(["ds", "a", "b"], days(9), wave(9), [*wave(8), "x"])
    with pytest.raises(InputError, match="line 10, column 'b'"):
        load(tmp_path, text, wide=True)


def test_integer_steps_may_stand_for_hours(tmp_path: Path) -> None:
    panel = load(tmp_path, table(["ds", "y"], range(1, 100), wave(99)), freq="h")
    assert panel.frequency.integer
    assert panel.frequency.seasons == (24, 168)
    assert panel.frequency.steps_per_day == 24
    assert panel.frequency.stamps(panel.first + 3).tolist() == [4]


def test_a_single_point_series_takes_the_frequency_of_the_others(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 12 + ["b"], [*months(12), "2018-05-01"], wave(13))
    panel = load(tmp_path, text)
    assert panel.frequency.alias == "MS"
    assert panel.lengths.tolist() == [12, 1]


def test_series_may_start_and_end_at_different_times(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 9 + ["b"] * 5, days(9) + days(14)[9:], wave(14))
    panel = load(tmp_path, text)
    assert (panel.first - panel.first.min()).tolist() == [0, 9]


def test_weekly_series_on_different_weekdays_are_named(tmp_path: Path) -> None:
    text = table(
        ["id", "ds", "y"], ["a"] * 9 + ["b"] * 9,
        days(70)[::7][:9] + days(70, "2020-01-02")[::7][:9], wave(18),
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert caught.value.code == "input/mixed-frequency"


def test_decimal_years_are_read_as_months(tmp_path: Path) -> None:
    times = [f"{1949 + n / 12:.10g}" for n in range(24)]
    text = table(["rownames", "time", "value"], range(1, 25), times, wave(24))
    panel = load(tmp_path, text)
    assert panel.frequency.alias == "MS" and len(panel.values) == 24


def test_month_ends_stay_month_ends(tmp_path: Path) -> None:
    ends = ["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30", "2020-05-31"]
    panel = load(tmp_path, table(["ds", "y"], ends, wave(5)))
    assert panel.frequency.alias == "ME"
    assert str(panel.frequency.stamps(panel.first + 5)[0])[:10] == "2020-06-30"


def test_a_named_frequency_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, daily(30), freq="W")
    assert "--resample" in str(caught.value)
    with pytest.raises(InputError, match="--freq does not name a frequency"):
        load(tmp_path, daily(30), freq="fortnight")


@pytest.mark.parametrize(
    ("agg", "want"), [("sum", 6.0), ("mean", 2.0), ("first", 1.0), ("last", 3.0), ("min", 1.0),
                      ("max", 3.0)],
)  # fmt: skip
def test_resampling_joins_as_asked(tmp_path: Path, agg: str, want: float) -> None:
    text = "ds,y\n" + "".join(
        f"2020-01-0{d} 0{h}:17,{v}\n" for d in (1, 2, 3) for h, v in ((1, 1), (2, 2), (5, 3))
    )
    panel = load(tmp_path, text, resample="D", agg=agg)
    assert panel.values.tolist() == [want] * 3


def test_resampling_to_month_ends_names_each_month_by_its_end(tmp_path: Path) -> None:
    panel = load(tmp_path, table(["ds", "y"], days(91), [1] * 91), resample="ME", agg="sum")
    assert panel.values.tolist() == [31, 29, 31]
    assert str(panel.frequency.stamps(panel.first)[0])[:10] == "2020-01-31"


def test_filling_forward_never_crosses_series(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 4 + ["b"] * 4, days(4) * 2, [1, 2, "", 3, 5, "", "", 6])
    panel = load(tmp_path, text, missing="ffill")
    assert panel.values.tolist() == [1, 2, 2, 3, 5, 5, 5, 6]


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    import gzip
    import hashlib

    content = gzip.compress(daily(30).encode())
    _, report = load_panel(write(tmp_path, content), PLAIN)
    assert report.digest == hashlib.sha256(content).hexdigest()


def test_the_report_is_plain_data(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 30 + ["b"] * 20, days(30) + days(20), wave(50))
    _, report = load_panel(write(tmp_path, text), PLAIN)
    document = json.loads(json.dumps(report.to_dict()))
    assert document["series"] == 2
    assert document["lengths"] == {"min": 20, "median": 25, "max": 30}
    assert document["span"] == {"first": "2020-01-01", "last": "2020-01-30"}
    assert document["frequency"] == "D"
    assert len(document["coverage"]) == 30
    with pytest.raises(FrozenInstanceError):
        report.rows = 1


def test_coverage_shows_where_values_are_missing(tmp_path: Path) -> None:
    text = table(["ds", "y"], days(120), [*wave(30), *[""] * 30, *wave(60)])
    _, report = load_panel(write(tmp_path, text), PLAIN)
    assert report.coverage[:15].tolist() == [1] * 15
    assert report.coverage[15:30].tolist() == [0] * 15
    assert report.missing == 30 and report.gaps == 0


def test_truncate_and_select_keep_values_in_place(tmp_path: Path) -> None:
    text = table(["id", "ds", "y"], ["a"] * 9 + ["b"] * 9, days(9) * 2, range(18))
    panel = load(tmp_path, text)
    short = panel.truncate(np.array([3, 0]))
    assert short.values.tolist() == [0, 1, 2]
    assert panel.select(np.array([1])).values.tolist() == list(range(9, 18))
    assert panel.window(np.array([7, 9]), 3)[0].tolist()[:2] == [7, 8]
    assert np.isnan(panel.window(np.array([9, 9]), 2)).all()


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_loading_needs_neither_pandas_nor_torch(tmp_path: Path, name: str) -> None:
    from pyarrow import csv, parquet

    text = write(tmp_path, table(["unique_id", "ds", "y"], ["a"] * 40, days(40), wave(40)))
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(csv.read_csv(text), path)
    code = (
        "import sys; from forecast.config.schema import DataSettings;"
        "from forecast.data.load import load_panel;"
        f"load_panel({str(path)!r}, DataSettings());"
        "print([m for m in ('pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_series_of_other_frequencies_are_named_by_group(tmp_path: Path) -> None:
    parts = {"a": days(60), "b": days(60), "c": days(60), "w1": days(60)[::7], "w2": days(60)[::7],
             "x": days(60)[::3]}  # fmt: skip
    ids = [i for i, times in parts.items() for _ in times]
    times = [t for part in parts.values() for t in part]
    path = write(tmp_path, table(["unique_id", "ds", "y"], ids, times, wave(len(times))))
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/mixed-frequency"
    assert "frequency D, but 3 of 6" in str(caught.value)
    assert "2 W-WED (w1, w2), 1 3D (x)" in str(caught.value)


def test_a_truncated_panel_keeps_the_first_values_of_each_series() -> None:
    values = np.arange(12.0)
    ids = np.array(list("abcde"), dtype=object)
    offsets = np.array([0, 4, 4, 5, 9, 12])  # one is empty
    panel = Panel(ids, offsets, values, np.zeros(5, np.int64), Frequency("D"))
    short = panel.truncate(np.array([2, 0, 1, 0, 3]))
    assert short.values.tolist() == [0, 1, 4, 9, 10, 11]
    assert short.offsets.tolist() == [0, 2, 2, 3, 3, 6]


def test_of_several_targets_the_most_varied_is_proposed_and_a_missing_driver_is_named(
    tmp_path: Path,
) -> None:
    text = table(["Time", "hum", "users"], days(40), [0.5, 0.6] * 20, wave(40))
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert "--target-col users" in str(caught.value.remedy)
    with pytest.raises(InputError) as caught:
        load_panel("oracle://host/db", DataSettings(query="select 1"))
    assert caught.value.code == "input/no-driver"
    assert "pip install " in str(caught.value.remedy)


# --- No row means zero ----------------------------------------------------------------------------


@given(long_tables())
@settings(deadline=None, max_examples=60)
def test_bookings_alone_with_missing_zero_are_the_table_with_its_zeros_written_out(drawn):
    cells, _ = drawn
    end = max(day for _, day in cells)
    firsts = {name: min(d for n, d in cells if n == name) for name, _ in cells}
    written = {(n, d): cells.get((n, d), 0.0) for n in firsts for d in range(firsts[n], end + 1)}

    def read(table: dict, **options: object) -> Panel:
        times = [np.datetime64("2020-01-01") + day for _, day in table]
        frame = frame_of([name for name, _ in table], times, list(table.values()))
        return panel_from_frame(frame, DataSettings(freq="D", max_gap_share=1.0, **options))[0]

    some, whole = read(cells, missing="zero"), read(written)
    if some.shut is None:  # where weekdays never have a booking, they stay without a value
        assert some.values.tolist() == whole.values.tolist()
    assert some.offsets.tolist() == whole.offsets.tolist()
    assert some.first.tolist() == whole.first.tolist()


def test_no_row_means_zero_up_to_the_last_time_of_the_table_and_not_before_the_first(tmp_path):
    text = "id,ds,y\na,2020-01-01,5\na,2020-01-09,4\nb,2020-01-03,2\nb,2020-01-04,1\n"
    panel, report = load_panel(write(tmp_path, text), DataSettings(missing="zero"))
    assert panel.series(1).tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert "12 missing steps set to zero" in [n.text for n in report.repairs]
    assert report.ended_early.size == 0
    assert load(tmp_path, text, missing="ffill").lengths.tolist() == [9, 2]


def test_blank_rows_of_steps_to_come_are_no_zeros(tmp_path):
    text = "id,ds,y\na,2020-01-01,5\na,2020-01-02,4\nb,2020-01-01,2\nb,2020-01-02,\nb,2020-01-03,\n"
    panel, report = load_panel(write(tmp_path, text), DataSettings(missing="zero"))
    assert panel.values.tolist() == [5, 4, 2, 0]
    assert "1 row after the last value were left out" in [n.text for n in report.repairs]


def test_zeros_up_to_a_last_time_that_is_far_off_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("forecast.data.build_panel.FREE_STEPS", 10)
    monkeypatch.setattr("forecast.data.build_panel.MOST_SPREAD", 2)
    text = "id,ds,y\na,2020-01-01,5\na,2020-01-02,4\nb,2020-02-01,2\nb,2020-02-02,3\n"
    with pytest.raises(InputError, match="zeros up to the last time") as caught:
        load(tmp_path, text, missing="zero")
    assert caught.value.code == "input/gaps"


def test_values_of_a_rare_demand_are_no_outliers(tmp_path):
    values = [0.0] * 300
    values[::40] = [3.0, 1.0, 2.0, 5.0, 1.0, 1.0, 2.0, 4.0]
    text = table(["ds", "y"], days(300), values)
    codes = [n.code for n in load_panel(write(tmp_path, text), PLAIN)[1].warnings]
    assert "warning/outlier" not in codes
    values[40] = 1e30
    text = table(["ds", "y"], days(300), values)
    codes = [n.code for n in load_panel(write(tmp_path, text), PLAIN)[1].warnings]
    assert "warning/outlier" in codes


# --- Several rows of one time that are equal in what is read --------------------------------------

TICKETS = (
    "order_id,date,price\n1,2024-01-01,20\n2,2024-01-01,20\n3,2024-01-02,20\n4,2024-01-02,20\n"
)


@pytest.mark.parametrize(("how", "want"), [("sum", 40), ("mean", 20), ("first", 20), ("last", 20)])
def test_rows_that_are_equal_in_what_is_read_are_joined_as_asked(tmp_path, how, want):
    assert load(tmp_path, TICKETS, duplicates=how).values.tolist() == [want, want]
    plain = "date,price\n" + "2024-01-01,20\n" * 2 + "2024-01-02,20\n" * 2
    assert load(tmp_path, plain, duplicates=how).values.tolist() == [want, want]


def test_rows_that_differ_in_a_column_that_is_not_read_do_not_repeat_one_another(tmp_path):
    with pytest.raises(InputError, match="not read differ") as caught:
        load(tmp_path, TICKETS)
    assert caught.value.code == "input/duplicate-time"
    assert "order_id" in str(caught.value) and "line 3" in str(caught.value)
    assert "--duplicates sum" in caught.value.remedy and "--duplicates first" in caught.value.remedy


def test_rows_that_are_equal_in_every_column_of_the_table_are_dropped(tmp_path):
    text = TICKETS.replace("2,2024-01-01", "1,2024-01-01").replace("4,2024-01-02", "3,2024-01-02")
    panel, report = load_panel(write(tmp_path, text), PLAIN)
    assert panel.values.tolist() == [20, 20]
    (note,) = (n for n in report.repairs if n.code == "repair/duplicate-rows")
    assert (note.count, note.text) == (
        2, "2 rows repeated another exactly and were dropped; --duplicates sum counts each of them",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["frame", "parquet", "feather", "two files"])
def test_any_table_is_asked_for_the_columns_that_are_not_read(tmp_path, kind):
    import pandas as pd

    days = pd.to_datetime(["2024-01-01"] * 2 + ["2024-01-02"] * 2)
    frame = pd.DataFrame({"order_id": [1, 2, 3, 4], "date": days, "price": 20.0})
    again = frame.assign(order_id=[1, 1, 3, 3])

    def read(table: pd.DataFrame) -> Panel:
        if kind == "frame":
            return panel_from_frame(table, PLAIN)[0]
        path = tmp_path / f"a.{kind}"
        if kind == "two files":
            for n in (0, 1):
                part = table.iloc[n::2].assign(shop="x")
                part.to_csv(tmp_path / f"{n}.csv", index=False)
            return load_panel(str(tmp_path / "*.csv"), DataSettings(id_col="shop"))[0]
        getattr(table, f"to_{kind}")(path)
        return load_panel(path, PLAIN)[0]

    with pytest.raises(InputError, match="not read"):
        read(frame)
    if kind == "parquet":  # whose other columns are not looked up
        with pytest.raises(InputError, match="not read may differ"):
            read(again)
    else:
        assert read(again).values.tolist() == [20, 20]


# --- Days of times with offsets -------------------------------------------------------------------


def open_until_midnight(*, winter: str, summer: str) -> str:
    """Sales of 10 at 0:30, 18:00 and 23:30 local time for 60 days around a 31 March."""
    import pandas as pd

    rows = [
        f"{day}T{clock}{summer if f'{day} {clock}' > '2024-03-31 03' else winter},10"
        for day in pd.date_range("2024-03-01", periods=60).strftime("%Y-%m-%d")
        for clock in ("00:30:00", "18:00:00", "23:30:00")
    ]
    return "ds,y\n" + "\n".join(rows) + "\n"


def days_of(folder: Path, text: str, **options: object):
    settings = DataSettings(resample="D", agg="sum", **options)
    panel, report = load_panel(write(folder, text), settings)
    return panel, {n.code: n.text for n in (*report.repairs, *report.warnings)}, report.span


def test_days_of_times_with_two_offsets_are_said_to_be_days_of_utc(tmp_path):
    text = open_until_midnight(winter="+01:00", summer="+02:00")
    _, notes, _ = days_of(tmp_path, text)
    assert "midnight UTC" in notes["warning/utc-days"] and "--tz" in notes["warning/utc-days"]
    assert "to UTC" in notes["repair/mixed-offsets"]


def test_with_a_zone_days_are_those_of_its_clock_and_nothing_is_said_to_be_in_utc(tmp_path):
    text = open_until_midnight(winter="+01:00", summer="+02:00")
    panel, notes, span = days_of(tmp_path, text, tz="Europe/Berlin")
    assert panel.values.tolist() == [30] * 60
    assert span == ("2024-03-01", "2024-04-29")
    assert not any("UTC" in text for text in notes.values())
    assert "the clock of Europe/Berlin" in notes["repair/mixed-offsets"]


def test_days_of_times_with_one_offset_are_cut_at_its_midnight(tmp_path):
    panel, notes, span = days_of(tmp_path, open_until_midnight(winter="+05:00", summer="+05:00"))
    assert panel.values.tolist() == [30] * 60
    assert (span[0], "warning/utc-days" in notes, "repair/utc-days" in notes) == (
        "2024-03-01", False, False,
    )  # fmt: skip


def test_days_of_times_in_utc_are_said_to_be_so(tmp_path):
    text = open_until_midnight(winter="Z", summer="Z")
    panel, notes, _ = days_of(tmp_path, text)
    assert panel.values.tolist() == [30] * 60
    assert "--tz" in notes["repair/utc-days"]
    assert "repair/utc-days" not in days_of(tmp_path, text, tz="UTC")[1]


@pytest.mark.parametrize("written", ["Z", "+00:00", "-0500", "two offsets", "epoch", "frame"])
def test_instants_are_brought_to_the_fixed_offset_that_is_asked_for(tmp_path, written):
    two_days = pd.date_range("2024-03-30T22:00", periods=48, freq="h", tz="UTC")  # of +02:00
    times = {
        "Z": two_days.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "+00:00": [moment.isoformat() for moment in two_days],
        "-0500": two_days.tz_convert("-05:00").strftime("%Y-%m-%dT%H:%M:%S%z"),
        "two offsets": [moment.isoformat() for moment in two_days.tz_convert("Europe/Berlin")],
        "epoch": two_days.as_unit("s").asi8,
        "frame": two_days,
    }[written]
    frame = pd.DataFrame({"ds": times, "y": np.arange(48) // 24 + 1.0})
    unit = "s" if written == "epoch" else None
    for read in (panel_from_frame, lambda f, how: load_panel(write(tmp_path, f), how)):
        data = frame if read is panel_from_frame else frame.to_csv(index=False)
        days, _ = read(data, DataSettings(resample="D", agg="sum", tz="+02:00"))
        assert days.values.tolist() == [24, 48]
        hours_, _ = read(data, DataSettings(tz="+02:00"))
        first = panel_to_arrow(hours_)["ds"][0].as_py()
        assert pd.to_datetime(first, unit=unit, utc=True) == two_days[0]
        assert written == "epoch" or "+02" in first


@pytest.mark.parametrize("tz", ["+02:00", "Europe/Berlin"])
@pytest.mark.parametrize(
    "zone", ["z", "Z", " UTC", "+00", "+01", "-1", "UTC+1", "+0100", " +01:00"]
)
def test_whatever_zone_was_written_times_brought_to_another_one_name_the_same_instants(
    tmp_path, zone, tz
):
    """PostgreSQL writes +01; on the clock of another zone that would be an hour off."""
    hours_ = pd.date_range("2024-03-30", periods=48, freq="h")  # summer time begins in the second
    ahead = {"+01": 1, "UTC+1": 1, "+0100": 1, " +01:00": 1, "-1": -1}.get(zone, 0)
    lines = [f"{hour:%Y-%m-%d %H:%M:%S}{zone},{n % 24}" for n, hour in enumerate(hours_)]
    file = write(tmp_path, "\n".join(["ds,y", *lines]) + "\n")
    _, report = load_panel(file, DataSettings(tz=tz))
    for text, hour in zip(report.span, (hours_[0], hours_[-1]), strict=True):
        meant = pd.Timestamp(text.replace("UTC", "Z")).tz_convert("UTC").tz_localize(None)
        assert meant == hour - pd.Timedelta(hours=ahead)


@pytest.mark.parametrize("written", ["offsets", "local"])
def test_a_day_has_the_hour_twice_that_comes_twice_when_it_is_summed(written):
    import pandas as pd

    hours_ = pd.date_range("2024-10-20", "2024-11-04", freq="h", tz="Europe/Berlin")[:-1]
    times = hours_ if written == "offsets" else hours_.tz_localize(None)
    settings = DataSettings(resample="D", agg="sum", tz="Europe/Berlin")
    panel, report = panel_from_frame(pd.DataFrame({"ds": times, "y": 1.0}), settings)
    assert panel.values.tolist() == [24] * 7 + [25] + [24] * 7
    assert not {"repair/clock-change", "repair/unsorted"} & {n.code for n in report.repairs}


def receipts(orders: int) -> list[str]:
    """An export of a shop: two lines an order, the second without total, currency and payment."""
    lines = ["Name,Paid at,Currency,Total,Created at,Item"]
    for n in range(orders):
        day = f"2024-03-{n % 28 + 1:02d} 10:00"
        lines += [f"#{n},{day},EUR,{20 + n * 7 % 31}.5,{day},cup", f"#{n},,,,{day},plate"]
    return lines


def test_an_id_that_was_guessed_and_is_blank_in_rows_is_refused_with_no_id(tmp_path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(receipts(60)))
    asked = DataSettings(time_col="Created at", target_col="Total", resample="D", agg="sum")
    blank = asked.model_copy(update={"id_col": "Currency"})
    with pytest.raises(InputError, match="--no-id"):
        load_panel(path, blank)
    assert len(load_panel(path, asked.model_copy(update={"no_id": True}))[0].ids) == 1


def test_rows_without_a_time_and_without_a_value_are_no_observations(tmp_path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(receipts(60)))
    asked = DataSettings(time_col="Paid at", target_col="Total", resample="D", agg="sum")
    panel, report = load_panel(path, asked)
    assert np.nansum(panel.values) == sum(20.5 + n * 7 % 31 for n in range(60))
    assert "60 rows without a time and without a value" in str(report.repairs)
    lines = receipts(60)
    path.write_text("\n".join([*lines[:-1], lines[-1].replace(",,,,", ",,EUR,9,")]))
    with pytest.raises(InputError, match="a time is blank"):
        load_panel(path, asked)


@pytest.mark.parametrize("line", [2, 40, 90])
@pytest.mark.parametrize("year", ["2042", "1942"])
def test_one_time_far_from_all_others_is_named_with_its_line(line, year, tmp_path) -> None:
    lines = ["ds,y", *(f"{day},{n * n % 37}" for n, day in enumerate(days(90)))]
    right = lines[line - 1]
    lines[line - 1] = year + right[4:]
    path = tmp_path / "typo.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"line {line}, at {year}") as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/time-far-off"
    path.write_text("\n".join(lines[: line - 1] + lines[line:]))
    assert np.isfinite(load_panel(path, DataSettings())[0].values).sum() == 89


def sums_and_parts() -> pd.DataFrame:
    """Three shops of two regions, with rows for the regions' sums and for all."""
    days = pd.date_range("2024-01-01", periods=40).strftime("%d.%m.%Y")
    random = np.random.default_rng(0)
    koeln, bonn, kiel = random.integers(50, 90, (3, 40))
    names = [("West", "Köln"), ("West", "Bonn"), ("Nord", "Kiel"), ("West", "Summe"),
             ("Gesamt", "Gesamt")]  # fmt: skip
    values = [koeln, bonn, kiel, koeln + bonn, koeln + bonn + kiel]
    return pd.concat(
        [pd.DataFrame({"Datum": days, "Region": r, "Filiale": f, "Umsatz": v})
         for (r, f), v in zip(names, values, strict=True)]
    )  # fmt: skip


def test_sums_among_the_series_are_named(tmp_path: Path) -> None:
    table = sums_and_parts()
    table.to_csv(tmp_path / "data.csv", index=False, sep=";")
    panel, report = load_panel(tmp_path / "data.csv", DataSettings(id_col="Region,Filiale"))
    (note,) = [n for n in report.warnings if n.code == "warning/sums-among-series"]
    assert set(note.places) == {"West/Summe", "Gesamt/Gesamt"} and panel.size == 5
    table["Umsatz"] += 7 * (table["Filiale"] == "Gesamt")  # a brand may be called Total
    table = table[table["Filiale"] != "Summe"]
    table.to_csv(tmp_path / "brand.csv", index=False, sep=";")
    assert not load_panel(tmp_path / "brand.csv", DataSettings())[1].warnings


def test_sums_among_the_series_are_not_added_up_again(lstmcast, tmp_path: Path) -> None:
    table = sums_and_parts()
    table.to_csv(tmp_path / "data.csv", index=False, sep=";")
    for flag in (("--by", "Region"), ("--hierarchy", "Region/Filiale")):
        code, _, err = lstmcast("forecast", str(tmp_path / "data.csv"), *flag, "--horizon", "2")
        assert code == 4 and "input/sums-among-series" in err and "would count twice" in err
    table = table[table["Filiale"] != "Gesamt"]  # the sum of a region alone
    table.to_csv(tmp_path / "data.csv", index=False, sep=";")
    code, _, err = lstmcast("forecast", str(tmp_path / "data.csv"), "--by", "Region")
    assert code == 4 and "input/sums-among-series" in err and "Summe" in err
    shops = table[~table["Filiale"].isin(["Summe", "Gesamt"])]
    shops.to_csv(tmp_path / "shops.csv", index=False, sep=";")  # as the remedy says
    code, out, err = lstmcast(
        "forecast", str(tmp_path / "shops.csv"), "--by", "Region", "--horizon", "2", "-o", "-"
    )
    assert code == 0 and out.count("West") == 2, err


def test_days_and_months_that_a_spreadsheet_swapped_are_no_gaps(tmp_path: Path) -> None:
    dates = pd.date_range("2024-01-01", periods=120)
    text = [d.strftime("%m/%d/%Y" if d.day <= 12 else "%d/%m/%Y") for d in dates]
    table = pd.DataFrame({"date": text, "y": np.arange(120) % 9 + 1.0})
    table.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(InputError, match="day and month were swapped") as caught:
        load_panel(tmp_path / "data.csv", DataSettings())
    assert caught.value.code == "input/day-month-mixed" and "line 3" in str(caught.value)
    table["date"] = dates.strftime("%Y-%m-%d")  # as the remedy says
    table.to_csv(tmp_path / "data.csv", index=False)
    assert load_panel(tmp_path / "data.csv", DataSettings())[0].lengths.tolist() == [120]
    third = table[::3].assign(date=dates[::3].strftime("%d/%m/%Y"))  # gaps that are gaps
    third.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(InputError) as caught:
        load_panel(tmp_path / "data.csv", DataSettings(freq="D"))
    assert caught.value.code == "input/gaps"
