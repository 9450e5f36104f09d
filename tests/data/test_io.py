"""Tables read cell by cell: numbers, times, dialects, and whose column is whose."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.io import csv as csv_files
from forecast.data.io.arrow import as_arrow, as_numpy, as_strings
from forecast.data.io.columns import describe
from forecast.data.io.csv import Numbers, Texts, read_delimited
from forecast.data.io.dialect import detect_dialect
from forecast.data.io.files import Source
from forecast.data.io.notations import UNITS
from forecast.data.io.table import read_table
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.io.timestamps import parse_times
from forecast.data.io.values import parse_numbers
from forecast.data.load import load_panel
from tests.inputs.builders import days, table, wave, write


def numbers(texts: list[str], **options: object) -> np.ndarray:
    return parse_numbers(
        as_strings(texts), name="y", where="f", locate=lambda rows: [f"row {r}" for r in rows],
        **options,
    )  # fmt: skip


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_numbers_are_parsed_to_the_last_bit(values: list[float]) -> None:
    assert numbers([repr(v) for v in values]).tolist() == values


@given(st.text(alphabet="0123456789.,eE+-_ naif%$x", min_size=1, max_size=8))
@example("0in")  # inches
@example("5 nai")  # a word behind a blank is taken for a unit
@settings(max_examples=300, deadline=None)
def test_what_is_read_as_a_number_is_one_for_python_too(text: str) -> None:
    try:
        value = numbers([text])[0]
    except InputError:
        return
    if np.isnan(value):
        assert text.strip() in ("", "nan", "NaN", "NA")
    else:
        minus = -1 if text.strip().endswith("-") else 1  # and a sign or unit that all cells have
        plain = text.strip().removeprefix("$")
        unit = next((u for u in sorted(UNITS, key=len, reverse=True) if plain.endswith(u)), "")
        plain = re.sub(r"(?<=\d) [^\W\d_]{2,12}$", "", plain.removesuffix(unit)).strip()
        plain = plain.removesuffix("-")
        assert value == minus * float(re.sub(r"[ $]|(?<=\d),(?=\d\d)", "", plain))


def test_a_number_that_is_broken_over_two_lines_is_damage() -> None:
    with pytest.raises(InputError):
        numbers(["1", "-\n2.5"])


@pytest.mark.parametrize("text", ["6.2  e+276", "1 e5", "3 E-2"])
def test_an_exponent_stands_at_its_number(text):
    with pytest.raises(InputError):
        numbers(["1", text])


@given(st.integers(-(10**12), 10**12), st.sampled_from(",. '"))
@settings(max_examples=100, deadline=None)
def test_grouped_digits_are_joined(value: int, mark: str) -> None:
    text = f"{value:,}".replace(",", mark)
    decimal = "," if mark == "." else "."
    assert numbers([text], thousands=mark, decimal=decimal)[0] == value


def test_a_decimal_comma_forbids_the_point() -> None:
    assert numbers(["1,5", "2"], decimal=",").tolist() == [1.5, 2]
    with pytest.raises(InputError):
        numbers(["1.5"], decimal=",")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8),
            st.integers(-99, 99),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(",;\t|"),
)
@settings(max_examples=120, deadline=None)
def test_quoted_text_is_read_as_the_csv_module_reads_it(tmp_path_factory, rows, separator) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["unique_id", "ds", "y"], *[[t, n, v] for n, (t, v) in enumerate(rows)]])
    path = tmp_path_factory.mktemp("quoted") / "data.csv"
    path.write_bytes(out.getvalue().encode())
    source = Source(str(path), path=path)
    dialect = detect_dialect(source, DataSettings(delimiter=separator))
    read = read_delimited(source, dialect, ["unique_id", "ds"], ["y"])
    assert read.columns["unique_id"].to_pylist() == [t for t, _ in rows]
    assert read.columns["y"].to_pylist() == [v for _, v in rows]


INTERRUPTED = """
import sys, time
from pathlib import Path
from forecast.config.schema import DataSettings
from forecast.data.io.csv import Numbers, read_delimited
from forecast.data.io.dialect import detect_dialect
from forecast.data.io.files import Source, TextStream

swiftly, path = TextStream.read, Path(sys.argv[1])
source = Source(str(path), path=path)
dialect = detect_dialect(source, DataSettings())

def read(self, size=-1):
    time.sleep(0.3)
    return swiftly(self, size)

def interrupted(self, part):
    raise KeyboardInterrupt

TextStream.read, Numbers.add = read, interrupted
try:
    read_delimited(source, dialect, ["ds"], ["y"])
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_program_that_stops_while_it_reads_ends_with_its_own_code(tmp_path: Path) -> None:
    """A thread that reads ahead while Python ends would abort the process: -6."""
    rows = "".join(f"{n},{n % 7}\n" for n in range(2_000_000))
    path = write(tmp_path, f"ds,y\n{rows}")
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 130, ended.stderr[-300:]


def test_the_parser_has_let_go_of_stream_and_blocks_when_the_rows_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait = [], csv_files._wait_for_the_return_of

    def watched(lent: list[weakref.ref]) -> None:
        wait(lent)
        waits.append([each() for each in lent])

    class Slow(csv_files._Lent):
        def __del__(self) -> None:
            time.sleep(0.01)

    monkeypatch.setattr(csv_files, "_wait_for_the_return_of", watched)
    monkeypatch.setattr(csv_files, "_Lent", Slow)
    path = write(tmp_path, table(["ds", "y"], days(9), wave(9)))
    for _ in range(20):
        read_table(path, DataSettings())
    assert len(waits) == 20
    assert all(len(left) > 2 and set(left) == {None} for left in waits)


def test_only_the_needed_columns_are_read(tmp_path: Path) -> None:
    text = table(["id", "ds", "y", "other"], ["a"] * 9, days(9), wave(9), ["x"] * 9)
    assert set(read_table(write(tmp_path, text), DataSettings()).columns) == {"id", "ds", "y"}


def test_a_place_counts_quoted_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'ds,note,y\n2020-01-01,"a\nb",1\n\n2020-01-02,c,2\n2020-01-03,d,3\n')
    read = read_table(path, DataSettings())
    assert read.locate([0, 1, 2]) == ["line 2", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2"], "integer"), (["1.5", ""], "number"), (["a", "b"], "text"),
        (["", "NA"], "blank"),
        (["2020-01-01", "2020-01-02"], "time"), (["TRUE", "FALSE"], "boolean"),
        (["1,5", "2,5"], "number"), (["2020Q1"], "time"), (["Jan 2020"], "time"),
        (["31 March 2020"], "time"), (["12:30"], "text"), (["May"], "text"),
    ],
)  # fmt: skip
def test_columns_are_described_by_their_cells(cells: list[str], kind: str) -> None:
    assert describe("c", cells).kind == kind


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["2020-13-01"], "unreadable"), (["2020-02-30"], "unreadable"), (["25:00"], "unreadable"),
        (["2020-01-01 24:30"], "unreadable"), (["2020-W54"], "unreadable"),
        (["13/13/2020"], "mixed"),
        (["01/02/2020"], "ambiguous"), (["1500-01-01"], "range"),
        (["2020-01-01 1:99"], "unreadable"),
        (["1/2/2020 13:00 PM", "1/31/2020 1:00 PM"], "unreadable"), ([""], "unreadable"),
    ],
)  # fmt: skip
def test_times_that_do_not_exist_are_marked(texts: list[str], reason: str) -> None:
    times = parse_times(as_strings(texts), name="ds")
    assert times.bad.any() and times.reason == reason


def test_bare_numbers_are_steps_dates_or_seconds_by_size_and_name() -> None:
    def form(text: str, name: str = "ds") -> str:
        return parse_times(as_strings([text]), name=name).format

    assert form("1") == "integer"
    assert form("20200131") == "%Y%m%d"
    assert form("202001") == "%Y%m"
    assert form("1999") == "%Y"
    assert form("1999", "step") == "integer"
    assert form("1577836800") == "epoch:s"
    assert form("1577836800000") == "epoch:ms"


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20), st.integers(0, 5))
def test_arrays_cross_between_arrow_and_numpy_unchanged(values: list[int], skip: int) -> None:
    array = np.array(values, np.int64)
    assert as_arrow(array).to_pylist() == values
    assert as_numpy(as_arrow(array).slice(min(skip, len(values)))).tolist() == values[skip:]
    flags = array > 0
    assert as_numpy(as_arrow(flags)).tolist() == flags.tolist()


def test_the_separator_needs_no_naming_even_when_others_occur(tmp_path: Path) -> None:
    text = table(["ds", "name, full", "y"], days(9), ["a,b"] * 9, wave(9), sep=";")
    path = write(tmp_path, text)
    assert detect_dialect(Source(str(path), path=path), DataSettings()).separator == ";"


def test_decimals_become_the_nearest_floats(tmp_path: Path) -> None:
    from decimal import Decimal

    import pyarrow as pa
    from pyarrow import parquet

    cents = np.random.default_rng(3).integers(-(10**9), 10**9, 500)
    exact = [Decimal(int(n)).scaleb(-4) for n in cents]
    columns = {"ds": pa.array(days(500)), "y": pa.array(exact, pa.decimal128(18, 4))}
    parquet.write_table(pa.table(columns), tmp_path / "data.parquet")
    panel, _ = load_panel(tmp_path / "data.parquet", DataSettings())
    assert panel.values.tolist() == [float(v) for v in exact]


def texts_of(batches: list[list[str]]) -> tuple[list[str], str]:
    """What `Texts` makes of batches: all texts again, and the type of their codes."""
    import pyarrow as pa

    texts = Texts()
    for batch in batches:
        texts.add(pa.array(batch).dictionary_encode())
    column = texts.column()
    return column.cast(pa.string()).to_pylist(), str(column.type.index_type)


@pytest.mark.parametrize(
    ("distinct", "width"), [(100, "int8"), (128, "int8"), (129, "int16"), (40_000, "int32")]
)
def test_codes_are_as_wide_as_the_distinct_texts_need(distinct: int, width: str) -> None:
    names = [f"s{n}" for n in range(distinct)]
    batches = [names[:50], names[30:] + names[:10], names[::-1], names[:1]]
    assert texts_of(batches) == ([t for b in batches for t in b], width)


def test_texts_that_mostly_differ_are_still_all_there() -> None:
    batches = [[f"{b}-{n % 29_000}" for n in range(30_000)] for b in (1, 2, 3, 3, 1)]
    assert texts_of(batches)[0] == [t for b in batches for t in b]


def test_numbers_know_whether_they_are_plain() -> None:
    import pyarrow as pa

    for odd, plain in ((1.5, True), (None, True), (float("inf"), False), (float("nan"), False)):
        numbers = Numbers()
        numbers.add(pa.array([1.0, None], pa.float64()))
        numbers.add(pa.array([odd, 2.0], pa.float64()))
        assert numbers.strict == plain
        assert len(numbers.column()) == 4


def test_rows_that_are_taken_keep_their_places_and_hold_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "three.csv"
    source.write_text("unique_id,ds,y\na,2024-01-01,1\nb,2024-01-01,2\nc,2024-01-01,3\n")
    some = read_table(source, DataSettings()).taken(np.array([2, 0]))
    assert some.locate([0, 1]) == ["line 4", "line 2"]
    ids = some.columns["unique_id"]
    assert ids.to_pylist() == ["c", "a"]
    assert ids.dictionary.to_pylist() == ["c", "a"]


def written_next(texts: list[str], step: int, **options: object) -> str:
    """The time `step` nanoseconds after the last of `texts`, as these are written."""
    times = parse_times(as_strings(texts), name="time", **options)
    assert not times.bad.any(), times.reason
    return format_stamps(times.stamps[-1:] + step, times.format).to_pylist()[0]


HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("texts", "step", "following"),
    [
        (["13/01/2024 00:00:00 - 13/01/2024 01:00:00", "13/01/2024 01:00:00 - 13/01/2024 02:00:00"],
         HOUR, "13/01/2024 02:00:00 - 13/01/2024 03:00:00"),
        (["15/01/2024 - 16/01/2024", "16/01/2024 - 17/01/2024"], 24 * HOUR,
         "17/01/2024 - 18/01/2024"),
        (["02/01/2023 - 08/01/2023", "09/01/2023 - 15/01/2023"], 168 * HOUR,
         "16/01/2023 - 22/01/2023"),  # the ends alone tell day from month
        (["1/2/2023-1/8/2023", "1/9/2023-1/15/2023"], 168 * HOUR, "1/16/2023-1/22/2023"),
        (["2024/01/01 00:00 - 2024/01/01 01:00", "2024/01/01 01:00 - 2024/01/01 02:00"], HOUR,
         "2024/01/01 02:00 - 2024/01/01 03:00"),
        (["2024-01-13 22:00-23:00", "2024-01-13 23:00-00:00"], HOUR, "2024-01-14 00:00-01:00"),
        ([f"13/01/2024 0{h}:00-0{h + 1}:00" for h in range(5)], HOUR, "13/01/2024 05:00-06:00"),
        (["2024-01-13 09:00-05:00", "2024-01-13 10:00-05:00"], HOUR, "2024-01-13 11:00-05:00"),
        (["2024-01-01/2024-01-31", "2024-02-01/2024-02-29"], 29 * 24 * HOUR,
         "2024-03-01/2024-03-31"),  # months, whose lengths differ
    ],
)  # fmt: skip
def test_intervals_are_times_however_their_dates_are_joined(texts, step, following) -> None:
    assert written_next(texts, step) == following


def test_an_interval_whose_dates_have_two_readings_is_no_number() -> None:
    texts = as_strings(["01/02/2024 - 02/02/2024", "02/02/2024 - 03/02/2024"])
    times = parse_times(texts, name="time")
    assert (times.bad.all(), times.reason, times.integer) == (True, "ambiguous", False)
    days = parse_times(texts, name="time", dayfirst=True).stamps.astype("M8[ns]").astype("M8[D]")
    assert [str(d) for d in days] == ["2024-02-01", "2024-02-02"]


def test_offsets_of_several_places_are_no_intervals() -> None:
    texts = [f"2024-01-01 1{h}:00-0{z}:00" for h in range(3) for z in (5, 6, 7, 8)]
    times = parse_times(as_strings(texts), name="time")
    assert (times.bad.any(), times.tz) == (False, "UTC")


def test_zones_named_in_an_interval_are_left_out_and_said() -> None:
    texts = ["27/10/2024 01:00:00 (CEST) - 27/10/2024 02:00:00 (CEST)",
             "27/10/2024 02:00:00 (CEST) - 27/10/2024 02:00:00 (CET)",
             "27/10/2024 02:00:00 (CET) - 27/10/2024 03:00:00 (CET)",
             "27/10/2024 03:00:00 (CET) - 27/10/2024 04:00:00 (CET)"]  # fmt: skip
    times = parse_times(as_strings(texts), name="time")
    assert (np.diff(times.stamps) // HOUR).tolist() == [1, 0, 1]
    assert {n.code for n in times.notes} == {"repair/interval", "repair/zone-names"}
    assert parse_times(as_strings([t.replace("CEST", "PST") for t in texts]), name="t").bad.all()
    assert parse_times(as_strings(["2024-01-01 (a remark)"]), name="t").bad.all()


def test_a_column_of_intervals_is_a_time_and_a_line_of_totals_below_it_none(tmp_path: Path) -> None:
    spans = [f"{d:02d}/1/2024-{d + 1:02d}/1/2024,{d * d % 31}" for d in range(1, 25)]
    path = tmp_path / "spans.csv"
    path.write_text("\n".join(["span,load", *spans, "Total,300"]))
    panel, report = load_panel(path, DataSettings())
    assert (report.frequency, len(panel.values)) == ("D", 24)
    assert "repair/no-row" in {n.code for n in report.repairs}


@pytest.mark.parametrize(
    ("first", "following"),
    [("2001/02", "2013/14"), ("2001-2002", "2013-2014"), ("FY2001/02", "FY2013/14"),
     ("1988/89", "2000/01")],
)  # fmt: skip
def test_years_written_with_the_next_are_years(first: str, following: str) -> None:
    start = int(re.search(r"\d{4}", first)[0])
    written = re.sub(r"\d+$", "", first.replace(str(start), "{}", 1)) + "{}"
    ends = len(re.search(r"\d+$", first)[0])
    texts = [written.format(y, str(y + 1)[-ends:]) for y in range(start, start + 12)]
    assert texts[0] == first
    times = parse_times(as_strings(texts), name="Season")
    years = times.stamps.astype("M8[ns]").astype("M8[Y]").astype(int) + 1970
    assert (years.tolist(), times.bad.any()) == (list(range(start, start + 12)), False)
    stamps = np.array([start + 12 - 1970]).astype("M8[Y]").astype("M8[ns]")
    assert format_stamps(stamps, times.format).to_pylist() == [following]


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (["1,50 Mio. €", "980 Tsd. €", "1,2 Mrd. €"], [1.5e6, 980e3, 1.2e9]),
        (["1,50 Mio €", "700 €"], [1.5e6, 700]),
        (["12,5 T€", "13 T€"], [12500, 13000]),
        (["1,5 mln zł", "900 tys. zł"], [1.5e6, 9e5]),
        (["1,5 M€", "2,25 M€"], [1.5e6, 2.25e6]),
        (["3 млн", "1,5 млрд"], [3e6, 1.5e9]),
        (["12万", "1,5億"], [12e4, 1.5e8]),
        (["3 Mio. kWh", "3,5 Mio. kWh"], [3e6, 3.5e6]),
    ],
)
def test_millions_and_thousands_are_read_beside_their_unit(texts, read) -> None:
    assert numbers(texts, decimal=",").tolist() == read
    assert describe("y", texts).kind == "number"


@pytest.mark.parametrize("texts", [["1,5 Mio. €", "900"], ["1,5 Mio. €", "2 Mio. $"], ["1 Xio. €"]])
def test_scales_that_say_two_things_are_refused_with_advice_that_does_not_discard(texts) -> None:
    with pytest.raises(InputError) as caught:
        numbers(texts, decimal=",")
    assert "--na-values" not in caught.value.remedy


def test_a_decimal_comma_is_found_before_a_scale_and_a_currency(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    rows = [f"2018-{m:02d};1,{m * m % 83:02d} Mio. €" for m in range(1, 13)]
    path.write_text("\n".join(["month;sales", *rows]), encoding="utf-8")
    assert load_panel(path, DataSettings())[0].values[:2].tolist() == [1.01e6, 1.04e6]


def test_a_text_with_a_comma_is_not_advised_to_an_option_that_splits_there() -> None:
    with pytest.raises(InputError) as caught:
        numbers(["1", "2", "closed, snow"])
    assert "--na-values" not in caught.value.remedy


DAYS_DE = ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"]


@pytest.mark.parametrize(
    ("texts", "days", "following"),
    [
        (["KW 05/2022", "KW 06/2022"], 7, "KW 07/2022"),
        (["KW 5 2022", "KW 6 2022"], 7, "KW 7 2022"),
        (["2022 KW 09", "2022 KW 10"], 7, "2022 KW 11"),
        ([f"{DAYS_DE[d % 7]}, {d + 1:02d}.01.2024" for d in range(9)], 1, "Mi, 10.01.2024"),
        (["Mo, 01.01.2024", "Mo, 08.01.2024"], 8, "Di, 16.01.2024"),
        (["Montag, 1. Januar 2024", "Dienstag, 2. Januar 2024"], 31, "Freitag, 2. Februar 2024"),
        (["lun. 15/01/2024", "mar. 16/01/2024"], 1, "mer. 17/01/2024"),
        (["Mon 2024-01-15 10:00", "Tue 2024-01-16 10:00"], 1, "Wed 2024-01-17 10:00"),
        (["Mo 01.01.2024 10:30", "Di 02.01.2024 10:30"], 1, "Mi 03.01.2024 10:30"),
        (["1Q13", "2Q13"], 91, "3Q13"),
        (["Q1'13", "Q2'13"], 91, "Q3'13"),
        (["FY13 Q1", "FY13 Q2"], 91, "FY13 Q3"),
        (["Q1 FY2013", "Q2 FY2013"], 91, "Q3 FY2013"),
        (["1. Quartal 2013", "2. Quartal 2013"], 91, "3. Quartal 2013"),
        (["Quartal 1/2013", "Quartal 2/2013"], 91, "Quartal 3/2013"),
        (["2. Halbjahr 2013", "1. Halbjahr 2014"], 181, "2. Halbjahr 2014"),
        (["FY13", "FY14"], 365, "FY15"),
        (["M01.2021", "M02.2021"], 28, "M03.2021"),
        (["30. Januar 2024", "31. Januar 2024"], 40, "11. März 2024"),
        (["Mär 2019", "Apr 2019"], 30, "Mai 2019"),
        (["MAI 2019", "JUN 2019"], 31, "JUL 2019"),
        (["mrt-19", "apr-19"], 30, "mei-19"),
        (["févr. 2019", "mars 2019", "avr. 2019"], 310, "févr. 2020"),
        (["1 de enero 2024", "2 de enero 2024"], 0, ""),
        (["sty 2020", "lut 2020"], 29, "mar 2020"),
    ],
)  # fmt: skip
def test_common_forms_are_read_and_written_as_they_were(texts, days, following) -> None:
    if not following:
        assert parse_times(as_strings(texts), name="t").bad.all()
        return
    assert written_next(texts, days * 24 * HOUR) == following
    assert describe("t", texts).kind == "time"


@pytest.mark.parametrize(
    "cells", [["Product 10", "Product 11", "Product 12"], ["Market 01", "Market 02"],
              ["Mo 01.01.", "Di 02.01."], ["01-20", "02-20"], ["20-Jan", "20-Feb"]],
)  # fmt: skip
def test_names_that_only_begin_like_months_and_dates_without_a_year_are_no_times(cells) -> None:
    assert describe("name", cells).kind == "text"
