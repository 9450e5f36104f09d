"""Rows of database servers: what may be asked, what comes back, what is said when nothing does."""

from __future__ import annotations

import socket
from decimal import Decimal
from pathlib import Path

import pytest

from forecast.common.errors import InputError, without_password
from forecast.config.schema import DataSettings
from forecast.data.io import database
from forecast.data.io.database import _column, _driver_advice, _reads, connected, url_of
from forecast.data.load import load_panel

pytest.importorskip("sqlalchemy")
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

MYSQL = make_url("mysql+pymysql://me@h/sales")


@pytest.mark.parametrize(
    "query",
    [
        "select ds, y from sales",
        "  (SELECT 1)",
        "-- the till's rows; all\nselect ds, 'put into the shop' as y from sales",
        "/* of today */ with a as (select 1) select * from a",
        "# a note\nselect 1",
        "show tables",
        "select created_into from sales",
    ],
)
def test_mysql_is_asked_what_only_reads(query: str) -> None:
    assert _reads(query, MYSQL)


@pytest.mark.parametrize(
    "query",
    [
        "call report()",
        "set global read_only = 0",
        "shutdown",
        "do release_all_locks()",
        "select 1 INTO OUTFILE '/tmp/x'",
        "select 1 into/**/dumpfile '/tmp/x'",
        "select 1 # '\n into outfile '/tmp/x' # '",
        "select `a'` into outfile '/tmp/x' -- '",
        "select 1--' \n' into outfile '/tmp/x'",
        "select '\\' into outfile ' /tmp/x",
        "select 1 /*! into outfile '/tmp/x' */",
        "/*! call report() */ select 1",
        "/*M! shutdown */ select 1",
        "begin not atomic commit",
        "select 1; drop table sales",
    ],
)
def test_mysql_is_asked_nothing_that_its_read_only_transaction_would_let_pass(query: str) -> None:
    assert not _reads(query, MYSQL)


def test_whole_decimals_keep_all_their_digits_so_that_two_ids_do_not_become_one() -> None:
    """As numeric(20) of PostgreSQL and Oracle; bigint unsigned of MySQL comes as int."""
    long, longer = 1234567890123456789, 2**64 - 1
    assert _column([Decimal(long), None, Decimal(long + 1)], "id", "db").to_pylist() == [
        long, None, long + 1,
    ]  # fmt: skip
    for values in ([Decimal(longer), Decimal(longer - 1)], [longer, longer - 1]):
        texts = _column(values, "id", "db").cast("string").to_pylist()
        assert texts == [str(longer), str(longer - 1)]
    assert _column([Decimal("1.50"), Decimal(2)], "y", "db").to_pylist() == [1.5, 2.0]


def test_not_a_number_among_decimals_is_missing_and_no_second_type() -> None:
    found = _column([Decimal("NaN"), Decimal("2.5")], "y", "db").to_pylist()
    assert found[0] != found[0] and found[1] == 2.5


def test_values_of_several_types_are_shown() -> None:
    with pytest.raises(InputError) as caught:
        _column(["0000-00-00", 3], "d", "db")
    assert caught.value.code == "input/mixed-types"
    assert caught.value.value == "str '0000-00-00', int '3'"


def test_ids_may_be_uuids(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "u.duckdb")) as connection:
        connection.execute(
            "create table t as select '00000000-0000-0000-0000-00000000000'||(i % 2) as text,"
            " date '2024-01-01' + (i // 2)::int as ds, i % 7 as y from range(80) r(i)"
        )
    asked = DataSettings(query="select text::uuid as id, ds, y from t order by ds")
    panel, _ = load_panel(f"duckdb:///{tmp_path}/u.duckdb", asked)
    assert list(panel.ids) == [f"00000000-0000-0000-0000-00000000000{n}" for n in (0, 1)]


@pytest.mark.parametrize("password", ["hun/ter2", "hun@ter2", "hun@t/er2", "hu?n/t@er2"])
def test_a_password_with_signs_that_should_be_escaped_is_not_shown_either(password: str) -> None:
    shown = without_password(f"cannot read mysql+pymysql://me:{password}@h:3306/sales?charset=utf8")
    assert shown == "cannot read mysql+pymysql://me:***@h:3306/sales?charset=utf8"


def test_an_address_with_two_places_where_the_host_could_begin_is_refused() -> None:
    for text in ("mysql://me:a@b@h/x", "mysql://me:a@b/c@h/x"):
        with pytest.raises(ValueError):
            url_of(text)
    assert url_of("postgresql://me@server:pw@h/x").host == "h"
    assert url_of("mysql://me:a%40b@h/x?ssl_ca=/etc/a@b").password == "a@b"
    assert url_of("sqlite:////home/me:x@y@z.db").database == "/home/me:x@y@z.db"
    with pytest.raises(InputError, match="write @ as %40") as caught:
        load_panel("mysql://me:hun@ter2@h/x", DataSettings(query="select 1"))
    assert "ter2" not in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "SECONDS", 0.2)
    engine = create_engine("sqlite://")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def ask() -> None:
            with socket.create_connection(server.getsockname()) as line:
                line.settimeout(5)
                line.recv(1)

        monkeypatch.setattr(engine, "connect", ask)
        monkeypatch.setattr(engine, "url", make_url("mysql://me:pw@127.0.0.1/x"))
        with pytest.raises(ConnectionError, match=r"no answer within 0\.2 s"):
            connected(engine)


def test_whatever_a_driver_raises_is_told_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = create_engine("sqlite://")
    monkeypatch.setattr(engine, "url", make_url("mysql://me:p%40w-1@h/x"))

    def fail() -> None:
        raise RuntimeError("no package for p@w-1, p%40w-1\nand more")

    monkeypatch.setattr(engine, "connect", fail)
    with pytest.raises(ConnectionError) as caught:
        connected(engine)
    assert str(caught.value) == "no package for ***, ***"


def test_the_advice_for_a_missing_driver_names_its_package() -> None:
    missing = ModuleNotFoundError("No module named 'MySQLdb'", name="MySQLdb")
    assert _driver_advice(missing) == "Install it: pip install mysqlclient"
    assert "psycopg[binary]" in _driver_advice(ModuleNotFoundError(name="psycopg"))
    assert "pymysql" in _driver_advice(ModuleNotFoundError(name="pymysql"))
    library = ImportError("libodbc.so.2: cannot open shared object file")
    assert "pip" not in _driver_advice(library)
