"""Where the bytes come from: a file or standard input, plain or compressed, and what they are.

The kind of a file is decided by its first bytes, never by its name.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast
from zipfile import BadZipFile, ZipFile

from forecast.common.errors import InputError
from forecast.common.files import reading
from forecast.data.io.notes import listed, quantity, refuse
from forecast.data.io.remote import fetch, is_remote

HEAD = 1 << 18  # bytes that are looked at to decide what a file is
EXPANSION_FLOOR = 1 << 30  # below this size nothing is a bomb

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
PARQUET, FEATHER, ARCHIVE = b"PAR1", (b"ARROW1", b"FEA1"), b"PK\x03\x04"
WORKBOOK = (b"xl/", b"[Content_Types].xml")
OFFICE = (*WORKBOOK, b"mimetypeapplication/vnd.oasis")  # archives that are documents
BOMS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
DUCKDB, SQLITE = "a DuckDB database", "an SQLite database"
PAGE, JSON = "a web page (HTML or XML)", "JSON"
OLD_EXCEL, ODS = "an old Excel workbook (.xls)", "an OpenDocument spreadsheet (.ods)"
REMEDIES = {
    DUCKDB: "Read it with --db duckdb:///FILE --query 'select ds, y from sales'",
    SQLITE: "Read it with --db sqlite:///FILE --query 'select ds, y from sales'",
    PAGE: "The download probably failed; an export that calls itself .xls is opened in its program "
    "and saved as .xlsx or CSV",
    OLD_EXCEL: "Open it in its program and save it as .xlsx or CSV",
    ODS: "Open it in its program and save it as .xlsx or CSV",
    JSON: "Save its records as CSV, with Python for one: import pandas; "
    "pandas.read_json('FILE').to_csv('FILE.csv', index=False), of a record a line with lines=True",
}
FOREIGN = (
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", OLD_EXCEL),
    (b"SQLite format 3\x00", SQLITE),
    (b"\x89PNG", "a PNG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
)


# Folders, and what programs keep for themselves, of a zip archive.
HIDDEN_MEMBER = re.compile(r"/$|(^|/)(__MACOSX/|\.|~\$|Thumbs\.db$|desktop\.ini$)")


@dataclass(frozen=True)
class Source:
    """Bytes that can be read more than once.

    name  as the user wrote it, "<stdin>" for standard input
    path  the file, or None
    data  the bytes when they were read from standard input or from the network
    max_expansion  a compressed file that grows more than so many times is refused
    """

    name: str
    path: Path | None = None
    data: bytes | None = None
    max_expansion: float = float("inf")

    def open(self) -> IO[bytes]:
        """The raw bytes from the start."""
        if self.path is None:
            return io.BytesIO(self.data or b"")
        return cast("IO[bytes]", open(self.path, "rb", buffering=0))

    @cached_property
    def stamp(self) -> tuple[int, int, int] | None:
        """Inode, size and time of change when first asked: a later difference means a new file."""
        return self.state()

    def state(self) -> tuple[int, int, int] | None:
        """Inode, size (bytes) and time of change (ns) now."""
        if self.path is None:
            return None
        found = os.stat(self.path)
        return found.st_ino, found.st_size, found.st_mtime_ns

    @cached_property
    def compression(self) -> str | None:
        """ "gzip", "bz2", "xz", "zstd", "zip" (no workbook) or None, by the first bytes."""
        with self.open() as file:
            start = file.read(8)
            if start.startswith(ARCHIVE):
                start += file.read(HEAD)
                return None if any(mark in start for mark in OFFICE) else "zip"
        return next((c for magic, c in COMPRESSIONS.items() if start.startswith(magic)), None)

    @cached_property
    def head(self) -> bytes:
        """The first bytes, decompressed."""
        stream = ByteStream(self)
        parts, size = [], 0
        while size < HEAD and (part := stream.read(HEAD - size)):
            parts.append(part)
            size += len(part)
        return b"".join(parts)


def _all_of(stream: IO[bytes], name: str) -> bytes:
    """All that a stream holds, which can be read once alone. Raises InputError where it is endless,
    or larger than memory."""
    parts: list[bytes] = []
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    while part := stream.read(1 << 20):
        parts.append(part)
        room -= len(part)
        if room < 0 or (len(parts) == 1 and len(part) == 1 << 20 and not any(part)):
            what = "standard input" if name == "<stdin>" else "the stream"
            raise refuse(
                "input/standard-input",
                f"{what} has no end that memory can hold, or is no table",
                where=name, remedy="Write it to a file, and name that",
            )  # fmt: skip
    return b"".join(parts)


def standard_input() -> IO[bytes]:
    """The bytes of standard input. Raises InputError where the process was started without one."""
    if sys.stdin is None:
        raise refuse(
            "input/standard-input", "standard input is closed", where="<stdin>",
            remedy="Pipe the rows in, or name a file",
        )  # fmt: skip
    return sys.stdin.buffer


def open_source(source: str | Path, max_expansion: float) -> Source:
    """The source named by a path or "-" (standard input); a pipe is read whole, once.

    Raises InputError: no such file, a directory, no permission, empty, not a table.
    """
    if str(source) == "-":
        data = _all_of(standard_input(), "<stdin>")
        return Source("<stdin>", data=data, max_expansion=max_expansion)
    path = Path(source)
    name = str(source)
    if is_remote(name):
        return Source(name, data=fetch(name), max_expansion=max_expansion)
    if re.match(r"[a-z][a-z0-9+]*:/", name):
        raise refuse(
            "input/url", "addresses of this kind are not read", where=name,
            remedy="s3://, gs://, az:// and https:// are, with a bucket or host and a path; or "
            "download the file first",
        )  # fmt: skip
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe: <(...), /dev/stdin
                return Source(name, data=_all_of(file, name), max_expansion=max_expansion)
    except FileNotFoundError:
        raise refuse(
            "input/not-found", "there is no such file", where=name, remedy=_nearest_file(path)
        ) from None
    except IsADirectoryError:
        raise refuse(
            "input/directory", "this is a folder, not a file", where=name,
            remedy="Name one file, or a pattern such as 'folder/*.csv'",
        ) from None  # fmt: skip
    except PermissionError:
        raise refuse(
            "input/permission", "the file may not be read", where=name,
            remedy="Give yourself read permission (chmod u+r)",
        ) from None  # fmt: skip
    except OSError as error:
        raise refuse(
            "input/unreadable", f"the file cannot be opened: {error.strerror}", where=name
        ) from None
    reading(path)
    opened = Source(name, path=path, max_expansion=max_expansion)
    opened.stamp  # noqa: B018  from here on a change of the file is noticed
    return opened


def check_unchanged(source: Source) -> None:
    """Raise InputError where the file is no longer the one that was opened."""
    if source.state() != source.stamp:
        raise refuse(
            "input/changed", "the file changed while it was read", where=source.name,
            remedy="Run again when its writer has finished",
        )  # fmt: skip


def _nearest_file(path: Path) -> str:
    import difflib

    if path.is_symlink():
        return f"It is a link to {os.readlink(path)}, which is not there: mend or remove it"
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    except OSError:
        return f"The folder {path.parent} does not exist either"
    return f"Did you mean {path.parent / near[0]}?" if near else "Check the path"


def is_text(content: bytes) -> bool:
    """Whether a table is plain text: neither compressed nor Parquet, Feather or a workbook."""
    return not content.startswith((*COMPRESSIONS, PARQUET, *FEATHER, ARCHIVE))


def kind_of(source: Source) -> str:
    """ "parquet", "feather", "workbook" (Excel's .xlsx) or "delimited", by the first bytes.

    Raises InputError when the content is something else: empty, HTML, JSON, an archive, ...
    """
    head = source.head
    if not head.strip():
        raise refuse(
            "input/empty", "the file is empty", where=source.name,
            remedy="A table needs a header line and at least two rows",
        )  # fmt: skip
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith(FEATHER):
        return "feather"
    if head.startswith(ARCHIVE) and any(mark in head for mark in WORKBOOK):
        return "workbook"
    if what := _foreign(head):
        raise refuse(
            "input/not-a-table", f"this is {what}, not a table in text form", where=source.name,
            remedy=REMEDIES.get(what, "Save it as CSV or Parquet"),
        )  # fmt: skip
    return "delimited"


def _foreign(head: bytes) -> str | None:
    """What the bytes are when they are certainly no table, else None."""
    start = head[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(ARCHIVE):
        return ODS if OFFICE[-1] in head else "a zip archive"
    if head[8:12] == b"DUCK":
        return DUCKDB
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return PAGE
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; `git lfs pull` fetches the data itself"
    if start.startswith(b"{") or re.match(rb"\[\s*[{\[]", start):
        return JSON
    return next((name for magic, name in FOREIGN if head.startswith(magic)), None)


class ByteStream(io.RawIOBase):
    """The decompressed bytes of a source, hashed as they pass.

    After reading to the end `digest()` is the sha256 of the bytes as stored.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._raw = _Hashing(source.open())
        self._inner: Any = _decompressor(self._raw, source)
        self._produced = 0
        self._limit = source.max_expansion if source.compression else None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            part = self._inner.read(size)
        except (EOFError, zlib.error, lzma.LZMAError, BadZipFile, OSError) as error:
            raise refuse(
                "input/damaged", f"the compressed data is damaged: {error}",
                where=self._source.name, remedy="Copy or download the file again",
            ) from None  # fmt: skip
        self._produced += len(part)
        self._check_expansion()
        return cast("bytes", part)

    def _check_expansion(self) -> None:
        if self._limit is None or self._produced < EXPANSION_FLOOR:
            return
        if self._produced > self._limit * max(self._raw.count, 1):
            raise refuse(
                "input/expansion",
                f"the compressed file expands more than {self._limit:g} times",
                where=self._source.name, 
                remedy="Raise --set data.max_expansion=TIMES if you trust it",
            )  # fmt: skip

    def digest(self) -> str:
        """sha256 (hexadecimal) of all bytes as stored; reads what is left of them."""
        while self._raw.read(1 << 20):
            pass
        return self._raw.hash.hexdigest()


class _Hashing(io.RawIOBase):
    """Raw bytes, hashed and counted as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.count = 0

    def __del__(self) -> None:
        self._file.close()  # said, not left to the interpreter, which would warn of it

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self.hash.update(part)
        self.count += len(part)
        return part

    def readinto(self, buffer: Any) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def _decompressor(raw: _Hashing, source: Source) -> Any:
    compression = source.compression
    if compression == "zip":
        return _only_member(raw, source)
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(cast("IO[bytes]", raw))
    if compression == "xz":
        return lzma.LZMAFile(cast("IO[bytes]", raw))
    if compression == "zstd":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return raw


def _only_member(raw: _Hashing, source: Source) -> IO[bytes]:
    """The only file of a zip archive, opened, the archive hashed as a whole: its directory is at
    its end. Raises InputError: no file, several, one with a password, a damaged archive."""
    where = source.name
    while raw.read(1 << 20):
        pass
    try:
        archive = ZipFile(source.path or io.BytesIO(source.data or b""))
        names = [name for name in archive.namelist() if not HIDDEN_MEMBER.search(name)]
        if len(names) == 1:
            return archive.open(names[0])
    except (BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise refuse(
            "input/damaged", f"the archive cannot be read: {error}", where=where,
            remedy="Unpack it, and name the file that was in it",
        ) from None  # fmt: skip
    raise refuse(
        "input/archive", f"the archive holds {quantity(len(names), 'file')}", where=where,
        value=listed(names, 5) if names else None,
        remedy="Unpack it, and name the folder, a pattern such as 'folder/*.csv' or one file",
    )  # fmt: skip


# --- Bytes of any encoding brought to checked UTF-8 on the way to the parser ---------------------


def detect_encoding(head: bytes, wanted: str | None) -> tuple[str, int]:
    """The encoding of a file that starts with `head`, and the length of its byte order mark.

    A byte order mark decides; without one `wanted` (--encoding), UTF-16 by its zero bytes, UTF-8.
    Letters that are UTF-8 are no other encoding's, whatever was wanted of the file before.
    """
    for mark, name in BOMS.items():
        if head.startswith(mark):
            return name, len(mark)
    if wanted:
        "".encode(wanted)  # LookupError also for codecs that are no text encoding
        name = codecs.lookup(wanted).name
        other = not name.startswith("utf") and _has_utf8_letters(head)
        return "utf-8" if other else name, 0
    sample = head[:4096]
    if len(sample) >= 4 and sample.count(0) * 3 > len(sample):
        return ("utf-16-be" if sample[0] == 0 else "utf-16-le"), 0
    return "utf-8", 0


def _has_utf8_letters(head: bytes) -> bool:
    """Whether there are bytes beyond ASCII, and all of them are UTF-8."""
    if head.isascii():
        return False
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)  # its end may cut a letter
    except UnicodeDecodeError:
        return False
    return True


def without_padding(text: str, separator: str) -> str:
    """Lines of a table without the blanks between a separator and a quote that opens a whole field:
    what is no such field, as in 5, "Foo, stands as it is."""
    mark = re.escape(separator)
    return re.sub(rf'({mark}) +(?="(?:[^"\r\n]|"")*" *(?:{mark}|[\r\n]|$))', r"\1", text)


class TextStream(io.RawIOBase):
    """The text of a source as UTF-8 bytes without a byte order mark; refuses what is not text.

    `quotes` counts the quote characters that have passed; `tail` holds the last bytes. padded: the
    separator of fields whose quotes stand behind blanks, which are left out; "" of any others.
    """

    def __init__(self, source: Source, encoding: str, skip: int, padded: str = "") -> None:
        self.bytes = ByteStream(source)
        self._name = source.name
        self._encoding = encoding
        self._decode = codecs.getincrementaldecoder(encoding)("strict")
        self._skip = skip
        self._passed = 0
        self._rest = b""
        self._begun = False
        self._padded, self._open = padded, b""
        self.quotes = 0
        self.tail = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._rest:
            part, self._rest = self._rest, b""
            if size >= 0:
                part, self._rest = part[:size], part[size:]
            return part
        return self._next(size)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _next(self, size: int) -> bytes:
        while True:
            raw = self.bytes.read(size)
            at = self._passed
            self._passed += len(raw)
            if self._skip:
                dropped = min(self._skip, len(raw))
                raw, at, self._skip = raw[dropped:], at + dropped, self._skip - dropped
                if dropped and not raw:
                    continue
            text = self._checked(raw, at, final=not raw)
            while not self._begun and text.startswith(codecs.BOM_UTF8):
                text = text[len(codecs.BOM_UTF8) :]  # a mark written twice, or not known as one
            self._begun = self._begun or bool(text)
            if self._padded:
                text = self._unpadded(text, final=not raw)
            if text or not raw:
                break
        if 0 <= size < len(text):
            text, self._rest = text[:size], text[size:]
        return text

    def _unpadded(self, text: bytes, final: bool) -> bytes:
        """Whole lines without the blanks before quotes; the beginning of one waits for its end."""
        text = self._open + text
        whole = len(text) if final else text.rfind(b"\n") + 1
        self._open = text[whole:]
        return without_padding(text[:whole].decode(), self._padded).encode()

    def _checked(self, raw: bytes, at: int, final: bool) -> bytes:
        if self._encoding == "utf-8" and raw.isascii() and not self._decode.getstate()[0]:
            text = raw
        else:
            text = self._recoded(raw, at, final)
        if (found := text.find(b"\x00")) >= 0:
            raise refuse(
                "input/nul-byte", f"there is a NUL byte at byte offset {at + found:,}",
                where=self._name, remedy="The file is damaged or not text; export it again",
            )  # fmt: skip
        self.quotes += text.count(b'"')
        self.tail = (self.tail + text)[-4:] if len(text) < 4 else text[-4:]
        return text

    def _recoded(self, raw: bytes, at: int, final: bool) -> bytes:
        held = len(self._decode.getstate()[0])
        try:
            decoded = self._decode.decode(raw, final)
        except UnicodeError as error:
            raise _undecodable(self._name, self._encoding, at - held, error) from None
        return raw if self._encoding == "utf-8" and not held and self._whole() else decoded.encode()

    def _whole(self) -> bool:
        return not self._decode.getstate()[0]


def _undecodable(name: str, encoding: str, at: int, error: UnicodeError) -> InputError:
    if not isinstance(error, UnicodeDecodeError):
        return refuse(
            "input/encoding", f"the text is not {encoding.upper()}: {error}", where=name,
            remedy="Name the file's encoding, e.g. --encoding cp1252",
        )  # fmt: skip
    offset = at + error.start
    byte = error.object[error.start]
    return refuse(
        "input/encoding",
        f"byte 0x{byte:02x} at byte offset {offset:,} is not {encoding.upper()} text",
        where=name,
        remedy="Name the file's encoding, e.g. --encoding cp1252",
    )


def text_lines(stream: TextStream) -> Iterator[str]:
    """The lines of the text, line ends kept (`\\n`, `\\r\\n` or `\\r`)."""
    return iter(io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), "utf-8", newline=""))
