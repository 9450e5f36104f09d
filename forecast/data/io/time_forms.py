"""The forms in which times are written: their parts (year, month, hour, ...), what these come to,
and the pattern that writes times as a column does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, word
from forecast.data.io.notes import Note
from forecast.data.io.vocabulary import (
    MONTH_NAMES,
    MONTH_ROWS,
    WEEKDAY_ROWS,
    month_of,
    names_like,
    names_month,
    part_named,
)

if TYPE_CHECKING:
    import pyarrow as pa

LETTER = "[A-Za-zÀ-ɏЀ-ӿ]"
ZONE = r"(?P<z> ?(?:Z|z|(?:UTC|GMT)?[+-]\d{2}:?\d{2}|(?:UTC|GMT)?[+-]\d{1,2}|UTC|GMT))?"
CLOCK = (
    r"(?:(?P<T>[T :]+)(?P<H>\d{1,2})"
    r"(?:[:.](?P<M>\d{2})(?:[:.](?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?)?" + ZONE
)
TIGHT_CLOCK = (
    r"(?:(?P<T>[T ]?)(?P<H>\d{2})(?::?(?P<M>\d{2})(?::?(?P<S>\d{2}))?)?)?"
    r"(?P<z>Z|[+-]\d{2}:?\d{2})?"
)
NAME = rf"(?P<B>{LETTER}{{3,12}}\.?)"
_DAYS = sorted({d for row in WEEKDAY_ROWS for d in row}, key=lambda d: (-len(d), d))
ON_A_DAY = rf"(?P<w>(?i:{'|'.join(_DAYS)}))(?P<v>[.,]{{0,2}} )"
WEEKDAY = f"(?:{ON_A_DAY})?"
ISO = r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P<s2>[-/.])(?P<d>\d{1,2})"
NUMERIC = r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P<s2>[-/.])(?P<Y>\d{4}|\d{2})"
ORDINAL = r"[.º°]? ?"

FAMILIES: dict[str, str] = {
    "iso": f"^{ISO}{CLOCK}$",
    "year-month": r"^(?P<Y>\d{4})(?P<s>[-/.]|-?M)(?P<m>\d{1,2})$",
    "compact": rf"^(?P<Y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}}){TIGHT_CLOCK}$",
    "compact-month": r"^(?P<Y>\d{4})(?P<m>\d{2})$",
    "compact-week": r"^(?P<Y>\d{4})(?P<W>\d{2})$",
    "year-day": r"^(?P<Y>\d{4})(?P<j>\d{3})$",
    "year": r"^(?P<Y>\d{4})$",
    "fiscal": r"^(?P<F>(?i:fy) ?)(?P<Y>\d{4}|\d{2})$",
    "fiscal-quarter": r"^(?P<F>(?i:fy) ?)(?P<Y>\d{4}|\d{2})(?P<s>[- /]*)(?P<q>[Qq][1-4])$",
    "quarter-fiscal": r"^(?P<q>[Qq][1-4])(?P<s>[- /]*)(?P<F>(?i:fy) ?)(?P<Y>\d{4}|\d{2})$",
    "half": r"^(?P<Y>\d{4})(?P<s>[- /]?)(?P<h>[HhSs][12])$",
    "half-first": r"^(?P<h>[HhSs][12])(?P<s>[- /]?)(?P<Y>\d{4})$",
    "quarter": r"^(?P<Y>\d{4})(?P<s>[- /]?)(?P<q>[Qq][1-4])$",
    "quarter-first": r"^(?P<q>[Qq][1-4])(?P<s>[- /]?)(?P<Y>\d{4})$",
    "quarter-short": r"^(?P<q>[Qq][1-4])(?P<s>[- /']+)(?P<Y>\d{2})$",  # Q1 13
    "counted-quarter": r"^(?P<q>[1-4])(?P<F> ?[Qq] ?)(?P<Y>\d{4}|\d{2})$",  # 1Q13
    "counted-half": r"^(?P<h>[12])(?P<F> ?[Hh] ?)(?P<Y>\d{4}|\d{2})$",
    "word-quarter": rf"^(?P<q>[1-4])(?P<F>{ORDINAL}(?i:quartal|quarter|trimestre|kvartal|kwartaal))"
    r"(?P<s>[- /,]+)(?P<Y>\d{4})$",  # 1. Quartal 2013
    "quarter-word": r"^(?P<F>(?i:quartal|quarter|trimestre|kvartal|kwartaal|qtr\.?) ?)(?P<q>[1-4])"
    r"(?P<s>[- /,]+)(?P<Y>\d{4})$",
    "word-half": rf"^(?P<h>[12])(?P<F>{ORDINAL}(?i:halbjahr|semestre|halfjaar))(?P<s>[- /,]+)"
    r"(?P<Y>\d{4})$",
    "week-first": r"^(?P<F>(?i:kw|cw|week|w)\.? ?)(?P<W>\d{1,2})(?P<s>[-/. ]+)(?P<Y>\d{4})$",
    "year-week": r"^(?P<Y>\d{4})(?P<s>[-/. ]*)(?P<F>(?i:kw|cw|week)\.? ?)(?P<W>\d{1,2})$",
    "m-first": r"^(?P<F>[Mm])(?P<m>\d{2})(?P<s>[-/. ])(?P<Y>\d{4})$",  # M01.2021
    "week": r"^(?P<Y>\d{4})(?P<s>[- ]?)(?P<W>[Ww]\d{1,2})(?:(?P<s2>-?)(?P<u>[1-7]))?$",
    "numeric": f"^{NUMERIC}{CLOCK}$",
    "day-iso": f"^{ON_A_DAY}{ISO}{CLOCK}$",  # Mo, 2024-01-01
    "day-numeric": f"^{ON_A_DAY}{NUMERIC}{CLOCK}$",
    "month-year": r"^(?P<m>\d{1,2})(?P<s>[-/.])(?P<Y>\d{4})$",
    "number-quarter": r"^(?P<q>[1-4])(?P<s>[-/.])(?P<Y>\d{4})$",
    "quarter-number": r"^(?P<Y>\d{4})(?P<s>[-/.])(?P<q>[1-4])$",
    "season": r"^(?P<F>(?i:fy) ?)?(?P<Y>\d{4})(?P<s>[-/])(?P<e>\d{4}|\d{2})$",
    "named": rf"^{WEEKDAY}(?P<d>\d{{1,2}})(?P<s>[-/. ]*){NAME}(?P<s2>[-/., ]*)"
    rf"(?P<Y>\d{{4}}|\d{{2}}){CLOCK}$",
    "name-first": rf"^{WEEKDAY}{NAME}(?P<s>[-/. ]+)(?P<d>\d{{1,2}})(?P<s2>[-/]|,? ?)(?P<Y>\d{{4}})"
    rf"{CLOCK}$",
    "name-year": rf"^{NAME}(?P<s>[-/., ']+)(?P<Y>\d{{4}}|\d{{2}})$",
    "year-name": rf"^(?P<Y>\d{{4}})(?P<s>[-/. ]+){NAME}$",
}
ENGLISH = frozenset((*MONTH_NAMES, *(m[:3] for m in MONTH_NAMES)))
CHOSEN = ("compact-week", "number-quarter", "quarter-number", "season")  # by all texts
BARE = ("year", "compact-month", "year-day")  # digits that could be any number
MARKS = (" - ", " – ", " — ", " to ", " bis ", " / ", "/", "–", "—", "-")
TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d)?")


def family_of(text: str) -> str | None:
    """The first form that one text has by itself, or None."""
    return next((f for f, p in FAMILIES.items() if f not in CHOSEN and re.match(p, text)), None)


def is_season(text: str) -> bool:
    """Whether a text is a year and the next: 2001/02, 2001-2002, FY2001/02."""
    found = re.match(FAMILIES["season"], text)
    return found is not None and str(int(found["Y"]) + 1).endswith(found["e"])


MOST_MONTHS = 0.8  # share of first days a usual step apart, the others after a gap
LEAST = 4  # names of columns that are times, to call them the header's times
DIGITS_OF_TIME = re.compile(r"(19|20)\d{2}((0[1-9]|1[0-2])([0-2]\d|3[01])?)?")


def is_time(text: str) -> bool:
    """Whether a text is a time by itself: a form that is known, its month's name as well, or the
    digits of a year, a month or a day."""
    family = family_of(text)
    if family is None:
        return is_season(text) or interval_mark(text) is not None
    if text.isdigit():
        return DIGITS_OF_TIME.fullmatch(text) is not None
    found = re.match(FAMILIES[family], text)
    name = found.groupdict().get("B") if found else None
    return name is None or names_month(name)


def times_of_header(names: Sequence[str]) -> tuple[str, ...]:
    """The names that are times (dates, years, or months beside a column of years), or ()."""
    times = tuple(n for n in names if is_time(n))
    if len(times) >= LEAST and 2 * len(times) >= len(names):
        return times
    year = [n for n in names if part_named(n) == "year"]
    months = tuple(n for n in names if n not in year and month_of(n))
    if len(year) == 1 and len(months) >= LEAST and names_of_months(months):
        return months
    return ()


def names_of_months(names: Iterable[str]) -> bool:
    """Whether names are those of months."""
    found = [month_of(n) for n in names]
    return len(found) >= 3 and all(found) and len(set(found)) == len(found)


def interval_mark(text: str) -> tuple[str, int, int] | None:
    """What stands between the two times of an interval, at which of how many of its kind.

    ("-", 3, 5) for 1-2-2023-8-2-2023; None where `text` is no interval, or one in two readings.
    """
    if sum(map(str.isdigit, text)) < 6 or family_of(text):
        return None
    for alike in (True, False):  # two times of one form are by far the likelier
        for mark in MARKS:
            pieces = text.split(mark)
            cuts = [n for n in range(1, len(pieces)) if _both_times(pieces, n, mark, alike)]
            if len(cuts) == 1:
                return mark, cuts[0], len(pieces) - 1
    return None


def _both_times(pieces: list[str], cut: int, mark: str, alike: bool) -> bool:
    begin, end = mark.join(pieces[:cut]).strip(), mark.join(pieces[cut:]).strip()
    first, last = family_of(begin), family_of(end)
    if first in (None, *BARE):
        return False
    clock_only = TIME_OF_DAY.fullmatch(end) is not None
    return clock_only or (first == last if alike else last not in (None, *BARE))


def filled(texts: pa.Array) -> np.ndarray:
    """bool (D,): not the empty string."""
    import pyarrow.compute as pc

    return as_numpy(pc.binary_length(texts)) > 0


def parts_of(family: str, text: pa.Array) -> Parts:
    """The parts of all texts; by far the fastest where they differ in their digits only."""
    matrix = _matrix(text)
    match = re.match(FAMILIES[family], str(text[0].as_py())) if len(text) else None
    if matrix is not None and match is not None and _one_shape(matrix):
        return FixedParts(text, matrix, match)
    return Parts(family, text)


def _matrix(text: pa.Array) -> np.ndarray | None:
    """uint8 (D, L) of the bytes of texts that all have L bytes, else None."""
    import pyarrow.compute as pc

    lengths = as_numpy(pc.binary_length(text))
    if len(lengths) == 0 or lengths[0] == 0 or (lengths != lengths[0]).any():
        return None
    width, count = int(lengths[0]), len(lengths)
    start = int(np.frombuffer(text.buffers()[1], np.int32, 1, text.offset * 4)[0])
    flat = np.frombuffer(text.buffers()[2], np.uint8, width * count, start)
    return flat.reshape(count, width)


def _one_shape(matrix: np.ndarray) -> bool:
    """Whether every row has a digit where the first has one, and equals it elsewhere."""
    for column in matrix.T:
        if 48 <= column[0] <= 57:
            if ((column < 48) | (column > 57)).any():
                return False
        elif (column != column[0]).any():
            return False
    return True


class Parts:
    """The named groups of one family over all texts (D,), as strings or integers.

    good   bool (D,): the text is of the family
    names  groups that the family has; `first(name)` is "" where no text has the group
    """

    def __init__(self, family: str, text: pa.Array) -> None:
        import pyarrow.compute as pc

        self.text = text
        self.good = as_numpy(pc.match_substring_regex(text, FAMILIES[family]))
        found = pc.extract_regex(text, FAMILIES[family])
        self.names = [found.type.field(i).name for i in range(found.type.num_fields)]
        self._groups = {n: pc.fill_null(pc.struct_field(found, n), word("")) for n in self.names}

    def strings(self, name: str) -> pa.Array:
        """The texts (D,) of group `name`, "" where a text has none."""
        return self._groups[name]

    def has(self, name: str) -> bool:
        """Whether any text has group `name`."""
        return name in self.names and bool(filled(self.strings(name)).any())

    def integers(self, name: str, default: int) -> np.ndarray:
        """int64 (D,): the digits of group `name`, `default` where there are none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in self.names:
            return np.full(len(self.text), default, np.int64)
        digits = pc.replace_substring_regex(self.strings(name), r"\D", "")
        whole = pc.if_else(as_arrow(filled(digits)), digits, word(str(default)))
        return as_numpy(pc.cast(whole, pa.int64()))

    def first(self, name: str) -> str:
        """The first non-empty text of group `name`."""
        if name not in self.names:
            return ""
        found = self.strings(name)
        some = found.filter(as_arrow(filled(found)))
        return str(some[0].as_py()) if len(some) else ""

    def padded(self, name: str) -> bool:
        """Whether single digits are written with a leading zero (any: some are not)."""
        import pyarrow.compute as pc

        if name not in self.names:
            return True
        found = self.strings(name)
        if as_numpy(pc.match_substring_regex(found, r"^0\d")).any():
            return True
        return not (as_numpy(pc.binary_length(found)) == 1).any()


class FixedParts(Parts):
    """The same for texts of one length that differ in their digits only: slices of a matrix."""

    def __init__(self, text: pa.Array, matrix: np.ndarray, match: re.Match[str]) -> None:
        self.text = text
        self.good = np.ones(len(text), bool)
        self.names = list(match.groupdict())
        self._matrix = matrix
        self._match = match

    def strings(self, name: str) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._match[name]:
            return pa.repeat(word(""), len(self.text))
        return pc.utf8_slice_codeunits(self.text, *self._match.span(name))

    def has(self, name: str) -> bool:
        return name in self.names and bool(self._match[name])

    def integers(self, name: str, default: int) -> np.ndarray:
        if not self.has(name):
            return np.full(len(self.text), default, np.int64)
        total = np.zeros(len(self.text), np.int64)
        for column in self._matrix.T[slice(*self._match.span(name))]:
            if 48 <= column[0] <= 57:
                total = total * 10 + (column - 48)
        return total

    def first(self, name: str) -> str:
        return (self._match[name] or "") if name in self.names else ""

    def padded(self, name: str) -> bool:
        return len(self.first(name)) != 1


# --- Parts of times put together: days since 1970 and nanoseconds since midnight -----------------


EARLIEST, LATEST = 1678, 2261  # years that 64-bit nanoseconds hold whole


def calendar_days(parts: Parts, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days since 1970 (D,), whether the date exists, and whether its year can be held.

    order: "dm" or "md" for numeric dates, else "".
    """
    year = years(parts)
    in_range = (year >= EARLIEST) & (year <= LATEST)
    if "W" in parts.names:
        days, valid = iso_week_days(year, parts.integers("W", 1), parts.integers("u", 1))
        return days, valid, in_range
    if "j" in parts.names:
        start, valid = days_of(year, np.ones_like(year), np.ones_like(year))
        after = parts.integers("j", 1)
        leap = days_of(year, np.full_like(year, 2), np.full_like(year, 29))[1]
        return start + after - 1, valid & (after >= 1) & (after <= 365 + leap), in_range
    day = parts.integers("d", 1)
    if order:
        month, day = parts.integers("ab"[order == "dm"], 1), parts.integers("ab"[order == "md"], 1)
    elif "q" in parts.names:
        month = parts.integers("q", 1) * 3 - 2
    elif "h" in parts.names:
        month = parts.integers("h", 1) * 6 - 5
    elif "B" in parts.names:
        month = named_months(parts)
    else:
        month = parts.integers("m", 1)
    days, valid = days_of(year, month, day)
    return days, valid, in_range


def years(parts: Parts) -> np.ndarray:
    """Four-digit years; of two digits 69 to 99 are 1969 to 1999, as in POSIX."""
    year = parts.integers("Y", 1970)
    if len(parts.first("Y")) == 2:
        year = np.where(year < 69, year + 2000, np.where(year < 100, year + 1900, year))
    return year


def day_order(parts: Parts, dayfirst: bool | None) -> tuple[str, str]:
    """("dm" or "md", "") for numeric dates; ("", reason) when nothing tells or all contradicts."""
    a, b = (parts.integers(n, 1)[parts.good] for n in "ab")
    first_is_day, second_is_day = bool((a > 12).any()), bool((b > 12).any())
    if first_is_day and second_is_day:
        return "", "mixed"
    if first_is_day or second_is_day:
        contradicted = dayfirst is not None and dayfirst != first_is_day
        return ("", "dayfirst") if contradicted else ("dm" if first_is_day else "md", "")
    if dayfirst is not None:
        return ("dm" if dayfirst else "md"), ""
    if parts.first("s") == ".":  # 03.04.2020: no country writes the month first with dots
        return "dm", ""
    return _of_first_days(years(parts)[parts.good], a, b)


def _of_first_days(year: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[str, str]:
    """As `day_order`, of first days of months that follow each other for more than a year:
    1/1/2023, 2/1/2023, ... The other way round they would be the first days of each January."""
    for order, month, day in (("md", a, b), ("dm", b, a)):
        if not len(day) or (day != 1).any():
            continue
        months = np.unique(12 * year + month)
        steps = np.diff(months)
        if months[-1] - months[0] < 12 or steps.min() >= 12:
            continue
        if (steps % steps.min() == 0).all() and (steps == steps.min()).mean() >= MOST_MONTHS:
            return order, ""
    return "", "ambiguous"


def named_months(parts: Parts) -> np.ndarray:
    """1 to 12 for the name of a month, 0 for another word."""
    coded = parts.strings("B").dictionary_encode()
    months = np.array([month_of(name) for name in coded.dictionary.to_pylist()], np.int64)
    return months[as_numpy(coded.indices)]


def days_of(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 and whether the date exists."""
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (year - 1970) * 12 + np.where(valid, month - 1, 0)
    start = months.astype("M8[M]").astype("M8[D]")
    date = start + (np.where(valid, day, 1) - 1)
    valid &= date.astype("M8[M]").astype(np.int64) == months
    return date.astype(np.int64), valid


def iso_week_days(
    year: np.ndarray, week: np.ndarray, weekday: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 of ISO week dates (ISO 8601: week 1 holds 4 January), and validity."""
    fourth, _ = days_of(year, np.ones_like(year), np.full_like(year, 4))
    monday = fourth - (fourth + 3) % 7  # 1970-01-01 is a Thursday
    next_fourth, _ = days_of(year + 1, np.ones_like(year), np.full_like(year, 4))
    next_monday = next_fourth - (next_fourth + 3) % 7
    days = monday + (week - 1) * 7 + weekday - 1
    return days, (week >= 1) & (days < next_monday)


def clock(parts: Parts, notes: list[Note]) -> tuple[np.ndarray, np.ndarray]:
    """Nanoseconds since midnight and whether the time of day exists."""
    if "H" not in parts.names or not parts.has("H"):
        zero = np.zeros(len(parts.text), np.int64)
        return zero, np.ones(len(zero), bool)
    hour, minute, second = (parts.integers(n, 0) for n in "HMS")
    valid = (hour <= 23) & (minute <= 59) & (second <= 59)
    midnight = (hour == 24) & (minute == 0) & (second == 0)
    leap = (hour == 23) & (minute == 59) & (second == 60)
    if leap.any():
        text = "a leap second (23:59:60) became the next midnight"
        notes.append(Note("repair/leap-second", text, int(leap.sum())))
    if midnight.any():
        notes.append(Note("repair/hour-24", "24:00 became the next midnight", int(midnight.sum())))
    valid |= midnight | leap
    if parts.has("p"):
        hour, half_valid = _half_days(parts, hour)
        valid &= half_valid
    nanos = ((hour * 60 + minute) * 60 + second) * 10**9
    if parts.has("f"):
        nanos = nanos + _fractions(parts)
    return nanos, valid


def _half_days(parts: Parts, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.compute as pc

    marks = pc.utf8_lower(pc.utf8_trim_whitespace(parts.strings("p")))
    afternoon = as_numpy(pc.match_substring(marks, "p"))
    marked = filled(marks)
    valid = ~marked | ((hour >= 1) & (hour <= 12))
    return np.where(marked, hour % 12 + 12 * afternoon, hour), valid


def _fractions(parts: Parts) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pc.ascii_rpad(parts.strings("f"), 9, "0")
    return np.asarray(as_numpy(pc.cast(digits, pa.int64())))


# -------------------------------------------------------------------------------------------------


def format_of(family: str, parts: Parts, order: str) -> str:
    """The pattern of this column; see `timestamp_writing.format_stamps`."""
    s, s2 = parts.first("s"), parts.first("s2")
    year = "%y" if len(parts.first("Y")) == 2 else "%Y"
    day = "%d" if parts.padded("d") else "%-d"
    month = "%m" if parts.padded("m") else "%-m"
    if "B" in parts.names:
        month = _month_name_code(parts)
    if order:
        first, second = ("%d", "%m") if order == "dm" else ("%m", "%d")
        first = first if parts.padded("a") else first.replace("%", "%-")
        second = second if parts.padded("b") else second.replace("%", "%-")
        return f"{_weekday_code(parts)}{first}{s}{second}{s2}{year}" + _clock_format(parts)
    week = "%V" if parts.padded("W") and len(re.sub(r"\D", "", parts.first("W"))) > 1 else "%-V"
    weekday = _weekday_code(parts)
    mark = parts.first("F")
    patterns = {
        "iso": f"{year}{s}{month}{s2}{day}",
        "day-iso": f"{weekday}{year}{s}{month}{s2}{day}",
        "year-month": f"{year}{s}{month}",
        "compact": "%Y%m%d",
        "compact-month": "%Y%m",
        "year": "%Y",
        "compact-week": "%G%V",
        "year-day": "%Y%j",
        "fiscal": f"{mark}{year}",
        "fiscal-quarter": f"{mark}{year}{s}{parts.first('q')[:1]}%q",
        "quarter-fiscal": f"{parts.first('q')[:1]}%q{s}{mark}{year}",
        "quarter-short": f"{parts.first('q')[:1]}%q{s}{year}",
        "counted-quarter": f"%q{mark}{year}",
        "counted-half": f"%h{mark}{year}",
        "word-quarter": f"%q{mark}{s}{year}",
        "quarter-word": f"{mark}%q{s}{year}",
        "word-half": f"%h{mark}{s}{year}",
        "week-first": f"{mark}{week}{s}%G",
        "year-week": f"%G{s}{mark}{week}",
        "m-first": f"{mark}{month}{s}{year}",
        "half": f"%Y{s}{parts.first('h')[:1]}%h",
        "half-first": f"{parts.first('h')[:1]}%h{s}%Y",
        "number-quarter": f"%q{s}%Y",
        "quarter-number": f"%Y{s}%q",
        "season": f"{mark}%Y{s}" + ("%x" if len(parts.first("e")) == 2 else "%X"),
        "quarter": f"%Y{s}{parts.first('q')[:1]}%q",
        "quarter-first": f"{parts.first('q')[:1]}%q{s}%Y",
        "week": f"%G{s}{parts.first('W')[:1]}{week}" + (f"{s2}%u" if parts.has("u") else ""),
        "month-year": f"{month}{s}%Y",
        "named": f"{weekday}{day}{s}{month}{s2}{year}",
        "name-first": f"{weekday}{month}{s}{day}{s2}{year}",
        "name-year": f"{month}{s}{year}",
        "year-name": f"{year}{s}{month}",
    }
    return patterns[family] + _clock_format(parts)


def _head(parts: Parts) -> str:
    """The first text, without the name of its weekday."""
    text = str(parts.text[0].as_py())
    return re.sub(r"^[^\W\d]+[.,]* ", "", text) if parts.first("w") else text


def _weekday_code(parts: Parts) -> str:
    """The code that writes the weekdays before the dates as they are named, and what follows."""
    if not parts.first("w"):
        return ""
    names = {n.casefold(): n for n in parts.strings("w").unique().to_pylist() if n}
    for row in WEEKDAY_ROWS:
        lower = [day.casefold() for day in row]
        if set(names) <= set(lower):
            seen = {lower.index(low): name for low, name in names.items()}
            written = names_like(seen, [row])
            return "%{" + "|".join(written or row) + "}" + parts.first("v")
    return ""


def _month_name_code(parts: Parts) -> str:
    """The code that writes months as they are named: English ones, or all twelve by those seen."""
    raw = {m: n for n in parts.strings("B").unique().to_pylist() if (m := month_of(n))}
    if not raw:
        return "%m"
    seen = {month: name.rstrip(".") for month, name in raw.items()}
    dots = [name.endswith(".") for name in raw.values()]
    dot = "." if all(dots) else ""
    if all(n.lower() in ENGLISH for n in seen.values()):
        return _english_code(parts, list(seen.values())) + ("." if any(dots) else "")
    found = names_like({m - 1: n for m, n in seen.items()}, MONTH_ROWS)
    if found is None:
        return "%m"
    if not dot:  # janv. mars avr.: each as it was seen
        found = tuple(raw.get(month, name) for month, name in enumerate(found, 1))
    return "%<" + "|".join(found) + ">" + dot


def _english_code(parts: Parts, names: list[str]) -> str:
    name = next((n for n in sorted(names) if len(n) > 3), parts.first("B").rstrip("."))
    code = "%b" if len(name) == 3 else "%B"
    if name.isupper():
        return code.replace("%", "%^")
    return code.replace("%", "%#") if name.islower() else code


def _clock_format(parts: Parts) -> str:
    if "H" not in parts.names or not parts.has("H"):
        return ""
    colon = _clock_mark(parts)
    hour = "%I" if parts.has("p") else "%H"
    if not parts.has("p") and int(parts.integers("H", 0).max()) == 24:
        hour = "%K"  # midnight is the hour 24 of the day before
    hour = hour if parts.padded("H") else hour.replace("%", "%-")
    text = parts.first("T") + hour
    if parts.has("M"):
        text += f"{colon}%M"
    if parts.has("S"):
        text += f"{colon}%S"
    if parts.has("f"):
        text += f".%{len(parts.first('f'))}f"
    if mark := parts.first("p"):
        text += (" " if mark.startswith(" ") else "") + ("%p" if mark.strip().isupper() else "%P")
    return text


def _clock_mark(parts: Parts) -> str:
    """What stands between hours and minutes."""
    clock = _head(parts).partition(parts.first("T"))[2] if parts.first("T") else _head(parts)
    found = re.match(r"\d{1,2}([:.])\d", clock)
    if parts.first("T") == "" or found is None:
        return ":" if ":" in _head(parts) or parts.has("p") else ""
    return found[1]
