"""The sample files are what their README says, and the invented one can be made again."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import date, datetime

import numpy as np
import pytest

from tests import ROOT

FOLDER = ROOT / "sample_data"


def rows_of(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["hourly_stores.csv", "hourly_stores_future.csv"])
def test_the_generator_writes_the_same_bytes_again(tmp_path, name):
    script = FOLDER / "make_hourly_stores.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_every_file_is_small_and_named_in_the_readme():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = sorted(FOLDER.glob("*.csv"))
    assert len(files) == 5
    for file in files:
        assert file.stat().st_size < 1_000_000
        assert f"`{file.name}`" in readme
        assert f"{len(rows_of(file.name)):,}" in readme


def test_airline_passengers_are_the_144_months_of_box_and_jenkins():
    rows = rows_of("airline_passengers.csv")
    assert len(rows) == 144
    assert (rows[0]["month"], rows[-1]["month"]) == ("1949-01", "1960-12")
    values = np.array([int(row["passengers"]) for row in rows])
    assert values.sum() == 40363  # mean 280.2986, as printed everywhere
    assert (values.min(), values.max()) == (104, 622)


def test_co2_weeks_are_all_saturdays_seven_days_apart():
    rows = rows_of("co2_weekly.csv")
    weeks = np.array([row["week"] for row in rows], dtype="datetime64[D]")
    assert (np.diff(weeks) == np.timedelta64(7, "D")).all()
    assert date.fromisoformat(rows[0]["week"]).weekday() == 5
    assert sum(row["co2"] == "" for row in rows) == 59


def test_sunspot_years_have_no_gap():
    years = np.array([int(row["year"]) for row in rows_of("sunspots_yearly.csv")])
    assert (years == np.arange(1700, 2009)).all()


def test_hourly_stores_have_eight_series_and_the_documented_missing_values():
    rows = rows_of("hourly_stores.csv")
    assert len({row["id"] for row in rows}) == 8
    assert sum(row["sales"] == "" for row in rows) == 39
    hours = [datetime.fromisoformat(r["time"]) for r in rows if r["id"] == "mill_lane"]
    steps = np.diff(np.array(hours, dtype="datetime64[h]")).astype(int)
    assert sorted(set(steps)) == [1, 31]  # one outage of 30 hours without rows
    assert all(row[name] != "" for row in rows for name in ("temperature", "promotion", "holiday"))


def test_promotions_raise_the_sales_of_a_shop_that_is_open():
    rows = [r for r in rows_of("hourly_stores.csv") if r["id"] == "airport" and r["sales"]]
    sold = np.array([int(row["sales"]) for row in rows])
    offer = np.array([row["promotion"] == "1" for row in rows])
    hour = np.array([int(row["time"][11:13]) for row in rows])
    ratios = [sold[offer & (hour == h)].mean() / sold[~offer & (hour == h)].mean() for h in (8, 12)]
    assert min(ratios) > 1.15


def test_the_future_file_starts_an_hour_after_the_history():
    history = max(row["time"] for row in rows_of("hourly_stores.csv"))
    future = rows_of("hourly_stores_future.csv")
    assert history == "2024-04-29 23:00"
    assert min(row["time"] for row in future) == "2024-04-30 00:00"
    assert list(future[0]) == ["id", "time", "temperature", "promotion", "holiday"]
