"""Tables out in every format of the registry, workbooks and addresses in."""

from __future__ import annotations

import io
import json
import os
import threading
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pytest
from openpyxl import Workbook, load_workbook

from forecast.common.errors import InputError, OutputError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.io import remote
from forecast.data.load import load_panel
from forecast.inference.formats import excel
from forecast.inference.formats.registry import (
    format_of,
    formats,
    refuse_other_tables,
    table_bytes,
)
from forecast.inference.tables import FORECAST

TABLE = pa.table(
    {
        "unique_id": ["=HYPERLINK(1)", "+49", "bell\x07"],
        "ds": pa.array([datetime(2020, 1, 1), datetime(2020, 2, 1), None], pa.timestamp("us")),
        "LSTM": [1.5, float("nan"), -3.0],
        "n": [1, None, 3],
    }
)


def test_every_module_with_a_format_is_in_the_registry_and_csv_is_the_usual_one():
    first, *others = formats()
    assert first == ".csv" and {".parquet", ".xlsx"} <= set(others)
    assert format_of("a/forecast").suffix == ".csv" and format_of("x.PARQUET").suffix == ".parquet"
    assert format_of("s3://bucket/x.xlsx").beside
    with pytest.raises(UsageError, match=r"written as \.csv, .* or \.\w+, not as \.ods"):
        refuse_other_tables("x.ods")
    refuse_other_tables("x.xlsx")


def test_a_workbook_has_numbers_dates_and_text_that_is_no_formula():
    content = table_bytes("x.xlsx", TABLE, {"settings": pa.table({"setting": ["=1+1"]})})
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["forecast", "settings"]
    rows = list(book["forecast"].iter_rows())
    assert [cell.value for cell in rows[0]] == ["unique_id", "ds", "LSTM", "n"]
    first, second, third = rows[1:]
    assert (first[0].value, first[0].data_type) == ("=HYPERLINK(1)", "s")
    assert first[1].value == datetime(2020, 1, 1) and first[1].number_format == "yyyy-mm-dd"
    assert (first[2].value, first[2].data_type, first[3].value) == (1.5, "n", 1)
    assert second[2].value is None and second[3].value is None and third[1].value is None
    assert third[0].value == "bell"
    assert book["settings"]["A2"].data_type == "s"
    again = table_bytes("x.xlsx", TABLE, {"settings": pa.table({"setting": ["=1+1"]})})
    assert content == again  # the same table, the same bytes


def test_a_sheet_that_has_no_room_is_an_error(monkeypatch):
    monkeypatch.setattr(excel, "MOST_ROWS", 2)
    with pytest.raises(UsageError, match="a sheet holds 2 rows"):
        table_bytes("x.xlsx", TABLE)


# --- workbooks in --------------------------------------------------------------------------------


def workbook(path, sheets: dict[str, list[list[object]]]) -> str:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def sales(months: int = 30) -> list[list[object]]:
    rows: list[list[object]] = [["shop", "month", "sold"]]
    for shop in ("+A1", "007"):
        for t in range(months):
            value = None if t == 5 else 100 + t
            rows.append([shop, datetime(2020 + t // 12, t % 12 + 1, 1), value])
    return rows


def test_the_only_sheet_with_a_table_is_read_with_its_dates_and_text(tmp_path):
    blank = [[], [None, None, None]]
    path = workbook(tmp_path / "s.xlsx", {"notes": [["made by me"]], "data": blank + sales()})
    panel, report = load_panel(path, DataSettings())
    assert panel.ids.tolist() == ["+A1", "007"] and panel.frequency.alias == "MS"
    assert panel.size == 2 and np.isnan(panel.values).sum() == 2
    assert report.source == path and len(report.digest) == 64


def test_of_several_sheets_one_must_be_named_and_the_advice_works(tmp_path):
    path = workbook(tmp_path / "s.xlsx", {"2023": sales(), "2024": sales(24)})
    with pytest.raises(InputError, match="several sheets hold a table: 2023, 2024") as caught:
        load_panel(path, DataSettings())
    assert "--sheet '2023'" in caught.value.remedy
    assert load_panel(path, DataSettings(sheet="2024"))[0].lengths.tolist() == [24, 24]
    assert load_panel(path, DataSettings(sheet="1"))[0].lengths.tolist() == [30, 30]
    with pytest.raises(InputError, match="no sheet '2025'"):
        load_panel(path, DataSettings(sheet="2025"))


def test_error_values_are_missing_and_a_damaged_workbook_is_said(tmp_path):
    rows = sales()
    rows[8][2] = "#N/A"
    path = workbook(tmp_path / "s.xlsx", {"data": rows})
    assert np.isnan(load_panel(path, DataSettings())[0].values).sum() == 3
    content = (tmp_path / "s.xlsx").read_bytes()
    (tmp_path / "cut.xlsx").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="the workbook cannot be read"):
        load_panel(tmp_path / "cut.xlsx", DataSettings())


def test_a_forecast_of_a_workbook_goes_into_a_workbook(lstmcast, tmp_path):
    path = workbook(tmp_path / "s.xlsx", {"data": sales()})
    out = tmp_path / "out.xlsx"
    code, _, err = lstmcast("forecast", path, "--horizon", "3", "-o", str(out), "--quiet")
    assert code == 0, err
    book = load_workbook(out)
    assert book.sheetnames[0] == "forecast" and "settings" in book.sheetnames
    rows = list(book["forecast"].iter_rows(values_only=True))
    assert rows[0][:3] == ("unique_id", "ds", "LSTM") and len(rows) == 7
    assert rows[1][1] == datetime(2022, 7, 1) and isinstance(rows[1][2], float)
    assert book["forecast"]["A5"].data_type == "s"


# --- DuckDB --------------------------------------------------------------------------------------


def test_a_duckdb_file_is_read_by_a_query_and_named_where_it_is_given_as_data(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "sales.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table sales as select date '2020-01-01' + interval (t) month as ds, "
            "100.0 + t as y from range(30) tbl(t)"
        )
    settings = DataSettings(query="select ds, y from sales order by ds")
    panel, report = load_panel(f"duckdb:///{path}", settings)
    assert panel.values.tolist() == [100.0 + t for t in range(30)] and len(report.digest) == 64
    with pytest.raises(InputError, match="the query failed"):
        load_panel(f"duckdb:///{path}", DataSettings(query="select nothing"))
    with pytest.raises(InputError, match="a database needs a query"):
        load_panel(f"duckdb:///{path}", DataSettings())
    with pytest.raises(InputError, match=r"a DuckDB database, .* Read it with --db duckdb:"):
        load_panel(path, DataSettings())


@pytest.mark.parametrize(
    "query",
    [
        "copy (select 1 as a) to '{}'",
        "copy (select 1 as a) to '{}'; select ds, y from sales",
        "select ds, y from sales; attach '{}' as other",
        "copy (pivot sales on y using sum(y)) to '{}'",
    ],
)
def test_a_query_to_duckdb_writes_no_other_file(tmp_path, monkeypatch, query):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "sales.duckdb")) as connection:
        connection.execute("create table sales as select current_date as ds, 1.0 as y")
    monkeypatch.setenv("SALES", f"duckdb:///{tmp_path}/sales.duckdb")
    for address in ("env:SALES", f"duckdb:///{tmp_path}/sales.duckdb"):
        with pytest.raises(InputError, match="a query may only read, and be one"):
            load_panel(address, DataSettings(query=query.format(tmp_path / "other")))
    assert [path.name for path in tmp_path.iterdir()] == ["sales.duckdb"]


# --- addresses -----------------------------------------------------------------------------------

CSV = "date,value\n" + "".join(f"2020-01-{d:02d},{d}\n" for d in range(1, 31))


class Answering(SimpleHTTPRequestHandler):
    """Serves a folder; of /403 and /500 it answers with that status."""

    def log_message(self, *_):
        pass

    def send_head(self):
        asked = self.path.strip("/").split("?")[0]
        return self.send_error(int(asked)) if asked.isdigit() else super().send_head()


@contextmanager
def web_server(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answering, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_web_address_is_read_and_a_wrong_one_is_said(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "sales.csv").write_text(CSV)
    with web_server(tmp_path) as address:
        panel, report = load_panel(f"{address}/sales.csv", DataSettings())
        assert panel.values.tolist() == list(map(float, range(1, 31)))
        assert report.source == f"{address}/sales.csv"
        for name, said in (
            ("other.csv", "there is no such object"),
            ("404", "there is no such object"),
            ("403?sig=hush", r"permission denied \(HTTP 403 Forbidden\)"),
            ("500", "the server answers HTTP 500 Internal Server Error"),
        ):
            with pytest.raises(InputError, match=said) as caught:
                load_panel(f"{address}/{name}", DataSettings())
            assert "hush" not in str(caught.value)
    with pytest.raises(InputError, match=r"Cannot connect to host 127\.0\.0\.1") as caught:
        load_panel(f"{address}/sales.csv", DataSettings())  # nobody is there any more
    assert "the network" in caught.value.remedy
    with pytest.raises(UsageError, match="nothing can be written to a web address"):
        remote.check_remote_output("https://host/x.csv", FORECAST)


@pytest.fixture(scope="module")
def bucket():
    """The address of a bucket on a server of this machine, and its client."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    import boto3

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    client = boto3.client("s3")
    client.create_bucket(Bucket="sales")
    yield "s3://sales", client
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def test_a_bucket_is_read_from_and_written_to(bucket, lstmcast, tmp_path):
    address, client = bucket
    client.put_object(Bucket="sales", Key="in/daily.csv", Body=CSV.encode())
    out = f"{address}/out/next.parquet"
    code, printed, err = lstmcast(
        "forecast", f"{address}/in/daily.csv", "--horizon", "2", "-o", out
    )
    assert code == 0, err
    assert f"written to  {out}" in printed and not (tmp_path / "s3:").exists()
    body = client.get_object(Bucket="sales", Key="out/next.parquet")["Body"].read()
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(body))
    assert table.column("ds").to_pylist() == ["2020-01-31", "2020-02-01"]


def test_an_object_that_lstmcast_did_not_write_stays_and_one_that_is_read_even_with_force(
    bucket, lstmcast
):
    address, client = bucket

    def forecast(name: str, *more: str) -> tuple[int, bytes]:
        words = ("forecast", f"{address}/in/daily.csv", "--horizon", "2", "-q", *more)
        code, _, err = lstmcast(*words, "-o", f"{address}/{name}")
        body = client.get_object(Bucket="sales", Key=name)["Body"].read()
        assert (code == 0) == (body[:11] == b'"unique_id"'), err
        return code, body

    for name in ("in/daily.csv", "in/notes.csv"):
        client.put_object(Bucket="sales", Key=name, Body=CSV.encode())
        assert forecast(name) == (2, CSV.encode())
    assert forecast("in/daily.csv", "--force") == (2, CSV.encode())
    assert forecast("out/one.csv")[0] == forecast("out/one.csv")[0] == 0  # its own, again
    assert forecast("in/notes.csv", "--force")[0] == 0


def test_what_is_wrong_with_a_bucket_is_said_before_any_work(bucket, lstmcast):
    address, _ = bucket
    with pytest.raises(InputError, match="there is no such object"):
        load_panel(f"{address}/in/none.csv", DataSettings())
    code, _, err = lstmcast("forecast", f"{address}/in/none.csv", "-o", "https://h/x.csv")
    assert code == 2 and "output/web" in err


@pytest.mark.parametrize("more", [[], ["--force"]])
def test_a_bucket_that_is_not_there_is_said_before_any_work(bucket, lstmcast, monkeypatch, more):
    address, client = bucket
    client.put_object(Bucket="sales", Key="in/daily.csv", Body=CSV.encode())
    words = ("forecast", f"{address}/in/daily.csv", "--horizon", "2", *more)
    monkeypatch.setattr(
        "forecast.workflows.predict.write_table", lambda *_, **__: pytest.fail("forecast first")
    )
    code, _, err = lstmcast(*words, "-o", "s3://sails/out/next.csv")
    assert code == OutputError.exit_code and "output/remote" in err
    assert "there is no such bucket" in err and "s3://sails" in err


@pytest.mark.parametrize("protocol", ["s3", "gs", "az"])
@pytest.mark.parametrize("trouble", [PermissionError("no"), OSError("down"), None])
def test_a_bucket_that_may_not_be_looked_at_is_taken_to_be_there(monkeypatch, protocol, trouble):
    class Store:
        def info(self, path, **more):
            if trouble is not None:
                raise trouble

        ls = info

        def cat_file(self, path):
            raise FileNotFoundError(path)

    monkeypatch.setattr(remote, "_store", lambda name: (Store(), name.split("://")[1]))
    remote.check_remote_output(f"{protocol}://b/x.csv", FORECAST)


def test_an_object_that_changes_while_it_is_read_is_an_error(monkeypatch):
    class Store:
        states = iter((1, 2))

        def info(self, path):
            return {"size": next(self.states)}

        def cat_file(self, path):
            return b""

    monkeypatch.setattr(remote, "_store", lambda name: (Store(), name))
    with pytest.raises(InputError, match="changed while it was read"):
        remote.fetch("s3://b/x.csv")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    import fsspec

    def missing(*args, **options):
        raise ImportError("gcsfs")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(UsageError, match="needs the package gcsfs") as caught:
        remote.fetch("gs://bucket/x.csv")
    assert caught.value.remedy == "pip install 'lstmcast[gcs]'"


@pytest.mark.parametrize("protocol", ["s3", "gs", "az"])
def test_a_store_that_cannot_be_opened_says_why(monkeypatch, protocol):
    """As Azure's without an account in the environment, before anything is asked of it."""
    import fsspec

    def unopened(*args, **options):
        raise ValueError("Must provide either a connection_string or account_name")

    monkeypatch.setattr(fsspec, "filesystem", unopened)
    name = f"{protocol}://bucket/x.csv"
    with pytest.raises(InputError, match="Must provide") as caught:
        remote.fetch(name)
    assert "secrets in the environment" in caught.value.remedy
    with pytest.raises(OutputError, match="Must provide"):
        remote.upload(name, b"")
    with pytest.raises(OutputError, match="Must provide"):
        remote.check_remote_output(name, FORECAST)


def test_a_library_of_a_store_does_not_speak_beside_the_error(monkeypatch, capfd):
    import logging

    import fsspec

    def chatty(*args, **options):
        class Store:
            def info(self, path):
                logging.getLogger("gcsfs").error("a traceback", exc_info=ValueError("x"))
                raise FileNotFoundError(path)

        return Store()

    monkeypatch.setattr(fsspec, "filesystem", chatty)
    with pytest.raises(InputError, match="no such object"):
        remote.fetch("gs://bucket/x.csv")
    assert capfd.readouterr().err == ""


def test_folders_and_patterns_at_an_address_are_refused_in_these_words(monkeypatch):
    class Store:
        def info(self, path):
            raise FileNotFoundError(path)

    monkeypatch.setattr(remote, "_store", lambda name: (Store(), name))
    for name in ("s3://b/sales/", "az://b/sales/*.csv"):
        with pytest.raises(InputError, match="Name one object"):
            remote.fetch(name)
    with pytest.raises(UsageError, match="a folder, not an object"):
        remote.check_remote_output("gs://b/sales/", FORECAST)


@pytest.mark.parametrize("name", ["abfss://c@a.dfs.core.windows.net/x.csv", "hdfs://h/x.csv"])
def test_an_address_that_is_not_read_is_not_taken_for_a_database(name):
    with pytest.raises(InputError) as caught:
        load_panel(name, DataSettings())
    assert caught.value.code == "input/url"


@pytest.mark.parametrize("name", ["s3://b/x.csv", "https://me:pw@h/x?sig=1", "az://c/x"])
def test_addresses_are_told_from_files_and_shown_without_secrets(name):
    assert (
        remote.is_remote(name)
        and not remote.is_remote("s3:/b/x")
        and "pw" not in (remote.shown(name))
    )
    assert "sig" not in remote.shown(name)


@pytest.mark.parametrize("name", ["x.html", "x.PDF", "x.png", "dir.csv/x.svg"])
@pytest.mark.parametrize("words", [("forecast",), ("detect",)])
def test_no_table_is_written_under_the_name_of_a_page_or_a_picture(
    lstmcast, tmp_path, monkeypatch, words, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("ds,y\n" + "".join(f"20{n:02d}-01-01,{n}\n" for n in range(40)))
    code, out, _ = lstmcast(*words, "a.csv", "--output", name, "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (2, "usage/output-kind")
    assert "lstmcast report" in error["remedy"] and not (tmp_path / name).exists()


def test_a_title_above_the_table_of_a_sheet_is_left_out_and_said(tmp_path):
    above = [["Sales 2020 to 2022"], ["as of 3 January"], []]
    path = workbook(tmp_path / "s.xlsx", {"data": above + sales()})
    panel, report = load_panel(path, DataSettings())
    assert panel.ids.tolist() == ["+A1", "007"] and panel.lengths.tolist() == [30, 30]
    (note,) = [note for note in report.repairs if note.code == "repair/preamble"]
    assert note.text == "3 rows above the table: left out"
    assert note.places == ("Sales 2020 to 2022",)
    rows = sales()
    rows[0][2] = None
    with pytest.raises(InputError, match="column 3 has values and no name") as caught:
        load_panel(workbook(tmp_path / "n.xlsx", {"data": rows}), DataSettings())
    assert "sheet 'data'" in caught.value.where
