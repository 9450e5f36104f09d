"""Tables in folders called KEY=VALUE, read as the table that they are parts of."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.io.folders import keys_of
from forecast.data.load import load_panel

TIMES = pd.date_range("2023-11-01", periods=90, freq="D")
LONG = pd.DataFrame(
    {
        "store": np.repeat(["007", "a b"], 90),
        "ds": [*TIMES, *TIMES],
        "y": np.arange(180.0),
        "year": [*TIMES.year, *TIMES.year],
    }
)


def panel_of(place, **settings):
    return load_panel(str(place), DataSettings(**settings))[0]


@pytest.fixture
def whole(tmp_path):
    LONG.drop(columns="year").to_csv(tmp_path / "whole.csv", index=False)
    return panel_of(tmp_path / "whole.csv")


@pytest.mark.parametrize("keys", [["year"], ["store"], ["year", "store"], ["store", "year"]])
def test_a_table_in_partitions_is_read_as_the_table(tmp_path, whole, keys):
    left = LONG if "year" in keys else LONG.drop(columns="year")
    left.to_parquet(tmp_path / "parts", partition_cols=keys, index=False)
    for place in (tmp_path / "parts", f"{tmp_path}/parts/**/*.parquet"):
        found, report = load_panel(str(place), DataSettings())
        assert list(found.ids) == ["007", "a b"]
        assert np.array_equal(found.values, whole.values)
        assert "repair/left-out" not in [note.code for note in report.repairs]


def as_csv(folder):
    """The Parquet files below `folder`, each as a CSV file instead."""
    for path in folder.rglob("*.parquet"):
        pd.read_parquet(path, partitioning=None).to_csv(path.with_suffix(".csv"), index=False)
        path.unlink()


@pytest.mark.parametrize("keys", [["year"], ["store"], ["year", "store"], ["store", "year"]])
def test_csv_files_in_partitions_are_read_as_the_table_too(tmp_path, whole, keys):
    left = LONG if "year" in keys else LONG.drop(columns="year")
    left.to_parquet(tmp_path / "parts", partition_cols=keys, index=False)
    as_csv(tmp_path / "parts")
    for place in (tmp_path / "parts", f"{tmp_path}/parts/**/*.csv"):
        found, _ = load_panel(str(place), DataSettings())
        assert list(found.ids) == ["007", "a b"]
        assert np.array_equal(found.values, whole.values)


def test_a_csv_file_s_own_column_counts_and_its_key_may_be_asked_for(tmp_path, whole):
    folder = tmp_path / "region=North%20Sea" / "store=else"
    folder.mkdir(parents=True)
    LONG.drop(columns="year").to_csv(folder / "a.csv", index=False)
    assert list(panel_of(folder / "a.csv", id_col="store").ids) == list(whole.ids)
    both = panel_of(folder / "a.csv", id_col="region,store")
    assert list(both.ids) == ["North Sea/007", "North Sea/a b"]


def test_rows_of_two_partitions_are_no_copies_of_each_other(tmp_path):
    frame = LONG[LONG.store == "007"].drop(columns=["year", "store"])
    for key in ("1", "2"):
        (tmp_path / f"store={key}").mkdir()
        frame.to_csv(tmp_path / f"store={key}" / "a.csv", index=False)
    assert list(panel_of(tmp_path).ids) == ["1", "2"]
    with pytest.raises(InputError, match=r"differ \(store\)"):
        panel_of(tmp_path, no_id=True)


def test_a_key_that_is_a_number_is_nothing_to_forecast(tmp_path):
    table = LONG.assign(store=np.repeat([1, 2], 90)).drop(columns="year")
    table.to_parquet(tmp_path / "parts", partition_cols=["store"], index=False)
    assert list(panel_of(tmp_path / "parts").ids) == ["1", "2"]


def test_a_column_of_the_file_s_own_is_the_one_that_counts(tmp_path, whole):
    folder = tmp_path / "store=else"
    folder.mkdir()
    LONG.drop(columns="year").to_parquet(folder / "a.parquet", index=False)
    assert list(panel_of(tmp_path / "store=else").ids) == list(whole.ids)


def test_keys_are_those_of_the_folders_right_above(tmp_path):
    assert keys_of(tmp_path / "run=5" / "x" / "a=b%20c" / "d=1" / "f") == {"a": "b c", "d": "1"}
    assert keys_of(tmp_path / "a=__HIVE_DEFAULT_PARTITION__" / "f") == {"a": ""}
    assert keys_of(None) == {}


def test_a_folder_of_folders_that_are_no_partitions_names_the_pattern(tmp_path):
    (tmp_path / "below").mkdir()
    LONG.to_csv(tmp_path / "below" / "a.csv", index=False)
    with pytest.raises(InputError) as caught:
        panel_of(tmp_path)
    assert f"'{tmp_path}/*/*.csv'" in caught.value.remedy


def test_a_partition_that_may_not_be_read_is_not_passed_over(tmp_path, monkeypatch):
    closed = tmp_path / "store=1"
    closed.mkdir()

    def listdir(folder, really=os.listdir):
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied")
        return really(folder)

    monkeypatch.setattr("os.listdir", listdir)
    with pytest.raises(InputError) as caught:
        panel_of(tmp_path)
    assert caught.value.code == "input/permission"


def test_a_place_in_a_partition_is_named_with_its_folders(tmp_path):
    for part in ("1", "2"):
        folder = tmp_path / f"part={part}"
        folder.mkdir()
        frame = LONG.drop(columns="year").assign(y=float(part))
        frame.to_parquet(folder / "part-0.parquet", index=False)
    with pytest.raises(InputError, match=r"part=2/part-0\.parquet row 1") as caught:
        panel_of(tmp_path, id_col="store")
    assert caught.value.code == "input/duplicate-time"
