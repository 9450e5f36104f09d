"""The loop over rows that come one by one: each is answered at once, bad ones are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from threadpoolctl import threadpool_limits

from forecast.inference.stream_rows import LONGEST_LINE, Row, RowError, RowReader

Complaint = Callable[[int, str, str], None]  # number of the line, code, text


@dataclass
class Followed:
    """What came: rows that were used, rows that were refused, gaps that were filled as missing."""

    rows: int = 0
    refused: int = 0
    gaps: int = 0
    interrupted: bool = False


def follow(
    source: IO[bytes], reader: RowReader, answer: Callable[[Row], None], complain: Complaint
) -> Followed:
    """Reads lines until they end or the user interrupts; `answer` is called with each row.

    A row that cannot be used is told to `complain` and changes nothing; so is a gap before a row,
    which is used all the same.
    """
    done = Followed()
    try:
        # The products of one row are small: more threads would only wait for each other.
        with threadpool_limits(1, "blas"):
            for number, line in _lines(source):
                _one(number, line, reader, answer, complain, done)
    except KeyboardInterrupt:
        done.interrupted = True
    return done


def _one(
    number: int,
    line: str | None,
    reader: RowReader,
    answer: Callable[[Row], None],
    complain: Complaint,
    done: Followed,
) -> None:
    try:
        if line is None:
            raise RowError("row/unreadable", f"is longer than {LONGEST_LINE:,} bytes")
        if number == 1 and reader.header(line):
            return
        row = reader.read(line)
    except RowError as error:
        done.refused += 1
        complain(number, error.code, str(error))
        return
    if row.missing:
        done.gaps += 1
        steps = "1 step" if row.missing == 1 else f"{row.missing:,} steps"
        complain(number, "row/gap", f"comes after a gap of {steps}, which count as missing")
    done.rows += 1
    answer(row)


def _lines(source: IO[bytes]) -> Iterator[tuple[int, str | None]]:
    """Number and text of each line that is not blank; None for one that is too long."""
    number = 0
    while line := source.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = source.readline(LONGEST_LINE)
            yield number, None
            continue
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").rstrip("\r\n")
        if text.strip():
            yield number, text


def complaints(sink: IO[str], as_json: bool) -> Complaint:
    """Writes each complaint as a line, for a person or as JSON."""

    def complain(number: int, code: str, text: str) -> None:
        if as_json:
            sink.write(json.dumps({"line": number, "code": code, "text": text}) + "\n")
        else:
            sink.write(f"line {number}: {text} ({code})\n")
        sink.flush()

    return complain
