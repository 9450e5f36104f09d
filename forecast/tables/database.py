"""Rows of a database query, through SQLAlchemy (an extra of the package: `lstmcast[sql]`)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from forecast.errors import InputError
from forecast.tables.notes import refuse

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL

BATCH = 50_000  # rows fetched at once
ADDRESS = re.compile(r"env:\w+|(?!https?:|ftp:|s3:|gs:|file:)[a-z][a-z0-9+_]*://.*")


def is_database(source: str) -> bool:
    """Whether `source` is a database address: "sqlite:///sales.db", "env:SALES_DB"."""
    return ADDRESS.fullmatch(source) is not None


def read_query(source: str, query: str | None) -> tuple[pa.Table, str, str]:
    """The result of `query`, the address without its password, and a digest of the result.

    source: an SQLAlchemy address, or "env:NAME" for one in an environment variable, where a
    password is not seen by others. Raises InputError: no query, no such database, a query that
    fails, no rows.
    """
    url = _address(source)
    where = source if source.startswith("env:") else url.render_as_string(hide_password=True)
    if not query:
        raise refuse("input/no-query", "a database needs a query", where=where,
                     remedy="Say what to read: --query 'select ds, y from sales'")  # fmt: skip
    table = _fetch(url, query, where)
    return table, where, _digest(table)


def _address(source: str) -> URL:
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise refuse("input/no-sql", "databases need SQLAlchemy, which is not installed",
                     remedy="pip install 'lstmcast[sql]'") from None  # fmt: skip
    text = source
    if source.startswith("env:"):
        text = os.environ.get(source[4:], "")
        if not text:
            raise refuse("input/no-address", f"the environment variable {source[4:]} is not set",
                         remedy="Set it to the database's address")  # fmt: skip
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise refuse(
            "input/address", "this is no database address", where=_without_secret(source),
            remedy="Write it as sqlite:///file.db or postgresql://host/base",
        ) from None  # fmt: skip


def _without_secret(text: str) -> str:
    return re.sub(r"://[^@/]*@", "://***@", text)


def _fetch(url: URL, query: str, where: str) -> pa.Table:
    import pyarrow as pa
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    _check_file(url, where)
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            result = connection.execution_options(stream_results=True).execute(text(query))
            names = list(result.keys())
            parts = [list(zip(*rows, strict=True)) for rows in result.partitions(BATCH)]
    except (NoSuchModuleError, ImportError) as error:
        raise refuse("input/no-driver", f"the database's driver is not installed: {error}",
                     where=where, remedy="Install it with pip") from None  # fmt: skip
    except SQLAlchemyError as error:
        raise _query_error(error, url, where) from None
    if not parts:
        raise refuse("input/no-rows", "the query returns no rows", where=where, value=query)
    columns = [
        _column([v for part in parts for v in part[n]], names[n], where) for n in range(len(names))
    ]
    return pa.Table.from_arrays(columns, names)


def _check_file(url: URL, where: str) -> None:
    """SQLite makes a new, empty file of a mistyped name; refuse it instead."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file.startswith((":memory:", "file:")):
        return
    if not os.path.isfile(file):
        raise refuse("input/not-found", "there is no such database file", where=where,
                     remedy="Check the path (three slashes: relative, four: absolute)")  # fmt: skip


def _query_error(error: Exception, url: URL, where: str) -> InputError:
    cause = str(getattr(error, "orig", None) or error).splitlines()[0]
    if url.password:
        cause = cause.replace(str(url.password), "***")
    return refuse("input/query", f"the database refuses the query: {cause}", where=where,
                  remedy="Try the query in the database's own shell")  # fmt: skip


def _column(values: Sequence[Any], name: str, where: str) -> pa.Array:
    import pyarrow as pa

    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise refuse("input/mixed-types", f"column '{name}' holds values of several types",
                     where=where, remedy="Cast it to one type in the query") from None  # fmt: skip
    numeric = pa.types.is_decimal(array.type) or pa.types.is_null(array.type)
    return array.cast(pa.float64()) if numeric else array


def _digest(table: pa.Table) -> str:
    """sha256 of the result in Arrow's stream form."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
