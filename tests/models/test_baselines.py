"""The baselines: seasonal naive on numpy, and StatsForecast's models bounded in time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from forecast.common import workers as worker_pool
from forecast.common.errors import UsageError
from forecast.common.progress import LIMIT
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.models.baselines import cache, history, statistical
from forecast.models.baselines import fit as fits
from forecast.models.baselines import forecast as baselines

LEVELS = np.array([0.1, 0.5, 0.9])


def make_panel(series: list[np.ndarray], alias: str = "MS") -> Panel:
    lengths = [len(each) for each in series]
    return Panel(
        ids=np.array([f"s{i:03d}" for i in range(len(series))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate(series).astype(float),
        first=np.zeros(len(series), dtype=np.int64),
        frequency=Frequency(alias),
    )


def seasonal_series(length: int, season: int, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(length)
    return 100 + 0.3 * t + 20 * np.sin(2 * np.pi * t / season) + noise * rng.normal(size=length)


def run(panel: Panel, origins, horizon=4, names=("arima",), season=12, budget=60.0, jobs=1):
    return baselines.forecast_baselines(
        panel, np.asarray(origins), horizon, list(names), LEVELS, season, budget, jobs
    )


# --- seasonal naive ----------------------------------------------------------------------------


def test_seasonal_naive_repeats_the_last_season():
    panel = make_panel([np.array([1.0, 2, 3, 4, 5, 6, 7])])
    forecast = baselines.seasonal_naive(panel, np.array([6]), 5, LEVELS, 3)
    assert forecast.point.tolist() == [[4, 5, 6, 4, 5]]
    assert forecast.source.tolist() == ["SeasonalNaive"] and forecast.available.all()


def test_seasonal_naive_takes_the_last_known_value_at_each_position():
    y = np.array([1.0, 2, 3, 4, np.nan, 6, 7, np.nan, np.nan])
    forecast = baselines.seasonal_naive(make_panel([y]), np.array([9]), 3, LEVELS, 3)
    assert forecast.point.tolist() == [[7, 2, 6]]


def test_seasonal_naive_of_a_position_never_seen_takes_the_last_value():
    y = np.array([1.0, np.nan, 3, 4, np.nan, 6])
    forecast = baselines.seasonal_naive(make_panel([y]), np.array([6]), 3, LEVELS, 3)
    assert forecast.point.tolist() == [[4, 6, 6]]


def test_seasonal_naive_of_series_without_a_season_of_values_or_without_any_says_so():
    panel = make_panel([np.array([5.0, 7.0]), np.array([np.nan, np.nan]), np.arange(9.0)])
    forecast = baselines.seasonal_naive(panel, np.array([2, 2, 9]), 2, LEVELS, 4)
    assert forecast.point[0].tolist() == [7, 7]
    assert forecast.available.tolist() == [True, False, True]
    assert np.isnan(forecast.point[1]).all()
    assert forecast.notes[0] == "1 series shorter than one season of 4 use the last value"
    assert forecast.notes[1] == "1 series have no value to repeat"


def test_seasonal_naive_equals_statsforecast_with_its_intervals():
    from statsforecast.models import SeasonalNaive

    panel = make_panel([seasonal_series(40 + i, 7, i) for i in range(5)])
    forecast = baselines.seasonal_naive(panel, panel.lengths, 20, LEVELS, 7)
    for s in range(5):
        y = panel.series(s)
        theirs = SeasonalNaive(season_length=7).forecast(y=y, h=20, level=[80])
        assert forecast.point[s] == pytest.approx(theirs["mean"])
        # theirs estimates the spread with one degree of freedom less
        n = len(y) - 7
        width = (forecast.quantile(0.9)[s] - forecast.point[s]) * np.sqrt(n / (n - 1))
        assert width == pytest.approx(theirs["hi-80"] - theirs["mean"], rel=0.02)


def test_seasonal_naive_uses_nothing_after_the_origin():
    y = seasonal_series(60, 12, 0)
    changed = y.copy()
    changed[40:] = 1e6
    one, other = (
        baselines.seasonal_naive(make_panel([each]), np.array([40]), 6, LEVELS, 12)
        for each in (y, changed)
    )
    assert np.array_equal(one.quantiles, other.quantiles)


def test_seasonal_naive_alone_starts_without_the_statistics_library():
    code = (
        "import sys, numpy as np\n"
        "from forecast.models.baselines.forecast import forecast_baselines\n"
        "from forecast.data.frequency import Frequency\n"
        "from forecast.data.panel import Panel\n"
        "p = Panel(np.array(['a']), np.array([0, 9]), np.arange(9.0), np.array([0]),"
        " Frequency('D'))\n"
        "forecast_baselines(p, np.array([9]), 2, ['seasonal-naive'], np.array([.5]), 7, 1, 1)\n"
        "heavy = {'statsforecast', 'pandas', 'torch', 'joblib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- what a model gets to see ------------------------------------------------------------------


def test_gaps_are_filled_along_the_seasonal_profile():
    y = np.tile([10.0, 20.0, 30.0, 40.0], 5)
    holed = y.copy()
    holed[[0, 6, 7, 19]] = np.nan
    assert history.filled(holed, 4) == pytest.approx(y[1:])  # the leading gap is cut off


def test_a_history_without_values_is_empty_and_a_full_one_is_untouched():
    assert len(history.filled(np.array([np.nan, np.nan]), 4)) == 0
    y = seasonal_series(30, 4, 0)
    assert history.filled(y, 4) is not None and np.array_equal(history.filled(y, 4), y)


def test_the_scale_is_a_power_of_two_near_the_spread():
    y = 1e12 * np.random.default_rng(0).normal(size=50)
    scale = history.scale_of(y)
    assert np.log2(scale) == int(np.log2(scale)) and 0.5 < np.std(y / scale) < 3
    assert history.scale_of(np.zeros(3)) == 1.0
    assert 0.5 <= abs(5.0 / history.scale_of(np.full(3, 5.0))) <= 2


def test_a_week_is_seen_on_top_of_a_day_only_in_a_history_that_carries_it():
    assert history.longer_season(24, (24, 168), 700) == 168
    assert history.longer_season(24, (24, 168), 400) is None
    assert history.longer_season(7, (7, 365), 4000) is None
    assert history.longer_season(1, (24, 168), 4000) is None


# --- one fit -----------------------------------------------------------------------------------


def task(y: np.ndarray, season: int = 12, model: str = "AutoARIMA", longer=None, horizon=12):
    return fits.Task(0, 0, model, y, season, longer, horizon, LEVELS)


@pytest.mark.parametrize("model", ["AutoARIMA", "AutoETS", "DynamicOptimizedTheta"])
def test_every_model_beats_the_last_value_on_a_seasonal_series(model):
    y = seasonal_series(96, 12, 1)
    result = fits.fit(task(y[:84], model=model))
    assert result.point is not None, result.reason
    assert np.abs(y[84:] - result.point).mean() < 0.3 * np.abs(y[84:] - y[83]).mean()
    assert (np.diff(result.quantiles, axis=1) >= 0).all()
    assert result.quantiles[:, 1] == pytest.approx(result.point)


@pytest.mark.parametrize("model", ["AutoARIMA", "AutoETS"])
def test_a_long_season_is_taken_out_and_put_back(model):
    y = seasonal_series(52 * 4 + 10, 52, 2)
    result = fits.fit(task(y[:-10], season=52, model=model, horizon=10))
    assert np.abs(y[-10:] - result.point).mean() < 4
    assert result.taken == (52,)
    assert result.quantiles[:, 1] == pytest.approx(result.point)  # the median


def test_a_week_on_top_of_a_day_is_forecast():
    t = np.arange(24 * 7 * 5)
    rng = np.random.default_rng(0)
    weekend = (t // 24) % 7 >= 5
    y = 50 + 10 * np.sin(2 * np.pi * t / 24) - 30 * weekend + rng.normal(size=len(t))
    past, future = y[: 24 * 7 * 4 + 24 * 4], y[24 * 7 * 4 + 24 * 4 :][:48]  # Friday, Saturday
    with_week = fits.fit(task(past, 24, longer=168, horizon=48)).point
    without = fits.fit(task(past, 24, horizon=48)).point
    assert np.abs(future - with_week).mean() < 4 < np.abs(future - without).mean()


def test_a_week_that_is_not_there_is_not_taken_out():
    y = seasonal_series(24 * 35, 24, 5)
    assert fits.taken_out(y, 24, 168) == {}
    week = 30 * np.sin(2 * np.pi * np.arange(len(y)) / 168)
    components = fits.taken_out(y + week, 24, 168)
    assert list(components) == [168] and np.corrcoef(components[168], week)[0, 1] > 0.98
    assert list(fits.taken_out(y + week, 30, 168)) == [168, 30]  # too long for a model itself
    assert fits.taken_out(y[:50], 30, 168) == {}  # too short to know


def test_gaps_and_huge_or_tiny_units_do_not_matter():
    y = seasonal_series(48, 4, 3)
    holed = y.copy()
    holed[[5, 30, 31]] = np.nan
    plain = fits.fit(task(y, 4)).point
    assert fits.fit(task(holed, 4)).point == pytest.approx(plain, rel=0.05)
    power = 2.0**40
    assert fits.fit(task(y * power, 4)).point == pytest.approx(plain * power, rel=1e-9)
    assert fits.fit(task(y / power, 4)).point == pytest.approx(plain / power, rel=1e-9)


@pytest.mark.parametrize("model", ["AutoARIMA", "AutoETS", "DynamicOptimizedTheta"])
def test_a_constant_series_stays_constant(model):
    result = fits.fit(task(np.full(40, 7.5), model=model))
    assert result.point == pytest.approx(np.full(12, 7.5))


def test_what_cannot_be_fitted_is_a_reason_and_never_an_exception():
    short = fits.fit(task(np.array([1.0, np.nan, 2.0, 3.0])))
    assert short.point is None and short.reason == "fewer than 4 known values"
    odd = fits.fit(task(np.array([1.0, 2.0, 3.0, np.inf, 5.0])))
    assert odd.point is None and odd.reason


# --- the batch ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch():
    """Six series: good, short, empty, constant, gappy, wild after its origin."""
    gappy = seasonal_series(40, 4, 4)
    gappy[[10, 11, 39]] = np.nan
    series = [
        seasonal_series(40, 4, 0),
        np.array([3.0, 4.0, 5.0]),
        np.full(30, np.nan),
        np.full(50, 2.0),
        gappy,
        np.concatenate([seasonal_series(40, 4, 0), np.full(6, 1e9)]),
    ]
    panel = make_panel(series, "QS-JAN")
    names = ["arima", "seasonal-naive", "theta"]
    return panel, run(panel, [40, 3, 30, 50, 40, 40], names=names, season=4)


def test_the_forecasts_come_in_the_order_asked_for_and_hold_the_contract(batch):
    panel, result = batch
    assert list(result) == ["AutoARIMA", "SeasonalNaive", "DynamicOptimizedTheta"]
    for name, forecast in result.items():
        assert forecast.name == name and forecast.point.shape == (panel.size, 4)
        assert forecast.quantiles.shape == (panel.size, 4, 3)
        rows = forecast.available
        assert np.isfinite(forecast.point[rows]).all()
        assert np.isnan(forecast.point[~rows]).all()
        assert (np.diff(forecast.quantiles[rows], axis=2) >= 0).all()
        assert forecast.seconds > 0


def test_a_series_that_cannot_be_fitted_is_named_and_gets_seasonal_naive(batch):
    _, result = batch
    forecast = result["AutoARIMA"]
    assert forecast.source.tolist() == [
        "AutoARIMA", "SeasonalNaive", "", "AutoARIMA", "AutoARIMA", "AutoARIMA",
    ]  # fmt: skip
    assert forecast.available.tolist() == [True, True, False, True, True, True]
    assert any("seasonal naive stands in for 1 series" in note for note in forecast.notes)
    assert any("s001" in note and "fewer than 4" in note for note in forecast.notes)


def test_no_value_after_the_origin_is_seen(batch):
    _, result = batch
    for forecast in result.values():
        assert forecast.quantiles[5] == pytest.approx(forecast.quantiles[0], rel=1e-12)


def test_series_that_the_budget_does_not_reach_are_named_and_not_available():
    panel = make_panel([seasonal_series(60, 12, i) for i in range(8)])
    start = time.monotonic()
    forecast = run(panel, panel.lengths, budget=0.001)["AutoARIMA"]
    assert time.monotonic() - start < 10
    assert not forecast.available.any() and np.isnan(forecast.point).all()
    assert "AutoARIMA: 0 of 8 series were fitted in 0.001 s" in forecast.notes[0]
    assert "s000" in forecast.notes[0] and "and 3 more" in forecast.notes[0]


def test_an_unknown_baseline_is_refused_with_the_nearest_name():
    panel = make_panel([np.arange(9.0)])
    with pytest.raises(UsageError, match="Did you mean arima") as caught:
        run(panel, [9], names=["arma"])
    assert caught.value.code == "usage/unknown-baseline"


def test_a_script_without_a_main_guard_can_ask_for_baselines(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import numpy as np\n"
        "from forecast.models.baselines.forecast import forecast_baselines\n"
        "from forecast.data.frequency import Frequency\n"
        "from forecast.data.panel import Panel\n"
        "print('started')\n"
        "y = 50 + np.arange(40.0) % 4\n"
        "p = Panel(np.array(['a']), np.array([0, 40]), y, np.array([0]), Frequency('QS-JAN'))\n"
        "f = forecast_baselines(p, np.array([40]), 4, ['theta'], np.array([.5]), 4, 60, 1)\n"
        "print(f['DynamicOptimizedTheta'].source.tolist())\n"
    )
    root = str(Path(baselines.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        cwd=tmp_path,
        timeout=120,
    )
    assert done.stdout.split("\n")[:2] == ["started", "['DynamicOptimizedTheta']"], done.stderr
    assert done.stderr == ""


def test_a_series_that_was_never_negative_gets_no_negative_forecast_unless_allowed():
    falling = np.r_[np.linspace(50, 1, 40), -5.0]
    panel = make_panel([falling, falling])
    origins = [40, 41]  # the second has seen the negative value
    naive = run(panel, origins, names=["seasonal-naive"], season=1)["SeasonalNaive"]
    assert naive.quantiles[0].min() == 0 and naive.quantiles[1].min() < 0
    free = baselines.forecast_baselines(
        panel, np.array(origins), 4, ["seasonal-naive"], LEVELS, 1, 1, 1, allow_negative=True
    )["SeasonalNaive"]
    assert free.quantiles[0].min() < 0 and np.array_equal(free.quantiles[1], naive.quantiles[1])


# --- several origins, and the cache --------------------------------------------------------------


class Recorder:
    """A listener that remembers the stages and warnings."""

    def __init__(self):
        self.stages, self.warnings = [], []

    def stage(self, text):
        self.stages.append(text)

    def progress(self, done, total, figures):
        assert 0 < done <= total

    def note(self, text):
        pass

    def warn(self, code, text):
        self.warnings.append(code)


class InlinePool:
    """The pool's contract without processes: for tests of what is done, not of where."""

    def __init__(self, jobs, prepare):
        prepare()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def results_until(self, deadline, function, tasks):
        for each in tasks:
            if time.monotonic() > deadline:
                return
            yield each, function(each)


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(statistical, "Pool", InlinePool)


def run_windows(panel, origins, folder=None, budget=60.0, wanted=None, listener=None, names=None):
    return baselines.forecast_baselines_windows(
        panel,
        np.asarray(origins),
        4,
        names or ["theta"],
        LEVELS,
        12,
        budget,
        1,
        wanted=wanted,
        listener=listener,
        cache_folder=folder,
    )["DynamicOptimizedTheta"]


def test_several_origins_give_what_each_gives_alone_and_unwanted_pairs_are_left_out(in_process):
    panel = make_panel([seasonal_series(80, 12, i) for i in range(3)])
    origins = np.array([[60, 60, 60], [70, 70, 80]])
    wanted = np.array([[True, True, True], [True, True, False]])
    first, second = run_windows(panel, origins, wanted=wanted)
    alone = run(panel, origins[1], names=["theta"])["DynamicOptimizedTheta"]
    assert second.available.tolist() == [True, True, False]
    assert np.array_equal(second.quantiles[:2], alone.quantiles[:2])
    assert first.available.all() and not np.array_equal(first.point[:2], second.point[:2])
    assert not any("not fitted" in note for note in second.notes)


def test_windows_with_the_same_origin_share_one_fit(in_process, monkeypatch):
    fitted = []
    monkeypatch.setattr(statistical, "fit", lambda task: fitted.append(task) or fits.fit(task))
    panel = make_panel([seasonal_series(60, 12, 0), seasonal_series(30, 12, 1)])
    origins = np.array([[50, 30], [55, 30], [60, 30]])
    made = run_windows(panel, origins)
    assert sorted((t.series, len(t.history)) for t in fitted) == [
        (0, 50),
        (0, 55),
        (0, 60),
        (1, 30),
    ]
    assert all(each.available.all() for each in made)
    assert np.array_equal(made[0].quantiles[1], made[2].quantiles[1])
    assert made[0].notes == ()


def test_a_second_run_takes_the_kept_forecasts_and_fits_nothing(tmp_path, in_process):
    panel = make_panel([seasonal_series(80, 12, 0), np.array([1.0, 2.0])])
    origins = np.array([[70, 2], [75, 2]])
    heard = Recorder()
    first = run_windows(panel, origins, tmp_path, listener=heard)
    again = run_windows(panel, origins, tmp_path, listener=heard)
    assert heard.stages == ["Fitting DynamicOptimizedTheta"]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.quantiles, other.quantiles, equal_nan=True)
        assert one.source.tolist() == other.source.tolist()
        assert one.notes == other.notes and one.seconds == other.seconds
        assert other.available.all()


def test_kept_forecasts_are_not_used_for_other_data_or_a_larger_budget_or_when_damaged(
    tmp_path, in_process
):
    values = seasonal_series(80, 12, 0)
    panel, heard = make_panel([values]), Recorder()
    run_windows(panel, [[70]], tmp_path, budget=1e-9, listener=heard)
    full = run_windows(panel, [[70]], tmp_path, listener=heard)  # the first was cut short
    assert full[0].available.all() and len(heard.stages) == 2
    run_windows(panel, [[70]], tmp_path, budget=1e-9, listener=heard)  # complete: good for any
    run_windows(panel, [[70]], tmp_path, budget=600.0, listener=heard)
    assert len(heard.stages) == 2
    later = values.copy()
    later[75] += 1  # after the origin: the same problem
    run_windows(make_panel([later]), [[70]], tmp_path, listener=heard)
    assert len(heard.stages) == 2
    values[69] += 1
    run_windows(make_panel([values]), [[70]], tmp_path, listener=heard)
    assert len(heard.stages) == 3
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:200])
    again = run_windows(panel, [[70]], tmp_path, listener=heard)
    assert len(heard.stages) == 4 and np.array_equal(again[0].point, full[0].point)


def test_the_cache_drops_what_was_used_longest_ago_and_what_was_left_half_written(tmp_path):
    new, middle, old = (f"AutoARIMA-{sign * 32}.npz" for sign in "abc")
    for age, name in enumerate((new, ".writing-deadbeef", middle, old, "other.txt", "mine.npz")):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    cache.prune(tmp_path, most=1000)
    assert len(list(tmp_path.iterdir())) == 6
    cache.prune(tmp_path, most=300)
    assert {path.name for path in tmp_path.iterdir()} == {
        new, ".writing-deadbeef", middle, "other.txt", "mine.npz",
    }  # fmt: skip
    cache.prune(tmp_path, most=100)
    assert {path.name for path in tmp_path.iterdir()} == {new, "other.txt", "mine.npz"}
    cache.prune(tmp_path / "nowhere")


def test_a_kept_forecast_that_is_used_is_young_again(tmp_path, in_process):
    panel = make_panel([seasonal_series(40, 12, 0)])
    run_windows(panel, [[40]], tmp_path)
    (file,) = tmp_path.iterdir()
    os.utime(file, (1e9, 1e9))
    again = run_windows(panel, [[40]], tmp_path)
    assert file.stat().st_mtime > 1e9
    assert np.isfinite(again[0].memory) or not Path("/proc/self/statm").exists()


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, in_process):
    (tmp_path / "file").write_text("")
    heard = Recorder()
    panel = make_panel([seasonal_series(40, 12, 0)])
    forecast = run_windows(panel, [[40]], tmp_path / "file", listener=heard)[0]
    assert forecast.available.all() and heard.warnings == ["baselines/cache-not-written"]


def test_the_notes_say_what_was_done_to_the_histories(in_process):
    gappy = seasonal_series(1200, 48, 0)
    gappy[1150] = np.nan
    panel = make_panel([gappy], "30min")
    forecast = run(panel, [1200], names=["theta"], season=48)["DynamicOptimizedTheta"]
    assert forecast.notes == (
        "DynamicOptimizedTheta: the season of 48 steps is taken out of 1 series by STL and "
        "repeated",
        "DynamicOptimizedTheta: gaps of 1 series were filled for the fit",
    )
    short = run(panel, [1200], names=["theta"], season=12)["DynamicOptimizedTheta"]
    assert "1 series are fitted to their last 400 observations" in short.notes[0]


# --- one choice of the order for all origins ----------------------------------------------------


class OnlyForward(InlinePool):
    """A pool whose time is over once every series has its model."""

    def results_until(self, deadline, function, tasks):
        done = list(super().results_until(deadline, function, tasks))
        yield from done if function is statistical.fit_forward else ()


def arima_windows(panel, origins, folder=None, budget=60.0):
    return baselines.forecast_baselines_windows(
        panel, np.asarray(origins), 4, ["arima"], LEVELS, 1, budget, 1, cache_folder=folder
    )["AutoARIMA"]


def test_an_order_of_arima_is_kept_its_coefficients_are_estimated_anew_and_see_nothing_later():
    from statsforecast.models import ARIMA, AutoARIMA

    y = seasonal_series(74, 4, 3, noise=4.0)
    one = fits.Task(0, 0, "AutoARIMA", y[:50], 4, None, 4, LEVELS, ((1, y[:62]), (2, y)))
    first, second, third = fits.fit_forward(one)
    assert np.array_equal(first.quantiles, fits.fit(one).quantiles) and not first.carried
    scale = history.scale_of(y[:50])
    model = AutoARIMA(season_length=4, approximation=None).fit(y[:50] / scale).model_
    p, q, seasonal_p, seasonal_q, _, d, seasonal_d = model["arma"]
    theirs = ARIMA(
        order=(p, d, q),
        season_length=4,
        seasonal_order=(seasonal_p, seasonal_d, seasonal_q),
        include_mean="intercept" in model["coef"],
        include_drift="drift" in model["coef"],
        method="CSS-ML",
    ).forecast(y[:62] / scale, 4, level=[80])
    assert second.carried and second.point == pytest.approx(theirs["mean"] * scale)
    assert second.quantiles[:, 2] == pytest.approx(theirs["hi-80"] * scale)
    changed = y.copy()
    changed[62:] = 0
    other = fits.fit_forward(replace(one, later=((1, changed[:62]), (2, changed))))
    assert np.array_equal(other[1].quantiles, second.quantiles)
    assert not np.array_equal(other[2].quantiles, third.quantiles)


def test_of_a_season_whose_estimate_takes_long_the_coefficients_are_kept_as_well():
    from statsforecast.models import AutoARIMA

    y = seasonal_series(200, 24, 3, noise=4.0)
    one = fits.Task(0, 0, "AutoARIMA", y[:150], 24, None, 4, LEVELS, ((1, y[:174]),))
    _, second = fits.fit_forward(one)
    scale = history.scale_of(y[:150])
    model = fits._model("AutoARIMA", 24).fit(y[:150] / scale)
    assert isinstance(model, AutoARIMA)
    theirs = model.forward(y[:174] / scale, 4)
    assert second.carried and second.point == pytest.approx(theirs["mean"] * scale)


def test_an_order_is_chosen_anew_where_the_history_has_outgrown_it_and_kept_from_there():
    y = seasonal_series(80, 4, 3, noise=4.0)
    later = ((1, y[:60]), (2, y[:61]), (3, y[:79]))
    one = fits.Task(0, 0, "AutoARIMA", y[:40], 4, None, 4, LEVELS, later)
    made = fits.fit_forward(one)
    assert [each.carried for each in made] == [False, True, False, True]
    again = fits.fit(replace(one, history=y[:61], later=()))
    assert np.array_equal(made[2].quantiles, again.quantiles)  # as if it began there
    from_there = fits.fit_forward(replace(one, history=y[:61], later=((3, y[:79]),)))
    assert np.array_equal(made[3].quantiles, from_there[1].quantiles)


def test_with_time_for_one_search_a_series_every_origin_is_forecast_and_it_is_said(
    monkeypatch, tmp_path
):
    panel = make_panel([seasonal_series(40 + i, 4, i) for i in range(3)], "QS-JAN")
    origins = np.stack([panel.lengths - 12, panel.lengths - 6, panel.lengths])
    monkeypatch.setattr(statistical, "Pool", OnlyForward)
    quick = arima_windows(panel, origins, tmp_path)
    assert all(each.available.all() and (each.source == "AutoARIMA").all() for each in quick)
    assert (
        "AutoARIMA: for 6 of 9 forecasts the order of an earlier origin was kept; for the others "
        "it was chosen there" in quick[0].notes
    )
    monkeypatch.setattr(statistical, "Pool", InlinePool)
    full = arima_windows(panel, origins, tmp_path, budget=90.0)  # more time: not the kept ones
    alone = run(panel, origins[2], season=1)["AutoARIMA"]
    assert np.array_equal(full[2].quantiles, alone.quantiles)
    assert np.array_equal(full[0].quantiles, quick[0].quantiles)
    assert not any("was kept" in note for note in full[0].notes)


def test_short_series_come_first_and_the_most_grown_histories_are_searched_again_first(
    monkeypatch, in_process
):
    seen = []
    monkeypatch.setattr(
        statistical, "fit_forward", lambda t: seen.append((t.series, "all")) or fits.fit_forward(t)
    )
    monkeypatch.setattr(
        statistical, "fit", lambda t: seen.append((t.series, t.window)) or fits.fit(t)
    )
    panel = make_panel([seasonal_series(n, 4, n) for n in (60, 40, 48)], "QS-JAN")
    origins = np.stack([panel.lengths - 20, panel.lengths - 10, panel.lengths])
    arima_windows(panel, origins)
    assert seen[:3] == [(1, "all"), (2, "all"), (0, "all")]
    # by n / n then; (1, 2) and (2, 2) had outgrown their first order and were searched at once
    assert seen[3:] == [(1, 1), (0, 2), (2, 1), (0, 1)]


def test_what_is_urgent_is_fitted_before_shorter_series(monkeypatch, in_process):
    seen = []
    monkeypatch.setattr(
        statistical, "fit_forward", lambda t: seen.append(t.series) or fits.fit_forward(t)
    )
    panel = make_panel([seasonal_series(n, 4, n) for n in (60, 40, 48, 52)], "QS-JAN")
    origins = np.stack([panel.lengths - 10, panel.lengths])
    urgent = np.array([True, False, False, True])
    baselines.forecast_baselines_windows(
        panel, origins, 4, ["arima"], LEVELS, 1, 60.0, 1, urgent=urgent
    )
    assert seen == [3, 0, 1, 2]


def test_a_series_without_a_fit_at_its_first_origin_is_fitted_at_the_others(in_process):
    panel = make_panel([seasonal_series(40, 4, 0), seasonal_series(60, 4, 1)], "QS-JAN")
    made = arima_windows(panel, [[3, 50], [40, 60]])
    assert [each.source.tolist() for each in made] == [
        ["SeasonalNaive", "AutoARIMA"],
        ["AutoARIMA", "AutoARIMA"],
    ]


# --- the pool ----------------------------------------------------------------------------------


def _nothing() -> None:
    pass


def _sleep_or_double(x: float) -> float:
    if x < 0:
        time.sleep(600)
    return 2 * x


def _die_or_double(x: int) -> int:
    if x == 3:
        os._exit(1)
    return 2 * x


def _fail(x: int) -> int:
    raise RuntimeError("a bug")


def test_a_hung_worker_is_ended_at_the_deadline_and_the_rest_is_kept():
    with worker_pool.Pool(2, _nothing) as workers:
        warm = dict(workers.results_until(time.monotonic() + 60, _sleep_or_double, [8.0, 9.0]))
        assert warm == {8.0: 16.0, 9.0: 18.0}
        start = time.monotonic()
        found = dict(workers.results_until(start + 3, _sleep_or_double, [1.0, -1.0, 2.0, 3.0]))
        assert found == {1.0: 2.0, 2.0: 4.0, 3.0: 6.0}
        assert 2.9 < time.monotonic() - start < 10
        again = dict(workers.results_until(time.monotonic() + 60, _sleep_or_double, [4.0]))
        assert again == {4.0: 8.0}  # new workers take up the next work


def test_a_task_that_kills_its_worker_is_found_and_the_others_are_done():
    with worker_pool.Pool(2, _nothing) as workers:
        found = dict(workers.results_until(time.monotonic() + 60, _die_or_double, range(1, 7)))
    assert found == {1: 2, 2: 4, 3: None, 4: 8, 5: 10, 6: 12}


def test_an_exception_of_the_function_itself_is_raised():
    with worker_pool.Pool(1, _nothing) as workers, pytest.raises(RuntimeError, match="a bug"):
        list(workers.results_until(time.monotonic() + 30, _fail, [1]))


@pytest.mark.skipif(sys.platform == "win32", reason="a process keeps its parent's id there")
def test_workers_do_not_outlive_a_parent_that_was_killed():
    code = (
        "import os, time\n"
        "from forecast.common.workers import Pool\n"
        "with Pool(1, int) as workers:\n"
        "    until = time.monotonic() + 60\n"
        "    ask = ['__import__(\"os\").getpid()']\n"
        "    for _, worker in workers.results_until(until, eval, ask):\n"
        "        print(worker, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it lives
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _lives(worker):
        time.sleep(0.1)
    assert not _lives(worker)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # one that has ended may wait there for its new parent
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_progress_says_how_many_seconds_are_left_of_the_budget(monkeypatch):
    told: list[float] = []
    now = SimpleNamespace(at=1000.0)

    def passes(self, deadline, function, tasks):
        for each in tasks:
            now.at += 5.0
            yield each, function(each)

    monkeypatch.setattr(InlinePool, "results_until", passes)
    monkeypatch.setattr(statistical, "Pool", InlinePool)
    monkeypatch.setattr(time, "monotonic", lambda: now.at)
    heard = Recorder()
    heard.progress = lambda done, total, figures: told.append(figures[LIMIT])
    panel = make_panel([seasonal_series(40 + i, 4, i) for i in range(3)], "QS-JAN")
    run_windows(panel, [panel.lengths], budget=60.0, listener=heard, names=["theta"])
    assert told == [55.0, 50.0, 45.0]
