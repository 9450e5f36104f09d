"""Series that grow row by row, and the commands that follow standard input."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pyarrow import csv

from forecast.analysis.anomalies import score_values
from forecast.analysis.anomaly_stream import WatchedSeries
from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.common.quantiles import weights_between
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.panel import panel_to_arrow
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.stream_rows import Clock, RowError, RowReader, Spelling, follow
from forecast.inference.streaming import GrowingSeries
from forecast.models.networks.registry import state_shapes
from forecast.models.store import save_model
from forecast.transforms.augment import IN_THREE_WAYS, IN_TWO_WAYS
from forecast.transforms.covariates import Design, Entry
from forecast.transforms.windows import segment_layout, step_layout
from forecast.workflows.stream import Written
from tests.builders import make_panel, random_forecaster

SHAPES = {
    "monthly": (step_layout(12), "MS", IN_THREE_WAYS, 12),
    "daily": (step_layout(7, 364), "D", IN_THREE_WAYS, 30),
    "hourly": (segment_layout(24), "h", IN_TWO_WAYS, 48),
}


def case(name, length, **more):
    layout, alias, views, horizon = SHAPES[name]
    forecaster = replace(
        random_forecaster(layout, members=2, horizon=horizon),
        context=6,
        views=views,
        factors=np.array([1.3, 1.2, 1, 1, 1, 1, 1, 1, 1, 1.2, 1.3]),
    )
    panel = make_panel((length,), season=layout.season, alias=alias, missing=0.1, seed=3, **more)
    return forecaster, panel, horizon


def batch(forecaster, panel, n, horizon, exact):
    """What `predict` makes of the first n values, and what it does when it reads as far back."""
    read = forecaster.context
    if not exact:
        read += n // forecaster.layout.width % forecaster.context + 1
    past = panel.truncate(np.array([n]))
    made = forecast_panel(replace(forecaster, context=read), past, horizon, allow_negative=True)
    return made.quantiles[0], made.source[0] == "LSTM"


@pytest.mark.parametrize("exact", [False, True], ids=["two states", "exact"])
@pytest.mark.parametrize("start", [0, 5, 370])
@pytest.mark.parametrize("name", SHAPES)
def test_a_growing_series_is_forecast_as_a_batch_of_the_same_values(name, start, exact):
    forecaster, panel, horizon = case(name, 400)
    growing = GrowingSeries(forecaster, panel.values[:start], horizon, exact=exact)
    watched = {1, 2, 3, 9, 100, 211, 371, 376, 398, 400}
    for n in range(start + 1, 401):
        growing.append(panel.values[n - 1])
        if n in watched:
            wanted, own = batch(forecaster, panel, n, horizon, exact)
            made, mine = growing.quantiles(horizon)
            assert mine == own
            np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5 * abs(wanted).max())


def test_where_logarithms_are_called_for_no_more_the_series_begins_anew():
    forecaster, panel, horizon = case("monthly", 120)
    panel.values[60], panel.values[90] = 0.2, -40.0  # a sliver of the mean; below zero
    growing = GrowingSeries(forecaster, panel.values[:50], horizon)
    for n in range(51, 121):
        growing.append(panel.values[n - 1])
        if n in (60, 61, 62, 91, 120):
            wanted, _ = batch(forecaster, panel, n, horizon, False)
            made, _ = growing.quantiles(horizon)
            np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5 * abs(wanted).max())
    assert not growing.never_negative


def test_a_constant_series_and_a_long_gap_are_forecast_as_in_a_batch():
    forecaster, panel, horizon = case("daily", 90)
    panel.values[:40], panel.values[45:70] = 5.0, np.nan
    growing = GrowingSeries(forecaster, panel.values[:1], horizon)
    for n in range(2, 91):
        growing.append(panel.values[n - 1])
        wanted, _ = batch(forecaster, panel, n, horizon, False)
        made, _ = growing.quantiles(horizon)
        np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5 * abs(wanted).max())


def test_a_network_without_carried_states_is_forecast_as_predict_does():
    _, panel, horizon = case("monthly", 80)
    forecaster = replace(
        random_forecaster(step_layout(12), network="gru"), context=24, views=IN_THREE_WAYS
    )
    growing = GrowingSeries(forecaster, panel.values[:60], horizon)
    for value in panel.values[60:]:
        growing.append(value)
    wanted, _ = batch(forecaster, panel, 80, horizon, True)
    np.testing.assert_allclose(growing.quantiles(horizon)[0], wanted, rtol=1e-5)


def test_a_row_costs_the_same_after_a_long_history():
    forecaster, panel, horizon = case("hourly", 30_000)
    seconds = []
    for start in (600, 29_900):
        growing = GrowingSeries(forecaster, panel.values[:start], horizon)
        taken = []
        for value in panel.values[start : start + 60]:
            begun = time.process_time()
            growing.append(value)
            growing.quantiles(horizon)
            taken.append(time.process_time() - begun)
        seconds.append(np.median(taken))
    assert seconds[1] < 2 * seconds[0]


def test_the_columns_are_those_of_predict():
    forecaster, panel, _ = case("monthly", 80)
    settings = SimpleNamespace(
        level=(80.0, 95.0, 50.0), quantiles=(0.33,), allow_negative=False, point=None
    )
    made = forecast_panel(forecaster, panel, 6)
    wanted = np.array([0.5, 0.1, 0.9, 0.025, 0.975, 0.25, 0.75, 0.33])
    order = np.argsort(wanted)
    quantiles = at_levels(made, wanted[order]).quantiles[0]
    written = Written.of(forecaster, settings)
    numbers = written.columns(made.quantiles[0], True)
    np.testing.assert_allclose(numbers[:, order], quantiles, rtol=1e-12)
    assert written.names[:3] == ("LSTM", "LSTM-lo-80", "LSTM-hi-80")
    np.testing.assert_allclose(weights_between(made.levels, wanted).sum(0), 1.0)


def reader_of(panel):
    return RowReader(panel, Clock(panel.frequency, panel.time_format, panel.tz))


def two_series():
    panel = make_panel((3, 4), season=7, alias="D")
    return replace(panel, ids=np.array(["a,b", "c"], dtype=object))


def test_rows_are_read_in_the_order_of_their_header_or_by_place():
    reader = reader_of(two_series())
    assert reader.header("y,ds,unique_id") and not reader_of(two_series()).header("c,1970-01-05,3")
    row = reader.read('4.5,1970-01-04,"a,b"')
    assert (row.series, row.missing, row.value) == (0, 0, 4.5)
    assert reader_of(two_series()).read("c,1970-01-07, NA").missing == 2


def test_a_header_may_have_the_names_of_the_history():
    columns = {"id": ["Shop"], "time": ["Day"], "target": ["Sold"], "reasons": {"id": "its name"}}
    panel = two_series()
    clock = Clock(panel.frequency, panel.time_format, panel.tz)
    reader = RowReader(panel, clock, Spelling(columns))
    assert reader.header("Day,Price,Sold,SHOP")
    row = reader.read("1970-01-05,9,4.5,c")
    assert (row.series, row.value) == (1, 4.5)
    assert not reader_of(panel).header("Day,Sold,Shop")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("c,1970-01-04,1", "row/duplicate-time"),
        ("c,1970-01-02,1", "row/out-of-order"),
        ("c,2170-01-02,1", "row/too-far"),
        ("c,1970-02-30,1", "row/time"),
        ("c,1970-01-05 07:00,1", "row/time"),
        ("c,1970-01-05,many", "row/value"),
        ("c,1970-01-05,inf", "row/value"),
        ("d,1970-01-05,1", "row/unknown-series"),
        ("1970-01-05,1", "row/fields"),
        ('c,"1970-01-05,1', "row/unreadable"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_and_changes_nothing(line, code):
    reader = reader_of(two_series())
    with pytest.raises(RowError) as caught:
        reader.read(line)
    assert caught.value.code == code
    assert reader.read("c,1970-01-05,1").missing == 0


def test_lines_that_are_no_text_or_too_long_do_not_end_the_stream():
    reader, told, rows = reader_of(make_panel((3,), season=7, alias="D")), [], []
    lines = [b"\xff\xfe\n", b"x" * 200_000 + b"\n", b"\n", b"1970-01-04,1\r\n", b"1970-01-05,2\n"]
    done = follow(io.BytesIO(b"".join(lines)), reader, rows.append, lambda *c: told.append(c[:2]))
    assert told == [(1, "row/fields"), (2, "row/unreadable")]
    assert [row.value for row in rows] == [1.0, 2.0] and (done.rows, done.refused) == (2, 2)


@pytest.mark.parametrize(
    ("frequency", "time_format", "tz", "texts"),
    [
        (Frequency("ME"), "%Y-%m-%d", None, ("2020-02-29", "29/02/2020", "2020-02-28")),
        (Frequency("1", integer=True), "integer", None, ("17", "17.0", "x")),
        (Frequency("h"), "%Y-%m-%dT%H:%M:%S%:z", "Europe/Paris",
         ("2020-06-01T02:00:00+02:00", None, "2020-06-01T02:30:00+02:00")),
    ],
)  # fmt: skip
def test_times_are_read_as_they_are_written(frequency, time_format, tz, texts):
    written, other, wrong = texts
    clock = Clock(frequency, time_format, tz)
    near = 17
    if not frequency.integer:
        near = int(frequency.locate(np.array(["2020-05-31"], "M8[ns]"))[0][0])
    at = clock.position(written, near - 2)
    assert clock.text(at) == written
    if other == "17.0":
        assert clock.position(other, near) == at
    with pytest.raises(ValueError):
        clock.position(wrong, near)


def test_the_hour_that_the_clock_skips_is_no_gap():
    frequency = Frequency("h")
    before = int(frequency.locate(np.array(["2024-03-30T06"], "M8[ns]"))[0][0])
    panel = replace(
        make_panel((20,), season=24, alias="h"),
        first=np.array([before]),
        tz="Europe/Paris",
        time_format="%Y-%m-%d %H:%M:%S",
    )
    rows, said = [], []
    lines = ["2024-03-31 03:00:00,1", "2024-03-31 05:00:00,2"]  # 02:00 is skipped, 04:00 missing
    source = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    done = follow(source, reader_of(panel), rows.append, lambda *words: said.append(words[1:]))
    assert [(row.missing, row.skipped, row.shut) for row in rows] == [(1, (0,), (0,)), (1, (), ())]
    assert done.gaps == 1 and [code for code, _ in said] == ["row/gap"]
    forecaster, one, _ = case("hourly", 400)
    one = replace(one, values=np.nan_to_num(one.values, nan=80.0))
    watched = WatchedSeries(forecaster, 3.0, one.values, score_values(forecaster, one, 3.0))
    assert "gap" not in [found.kind for found in watched.take(1.0, 1, (0,))]
    assert "gap" in [found.kind for found in watched.take(1.0, 1)]


@pytest.fixture
def model(tmp_path):
    """A model folder for monthly data, its history as a file, and the rows after it."""
    forecaster, panel, _ = case("monthly", 70)
    panel = replace(panel, values=np.nan_to_num(panel.values, nan=80.0))
    save_model(tmp_path / "model", forecaster, panel.frequency, {})
    csv.write_csv(panel_to_arrow(panel.truncate(np.array([60]))), tmp_path / "history.csv")
    csv.write_csv(panel_to_arrow(panel), tmp_path / "whole.csv")
    rows = panel_to_arrow(panel).slice(60).to_pylist()
    lines = [f"{row['unique_id']},{row['ds']},{row['y']!r}" for row in rows]
    return tmp_path, lines


def feed(monkeypatch, lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))


@pytest.mark.parametrize("point", [[], ["--point", "mean"], ["--point", "0.93"]])
def test_predict_follows_rows_with_the_forecast_of_predict(model, point, monkeypatch, capsys):
    folder, lines = model
    words = ["--model", str(folder / "model"), "--quiet", *point]
    assert run(["predict", str(folder / "whole.csv"), *words, "--output", "-"]) == 0
    whole = capsys.readouterr().out.replace('"', "").splitlines()
    feed(monkeypatch, lines)
    assert run(["predict", str(folder / "history.csv"), *words, "--follow", "--exact"]) == 0
    came = capsys.readouterr().out.splitlines()
    assert len(came) == 1 + 10 * 12
    assert came[0].split(",")[:4] == ["unique_id", "cutoff", "ds", "LSTM"]
    for late, early in zip(came[-12:], whole[1:], strict=True):
        name, cutoff, ds, *numbers, source = late.split(",")
        assert [name, ds] == early.split(",")[:2] and (cutoff, source) == ("1975-10-01", "LSTM")
        np.testing.assert_allclose(
            [float(x) for x in numbers], [float(x) for x in early.split(",")[2:]], rtol=1e-5
        )


def test_days_that_are_always_zero_stay_so_after_each_row(tmp_path, monkeypatch, capsys):
    layout, alias, _, horizon = SHAPES["daily"]
    forecaster = replace(random_forecaster(layout, horizon=horizon), context=6)
    panel = make_panel((45,), season=7, alias=alias, seed=3)
    panel.values[3::7] = 0.0
    save_model(tmp_path / "model", forecaster, panel.frequency, {})
    csv.write_csv(panel_to_arrow(panel.truncate(np.array([40]))), tmp_path / "history.csv")
    csv.write_csv(panel_to_arrow(panel), tmp_path / "whole.csv")
    words = ["--model", str(tmp_path / "model"), "--quiet"]
    assert run(["predict", str(tmp_path / "whole.csv"), *words, "--output", "-"]) == 0
    whole = capsys.readouterr().out.replace('"', "").splitlines()[1:]
    rows = panel_to_arrow(panel).slice(40).to_pylist()
    feed(monkeypatch, [f"{row['unique_id']},{row['ds']},{row['y']!r}" for row in rows])
    history = str(tmp_path / "history.csv")
    assert run(["predict", history, *words, "--follow", "--exact"]) == 0
    last = capsys.readouterr().out.splitlines()[-horizon:]
    points = np.array([float(line.split(",")[3]) for line in last])
    assert points == pytest.approx([float(line.split(",")[2]) for line in whole], rel=1e-5)
    zero = np.arange(45, 45 + horizon) % 7 == 3
    assert (points[zero] == 0).all() and (points[~zero] != 0).all()


@pytest.mark.parametrize("command", ["predict", "detect"])
def test_a_model_that_reads_covariates_cannot_be_followed(command, model, tmp_path):
    folder, _ = model
    layout, alias, _, _ = SHAPES["monthly"]
    shapes = state_shapes(layout.features, 8, 2, len(LEVELS), 1, 0)
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    design = Design((Entry("x", "future"),))
    forecaster = replace(random_forecaster(layout), members=(weights,), design=design)
    save_model(tmp_path / "other", forecaster, Frequency(alias), {})
    history = folder / "with-x.csv"
    times = [f"{year}-{month:02d}-01" for year in (2020, 2021) for month in range(1, 13)]
    rows = [f"a,{ds},{3 * n},{n}" for n, ds in enumerate(times)]
    history.write_text("\n".join(["unique_id,ds,y,x", *rows]))
    with pytest.raises(UsageError) as caught:
        run([command, str(history), "--model", str(tmp_path / "other"), "--follow", "-q"])
    assert caught.value.code == "usage/follow-covariates"


def test_bad_rows_are_named_as_json_and_the_stream_goes_on(model, monkeypatch, capsys):
    folder, lines = model
    feed(monkeypatch, [lines[0], lines[0], lines[2]])
    words = ["predict", str(folder / "history.csv"), "--model", str(folder / "model")]
    assert run([*words, "--follow", "--json", "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["cutoff"] for line in out.splitlines()] == ["1975-01-01", "1975-03-01"]
    codes = [json.loads(line)["code"] for line in err.splitlines()]
    assert codes == ["row/duplicate-time", "row/gap"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--exact"], "usage/exact-without-follow"),
        (["--follow", "--output", "x.csv"], "usage/follow-to-file"),
        (["-", "--follow"], "usage/one-stdin"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(words, code):
    with pytest.raises(UsageError) as caught:
        run(["predict", *words])
    assert caught.value.code == code


def test_an_interrupt_ends_the_stream_with_whole_lines(model):
    folder, lines = model
    words = ["predict", str(folder / "history.csv"), "--model", str(folder / "model"), "--follow"]
    process = subprocess.Popen(
        [sys.executable, "-m", "forecast", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    process.stdin.write((lines[0] + "\n").encode())
    process.stdin.flush()
    first = [process.stdout.readline() for _ in range(13)]  # answered before the input ends
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 130 and rest == b"" and b"Traceback" not in err
    assert all(line.endswith(b"\n") for line in first) and b"1 used" in err
