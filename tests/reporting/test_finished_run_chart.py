"""The chart of a finished run: history and written forecast put together again."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from forecast.cli.app import run as command_line
from forecast.cli.error_handler import guarded
from forecast.common.errors import InputError, ModelNotFoundError, UsageError
from forecast.data.frequency import Frequency
from forecast.models.store import save_model
from forecast.reporting.finished_run import run_chart as read_again
from tests.builders import random_forecaster

run_chart = partial(read_again, root="/")  # every run is the user's own

HEADER = "unique_id,ds,LSTM,LSTM-lo-80,LSTM-hi-80,LSTM-q0.1,AutoARIMA,source\n"


def month(n: int) -> str:
    return f"{2000 + n // 12}-{n % 12 + 1:02d}"


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """Two series, "007" and "b", of 60 months; forecasts of four months after the 48th of each."""
    data = tmp_path / "data.csv"
    rows = [f"{s},{month(n)},{n + k}" for k, s in ((0, "007"), (100, "b")) for n in range(60)]
    data.write_text("id,month,value\n" + "\n".join(rows) + "\n")
    folder = tmp_path / "run"
    about = {"data": {"path": str(data)}, "settings": {}}
    save_model(folder / "model", random_forecaster(), Frequency("MS"), about)
    made = [
        f"{s},{month(48 + n)},{n},{n - 1},{n + 1},{n - 2},{n * 2},LSTM"
        for s in ("007", "b")
        for n in range(4)
    ]
    (folder / "predictions.csv").write_text(HEADER + "\n".join(made) + "\n")
    return folder


def test_the_chart_has_the_history_before_and_the_actuals_of_the_forecast(run_folder):
    chart = run_chart(run_folder, "b")
    assert chart.title == "b"
    np.testing.assert_array_equal(chart.history, np.arange(48) + 100)
    np.testing.assert_array_equal(chart.actual, np.arange(48, 52) + 100)
    assert str(chart.times[0])[:7] == "2000-01"
    assert str(chart.times[-1])[:7] == "2004-04"


def test_models_and_bands_are_told_from_the_column_names(run_folder):
    chart = run_chart(run_folder, "b")
    assert list(chart.medians) == ["LSTM", "AutoARIMA"]
    np.testing.assert_array_equal(chart.medians["AutoARIMA"], [0, 2, 4, 6])
    assert list(chart.bands) == ["LSTM"]
    low, high = chart.bands["LSTM"][80.0]
    np.testing.assert_array_equal(low, [-1, 0, 1, 2])
    np.testing.assert_array_equal(high, [1, 2, 3, 4])


def test_without_a_name_the_first_series_is_drawn_its_leading_zeros_kept(run_folder):
    assert run_chart(run_folder).title == "007"
    assert run_chart(run_folder / "model").title == "007"


def test_a_forecast_of_the_future_has_no_actuals(run_folder, tmp_path):
    text = (run_folder / "predictions.csv").read_text()
    for n in range(4):
        text = text.replace(month(48 + n), month(60 + n))
    (run_folder / "predictions.csv").write_text(text)
    chart = run_chart(run_folder)
    assert chart.actual is None
    assert len(chart.history) == 48


def test_an_unknown_series_is_refused_with_the_nearest(run_folder):
    path = run_folder / "predictions.csv"
    path.write_text(path.read_text().replace("b,", "berlin,"))
    with pytest.raises(UsageError) as caught:
        run_chart(run_folder, "berlni")
    assert caught.value.code == "plot/unknown-series"
    assert caught.value.remedy == "Did you mean berlin?"
    with pytest.raises(UsageError, match="There are: 007, berlin"):
        run_chart(run_folder, "zzz")


def test_a_forecast_of_other_data_is_refused(run_folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("id,month,value\n" + "".join(f"b,{month(n)},1\n" for n in range(100, 150)))
    with pytest.raises(InputError, match="the data have no series '007'"):
        run_chart(run_folder, "007", str(other))
    with pytest.raises(InputError, match="the forecast begins at 2004-01") as caught:
        run_chart(run_folder, "b", str(other))
    assert caught.value.code == "plot/other-data"


def test_missing_pieces_are_named(run_folder, tmp_path):
    (tmp_path / "data.csv").unlink()
    with pytest.raises(InputError) as caught:
        run_chart(run_folder)
    assert caught.value.code == "input/training-data-gone"
    (run_folder / "predictions.csv").unlink()
    with pytest.raises(ModelNotFoundError, match="this run has no forecast"):
        run_chart(run_folder)
    with pytest.raises(ModelNotFoundError):
        run_chart(tmp_path / "nowhere")


def lstmcast(*words: str) -> int:
    own = () if "--root" in words else ("--root", "/")  # every run is the user's own
    return guarded(lambda: command_line((*words, *own)), as_json="--json" in words)


def test_plot_draws_plain_text_when_stdout_is_no_terminal(run_folder, capsys):
    assert lstmcast("plot", str(run_folder), "--series", "b") == 0
    out = capsys.readouterr().out
    assert out.startswith("b\n")
    assert out.isascii()
    assert "LSTM" in out
    assert 12 <= len(out.splitlines()) <= 20


def test_plot_takes_the_newest_run_below_the_root(run_folder, capsys):
    assert lstmcast("plot", "--root", str(run_folder.parent)) == 0
    said = capsys.readouterr()
    assert said.out.startswith("007\n")
    assert f"{run_folder}, the newest" in said.err.replace("\n", "")


def test_plot_writes_an_image(run_folder, tmp_path, capsys):
    path = tmp_path / "b.svg"
    assert lstmcast("plot", str(run_folder), "--series", "b", "-o", str(path)) == 0
    assert re.search(r"written to +\S*b\.svg", capsys.readouterr().out)
    assert "<svg" in path.read_text(encoding="utf-8")
    assert lstmcast("plot", str(run_folder), "-o", "b.gif") == 2
    assert ".png or .svg" in capsys.readouterr().err


def test_plot_as_json_has_the_numbers(run_folder, capsys):
    assert lstmcast("plot", str(run_folder), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["series"] == "007"
    assert document["medians"]["LSTM"] == [0, 1, 2, 3]
    assert document["bands"]["LSTM"]["80.0"][0] == [-1, 0, 1, 2]
    assert len(document["times"]) == len(document["history"]) + 4
