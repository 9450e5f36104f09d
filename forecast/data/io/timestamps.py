"""Times parsed strictly, and the form they were written in, so that forecasts can keep it.

Work is done on the distinct texts of the column only, so a million series cost one calendar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, as_strings, word
from forecast.data.io.notes import Note, quantity

if TYPE_CHECKING:
    import pyarrow as pa


# --- The forms in which times are written, and the parts (year, month, hour, ...) of each text ---


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CLOCK = (
    r"(?:(?P<T>[T ]+)(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?)?(?P<z> ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
)
TIGHT_CLOCK = (
    r"(?:(?P<T>[T ]?)(?P<H>\d{2}):?(?P<M>\d{2})(?::?(?P<S>\d{2}))?)?(?P<z>Z|[+-]\d{2}:?\d{2})?"
)
NAME = r"(?P<B>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[A-Za-z]*\.?)"
WEEKDAY = r"(?:(?P<w>(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*),? )?"

FAMILIES: dict[str, str] = {
    "iso": rf"^(?P<Y>\d{{4}})(?P<s>[-/.])(?P<m>\d{{1,2}})(?:(?P<s2>[-/.])(?P<d>\d{{1,2}})){CLOCK}$",
    "year-month": r"^(?P<Y>\d{4})(?P<s>[-/.]|-?M)(?P<m>\d{1,2})$",
    "compact": rf"^(?P<Y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}}){TIGHT_CLOCK}$",
    "compact-month": r"^(?P<Y>\d{4})(?P<m>\d{2})$",
    "year": r"^(?P<Y>\d{4})$",
    "quarter": r"^(?P<Y>\d{4})(?P<s>[- /]?)(?P<q>[Qq][1-4])$",
    "quarter-first": r"^(?P<q>[Qq][1-4])(?P<s>[- /])(?P<Y>\d{4})$",
    "week": r"^(?P<Y>\d{4})(?P<s>-?)(?P<W>[Ww]\d{2})(?:(?P<s2>-?)(?P<u>[1-7]))?$",
    "numeric": r"^(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P<s2>[-/.])(?P<Y>\d{4}|\d{2})"
    rf"{CLOCK}$",
    "month-year": r"^(?P<m>\d{1,2})(?P<s>[-/.])(?P<Y>\d{4})$",
    "named": rf"^{WEEKDAY}(?P<d>\d{{1,2}})(?P<s>[-/. ]+){NAME}(?P<s2>[-/., ]+)"
    rf"(?P<Y>\d{{4}}|\d{{2}}){CLOCK}$",
    "name-first": rf"^{WEEKDAY}{NAME}(?P<s>[-/. ]+)(?P<d>\d{{1,2}})(?P<s2>,? ?)(?P<Y>\d{{4}})"
    rf"{CLOCK}$",
    "name-year": rf"^{NAME}(?P<s>[-/., ]+)(?P<Y>\d{{4}}|\d{{2}})$",
    "year-name": rf"^(?P<Y>\d{{4}})(?P<s>[-/. ]+){NAME}$",
}


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
    day = parts.integers("d", 1)
    if order:
        month, day = parts.integers("ab"[order == "dm"], 1), parts.integers("ab"[order == "md"], 1)
    elif "q" in parts.names:
        month = parts.integers("q", 1) * 3 - 2
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
    return "", "ambiguous"


def named_months(parts: Parts) -> np.ndarray:
    import pyarrow.compute as pc

    short = pc.utf8_slice_codeunits(pc.utf8_lower(parts.strings("B")), 0, 3)
    index = pc.index_in(short, value_set=as_strings(MONTHS))
    filled_in = index.fill_null(as_arrow(np.zeros(1, np.int32))[0])
    return as_numpy(filled_in).astype(np.int64) + 1


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


NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True)
class Times:
    """Distinct times, parsed.

    stamps  int64 (D,): nanoseconds since 1970 on the written clock (after subtracting nothing),
            or the integers themselves
    bad     bool (D,): could not be read
    integer the times are integer steps
    format  see `timestamp_writing.format_stamps`
    tz      "UTC", "+01:00", an IANA name, or None
    instant the stamps are instants (UTC), not wall-clock times
    reason  why the bad ones are bad, a key of the caller's error table
    """

    stamps: np.ndarray
    bad: np.ndarray
    integer: bool
    format: str
    tz: str | None = None
    instant: bool = False
    reason: str = "unreadable"
    notes: tuple[Note, ...] = field(default=())


def parse_times(
    texts: pa.Array, *, name: str, dayfirst: bool | None = None, unit: str | None = None
) -> Times:
    """Parse the distinct texts (D,) of a time column, all in one form.

    dayfirst: whether 03/04/2020 is 3 April (None: by evidence). unit: what a bare number counts
    ("step", "s", "ms", "us", "ns", "excel"; None: by size and by the column's `name`).
    Never raises for bad texts: they are marked, with the reason.
    """
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(texts)
    first = next((t for t in text.slice(0, 50).to_pylist() if t), "")
    years = unit is None and re.fullmatch(r"\d{4}(\.\d+)?", first)
    if years and (found := _parse_decimal_years(text)):
        return found
    number = re.fullmatch(r"[+-]?\d+(\.0*)?", first) or (unit and re.match(r"[+-]?\d", first))
    if number and (unit or not _calendar_number(first, name)):
        return _parse_counts(text, unit, name)
    chosen = _family_of(first)
    if chosen is None:
        return _all_bad(len(texts), "unreadable")
    parsed = _parse_family(chosen, text, dayfirst)
    if parsed.bad.any() and parsed.reason == "unreadable":
        others = [f for f in FAMILIES if f != chosen]
        left = text.filter(as_arrow(parsed.bad))
        if any(pc.any(pc.match_substring_regex(left, FAMILIES[f])).as_py() for f in others):
            return _with_reason(parsed, "mixed")
    return parsed


def _with_reason(times: Times, reason: str) -> Times:
    from dataclasses import replace

    return replace(times, reason=reason)


def _all_bad(count: int, reason: str, integer: bool = False) -> Times:
    return Times(np.zeros(count, np.int64), np.ones(count, bool), integer, "", reason=reason)


def _family_of(text: str) -> str | None:
    return next((f for f, p in FAMILIES.items() if re.match(p, text)), None)


def _calendar_number(first: str, name: str) -> bool:
    """Whether a bare number is a date written without separators: 20200131, 202001, 2020."""
    if not first.isdigit() or len(first) not in (4, 6, 8):
        return False
    year, rest = int(first[:4]), first[4:]
    if not 1600 <= year <= LATEST:
        return False
    if len(first) == 4:
        return re.sub(r"[^a-z]", "", name.lower()) in (
            "year", "yr", "ds", "date", "time", "timestamp", "period", "jahr", "annee",
        )  # fmt: skip
    month = int(rest[:2])
    return 1 <= month <= 12 and (len(first) == 6 or 1 <= int(rest[2:]) <= 31)


def _parse_counts(text: pa.Array, unit: str | None, name: str) -> Times:
    """Integer steps, seconds (or finer) since 1970, Excel's days since 1900."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.replace_substring_regex(text, r"^\+?(-?\d+)(\.0*)?$", r"\1")
    good = pc.match_substring_regex(whole, r"^-?(\d{1,18}|[1-8]\d{18})$")
    if unit == "excel":
        return _parse_excel(text)
    values = as_numpy(pc.cast(pc.if_else(good, whole, word("0")), pa.int64()))
    bad = ~as_numpy(good)
    unit = unit or _epoch_unit(values[~bad])
    if unit is None and _looks_excel(values[~bad], name):
        return Times(values, np.ones(len(values), bool), True, "integer", reason="excel")
    if unit is None or unit == "step":
        return Times(values, bad, True, "integer")
    limit = np.iinfo(np.int64).max // NS[unit]
    out = np.abs(values) > limit
    stamps = np.where(bad | out, 0, values) * NS[unit]
    span = ""
    if (~(bad | out)).any():
        known = stamps[~(bad | out)].astype("M8[ns]")
        first, last = (np.datetime_as_string(t, "s") for t in (known.min(), known.max()))
        span = f": {first} to {last}"
    names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    note = Note("repair/epoch", f"the times count {names[unit]} since 1970 (UTC){span}", len(text))
    return Times(stamps, bad | out, False, f"epoch:{unit}", None, notes=(note,),
                 reason="range" if out.any() else "unreadable")  # fmt: skip


def _epoch_unit(values: np.ndarray) -> str | None:
    """The unit in which all `values` fall between 1990 and 2100, if any."""
    if len(values) == 0:
        return None
    low, high = int(values.min()), int(values.max())
    for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        if 631_152_000 * scale <= low and high < 4_102_444_800 * scale:
            return unit
    return None


def _looks_excel(values: np.ndarray, name: str) -> bool:
    """Day numbers of 1970 to 2100 in a column that is called a date."""
    dated = re.search(r"date|day|time|month|week", name.lower()) is not None
    return dated and len(values) > 0 and values.min() >= 25_569 and values.max() <= 73_415


def _parse_decimal_years(text: pa.Array) -> Times | None:
    """Months written as years with a fraction (1949, 1949.0833, ...); None when they are not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fractions = pc.extract_regex(text, r"^\d{4}(?:\.(?P<f>\d+))?$")
    if fractions.null_count or len(text) == 0:
        return None
    digits = int(as_numpy(pc.binary_length(pc.struct_field(fractions, "f"))).max())
    years = as_numpy(pc.cast(text, pa.float64()))
    months = np.rint(years * 12)
    off = np.abs(years * 12 - months).max()
    if digits == 0 or off > 0.05 or years.min() < EARLIEST or years.max() > LATEST:
        return None
    stamps = (months.astype(np.int64) - 1970 * 12).astype("M8[M]").astype("M8[ns]").view(np.int64)
    note = Note("repair/decimal-year", "the times are years with a fraction: months", len(text))
    good = np.zeros(len(text), bool)
    return Times(stamps, good, False, f"decimal-year:{digits}", notes=(note,))


def _parse_excel(text: pa.Array) -> Times:
    import pyarrow as pa
    import pyarrow.compute as pc

    good = pc.match_substring_regex(text, r"^\d{1,6}(\.\d*)?$")
    days = as_numpy(pc.cast(pc.if_else(good, text, word("0")), pa.float64()))
    seconds = np.round((days - 25_569) * 86_400).astype(np.int64)  # 25,569 is 1970-01-01
    note = Note("repair/excel-serial", "the times are Excel's day numbers", len(text))
    return Times(seconds * 10**9, ~as_numpy(good), False, "excel", notes=(note,))


def _parse_family(family: str, text: pa.Array, dayfirst: bool | None) -> Times:
    parts = parts_of(family, text)
    notes: list[Note] = []
    order, reason = "", ""
    if family == "numeric":
        order, reason = day_order(parts, dayfirst)
    if reason:
        return _all_bad(len(text), reason)
    days, valid, in_range = calendar_days(parts, order)
    time_of_day, clock_valid = clock(parts, notes)
    exists = parts.good & valid & clock_valid
    bad = ~(exists & in_range)
    stamps = np.where(bad, 0, days) * (86_400 * 10**9) + np.where(bad, 0, time_of_day)
    for group, code, what in (("q", "quarter", "quarters"), ("W", "iso-week", "ISO weeks")):
        if group in parts.names:
            text_note = f"times are written as {what} and stand for their first day"
            notes.append(Note(f"repair/{code}", text_note, len(text)))
    form = format_of(family, parts, order)
    reason = "range" if (exists & ~in_range).any() else "unreadable"
    return _with_zone(parts, stamps, bad, form, reason, notes)


def _with_zone(
    parts: Parts, stamps: np.ndarray, bad: np.ndarray, form: str, reason: str, notes: list[Note]
) -> Times:
    """Add what the written zones mean: one offset is kept, several are brought to UTC."""
    import pyarrow.compute as pc

    if "z" not in parts.names or not parts.has("z"):
        return Times(stamps, bad, False, form, None, reason=reason, notes=tuple(notes))
    zones = pc.utf8_trim_whitespace(parts.strings("z"))
    coded = zones.filter(as_arrow(~bad)).dictionary_encode()
    written = [z for z in coded.dictionary.to_pylist()]
    if "" in written:
        naive = ~filled(zones)
        return Times(stamps, bad | naive, False, form, reason="zones", notes=tuple(notes))
    seconds = {z: _offset_seconds(z) for z in written}
    if len(set(seconds.values())) <= 1:
        zone = written[0] if written else "Z"
        tz = "UTC" if seconds.get(zone, 0) == 0 else _offset_name(seconds[zone])
        space = " " if parts.first("z").startswith(" ") else ""
        return Times(stamps, bad, False, form + space + zone, tz, reason=reason, notes=tuple(notes))
    clocks = stamps[~bad] % (86_400 * 10**9)
    if len(clocks) and (clocks == clocks[0]).all():  # local days: summer time moves only the offset
        text = f"{quantity(len(seconds), 'different offset')} of local days were left out"
        notes.append(Note("repair/local-days", text, int((~bad).sum()), tuple(written[:3])))
        return Times(stamps, bad, False, form, None, reason=reason, notes=tuple(notes))
    per_text = np.array([seconds.get(z, 0) for z in zones.to_pylist()], np.int64)
    text = f"times with {quantity(len(seconds), 'different offset')} were brought to UTC"
    notes.append(Note("repair/mixed-offsets", text, int((~bad).sum()), tuple(written[:3])))
    return Times(
        np.where(bad, 0, stamps - per_text * 10**9), bad, False, form + "+00:00", "UTC",
        reason=reason, notes=tuple(notes),
    )  # fmt: skip


def _offset_seconds(zone: str) -> int:
    if zone.upper() in ("Z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _offset_name(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{abs(seconds) // 3600:02d}:{abs(seconds) % 3600 // 60:02d}"


# --- The pattern that writes times as a column does; see `timestamp_writing.format_stamps` -------


def format_of(family: str, parts: Parts, order: str) -> str:
    """The pattern of this column; see `timestamp_writing.format_stamps`."""
    s, s2 = parts.first("s"), parts.first("s2")
    year = "%y" if len(parts.first("Y")) == 2 else "%Y"
    day = "%d" if parts.padded("d") else "%-d"
    month = "%m" if parts.padded("m") else "%-m"
    if "B" in parts.names:
        month = _month_name_code(parts.first("B"))
    if order:
        first, second = ("%d", "%m") if order == "dm" else ("%m", "%d")
        first = first if parts.padded("a") else first.replace("%", "%-")
        second = second if parts.padded("b") else second.replace("%", "%-")
        return f"{first}{s}{second}{s2}{year}" + _clock_format(parts)
    weekday = ""
    if found := parts.first("w"):
        weekday = (
            ("%a" if len(found) == 3 else "%A") + ("," if f"{found}," in _head(parts) else "") + " "
        )
    patterns = {
        "iso": f"{year}{s}{month}{s2}{day}",
        "year-month": f"{year}{s}{month}",
        "compact": "%Y%m%d",
        "compact-month": "%Y%m",
        "year": "%Y",
        "quarter": f"%Y{s}{parts.first('q')[:1]}%q",
        "quarter-first": f"{parts.first('q')[:1]}%q{s}%Y",
        "week": f"%G{s}{parts.first('W')[:1]}%V" + (f"{s2}%u" if parts.has("u") else ""),
        "month-year": f"{month}{s}%Y",
        "named": f"{weekday}{day}{s}{month}{s2}{year}",
        "name-first": f"{weekday}{month}{s}{day}{s2}{year}",
        "name-year": f"{month}{s}{year}",
        "year-name": f"{year}{s}{month}",
    }
    return patterns[family] + _clock_format(parts)


def _head(parts: Parts) -> str:
    return str(parts.text[0].as_py())


def _month_name_code(found: str) -> str:
    name = found.rstrip(".")
    code = "%b" if len(name) == 3 else "%B"
    if name.isupper():
        code = code.replace("%", "%^")
    elif name.islower():
        code = code.replace("%", "%#")
    return code + ("." if found.endswith(".") else "")


def _clock_format(parts: Parts) -> str:
    if "H" not in parts.names or not parts.has("H"):
        return ""
    colon = ":" if ":" in str(_head(parts)) or parts.has("p") else ""
    hour = "%I" if parts.has("p") else "%H"
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
