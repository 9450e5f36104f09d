"""Rows that come one by one: a line of text to a series, a position and a value, or why not."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from forecast.common.errors import UsageError
from forecast.data.frequency import Frequency
from forecast.data.io.csv import MISSING
from forecast.data.io.dialect import SEPARATOR_NAMES
from forecast.data.io.timestamp_writing import (
    clock_of,
    format_stamps,
    instants,
    is_region,
    names_zone,
    offset_of,
)
from forecast.data.open_steps import is_open, of_hours, repeated, skipped
from forecast.data.panel import ID, TARGET, TIME, Panel

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings
    from forecast.data.io.timestamps import Times
    from forecast.data.load import LoadReport

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
        return self._parsed(text, near) if found is None else found

    def texts(self, positions: np.ndarray, second: np.ndarray | None) -> list[str]:
        """The times at `positions` (N,); second: bool, the later of a time that comes twice."""
        made = [self.text(position) for position in positions.tolist()]
        for at in [] if second is None else np.flatnonzero(second).tolist():
            stamps = self.frequency.stamps(positions[at : at + 1])
            later = format_stamps(stamps, self.time_format, self.tz, np.ones(1, bool))
            made[at] = str(later[0])
        return made

    def _make(self, first: int) -> None:
        positions = np.arange(first, first + BLOCK)
        stamps = self.frequency.stamps(positions)
        made = [str(t) for t in format_stamps(stamps, self.time_format, self.tz).to_pylist()]
        if len(self._texts) > 200 * BLOCK:
            self._texts.clear()
            self._positions.clear()
        self._texts.update(zip(positions.tolist(), made, strict=True))
        # An hour that the clock shows twice is the first of the two, as in a file without offsets.
        there = ~skipped(self.frequency, self.tz, positions)
        for at in np.flatnonzero(there).tolist():
            self._positions.setdefault(made[at], first + at)

    def _parsed(self, text: str, near: int) -> int:
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
            raise ValueError(f"{text!r} is not a time such as {self.text(near)!r}")
        stamps = times.stamps if times.integer else self._here(times, text).view("M8[ns]")
        positions, fits = self.frequency.locate(stamps)
        if not fits[0]:
            raise ValueError(
                f"{text!r} lies between two steps of the grid ({self.frequency.alias})"
            )
        if skipped(self.frequency, self.tz, positions)[0]:
            raise ValueError(f"{text!r} never was on the clock of {self.tz}")
        return int(positions[0])

    def _here(self, times: Times, text: str) -> np.ndarray:
        """The stamps of hours and less on the history's clock; days are those that are written."""
        epoch = self.time_format.startswith("epoch")
        if not of_hours(self.frequency):
            return times.stamps
        if times.tz is None and not times.instant and not epoch:
            if names_zone(self.time_format):
                raise ValueError(f"{text!r} has no offset from UTC, which the history's times have")
            return times.stamps
        if self.tz is None and not epoch:
            raise ValueError(f"{text!r} has an offset from UTC, and the history's times have none")
        zone, here = times.tz or "", self.tz or ""
        moments = times.stamps
        if not times.instant:
            moments = instants(moments, zone) if is_region(times.tz) else moments - offset_of(zone)
        return clock_of(moments, here) if is_region(self.tz) else moments + offset_of(here)


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


@dataclass(frozen=True)
class Spelling:
    """How the history is written, and so may rows be.

    columns: names of the history's own columns by role, as its LoadReport has them; a header may
    have these in the place of `unique_id`, `ds` and `y`. separator, decimal, thousands: of its
    cells; a line without that separator has commas and points. missing, dropped: texts and numbers
    that mean missing. encoding: of lines that are not UTF-8.
    """

    columns: Mapping[str, object] = field(default_factory=dict)
    separator: str = ","
    decimal: str = "."
    thousands: str | None = None
    missing: frozenset[str] = frozenset(MISSING)
    dropped: frozenset[float] = frozenset()
    encoding: str = "utf-8"

    @classmethod
    def of(cls, report: LoadReport, data: DataSettings) -> Spelling:
        """As the history was read. Raises UsageError where its rows are no rows of a stream."""
        _refuse_what_a_row_is_not(report, data)
        named = {name: sign for sign, name in SEPARATOR_NAMES.items()}
        separator, decimal, encoding = (
            str(report.dialect.get(name, usual))
            for name, usual in (("separator", ","), ("decimal", "."), ("encoding", "utf-8"))
        )
        return cls(
            columns=report.columns,
            separator=named.get(separator, separator),
            decimal=decimal,
            thousands=data.thousands,
            missing=frozenset((*MISSING, *data.na_values)),
            dropped=frozenset(data.drop_value),
            encoding=encoding,
        )

    def number(self, text: str, own: bool) -> float:
        """The number of a cell, NaN where it is missing; own: in the history's notation. Raises
        RowError."""
        cleaned = text.strip()
        if cleaned.lower() in NO_VALUE or cleaned in self.missing:
            return math.nan
        try:
            value = self._read(cleaned, own)
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            raise RowError("row/value", f"{text!r} is not a number")
        return math.nan if value in self.dropped else value

    def _read(self, text: str, own: bool) -> float:
        if own and (self.decimal != "." or self.thousands):
            from forecast.data.io.arrow import as_strings
            from forecast.data.io.values import number_strings

            numbers, bad = number_strings(as_strings([text]), self.decimal, self.thousands)
            return math.inf if bad[0] else float(numbers[0])
        return math.inf if "_" in text else float(text)


def _refuse_what_a_row_is_not(report: LoadReport, data: DataSettings) -> None:
    """Raises UsageError where several rows of the history made one value, or gaps were filled."""
    made = {note.code for note in report.repairs if note.count}
    for flag, used, what, remedy in (
        ("--resample", "repair/resampled" in made, "rows were joined to steps",
         "Name a history of such steps, and send rows of them"),
        ("--duplicates", "repair/duplicate-times" in made, "rows of one time were joined",
         "Name a history with one row for each time"),
        ("--missing", data.missing != "mask", "gaps are filled",
         "Say --missing mask: what is not there counts as missing"),
    ):  # fmt: skip
        if used:
            raise UsageError(
                f"--follow takes each row as the value of a step; of the history {what}",
                code="usage/follow-as-it-is",
                where=flag,
                value=report.source,
                remedy=remedy,
            )


class RowReader:
    """Reads lines `unique_id,ds,y`, or `ds,y` of a single series, in the order of the last header.
    Knows where each series ends, and moves that on with every row."""

    def __init__(self, panel: Panel, clock: Clock, spelling: Spelling | None = None) -> None:
        self.clock, self._panel = clock, panel
        self.spelling = spelling or Spelling()
        self._usual = _usual_names(self.spelling.columns)
        self.ids = panel.ids.tolist()
        self.number = {name: number for number, name in enumerate(self.ids)}
        self.next = (panel.first + panel.lengths).tolist()
        self._order: list[int] | None = None
        self._width = 0  # fields of the header

    def header(self, line: str) -> bool:
        """Whether `line`, which is no row, is a header; then the order of its columns is kept."""
        fields = [field.strip().lower() for field in self._fields(line)]
        if not {TIME, TARGET} <= set(fields):
            fields = [self._usual.get(field, field) for field in fields]
        places = {name: at for at, name in enumerate(fields)}
        if TIME not in places or TARGET not in places:
            return False
        names = [ID, TIME, TARGET] if len(self.ids) > 1 or ID in places else [TIME, TARGET]
        if any(fields.count(name) != 1 for name in names):
            return False
        self._order, self._width = [places[name] for name in names], len(fields)
        return True

    def read(self, line: str) -> Row:
        """The row of a line. Raises RowError; the series' end stays where it was then."""
        fields = self._fields(line)
        if self._order is not None:
            if len(fields) != self._width:
                raise RowError("row/fields", f"has {_count(fields)}, and the header {self._width}")
            fields = [fields[at] for at in self._order]
        series, rest = self._series(fields)
        expected = self.next[series]
        try:
            position = self.clock.position(rest[0].strip(), expected)
        except (ValueError, OverflowError) as error:
            raise RowError("row/time", str(error)) from error
        value = self.spelling.number(rest[1], self._own(line))
        missing = self._ahead(position, expected)
        self.next[series] = position + 1
        if not missing:
            return Row(series, missing, value)
        steps = np.arange(expected, position)
        jumped = skipped(self._panel.frequency, self._panel.tz, steps)
        shut = ~is_open(self._panel, np.full(missing, series), steps)
        return Row(series, missing, value, _numbers(jumped), _numbers(shut))

    def _own(self, line: str) -> bool:
        return self.spelling.separator in line

    def _fields(self, line: str) -> list[str]:
        separator = self.spelling.separator if self._own(line) else ","
        try:
            return next(csv.reader([line.rstrip("\r\n")], strict=True, delimiter=separator), [])
        except csv.Error as error:
            raise RowError("row/unreadable", f"is no line of CSV ({error})") from error

    def _series(self, fields: list[str]) -> tuple[int, list[str]]:
        if len(fields) == 2 and len(self.ids) == 1:
            return 0, fields
        if len(fields) != 3:
            wanted = "unique_id,ds,y" + ("" if len(self.ids) > 1 else " or ds,y")
            raise RowError("row/fields", f"has {_count(fields)}, not {wanted}")
        number = self.number.get(fields[0].strip())
        if number is None:
            raise RowError("row/unknown-series", f"is of a series without a history: {fields[0]!r}")
        return number, fields[1:]

    def _ahead(self, position: int, expected: int) -> int:
        """Steps without a row before `position`. Raises RowError if it is not ahead of the end."""
        if position == expected - 1:
            frequency, tz = self._panel.frequency, self._panel.tz
            twice = repeated(frequency, tz, np.array([position]))[0]
            said = ": the clock shows it twice, and the first counts" if twice else ""
            raise RowError(
                "row/duplicate-time", f"{self.clock.text(position)} has been there already{said}"
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


def _count(fields: list[str]) -> str:
    return "1 field" if len(fields) == 1 else f"{len(fields)} fields"


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
    which is used all the same, and an end of the input within a line.
    """
    done = Followed()
    try:
        # The products of one row are small: more threads would only wait for each other.
        with threadpool_limits(1, "blas"):
            for number, line in _lines(source, reader.spelling.encoding):
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
        row = reader.read(line)
    except RowError as error:
        if line is not None and error.code != "row/unreadable" and reader.header(line):
            return  # the first line, or a file that was begun anew
        done.refused += 1
        complain(number, error.code, str(error))
        return
    gap = row.missing - len(row.shut)
    if gap:
        done.gaps += 1
        steps = "1 step" if gap == 1 else f"{gap:,} steps"
        complain(number, "row/gap", f"comes after a gap of {steps}, which count as missing")
    if not (line or "").endswith("\n"):
        complain(number, "row/cut-off", "has no line end: its last digits may be lacking")
    done.rows += 1
    answer(row)


def _lines(source: IO[bytes], encoding: str) -> Iterator[tuple[int, str | None]]:
    """Number and text, with its end, of each line that is not blank; None for one too long.

    encoding: of what is not UTF-8. Files laid end to end may each begin with a byte order mark.
    """
    number = 0
    while line := source.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = source.readline(LONGEST_LINE)
            yield number, None
            continue
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = line.decode(encoding, "replace")
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
