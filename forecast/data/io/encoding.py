"""Bytes of any encoding brought to checked UTF-8 on the way to the parser."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from forecast.common.errors import InputError
from forecast.data.io.files import BOMS, ByteStream, Source
from forecast.data.io.notes import refuse


def detect_encoding(head: bytes, wanted: str | None) -> tuple[str, int]:
    """The encoding of a file that starts with `head`, and the length of its byte order mark.

    A byte order mark decides; without one `wanted` (--encoding), UTF-16 by its zero bytes, UTF-8.
    """
    for mark, name in BOMS.items():
        if head.startswith(mark):
            return name, len(mark)
    if wanted:
        "".encode(wanted)  # LookupError also for codecs that are no text encoding
        return codecs.lookup(wanted).name, 0
    sample = head[:4096]
    if len(sample) >= 4 and sample.count(0) * 3 > len(sample):
        return ("utf-16-be" if sample[0] == 0 else "utf-16-le"), 0
    return "utf-8", 0


class TextStream(io.RawIOBase):
    """The text of a source as UTF-8 bytes without a byte order mark; refuses what is not text.

    `quotes` counts the quote characters that have passed; `tail` holds the last bytes.
    """

    def __init__(self, source: Source, encoding: str, skip: int) -> None:
        self.bytes = ByteStream(source)
        self._name = source.name
        self._encoding = encoding
        self._decode = codecs.getincrementaldecoder(encoding)("strict")
        self._skip = skip
        self._passed = 0
        self._rest = b""
        self._begun = False
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
            if text or not raw:
                break
        if 0 <= size < len(text):
            text, self._rest = text[:size], text[size:]
        return text

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
