"""Rows that come one by one: a line of text to a series, a position and a value, or why not."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass

from forecast.data.panel import ID, TARGET, TIME, Panel
from forecast.inference.stream_times import Clock

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
    """series: its number in the panel; missing: steps without a row before it; value: or NaN."""

    series: int
    missing: int
    value: float


class RowReader:
    """Reads lines `unique_id,ds,y`, or `ds,y` of a single series, in the order of a header if the
    first line is one. Knows where each series ends, and moves that on with every row."""

    def __init__(
        self, panel: Panel, clock: Clock, columns: Mapping[str, object] | None = None
    ) -> None:
        """columns: names of the history's own columns by role, as its LoadReport has them; a header
        may have these in the place of `unique_id`, `ds` and `y`."""
        self.clock = clock
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
        return Row(series, missing, value)

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
