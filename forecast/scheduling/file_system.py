"""Whether a folder's file system can do what scheduled runs ask of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from forecast.common.files import STAGING


def nearest_folder(path: Path) -> Path:
    """`path` if it is a folder, else the closest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def try_folder(folder: Path, *, links: bool = True) -> tuple[str, str] | None:
    """Does in a temporary folder below `folder` what a run does; (what fails, remedy) or None.

    links: also what only a job's own folder needs: links, locks, SQLite's write-ahead log, which
    network file systems often lack.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}", "Change its permissions"
    try:
        _write_and_rename(place)
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        return f"{folder} does not keep files: {error.strerror}", "Choose a folder on another disk"
    try:
        if links:
            _link_and_lock(place)
            _write_ahead(place)
    except (OSError, sqlite3.Error) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        return f"{folder} has no links, locks or shared memory: {what}", "Choose a local disk"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return None


def _write_and_rename(place: Path) -> None:
    with (place / "one").open("wb") as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place / "one", place / "two")
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link_and_lock(place: Path) -> None:
    for name in ("a", "b"):
        os.symlink("two", place / name)
    os.replace(place / "a", place / "b")
    with (place / "lock").open("w") as file, (place / "lock").open("w") as other:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise OSError(0, "a lock keeps nobody out")


def _write_ahead(place: Path) -> None:
    connection = sqlite3.connect(place / "ledger.sqlite", isolation_level=None)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"journal mode {mode} instead of a write-ahead log")
        connection.execute("create table t (x)")
    finally:
        connection.close()
