"""The ledger's tables, and how a ledger of an earlier version becomes one of this.

Version 1 had a row for each step of each series, three times as large.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forecast.common.errors import OutputError
from forecast.scheduling.ledger_packing import pack, pack_point, pack_quantiles

SCHEMA_VERSION = 2
PART = 4_000_000  # bytes of numbers that a row of `forecasts` holds at most, before packing
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, sequence INTEGER NOT NULL,
  cutoff INTEGER NOT NULL UNIQUE, cutoff_time TEXT NOT NULL, created TEXT NOT NULL,
  model TEXT NOT NULL, horizon INTEGER NOT NULL, season INTEGER NOT NULL, levels TEXT NOT NULL);
CREATE TABLE series (
  id INTEGER PRIMARY KEY, unique_id TEXT NOT NULL UNIQUE,
  first INTEGER, length INTEGER, fingerprint INTEGER);
CREATE TABLE scores (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, step INTEGER NOT NULL,
  count INTEGER NOT NULL, absolute REAL NOT NULL, scaled REAL NOT NULL,
  scaled_count INTEGER NOT NULL, inside TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE deliveries (
  run TEXT NOT NULL, target TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (run, target))
  WITHOUT ROWID"""
PACKED = """
CREATE TABLE forecasts (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, part INTEGER NOT NULL,
  size INTEGER NOT NULL, series BLOB NOT NULL, source BLOB NOT NULL, scale BLOB NOT NULL,
  point BLOB NOT NULL, quantiles BLOB NOT NULL, PRIMARY KEY (run, part));
CREATE TABLE moments (id INTEGER PRIMARY KEY, at TEXT NOT NULL UNIQUE);
CREATE TABLE actuals (
  position INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES series, value REAL,
  revision INTEGER NOT NULL, seen INTEGER NOT NULL REFERENCES moments,
  PRIMARY KEY (position, series)) WITHOUT ROWID;
CREATE TABLE restated (
  position INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES series, revision INTEGER NOT NULL,
  value REAL, seen INTEGER NOT NULL REFERENCES moments,
  PRIMARY KEY (position, series, revision)) WITHOUT ROWID"""

Part = tuple[int, bytes, bytes, bytes, bytes, bytes]


def prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables, or brings them to this version; within a transaction.

    Raises OutputError for a ledger of a later version.
    """
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'")
    if not tables.fetchone()[0]:
        for statement in (TABLES + ";" + PACKED).split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        return
    version = version_of(connection)
    if version == "1":
        _from_version_1(connection)
    elif version != str(SCHEMA_VERSION):
        raise OutputError(
            "the ledger was written by a later version of lstmcast",
            code="ledger/incompatible",
            where=str(path),
            value=version,
            remedy="Update lstmcast; or move the ledger away: the next run makes one anew from "
            "the run folders",
        )


def version_of(connection: sqlite3.Connection) -> str | None:
    """The version that wrote the ledger; None where there are no tables yet."""
    try:
        found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(found[0]) if found else "?"


def parts(
    series: np.ndarray,
    source: list[str],
    scale: np.ndarray,
    point: np.ndarray,
    quantiles: np.ndarray,
) -> Iterator[Part]:
    """(size, series, source, scale, point, quantiles) of each row of `forecasts` of one run.

    series int64 (S,): numbers; source (S,); scale (S,); point (S, H), quantiles (S, H, Q).
    """
    width = 4 * point.shape[1] * (quantiles.shape[2] + 2)
    most = max(1, PART // width)
    for at in range(0, len(series), most):
        here = slice(at, at + most)
        yield (
            len(series[here]),
            pack(series[here].astype(np.int64)),
            zlib.compress(json.dumps(source[here]).encode()),
            pack(scale[here].astype(np.float64)),
            pack_point(point[here], quantiles[here]),
            pack_quantiles(quantiles[here]),
        )


def _from_version_1(connection: sqlite3.Connection) -> None:
    for name in ("forecasts", "actuals", "restated"):
        connection.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    for statement in PACKED.split(";"):
        connection.execute(statement)
    for run, horizon in connection.execute("SELECT id, horizon FROM runs").fetchall():
        connection.executemany(
            "INSERT INTO forecasts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((run, n, *part) for n, part in enumerate(_old_parts(connection, run, horizon))),
        )
    connection.execute(
        "INSERT INTO moments (at) SELECT seen FROM old_actuals UNION SELECT seen FROM old_restated"
    )
    for name in ("actuals", "restated"):
        connection.execute(
            f"INSERT INTO {name} (position, series, revision, value, seen) SELECT position, series,"
            f" revision, value, moments.id FROM old_{name} JOIN moments ON at = seen"
        )
    for name in ("old_forecasts", "run_series", "old_actuals", "old_restated"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("UPDATE meta SET value = ?", (str(SCHEMA_VERSION),))


def _old_parts(connection: sqlite3.Connection, run: int, horizon: int) -> Iterator[Part]:
    about = connection.execute(
        "SELECT series, source, scale FROM run_series WHERE run = ? ORDER BY series", (run,)
    ).fetchall()
    rows = connection.execute(
        "SELECT point, quantiles FROM old_forecasts WHERE run = ? ORDER BY series, step", (run,)
    ).fetchall()
    if not rows:  # let go by retention
        return
    series, source, scale = zip(*about, strict=True)
    point, packed = zip(*rows, strict=True)
    quantiles = np.frombuffer(b"".join(packed), "<f4").reshape(len(series), horizon, -1)
    yield from parts(
        np.array(series, np.int64), list(source), np.array(scale, float),
        np.array(point).reshape(-1, horizon), quantiles,
    )  # fmt: skip
