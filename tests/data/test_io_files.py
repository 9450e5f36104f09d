"""Where tables come from: several files at once, databases, odd encodings and compressions."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecast.common.errors import InputError, OutputError
from forecast.config.schema import DataSettings
from forecast.data import load
from forecast.data.io.database import _column
from forecast.data.io.dialect import first_lines
from forecast.data.load import load_panel
from tests.inputs.builders import daily, days, table, wave, write

PLAIN = DataSettings()


def refused(source: str | Path, **options: object) -> InputError:
    with pytest.raises(InputError) as caught:
        load_panel(source, DataSettings(**options))
    return caught.value


def two_files(folder: Path) -> None:
    write(folder, daily(20), "north.csv")
    write(folder, gzip.compress(daily(15).encode()), "south.csv.gz")


def test_files_of_a_folder_are_series_named_after_them(tmp_path: Path) -> None:
    two_files(tmp_path)
    write(tmp_path, "not a table", "README.md")
    panel, report = load_panel(tmp_path, PLAIN)
    assert panel.ids.tolist() == ["north", "south"]
    assert panel.lengths.tolist() == [20, 15]
    assert report.rows == 35 and report.source == str(tmp_path)


def test_a_file_whose_name_is_not_utf8_is_a_series_with_a_name_that_can_be_written(
    tmp_path: Path,
) -> None:
    two_files(tmp_path)
    try:
        (tmp_path / "north.csv").rename(os.fsdecode(bytes(tmp_path) + b"/\xff.csv"))
    except OSError:
        pytest.skip("names are UTF-8 in this file system")
    panel, report = load_panel(tmp_path, PLAIN)
    assert sorted(panel.ids.tolist()) == ["\\udcff", "south"]
    assert report.rows == 35


def test_a_pattern_names_files(tmp_path: Path) -> None:
    two_files(tmp_path)
    assert load_panel(f"{tmp_path}/*.csv*", PLAIN)[0].size == 2
    assert load_panel(f"{tmp_path}/no*.csv", PLAIN)[0].size == 1
    assert refused(f"{tmp_path}/east*.csv").code == "input/no-files"


def test_files_with_ids_continue_each_others_series(tmp_path: Path) -> None:
    header = ["id", "ds", "y"]
    write(tmp_path, table(header, ["a"] * 9, days(9), wave(9)), "1.csv")
    write(tmp_path, table(header, ["a"] * 9, days(18)[9:], wave(9)), "2.csv")
    panel, _ = load_panel(tmp_path, PLAIN)
    assert panel.ids.tolist() == ["a"] and panel.lengths.tolist() == [18]


def test_a_clash_between_files_names_file_and_line(tmp_path: Path) -> None:
    header = ["id", "ds", "y"]
    write(tmp_path, table(header, ["a"] * 9, days(9), wave(9)), "1.csv")
    write(tmp_path, table(header, ["a"] * 9, days(17)[8:], wave(9)), "2.csv")
    error = refused(tmp_path)
    assert error.code == "input/duplicate-time"
    assert "2.csv line 2" in str(error)


def test_files_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path, daily(9), "1.csv")
    write(tmp_path, table(["date", "y"], days(9), wave(9)), "2.csv")
    error = refused(tmp_path)
    assert error.code == "input/files-differ"
    assert "time column" in str(error)


def test_the_digest_of_a_folder_changes_with_any_file(tmp_path: Path) -> None:
    two_files(tmp_path)
    before = load_panel(tmp_path, PLAIN)[1].digest
    write(tmp_path, daily(21), "north.csv")
    assert load_panel(tmp_path, PLAIN)[1].digest != before


def database(folder: Path) -> str:
    path = folder / "sales.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table sales (shop text, day text, sold real)")
        rows = [
            (s, d, float(v)) for s in ("007", "NA") for d, v in zip(days(9), wave(9), strict=True)
        ]
        connection.executemany("insert into sales values (?, ?, ?)", rows)
    return f"sqlite:///{path}"


QUERY = "select shop as unique_id, day as ds, sold as y from sales"


def test_a_query_is_read_as_a_table(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    panel, report = load_panel(database(tmp_path), DataSettings(query=QUERY))
    assert panel.ids.tolist() == ["007", "NA"]
    assert panel.values[0] == float(wave(1)[0])
    assert len(report.digest) == 64


def test_an_address_may_come_from_the_environment(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("SALES", database(tmp_path))
    _, report = load_panel("env:SALES", DataSettings(query=QUERY))
    assert report.source == "env:SALES"
    assert refused("env:NOT_SET", query=QUERY).code == "input/no-address"


def test_database_errors_say_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    address = database(tmp_path)
    assert "--query" in str(refused(address))
    assert refused(address, query="select * from nowhere").code == "input/query"
    assert refused(address, query="select * from sales where 0").code == "input/no-rows"
    missing = refused(f"sqlite:///{tmp_path}/other.db", query=QUERY)
    assert missing.code == "input/not-found"
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    "query",
    [
        f"{QUERY}; commit; begin; drop table sales",
        f"{QUERY} where shop <> E'\\' '; commit; drop table sales; --'",
        f"{QUERY} where shop <> $$'$$; commit; drop table sales; --'",
        f"{QUERY} /* /* */ ' */; commit; drop table sales; --'",
    ],
)
def test_a_second_statement_behind_a_query_is_refused_before_anything_is_asked(tmp_path, query):
    pytest.importorskip("sqlalchemy")
    error = refused(database(tmp_path), query=query)
    assert (error.code, error.message) == ("input/query", "a query may only read, and be one")


@pytest.mark.parametrize(
    "query",
    [
        f"{QUERY};\n",
        f"{QUERY} where shop <> 'a; b' -- :note; no parameter",
        f"{QUERY} where shop <> ':x' and day::text <> '12 :MI'".replace("::text", ""),
    ],
)
def test_marks_within_a_query_s_words_are_no_statements_and_no_parameters(tmp_path, query):
    pytest.importorskip("sqlalchemy")
    assert load_panel(database(tmp_path), DataSettings(query=query))[0].size == 2


def test_an_sqlite_file_given_as_data_is_told_how_it_is_read(tmp_path: Path) -> None:
    path = database(tmp_path).removeprefix("sqlite:///")
    assert "Read it with --db sqlite:///FILE --query" in str(refused(path))


def test_times_of_a_database_with_the_offsets_of_winter_and_summer_keep_their_instants() -> None:
    """As psycopg2 gives them: a fixed offset with each."""
    winter, summer = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))
    moments = [datetime(2026, 3, 29, 0, tzinfo=UTC) + timedelta(hours=n) for n in range(4)]
    times = [m.astimezone(winter if n < 1 else summer) for n, m in enumerate(moments)]
    column = _column(times, "ts", "here").to_pylist()
    assert [datetime.fromisoformat(text) for text in column] == moments
    assert column[0] == "2026-03-29T01:00:00+01:00" and column[1] == "2026-03-29T03:00:00+02:00"


def test_a_database_that_cannot_be_reached_is_no_fault_of_the_query(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    (tmp_path / "locked").mkdir()
    error = refused(f"sqlite:///file:{tmp_path}/locked?uri=true", query=QUERY)
    assert error.code == "input/no-connection"
    assert error.message.startswith("the database cannot be reached: ")
    assert error.remedy == "Check host, port, user and password, and that it runs"


def test_a_password_never_appears_in_a_message() -> None:
    pytest.importorskip("sqlalchemy")
    addresses = ("postgresql://me:hunter2@localhost:1/x", "nosuch://me:hunter2@h/x")
    for address in addresses:
        assert "hunter2" not in str(refused(address, query="select 1"))


def test_an_address_and_a_password_may_stand_in_files(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    secret = tmp_path / "address"
    secret.write_text(database(tmp_path) + "\n")
    _, report = load_panel(f"file:{secret}", DataSettings(query=QUERY))
    assert report.source == f"file:{secret}"
    assert refused(f"file:{tmp_path}/none", query=QUERY).code == "input/no-address"
    gone = refused("postgresql://me@h/b", query=QUERY, db_password=f"file:{tmp_path}/none")
    assert gone.code == "input/no-address"


def test_a_password_on_the_command_line_is_refused() -> None:
    with pytest.raises(ValidationError):
        DataSettings(db_password="hunter2")


def test_settings_are_kept_without_the_password() -> None:
    for address in ("postgresql://me:hun@ter2@h/b", "postgresql://h/b?user=me&password=hunter2"):
        settings = DataSettings(db=address)
        assert settings.db == address
        assert "ter2" not in settings.model_dump_json()


def test_an_address_whose_password_was_not_kept_says_how_to_give_it() -> None:
    pytest.importorskip("sqlalchemy")
    error = refused("postgresql://me:***@h/b", query="select 1")
    assert error.code == "input/no-password"
    assert "--db-password" in str(error)


def test_every_decompressed_byte_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"ds,y\n2020-01-01,\x00\n"))
    assert refused(path).code == "input/nul-byte"


def archive(path: Path, **members: str) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "."), text)
    return path


def test_an_archive_of_one_table_is_that_table(tmp_path: Path) -> None:
    plain, _ = load_panel(write(tmp_path, daily(20)), PLAIN)
    path = archive(tmp_path / "a.zip", a__csv=daily(20))
    with ZipFile(path, "a") as file:  # as a Mac and Windows pack it
        file.writestr("__MACOSX/._a.csv", "\x00\x05")
        file.writestr("folder/", "")
        file.writestr("folder/desktop.ini", "[x]")
    panel, report = load_panel(path, PLAIN)
    assert panel.values.tolist() == plain.values.tolist() and panel.ids.tolist() == ["y"]
    assert report.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    assert refused(path).code == "input/damaged"
    path.write_bytes(whole[:200])
    assert refused(path).code == "input/damaged"


def test_an_archive_of_several_files_or_none_is_to_be_unpacked(tmp_path: Path) -> None:
    error = refused(archive(tmp_path / "a.zip", a__csv=daily(20), b__csv=daily(20)))
    assert error.code == "input/archive" and error.value == "a.csv, b.csv"
    assert refused(archive(tmp_path / "b.zip", **{".hidden": "x"})).code == "input/archive"


def test_an_archive_is_no_way_around_the_limit_on_what_expands(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("forecast.data.io.files.EXPANSION_FLOOR", 1 << 16)
    path = archive(tmp_path / "a.zip", a__csv=daily(20) + " " * (1 << 20))
    assert refused(path, max_expansion=20).code == "input/expansion"


def test_a_name_that_is_no_encoding_is_refused(tmp_path: Path) -> None:
    for name in ("nonsense", "hex", "rot13"):
        assert refused(write(tmp_path, daily(9)), encoding=name).code == "input/encoding"


def test_what_cannot_be_read_is_put_aside_when_asked(tmp_path: Path) -> None:
    lines = table(["id", "ds", "y"], ["a"] * 9 + ["b"] * 9, days(9) * 2, wave(18)).splitlines()
    lines[3] = "a,2020-01-03,soon"  # a bad number: the step is missing
    lines[5] = "a,someday,5"  # a bad time: the row is gone
    lines[7] = "a,2020-01-07"  # a short row
    lines[12] = ",2020-01-03,5"  # no id
    path = write(tmp_path, "\n".join(lines) + "\n")
    assert refused(path).exit_code == 4
    aside = tmp_path / "aside.csv"
    panel, report = load_panel(path, DataSettings(rejects=str(aside)))
    assert panel.ids.tolist() == ["a", "b"]
    assert np.flatnonzero(np.isnan(panel.series(0))).tolist() == [2, 4, 6]
    assert np.flatnonzero(np.isnan(panel.series(1))).tolist() == [2]
    with aside.open() as file:
        found = {(r["place"], r["code"]) for r in csv.DictReader(file)}
    assert found == {
        ("line 4", "input/not-a-number"),
        ("line 6", "input/unreadable-time"),
        ("line 8", "input/ragged-row"),
        ("line 13", "input/blank-id"),
    }
    assert "warning/rejected" in {n.code for n in report.warnings}


def test_rejects_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, daily(9))
    (tmp_path / "no").write_text("a file, not a folder")
    with pytest.raises(OutputError):
        load_panel(path, DataSettings(rejects=str(tmp_path / "no" / "aside.csv")))


def test_letters_that_are_utf8_are_read_so_whatever_encoding_was_named_before(
    tmp_path: Path,
) -> None:
    text = "ds,shop,y\n" + "".join(
        f"2024-01-{d:02d},{shop},{d}\n" for shop in ("Köln", "Zürich") for d in range(1, 10)
    )
    old = write(tmp_path, text.encode("cp1252"))
    panel, _ = load_panel(old, DataSettings(encoding="cp1252"))
    assert panel.ids.tolist() == ["Köln", "Zürich"]
    new = write(tmp_path, text.encode("utf-8"))
    again, report = load_panel(new, DataSettings(encoding="cp1252"))
    assert again.ids.tolist() == ["Köln", "Zürich"]
    assert "UTF-8, not cp1252" in next(n.text for n in report.repairs)
    plain = write(tmp_path, text.replace("ö", "o").replace("ü", "u").encode())
    _, report = load_panel(plain, DataSettings(encoding="cp1252"))
    assert "repair/encoding" not in [n.code for n in report.repairs]


# --- One series that goes on from file to file, or from sheet to sheet ---------------------------

YEARS = pd.date_range("2021-01-01", "2023-12-31")


def parts_by_name(key: str) -> dict[str, pd.DataFrame]:
    """A daily series of three years in parts, by what their times are written as with `key`."""
    frame = pd.DataFrame({"day": YEARS.strftime("%Y-%m-%d"), "units": np.arange(1095) % 7 + 1.0})
    return {name: part for name, part in frame.groupby(YEARS.strftime(key))}


def into_files(folder: Path, parts: dict[str, pd.DataFrame]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    return folder


def into_book(path: Path, parts: dict[str, pd.DataFrame]) -> Path:
    with pd.ExcelWriter(path) as book:
        for name, part in parts.items():
            part.to_excel(book, sheet_name=name, index=False)
    return path


@pytest.mark.parametrize("key", ["%Y", "sales-%Y-%m", "Umsatz %B %Y", "KW%V_%G", "%m%Y", "%Y-Q"])
def test_files_that_follow_one_another_in_time_are_one_series(tmp_path: Path, key: str) -> None:
    parts = parts_by_name(key)
    for panel, report in (
        load_panel(into_files(tmp_path / "in", parts), PLAIN),
        load_panel(into_book(tmp_path / "a.xlsx", parts), DataSettings(sheet="*")),
    ):
        assert panel.values.tolist() == [n % 7 + 1 for n in range(1095)]
        assert panel.ids.tolist() == ["units"]
        assert [n.count for n in report.repairs if n.code == "repair/files-follow"] == [len(parts)]
    apart, _ = load_panel(tmp_path / "in", DataSettings(id_col="file"))
    assert apart.ids.tolist() == sorted(parts)


README = "These files come from the till, ask Bob.\n\nOne file a month, since 2024.\n"


def test_what_is_no_table_beside_those_of_a_folder_is_left_out_and_said(tmp_path: Path) -> None:
    folder = into_files(tmp_path / "in", parts_by_name("%Y"))
    alone, _ = load_panel(folder, PLAIN)
    write(folder, README, "README.txt")
    write(folder, "Grüße aus der Kasse\n".encode("cp1252"), "notes.txt")
    write(folder, b"\x89PNG", "logo.png")
    for kept_by_programs in ("Thumbs.db", "desktop.ini", ".DS_Store", "~$a.xlsx"):
        write(folder, b"\x00", kept_by_programs)
    (folder / "2021.csv").rename(folder / "2021.txt")  # a text that is a table is one
    into_files(folder / "old", parts_by_name("%Y"))
    panel, report = load_panel(folder, PLAIN)
    assert panel.values.tolist() == alone.values.tolist()
    said = [n.text for n in report.repairs if n.code == "repair/left-out"]
    assert said[0].endswith(": README.txt, logo.png, notes.txt")
    assert "old" in said[1] and f"'{folder}/*/*.csv'" in said[1]
    assert load_panel(f"{folder}/*/*.csv", PLAIN)[0].values.tolist() == alone.values.tolist()
    shutil.rmtree(folder / "old")
    into_files(folder / "old" / "older", {"2020": parts_by_name("%Y")["2021"]})
    assert load_panel(f"{folder}/**/2020.csv", PLAIN)[1].rows == 365


def test_heads_of_files_are_read_once_however_many_have_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(tmp_path, "day,units\n", f"{number:02}.csv")
    write(tmp_path, table(["day", "units"], days(30), wave(30)), "zz.csv")
    looked: list[Path] = []

    def counted(path: Path) -> list[str]:
        looked.append(path)
        return first_lines(path)

    monkeypatch.setattr(load, "first_lines", counted)
    panel, _ = load_panel(tmp_path, PLAIN)
    assert len(panel.values) == 30 and len(looked) == 41 + 40


def test_a_day_without_a_row_among_days_is_left_out_and_said(tmp_path: Path) -> None:
    folder = into_files(tmp_path / "in", parts_by_name("%Y-%m-%d"))
    for day in ("2022-01-02", "2022-02-06"):
        write(folder, "day,units\n", f"{day}.csv")
    panel, report = load_panel(folder, PLAIN)
    assert np.isnan(panel.values).sum() == 2 and report.rows == 1093
    assert ["2022-01-02.csv, 2022-02-06.csv" in n.text for n in report.repairs] == [True, False]
    for file in folder.iterdir():
        write(folder, "day,units\n", file.name)
    assert refused(folder).code == "input/no-rows"


def test_a_link_to_a_table_that_is_gone_is_refused(tmp_path: Path) -> None:
    folder = into_files(tmp_path / "in", parts_by_name("%Y"))
    (folder / "2024.csv").symlink_to(tmp_path / "away.csv")
    assert refused(folder).code == refused(f"{folder}/*.csv").code == "input/not-found"


def test_a_folder_that_may_not_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_by_name("%Y")
    into_files(tmp_path / "in" / "north", parts)
    closed = into_files(tmp_path / "in" / "south", parts)

    def listdir(folder: object, really: object = os.listdir) -> list[str]:
        if str(folder) in (str(closed), str(tmp_path)):
            raise PermissionError(13, "Permission denied")
        return really(folder)  # type: ignore[operator, no-any-return]

    monkeypatch.setattr("os.listdir", listdir)
    for source in (closed, f"{closed}/*.csv", f"{tmp_path}/in/*/*.csv", f"{tmp_path}/in/**/*.csv"):
        assert refused(str(source)).code == "input/permission"
    assert load_panel(f"{tmp_path}/in/north/*.csv", PLAIN)[0].size == 1  # below a closed folder


def test_a_text_that_is_half_written_is_a_table_that_is_refused(tmp_path: Path) -> None:
    folder = into_files(tmp_path / "in", parts_by_name("%Y"))
    write(folder, "day,uni", "2024.txt")
    assert refused(folder).code == "input/no-rows"
    write(folder, "", "2024.txt")
    assert refused(folder).code == "input/empty"


def test_files_whose_names_are_out_of_order_in_time_are_not_told_of_as_unsorted(
    tmp_path: Path,
) -> None:
    _, report = load_panel(into_files(tmp_path / "in", in_2021(parts_by_name("%B"))), PLAIN)
    assert "repair/unsorted" not in {n.code for n in report.repairs}


def in_2021(parts: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: part[part["day"] < "2022"] for name, part in parts.items()}


@pytest.mark.parametrize("how", ["a copy", "a correction", "the last sixty days"])
def test_a_file_that_holds_again_what_another_one_holds_makes_no_series_of_each(
    tmp_path: Path, how: str
) -> None:
    parts = parts_by_name("%Y-%m")
    if how == "the last sixty days":
        whole = pd.concat(parts.values())
        parts = {f"till-{n:03d}": whole.iloc[n : n + 60] for n in range(30)}
    else:
        other = parts["2022-03"]
        changed = other.assign(units=[9.0, 8, 11, *other["units"][3:] + 1])
        parts["2022-03 (1)"] = other if how == "a copy" else changed
    folder = into_files(tmp_path / "in", parts)
    error = refused(folder)
    assert error.code == "input/files-or-series"
    assert "2022-03" in error.message or "till-000" in error.message
    assert load_panel(folder, DataSettings(id_col="file"))[0].size == len(parts)
    if how != "a correction":
        assert load_panel(folder, DataSettings(no_id=True))[0].size == 1


@pytest.mark.parametrize("copy", ["north - Kopie.csv", "Copy of north.csv", "north.parquet"])
def test_a_copy_beside_its_file_is_no_second_series(tmp_path: Path, copy: str) -> None:
    part = parts_by_name("%Y")["2021"]
    folder = into_files(
        tmp_path / "in", {"north": part, "south": part.assign(units=part["units"] * 3)}
    )
    assert load_panel(folder, PLAIN)[0].ids.tolist() == ["north", "south"]
    if copy.endswith("parquet"):
        part.to_parquet(folder / copy)
    else:
        shutil.copy(folder / "north.csv", folder / copy)
    error = refused(folder)
    assert error.code == "input/files-or-series" and "holds rows of" in error.message
    assert load_panel(folder, DataSettings(id_col="file"))[0].size == 3


def test_a_wide_file_may_have_a_shop_more_or_fewer_than_those_before(tmp_path: Path) -> None:
    parts = parts_by_name("%Y")
    made = {
        "2021": parts["2021"].rename(columns={"units": "north"}),
        "2022": parts["2022"].rename(columns={"units": "north"}).assign(south=3.0),
        "2023": parts["2023"].rename(columns={"units": "south"}),
    }
    folder = into_files(tmp_path / "in", made)
    panel, _ = load_panel(folder, DataSettings(wide=True))
    assert panel.ids.tolist() == ["north", "south"] and panel.lengths.tolist() == [730, 730]


@pytest.mark.parametrize("covariates", [(), ("heat",)])
def test_columns_whose_names_differ_in_capitals_alone_are_the_same(
    tmp_path: Path, covariates: tuple[str, ...]
) -> None:
    parts = {name: part.assign(heat=1.0) for name, part in parts_by_name("%Y").items()}
    settings = DataSettings(target_col="units", past_cov=covariates)
    alike, _ = load_panel(into_files(tmp_path / "a", parts), settings)
    parts["2022"] = parts["2022"].rename(columns={"day": "Day", "units": "UNITS", "heat": "Heat"})
    panel, _ = load_panel(into_files(tmp_path / "b", parts), settings)
    assert panel.values.tolist() == alike.values.tolist()
    if covariates:
        assert np.isfinite(panel.covariates.columns[0].values).all()


def test_files_called_alike_in_several_folders_are_called_by_their_folders_as_well(
    tmp_path: Path,
) -> None:
    for times, shop in enumerate(("north", "south", "."), 1):
        part = parts_by_name("%Y")["2021"]
        into_files(tmp_path / shop, {"2021": part.assign(units=part["units"] * times)})
    panel, _ = load_panel(f"{tmp_path}/*/*.csv", PLAIN)
    assert panel.ids.tolist() == ["north/2021", "south/2021"]
    panel, _ = load_panel(f"{tmp_path}/**/*.csv", PLAIN)
    assert panel.ids.tolist() == ["2021", "north/2021", "south/2021"]


def test_files_that_overlap_are_series_of_their_own_or_one_with_no_id(tmp_path: Path) -> None:
    days_ = parts_by_name("%Y")["2021"]
    more = days_.assign(units=days_["units"] + 1)
    folder = into_files(tmp_path / "in", {"shop1": days_, "shop2": more})
    assert load_panel(folder, PLAIN)[0].ids.tolist() == ["shop1", "shop2"]
    both, _ = load_panel(folder, DataSettings(no_id=True, duplicates="sum"))
    assert both.size == 1 and both.values[:3].tolist() == [3, 5, 7]
    assert refused(folder, no_id=True).code == "input/duplicate-time"


@pytest.mark.parametrize("names", [("north", "south", "2021 and more"), ("a1", "a2", "a3")])
def test_files_that_may_be_one_series_or_several_are_refused_and_both_flags_work(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    parts = list(parts_by_name("%Y").values())
    if names[0] == "a1":  # the days before and after New Year are in two files
        parts[1] = pd.concat([parts[0].tail(3), parts[1]])
    folder = into_files(tmp_path / "in", dict(zip(names, parts, strict=True)))
    error = refused(folder)
    assert error.code == "input/files-or-series"
    assert "--no-id" in error.remedy and "--id-col file" in error.remedy
    one, _ = load_panel(folder, DataSettings(no_id=True, duplicates="first"))
    assert one.size == 1 and len(one.values) == 1095
    assert load_panel(folder, DataSettings(id_col="file"))[0].ids.tolist() == sorted(names)


@pytest.mark.parametrize("other", ["a summary", "series of their own", "all of it"])
def test_files_that_follow_one_another_beside_others_are_no_series_each(
    tmp_path: Path, other: str
) -> None:
    parts = {f"north-{year}": part for year, part in parts_by_name("%Y").items()}
    if other == "a summary":
        more = {
            "sums": pd.DataFrame({"day": [f"{y}-12-31" for y in (2021, 2022, 2023)], "units": 9})
        }
    elif other == "all of it":
        more = {"total": pd.concat(parts.values())}
    else:
        more = {name.replace("north", "south"): part for name, part in parts.items()}
    folder = into_files(tmp_path / "in", parts | more)
    error = refused(folder)
    assert error.code == "input/files-or-series" and "pattern" in error.remedy
    assert "north-2021, north-2022, north-2023 follow one another" in error.message
    book = into_book(tmp_path / "a.xlsx", parts | more)
    assert "--sheet 'north*'" in refused(book, sheet="*").remedy
    assert load_panel(book, DataSettings(sheet="north*"))[0].values.size == 1095
    one, _ = load_panel(folder / "north-*.csv", PLAIN)
    assert one.size == 1 and len(one.values) == 1095
    if other != "a summary":
        each, _ = load_panel(folder, DataSettings(id_col="file"))
        assert each.ids.tolist() == sorted(parts | more)
    for name, part in (parts | more).items():
        part.assign(shop=name.partition("-")[0]).to_csv(folder / f"{name}.csv", index=False)
    if other == "series of their own":
        assert load_panel(folder, PLAIN)[0].ids.tolist() == ["north", "south"]


def in_months(folder: Path, frame: pd.DataFrame) -> Path:
    """The frame, whose first column has texts that begin with year and month, a file a month."""
    return into_files(folder, dict(iter(frame.groupby(frame.iloc[:, 0].str[:7]))))


@pytest.mark.parametrize(
    ("step", "zone"), [("h", None), ("h", "Europe/Berlin"), ("h", "+03:00"), ("D", None)]
)
def test_files_of_winter_and_summer_with_their_offsets_are_read_as_one_file_is(
    tmp_path: Path, step: str, zone: str | None
) -> None:
    local = pd.date_range("2024-02-01", "2024-06-30 23:00", freq=step, tz="Europe/Berlin")
    frame = pd.DataFrame({"ds": [t.isoformat() for t in local], "y": np.arange(len(local)) % 24.0})
    settings = DataSettings(tz=zone)
    one, told = load_panel(write(tmp_path, frame.to_csv(index=False)), settings)
    several, said = load_panel(in_months(tmp_path / "in", frame), settings)
    np.testing.assert_array_equal(several.values, one.values)
    assert (several.tz, said.span) == (one.tz, told.span)
    codes = {note.code for note in said.repairs} - {"repair/files-follow"}
    assert codes == {note.code for note in told.repairs}


def test_covariates_of_files_with_other_offsets_and_of_an_outlook_are_of_their_moments(
    tmp_path: Path,
) -> None:
    local = pd.date_range("2024-02-01", "2024-04-30 23:00", freq="h", tz="Europe/Berlin")
    count = np.arange(len(local), dtype=float)
    frame = pd.DataFrame({"ds": [t.isoformat() for t in local], "y": count % 24, "heat": count})
    ahead = pd.date_range(local[-1], periods=25, freq="h").tz_convert("+05:00")[1:]
    more = {"ds": [t.isoformat() for t in ahead], "heat": np.arange(24) + len(local)}
    outlook = write(tmp_path, pd.DataFrame(more).to_csv(index=False), "outlook.csv")
    folder = in_months(tmp_path / "in", frame)
    settings = DataSettings(target_col="y", future_cov=("heat",), future_covariates=str(outlook))
    panel, _ = load_panel(folder, settings)
    heat = panel.covariates.columns[0].values
    assert heat.tolist() == list(range(len(local) + 24))


def test_a_file_among_several_has_its_own_name_when_it_is_read_alone(tmp_path: Path) -> None:
    folder = into_files(tmp_path / "in", parts_by_name("%Y"))
    panel, _ = load_panel(folder / "2022.csv", DataSettings(id_col="file"))
    assert panel.ids.tolist() == ["2022"]


def test_a_column_that_is_called_file_is_a_column(tmp_path: Path) -> None:
    parts = parts_by_name("%Y")
    folder = into_files(tmp_path / "in", {n: p.assign(file="x") for n, p in parts.items()})
    assert load_panel(folder, DataSettings(id_col="file"))[0].ids.tolist() == ["x"]


def test_sheets_are_named_by_a_pattern_and_the_error_for_several_says_so(tmp_path: Path) -> None:
    parts = parts_by_name("%Y")
    notes = pd.DataFrame({"who": ["me"], "what": ["counted"]})
    path = into_book(tmp_path / "a.xlsx", {**parts, "notes": notes})
    assert "--sheet '*' or '20*'" in refused(path).remedy
    panel, report = load_panel(path, DataSettings(sheet="20*"))
    assert panel.size == 1 and len(panel.values) == 1095 and report.rows == 1095
    assert load_panel(path, DataSettings(sheet="2022"))[0].values.size == 365
    error = refused(path, sheet="*")
    assert error.code != "input/which-sheet" and "sheet 'notes'" in error.where
    assert refused(path, sheet="19*").code == "input/no-sheet"


def test_sheets_of_the_same_days_are_series_named_after_them(tmp_path: Path) -> None:
    days_ = parts_by_name("%Y")["2021"]
    path = into_book(tmp_path / "a.xlsx", {"Berlin": days_, "Bad Homburg v.d.H.": days_})
    panel, _ = load_panel(path, DataSettings(sheet="*"))
    assert panel.ids.tolist() == ["Bad Homburg v.d.H.", "Berlin"]


def test_what_programs_keep_for_themselves_is_no_table_and_workbooks_are(tmp_path: Path) -> None:
    for name, part in parts_by_name("%Y").items():
        part.to_excel(tmp_path / f"{name}.xlsx", index=False)
    write(tmp_path, "not a workbook", "~$2023.xlsx")
    write(tmp_path, "\x00\x05\x16\x07", "._2023.csv")
    panel, _ = load_panel(tmp_path, PLAIN)
    assert panel.size == 1 and len(panel.values) == 1095


GERMAN = [
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
    "November", "Dezember",
]  # fmt: skip


@pytest.mark.parametrize(
    ("sheet", "column", "write_day"),
    [
        ("{0:%Y}", "Datum", lambda day: f"{day:%d.%m.}"),
        ("Umsatz {0:%Y}", "day", lambda day: f"{day.day}-{day:%b}"),
        ("{0:%Y}", "date", lambda day: f"{day:%d/%m}"),
        ("{1} {0:%Y}", "Tag", lambda day: day.day),
    ],
)
def test_days_without_a_year_are_of_the_one_that_their_sheet_is_called_after(
    tmp_path: Path, sheet: str, column: str, write_day
) -> None:
    frame = pd.DataFrame({column: [write_day(day) for day in YEARS], "y": np.arange(1095) + 1.0})
    names = [sheet.format(day, GERMAN[day.month - 1]) for day in YEARS]
    parts = dict(iter(frame.groupby(pd.Index(names), sort=False)))
    panel, report = load_panel(into_book(tmp_path / "a.xlsx", parts), DataSettings(sheet="*"))
    assert panel.values.tolist() == frame["y"].tolist()
    assert "2021" in report.span[0] and "2023" in report.span[1]
    assert "repair/year-of-name" in {n.code for n in report.repairs}
    one, _ = load_panel(tmp_path / "a.xlsx", DataSettings(sheet=names[0]))
    assert one.values.tolist() == parts[names[0]]["y"].tolist()


def test_months_without_a_year_are_of_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for year in range(2019, 2023):
        rows = "".join(f"{month};{n}\n" for n, month in enumerate(GERMAN, 100))
        write(folder, f"Monat;Umsatz\n{rows}Summe;1266\n", f"umsatz_{year}.csv")
    panel, report = load_panel(folder, PLAIN)
    assert panel.values.tolist() == [*range(100, 112)] * 4
    assert report.span == ("Januar 2019", "Dezember 2022")


@pytest.mark.parametrize("name", ["2023-24", "2023_2024", "2022 und 2023", "umsatz"])
def test_a_name_of_two_years_or_none_gives_months_no_year(tmp_path: Path, name: str) -> None:
    rows = "".join(f"{month},{n}\n" for n, month in enumerate(GERMAN))
    path = write(tmp_path, f"Monat,Umsatz\n{rows}", f"{name}.csv")
    assert refused(path).code == "input/unreadable-time"


def test_days_of_a_sheet_stay_days_where_a_total_stands_below_them(tmp_path: Path) -> None:
    rows = [[day.to_pydatetime(), n % 7 + 1] for n, day in enumerate(YEARS[:60])]
    frame = pd.DataFrame([*rows, ["Summe", 240]], columns=["Datum", "Umsatz"])
    panel, report = load_panel(into_book(tmp_path / "a.xlsx", {"a": frame}), PLAIN)
    assert panel.values.size == 60
    assert report.span == ("2021-01-01", "2021-03-01")


def test_a_month_that_has_just_begun_has_its_days_where_the_files_before_it_have_them(
    tmp_path: Path,
) -> None:
    days_ = pd.date_range("2023-10-01", "2023-12-09")
    for form, first in (("%d/%m/%Y", "01/10/2023"), ("%m/%d/%Y", "10/01/2023")):
        frame = pd.DataFrame({"day": days_.strftime(form), "units": np.arange(70) + 1.0})
        parts = {name: part.copy() for name, part in frame.groupby(days_.strftime("%Y-%m"))}
        panel, report = load_panel(into_files(tmp_path / form[1], parts), PLAIN)
        assert panel.values.tolist() == frame["units"].tolist()
        assert report.span[0] == first
    assert refused(tmp_path / "d" / "2023-12.csv").code == "input/ambiguous-day-month"
    parts["2023-10"]["day"] = days_[:31].strftime("%d/%m/%Y")  # and November has months first
    assert refused(into_files(tmp_path / "m", parts)).code == "input/ambiguous-day-month"
