"""The commands from Python: their settings, their results, and what a notebook shows."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast.common.errors import InputError, UsageError
from forecast.config.options import BACKTEST_ONLY, PROCESSES_ONLY, all_options
from forecast.config.signatures import in_python
from forecast.evaluation.scores import ScoreTable
from tests.workflows.test_backtest import inline, table  # noqa: F401 - a fixture

QUICK = dict(horizon=6, windows=2, max_steps=10, hidden=8, members=1, baselines="seasonal-naive")
FUNCTIONS = ("train", "predict", "forecast", "backtest", "compare", "tune", "detect", "explain")


def test_a_backtest_of_a_frame_gives_forecasts_scores_and_a_verdict(tmp_path, inline):  # noqa: F811
    made = forecast.backtest(table(), gap=2, out=str(tmp_path / "run"), **QUICK)
    frame = made.forecasts
    assert list(frame)[:5] == ["unique_id", "ds", "cutoff", "y", "LSTM"]
    assert frame["ds"].dtype.kind == "M"
    assert len(frame) == 2 * 2 * 6
    mae = (frame.y - frame.LSTM).abs().mean()
    assert isinstance(made.scores, ScoreTable)
    assert made.scores.score("LSTM").values["mae"] == pytest.approx(mae)
    assert made.verdict == made.result.verdict
    assert (made.folder / "report.html").exists()
    assert len(repr(made)) < 200


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training whose files are nowhere that a user looks, and the folder it was started in."""
    from tests.teaching import taught_here

    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecast.training.learn.train_members", taught_here)
        patch.chdir(folder)
        yield forecast.train(table(), write=False, **QUICK), folder


def test_what_is_not_to_be_written_is_nowhere_but_works(run):
    made, here = run
    assert list(here.iterdir()) == []
    assert made.folder.is_dir()
    again = made.predict()
    assert again["LSTM"].to_numpy() == pytest.approx(made.predictions["LSTM"].to_numpy())
    assert not made.folder.is_relative_to(Path.cwd())


def test_a_result_is_short_in_a_console_and_a_page_in_a_notebook(run):
    made, _ = run
    assert len(repr(made)) < 200
    assert "LSTM" in repr(made)
    page = made._repr_html_()
    assert page.count("<table") == 2
    assert made.verdict.split(":")[0].split("&")[0][:20] in page
    assert made.plot()._repr_png_()[:4] == b"\x89PNG"
    assert len(repr(made.plot())) < 50
    assert made.report.is_file()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_the_options_of_its_command_and_no_other(name):
    function = getattr(forecast, name)
    parameters = inspect.signature(function).parameters
    assert all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for option, path in function.options.items():
        known = next(o for o in all_options() if o.path == path)
        assert parameters[option].default == known.default
        assert f"    {option}: {in_python(known.help)}" in function.__doc__
    assert "--" not in function.__doc__
    assert not set(function.options.values()) & set(PROCESSES_ONLY)
    assert ("gap" in parameters) == (name in ("backtest", "compare"))


def test_help_says_what_kinds_of_values_an_option_takes():
    kinds = {n: p.annotation for n, p in inspect.signature(forecast.train).parameters.items()}
    several = ("target_col", "baselines", "level", "quantiles")
    assert {kinds[name].split(" | None")[0] for name in several} == {"Sequence | str"}
    assert (kinds["horizon"], kinds["seed"], kinds["wide"]) == ("int | None", "int", "bool")
    assert (kinds["calendar"], kinds["rejects"]) == ("bool | None", "str | Path | None")


def test_completion_offers_every_function_before_one_was_used():
    code = "import forecast, sys; print(*dir(forecast)); assert 'forecast.api' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(FUNCTIONS) <= set(done.stdout.split()) == set(forecast.__all__)


def test_train_has_every_setting_of_the_command():
    missing = {o.path for o in all_options()} - set(forecast.train.options.values())
    beside = ("compare.", "engine.", "tuning.", "federation.")
    assert {p for p in missing if not p.startswith(beside)} <= {*BACKTEST_ONLY, *PROCESSES_ONLY}


@pytest.mark.parametrize(
    ("function", "option"),
    [("train", "gap"), ("backtest", "quantiles"), ("predict", "max_steps"), ("detect", "horizon")],
)
def test_an_option_of_another_command_is_refused(function, option):
    with pytest.raises(UsageError, match="no such option"):
        getattr(forecast, function)(table(), **{option: 1})


def months(count: int = 60) -> tuple[pd.DatetimeIndex, np.ndarray]:
    n = np.arange(count)
    return pd.date_range("2015-01-01", periods=count, freq="MS"), 100 + n + 20 * np.sin(n / 1.9)


def test_columns_by_name_and_periods_are_read_as_a_frame_is():
    times, values = months()
    plain = forecast.forecast(pd.DataFrame({"ds": times, "y": values}), horizon=3)
    by_name = forecast.forecast({"ds": times, "y": values}, horizon=3)
    periods = pd.DataFrame({"ds": times.to_period("M"), "y": values})
    pd.testing.assert_frame_equal(by_name, plain)
    pd.testing.assert_frame_equal(forecast.forecast(periods, horizon=3), plain)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("times", "first"),
    [
        ([f"{day:02d}.01.2024" for day in range(1, 32)], "2024-02-01"),
        ([f"{month}/1/{year}" for year in (2021, 2022, 2023) for month in range(1, 13)]
         + ["1/1/2024"], "2024-02-01"),
        ([f"{1990 + month / 12:.11f}" for month in range(42)], "1993-07-01"),
        ([f"{year} Q{quarter}" for year in range(2010, 2020) for quarter in (1, 2, 3, 4)],
         "2020-01-01"),
        ([f"2021 W{week:02d}" for week in range(1, 53)], "2022-01-03"),
    ],
    ids=["days", "months of America", "years with decimals", "quarters", "weeks"],
)  # fmt: skip
def test_times_of_a_file_come_back_as_the_times_that_they_are(tmp_path, times, first):
    rows = "".join(f"{time};{20 + n % 5}\n" for n, time in enumerate(times))
    (tmp_path / "t.csv").write_text("time;value\n" + rows)
    options = {"dayfirst": False} if "/" in times[0] else {}
    made = forecast.forecast(str(tmp_path / "t.csv"), horizon=3, **options)["ds"]
    assert made[0] == pd.Timestamp(first)
    assert made.is_monotonic_increasing


@pytest.mark.parametrize("given", [
    ["a", "b"], ("a", "b"), np.array(["a", "b"]), pd.Index(["a", "b"]), "a,b", {"a", "b"},
], ids=lambda given: type(given).__name__)  # fmt: skip
def test_columns_are_named_in_any_sequence(given):
    times, values = months()
    frame = pd.DataFrame({"ds": times, "a": values, "b": 2 * values, "c": values})
    assert set(forecast.forecast(frame, horizon=1, target_col=given)["unique_id"]) == {"a", "b"}


def test_options_may_be_what_other_libraries_take(tmp_path):
    from zoneinfo import ZoneInfo

    times, values = months()
    numbered = pd.DataFrame({0: times, 1: values, 2: values})
    made = forecast.forecast(
        numbered,
        time_col=0,
        target_col=1,
        horizon=np.int64(2),
        freq=pd.offsets.MonthBegin(),
        level=np.array([80, 90]),
        quantiles={0.1, 0.9},
        tz=ZoneInfo("Europe/Berlin"),
        rejects=tmp_path / "rejects.csv",
    )
    assert list(made)[-4:] == ["LSTM-lo-90", "LSTM-hi-90", "LSTM-q0.1", "LSTM-q0.9"]
    assert len(made) == 2


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("prediction_length", "horizon"), ("horizn", "horizon"), ("outptu", "output"),
     ("random_state", "seed"), ("season_length", "season"), ("Freq", "freq")],
)  # fmt: skip
def test_an_option_by_another_name_is_answered_with_ours(wrong, right):
    with pytest.raises(UsageError, match=f"Did you mean {right}?"):
        forecast.forecast(dict(zip(("ds", "y"), months(), strict=True)), **{wrong: 3})


def test_a_level_as_a_share_is_no_interval_of_less_than_a_per_cent():
    with pytest.raises(UsageError, match=r"must be per cent: 80 for 0\.8"):
        forecast.forecast(dict(zip(("ds", "y"), months(), strict=True)), level=[0.8])


def test_a_frame_where_a_file_is_named_is_refused_in_one_line():
    frame = pd.DataFrame(dict(zip(("ds", "y"), months(), strict=True)))
    with pytest.raises(UsageError, match=r"future_covariates takes a file.*to_csv") as caught:
        forecast.train(frame, future_covariates=frame)
    assert "\n" not in str(caught.value)


def test_the_zone_is_that_of_the_times_not_of_another_column():
    times, values = months()
    loaded = pd.Timestamp("2024-12-01", tz="Asia/Tokyo")
    made = forecast.forecast({"ds": times, "y": values, "loaded": [loaded] * 60}, horizon=2)
    assert made["ds"].dt.tz is None


@pytest.mark.filterwarnings("error")
def test_times_on_both_sides_of_a_change_of_the_clock_keep_their_zone():
    days = pd.date_range("2024-08-05", periods=90, freq="D", tz="America/Havana")
    made = forecast.forecast({"ds": days, "y": np.arange(90.0)}, horizon=3)["ds"]
    assert str(made.dt.tz) == "America/Havana"
    assert list(made.dt.strftime("%d %H %z")) == ["03 00 -0400", "04 00 -0500", "05 00 -0500"]


def test_times_come_back_in_their_zone():
    times, values = months()
    hours = pd.date_range("2024-03-01", periods=200, freq="h", tz="Europe/Berlin")
    wave = 10 + np.sin(np.arange(200) / 24 * 2 * np.pi)
    made = forecast.forecast(pd.DataFrame({"ds": hours, "y": wave}), horizon=24)
    assert str(made["ds"].dt.tz) == "Europe/Berlin"
    assert made["ds"].iloc[0] == hours[-1] + pd.Timedelta("1h")
    assert forecast.forecast({"ds": times, "y": values}, horizon=2)["ds"].dt.tz is None


@pytest.mark.parametrize("data", [[1, 2], 7, {"ds": [1, 2], "y": [1]}])
def test_what_is_no_table_is_refused_in_words(data):
    with pytest.raises(forecast.ForecastError, match="pandas frame"):
        forecast.forecast(data)


def test_an_error_names_parameters_and_no_flags():

    with pytest.raises(InputError) as caught:
        forecast.forecast({"ds": ["2024-01-01", "2024-01-02"]})
    assert "--" not in str(caught.value)
    assert "decimal or delimiter may be missing" in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--no-refit, or --wide --na-values x", 'refit=False, or wide=True na_values="x"'),
        ("--missing zero; else --set data.max_gap_share=0.67",
         'missing="zero"; else max_gap_share=0.67'),
        ("--horizon must be above 0", "horizon must be above 0"),
        ("--wide must be true or false", "wide must be true or false"),
        ("or --rejects FILE puts it aside", 'or rejects="FILE" puts it aside'),
        ("--output forecast.csv, or .parquet", 'output="forecast.csv", or .parquet'),
        ("train one with `lstmcast train DATA`", "train one with forecast.train(data)"),
        ("Look at it: lstmcast check FILE --wide", "Look at it: lstmcast check FILE --wide"),
    ],
)  # fmt: skip
def test_advice_for_a_command_line_is_python_s(flags, words):
    assert in_python(flags) == words


def test_anomalies_are_a_frame():
    times, values = months()
    values[40] += 500
    found = forecast.detect({"ds": times, "y": values})
    assert times[40] in set(found["ds"])
    assert list(found)[:3] == ["unique_id", "ds", "y"]


def test_a_notebook_sees_progress_and_a_script_does_not(monkeypatch, capsys):
    times, values = months()
    forecast.forecast({"ds": times, "y": values}, horizon=2)
    assert capsys.readouterr().err == ""
    forecast.forecast({"ds": times, "y": values}, horizon=2, progress=True)
    assert "Forecasting" in capsys.readouterr().err
    monkeypatch.setattr("forecast.api._in_a_notebook", lambda: True)
    forecast.forecast({"ds": times, "y": values}, horizon=2)
    assert "Forecasting" in capsys.readouterr().err


def test_a_run_of_a_frame_is_explained_and_known_as_a_model(run):
    made, _ = run
    given = made.explain(table(), step=1).past
    pd.testing.assert_frame_equal(made.explain(step=1).past, given)
    assert given["ds"].dtype.kind == "M"
    plain = forecast.predict(table(), model=made)
    pd.testing.assert_frame_equal(plain, made.predict())
    assert forecast.load(made).folder == made.folder


def test_the_newest_model_of_a_frame_is_found_among_models_of_others(monkeypatch, tmp_path):
    from tests.teaching import taught_here

    monkeypatch.setattr("forecast.training.learn.train_members", taught_here)
    root = str(tmp_path / "runs")
    made = forecast.train(table(), root=root, **QUICK)
    forecast.train(table().rename(columns={"ds": "day", "y": "sold"}), root=root, **QUICK)
    pd.testing.assert_frame_equal(forecast.predict(table(), root=root), made.predict())


def test_an_explanation_leaves_the_random_numbers_of_torch_alone(run):
    import torch

    made, _ = run
    before = torch.get_rng_state()
    made.explain(step=1)
    assert torch.equal(before, torch.get_rng_state())


def test_scores_are_short_in_a_console_and_a_table_in_a_notebook(run):
    made, _ = run
    assert repr(made.scores).startswith("ScoreTable(MASE LSTM ")
    assert len(repr(made.scores)) < 100
    assert "<table" in made.scores._repr_html_()
    assert list(made.scores.to_frame().index) == ["LSTM", "SeasonalNaive"]


@pytest.mark.filterwarnings("error")
def test_what_is_written_nowhere_goes_without_a_warning(recwarn):
    from forecast.common.scratch import ScratchFolder

    kept = ScratchFolder()
    folder = Path(kept.name)
    (folder / "x").write_text("x")
    del kept
    assert not folder.exists()
    assert not recwarn.list


def test_an_explanation_has_frames_and_a_picture(run):
    made, _ = run
    shown = made.explain(table(), root=str(made.folder.parent), step=1)
    assert {"ds", "lag", "value", "contribution"} <= set(shown.past)
    assert shown.plot()._repr_png_()[:4] == b"\x89PNG"
    assert len(repr(shown)) < 100


def test_nowhere_and_somewhere_contradict_each_other(tmp_path):
    with pytest.raises(UsageError, match="write=False"):
        forecast.train(table(), write=False, out=str(tmp_path))


def test_two_runs_that_start_in_the_same_second_have_folders_of_their_own(monkeypatch, tmp_path):
    from forecast.config.schema import OutputSettings, Settings
    from forecast.reporting.run_folder import run_path

    monkeypatch.setattr("time.strftime", lambda form: "20260101-000000")
    settings = Settings(output=OutputSettings(root=str(tmp_path)))
    assert run_path(settings, "a.csv").name == "a-20260101-000000"
    assert run_path(settings, "a.csv").name == "a-20260101-000000.2"


def test_processes_that_start_in_the_same_second_have_folders_of_their_own(tmp_path):
    words = (
        "import sys, time; time.strftime = lambda form: '20260101-000000'\n"
        "from forecast.config.schema import OutputSettings, Settings\n"
        "from forecast.reporting.run_folder import run_path\n"
        "settings = Settings(output=OutputSettings(root=sys.argv[1] + '/new'))\n"
        "print(run_path(settings, 'a.csv').name, flush=True); sys.stdin.read()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", words, tmp_path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    names = {each.stdout.readline().strip() for each in started}
    for each in started:
        each.communicate("")
    assert names == {"a-20260101-000000", "a-20260101-000000.2"}
    assert not list((tmp_path / "new").iterdir())  # nothing was written: nothing is left


@pytest.mark.parametrize("place", [{}, {"out": "run"}, {"root": "deep/runs"}])
@pytest.mark.parametrize("name", ["train", "backtest", "compare", "tune"])
def test_where_nothing_can_be_written_nothing_is_trained(monkeypatch, tmp_path, name, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    monkeypatch.setattr("forecast.reporting.run_folder.os.access", lambda path, how: False)
    monkeypatch.setattr("forecast.training.learn.train_members", lambda *_, **__: pytest.fail())
    with pytest.raises(forecast.ForecastError) as caught:
        getattr(forecast, name)(table(), max_steps=10, horizon=6, **place)
    assert caught.value.code == "output/cannot-write"
