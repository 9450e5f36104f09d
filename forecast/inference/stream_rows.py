"""Rows that come one by one: a line of text to a series, a position and a value, or why not."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np
from threadpoolctl import threadpool_limits

from forecast.data.frequency import Frequency
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import is_open, skipped
from forecast.data.panel import ID, TARGET, TIME, Panel

# --- Times of rows that come one by one: text to position on the grid, and back ------------------


BLOCK = 512  # positions whose texts are made together


class Clock:
    """Reads and writes times as the history wrote them; other spellings are read too, more slowly.

    Texts are made in blocks and kept, so that a time costs two look-ups in a table.
    """

    def __init__(self, frequency: Frequency, time_format: str, tz: str | None) -> None:
        self.frequency, self.time_format, self.tz = frequency, time_format, tz
        self._texts: dict[int, str] = {}
        self._positions: dict[str, int] = {}

    def text(self, position: int) -> str:
        """The time at `position` of the grid. Raises OverflowError outside the years 1678-2261."""
        found = self._texts.get(position)
        if found is None:
            self._make(position // BLOCK * BLOCK)
            found = self._texts[position]
        return found

    def position(self, text: str, near: int) -> int:
        """The position that `text` names; near: where it is expected, which makes it quick.

        Raises ValueError where it is no time, or none of the grid.
        """
        found = self._positions.get(text)
        if found is None:
            self.text(near)
            found = self._positions.get(text)
        return self._parsed(text) if found is None else found

    def _make(self, first: int) -> None:
        positions = np.arange(first, first + BLOCK)
        stamps = self.frequency.stamps(positions)
        made = [str(t) for t in format_stamps(stamps, self.time_format, self.tz).to_pylist()]
        if len(self._texts) > 200 * BLOCK:
            self._texts.clear()
            self._positions.clear()
        self._texts.update(zip(positions.tolist(), made, strict=True))
        # An hour that the clock shows twice is the first of the two, as in a file without offsets.
        for at, text in zip(positions.tolist(), made, strict=True):
            self._positions.setdefault(text, at)

    def _parsed(self, text: str) -> int:
        import pyarrow as pa

        from forecast.data.io.timestamps import parse_times

        kind = self.time_format
        unit = (
            "step" if kind == "integer" else kind.partition(":")[2] if kind[:5] == "epoch" else None
        )
        times = parse_times(
            pa.array([text]),
            name="ds",
            unit=unit,
            dayfirst=re.search("%-?d.*%-?m", kind) is not None,
        )
        if times.bad[0] or times.integer != self.frequency.integer:
            raise ValueError(f"{text!r} is not a time such as {self.text(0)!r}")
        if self.tz not in (None, times.tz) and "/" in self.tz:
            raise ValueError(f"{text!r} is not written as the history's times are")
        stamps = times.stamps if times.integer else times.stamps.view("M8[ns]")
        positions, fits = self.frequency.locate(stamps)
        if not fits[0]:
            raise ValueError(
                f"{text!r} lies between two steps of the grid ({self.frequency.alias})"
            )
        return int(positions[0])


# -------------------------------------------------------------------------------------------------


LONGEST_LINE = 65_536  # bytes; a longer one is no row
MOST_MISSING = 10_000  # steps that a row may lie ahead of its series' end
NO_VALUE = ("", "na", "nan", "null", "none")


class RowError(Exception):
    """A row that cannot be used; `code` is stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Row:
    """series: its number in the panel; missing: steps without a row before it; value: or NaN;
    skipped: those among the missing, counted from 0, that the clock jumps over; shut: those at
    which the series never has a value, the skipped among them: no gap."""

    series: int
    missing: int
    value: float
    skipped: tuple[int, ...] = ()
    shut: tuple[int, ...] = ()


class RowReader:
    """Reads lines `unique_id,ds,y`, or `ds,y` of a single series, in the order of a header if the
    first line is one. Knows where each series ends, and moves that on with every row."""

    def __init__(
        self, panel: Panel, clock: Clock, columns: Mapping[str, object] | None = None
    ) -> None:
        """columns: names of the history's own columns by role, as its LoadReport has them; a header
        may have these in the place of `unique_id`, `ds` and `y`."""
        self.clock, self._panel = clock, panel
        self._usual = _usual_names(columns or {})
        self.ids = panel.ids.tolist()
        self.number = {name: number for number, name in enumerate(self.ids)}
        self.next = (panel.first + panel.lengths).tolist()
        self._order: list[int] | None = None

    def header(self, line: str) -> bool:
        """Whether `line` is a header; then the order of its columns is kept. For the first line."""
        fields = [field.strip().lower() for field in self._fields(line)]
        if not {TIME, TARGET} <= set(fields):
            fields = [self._usual.get(field, field) for field in fields]
        places = {name: at for at, name in enumerate(fields)}
        if TIME not in places or TARGET not in places:
            return False
        names = [ID, TIME, TARGET] if len(self.ids) > 1 or ID in places else [TIME, TARGET]
        if ID in names and ID not in places:
            return False
        self._order = [places[name] for name in names]
        return True

    def read(self, line: str) -> Row:
        """The row of a line. Raises RowError; the series' end stays where it was then."""
        fields = self._fields(line)
        if self._order is not None and len(fields) > max(self._order):
            fields = [fields[at] for at in self._order]
        series, rest = self._series(fields)
        expected = self.next[series]
        try:
            position = self.clock.position(rest[0].strip(), expected)
        except (ValueError, OverflowError) as error:
            raise RowError("row/time", str(error)) from error
        value = _number(rest[1])
        missing = self._ahead(position, expected)
        self.next[series] = position + 1
        if not missing:
            return Row(series, missing, value)
        steps = np.arange(expected, position)
        jumped = skipped(self._panel.frequency, self._panel.tz, steps)
        shut = ~is_open(self._panel, np.full(missing, series), steps)
        return Row(series, missing, value, _numbers(jumped), _numbers(shut))

    def _fields(self, line: str) -> list[str]:
        try:
            return next(csv.reader([line], strict=True), [])
        except csv.Error as error:
            raise RowError("row/unreadable", f"is no line of CSV ({error})") from error

    def _series(self, fields: list[str]) -> tuple[int, list[str]]:
        if len(fields) == 2 and len(self.ids) == 1:
            return 0, fields
        if len(fields) != 3:
            wanted = "unique_id,ds,y" + ("" if len(self.ids) > 1 else " or ds,y")
            found = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            raise RowError("row/fields", f"has {found}, not {wanted}")
        number = self.number.get(fields[0].strip())
        if number is None:
            raise RowError("row/unknown-series", f"is of a series without a history: {fields[0]!r}")
        return number, fields[1:]

    def _ahead(self, position: int, expected: int) -> int:
        """Steps without a row before `position`. Raises RowError if it is not ahead of the end."""
        if position == expected - 1:
            raise RowError(
                "row/duplicate-time", f"{self.clock.text(position)} has been there already"
            )
        if position < expected:
            last = self.clock.text(expected - 1)
            raise RowError("row/out-of-order", f"comes after {last}, the last of its series")
        if position - expected > MOST_MISSING:
            raise RowError(
                "row/too-far", f"lies {position - expected:,} steps after the end of its series"
            )
        return int(position - expected)


def _usual_names(columns: Mapping[str, object]) -> dict[str, str]:
    """`unique_id`, `ds` and `y` by what the history calls each, where that is one column."""
    usual = {}
    for role, name in (("id", ID), ("time", TIME), ("target", TARGET)):
        own = columns.get(role)
        if isinstance(own, list | tuple) and len(own) == 1:
            usual[str(own[0]).strip().lower()] = name
    return usual


def _numbers(which: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(which).tolist())


def _number(text: str) -> float:
    cleaned = text.strip()
    if cleaned.lower() in NO_VALUE:
        return math.nan
    try:
        value = float(cleaned) if "_" not in cleaned else math.inf
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise RowError("row/value", f"{text!r} is not a number")
    return value


# --- The loop over rows that come one by one: each is answered at once, bad ones are named -------


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
    gap = row.missing - len(row.shut)
    if gap:
        done.gaps += 1
        steps = "1 step" if gap == 1 else f"{gap:,} steps"
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
