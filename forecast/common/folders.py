"""Folders that are made, replaced and swept: the one rule for folders.

Only a folder that is empty, or has the mark of the very kind, is replaced or swept, and of that
only what the mark lists goes: whatever else stands there is the user's, and stays. `.`, a root,
the home folder and a folder with the command's input in it are refused.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forecast.common.errors import UsageError
from forecast.common.files import (
    STAGING,
    FileKind,
    check_output,
    failed_to_write,
    refuse_address,
    refuse_missing_folders,
    replacing,
    sync_folder,
    umask,
    write_output,
)
from forecast.common.marks import (
    MARK,
    RUN,
    STAGED,
    FolderKind,
    entries_of,
    files_below,
    is_ours,
    listed,
    mark,
    own_files,
)

NAMED = 3  # files that an error names


def made_folder(path: str | Path, kind: FolderKind) -> Path:
    """A folder that is added to, made and marked where it is not yet: its real path.

    Raises UsageError as `check_folder`, but makes the folders above it too: it may lie deep in one
    of ours. OutputError.
    """
    real = _checked(path, kind, replaced=False)
    try:
        real.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed_to_write(real, error) from error
    if listed(real, kind) is None:
        mark(real, kind)
    return real


def check_folder(path: str | Path, kind: FolderKind, *, replaced: bool = True) -> Path:
    """The real path of a folder that may be written; to be called before any work.

    replaced: it is made anew, not added to. Raises UsageError for a file, `.`, a root, home, a
    folder above the current one, one with the command's input in it, one that is neither empty nor
    of this kind, and one that lies in a folder which does not exist in one that does not either.
    """
    real = _checked(path, kind, replaced=replaced)
    refuse_missing_folders(real, path)
    return real


def _checked(path: str | Path, kind: FolderKind, *, replaced: bool) -> Path:
    """As `check_folder`, but that nothing above the folder need exist."""
    refuse_address(path)
    real = Path(os.path.realpath(path))
    if os.path.islink(real):
        raise _refused(path, "is a link that leads nowhere")
    try:
        is_there, entries = real.exists(), entries_of(real) if real.is_dir() else []
    except OSError as error:
        raise failed_to_write(real, error) from error
    if is_there and not real.is_dir():
        raise _refused(path, "is a file")
    ours = bool(entries) and is_ours(real, kind)
    if replaced or not ours:
        _refuse_places(path, real)
    if entries and not ours:
        more = " ..." if len(entries) > NAMED else ""
        raise _refused(path, f"is not {kind.words}, and holds {', '.join(entries[:NAMED])}{more}")
    if replaced:
        own = own_files(real, kind)
        foreign = [n for n in files_below(real) if not own(n) and re.fullmatch(kind.files, n)]
        if foreign:
            raise _refused(path, f"holds files that lstmcast did not make: {foreign[0]}")
        replacing(real, str(path))
    return real


def _refuse_places(path: str | Path, real: Path) -> None:
    """Raises UsageError for folders that are much more than a place for results."""
    here, home = Path.cwd(), Path(os.path.realpath(os.path.expanduser("~")))
    if real in (here, *here.parents):
        raise _refused(path, "is the current folder, or above it")
    if real in (home, *home.parents):
        raise _refused(path, "is the home folder, or above it")
    if os.path.ismount(real):
        raise _refused(path, "is the root of a disk")


def _refused(path: str | Path, what: str) -> UsageError:
    return UsageError(
        f"the folder to write {what}",
        code="output/foreign-folder",
        value=str(path),
        remedy="Name a new or empty folder; nothing was changed",
    )


@contextmanager
def whole_folder(path: Path, kind: FolderKind) -> Iterator[Path]:
    """A staging folder beside `path` that takes its place, in one step, when the block succeeds.

    Of an existing folder of this kind what is ours goes, and all else is kept. Raises UsageError
    as `check_folder`, OutputError; `path` is untouched when the block fails or the process dies.
    """
    staging: Path | None = None
    real = check_folder(path, kind)
    known: set[str] | None = None
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=real.parent))
        os.chmod(staging, 0o777 & ~umask())
        yield staging
        mark(staging, kind, files_below(staging))
        for file in staging.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        check_folder(path, kind)
        old = _carry_over(real, staging, kind) if real.is_dir() else None
        _take_place(staging, real)
        known = old
        sync_folder(real.parent)
    except OSError as error:
        raise failed_to_write(path, error) from error
    finally:
        if staging is not None:
            _clear(staging, known)


def _carry_over(old: Path, new: Path, kind: FolderKind) -> set[str]:
    """Lets `new` hold all of `old` that is not ours, its modes and times too, and its own mode.

    Returns all paths below `old` that need not be kept there. Files are linked, so that they are
    never in one place alone. Raises OSError.
    """
    own, known = own_files(old, kind), set()
    for name in files_below(old):
        known.add(name)
        if not own(name):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            _link(old / name, new / name)
    for place, folders, _ in os.walk(old, topdown=False):
        for name in folders:
            before = Path(place, name)
            if not before.is_symlink():
                after = new / before.relative_to(old)
                if after.exists() or not any(before.iterdir()):
                    after.mkdir(parents=True, exist_ok=True)
                    _dress_folder(before, after)
    _dress_folder(old, new)
    return known


def _link(old: Path, new: Path) -> None:
    """A second name of a file, whatever it is; a copy where the file system has no such names."""
    try:
        os.link(old, new, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if old.is_symlink():
            os.symlink(os.readlink(old), new)
        elif stat.S_ISREG(old.stat().st_mode):
            shutil.copy2(old, new)
            about = old.stat()
            os.chown(new, about.st_uid, about.st_gid)
        else:
            raise


def _dress_folder(old: Path, new: Path) -> None:
    about = old.stat()
    with suppress(PermissionError):
        os.chown(new, about.st_uid, about.st_gid)
    shutil.copystat(old, new)


def _clear(staging: Path, known: set[str] | None) -> None:
    """Removes a staging folder. known: the paths below the old folder that stands there after the
    exchange, None without one; what has come since then stays."""
    if known is None:
        shutil.rmtree(staging, ignore_errors=True)
        return
    for name in known:
        with suppress(OSError):
            (staging / name).unlink()
    _remove_empty(staging)


def _remove_empty(folder: Path) -> None:
    """Removes `folder` and the folders below it, as far as they are empty."""
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(place)


def remove_folder(folder: Path, kind: FolderKind) -> list[str]:
    """Removes what is ours of a folder of this kind, and the folder if nothing else is in it.

    A folder that is not ours is left as it is. Returns the paths that were left, at most a few. A
    kill half-way leaves a folder that is ours still.
    """
    if not is_ours(folder, kind):
        return [""] if os.path.lexists(folder) else []
    own = own_files(folder, kind)
    names = [name for name in files_below(folder) if own(name) or _is_staged(folder / name)]
    for name in names:
        if name != MARK:
            with suppress(OSError):
                (folder / name).unlink()
    left = [name for name in files_below(folder) if name != MARK]
    with suppress(OSError):
        (folder / MARK).unlink(missing_ok=True)
    inner = {place for name in names for place in Path(name).parents} | {Path()}
    for place in sorted(inner, key=lambda place: len(place.parts), reverse=True):
        with suppress(OSError):
            os.rmdir(folder / place)  # Path(".") is the folder itself
    return left[:NAMED]


def _is_staged(path: Path) -> bool:
    return STAGED.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def unfinished_in(folder: Path) -> list[Path]:
    """What writers that were killed left in a folder of ours, by its names."""
    try:
        return [path for path in folder.iterdir() if STAGED.fullmatch(path.name)]
    except OSError:
        return []


def check_beside(folder: Path, name: str, kind: FileKind, of: FolderKind = RUN) -> None:
    """Raises UsageError unless `write_beside` may write `name`; to be called before any work."""
    check_output(folder / name, beside(folder, name, kind, of), usual=True)


def write_beside(
    folder: Path, name: str, content: bytes, kind: FileKind, of: FolderKind = RUN
) -> Path:
    """Writes an output under its usual name into a run's folder, and lists it in the mark.

    Raises UsageError where a file of that name is not ours, or is a link; OutputError.
    """
    write_output(folder / name, content, beside(folder, name, kind, of), usual=True)
    list_in_mark(folder, name, of)
    return folder / name


def list_in_mark(folder: Path, name: str, of: FolderKind = RUN) -> None:
    """Notes in the mark of `folder`, if it has one, that the file `name` was put there."""
    known = listed(folder, of)
    if known is not None and name not in known:
        mark(folder, of, {*known, name})


def beside(folder: Path, name: str, kind: FileKind, of: FolderKind) -> FileKind:
    """The kind of a file that may be replaced also because the folder's mark lists it."""

    def recognises(path: Path) -> bool:
        is_marked = listed(folder, of) is not None and is_ours(folder, of)
        return (is_marked and own_files(folder, of)(name)) or kind.recognises(path)

    return FileKind(kind.name, recognises)


def _take_place(staging: Path, path: Path) -> None:
    """Renames `staging` to `path`; an old `path` ends up under the staging name."""
    if not os.path.lexists(path):
        os.rename(staging, path)
    elif not _exchange(staging, path):
        aside = path.with_name(f"{STAGING}{path.name}-{os.getpid()}")
        os.rename(path, aside)
        os.rename(staging, path)
        os.rename(aside, staging)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step (Linux renameat2); False where the system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)
    if rename is None:
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0
