"""What the first rows say about a column: numbers, times, text, or nothing yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from forecast.data.io.csv import MISSING

TIME_NAMES = (
    "ds", "timestamp", "datetime", "date_time", "date", "time", "month", "week", "quarter",
    "year", "day", "period", "index",
)  # fmt: skip
NUMERIC = re.compile(r"[+-]?(\d[\d_ ]*([.,]\d+)*|[.,]\d+)\.?([eE][+-]?\d+)?|[+-]?(?i:inf(inity)?)")
INTEGER = re.compile(r"[+-]?\d{1,19}(\.0+)?")
TIMELIKE = re.compile(
    r"""\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T\ ].*)?      # 2020-01-31 10:00
      | \d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})(\ .*)?     # 31/01/2020
      | \d{1,2}[-/]\d{4}                                # 01/2020
      | (19|20)\d{2}(0[1-9]|1[0-2])([0-3]\d([T\ ]?\d\d:?\d\d(:?\d\d)?)?)?Z?  # 20200131, 202001
      | \d{4}[-\ /]?[Qq][1-4] | [Qq][1-4][-\ /]\d{4} | \d{4}-?M\d{1,2}      # 2020Q1
      | \d{4}-?[Ww]\d{2}(-?[1-7])?                      # 2020-W05
      | (\w+,?\ )?(\d{1,2}[-\ /.])?(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?
        [-\ /.,]+(\d{1,2},?\ )?(\d{4}|\d{2})(\ .*)?     # 31 Jan 2020, January 31, 2020
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Column:
    """What the first rows say about one column."""

    name: str
    kind: str  # "number", "integer", "time", "boolean", "text" or "blank"
    blank: float  # share of blank cells
    distinct: int
    sample: tuple[str, ...]


def key_of(name: str) -> str:
    """A column name in small letters and underscores, to compare with known names."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def describe(name: str, cells: Sequence[str]) -> Column:
    """The kind of a column by a sample of its cells."""
    stripped = [c.strip() for c in cells]
    filled = [c for c in stripped if c not in MISSING]
    blank = 1 - len(filled) / max(len(stripped), 1)
    head = tuple(filled[:3])
    if not filled:
        return Column(name, "blank", blank, 0, head)
    count = len(filled)
    key = key_of(name)
    times = sum(bool(TIMELIKE.fullmatch(c)) for c in filled)
    integers = sum(bool(INTEGER.fullmatch(c)) for c in filled)
    numbers = sum(bool(NUMERIC.fullmatch(c)) for c in filled)
    compact = integers == count and key not in TIME_NAMES  # 202001 in a column of counts
    if (key in TIME_NAMES and numbers == count > integers and _years(filled)) or (
        times > 0.9 * count and not compact
    ):
        kind = "time"
    elif integers == count:
        kind = "integer"
    elif numbers > 0.5 * count:
        kind = "number"
    elif {c.lower() for c in filled} <= {"true", "false", "yes", "no", "t", "f", "y", "n"}:
        kind = "boolean"
    else:
        kind = "text"
    return Column(name, kind, blank, len(set(filled)), head)


def _years(cells: Sequence[str]) -> bool:
    """Whether the numbers are years with a fraction for the month: 1949.0833."""
    return all(re.fullmatch(r"(1[6-9]|2[01])\d\d(\.\d+)?", c) for c in cells)
