"""What the first rows say about each column of a table, and the columns that were chosen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from forecast.data.io.csv import MISSING, MISSING_SIGNS
from forecast.data.io.notations import written_numbers
from forecast.data.io.time_forms import is_time
from forecast.data.io.vocabulary import ID_NAMES, TARGET_NAMES, key_of, month_of, names_time

__all__ = ["ID_NAMES", "TARGET_NAMES", "Column", "Mapping", "describe", "key_of"]

NO_TARGET = "\0"  # as target column: a table of covariates alone, all columns if none is named
NUMERIC = re.compile(r"[+-]?(\d[\d_ ]*([.,]\d+)*|[.,]\d+)\.?([eE][+-]?\d+)?|[+-]?(?i:inf(inity)?)")
INTEGER = re.compile(r"[+-]?\d{1,19}(\.0+)?")
POINTED = re.compile(r"\d{4}\.\d{1,2}|\d{1,2}\.\d{4}")  # 2015.1: a number, unless called a time
YEARLIKE = re.compile(r"(1[6-9]|2[01])\d\d(\.\d+)?|\d{1,2}\.(1[6-9]|2[01])\d\d")
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?|\d{2}\.\d{2}\.\d{2}")
DOTTED = re.compile(r"([01]\d|2[0-4])\.([0-5]\d)\.([0-5]\d)")
WITH_CLOCK = re.compile(
    r".*\d[T ]+\d{1,2}([:.]\d{2}|$| ?[AaPp]\.?[Mm]).*|\d{8}[T ]?\d{4,6}Z?|\d{10}"
    r"|\d{2}[A-Za-z]{3}\d{2,4}:\d{2}.*"
)
TIMELIKE = re.compile(
    r"""\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T\ ].*)?         # 2020-01-31 10:00
      | \d{4}[-/]\d{1,2}                                # 2020-01
      | \d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})(\ .*)?    # 31/01/2020
      | \d{1,2}[-/]\d{4}                                # 01/2020
      | (19|20)\d{2}(0[1-9]|1[0-2])[0-3]\d([T\ ]\d\d:?\d\d(:?\d\d)?Z?|Z)    # 20200131T1000
      | (19|20)\d{2}(0[1-9]|1[0-2])[0-3]\d\d\d:\d\d(:\d\d)?Z?
      | \d{4}[-\ /]?[QqHhSs][1-4] | [QqHh][1-4][-\ /]?\d{4} | \d{4}-?M\d{1,2}      # 2020Q1
      | (?i:fy)\ ?\d{4}([-/]\d{2})?
      | \d{4}[-\ ]?[Ww]\d{1,2}(-?[1-7])?                # 2020-W05
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Column:
    """What the first rows say about one column.

    kind    "number", "integer", "time", "boolean", "text" or "blank"
    blank   share of blank cells; distinct: different cells that are not
    sample  the first three of these
    form    more of what it may be: "clock" (a time of day), "month" (months' names), "timed" (a
            date with its time of day), "year", "week", "day", ... (digits of a date, the unit of
            the last of them), "affixed" (numbers with a unit or sign), else ""
    """

    name: str
    kind: str
    blank: float
    distinct: int
    sample: tuple[str, ...]
    form: str = ""


MOST_LISTED = 8  # series of a wide table that are named one by one


@dataclass(frozen=True)
class Mapping:
    """The chosen columns, and why.

    time         one name, or several that make the time together; () where rows are counted
    id           names of the columns that name the series; () for one series
    id_options   columns that may name the series if the times turn out to repeat
    targets      the target, or all series of a wide table; () where none is wanted
    extra        columns beside the target: covariates
    flags        columns of yes and no that have no other role: they might be covariates
    reasons      role -> how it was chosen ("--time-col", "its name", "the only numeric column")
    """

    time: tuple[str, ...]
    id: tuple[str, ...]
    id_options: tuple[str, ...]
    targets: tuple[str, ...]
    wide: bool
    reasons: dict[str, str]
    extra: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that has to be read, each once."""
        return tuple(
            dict.fromkeys((*self.time, *self.id, *self.id_options, *self.targets, *self.extra))
        )

    def to_dict(self) -> dict[str, object]:
        """The mapping as JSON-able data."""
        covariates = {"covariates": list(self.extra)} if self.extra else {}
        few = len(self.targets) <= MOST_LISTED
        return {
            "id": list(self.id),
            "time": list(self.time),
            "target": list(self.targets) if few else f"{len(self.targets)} columns",
            "reasons": dict(self.reasons),
            **covariates,
        }


def describe(name: str, cells: Sequence[str]) -> Column:
    """The kind of a column by a sample of its cells."""
    stripped = [c.strip() for c in cells]
    filled = [c for c in stripped if c not in MISSING]
    blank = 1 - len(filled) / max(len(stripped), 1)
    if not filled:
        return Column(name, "blank", blank, 0, ())
    known = [c for c in filled if c not in MISSING_SIGNS] or filled
    head, distinct = tuple(known[:3]), set(known)
    kind, form = _kind(name, known, distinct)
    return Column(name, kind, blank, len(distinct), head, form)


def _kind(name: str, cells: list[str], distinct: set[str]) -> tuple[str, str]:
    count = len(cells)
    integers = sum(bool(INTEGER.fullmatch(c)) for c in cells)
    if integers == count:
        form = digits_form(distinct)
        return "integer", form
    numbers = sum(bool(NUMERIC.fullmatch(c)) for c in cells)
    named = names_time(name)
    if numbers == count and named and all(YEARLIKE.fullmatch(c) for c in distinct):
        return "time", "pointed"
    dotted = [DOTTED.fullmatch(c) for c in distinct]
    if all(dotted) and any(m and "00" in m.groups()[:2] for m in dotted):
        return "text", "clock"  # 18.00.00 is no day of a month 0
    times = sum(_is_time(c) for c in cells)
    if times > 0.9 * count:
        timed = sum(bool(WITH_CLOCK.fullmatch(c)) for c in cells) > 0.5 * count
        return "time", "timed" if timed else ""
    if sum(bool(CLOCK.fullmatch(c)) for c in cells) > 0.9 * count:
        return "text", "clock"
    if numbers > 0.5 * count:
        return ("text", "") if _codes(cells, distinct) else ("number", "")
    if {c.lower() for c in distinct} <= {"true", "false", "yes", "no", "t", "f", "y", "n"}:
        return "boolean", ""
    if all(month_of(c) for c in distinct):
        return "text", "month"
    written = {c for c in distinct if any(map(str.isdigit, c))}  # beside them words: "closed"
    if len(written) > 1 and sum(c in written for c in cells) > 0.5 * count:
        return ("number", "affixed") if written_numbers(written) else ("text", "")
    return "text", ""


def _codes(cells: list[str], distinct: set[str]) -> bool:
    """Whether numbers have codes that begin with a letter among them, again and again: S1, 002."""
    lettered = {c for c in distinct if c[0].isalpha() and any(map(str.isdigit, c))}
    often = sum(c in lettered for c in cells) > max(len(cells) / 20, 2 * len(lettered))
    plain = all(c in lettered or NUMERIC.fullmatch(c) for c in distinct)
    return bool(lettered) and often and plain and not written_numbers(lettered)


def _is_time(cell: str) -> bool:
    if POINTED.fullmatch(cell):
        return False
    return TIMELIKE.fullmatch(cell) is not None or (not cell.isdigit() and is_time(cell))


def digits_form(distinct: set[str]) -> str:
    """The unit of the last digits, where all are dates without separators: 202001, 2020013123."""
    lengths = {len(c) for c in distinct}
    if len(lengths) != 1 or not all(c.isdigit() for c in distinct):
        return ""
    length = lengths.pop()
    if not all("1600" <= c[:4] <= "2261" for c in distinct):
        return ""
    rest = {c[4:] for c in distinct}
    if length == 4:
        return "year"
    if length == 6:
        tails = {int(r) for r in rest}
        if min(tails) < 1 or max(tails) > 53:
            return ""
        return "month" if max(tails) <= 12 else "week"
    if length == 7:
        return "yearday" if all(1 <= int(r) <= 366 for r in rest) else ""
    forms = {8: "day", 10: "hour", 12: "minute", 14: "second"}
    if length not in forms or not all(_digits_fit(r) for r in rest):
        return ""
    return forms[length]


def _digits_fit(rest: str) -> bool:
    """Whether digits after the year are month, day, hour, minute, second."""
    if not (1 <= int(rest[:2]) <= 12 and 1 <= int(rest[2:4]) <= 31):
        return False
    clock = [int(rest[i : i + 2]) for i in range(4, len(rest), 2)]
    return all(n <= (24 if i == 0 else 59) for i, n in enumerate(clock))
