"""Files and addresses that are odd, hostile or wrongly written: refused in words, within bounds."""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import sys
import threading
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forecast.common.errors import InputError, UsageError, without_password
from forecast.config.schema import DataSettings
from forecast.data.io.dialect import detect_dialect
from forecast.data.io.files import Source, TextStream, open_source
from forecast.data.io.table import read_plain
from forecast.data.load import load_panel

DAYS = [dt.datetime(2020, 1, 1) + dt.timedelta(days=n) for n in range(30)]
VALUES = np.arange(30.0)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ds": pa.array([2**62] * 30).cast(pa.timestamp("ms"), safe=False)}, "input/time-range"),
        ({"ds": pa.array([dt.time(n % 24) for n in range(30)])}, "input/no-date"),
        ({"ds": DAYS, "y": pa.array([dt.timedelta(1)] * 30)}, "input/not-numeric"),
        ({"unique_id": pa.array([b"\xff\xfe"] * 30, pa.binary()), "ds": DAYS}, "input/binary-id"),
        ({"unique_id": pa.array(["a\0b"] * 30), "ds": DAYS}, "input/nul-byte"),
    ],
)
def test_a_column_of_a_type_that_cannot_be_used_is_refused_by_name(
    columns, said, lstmcast, tmp_path
):
    pq.write_table(pa.table({**columns, "y": columns.get("y", VALUES)}), tmp_path / "t.parquet")
    code, _, err = lstmcast("check", str(tmp_path / "t.parquet"))
    assert (code, said in err) == (4, True), err


ZONED = [dt.datetime(2020, 1, 1) + dt.timedelta(hours=n) for n in range(72)]


@pytest.mark.parametrize("offset", ["-05:00", "+05:30"])
def test_typed_times_with_one_offset_stay_what_they_are(offset, lstmcast, tmp_path):
    """As pandas makes of texts that all have one offset, and databases of a session's zone."""
    zone = dt.datetime.fromisoformat(f"2020-01-01T00:00{offset}").tzinfo
    times = [t.replace(tzinfo=zone) for t in ZONED]
    pq.write_table(pa.table({"ds": times, "y": np.arange(72.0)}), tmp_path / "t.parquet")
    lines = "".join(f"{t.isoformat()},{n}\n" for n, t in enumerate(times))
    (tmp_path / "t.csv").write_text("ds,y\n" + lines)
    for more in ([], ["--tz", "Europe/Berlin"]):
        typed, written = (
            lstmcast("forecast", str(tmp_path / name), "--horizon", "2", "-q", *more)[1]
            for name in ("t.parquet", "t.csv")
        )
        assert typed == written
        if not more:
            assert f'"2020-01-04T00:00:00{offset}"' in typed


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "GMT", "+00:00"])
def test_utc_under_any_of_its_names_goes_by_the_clock_that_is_asked_for(name, lstmcast, tmp_path):
    times = pa.array(ZONED, pa.timestamp("us", name))
    pq.write_table(pa.table({"ds": times, "y": np.arange(72.0)}), tmp_path / "t.parquet")
    words = ["forecast", str(tmp_path / "t.parquet"), "--horizon", "2", "-q"]
    written = "2020-01-04T00:00:00" + ("Z" if name == "UTC" else "+00:00")
    assert f'"{written}"' in lstmcast(*words)[1]
    summed = [*words, "--resample", "D", "--agg", "sum"]
    assert lstmcast(*summed, "--tz", "Asia/Tokyo")[1] != lstmcast(*summed)[1]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_whole_numbers_beyond_what_a_float_counts_are_taken_as_the_nearest(
    kind, lstmcast, tmp_path
):
    values = pa.array([2**60 + 2**50 * n for n in range(30)], kind)
    pq.write_table(pa.table({"ds": DAYS, "y": values}), tmp_path / "t.parquet")
    assert lstmcast("check", str(tmp_path / "t.parquet"))[0] == 0


def test_a_table_with_lists_structures_decimals_and_nothing_at_all_is_read(lstmcast, tmp_path):
    beside = {
        "tags": [["a", "b"]] * 30,
        "place": [{"town": "Ulm", "size": 3}] * 30,
        "price": pa.array([Decimal("12345678901234567890.5")] * 30),
        "empty": pa.nulls(30, pa.string()),
        "blob": pa.array([b"\xff"] * 30, pa.binary()),
    }
    pq.write_table(pa.table({"ds": DAYS, **beside, "y": VALUES}), tmp_path / "t.parquet")
    code, out, err = lstmcast("check", str(tmp_path / "t.parquet"), "--target-col", "y")
    assert (code, "30, none missing" in out) == (0, True), err


def test_a_few_bytes_of_parquet_that_stand_for_gigabytes_are_refused(lstmcast, tmp_path):
    long_id = pa.DictionaryArray.from_arrays(pa.array([0] * 30, pa.int32()), ["x" * 10_000_000])
    pq.write_table(
        pa.table({"unique_id": long_id, "ds": DAYS, "y": VALUES}), tmp_path / "i.parquet"
    )
    pq.write_table(pa.table({"ds": np.zeros(40_000_000), "y": np.zeros(40_000_000)}),
                   tmp_path / "n.parquet")  # fmt: skip
    for name in ("i.parquet", "n.parquet"):
        code, _, err = lstmcast("check", str(tmp_path / name), "--set", "data.max_expansion=100")
        assert (code, "--set data.max_expansion=" in err) == (4, True), err
        with pytest.raises(InputError, match="times its size"):
            read_plain(tmp_path / name, DataSettings(max_expansion=100))


def test_endless_zeros_on_standard_input_are_no_table(lstmcast, monkeypatch):
    class Zeros(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Zeros())))
    code, _, err = lstmcast("check", "-")
    assert (code, "input/standard-input" in err) == (4, True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_whole_and_once(lstmcast, tmp_path):
    pipe, text = tmp_path / "pipe", b"ds,y\n" + b"".join(
        f"2024-{1 + n // 28:02d}-{1 + n % 28:02d},{n}\n".encode() for n in range(84)
    )  # fmt: skip
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(text), daemon=True)
    writer.start()
    code, out, err = lstmcast("check", str(pipe))
    assert (code, "84" in out) == (0, True), err
    writer.join(10)
    assert not writer.is_alive()


def test_lines_longer_than_the_look_at_the_head_are_read(lstmcast, tmp_path):
    names = ",".join(f"{'a long name ' * 4}{n}" for n in range(7000))
    rows = [f"2024-01-{day:02d}," + ",".join(["1.5"] * 7000) for day in range(1, 6)]
    (tmp_path / "wide.csv").write_text("\n".join([f"ds,{names}", *rows]) + "\n")
    dialect = detect_dialect(open_source(tmp_path / "wide.csv", 1000), DataSettings())
    assert (len(dialect.names), len(dialect.sample)) == (7001, 5)


def test_a_folder_whose_name_begins_with_a_tilde_is_a_folder(lstmcast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~x").mkdir()
    (tmp_path / "~x" / "batch.yaml").write_text("jobs: {a: {data: d.csv, model: pretrained}}\n")
    for file in ("./~x/batch.yaml", "~x/batch.yaml"):
        code, out, err = lstmcast("schedule", file)
        assert (code, f"{tmp_path}/~x" in out) == (0, True), err
        assert lstmcast("status", file)[0] == 0


@pytest.mark.parametrize("last", ["jobs: *i", "training: {members: *i}"])
def test_aliases_that_stand_for_millions_of_values_are_refused(last, lstmcast, tmp_path):
    lines = ["a: &a [" + ",".join("x" * 9) + "]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [" + ",".join([f"*{before}"] * 9) + "]")
    (tmp_path / "a.yaml").write_text("\n".join([*lines, last]) + "\n")
    words = ("schedule",) if last.startswith("jobs") else ("train", "x.csv", "--config")
    code, _, err = lstmcast(*words, str(tmp_path / "a.yaml"))
    assert (code, "aliases" in err) == (2, True), err


def test_a_codec_that_refuses_all_text_is_no_encoding(lstmcast, tmp_path):
    (tmp_path / "a.csv").write_text("ds,y\n2020-01-01,1\n")
    code, _, err = lstmcast("check", str(tmp_path / "a.csv"), "--encoding", "undefined")
    assert (code, "input/encoding" in err) == (4, True)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:secret@h/db",
        "postgresql://us er:secret@h/db",
        "POSTGRESQL://u:secret@h/db",
        "x:/u:secret@h",
        "mssql://h/db?odbc_connect=DRIVER%3Dx;PWD%3Dsecret",
        "mssql://h/db?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret%3BUID%3Dme",
        "postgresql://h/db?pasword=secret",
        "postgresql://h/db?x=1&password=secret&y=2",
    ],
)
def test_no_message_shows_a_password_however_the_address_is_written(address, lstmcast):
    assert "secret" not in without_password(f"cannot read {address}")
    for words in ((address,), ("--db", address)):
        code, out, err = lstmcast("check", *words, "--query", "select 1", "--json")
        assert code in (2, 4)
        assert "secret" not in out + err


def test_what_is_no_password_is_shown_as_it_stands():
    for text in (
        "s3://bucket/a.csv",
        "C:/data/a.csv",
        "found 10:30 in column 'a@b'",
        "http://h:80/x",
    ):
        assert without_password(text) == text
    error = UsageError("m", code="c", value="a:b", where="x, line 3", remedy="Name --time-col a,b")
    assert (error.value, error.where, error.remedy) == ("a:b", "x, line 3", "Name --time-col a,b")


@pytest.mark.parametrize(
    ("times", "flags", "span"),
    [
        ([f"{1980 + n / 52:.11f}" for n in range(60)], ["--no-time"], "1 to 60"),  # weeks, as of R
        ([f"{n * 0.02:.2f}" for n in range(60)], ["--no-time"], "1 to 60"),  # seconds
        ([str(1629 + n) for n in range(60)], ["--set", "data.time_unit=step"], "1629 to 1688"),
    ],
    ids=["weeks of a year", "seconds", "years of old"],
)
def test_numbers_that_are_no_times_are_refused_with_what_reads_them(
    times, flags, span, lstmcast, tmp_path
):
    table = tmp_path / "t.csv"
    rows = "".join(f"{n},{t},{50 + n % 7}\n" for n, t in enumerate(times, 1))
    table.write_text("rownames,time,value\n" + rows)
    code, _, err = lstmcast("check", str(table))
    assert code == 4 and " ".join(flags) in " ".join(err.split()), err
    code, out, err = lstmcast("check", str(table), *flags)
    assert code == 0 and span in out, out + err


def test_row_numbers_of_a_file_with_its_newest_row_first_are_no_target(lstmcast, tmp_path):
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(5000)]
    rows = [f"{day:%Y-%m-%d},{n},{n * 7 % 11}\n" for n, day in enumerate(days, 1)]
    for order in (rows, rows[::-1]):
        (tmp_path / "t.csv").write_text("day,t,water\n" + "".join(order))
        code, out, err = lstmcast("check", str(tmp_path / "t.csv"))
        assert code == 0 and "target     water" in out, out + err


def month_starts(order: str, months: Sequence[int]) -> str:
    """Rows for the first days of months, counted from January 2021, month first or day first."""
    written = [(n % 12 + 1, 2021 + n // 12) for n in months]
    rows = [f"{m}/1/{y},{n}" if order == "md" else f"1/{m}/{y},{n}"
            for n, (m, y) in zip(months, written, strict=True)]  # fmt: skip
    return "month,sales\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("order", ["md", "dm"])
@pytest.mark.parametrize(
    ("months", "grid"),
    [
        (range(36), "MS"), (range(13), "MS"), (range(7, 20), "MS"), (range(0, 13, 3), "QS-JAN"),
        ([n for n in range(30) if n not in (5, 17)], "MS"),
    ],
    ids=["years", "thirteen", "over the new year", "quarters", "two missing"],
)  # fmt: skip
def test_first_days_of_months_beyond_a_year_tell_the_month_from_the_day(
    tmp_path, order, months, grid
):
    path = tmp_path / "sales.csv"
    path.write_text(month_starts(order, months))
    panel, _ = load_panel(path, DataSettings())
    assert (panel.size, panel.frequency.alias) == (1, grid)
    np.testing.assert_array_equal(panel.values[np.isfinite(panel.values)], list(months))


@pytest.mark.parametrize("order", ["md", "dm"])
@pytest.mark.parametrize(
    "months", [range(12), range(6, 18), [0, 13, 24, 38, 51], [4, 17, 27, 40]],
    ids=["a year", "a year from July", "irregular", "Mondays of January"],
)  # fmt: skip
def test_first_days_of_a_year_or_without_order_may_be_days_of_january(tmp_path, order, months):
    path = tmp_path / "sales.csv"
    path.write_text(month_starts(order, months))
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/ambiguous-day-month"


@pytest.mark.parametrize("order", ["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d"])
def test_a_table_of_steps_to_come_has_day_and_month_as_the_data_have_them(tmp_path, order):
    days = pd.date_range("2023-08-01", periods=184)  # up to the end of January
    price = np.tile([1.0, 2.0, 4.0, 3.0], 49)
    frame = pd.DataFrame({"day": days.strftime(order), "sales": 5.0 * price[:184]})
    frame.assign(price=price[:184]).to_csv(tmp_path / "data.csv", index=False)
    later = pd.date_range("2024-02-01", periods=12)
    ahead = tmp_path / "ahead.csv"
    slashed = "%d/%m/%Y" if "-" in order else order
    pd.DataFrame({"day": later.strftime(slashed), "price": price[184:]}).to_csv(ahead, index=False)
    given = DataSettings(target_col="sales", future_covariates=str(ahead))
    if "-" in order:  # the data do not tell
        with pytest.raises(InputError) as caught:
            load_panel(tmp_path / "data.csv", given)
        assert caught.value.code == "input/ambiguous-day-month"
        given = given.model_copy(update={"dayfirst": True})
    panel, _ = load_panel(tmp_path / "data.csv", given)
    assert panel.covariates is not None
    (column,) = panel.covariates.columns
    np.testing.assert_array_equal(column.values, price)


def test_blanks_before_quotes_are_no_part_of_a_name_or_an_id(tmp_path):
    rows = [
        f'"2024-{m:02d}-{d:02d}",   "Smith, {who}",  {d + m}'
        for who in ("Ann", 'B ""Bo""')
        for m in range(1, 4)
        for d in range(1, 29)
    ]
    (tmp_path / "a.csv").write_text('"day",   "name",  "sales"\n' + "\n".join(rows) + "\n")
    plainly = "\n".join(re.sub(r'(",) +("|\d)', r"\1\2", row) for row in rows)
    (tmp_path / "b.csv").write_text('"day","name","sales"\n' + plainly + "\n")
    spaced, plain = (load_panel(tmp_path / n, DataSettings())[0] for n in ("a.csv", "b.csv"))
    assert list(spaced.ids) == list(plain.ids) == ["Smith, Ann", 'Smith, B "Bo"']
    np.testing.assert_array_equal(spaced.values, plain.values)


@pytest.mark.parametrize("note", [' "Foo', ' "Foo" bar', ' 5" pipe'])
def test_a_quote_that_opens_no_whole_field_is_a_letter_of_it(tmp_path, note):
    rows = [f"2024-01-{d:02d}\t{d}\t{note if d in (3, 9) else 'x'}\n" for d in range(1, 29)]
    (tmp_path / "a.tsv").write_text("ds\ty\tnote\n" + "".join(rows))
    panel, _ = load_panel(tmp_path / "a.tsv", DataSettings())
    assert panel.values.tolist() == list(range(1, 29))


def test_blanks_before_quotes_are_left_out_wherever_a_block_ends():
    text = 'a, "b",  "c, ""d"""\nü,   "",x\na, """b"" c", "d\n' * 40
    wanted = 'a,"b","c, ""d"""\nü,"",x\na,"""b"" c", "d\n' * 40
    for size in (1, 2, 3, 7, 64):
        stream = TextStream(Source("t.csv", data=text.encode()), "utf-8", 0, ",")
        parts = iter(lambda: stream.read(size), b"")  # noqa: B023
        assert b"".join(parts).decode() == wanted


@pytest.mark.parametrize(
    "lines",
    ["Sat, 22 Apr 2017 15:11:58 -0500\nFri, 21 Apr 2017 14:20:57 -0500\n" * 3,
     "0.5,0.5,1.25\n0.7,0.2,1.5\n0.3,0.1,1.5\n"],
    ids=["dates in words", "numbers that repeat"],
)  # fmt: skip
def test_a_first_line_of_data_is_said_to_be_no_header(tmp_path, lines):
    path = tmp_path / "log.csv"
    path.write_text(lines)
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/no-header"


def test_years_may_stand_in_a_column_called_yr(tmp_path):
    rows = [f"{s},{y},{y - 1900 + 10 * n}" for n, s in enumerate("AB") for y in range(1970, 1987)]
    path = tmp_path / "states.csv"
    path.write_text("STATE,YR,GSP\n" + "\n".join(rows) + "\n")
    panel, report = load_panel(path, DataSettings())
    assert (report.columns["time"], panel.size, panel.frequency.alias) == (["YR"], 2, "YS-JAN")


def test_a_column_of_measurements_called_data_is_no_time(tmp_path):
    path = tmp_path / "signal.csv"
    path.write_text("data,label\n" + "".join(f"{x}.25,0\n" for x in range(-20, 20)))
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/no-time-column"
    panel, _ = load_panel(path, DataSettings(no_time=True, target_col="data"))
    assert panel.lengths.tolist() == [40]


@pytest.mark.parametrize("lines", [False, True], ids=["a list", "a record a line"])
def test_what_is_advised_for_json_makes_a_table(tmp_path, monkeypatch, lines):
    days = pd.date_range("2024-01-01", periods=30).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": days, "sales": np.arange(30) * 1.5})
    monkeypatch.chdir(tmp_path)
    text = frame.to_json(orient="records", lines=lines)
    Path("FILE").write_text(text if lines else text.replace("[{", "[\n  {"))
    with pytest.raises(InputError) as caught:
        load_panel("FILE", DataSettings())
    assert caught.value.code == "input/not-a-table" and "JSON" in caught.value.message
    code = (caught.value.remedy or "").split("for one: ")[1].split(", of a record")[0]
    exec(code.replace("'FILE')", "'FILE', lines=True)", 1) if lines else code, {})
    panel, _ = load_panel("FILE.csv", DataSettings())
    np.testing.assert_array_equal(panel.values, frame["sales"])
