"""Files as people bring them: each loads, or names the flag that makes it load."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.load import load_panel

FOLDER = Path(os.environ.get("LSTMCAST_BENCHMARK_DATA", "/nowhere")) / "files"
SERIES = {  # file -> series and frequency once it is read
    "airline_passengers": (1, "MS"),
    "beijing_pm25_hourly": (1, "h"),
    "bike_sharing_hourly_covariates": (1, "h"),
    "birmingham_parking_irregular_multi": (30, "30min"),
    "daily_min_temperatures_melbourne": (1, "D"),
    "epf_electricity_price_future_exog": (4, "h"),
    "epf_electricity_price_hourly_exog": (4, "h"),
    "monthly_sunspots": (1, "MS"),
    "us_gasoline_weekly": (1, "W-FRI"),
    "vic_electricity_halfhourly": (1, "30min"),
    "wp_log_peyton_manning_daily": (1, "D"),
}


def advised(error: InputError) -> dict[str, object]:
    """The options that the first advice of an error's remedy names, with their values."""
    first = re.split(r"; or |; else ", error.remedy or "")[0]
    words = shlex.split(first.replace(",  ", " ").replace(", one of", " "))
    found: dict[str, object] = {}
    for flag, value in zip(words, [*words[1:], ""], strict=True):
        if flag.startswith("--"):
            field = flag[2:].replace("-", "_")
            kind = DataSettings.model_fields[field].annotation
            found[field] = float(value.rstrip(".")) if kind is float else value
    return found


@pytest.mark.proof
@pytest.mark.skipif("LSTMCAST_BENCHMARK_DATA" not in os.environ, reason="no benchmark data")
def test_every_file_of_the_folder_is_known() -> None:
    assert {p.stem for p in FOLDER.glob("*.csv")} == set(SERIES)


@pytest.mark.proof
@pytest.mark.skipif("LSTMCAST_BENCHMARK_DATA" not in os.environ, reason="no benchmark data")
@pytest.mark.parametrize("name", SERIES)
def test_a_file_loads_as_it_is_or_once_its_advice_is_followed(name: str) -> None:
    options: dict[str, object] = {}
    for _ in range(4):
        try:
            panel, _ = load_panel(FOLDER / f"{name}.csv", DataSettings(**options))
        except InputError as error:
            advice = advised(error)
            assert advice, str(error)
            assert not advice.keys() & options.keys(), str(error)
            options |= advice
            continue
        assert (panel.size, panel.frequency.alias) == SERIES[name], options
        return
    pytest.fail(f"still refused with {options}")
