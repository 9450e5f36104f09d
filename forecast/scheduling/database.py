"""Published forecasts in the user's database: one transaction for each as-of, never a row twice.

Which runs have reached the table is kept in the ledger, so that a run which was killed between its
publication and the table, or a database that was away, is made up for at the next start.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from forecast.common.errors import OutputError
from forecast.common.progress import Listener
from forecast.common.secrets import redacted
from forecast.data.io.database import cause_of, connected, engine_to_write
from forecast.data.panel import ID, TIME
from forecast.inference.tables import TEXTS, read_predictions
from forecast.scheduling import ledger
from forecast.scheduling.config import Job
from forecast.scheduling.publication import RUNS, PublishedForecast
from forecast.scheduling.recovery import State

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Table

KEYS = {"job": 255, "as_of": 64, ID: 255, TIME: 64}  # and their most signs: MySQL indexes 768


def deliver(job: Job, state: State, listener: Listener, at: str) -> None:
    """Brings the table to what is published; nothing where the job has no database.

    Raises OutputError when the database cannot be written: what is published as files stays, and
    the next run tries again. Raises UsageError when SQLAlchemy or the address is missing.
    """
    address = job.database()
    if address is None:
        return
    target = hashlib.sha256(f"{address} {job.section.outputs.table}".encode()).hexdigest()[:16]
    with ledger.opened(job.folder / ledger.NAME) as connection:
        done = _delivered(connection, target)
        wanted = {e.position: e for e in state.comparable}
        owed = [e for e in wanted.values() if e.run not in done and _newer(e, done, state)]
        gone = sorted(done & state.withdrawn & set(state.forecasts))
        withdrawn = [state.forecasts[run] for run in gone]
        if not owed and not withdrawn:
            return
        restored = [wanted[e.position] for e in withdrawn if e.position in wanted and e not in owed]
        _write(job, address, [*owed, *restored], withdrawn)
        with ledger.transaction(connection):
            connection.executemany(
                "DELETE FROM deliveries WHERE run = ? AND target = ?",
                [(e.run, target) for e in withdrawn],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)",
                [(e.run, target, at) for e in (*owed, *restored)],
            )
    for published in owed:
        listener.note(f"{published.run} is in the table {job.section.outputs.table}")


def _delivered(connection: sqlite3.Connection, target: str) -> set[str]:
    rows = connection.execute("SELECT run FROM deliveries WHERE target = ?", (target,))
    return {run for (run,) in rows}


def _newer(published: PublishedForecast, done: set[str], state: State) -> bool:
    """A table that is new gets the newest publication; from then on every one."""
    known = [e.sequence for e in state.forecasts.values() if e.run in done]
    if known:
        return published.sequence > min(known)
    return published is state.standing[-1]


def _write(
    job: Job, address: str, forecasts: list[PublishedForecast], withdrawn: list[PublishedForecast]
) -> None:
    engine = engine_to_write(address, str(job.config))
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    tables = [(e, _predictions(job, e)) for e in forecasts]
    try:
        try:
            _bring(engine, job, tables, withdrawn)
        except (IntegrityError, ProgrammingError):  # another job made the table at the same moment
            _bring(engine, job, tables, withdrawn)
    except (SQLAlchemyError, ConnectionError) as error:
        cause = cause_of(error, engine.url)
        raise OutputError(
            f"the database refuses the forecast: {redacted(cause, job.secrets())}",
            code="output/database",
            where=job.section.outputs.table,
            remedy="The files are published; the next run tries the table again",
        ) from None
    finally:
        engine.dispose()


def _bring(
    engine: Engine,
    job: Job,
    tables: list[tuple[PublishedForecast, pa.Table]],
    withdrawn: list[PublishedForecast],
) -> None:
    with connected(engine) as connection, connection.begin():
        for published in withdrawn:
            _forget(connection, job, published)
        for published, table in tables:
            _replace(connection, job, published, table)


def _predictions(job: Job, published: PublishedForecast) -> pa.Table:
    """The users' table of a run, read from its folder."""
    return read_predictions(job.folder / RUNS / published.run)


def _replace(
    connection: Connection, job: Job, published: PublishedForecast, table: pa.Table
) -> None:
    """All rows of one as-of, in place of those that were there."""
    made = _table(job, table.column_names)
    made.create(connection, checkfirst=True)
    _widen(connection, made)
    _delete(connection, made, job, published)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    columns[TIME] = [str(value) for value in columns[TIME]]
    keys = {"job": job.name, "as_of": published.manifest["as_of"]}
    rows: list[dict[str, Any]] = [
        {**keys, **dict(zip(columns, row, strict=True))}
        for row in zip(*columns.values(), strict=True)
    ]
    if rows:
        connection.execute(made.insert(), rows)


def _widen(connection: Connection, made: Table) -> None:
    """Gives the table the columns that it lacks: another interval, a blend, a planner's numbers."""
    from sqlalchemy import inspect
    from sqlalchemy.schema import CreateColumn

    there = {each["name"] for each in inspect(connection).get_columns(made.name, made.schema)}
    place = connection.dialect.identifier_preparer.format_table(made)
    for column in made.columns:
        if column.name not in there:
            new = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {place} ADD COLUMN {new}")


def _forget(connection: Connection, job: Job, published: PublishedForecast) -> None:
    """No row of this as-of."""
    from sqlalchemy import inspect

    schema, _, name = job.section.outputs.table.rpartition(".")
    if inspect(connection).has_table(name, schema=schema or None):
        _delete(connection, _table(job, []), job, published)


def _delete(connection: Connection, table: Table, job: Job, published: PublishedForecast) -> None:
    mine = (table.c.job == job.name) & (table.c.as_of == published.manifest["as_of"])
    connection.execute(table.delete().where(mine))


def _table(job: Job, columns: Sequence[str]) -> Table:
    from sqlalchemy import Column, Float, MetaData, String, Table, Text

    def key(name: str) -> Column[Any]:
        """Databases other than these two index no text without a length."""
        kind = String(KEYS[name]).with_variant(Text(), "postgresql", "sqlite")
        return Column(name, kind, primary_key=True)

    schema, _, name = job.section.outputs.table.rpartition(".")
    rest = [each for each in columns if each not in KEYS]
    # Else ids could not be written in every script, and `a`, `A` and `ä` would be one key.
    options: dict[str, Any] = {
        f"{dialect}_{option}": value
        for dialect in ("mysql", "mariadb")
        for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
    }
    return Table(
        name,
        MetaData(),
        *(key(name) for name in KEYS),
        *(Column(name, Text() if name in TEXTS else Float(53)) for name in rest),
        schema=schema or None,
        **options,
    )
