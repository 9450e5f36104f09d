"""What the benchmarks measure with: scores over the series that were done, costs, windows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import ROOT

FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts import their neighbours by name."""
    monkeypatch.syspath_prepend(str(FOLDER))


def _write_set(folder: Path, series: int = 4, length: int = 48, horizon: int = 12) -> None:
    random = np.random.default_rng(0)
    values = 100 + np.cumsum(random.normal(size=(series, length + horizon)), 1)
    months = np.datetime64("2000-01", "M") + np.arange(length + horizon)
    for name, part in (("train", slice(0, length)), ("test", slice(length, None))):
        kept = values[:, part]
        table = pa.table(
            {
                "unique_id": np.repeat([f"s{k}" for k in range(series)], kept.shape[1]),
                "ds": np.tile(months[part].astype("datetime64[s]"), series),
                "y": kept.reshape(-1),
            }
        )
        pq.write_table(table, folder / f"{name}.parquet")


def test_a_forecaster_that_did_not_finish_is_scored_on_what_it_did(tmp_path: Path) -> None:
    from _sets import Made, Set, Test

    (tmp_path / "toy").mkdir()
    _write_set(tmp_path / "toy")
    test = Test(Set("toy", 12, 12, "MS"), tmp_path)
    half = np.array(test.second)
    half[2:] = np.nan
    figures = test.figures(Made(half, None, None))
    assert figures["series"] == 2
    assert figures["owa"] == pytest.approx(1.0)  # Naive2 against itself, on the same series
    whole = test.figures(Made(test.second, None, None))
    assert whole["series"] == 4
    assert figures["mase"] != whole["mase"]
    perfect = test.figures(Made(test.actual, None, None))
    assert perfect["mase"] == perfect["smape"] == perfect["owa"] == 0


def test_the_page_says_what_did_not_get_done() -> None:
    from _page import accuracy_table

    row = {"series": 9, "models": {"AutoARIMA": {"series": 5, "budget": 60.0, "mase": 1.25}}}
    assert accuracy_table(row)[2].startswith("| AutoARIMA (5 of 9 series in 60 s) | 1.250 |  |")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_memory_is_that_of_a_process_and_its_children_together() -> None:
    from _measure import timed

    hold = "import time; held = bytearray(60_000_000); time.sleep(0.9)"
    child = "held = bytearray(60_000_000); print(flush=True); input()"
    both = (
        "import subprocess, sys; from subprocess import PIPE; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=PIPE, stdout=PIPE); "
        f"p.stdout.readline(); {hold}; p.communicate(b'\\n')"
    )
    alone, together = (timed([sys.executable, "-c", code]) for code in (hold, both))
    assert alone["seconds"] > 0.9
    assert together["peak_mb"] - alone["peak_mb"] > 45


def test_a_command_that_fails_ends_the_benchmark_with_its_words() -> None:
    from _measure import timed

    with pytest.raises(SystemExit, match="out of coffee"):
        timed([sys.executable, "-c", "import sys; sys.exit('out of coffee')"])
    code = "import sys; sys.exit(124)"
    assert timed([sys.executable, "-c", code], accept=(124,))["seconds"] > 0


def test_every_window_of_etth1_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench_etth1 as bench

    values = np.random.default_rng(0).normal(size=(2, 14400))
    first, last = bench.PARTS["test"]

    def known_future(forecasters: object, past: np.ndarray, horizon: int) -> np.ndarray:
        count = len(past) // 2
        seen.extend(range(first + len(seen), first + len(seen) + count))
        starts = np.array(seen[-count:])
        assert (past == bench.pieces(values, starts - bench.CONTEXT, bench.CONTEXT)).all()
        return future(horizon) + 0.5

    def future(horizon: int) -> np.ndarray:
        ahead = np.concatenate([values, np.full((2, 720), np.nan)], 1)
        return bench.pieces(ahead, np.array(seen[last_window() :]), horizon)

    def last_window() -> int:
        return (len(seen) - 1) // at_once * at_once

    seen: list[int] = []
    at_once = bench.AT_ONCE // 2
    monkeypatch.setattr(bench, "means", known_future)
    monkeypatch.setattr(bench, "linear_forecast", lambda linear, past, h: future(h) - 0.1)
    made, blend = bench.score([], np.zeros((720, 720)), values, "test", 1)
    windows = {h: each["windows"] for h, each in made["horizons"].items()}
    assert windows == {96: 2785, 192: 2689, 336: 2545, 720: 2161}
    assert seen == list(range(first, last - 95))
    assert made["mse"] == pytest.approx(0.25)
    assert made["mae"] == pytest.approx(0.5)
    assert blend["mae"] == pytest.approx(0.2)


def test_the_ridge_regression_learns_a_series_that_goes_on_in_a_straight_line() -> None:
    import bench_etth1 as bench

    hours = np.arange(14400) / 1000
    linear = bench.linear_map(np.stack([hours, -hours]))
    past = bench.pieces(np.stack([hours, -hours]), np.array([9000]), bench.CONTEXT)
    ahead = bench.pieces(np.stack([hours, -hours]), np.array([9720]), 96)
    assert bench.linear_forecast(linear, past, 96) == pytest.approx(ahead, abs=0.05)


def test_the_clock_sees_only_what_the_lstm_takes() -> None:
    import torch
    from _speed_loop import LSTMClock

    lstm, other = torch.nn.LSTM(4, 4), torch.nn.Linear(4, 4)
    x = torch.randn(3, 2, 4)
    clock = LSTMClock()
    with clock.running():
        other(x).sum().backward()
        assert clock.forward == clock.backward == 0
        lstm(other(x))[0].sum().backward()
    seen = clock.forward, clock.backward
    assert min(seen) > 0
    lstm(other(x))[0].sum().backward()
    assert (clock.forward, clock.backward) == seen
