"""What is written, and what may be replaced by it: the one rule for files.

A file is written whole or not at all: temporary name in the same folder, flush, fsync, rename. An
output that the user names takes the place of a file only if that is a regular one, none that the
same command reads, and holds what lstmcast wrote (or the user said --force). Links are followed to
what they name; devices, pipes and /dev/stdout are written to. Mode and owner of what is replaced
are kept. `folders.py` has the rule for folders.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from forecast.common.errors import OutputError, UsageError

STAGING = ".writing-"  # files and folders of this prefix are unfinished and never read
MOST_LINKS = 40  # that are followed, as the kernel does
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_DESCRIPTOR = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd/(\d+)")

_HEAD = 1 << 16  # bytes that are looked at to tell whose a file is

Identity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is written for the user.

    name: with its article, for messages; recognises: whether the regular file there is of this
    kind, so that it may be replaced; it raises nothing but OSError.
    """

    name: str
    recognises: Callable[[Path], bool]


@dataclass
class _Command:
    """What the command at work reads (identity -> name), the files that it writes (real path ->
    name, kind), the folders that it replaces (real path -> name), and the addresses on the network
    that it reads and writes (-> name)."""

    force: bool
    inputs: dict[Identity, str] = field(default_factory=dict)
    outputs: dict[Path, tuple[str, str]] = field(default_factory=dict)
    folders: dict[Path, str] = field(default_factory=dict)
    fetched: dict[str, str] = field(default_factory=dict)
    uploaded: dict[str, str] = field(default_factory=dict)


_command: ContextVar[_Command | None] = ContextVar("command", default=None)


@contextmanager
def one_command(*, force: bool = False, apart: bool = False) -> Iterator[None]:
    """All that is read and written inside belongs to one command: no output may be an input.

    force: files of other content may be replaced. Inside another one this is a part of that, unless
    it is to stand `apart`.
    """
    if _command.get() is not None and not apart:
        yield
        return
    token = _command.set(_Command(force))
    try:
        yield
    finally:
        _command.reset(token)


def reading(path: str | Path) -> None:
    """Notes that the command reads the file or folder `path`.

    Raises UsageError where it is to write there as well.
    """
    command, found = _command.get(), identity(path)
    if command is None or found is None:
        return
    command.inputs[found] = str(path)
    for place, (name, _) in command.outputs.items():
        if identity(place) == found:
            raise _is_an_input(name)
    for folder, name in command.folders.items():
        if identity(folder) in _above(path):
            raise _holds_an_input(name, str(path))


def at_address(address: str, name: str, *, written: bool) -> None:
    """Notes that the command reads or writes the object at `address` on the network, which is
    shown as `name`. Raises UsageError where it does both."""
    command = _command.get()
    if command is None:
        return
    (command.uploaded if written else command.fetched)[address] = name
    if address in command.uploaded and address in command.fetched:
        raise _is_an_input(name)


def refuse_foreign(name: str, kind: FileKind, content: Callable[[], bytes | None]) -> None:
    """Raises UsageError where an object on the network is there (`content` gives it, else None),
    which is not of this kind, unless the user said --force."""
    command = _command.get()
    if command is not None and command.force:
        return
    found = content()
    if not found:
        return
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as file:
        file.write(found)
        file.flush()
        if not kind.recognises(Path(file.name)):
            raise _foreign_file(name, kind)


def replacing(folder: Path, name: str) -> None:
    """Notes that the command replaces the folder at the real path `folder`, which the user calls
    `name`. Raises UsageError where something that it reads lies there."""
    command = _command.get()
    if command is None:
        return
    command.folders[folder] = name
    for read in command.inputs.values():
        if identity(folder) in _above(read) - {None}:
            raise _holds_an_input(name, read)


def identity(path: str | Path) -> Identity | None:
    """Device and inode of the file or folder that `path` leads to; None where there is neither."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    plain = stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)
    return (about.st_dev, about.st_ino) if plain else None


def _above(path: str | Path) -> set[Identity | None]:
    real = Path(os.path.realpath(path))
    return {identity(each) for each in (real, *real.parents)}


def _is_an_input(name: str) -> UsageError:
    return UsageError(
        "this file is read by the same command, which would overwrite it",
        code="output/is-the-input",
        value=name,
        remedy="Name another file to write to",
    )


def _holds_an_input(name: str, read: str) -> UsageError:
    return UsageError(
        f"the folder to be written holds what is read: {read}",
        code="output/holds-the-input",
        value=name,
        remedy="Name a new folder",
    )


def at_home(text: str | Path) -> Path:
    """The path that is meant, `~` of the user's own home; a name that no user has stays a name."""
    return Path(os.path.expanduser(text))


def refuse_address(path: str | Path) -> None:
    """Raises UsageError for an address such as s3://bucket/x.csv: only local files are written."""
    if _ADDRESS.match(str(path)):
        raise UsageError(
            "nothing is written to an address on the network, and this would be a local folder",
            code="output/address",
            value=str(path),
            remedy="Name a local path, and copy from there",
        )


def refuse_missing_folders(real: Path, path: str | Path) -> None:
    """Raises UsageError where neither the folder of the output at `real`, which the user calls
    `path`, nor the one above it exists: a name mistyped or a disk not mounted, more likely than a
    wish for several new folders."""
    if not real.parent.exists() and not real.parent.parent.exists():
        raise UsageError(
            "neither the folder of what is to be written nor the one above it exists",
            code="output/no-folder",
            value=str(path),
            remedy=f"Name another, or make it first: mkdir -p {shlex.quote(str(real.parent))}",
        )


@dataclass(frozen=True)
class _Place:
    """Where an output goes: a regular file or a new one at the real `path` (about: as it is now,
    None where there is none), a `descriptor` of this process, or a device or pipe at `path`."""

    path: Path
    about: os.stat_result | None = None
    descriptor: int | None = None

    @property
    def is_file(self) -> bool:
        is_regular = self.about is None or stat.S_ISREG(self.about.st_mode)
        return self.descriptor is None and is_regular


def check_output(path: str | Path, kind: FileKind, *, usual: bool = False) -> None:
    """Raises UsageError unless `write_output` may write there. To be called before any work.

    usual: the name is not one that the user chose, so that a link is not followed.
    """
    place = _checked(Path(path), kind, usual)
    if place.is_file:
        refuse_missing_folders(place.path, path)
    command = _command.get()
    if command is None or not place.is_file:
        return
    name, other = command.outputs.setdefault(place.path, (str(path), kind.name))
    if other != kind.name:
        raise UsageError(
            f"{kind.name} and {other} are to go to one file",
            code="output/twice",
            value=name,
            remedy="Give each a file of its own",
        )


def is_file_output(path: str | Path) -> bool:
    """Whether the output `path` is a file or will be one: no device, pipe or open stream."""
    return _place_of(Path(path), False).is_file


def _checked(path: Path, kind: FileKind | None, usual: bool) -> _Place:
    """The place of an output that may be written. kind: None for a file that is ours by its
    folder. Raises UsageError or OutputError."""
    place, command = _place_of(path, usual), _command.get()
    if place.about is None:
        return place
    about = place.about
    inputs = command.inputs if command is not None and stat.S_ISREG(about.st_mode) else {}
    if (about.st_dev, about.st_ino) in inputs:
        raise _is_an_input(str(path))
    if not place.is_file:
        return place
    if not os.access(place.path, os.W_OK):
        raise failed_to_write(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    if kind is None or about.st_size == 0 or (command is not None and command.force):
        return place
    try:
        known = kind.recognises(place.path)
    except OSError:
        known = False
    if not known:
        raise _foreign_file(str(path), kind)
    return place


def _foreign_file(name: str, kind: FileKind) -> UsageError:
    return UsageError(
        f"this file is not {kind.name} of lstmcast's, and would be replaced",
        code="output/foreign-file",
        value=name,
        remedy="Name another file, or say --force to replace it",
    )


def _place_of(path: Path, usual: bool) -> _Place:
    """Where `path` leads. Raises UsageError for what is never written to."""
    refuse_address(path)
    text = os.fspath(path)
    for _ in range(MOST_LINKS):
        real = os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))
        if (opened := _DESCRIPTOR.fullmatch(real)) and int(opened[1]) == os.getpid():
            return _open_stream(path, int(opened[2]))
        if not os.path.islink(real):
            break
        if usual:
            raise _refused(path, "is a link, which is not followed", "Name the file with --output")
        text = os.path.join(os.path.dirname(real), os.readlink(real))
    else:
        raise _refused(path, "is a link that leads nowhere", "Name another file")
    try:
        about = os.stat(real)
    except FileNotFoundError:
        return _Place(Path(real))
    except OSError as error:
        raise failed_to_write(path, error) from error
    if stat.S_ISDIR(about.st_mode):
        raise _refused(path, "is a folder", "Name a file, in that folder for example")
    if stat.S_ISBLK(about.st_mode) or stat.S_ISSOCK(about.st_mode):
        raise _refused(path, "is a disk or a socket", "Name a file")
    return _Place(Path(real), about)


def _open_stream(path: Path, number: int) -> _Place:
    try:
        return _Place(path, os.fstat(number), number)
    except OSError as error:
        raise failed_to_write(path, error) from error


def _refused(path: Path, what: str, remedy: str) -> UsageError:
    return UsageError(
        f"the file to write {what}", code="output/no-file", value=str(path), remedy=remedy
    )


def write_output(path: str | Path, content: bytes, kind: FileKind, *, usual: bool = False) -> None:
    """Writes an output for the user, whole or not at all. Raises as `check_output`; OutputError."""
    with whole_output(path, kind, usual=usual) as file:
        file.write(content)


@contextmanager
def whole_output(path: str | Path, kind: FileKind, *, usual: bool = False) -> Iterator[IO[bytes]]:
    """As `write_output`, for what is too large to be held as bytes."""
    path = Path(path)
    place = _checked(path, kind, usual)
    if place.is_file:
        with _replacing_file(path, place, lambda: _checked(path, kind, usual)) as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        _pour(file, path, place)


def _pour(file: IO[bytes], path: Path, place: _Place) -> None:
    """Writes the content to a device, a pipe or an open stream."""
    try:
        if place.descriptor is None:
            handle = os.open(place.path, os.O_WRONLY | os.O_CLOEXEC)
        else:
            handle = os.dup(place.descriptor)
        with os.fdopen(handle, "wb", closefd=True) as sink:
            shutil.copyfileobj(file, sink)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise failed_to_write(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file of lstmcast's own in a folder of its own, in one step.

    Raises OutputError; the old file stays then. What the user named is `write_output`'s.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """As `write_bytes`, for what is too large to be held as bytes: the file takes the place of
    `path`, in one step, when the block succeeds."""
    try:
        place = _checked(path, None, True)
    except UsageError as error:  # nobody named it: whoever put something else there is to know
        raise OutputError(
            error.message, code="output/cannot-write", where=str(path), remedy="Move it away"
        ) from error
    with _replacing_file(path, place, lambda: _checked(path, None, True)) as file:
        yield file


@contextmanager
def _replacing_file(path: Path, place: _Place, check: Callable[[], _Place]) -> Iterator[IO[bytes]]:
    """A temporary file that is renamed to `place` when the block succeeds and `check` still lets
    it. Raises OutputError; what is there is untouched when the block fails or the process dies."""
    temporary: Path | None = None
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=STAGING, dir=place.path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            now = check()
            if now.path != place.path or not now.is_file:
                raise OSError(errno.EBUSY, "what is there has changed meanwhile")
            _dress(file.fileno(), now)
            os.fsync(file.fileno())
        os.replace(temporary, place.path)
        sync_folder(place.path.parent)
    except OSError as error:
        raise failed_to_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _dress(handle: int, place: _Place) -> None:
    """Gives a new file the mode, owner and access lists of the one that it replaces. Raises
    OSError where the owner cannot be kept."""
    old, now = place.about, os.fstat(handle)
    if old is None:
        os.fchmod(handle, 0o666 & ~umask())
        return
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(handle, old.st_uid, old.st_gid)
        except PermissionError:
            owner = f"user {old.st_uid} and group {old.st_gid}"
            raise PermissionError(
                errno.EPERM, f"what would be replaced belongs to {owner}, which cannot be kept"
            ) from None
    os.fchmod(handle, stat.S_IMODE(old.st_mode))
    for name in os.listxattr(place.path) if hasattr(os, "listxattr") else ():
        with suppress(OSError):  # some are the system's to give
            os.setxattr(handle, name, os.getxattr(place.path, name))


def failed_to_write(path: Path, error: OSError) -> OutputError:
    """What the user is told when `path` could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "Free some space" if full else "Check the folder's permissions, or name another"
    if error.errno == errno.EPERM:
        remedy = "Give the file to the user and group that write it (chown), or move it away"
    return OutputError(
        f"cannot write: {error.strerror or error}",
        code="output/disk-full" if full else "output/cannot-write",
        where=str(path),
        remedy=f"{remedy}; earlier results are intact",
    )


def create_file(path: Path, content: bytes) -> None:
    """Writes a file that must not exist yet; leaves none behind that is not whole. Raises
    OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except OSError as error:
        raise failed_to_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Makes what was renamed or made in `folder` last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def umask() -> int:
    """The process's mask of modes."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def text_kind(name: str, pattern: bytes) -> FileKind:
    """A kind of file whose first bytes match the regular expression `pattern`."""
    form = re.compile(pattern, re.S)

    def recognises(path: Path) -> bool:
        with path.open("rb") as file:
            return form.match(file.read(_HEAD)) is not None

    return FileKind(name, recognises)


def table_kind(name: str, fits: Callable[[list[str]], bool]) -> FileKind:
    """A kind of table, CSV, Parquet or workbook, told by the names of its columns."""
    return FileKind(name, lambda path: fits(_columns_of(path)))


def _columns_of(path: Path) -> list[str]:
    """The names in the first line of a CSV file or of a workbook's first sheet, or of a Parquet
    file; [] where it is none of them."""
    import csv

    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PAR1"):
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return list(parquet.read_schema(path).names)
        except (pa.ArrowException, ValueError):
            return []
    if head.startswith(b"PK\x03\x04"):
        return _columns_of_workbook(path)
    line = head.partition(b"\n")[0].rstrip(b"\r")
    try:
        return next(csv.reader([line.decode("utf-8")]), [])
    except (ValueError, csv.Error):
        return []


def _columns_of_workbook(path: Path) -> list[str]:
    from zipfile import BadZipFile

    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True)
        sheet = book[book.sheetnames[0]]
        first = next(sheet.iter_rows(max_row=1, values_only=True), ())
        book.close()
    except (BadZipFile, KeyError, ValueError, IndexError, AttributeError):
        return []
    return [str(cell) for cell in first if cell is not None]
