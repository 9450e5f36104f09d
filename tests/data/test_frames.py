"""Frames, Series and Arrow tables as people have them, read as the same table in plain columns."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from forecast.common.errors import InputError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.io.frames import plain_frame
from forecast.data.load import load_panel, panel_from_frame

N = 24
TIMES = pd.date_range("2020-01-01", periods=N, freq="MS")
VALUES = 100 + 10 * np.sin(np.arange(N) / 2)
PLAIN = pd.DataFrame({"ds": TIMES, "y": VALUES})
LONG = pd.concat([PLAIN.assign(unique_id="a"), PLAIN.assign(unique_id="b", y=2 * VALUES)])
PERIODS = TIMES.to_period("M")


def panel_of(data, **settings):
    return panel_from_frame(plain_frame(data), DataSettings(**settings))[0]


def same(one, other) -> bool:
    return (
        np.array_equal(one.values, other.values)
        and list(one.frequency.stamps(one.first)) == list(other.frequency.stamps(other.first))
        and one.frequency.alias == other.frequency.alias
    )


ONE = {
    "an index of times": PLAIN.set_index("ds").rename_axis(None),
    "an index of periods": pd.DataFrame({"y": VALUES}, index=PERIODS),
    "a named index of periods": pd.DataFrame({"y": VALUES}, index=PERIODS.rename("Month")),
    "an index of text": pd.DataFrame({"y": VALUES}, index=TIMES.strftime("%Y-%m-%d")),
    "an index of dates": pd.DataFrame({"y": VALUES}, index=list(TIMES.date)),
    "an index that is a column too": PLAIN.set_index("ds", drop=False),
    "parts of the time beside the index": pd.DataFrame(
        {"y": VALUES, "year": TIMES.year, "month": TIMES.month}, index=TIMES
    ),
    "an index that has nothing to say": PLAIN.set_axis(TIMES + pd.Timedelta("1D")),
    "a series": pd.Series(VALUES, TIMES),
    "a series of periods": pd.Series(VALUES, PERIODS, name="y"),
    "objects of periods": PLAIN.assign(ds=pd.Series(list(PERIODS), dtype=object)),
    "numbers and text": PLAIN.assign(y=[str(VALUES[0]), *VALUES[1:]]),
    "decimals and floats": PLAIN.assign(y=[Decimal(str(VALUES[0])), *VALUES[1:]]),
    "categories of times": PLAIN.assign(ds=PLAIN["ds"].astype("category")),
    "categories of numbers": PLAIN.assign(y=PLAIN["y"].astype("category")),
    "sparse values": PLAIN.assign(y=pd.arrays.SparseArray(VALUES)),
    "a column that Arrow has no type for": PLAIN.assign(z=VALUES * 1j, o=[object()] * N),
    "a column of several types": PLAIN.assign(note=[1, "x"] * (N // 2)),
    "an Arrow table": pa.table({"ds": pa.array(TIMES), "y": VALUES}),
    "a batch of Arrow": pa.RecordBatch.from_pandas(PLAIN),
    "pandas on Arrow": PLAIN.convert_dtypes(dtype_backend="pyarrow"),
    "dates": PLAIN.assign(ds=list(TIMES.date)),
    "dates of Arrow": PLAIN.assign(ds=pd.array(TIMES.date, dtype=pd.ArrowDtype(pa.date32()))),
    "views of strings": pa.table({"ds": pa.array(TIMES.strftime("%Y-%m"), pa.string_view()),
                                  "y": VALUES}),
}  # fmt: skip


@pytest.mark.parametrize("data", ONE.values(), ids=ONE)
def test_a_series_is_read_the_same_however_it_is_held(data):
    before = data.copy() if isinstance(data, pd.DataFrame | pd.Series) else data
    assert same(panel_of(data, target_col="y"), panel_of(PLAIN))
    assert before.equals(data)


INDEXED = LONG.set_index(["unique_id", "ds"])
CODED = pa.DictionaryArray.from_arrays(
    pa.array(np.repeat([0, 1], N), pa.uint32()), pa.array(["a", "b"], pa.string_view())
)
WIDE = pd.DataFrame({"a": VALUES, "b": 2 * VALUES}, index=TIMES)
SEVERAL = {
    "an index of ids and times": INDEXED,
    "one without names": INDEXED.rename_axis([None, None]),
    "one with the name of the times alone": INDEXED.rename_axis([None, "ds"]),
    "a series with such an index": INDEXED["y"],
    "ids as the index": LONG.set_index("unique_id"),
    "codes of views of strings": pa.table({"unique_id": CODED, "ds": pa.array(LONG["ds"]),
                                           "y": LONG["y"].to_numpy()}),
}  # fmt: skip


@pytest.mark.parametrize("data", SEVERAL.values(), ids=SEVERAL)
def test_several_series_are_read_the_same_however_they_are_held(data):
    found = panel_of(data)
    assert same(found, panel_of(LONG))
    assert list(found.ids) == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "ids"),
    [
        (["a", "b"], ["a", "b"]),
        ([0, 1], ["0", "1"]),
        (pd.MultiIndex.from_product([["y"], ["a", "b"]]), ["a", "b"]),
        (pd.MultiIndex.from_tuples([("north", "x"), ("south", "y")]), ["north/x", "south/y"]),
    ],
)
def test_a_column_a_series_beside_an_index_of_times_is_wide(columns, ids):
    found = panel_of(WIDE.set_axis(columns, axis=1), wide=True)
    assert list(found.ids) == ids
    assert same(found, panel_of(LONG))


def test_arrow_s_times_keep_their_zone():
    zoned = PLAIN.assign(ds=TIMES.tz_localize("Europe/Berlin"))
    kept = plain_frame(zoned.convert_dtypes(dtype_backend="pyarrow"))
    assert str(kept["ds"].dt.tz) == "Europe/Berlin"


@pytest.mark.parametrize("twice", [
    pd.concat([PLAIN, PLAIN[["y"]]], axis=1),
    pd.DataFrame({0: VALUES, "0": VALUES}, index=TIMES),
    PLAIN.set_axis(pd.RangeIndex(N, name="y")),
])  # fmt: skip
def test_two_columns_of_one_name_are_refused_by_it(twice):
    with pytest.raises(InputError) as caught:
        plain_frame(twice)
    assert caught.value.code == "input/duplicate-column"
    assert caught.value.value in ("y", "0")


@pytest.mark.parametrize("data", [[1, 2], 7, None, VALUES, iter(()), dt.date(2020, 1, 1)])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(UsageError, match="a pandas frame or Series"):
        plain_frame(data)


def test_a_frequency_m_is_a_minute_or_a_month_and_is_asked_for():
    with pytest.raises(InputError) as caught:
        panel_of(PLAIN, freq="m")
    assert caught.value.remedy == "Say which: --freq min or --freq M"
    assert panel_of(PLAIN, freq="M").frequency.alias == "MS"
    minutes = PLAIN.assign(ds=pd.date_range("2020-01-01", periods=N, freq="min"))
    assert panel_of(minutes, freq="m").frequency.alias == "min"


def test_categories_that_are_no_texts_are_read_from_a_file_as_from_a_frame(tmp_path):
    frame = PLAIN.astype("category")
    frame.to_parquet(tmp_path / "a.parquet")
    assert same(load_panel(tmp_path / "a.parquet", DataSettings())[0], panel_of(PLAIN))


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_periods_in_a_file_are_the_times_at_which_they_begin(tmp_path, suffix):
    frame = PLAIN.assign(ds=PERIODS)
    getattr(frame, f"to_{suffix}")(tmp_path / f"a.{suffix}")
    assert same(load_panel(tmp_path / f"a.{suffix}", DataSettings())[0], panel_of(PLAIN))


def test_an_index_of_periods_in_a_file_is_its_time_and_needs_no_pandas_to_be_told(tmp_path):
    import subprocess
    import sys

    pd.DataFrame({"y": VALUES}, index=PERIODS).to_parquet(tmp_path / "a.parquet")
    code = (
        "import sys; from forecast.data.load import load_panel as load;"
        "from forecast.config.schema import DataSettings as S; assert 'pandas' not in sys.modules;"
        f"print(load({str(tmp_path / 'a.parquet')!r}, S())[1].span)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('2020-01-01', '2021-12-01')"


def test_columns_of_a_file_that_have_no_names_are_told_apart(tmp_path):
    LONG.set_index(["unique_id", "ds"]).rename_axis([None, None]).to_csv(tmp_path / "a.csv")
    found = load_panel(tmp_path / "a.csv", DataSettings(id_col="column 1"))[0]
    assert same(found, panel_of(LONG))
    assert list(found.ids) == ["a", "b"]
