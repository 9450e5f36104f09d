"""Everything a file can do to us, and the answer to each: refused, repaired, warned of, or read.

The numbers are those of the catalogue in the documentation; `tests/inputs` builds the files.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import zipfile
from codecs import BOM_UTF8, BOM_UTF16_LE
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.load import LoadReport, load_panel
from forecast.data.panel import Panel
from tests.inputs.builders import (
    daily,
    days,
    hours,
    months,
    parquet_bytes,
    replaced,
    table,
    wave,
    write,
)

Check = Callable[[Panel, LoadReport], bool]


@dataclass
class Case:
    """One entry: the file's bytes, the settings, and what must come of it."""

    number: int
    title: str
    content: str | bytes
    refused: str | None = None  # error code
    says: tuple[str, ...] = ()  # fragments of the message
    noted: str | None = None  # code of a repair or warning
    reads: Check | None = None
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.number:02d}-{self.title.replace(' ', '-')}"


def spring_gap() -> str:
    """Local hours of Berlin over the spring change: 02:00 does not exist."""
    times = [t for t in hours(72, "2021-03-27 00:00") if t != "2021-03-28 02:00"]
    return table(["ds", "y"], times, wave(len(times)))


def autumn_overlap() -> str:
    """Local hours of Berlin over the autumn change: 02:00 comes twice."""
    times = hours(72, "2021-10-30 00:00")
    at = times.index("2021-10-31 02:00")
    times.insert(at, times[at])
    return table(["ds", "y"], times, wave(len(times)))


def offsets(count: int = 48) -> list[str]:
    """Hours in UTC written with the offset of Berlin over the spring change."""
    start = datetime(2021, 3, 27, tzinfo=UTC)
    change = datetime(2021, 3, 28, 1, tzinfo=UTC)
    out = []
    for n in range(count):
        t = start + timedelta(hours=n)
        out.append(t.astimezone(timezone(timedelta(hours=2 if t >= change else 1))).isoformat())
    return out


def in_zip(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


def two_series(ids: tuple[str, str], count: int = 20) -> str:
    a, b = ids
    return table(
        ["unique_id", "ds", "y"], [a] * count + [b] * count, days(count) * 2, wave(2 * count)
    )


def holds(count: int, series: int = 1) -> Check:
    return lambda p, r: len(p.values) == count and p.size == series


def frequency(alias: str) -> Check:
    return lambda p, r: p.frequency.alias == alias


D30 = daily(30)
N = 30
WORKBOOK = in_zip(**{"[Content_Types].xml": "<x/>", "xl__workbook.xml": "<x/>"})
EIGHTHS = table(["ds", "y"], days(9), [f"{n},125" for n in range(9)], sep=";")
TWICE = "ds,y\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-02,6\n"
IRREGULAR = table(
    ["ds", "y"], [f"2020-01-01 {h:02d}:{(h * 37) % 60:02d}" for h in range(24)], wave(24)
)

SECONDS = "ds,y\n" + "".join(f"2020-01-01 00:00:0{n},{n}\n" for n in range(5))
SECONDS += "2022-01-01 00:00:00,6\n"

CASES = [
    # container
    Case(1, "empty", "", "input/empty", ("empty",)),
    Case(1, "only blank lines", "\n\n  \n", "input/empty"),
    Case(2, "header only", "ds,y\n", "input/no-rows", ("no row below",)),
    Case(3, "one row", "ds,y\n2020-01-01,1\n", "input/too-few-rows"),
    Case(4, "byte order mark", b"\xef\xbb\xbf" + D30.encode(), reads=holds(N)),
    Case(4, "byte order mark twice", BOM_UTF8 * 2 + D30.encode(), reads=holds(N)),
    Case(5, "utf 16 with two marks", BOM_UTF16_LE * 2 + D30.encode("utf-16-le"), reads=holds(N)),
    Case(5, "utf 16", D30.encode("utf-16"), noted="repair/encoding", reads=holds(N)),
    Case(5, "utf 16 without mark", D30.encode("utf-16-le"), noted="repair/encoding"),
    Case(5, "utf 32", D30.encode("utf-32"), noted="repair/encoding", reads=holds(N)),
    Case(
        6, "cp1252 refused", two_series(("Zürich", "Genf")).encode("cp1252"), "input/encoding",
        ("0xfc", "byte offset 16", "--encoding"),
    ),
    Case(
        6, "cp1252 named", two_series(("Zürich", "Genf")).encode("cp1252"),
        settings={"encoding": "cp1252"}, reads=lambda p, r: list(p.ids) == ["Genf", "Zürich"],
    ),
    Case(7, "nul byte", replaced(D30, 9, "2020-01-08,1\x002"), "input/nul-byte", ("byte offset",)),
    Case(8, "carriage returns", D30.replace("\n", "\r"), reads=holds(N)),
    Case(8, "mixed line ends", D30.replace("\n", "\r\n", 9), reads=holds(N)),
    Case(
        9, "truncated last row", D30 + "2020-01-31", "input/truncated", ("line 32", "1 field"),
    ),
    Case(10, "gzip", gzip.compress(D30.encode()), reads=holds(N)),
    Case(10, "bz2", bz2.compress(D30.encode()), reads=holds(N)),
    Case(10, "xz", lzma.compress(D30.encode()), reads=holds(N)),
    Case(10, "gzip cut short", gzip.compress(daily(900).encode())[:-60], "input/damaged"),
    Case(11, "zip of several", in_zip(a=D30, b=D30), "input/archive", ("2 files", "Unpack")),
    Case(
        12, "parquet named csv",
        parquet_bytes(ds=[np.datetime64(d, "ns") for d in days(N)], y=[float(v) for v in wave(N)]),
        reads=lambda p, r: r.dialect["format"] == "parquet" and p.frequency.alias == "D",
    ),
    Case(
        12, "a damaged workbook named csv", WORKBOOK,
        "input/damaged", ("the workbook cannot be read",),
    ),
    Case(
        13, "html error page", "<!DOCTYPE html>\n<html><body>404</body></html>\n",
        "input/not-a-table", ("web page",),
    ),
    Case(
        14, "git lfs pointer",
        "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n",
        "input/not-a-table", ("git lfs pull",),
    ),
    # dialect
    *(
        Case(19, f"separator {ord(s)}", daily(N, sep=s), noted="repair/separator", reads=holds(N))
        for s in ";\t|"
    ),
    Case(
        20, "decimal comma found", daily(N, sep=";").replace(".", ","),
        noted="repair/decimal-comma", reads=lambda p, r: p.values[0] == float(wave(1)[0]),
    ),
    Case(
        20, "decimal comma named", EIGHTHS,
        settings={"decimal": ","}, reads=lambda p, r: p.values[1] == 1.125,
    ),
    Case(
        20, "comma that may group thousands",
        table(["ds", "y"], days(9), [f"{n},125" for n in range(1, 10)], sep=";"),
        "input/not-a-number", ("--thousands", "--decimal"),
    ),
    Case(
        21, "thousands refused", table(["ds", "y"], days(9), [f'"1,{n}00"' for n in range(9)]),
        "input/not-a-number", ("--thousands ','", "--decimal ,"),
    ),
    Case(
        21, "thousands that can be nothing else",
        table(["ds", "y"], days(9), [f'"1,{n}00.5"' for n in range(9)]),
        noted="repair/notation", reads=lambda p, r: p.values[2] == 1200.5,
    ),
    Case(
        21, "thousands named", table(["ds", "y"], days(9), [f'"1,{n}00.5"' for n in range(9)]),
        settings={"thousands": ","}, reads=lambda p, r: p.values[2] == 1200.5,
    ),
    Case(
        22, "quoted newline",
        table(["ds", "note", "y"], days(N), ['"a\nb"'] * N, wave(N)), reads=holds(N),
    ),
    Case(
        23, "unclosed quote", replaced(D30, 9, '"2020-01-08,1.5'), "input/unclosed-quote",
        ("never closed",),
    ),
    Case(
        24, "a field too many on every row",
        "ds,y\n" + "".join(f"{d},{v},7\n" for d, v in zip(days(N), wave(N), strict=True)),
        "input/extra-field", ("line 2", "3 fields where the header names 2"),
    ),
    Case(
        25, "short row", replaced(D30, 9, "2020-01-08"), "input/short-row", ("line 9", "1 field"),
    ),
    Case(25, "long row", replaced(D30, 9, "2020-01-08,1,2"), "input/long-row", ("line 9",)),
    Case(
        26, "preamble", "Sales report 2020\n" + D30, noted="repair/preamble", reads=holds(N),
    ),
    Case(26, "totals row", D30 + "Total,3000\n", noted="repair/no-row", reads=holds(N)),
    Case(26, "text below", D30 + "\nSource: the till\n", noted="repair/below", reads=holds(N)),
    Case(
        27, "duplicate column", table(["ds", "y", "y"], days(N), wave(N), wave(N)),
        "input/duplicate-column", ("'y'",),
    ),
    Case(
        28, "blank header", table(["", "ds", "y"], range(N), days(N), wave(N)),
        noted="repair/blank-header", reads=holds(N),
    ),
    Case(
        28, "padded header", table([" ds", " y "], days(N), wave(N)), noted="repair/padded-header",
        reads=holds(N),
    ),
    Case(29, "no header", table(["2019-12-31", "99.5"], days(N), wave(N)), "input/no-header"),
    Case(
        29, "header wider than its rows",
        "id,ds,y,x,869,TRUE\n" + "".join(f"b,{d.replace('-', '')},{y},\n"
                                          for d, y in zip(days(N), wave(N), strict=True)),
        "input/no-header",
    ),
    Case(
        30, "header repeated", replaced(D30, 12, "ds,y"), "input/repeated-header", ("line 12",),
    ),
    Case(
        31, "too many columns",
        ",".join(["ds", *(f"c{n}" for n in range(10_001))]) + "\n2020-01-01" + ",1" * 10_001 + "\n",
        "input/too-many-columns", ("10,002",),
    ),
    Case(
        32, "missing column", D30, "input/missing-column", ("Did you mean y", "--target-col"),
        settings={"target_col": "yy"},
    ),
    # time
    Case(
        33, "all ambiguous day and month",
        table(["ds", "y"], [f"0{n}/05/2020" for n in range(1, 10)], wave(9)),
        "input/ambiguous-day-month", ("--dayfirst",),
    ),
    Case(
        33, "day first named", table(["ds", "y"], [f"0{n}/05/2020" for n in range(1, 10)], wave(9)),
        settings={"dayfirst": True}, reads=frequency("D"),
    ),
    Case(
        33, "month first named",
        table(["ds", "y"], [f"0{n}/05/2020" for n in range(1, 10)], wave(9)),
        settings={"dayfirst": False},
        reads=lambda p, r: p.frequency.alias == "MS" and r.span == ("01/05/2020", "09/05/2020"),
    ),
    Case(
        34, "mixed formats", replaced(D30, 9, "08.01.2020,1"), "input/mixed-time-formats",
        ("line 9", "08.01.2020"),
    ),
    *(
        Case(
            35, f"epoch {unit}",
            table(["timestamp", "value"], [(1_577_836_800 + 3600 * n) * scale for n in range(N)],
                  wave(N)),
            noted="repair/epoch",
            reads=lambda p, r, scale=scale: p.frequency.alias == "h"
            and r.span[0] == str(1_577_836_800 * scale),
        )
        for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
    ),
    Case(
        36, "excel serial refused", table(["Date", "y"], range(43831, 43861), wave(30)),
        "input/excel-serial", ("--set data.time_unit=excel",),
    ),
    Case(
        36, "excel serial named", table(["Date", "y"], range(43831, 43861), wave(30)),
        settings={"time_unit": "excel"}, noted="repair/excel-serial",
        reads=lambda p, r: p.frequency.alias == "D" and r.span == ("43831", "43860"),
    ),
    Case(
        37, "iso week", table(["week", "y"], [f"2020-W{n:02d}" for n in range(1, 31)], wave(30)),
        noted="repair/iso-week",
        reads=lambda p, r: p.frequency.alias == "W-MON" and r.span == ("2020-W01", "2020-W30"),
    ),
    Case(
        37, "quarter",
        table(["q", "y"], [f"{2010 + n // 4}Q{n % 4 + 1}" for n in range(20)], wave(20)),
        noted="repair/quarter",
        reads=lambda p, r: p.frequency.alias == "QS-JAN" and r.span == ("2010Q1", "2014Q4"),
    ),
    Case(
        38, "mixed offsets", table(["ds", "y"], offsets(), wave(48)), noted="repair/mixed-offsets",
        reads=lambda p, r: p.tz == "UTC" and p.frequency.alias == "h" and len(p.values) == 48,
    ),
    Case(
        39, "naive and aware", replaced(
            table(["ds", "y"], [f"{d}T00:00:00Z" for d in days(N)], wave(N)), 9,
            "2020-01-08T00:00:00,1",
        ),
        "input/mixed-zones", ("line 9", "--tz"),
    ),
    Case(
        40, "spring gap without zone", spring_gap(), noted="warning/gaps",
        reads=lambda p, r: r.gaps == 1,
    ),
    Case(
        40, "spring gap with zone", spring_gap(), settings={"tz": "Europe/Berlin"},
        reads=lambda p, r: r.gaps == 0 and p.tz == "Europe/Berlin",
    ),
    Case(
        40, "time that does not exist", table(["ds", "y"], hours(72, "2021-03-27 00:00"), wave(72)),
        "input/nonexistent-time", ("2021-03-28",), settings={"tz": "Europe/Berlin"},
    ),
    Case(41, "autumn overlap without zone", autumn_overlap(), "input/duplicate-time", ("--tz",)),
    Case(
        41, "autumn overlap with zone", autumn_overlap(), settings={"tz": "Europe/Berlin"},
        noted="repair/repeated-hour", reads=lambda p, r: r.gaps == 0 and len(p.values) == 72,
    ),
    Case(
        41, "half an overlap", table(["ds", "y"], hours(72, "2021-10-30 00:00"), wave(72)),
        "input/ambiguous-hour", ("2021-10-31 02:00",), settings={"tz": "Europe/Berlin"},
    ),
    Case(
        42, "leap second",
        table(["ds", "y"], ["2016-12-31 23:59:58", "2016-12-31 23:59:59", "2016-12-31 23:59:60",
                            "2017-01-01 00:00:01"], wave(4)),
        noted="repair/leap-second", reads=frequency("s"),
    ),
    Case(43, "year 9999", D30 + "9999-12-31,1\n", "input/time-range", ("line 32", "9999-12-31")),
    Case(43, "year 1", replaced(D30, 2, "0001-01-01,1"), "input/time-range", ("line 2",)),
    Case(
        44, "values after today", table(["ds", "y"], days(N, "2199-01-01"), wave(N)),
        noted="warning/future",
    ),
    Case(45, "blank time", replaced(D30, 9, ",1"), "input/blank-time", ("line 9",)),
    Case(
        45, "unreadable times", replaced(replaced(D30, 9, "soon,1"), 11, "later,1"),
        "input/unreadable-time", ("line 9", "soon", "2 in all", "line 11"),
    ),
    Case(45, "a day that is not", replaced(D30, 9, "2020-02-30,1"), "input/unreadable-time"),
    Case(
        46, "unsorted", "ds,y\n" + "".join(reversed(D30.splitlines(keepends=True)[1:])),
        noted="repair/unsorted", reads=holds(N),
    ),
    Case(
        47, "exact duplicate rows", D30 + D30.splitlines(keepends=True)[5],
        noted="repair/duplicate-rows", reads=holds(N),
    ),
    Case(
        48, "same time other value", D30 + "2020-01-05,7\n", "input/duplicate-time",
        ("line 32", "2020-01-05", "--duplicates"),
    ),
    *(
        Case(
            48, f"duplicates {how}", TWICE,
            settings={"duplicates": how}, noted="repair/duplicate-times",
            reads=lambda p, r, want=want: p.values.tolist() == [1, want, 3],
        )
        for how, want in (("first", 2), ("last", 6), ("mean", 4), ("sum", 8))
    ),
    Case(
        49, "gaps are masked",
        "".join(line for n, line in enumerate(D30.splitlines(keepends=True)) if n not in (5, 6, 9)),
        noted="warning/gaps", reads=lambda p, r: r.gaps == 3 and np.isnan(p.values).sum() == 3,
    ),
    Case(
        49, "too many gaps", table(["ds", "y"], [*days(9), *days(9, "2020-03-01")], wave(18)),
        "input/gaps", ("--missing zero", "--set data.max_gap_share="),
    ),
    Case(
        49, "a grid of seconds over two years", SECONDS, "input/gaps", ("63,158,395 steps", "50%"),
    ),
    Case(
        49, "the same with its gaps filled", SECONDS, "input/gaps", ("63,158,401 steps",),
        settings={"missing": "zero"},
    ),
    Case(
        49, "gaps as zero", table(["ds", "y"], [*days(9), *days(9, "2020-03-01")], wave(18)),
        settings={"missing": "zero"}, noted="repair/filled",
        reads=lambda p, r: np.isfinite(p.values).all() and p.values[9] == 0,
    ),
    Case(
        50, "irregular times",
        IRREGULAR,
        "input/irregular-times", ("--resample", "line 3"),
    ),
    Case(
        50, "irregular times resampled",
        IRREGULAR,
        settings={"resample": "h"}, noted="repair/resampled",
        reads=lambda p, r: p.frequency.alias == "h" and len(p.values) == 24,
    ),
    Case(
        51, "frequencies that differ",
        table(["id", "ds", "y"], ["a"] * 30 + ["b"] * 30 + ["c"] * 10,
              days(30) * 2 + days(70)[::7], wave(70)),
        "input/mixed-frequency", ("c", "D"),
    ),
    Case(
        52, "business days",
        table(["ds", "y"], [d for d in days(40, "2020-01-06")
                            if datetime.fromisoformat(d).weekday() < 5], wave(30)),
        reads=lambda p, r: p.frequency.alias == "B" and r.gaps == 0,
    ),
    Case(
        52, "integer steps", table(["ds", "y"], range(1, 31), wave(N)),
        reads=lambda p, r: p.frequency.integer and r.span == ("1", "30"),
    ),
    # values
    *(
        Case(
            53, f"blank as {word or 'nothing'}", replaced(D30, 9, f"2020-01-08,{word}"),
            reads=lambda p, r: r.missing == 1 and np.isnan(p.values[7]),
        )
        for word in ("", "NA", "NaN", "null", " ")
    ),
    Case(
        54, "sentinel", replaced(D30, 9, "2020-01-08,-9999"), noted="warning/sentinel",
        reads=lambda p, r: p.values[7] == -9999,
    ),
    Case(
        54, "sentinel dropped", replaced(D30, 9, "2020-01-08,-9999"),
        settings={"drop_value": (-9999.0,)}, reads=lambda p, r: bool(np.isnan(p.values[7])),
    ),
    Case(55, "infinite", replaced(D30, 9, "2020-01-08,inf"), "input/infinite", ("line 9", "inf")),
    Case(56, "beyond 64 bits", replaced(D30, 9, "2020-01-08,1e400"), "input/number-range"),
    Case(57, "huge exponent", replaced(D30, 9, "2020-01-08,4e492493924924"), "input/number-range"),
    Case(
        58, "text in numbers", replaced(D30, 9, "2020-01-08,abc"), "input/not-a-number",
        ("line 9", "column 'y'", "'abc'"),
    ),
    *(
        Case(59, title, replaced(D30, 9, f"2020-01-08,{text}"), "input/not-a-number", (hint,))
        for title, text, hint in (
            ("per cent", "12%", "percent"), ("currency", "$12", "currency"),
            ("underscore", "1_000", "underscores"), ("unicode minus", "−5", "Unicode minus"),
        )
    ),
    Case(
        60, "booleans", table(["ds", "y"], days(N), ["true", "false"] * 15),
        "input/boolean-target", ("--target-col",),
    ),
    Case(
        61, "constant", table(["ds", "y"], days(N), [5] * N), noted="warning/constant",
        reads=lambda p, r: r.constant.tolist() == [0],
    ),
    Case(62, "all zero", table(["ds", "y"], days(N), [0] * N), noted="warning/constant"),
    Case(
        62, "intermittent", table(["ds", "y"], days(N), [7 if n % 9 == 0 else 0 for n in range(N)]),
        reads=holds(N),
    ),
    Case(63, "too short", daily(3), reads=holds(3)),
    Case(
        64, "one series all missing",
        table(["id", "ds", "y"], ["a"] * N + ["b"] * N, days(N) * 2, wave(N) + [""] * N),
        noted="warning/all-missing", reads=lambda p, r: r.skipped == ("b",) and p.size == 1,
    ),
    Case(64, "all missing", table(["ds", "y"], days(N), [""] * N), "input/all-missing"),
    Case(
        65, "ended early",
        table(["id", "ds", "y"], ["a"] * 30 + ["b"] * 20, days(30) + days(20), wave(50)),
        noted="warning/ended-early", reads=lambda p, r: r.ended_early.tolist() == [1],
    ),
    Case(66, "outlier", replaced(D30, 9, "2020-01-08,1e30"), noted="warning/outlier"),
    # ids
    Case(
        67, "leading zeros", two_series(("007", "7")),
        reads=lambda p, r: list(p.ids) == ["007", "7"],
    ),
    Case(
        68, "na is an id", two_series(("NA", "null")),
        reads=lambda p, r: list(p.ids) == ["NA", "null"],
    ),
    Case(
        69, "nineteen digits", two_series(("1234567890123456789", "1234567890123456788")),
        reads=lambda p, r: list(p.ids) == ["1234567890123456788", "1234567890123456789"],
    ),
    Case(
        70, "emoji and right to left", two_series(("🍎", "مرحبا")),
        reads=lambda p, r: list(p.ids) == ["مرحبا", "🍎"],
    ),
    Case(71, "unicode twins", two_series(("café", "cafe\u0301")), noted="warning/unicode-twins"),
    Case(72, "case twins", two_series(("Shop", "shop ")), noted="warning/case-twins"),
    *(
        Case(
            73, f"id {n}", two_series((f'"{text}"', "b")),
            reads=lambda p, r, text=text: text in list(p.ids) and p.size == 2,
        )
        for n, text in enumerate(("../../x", "a/b", "\x1b[31mred", "two\nlines", "=1+1", "<b>"))
    ),
    Case(
        74, "blank id", replaced(two_series(("a", "b")), 9, " ,2020-01-08,1"), "input/blank-id",
        ("line 9", "--id-col"),
    ),
    Case(
        75, "many series",
        table(["unique_id", "ds", "y"], [f"s{n:05d}" for n in range(5000) for _ in range(4)],
              days(4) * 5000, [n % 97 for n in range(20_000)]),
        reads=holds(20_000, 5000),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_awkward_file_gets_its_answer(case: Case, tmp_path: Path) -> None:
    path = write(tmp_path, case.content)
    settings = DataSettings(**case.settings)
    if case.refused:
        with pytest.raises(InputError) as caught:
            load_panel(path, settings)
        error = caught.value
        assert error.exit_code == 4
        assert error.code == case.refused, str(error)
        for fragment in (str(path), *case.says):
            assert fragment in str(error)
        assert error.remedy
        return
    panel, report = load_panel(path, settings)
    codes = {n.code for n in (*report.repairs, *report.warnings)}
    assert case.noted is None or case.noted in codes
    assert case.reads is None or case.reads(panel, report)


def test_10_a_bomb_is_refused_before_it_fills_memory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("forecast.data.io.files.EXPANSION_FLOOR", 1 << 20)
    zeros = b"ds,y\n" + b"2020-01-01,0\n" * 1_000_000
    path = write(tmp_path, gzip.compress(zeros), "bomb.csv.gz")
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings(max_expansion=10))
    assert caught.value.code == "input/expansion"
    assert "--set data.max_expansion=" in str(caught.value)


def test_15_an_address_is_refused_with_a_way_round_it() -> None:
    with pytest.raises(InputError) as caught:
        load_panel("ftp://example.com/data.csv", DataSettings())
    assert caught.value.code == "input/url"
    assert "https:// are" in str(caught.value)


def test_16_standard_input_is_read(monkeypatch) -> None:
    class Stdin:
        buffer = io.BytesIO(D30.encode())

    monkeypatch.setattr("sys.stdin", Stdin())
    panel, report = load_panel("-", DataSettings())
    assert len(panel.values) == N
    assert report.source == "<stdin>"


def test_17_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, D30, "sales.csv")
    with pytest.raises(InputError) as caught:
        load_panel(tmp_path / "sale.csv", DataSettings())
    assert caught.value.code == "input/not-found"
    assert "sales.csv" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_17_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, D30)
    path.chmod(0)
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/permission"


def test_17_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_panel(tmp_path, DataSettings())
    assert caught.value.code == "input/no-files"


def test_18_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch) -> None:
    from forecast.data.io import csv as delimited

    path = write(tmp_path, D30)
    parse = delimited._parse

    def parse_and_append(*arguments):
        result = parse(*arguments)
        with path.open("a") as file:
            file.write("2020-01-31,1\n")
        return result

    monkeypatch.setattr(delimited, "_parse", parse_and_append)
    with pytest.raises(InputError) as caught:
        load_panel(path, DataSettings())
    assert caught.value.code == "input/changed"


def test_53_months_keep_their_form(tmp_path: Path) -> None:
    path = write(tmp_path, table(["Month", "y"], [m[:7] for m in months(24)], wave(24)))
    _, report = load_panel(path, DataSettings())
    assert report.span == ("2018-01", "2019-12")
    assert report.frequency == "MS"


def test_76_covariates_that_do_not_cover_the_horizon_are_refused_with_series_and_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        [name, day, "1" if n < 60 else "", str(n)]
        for name in "ab"
        for n, day in enumerate(days(66 if name == "a" else 64))
    ]
    text = "\n".join(",".join(row) for row in [["unique_id", "ds", "y", "heat"], *rows]) + "\n"
    path = write(tmp_path, text)
    flags = ["--horizon", "6", "--future-cov", "heat", "--out", str(tmp_path / "run")]
    assert guarded(lambda: run(["train", str(path), *flags])) == 4
    told = " ".join(capsys.readouterr().err.split())
    first = days(66)[64]
    assert f"series 'b' has no value at {first}" in told
    assert "code input/covariates-short" in told
    assert "--future-covariates" in told
    assert not (tmp_path / "run").exists()


def test_every_catalogue_number_is_covered_once_and_in_order() -> None:
    """Numbers 1 to 76: in the table above, or in a test of their own that bears the number."""
    own = {int(n[5:7]) for n in globals() if re.fullmatch(r"test_\d\d_\w+", n)}
    assert {c.number for c in CASES} | own == set(range(1, 77))
    assert [c.number for c in CASES] == sorted(c.number for c in CASES)
    assert len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [c for c in CASES if c.refused], ids=lambda c: c.name)
def test_the_command_refuses_with_the_same_code_and_exit_4(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, case.content)
    flags = [
        part for name, value in case.settings.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]  # fmt: skip
    assert guarded(lambda: run(["check", str(path), *flags])) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert f"code   {case.refused}" in told.err
    assert "to do  " in told.err
    assert "Traceback" not in told.err


QUARTERS = [
    f"2021-10-31 0{hour}:{minute}" for hour in (0, 1) for minute in ("00", "15", "30", "45")
]
REPEATED = [f"2021-10-31 02:{minute}" for minute in ("00", "15", "30", "45")]


@pytest.mark.parametrize("shown", range(1, 9))
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_file_that_ends_while_the_hour_is_repeated_is_read(tmp_path, shown, newest_first):
    times = [*QUARTERS, *(REPEATED * 2)[:shown]]
    rows = [f"{at},{n}" for n, at in enumerate(times)]
    path = tmp_path / "d.csv"
    path.write_text("ds,y\n" + "\n".join(rows[::-1] if newest_first else rows) + "\n")
    panel, _ = load_panel(str(path), DataSettings(tz="Europe/Berlin"))
    assert len(panel.values) == 8 + min(shown, 4)
    second = shown - 4
    assert panel.values[8] == (8 if second < 1 else 10)  # once it has come twice: the mean
    assert panel.values[-1] == (7 + shown if second < 1 else 13 if second == 4 else 11)


def test_a_repeated_hour_that_the_step_does_not_tell_is_refused(tmp_path):
    path = tmp_path / "d.csv"
    lone = [*hours(26, "2021-10-30 00:00"), "2021-10-31 02:00", "2021-10-31 05:00"]
    path.write_text("ds,y\n" + "\n".join(f"{at},{n}" for n, at in enumerate(lone)) + "\n")
    with pytest.raises(InputError) as caught:
        load_panel(str(path), DataSettings(tz="Europe/Berlin"))
    assert caught.value.code == "input/ambiguous-hour"
