"""Temporary folders that a later command clears away where the one that made them was killed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path

PREFIX = "lstmcast-"
HELD = ".lstmcast-held"  # locked for as long as the process that made the folder lives


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A TemporaryDirectory whose leftovers are found again: it goes with its block, and after a
    SIGKILL with the next one that any command makes. Raises OSError."""

    _finalizer: weakref.finalize[..., ScratchFolder]

    def __init__(self) -> None:
        _clear_once()
        super().__init__(prefix=PREFIX)
        self._finalizer.detach()  # which warns of what goes with the last that knows it
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)
        self._release = weakref.finalize(self, os.close, _hold(Path(self.name)))

    def cleanup(self) -> None:
        """Removes the folder and all below it."""
        super().cleanup()
        self._release()


def _hold(folder: Path) -> int:
    """Marks a folder as that of this process; the handle that is to stay open. The mark is locked
    before it has its name, so that nobody ever finds it unlocked while the process lives."""
    import fcntl  # not everywhere, and only training processes get here

    handle, name = tempfile.mkstemp(prefix=HELD, dir=folder)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.rename(name, folder / HELD)
    return handle


@cache
def _clear_once() -> None:
    clear_dead_folders()


def clear_dead_folders() -> list[Path]:
    """Removes the scratch folders of this user whose processes have died; those removed.

    A folder goes only if nobody else may write into it and it holds our mark, which no living
    process has locked. Never raises for what cannot be looked at or removed.
    """
    gone = []
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        for entry in found:
            if entry.name.startswith(PREFIX):
                with suppress(OSError):
                    if _clear(entry):
                        gone.append(Path(entry.path))
    return gone


def _clear(entry: os.DirEntry[str]) -> bool:
    """Removes one folder, its mark last; whether it was a dead one. Raises OSError."""
    import fcntl

    about = entry.stat(follow_symlinks=False)
    private = about.st_uid == os.geteuid() and not about.st_mode & 0o077
    if not stat.S_ISDIR(about.st_mode) or not private:
        return False
    mark = Path(entry.path, HELD)
    handle = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: somebody lives
        for path in Path(entry.path).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
        shutil.rmtree(entry.path)
    finally:
        os.close(handle)
    return True
