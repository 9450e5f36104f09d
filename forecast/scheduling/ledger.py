"""The ledger: every published forecast and what became of it, in SQLite.

Each change is one transaction in WAL mode with full synchronisation, so that a kill at any instant
leaves the state before it or after it. Positions are grid positions; forecasts and scales are
packed (see ledger_packing.py), up to some megabytes of series in a row.
Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forecast.common.errors import OutputError
from forecast.inference.point import MEDIAN
from forecast.scheduling.history import Known
from forecast.scheduling.ledger_checks import damaged

# --- Arrays as small blobs, without loss: like bytes beside each other, then zlib ----------------
# Forecasts of neighbouring quantiles differ in their low bytes alone; written as differences along
# the quantiles and by planes of equal significance they take half the room of the plain numbers.
# Axes: S series, H horizon (steps), Q quantiles.


LEVEL = 6  # of zlib: a third of the time of 9 for 2 % more room


def pack(array: np.ndarray) -> bytes:
    """The values of an array of any fixed-size type; its shape and type are not kept."""
    plain = np.ascontiguousarray(array)
    little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    planes = little.view(np.uint8).reshape(-1, plain.dtype.itemsize).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), LEVEL)


def unpack(blob: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """What `pack` was given: type (little-endian, as "<f8") and shape as they were."""
    size = np.dtype(dtype).itemsize
    most = size * math.prod(shape)
    reader = zlib.decompressobj()
    plain = reader.decompress(blob, most + 1)
    if len(plain) != most or not reader.eof:
        raise ValueError(f"{len(plain)} bytes in place of {most}")
    planes = np.frombuffer(plain, np.uint8).reshape(size, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)


def pack_quantiles(quantiles: np.ndarray) -> bytes:
    """Quantiles (S, H, Q) as float32, to the bit."""
    bits = np.ascontiguousarray(quantiles, "<f4").view("<u4")
    return pack(np.diff(bits, axis=2, prepend=np.uint32(0)))


def unpack_quantiles(blob: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The float32 of `pack_quantiles`; shape: (S, H, Q)."""
    return np.cumsum(unpack(blob, "<u4", shape), axis=2, dtype=np.uint32).view(np.float32)


def pack_point(point: np.ndarray, quantiles: np.ndarray) -> bytes:
    """Points (S, H) as float64, to the bit: what they have beyond the median of `quantiles`
    (S, H, Q), which they mostly are but for its precision."""
    return pack(point.astype("<f8").view("<u8") ^ _median_bits(quantiles))


def unpack_point(blob: bytes, quantiles: np.ndarray) -> np.ndarray:
    """The float64 (S, H) of `pack_point`, with the same quantiles."""
    return (unpack(blob, "<u8", quantiles.shape[:2]) ^ _median_bits(quantiles)).view(np.float64)


def _median_bits(quantiles: np.ndarray) -> np.ndarray:
    median = quantiles[:, :, quantiles.shape[2] // 2]
    return median.astype("<f4").astype("<f8").view("<u8")


# --- The ledger's tables, and how a ledger of an earlier version becomes one of this -------------
# Version 1 had a row for each step of each series, three times as large.


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

# Beside the tables of its version, so that earlier releases, which publish medians alone, can still
# read and write it: what they do not know of goes with the run.
POINTS = """
CREATE TABLE IF NOT EXISTS points (
  run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE, point TEXT NOT NULL)"""

Part = tuple[int, bytes, bytes, bytes, bytes, bytes]


def prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables where there are none; within a transaction.

    Raises OutputError for a ledger of another version.
    """
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'")
    if not tables.fetchone()[0]:
        for statement in (TABLES + ";" + PACKED).split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        return
    version = version_of(connection)
    if not (version or "").isdigit():
        raise damaged(path, f"its version is {version!r}")
    if version != str(SCHEMA_VERSION):
        raise OutputError(
            "the ledger was written by another version of lstmcast",
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


# -------------------------------------------------------------------------------------------------


NAME = "ledger.sqlite"


@dataclass(frozen=True)
class Published:
    """One published forecast as the ledger takes it.

    ids (S,) str, source (S,) str, scale float64 (S,): MASE's denominator, NaN where undefined;
    point float64 (S, H), levels (Q,), quantiles float (S, H, Q). cutoff: grid position of the
    as-of; step h is cutoff + h. kind: what the points are, "median", "mean" or a quantile.
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
    kind: str = MEDIAN


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
            if version_of(connection) != str(SCHEMA_VERSION):
                with transaction(connection):
                    prepare_tables(connection, path)
            connection.execute(POINTS)
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.close()
    except sqlite3.Error as error:
        raise _failure(path, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; within another one it is part of that."""
    if connection.in_transaction:
        yield
        return
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
        numbers = np.array(series_numbers(connection, made.ids), np.int64)
        packed = parts(numbers, list(made.source), made.scale, made.point, made.quantiles)
        connection.executemany(
            "INSERT INTO forecasts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((cursor.lastrowid, n, *part) for n, part in enumerate(packed)),
        )
        if made.kind != MEDIAN:
            row = (cursor.lastrowid, made.kind)
            connection.execute("INSERT INTO points VALUES (?, ?)", row)


@dataclass(frozen=True)
class Recorded:
    """Part of a recorded forecast: series int64 (S,), scale (S,), point (S, H), quantiles float32
    (S, H, Q), medians (S, H): the points, to the bit, where these are medians."""

    series: np.ndarray
    scale: np.ndarray
    point: np.ndarray
    quantiles: np.ndarray
    medians: np.ndarray


def recorded(connection: sqlite3.Connection, run: int) -> Iterator[Recorded]:
    """The forecast of the run of this number, part by part; nothing where retention let it go."""
    horizon, levels, kind = connection.execute(
        "SELECT horizon, levels, point FROM runs LEFT JOIN points ON points.run = id WHERE id = ?",
        (run,),
    ).fetchone()
    width = len(json.loads(levels))
    rows = connection.execute(
        "SELECT size, series, scale, point, quantiles FROM forecasts WHERE run = ? ORDER BY part",
        (run,),
    )
    for size, series, scale, point, packed in rows:
        try:
            quantiles = unpack_quantiles(packed, (size, horizon, width))
            points = unpack_point(point, quantiles)
            part = Recorded(
                unpack(series, "<i8", (size,)),
                unpack(scale, "<f8", (size,)),
                points,
                quantiles,
                points if kind is None else quantiles[:, :, width // 2].astype(float),
            )
        except (zlib.error, ValueError, TypeError) as error:
            raise damaged(Path(NAME), f"a part of a forecast cannot be read ({error})") from error
        yield part


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


def moment_number(connection: sqlite3.Connection, at: str) -> int:
    """The ledger's number of a moment (ISO 8601), given out where it has none."""
    connection.execute("INSERT OR IGNORE INTO moments (at) VALUES (?)", (at,))
    return int(connection.execute("SELECT id FROM moments WHERE at = ?", (at,)).fetchone()[0])


def is_on(connection: sqlite3.Connection, grid: str | None) -> bool:
    """Whether the ledger's positions count on this grid; one that says nothing takes any."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'grid'").fetchone()
    return grid is None or found is None or found[0] == grid


def begin_on(connection: sqlite3.Connection, grid: str | None) -> None:
    """Lets the ledger count on another grid: what it holds of the one before cannot be compared
    with anything on this one, and goes."""
    with transaction(connection):
        for table in ("runs", "actuals", "restated"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE series SET first = NULL, length = NULL, fingerprint = NULL")
        connection.execute("DELETE FROM meta WHERE key = 'grid'")
    note_grid(connection, grid)


def note_grid(connection: sqlite3.Connection, grid: str | None) -> None:
    """Keeps on which grid the positions count."""
    if grid is not None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('grid', ?)", (grid,))


MOMENTS = 100  # let go at once at most: each of them is looked for among all actuals


def apply_retention(connection: sqlite3.Connection, keep: int) -> None:
    """Keeps the forecasts of the newest `keep` cutoffs and the scores of four times as many.

    Actuals that no kept forecast needs go too, and the moments at which they were seen.
    """
    newest = "SELECT id FROM runs ORDER BY cutoff DESC LIMIT ?"
    with transaction(connection):
        connection.execute(f"DELETE FROM forecasts WHERE run NOT IN ({newest})", (keep,))
        connection.execute(f"DELETE FROM runs WHERE id NOT IN ({newest})", (4 * keep,))
        first = oldest_forecast(connection)
        if first is not None:
            for table in ("actuals", "restated"):
                connection.execute(f"DELETE FROM {table} WHERE position <= ?", (first,))
        seen = "SELECT min(seen) AS id FROM actuals UNION ALL SELECT min(seen) FROM restated"
        connection.execute(
            f"DELETE FROM moments WHERE id < (SELECT min(id) FROM ({seen})) AND id IN "
            f"(SELECT id FROM moments ORDER BY id LIMIT {MOMENTS})"
        )


def oldest_forecast(connection: sqlite3.Connection, unscored: bool = False) -> int | None:
    """The first cutoff whose forecast the ledger still holds; unscored: and that has no score."""
    wanted = " AND id NOT IN (SELECT run FROM scores)" if unscored else ""
    found = connection.execute(
        f"SELECT min(cutoff) FROM runs WHERE id IN (SELECT run FROM forecasts){wanted}"
    ).fetchone()[0]
    return None if found is None else int(found)


def set_aside(path: Path) -> None:
    """Moves a damaged ledger out of the way: ledger.damaged, in place of an earlier one."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    kept = path.with_name("ledger.damaged")
    if kept.is_dir() and not kept.is_symlink():
        kept = path.with_name(f"ledger.damaged-{time.time_ns()}")
    path.replace(kept)


def is_damaged(error: BaseException) -> bool:
    """Whether an OutputError says that the ledger's content is beyond reading."""
    return isinstance(error, OutputError) and error.code == "ledger/damaged"


# What the machine, not the content, is to blame for.
_OUTSIDE = ("CANTOPEN", "READONLY", "IOERR", "BUSY", "LOCKED", "PERM", "AUTH", "NOMEM", "NOLFS",
            "PROTOCOL", "INTERRUPT")  # fmt: skip


def _is_full(folder: Path) -> bool:
    """Whether the disk has no room for a page of SQLite's shared memory, which it then calls an
    input/output error."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 2**16


def _failure(path: Path, error: sqlite3.Error) -> OutputError:
    name = (getattr(error, "sqlite_errorname", "") or "").removeprefix("SQLITE_")
    if name.startswith("FULL") or (name.startswith("IOERR") and _is_full(path.parent)):
        remedy = "Free some space; what is published is intact"
        return OutputError(
            f"the ledger: {error}", code="output/disk-full", where=str(path), remedy=remedy
        )
    no_file = path.is_dir() or (path.is_symlink() and not path.exists())
    if name.startswith(_OUTSIDE) and not no_file:
        remedy = "Check the disk and the folder's permissions"
        return OutputError(
            f"the ledger: {error}", code="ledger/failed", where=str(path), remedy=remedy
        )
    return damaged(path, str(error))
