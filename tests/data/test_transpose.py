"""Tables whose header holds the times (--transpose), as text and as workbooks, and their totals."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.load import LoadReport, load_panel
from forecast.data.panel import Panel

ENGLISH = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
GERMAN = ["Jan", "Feb", "Mrz", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"]
IDS = [("North", "S1", "A"), ("North", "S1", "B"), ("South", "S1", "A"), ("South", "S2", "B")]
VALUES = np.arange(4 * 24).reshape(4, 24) * 7 % 31 + 10


def months(names: list[str]) -> list[str]:
    return [f"{name} {year}" for year in (22, 23) for name in names]


def read(path: Path, **options: object) -> tuple[Panel, LoadReport]:
    return load_panel(path, DataSettings(transpose=True, **options))


def rows_with_totals(names: list[str], total: str) -> list[list[object]]:
    header = ["Region", "Store", "Item", *months(names), total]
    rows = [[*i, *v, sum(v)] for i, v in zip(IDS, VALUES.tolist(), strict=True)]
    sums = VALUES.sum(axis=0).tolist()
    return [header, *rows, [total, "", "", *sums, sum(sums)]]


def text(rows: list[list[object]]) -> str:
    return "\n".join(";".join(map(str, row)) for row in rows) + "\n"


@pytest.mark.parametrize("total", ["Summe", "Total", "Gesamt"])
def test_totals_beside_and_below_the_months_are_no_series_and_no_id(total, tmp_path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(text(rows_with_totals(ENGLISH, total)))
    panel, report = read(path)
    assert report.columns["id"] == ["Region", "Store", "Item"]
    assert (len(panel.ids), report.frequency) == (4, "MS")
    np.testing.assert_array_equal(panel.values.reshape(4, 24), VALUES)
    said = {n.code: n.text for n in report.repairs}
    assert "1 row of totals" in said["repair/no-row"]
    assert f"({total})" in said["repair/no-series"]


def test_a_row_of_totals_whose_name_is_the_only_id_is_no_series(tmp_path) -> None:
    rows = [[row[2] + str(k), *row[3:]] for k, row in enumerate(rows_with_totals(ENGLISH, "Sum"))]
    rows[0][0], rows[-1][0] = "Item", "Total"
    path = tmp_path / "wide.csv"
    path.write_text(text(rows))
    panel, report = read(path)
    assert (panel.ids.tolist(), report.columns["id"]) == (["A1", "A3", "B2", "B4"], ["Item"])


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_columns_of_a_hierarchy_stand_beside_the_months_of_each_row(kind, tmp_path) -> None:
    rows = [["Name", *row] for row in rows_with_totals(ENGLISH, "Total")]
    for number, row in enumerate(rows[1:-1]):
        row[0] = f"n{number}"
    path = tmp_path / f"wide.{kind}"
    if kind == "csv":
        path.write_text(text(rows))
    else:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    panel, report = read(path, static_cov=("region", "Item"), categorical=("region", "Item"))
    assert report.columns["id"] == ["Name"] and panel.ids.tolist() == ["n0", "n1", "n2", "n3"]
    names = {c.name: [c.categories[int(v)] for v in c.values] for c in panel.covariates.columns}
    assert names == {"Region": ["North", "North", "South", "South"], "Item": ["A", "B", "A", "B"]}
    with pytest.raises(InputError, match="no column 'state'"):
        read(path, static_cov=("state",))


def test_a_row_that_is_only_called_total_is_a_series(tmp_path) -> None:
    rows = [row[:-1] for row in rows_with_totals(ENGLISH, "Total")[:-1]]
    path = tmp_path / "wide.csv"
    path.write_text(text([*rows, ["Total", "S3", "A", *range(24)]]))
    assert len(read(path)[0].ids) == 5


def test_a_column_that_adds_up_the_year_is_left_out_whatever_its_name(tmp_path) -> None:
    names = [*months(ENGLISH)[:12], "2022 all", *months(ENGLISH)[12:]]
    rows = [[i[2] + i[0] + i[1], *v[:12], sum(v[:12]), *v[12:]]
            for i, v in zip(IDS, VALUES.tolist(), strict=True)]  # fmt: skip
    path = tmp_path / "wide.csv"
    path.write_text(text([["Item", *names], *rows]))
    panel, report = read(path)
    assert len(panel.values) == 4 * 24
    assert "(2022 all)" in {n.code: n.text for n in report.repairs}["repair/no-series"]


def test_months_are_read_in_headers_in_the_languages_of_rows(tmp_path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(text([row[:-1] for row in rows_with_totals(GERMAN, "Summe")]))
    panel, report = read(path)
    assert (len(panel.values), report.span[1]) == (4 * 24, "Dez 23")


def test_a_column_of_numbers_among_the_times_that_is_no_time_is_refused(tmp_path) -> None:
    rows = rows_with_totals(ENGLISH, "Total")
    rows[0][7] = "Mxy 22"
    path = tmp_path / "wide.csv"
    path.write_text(text(rows))
    with pytest.raises(InputError, match="'Mxy 22' stands among the header's times") as caught:
        read(path)
    assert caught.value.code == "input/no-time-among-times"


def test_a_price_beside_the_times_is_left_out_and_said(tmp_path) -> None:
    rows = [[row[2] + row[0] + row[1], *row[3:-1]] for row in rows_with_totals(ENGLISH, "Total")]
    prices = ["Price", 9.5, 3.25, 8.5, 1.75]
    priced = [[row[0], price, *row[1:]] for row, price in zip(rows[:-1], prices, strict=True)]
    path = tmp_path / "wide.csv"
    path.write_text(text(priced))
    assert "(Price)" in {n.code: n.text for n in read(path)[1].repairs}["repair/no-series"]


def test_a_title_and_a_blank_line_above_the_months_are_left_out(tmp_path) -> None:
    rows = rows_with_totals(GERMAN, "Summe")
    title = [["Plan 2022-2023", *[""] * 27], [""] * 28]
    path = tmp_path / "wide.csv"
    path.write_text(text([*title, *rows]))
    panel, report = read(path)
    assert len(panel.ids) == 4
    assert "repair/preamble" in {n.code for n in report.repairs}
    with pytest.raises(InputError, match="--transpose"):
        load_panel(path, DataSettings())


def workbook(path: Path, rows: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([None if cell == "" else cell for cell in row])
    book.save(path)
    return path


def test_a_workbook_is_turned_as_a_text_is(tmp_path, lstmcast) -> None:
    path = workbook(tmp_path / "wide.xlsx", rows_with_totals(GERMAN, "Summe"))
    panel, report = read(path)
    assert report.columns["id"] == ["Region", "Store", "Item"]
    np.testing.assert_array_equal(panel.values.reshape(4, 24), VALUES)
    code, _, err = lstmcast("check", str(path))
    assert (code, "--transpose" in err) == (4, True), err


def test_days_in_a_workbooks_header_are_dates(tmp_path) -> None:
    days = [date(2022 + n // 12, n % 12 + 1, 1) for n in range(24)]
    rows = [["Item", *days], *([i, *v] for i, v in zip("abcd", VALUES.tolist(), strict=True))]
    panel, report = read(workbook(tmp_path / "wide.xlsx", rows))
    assert (len(panel.ids), report.span) == (4, ("2022-01-01", "2023-12-01"))
    rows[2][5] = "a few"
    with pytest.raises(InputError, match="row 2, column '2022-05-01'"):
        read(workbook(tmp_path / "wide.xlsx", rows))


@pytest.mark.parametrize("shops", [1, 2])
def test_months_down_and_years_across_are_the_months_of_one_series(shops, tmp_path) -> None:
    names = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
             "Oktober", "November", "Dezember"]  # fmt: skip
    rows = [
        [*([f"S{s}"] if shops > 1 else []), name, *(100 * s + 12 * y + m for y in range(4))]
        for s in range(shops) for m, name in enumerate(names)
    ]  # fmt: skip
    header = [*(["Shop"] if shops > 1 else []), "Monat", 2020, 2021, 2022, 2023]
    path = tmp_path / "pivot.csv"
    path.write_text(text([header, *rows]))
    panel, report = read(path)
    assert panel.values.tolist() == [100 * s + m for s in range(shops) for m in range(48)]
    assert (report.frequency, panel.size) == ("MS", shops)
