"""The ledger: every published forecast and what became of it, in SQLite.

Each change is one transaction in WAL mode with full synchronisation, so that a kill at any instant
leaves the state before it or after it. Positions are grid positions.
Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forecast.batch.history import Known
from forecast.errors import OutputError

NAME = "ledger.sqlite"
SCHEMA_VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, sequence INTEGER NOT NULL,
  cutoff INTEGER NOT NULL UNIQUE, cutoff_time TEXT NOT NULL, created TEXT NOT NULL,
  model TEXT NOT NULL, horizon INTEGER NOT NULL, season INTEGER NOT NULL, levels TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, unique_id TEXT NOT NULL UNIQUE,
  first INTEGER, length INTEGER, fingerprint INTEGER);
CREATE TABLE IF NOT EXISTS run_series (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, series INTEGER NOT NULL REFERENCES series,
  source TEXT NOT NULL, scale REAL, PRIMARY KEY (run, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forecasts (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, series INTEGER NOT NULL,
  step INTEGER NOT NULL, point REAL NOT NULL, quantiles BLOB NOT NULL,
  PRIMARY KEY (run, series, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS actuals (
  series INTEGER NOT NULL REFERENCES series, position INTEGER NOT NULL, value REAL,
  revision INTEGER NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (series, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restated (
  series INTEGER NOT NULL REFERENCES series, position INTEGER NOT NULL, revision INTEGER NOT NULL,
  value REAL, seen TEXT NOT NULL, PRIMARY KEY (series, position, revision)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, step INTEGER NOT NULL,
  count INTEGER NOT NULL, absolute REAL NOT NULL, scaled REAL NOT NULL,
  scaled_count INTEGER NOT NULL, inside TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
  run TEXT NOT NULL, target TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (run, target))
  WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Published:
    """One published forecast as the ledger takes it.

    ids (S,) str, source (S,) str, scale float64 (S,): MASE's denominator, NaN where undefined;
    point float64 (S, H), levels (Q,), quantiles float (S, H, Q). cutoff: grid position of the
    as-of; step h is cutoff + h.
    """

    run: str
    sequence: int
    cutoff: int
    cutoff_time: str
    created: str
    model: str
    season: int
    ids: Sequence[str]
    source: Sequence[str]
    scale: np.ndarray
    point: np.ndarray
    levels: Sequence[float]
    quantiles: np.ndarray


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the ledger at `path`, made if missing. Raises OutputError.

    A statement outside `transaction` commits by itself.
    """
    try:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _check_tables(connection, path)
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.close()
    except sqlite3.Error as error:
        raise _failure(path, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):  # an input/output error may have rolled it back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def record(connection: sqlite3.Connection, made: Published) -> None:
    """Appends a publication; one of the same cutoff, or of the same name, is replaced."""
    with transaction(connection):
        connection.execute("DELETE FROM runs WHERE cutoff = ? OR run = ?", (made.cutoff, made.run))
        cursor = connection.execute(
            "INSERT INTO runs (run, sequence, cutoff, cutoff_time, created, model, horizon, season,"
            " levels) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                made.run, made.sequence, made.cutoff, made.cutoff_time, made.created, made.model,
                made.point.shape[1], made.season, json.dumps([float(q) for q in made.levels]),
            ),
        )  # fmt: skip
        run = cursor.lastrowid
        numbers = series_numbers(connection, made.ids)
        scale = [None if np.isnan(s) else float(s) for s in made.scale]
        connection.executemany(
            "INSERT INTO run_series (run, series, source, scale) VALUES (?, ?, ?, ?)",
            zip([run] * len(numbers), numbers, made.source, scale, strict=True),
        )
        connection.executemany(
            "INSERT INTO forecasts (run, series, step, point, quantiles) VALUES (?, ?, ?, ?, ?)",
            _rows(run, numbers, made),
        )


def _rows(run: int | None, numbers: list[int], made: Published) -> Iterator[tuple[object, ...]]:
    horizon = made.point.shape[1]
    packed = np.ascontiguousarray(made.quantiles, "<f4").tobytes()
    width = 4 * len(made.levels)
    points = made.point.reshape(-1).tolist()
    for at, point in enumerate(points):
        number = numbers[at // horizon]
        yield run, number, at % horizon + 1, point, packed[at * width : (at + 1) * width]


def series_numbers(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """The ledger's number of each series, given out where it has none."""
    connection.executemany(
        "INSERT OR IGNORE INTO series (unique_id) VALUES (?)", ((name,) for name in ids)
    )
    found = dict(connection.execute("SELECT unique_id, id FROM series").fetchall())
    return [found[name] for name in ids]


def recorded_runs(connection: sqlite3.Connection) -> dict[int, str]:
    """The run that stands for each cutoff."""
    return dict(connection.execute("SELECT cutoff, run FROM runs").fetchall())


def withdraw(connection: sqlite3.Connection, run: str) -> None:
    """Takes a run and its scores out."""
    connection.execute("DELETE FROM runs WHERE run = ?", (run,))


def known_history(connection: sqlite3.Connection) -> Known:
    """The history of each series as the last run saw it."""
    rows = connection.execute(
        "SELECT unique_id, first, length, fingerprint FROM series WHERE length IS NOT NULL"
    ).fetchall()
    ids, first, length, fingerprint = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Known(
        list(ids),
        np.array(first, np.int64),
        np.array(length, np.int64),
        np.array(fingerprint, np.int64).view(np.uint64),
    )


def remember_history(connection: sqlite3.Connection, known: Known) -> None:
    """Keeps the history of each series; those that are gone are no longer compared."""
    numbers = series_numbers(connection, known.ids)
    connection.execute("UPDATE series SET first = NULL, length = NULL, fingerprint = NULL")
    connection.executemany(
        "UPDATE series SET first = ?, length = ?, fingerprint = ? WHERE id = ?",
        zip(
            known.first.tolist(),
            known.length.tolist(),
            known.fingerprint.view(np.int64).tolist(),
            numbers,
            strict=True,
        ),
    )


def tidy(connection: sqlite3.Connection, keep: int) -> int:
    """Keeps the rows of the newest `keep` cutoffs and the scores of four times as many.

    Actuals that no kept forecast needs go too. Returns the number of forecasts let go.
    """
    with transaction(connection):
        old = connection.execute(
            "SELECT id FROM runs ORDER BY cutoff DESC LIMIT -1 OFFSET ?", (keep,)
        ).fetchall()
        gone = connection.executemany("DELETE FROM forecasts WHERE run = ?", old).rowcount
        connection.executemany("DELETE FROM run_series WHERE run = ?", old)
        connection.execute(
            "DELETE FROM runs WHERE id IN "
            "(SELECT id FROM runs ORDER BY cutoff DESC LIMIT -1 OFFSET ?)",
            (4 * keep,),
        )
        if old:
            first = connection.execute(
                "SELECT min(cutoff) FROM (SELECT cutoff FROM runs ORDER BY cutoff DESC LIMIT ?)",
                (keep,),
            ).fetchone()[0]
            for table in ("actuals", "restated"):
                connection.execute(f"DELETE FROM {table} WHERE position <= ?", (first,))
    return max(gone, 0)


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables once; raises OutputError for a ledger of another version."""
    found = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'"
    ).fetchone()[0]
    if not found:
        with transaction(connection):
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),)
            )
    version = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if version != (str(SCHEMA_VERSION),):
        raise OutputError(
            "the ledger was written by another version of lstmcast",
            code="ledger/incompatible",
            where=str(path),
            value=version[0] if version else None,
            remedy="Move it away; the next run makes a new one from the run folders",
        )


def is_damaged(error: BaseException) -> bool:
    """Whether an OutputError says that the ledger's content is beyond reading."""
    return isinstance(error, OutputError) and error.code == "ledger/damaged"


def _failure(path: Path, error: sqlite3.Error) -> OutputError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        code, remedy = "ledger/damaged", "The next run makes a new one from the run folders"
    elif name.startswith("SQLITE_FULL"):
        code, remedy = "output/disk-full", "Free some space; what is published is intact"
    else:
        code, remedy = "ledger/failed", "Check the disk and the folder's permissions"
    return OutputError(f"the ledger: {error}", code=code, where=str(path), remedy=remedy)
