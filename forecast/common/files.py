"""Writing whole or not at all: temporary name in the same folder, flush, fsync, rename."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from forecast.common.errors import OutputError

STAGING = ".writing-"  # folders of this prefix are unfinished and never read


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step. Raises OutputError; the old file stays then."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path`, in one step, when the block succeeds.

    For what is too large to be held as bytes. Raises OutputError; `path` is untouched when the
    block fails or the process dies.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=STAGING, dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise failed_to_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A staging folder beside `path` that takes its place, in one step, when the block succeeds.

    An existing `path` is swapped out and then removed. Raises OutputError; `path` is untouched
    when the block fails or the process dies.
    """
    staging: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=path.parent))
        os.chmod(staging, 0o777 & ~_umask())
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        _take_place(staging, path)
        sync_folder(path.parent)
    except OSError as error:
        raise failed_to_write(path, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def failed_to_write(path: Path, error: OSError) -> OutputError:
    """What the user is told when `path` could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "Free some space" if full else "Check the folder's permissions, or name another"
    return OutputError(
        f"cannot write: {error.strerror or error}",
        code="output/disk-full" if full else "output/cannot-write",
        where=str(path),
        remedy=f"{remedy}; earlier results are intact",
    )


def _take_place(staging: Path, path: Path) -> None:
    """Renames `staging` to `path`; an old `path` ends up under the staging name."""
    if not path.exists():
        os.rename(staging, path)
    elif not _exchange(staging, path):
        aside = path.with_name(f"{STAGING}{path.name}-{os.getpid()}")
        os.rename(path, aside)
        os.rename(staging, path)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step (Linux renameat2); False where the system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)
    if rename is None:
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0


def sync_folder(folder: Path) -> None:
    """Makes what was renamed or made in `folder` last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
