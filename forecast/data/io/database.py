"""Rows of a database query, through SQLAlchemy (an extra of the package: `lstmcast[sql]`)."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from forecast.common.errors import InputError, UsageError, without_password
from forecast.common.files import reading
from forecast.common.secrets import HIDDEN, SECRET, reveal, stands_elsewhere
from forecast.data.io.arrow import as_floats
from forecast.data.io.notes import refuse
from forecast.data.io.remote import is_remote

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL, Connection, Engine

DUCKDB = "duckdb:///"
BATCH = 50_000  # rows fetched at once
ADDRESS_REMEDY = (
    "Write it as sqlite:///file.db or postgresql://host/base; in a password write @ as %40"
)
# A name after a colon, which SQLAlchemy would take for a parameter: '... HH24 :MI', -- :note
PARAMETER = re.compile(r"(?<![:\w\\])(?=:\w+(?!:))")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*")
OTHER_QUOTES = re.compile(r"[\\$#`]|/\*|--\S")  # of some databases, in which QUOTED can err
# What MySQL may be asked. Its read-only transactions stop neither SET GLOBAL nor SHUTDOWN, nor a
# procedure that ends them, nor SELECT ... INTO OUTFILE.
MYSQL_READS = re.compile(
    r"(?:[\s(]|--\s[^\n]*|\#[^\n]*|/\*(?![!M]).*?\*/)*"
    r"(?:select|with|table|values|show|desc|describe|explain)\b",
    re.IGNORECASE | re.DOTALL,
)
SECONDS = 60  # that a server may take to let a user in
# Where the package that brings a module is called otherwise
PACKAGES = {
    "MySQLdb": "mysqlclient",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
# User, password and @ of an address: what stands behind has no other @
WHO = re.compile(r"[\w+.-]+://[^:/]*(?::[^@]*)?@")
ADDRESS = re.compile(
    rf"{SECRET}|(?!(?:https?|s?ftp|ssh|s3[an]?|gc?s|az|adl|abfss?|wasbs?|hdfs|file):)"
    r"[a-z][a-z0-9+_]*://.*"
)


def is_database(source: str) -> bool:
    """Whether `source` is a database address: "sqlite:///sales.db", "env:SALES_DB"."""
    return ADDRESS.fullmatch(source) is not None


def lasting(source: str) -> str | None:
    """How to read `source` again from anywhere; None where it cannot be (standard input)."""
    if is_database(source) or is_remote(source):
        return source
    path = Path(source)
    return str(path.resolve()) if path.exists() else None


def read_query(
    source: str, query: str | None, password: str | None = None
) -> tuple[pa.Table, str, str]:
    """The result of `query`, the address without its password, and a digest of the result.

    source: an SQLAlchemy address, or "env:NAME" or "file:PATH" for one that stands in an
    environment variable or in a file, where others do not see it. password: one of these two, for
    an address without a password. Raises InputError: no query, no such database, a query that
    fails, no rows.
    """
    text = _revealed(source, "the database's address")
    if text.startswith(DUCKDB):
        return _from_duckdb(text.removeprefix(DUCKDB), query, source)
    url = _address(source, text, password)
    where = source if stands_elsewhere(source) else without_password(source)
    if not query:
        raise refuse("input/no-query", "a database needs a query", where=where,
                     remedy="Say what to read: --query 'select ds, y from sales'")  # fmt: skip
    table = _fetch(url, query, where)
    return table, where, _digest(table)


def _from_duckdb(path: str, query: str | None, where: str) -> tuple[pa.Table, str, str]:
    """The result of `query` in a DuckDB file, which is opened for reading alone."""
    try:
        import duckdb
    except ImportError:
        raise refuse("input/no-sql", "this address needs the package duckdb",
                     remedy="pip install 'lstmcast[duckdb]'") from None  # fmt: skip
    if not query:
        raise refuse("input/no-query", "a database needs a query", where=where,
                     remedy="Say what to read: --query 'select ds, y from sales'")  # fmt: skip
    if not Path(path).is_file():
        raise refuse("input/not-found", "there is no such file", where=where,
                     remedy="An address has three slashes: duckdb:///folder/sales.duckdb, four for "
                     "a path from the root")  # fmt: skip
    reading(path)
    try:
        with duckdb.connect(path, read_only=True) as connection:
            # Only the file is opened for reading: COPY, ATTACH and others write elsewhere.
            kinds = [each.type for each in connection.extract_statements(query)]
            if kinds != [duckdb.StatementType.SELECT]:
                raise _not_one_select(query, where)
            table = connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        first = str(error).strip().splitlines()[0]
        raise refuse("input/query", f"the query failed: {first[:300]}", where=where,
                     remedy="Check it, and that no other program writes") from None  # fmt: skip
    if table.num_rows == 0:
        raise refuse("input/no-rows", "the query returned no rows", where=where,
                     remedy="Check its conditions")  # fmt: skip
    return table, where, _digest(table)


def _address(source: str, text: str, password: str | None) -> URL:
    """The address `text` that `source` stands for, with its password."""
    try:
        url = url_of(text)
    except ImportError:
        raise refuse("input/no-sql", "databases need SQLAlchemy, which is not installed",
                     remedy="pip install 'lstmcast[sql]'") from None  # fmt: skip
    except ValueError:
        shown = source if text != source else without_password(source)
        raise refuse("input/address", "this is no database address", where=shown,
                     remedy=ADDRESS_REMEDY) from None  # fmt: skip
    if password:
        return url.set(password=_revealed(password, "the database's password"))
    if url.password == HIDDEN:
        raise refuse(
            "input/no-password", "the password of this address was not kept",
            where=without_password(source),
            remedy="Give it as --db-password env:NAME or file:PATH, or the whole address again",
        )  # fmt: skip
    return url


def url_of(text: str) -> URL:
    """The address `text`. Raises ValueError where it is none, or where an @ in the password leaves
    open at which one the host begins: what is taken for the host is told to others."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    who = WHO.match(text)
    if who and "@" in text[who.end() :].split("?")[0]:
        raise ValueError("several @ in an address")
    try:
        return make_url(text)
    except ArgumentError:
        raise ValueError("no address") from None


def _revealed(setting: str, what: str) -> str:
    """What `setting` stands for, as an error of the input where it cannot be found."""
    try:
        return reveal(setting, what)
    except UsageError as error:
        raise refuse("input/no-address", error.message, where=error.where or setting,
                     remedy=error.remedy) from None  # fmt: skip


def _not_one_select(query: str, where: str) -> InputError:
    return refuse("input/query", "a query may only read, and be one", where=where, value=query,
                  remedy="Give one SELECT, without COPY, ATTACH or SET before or behind it; for a "
                  "PIVOT name its values: IN (...)")  # fmt: skip


def _plain(query: str) -> str:
    """The query without what is quoted or a comment, unless other ways of quoting could hide where
    these end."""
    return query if OTHER_QUOTES.search(query) else QUOTED.sub(" ", query)


def _several(query: str) -> bool:
    """Whether a `;` with more behind it ends a first statement: a second one could leave the
    transaction that can only read."""
    return re.search(r";[\s;]*[^\s;]", _plain(query)) is not None


def _reads(query: str, url: URL) -> bool:
    """Whether this is one statement, and of a kind that the database can hold to reading."""
    if _several(query):
        return False
    if url.get_backend_name() not in ("mysql", "mariadb"):
        return True
    into = re.search(r"\binto\b", _plain(query), re.IGNORECASE)
    return into is None and MYSQL_READS.match(query) is not None


def _fetch(url: URL, query: str, where: str) -> pa.Table:
    import pyarrow as pa
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import NoSuchModuleError

    _check_file(url, where)
    if not _reads(query, url):
        raise _not_one_select(query, where)
    asked = text(PARAMETER.sub(r"\\", query))
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError) as error:
        raise refuse("input/no-driver", f"the database's driver is not installed: {error}",
                     where=where, remedy=_driver_advice(error)) from None  # fmt: skip
    _only_read(engine)
    with _connection(engine, where) as connection:
        try:
            result = connection.execution_options(stream_results=True).execute(asked)
            names = list(result.keys())
            parts = [list(zip(*rows, strict=True)) for rows in result.partitions(BATCH)]
        except Exception as error:  # a driver has errors of its own: a year that Python lacks
            raise _query_error(error, url, where) from None
    if not parts:
        raise refuse("input/no-rows", "the query returns no rows", where=where, value=query)
    columns = [
        _column([v for part in parts for v in part[n]], names[n], where) for n in range(len(names))
    ]
    return pa.Table.from_arrays(columns, names)


def engine_to_write(address: str, where: str) -> Engine:
    """The database that `outputs.database` of the config at `where` names. Raises UsageError where
    that can be none here."""
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError:
        raise UsageError(
            "writing to a database needs SQLAlchemy, which is not installed",
            code="output/no-sql",
            where="outputs.database",
            remedy="pip install 'lstmcast[sql]'",
        ) from None
    advice = ADDRESS_REMEDY
    try:
        return create_engine(url_of(address))
    except (NoSuchModuleError, ImportError) as error:
        advice = _driver_advice(error)
    except (ArgumentError, ValueError):
        pass
    raise UsageError(
        "outputs.database is no address of a database whose driver is installed",
        code="output/database-address",
        where=where,
        remedy=advice,
    )


def _driver_advice(error: Exception) -> str:
    """What to do about an engine that cannot be made of an address that is right."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.split(".")[0]
        return f"Install it: pip install {PACKAGES.get(module, module)}"
    if isinstance(error, ImportError):
        return "Install the system's library that it names"
    return "Install it: SQLAlchemy's page on dialects names the package"


def _only_read(engine: Engine) -> None:
    """Lets the database refuse whatever would change something, where it can be told to."""
    from sqlalchemy import event

    words = {
        "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
        "mariadb": "SET SESSION TRANSACTION READ ONLY",
        "sqlite": "PRAGMA query_only = ON",
    }.get(engine.url.get_backend_name())

    def begin(connection: Any, _: Any) -> None:
        if words is not None:
            cursor = connection.cursor()
            cursor.execute(words)
            cursor.close()
            connection.commit()
        if hasattr(connection, "set_authorizer"):
            connection.set_authorizer(_allowed)

    event.listen(engine, "connect", begin)


def _allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's question before each part of a statement: no other file is opened, made or loaded,
    and no setting changed."""
    import sqlite3

    outside = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    setting = action == sqlite3.SQLITE_PRAGMA and first not in ("table_info", "table_xinfo")
    code = action == sqlite3.SQLITE_FUNCTION and second == "load_extension"
    return sqlite3.SQLITE_DENY if outside or setting or code else sqlite3.SQLITE_OK


def _check_file(url: URL, where: str) -> None:
    """SQLite makes a new, empty file of a mistyped name; refuse it instead."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file.startswith((":memory:", "file:")):
        return
    if not os.path.isfile(file):
        raise refuse("input/not-found", "there is no such database file", where=where,
                     remedy="Check the path (three slashes: relative, four: absolute)")  # fmt: skip
    reading(file)


def connected(engine: Engine) -> Connection:
    """A connection. Raises ConnectionError with the reason, without the password, where the server
    is not there, refuses the user or does not answer, which few drivers notice by themselves."""
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)  # what fails is told once, by us
    made: list[Connection | Exception] = []

    def connect() -> None:
        try:
            made.append(engine.connect())
        except Exception as error:  # RuntimeError, TypeError: whatever a driver has
            made.append(error)

    if engine.url.host is None:
        connect()
    else:
        asking = threading.Thread(target=connect, daemon=True)
        asking.start()
        asking.join(SECONDS)
    answer = made[0] if made else TimeoutError(f"no answer within {SECONDS} s")
    if isinstance(answer, Exception):
        raise ConnectionError(cause_of(answer, engine.url)) from None
    return answer


def _connection(engine: Engine, where: str) -> Connection:
    """Raises InputError where the database cannot be reached or refuses the user."""
    try:
        return connected(engine)
    except ConnectionError as error:
        raise refuse(
            "input/no-connection", f"the database cannot be reached: {error}",
            where=where, remedy="Check host, port, user and password, and that it runs",
        ) from None  # fmt: skip


def _query_error(error: Exception, url: URL, where: str) -> InputError:
    return refuse("input/query", f"the database refuses the query: {cause_of(error, url)}",
                  where=where, remedy="Try the query in the database's own shell")  # fmt: skip


def cause_of(error: Exception, url: URL) -> str:
    """The driver's own words, the password struck out."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    cause = lines[0] if lines else type(error).__name__
    if url.password:
        password = str(url.password)
        for written in (password, quote(password, safe=""), quote_plus(password)):
            cause = cause.replace(written, HIDDEN)
    return cause


def _column(values: Sequence[Any], name: str, where: str) -> pa.Array:
    import pyarrow as pa

    if _several_offsets(values):
        parts = (
            "microseconds" if any(v is not None and v.microsecond for v in values) else "seconds"
        )
        values = [v if v is None else v.isoformat(timespec=parts) for v in values]
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        array = _large_numbers(values, name, where)
    if pa.types.is_decimal(array.type) and array.type.scale <= 0:
        return _whole(array)
    numeric = pa.types.is_decimal(array.type) or pa.types.is_null(array.type)
    return as_floats(array) if numeric else array


def _large_numbers(values: Sequence[Any], name: str, where: str) -> pa.Array:
    """Numbers of which no one type of Arrow holds all as they are: over 2^63, NaN among decimals.
    Raises InputError for values of several types."""
    import pyarrow as pa

    kinds: dict[type, Any] = {}
    for value in values:
        if value is not None:
            kinds.setdefault(type(value), value)
    if not set(kinds) <= {int, float, Decimal}:
        found = ", ".join(f"{kind.__name__} {str(first)!r}" for kind, first in kinds.items())
        raise refuse("input/mixed-types", f"column '{name}' holds values of several types",
                     where=where, value=found,
                     remedy="Cast it to one type in the query, or leave rows out")  # fmt: skip
    if set(kinds) == {int}:
        try:
            return pa.array([v if v is None else Decimal(v) for v in values])
        except pa.ArrowInvalid:
            pass  # more digits than any type of Arrow has
    return pa.array([v if v is None else float(v) for v in values])


def _whole(array: pa.Array) -> pa.Array:
    """Decimals without a fraction as integers, so that ids and times of many digits keep them all;
    as they are where they are too large for that."""
    import pyarrow as pa

    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array


def _several_offsets(values: Sequence[Any]) -> bool:
    """Whether these are times with several offsets, of winter and summer, for which Arrow has no
    type: it would write all with the first one."""
    times = [v for v in values if isinstance(v, datetime) and isinstance(v.tzinfo, timezone)]
    return len({v.tzinfo for v in times}) > 1


def _digest(table: pa.Table) -> str:
    """sha256 of the result in Arrow's stream form."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
