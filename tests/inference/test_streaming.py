"""Series that grow row by row, and the commands that follow standard input."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pyarrow import csv

from forecast.analysis.anomalies import score_values
from forecast.analysis.anomaly_stream import WatchedSeries
from forecast.cli import console
from forecast.cli.app import run
from forecast.common.errors import InputError, UsageError
from forecast.common.quantiles import weights_between
from forecast.config.schema import DataSettings
from forecast.data.forecast import LEVELS
from forecast.data.frequency import Frequency
from forecast.data.load import load_panel
from forecast.data.panel import panel_to_arrow
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.stream_rows import Clock, RowError, RowReader, Spelling, follow
from forecast.inference.streaming import GrowingSeries
from forecast.models.networks.registry import state_shapes
from forecast.models.store import save_model
from forecast.transforms.augment import BOTH_WAYS_UP, IN_THREE_WAYS, IN_TWO_WAYS
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
    watched = WatchedSeries(forecaster, 3.0, one, score_values(forecaster, one, 3.0))
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


@pytest.mark.parametrize("line", ["1970-01-05,1", "c,1970-01-05,1,5", "1,5"])
def test_under_a_header_a_row_has_as_many_fields_as_it(line):
    reader = reader_of(two_series())
    assert reader.header("unique_id,ds,y")
    with pytest.raises(RowError) as caught:
        reader.read(line)
    assert caught.value.code == "row/fields" and "the header 3" in str(caught.value)


def test_a_header_of_two_values_is_none():
    assert not reader_of(two_series()).header("unique_id,ds,y,y")


def followed(reader, text):
    """Values of the rows that were used, and codes of what was said."""
    rows, said = [], []
    source = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    done = follow(source, reader, rows.append, lambda _n, code, _t: said.append(code))
    assert done.refused == len([code for code in said if code not in ("row/gap", "row/cut-off")])
    return [row.value for row in rows], said


def test_a_header_may_come_late_and_again_with_byte_order_marks_and_other_line_ends():
    text = "\n\ufeffy,ds\r\n1,1970-01-04\r\n\ufeffds,y\n1970-01-05,2\n1970-01-06,3\n"
    assert followed(reader_of(make_panel((3,), season=7, alias="D")), text) == ([1, 2, 3], [])


def test_an_input_that_ends_within_a_line_says_so():
    reader = reader_of(make_panel((3,), season=7, alias="D"))
    assert followed(reader, "1970-01-04,123.4\n1970-01-05,12") == ([123.4, 12], ["row/cut-off"])


def test_rows_may_be_written_as_the_history_is():
    panel = replace(make_panel((3,), season=7, alias="D"), ids=np.array(["Zürich"], dtype=object))
    clock = Clock(panel.frequency, panel.time_format, panel.tz)
    spelling = Spelling(
        separator=";", decimal=",", thousands=".", dropped=frozenset({-9.0}),
        missing=frozenset({"closed"}), encoding="cp1252",
    )  # fmt: skip
    lines = ["Zürich;1970-01-04;1.234,5", "1970-01-05;-9", "1970-01-06;closed", "1970-01-07,2.5",
             "1970-01-08;2.5", "1970-01-08;3,5"]  # fmt: skip
    text = "".join(f"{line}\n" for line in lines).encode("cp1252")
    values, said = followed(RowReader(panel, clock, spelling), text)
    assert np.array_equal(values, [1234.5, np.nan, np.nan, 2.5, 3.5], equal_nan=True)
    assert said == ["row/value"]


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"resample": "D", "agg": "sum"}, "--resample"),
        ({"duplicates": "mean"}, "--duplicates"),
        ({"missing": "zero"}, "--missing"),
        ({"drop_value": [3.0], "na_values": ["x"]}, None),
    ],
)
def test_a_history_whose_values_are_no_single_rows_cannot_be_followed(tmp_path, options, flag):
    times = [f"2024-01-{day:02d} {hour:02d}:00" for day in range(1, 29) for hour in range(24)]
    lines = [f"{time},{n % 24}" for n, time in enumerate(times)]
    if flag == "--duplicates":
        lines.insert(5, lines[5][:-1] + "9")
    (tmp_path / "h.csv").write_text("\n".join(["ds,y", *lines]) + "\n")
    data = DataSettings(**options)
    _, report = load_panel(str(tmp_path / "h.csv"), data)
    if flag is None:
        spelling = Spelling.of(report, data)
        assert np.isnan(spelling.number("3", True)) and np.isnan(spelling.number("x", True))
        return
    with pytest.raises(UsageError) as caught:
        Spelling.of(report, data)
    assert (caught.value.code, caught.value.where) == ("usage/follow-as-it-is", flag)


HOURS = {  # format and zone of the history, text of a row, and its time on the history's clock
    "to UTC": ("%Y-%m-%dT%H:%M:%SZ", "UTC", "2024-10-27T02:00:00+02:00", "2024-10-27T00"),
    "to an offset": ("%Y-%m-%dT%H:%M:%S+02:00", "+02:00", "2024-10-27T02:00:00+01:00",
                     "2024-10-27T03"),
    "to a place": ("%Y-%m-%d %H:%M", "Europe/Berlin", "2024-10-27T01:00:00Z", "2024-10-27T02"),
    "the later hour": ("%Y-%m-%dT%H:%M:%S%:z", "Europe/Berlin", "2024-10-27T02:00:00+01:00",
                       "2024-10-27T02"),
    "beyond the skipped": ("%Y-%m-%dT%H:%M:%S%:z", "Europe/Berlin", "2024-03-31T02:00:00+01:00",
                           "2024-03-31T03"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOURS)
def test_times_with_an_offset_are_brought_to_the_clock_of_the_history(case):
    time_format, tz, text, wanted = HOURS[case]
    frequency = Frequency("h")
    at = int(frequency.locate(np.array([wanted], "M8[ns]"))[0][0])
    assert Clock(frequency, time_format, tz).position(text, at - 1) == at


@pytest.mark.parametrize(
    ("time_format", "tz", "text", "why"),
    [
        ("%Y-%m-%d %H:%M", None, "2024-10-27T02:00:00+02:00", "have none"),
        ("%Y-%m-%dT%H:%M:%SZ", "UTC", "2024-10-27 02:00", "no offset"),
        ("%Y-%m-%dT%H:%M:%S%:z", "Europe/Berlin", "2024-10-27 02:00", "no offset"),
        ("%Y-%m-%d %H:%M", "Europe/Berlin", "2024-03-31 02:00", "never was"),
    ],
)
def test_a_time_that_could_be_two_or_none_is_refused(time_format, tz, text, why):
    frequency = Frequency("h")
    near = int(frequency.locate(np.array(["2024-03-31T01"], "M8[ns]"))[0][0])
    with pytest.raises(ValueError, match=why):
        Clock(frequency, time_format, tz).position(text, near)


def test_the_second_row_of_an_hour_that_comes_twice_says_that_the_first_counts():
    frequency = Frequency("h")
    first = int(frequency.locate(np.array(["2024-10-27T00"], "M8[ns]"))[0][0]) - 19
    panel = replace(
        make_panel((20,), season=24, alias="h"), first=np.array([first]), tz="Europe/Berlin",
        time_format="%Y-%m-%dT%H:%M:%S%:z",
    )  # fmt: skip
    reader = reader_of(panel)
    for text in ("01:00:00+02:00", "02:00:00+02:00"):
        assert reader.read(f"2024-10-27T{text},1").missing == 0
    with pytest.raises(RowError, match="shows it twice"):
        reader.read("2024-10-27T02:00:00+01:00,1")
    assert reader.read("2024-10-27T03:00:00+01:00,1").missing == 0


def grown_by_rows(folder, whole, n, options, monkeypatch, capsys):
    """The last answer to the rows of `whole` (lines) after the n-th, and what `predict` says."""
    (folder / "whole.csv").write_text("\n".join(["ds,y", *whole]) + "\n")
    (folder / "history.csv").write_text("\n".join(["ds,y", *whole[:n]]) + "\n")
    words = ["--model", str(folder / "model"), "--quiet", "--horizon", "9", *options]
    assert run(["predict", str(folder / "whole.csv"), *words, "--output", "-"]) == 0
    batch = capsys.readouterr().out.replace('"', "").splitlines()[1:]
    feed(monkeypatch, whole[n:])
    assert run(["predict", str(folder / "history.csv"), *words, "--follow", "--exact"]) == 0
    last = capsys.readouterr().out.splitlines()[-len(batch) :]
    early = [line.split(",")[1:3] for line in batch]
    late = [line.split(",")[2:4] for line in last]
    assert [time for time, _ in late] == [time for time, _ in early]
    assert [float(x) for _, x in late] == pytest.approx([float(x) for _, x in early], rel=1e-5)
    return [time for time, _ in late]


def test_answers_pass_over_days_that_never_are_as_predict_does(tmp_path, monkeypatch, capsys):
    layout, alias, _, _ = SHAPES["daily"]
    forecaster = replace(random_forecaster(layout, horizon=9), context=6)
    save_model(tmp_path / "model", forecaster, Frequency(alias), {})
    days = [np.datetime64("2024-01-01") + n for n in range(120)]  # a Monday
    whole = [f"{day},{50 + n % 7 * 5 + n % 3}" for n, day in enumerate(days) if n % 7 != 6]
    times = grown_by_rows(tmp_path, whole, 97, [], monkeypatch, capsys)
    assert len(times) == 9 and not any(np.datetime64(t) in days[6::7] for t in times)
    assert all((np.datetime64(t) - days[6]).astype(int) % 7 for t in times)


@pytest.mark.parametrize(
    ("end", "counts"),
    [("2024-03-31T00", {"2024-03-31 02:00": 0}), ("2024-10-27T00", {"2024-10-27 02:00": 2})],
)
def test_answers_leave_out_the_hour_that_is_skipped_and_have_the_repeated_one_twice(
    end, counts, tmp_path, monkeypatch, capsys
):
    layout, alias, _, _ = SHAPES["hourly"]
    forecaster = replace(random_forecaster(layout, horizon=9), context=6)
    save_model(tmp_path / "model", forecaster, Frequency(alias), {})
    hours = np.arange(np.datetime64(end) - 20 * 24, np.datetime64(end) + 1)
    texts = [str(hour).replace("T", " ") + ":00" for hour in hours]
    whole = [f"{text},{50 + n % 24 + n % 5}" for n, text in enumerate(texts)]
    options = ["--tz", "Europe/Berlin"]
    times = grown_by_rows(tmp_path, whole, 478, options, monkeypatch, capsys)
    assert len(times) == 9 + max(counts.values()) // 2
    assert {text: times.count(text) for text in counts} == counts


def test_a_series_read_as_mirrored_logarithms_grows_as_well():
    forecaster, panel, horizon = case("monthly", 70)
    forecaster = replace(forecaster, views=BOTH_WAYS_UP)
    panel = replace(panel, values=np.abs(np.nan_to_num(panel.values, nan=80.0)) + 1)
    growing = GrowingSeries(forecaster, panel.values[:60], horizon, exact=True)
    for value in panel.values[60:]:
        growing.append(value)
    made = forecast_panel(forecaster, panel, horizon).quantiles[0]
    np.testing.assert_allclose(growing.quantiles(horizon)[0], made, rtol=1e-5)


def test_sums_of_a_hierarchy_are_not_followed(model):
    folder, _ = model
    words = ["predict", str(folder / "history.csv"), "--model", str(folder / "model"), "--follow"]
    with pytest.raises(UsageError) as caught:
        run([*words, "--by", "unique_id", "-q"])
    assert caught.value.code == "usage/hierarchy-here"


def test_nothing_more_is_told_while_rows_are_waited_for(model, monkeypatch, capsys):
    folder, lines = model
    watching, events = console.watching, []

    @contextmanager
    def watched(*words, **fields):
        with watching(*words, **fields) as listener:
            yield listener
        events.append("told")

    class Rows(io.BytesIO):
        def readline(self, *most):
            events.append("asked for a row")
            return super().readline(*most)

    monkeypatch.setattr(console, "watching", watched)
    rows = SimpleNamespace(buffer=Rows(f"{lines[0]}\n".encode()))
    monkeypatch.setattr(sys, "stdin", rows)
    words = ["predict", str(folder / "history.csv"), "--model", str(folder / "model"), "--follow"]
    assert run(words) == 0
    assert events == ["told", "asked for a row", "asked for a row"]
    assert capsys.readouterr().out.startswith("unique_id,cutoff,ds,")


@pytest.mark.parametrize("words", [["forecast", "-"], ["detect", "history.csv", "--follow"]])
def test_a_closed_standard_input_is_said(words, model, monkeypatch):
    monkeypatch.chdir(model[0])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError) as caught:
        run([*words, "-q"])
    assert caught.value.code == "input/standard-input"
