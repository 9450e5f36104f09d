"""Times written in the form in which the input wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, as_strings, word

if TYPE_CHECKING:
    import pyarrow as pa


MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CODE = re.compile(r"%(?:[1-9]f|\d{1,3}N|:z|<[^>]*>|\{[^}]*\}|[-^#]?[A-Za-z])")
DAY_NS = 86_400 * 10**9
FIXED = re.compile(r"UTC|[+-]\d\d:?\d\d")
IN_UTC = re.compile(r"(Z|(?<![:%])z|(UTC|GMT)?[+-]00?(:?00)?|UTC|GMT)$")
WRITTEN_ZONE = re.compile(r"(Z|(?<![:%])z|(UTC|GMT)?[+-]\d\d?(:?\d\d)?|UTC|GMT)$")


def format_stamps(
    stamps: np.ndarray, time_format: str, tz: str | None = None, second: np.ndarray | None = None
) -> pa.Array:
    """`stamps` as the input wrote its times: strings, or int64 where the input had integers.

    stamps       datetime64[ns] or int64 nanoseconds on the clock (integers for integer steps)
    time_format  "integer"; "epoch:s|ms|us|ns"; "excel"; "decimal-year:DIGITS"; "months:MARK+WIDTH"
                 (months of counted years); "interval:LENGTH:BEGIN NUL MARK NUL END" (nanoseconds,
                 or 1M-86400000000000: months and nanoseconds); or a pattern
                 of strftime codes, with %-d, %-m, ... (not padded), %3f (milliseconds), %q, %h
                 (quarter, half), %G-W%V (ISO week), %X, %x (the next year, four or two digits),
                 %^b, %#b (capitals, small letters), %<a|b|..> (months by these names), %{a|b|..}
                 (weekdays), %:z (offset with a colon), %K (hour, midnight being 24 of the day
                 before), %30N (number of the period of 30 minutes in its day)
    tz           the zone that the clock goes by: an IANA name, "UTC", an offset, or None
    second       bool: this time is the second of an hour that comes twice
    """
    values = np.asarray(stamps)
    if values.dtype.kind == "M":
        values = values.astype("M8[ns]")
    values = values.astype(np.int64)
    if time_format == "integer":
        return as_arrow(values)
    region = is_region(tz)
    if time_format.startswith("epoch:"):
        scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[time_format[6:]]
        moments = instants(values, tz or "", second) if region else values - offset_of(tz or "")
        return as_arrow(moments // scale)
    keys = values if second is None else values + second  # a nanosecond apart
    _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
    distinct = values[index]
    twice = None if second is None else second[index]
    if region and IN_UTC.search(time_format):
        distinct, tz = instants(distinct, tz or "", twice), None
    return _texts(distinct, time_format, tz, twice).take(as_arrow(inverse))


def _texts(
    distinct: np.ndarray, time_format: str, tz: str | None, second: np.ndarray | None
) -> pa.Array:
    """Strings (D,) of distinct times."""
    kind, _, rest = time_format.partition(":")
    if kind == "excel":
        return as_strings([f"{d:.10g}" for d in distinct / DAY_NS + 25_569])
    if kind == "decimal-year":
        return as_strings(_decimal_years(distinct, int(rest)))
    if kind == "months":
        pad = int(rest[1])
        return as_strings([f"{m // 12}{rest[0]}{m % 12 + 1:0{pad}d}" for m in distinct.tolist()])
    if kind == "interval":
        import pyarrow.compute as pc

        length, _, forms = rest.partition(":")
        begin, mark, end = forms.split("\0")
        months, _, nanos = length.rpartition("M")
        ends = months_later(distinct, int(months or 0)) + int(nanos)
        texts = (_write(distinct, begin, tz, second), _write(ends, end, tz, None))
        return pc.binary_join_element_wise(*texts, word(mark))
    return _write(distinct, time_format, tz, second)


def is_region(tz: str | None) -> bool:
    """Whether `tz` is an IANA name with summer time to care for, not UTC or a fixed offset."""
    return tz is not None and FIXED.fullmatch(tz) is None


def names_zone(time_format: str) -> bool:
    """Whether times that are written so say their offset from UTC, or that they are in UTC."""
    return re.search(r"%:?z$", time_format) is not None or bool(WRITTEN_ZONE.search(time_format))


def with_offset(time_format: str) -> str:
    """A pattern in which the zone that is the same in all times is the offset that each one has."""
    zone = WRITTEN_ZONE.search(time_format)
    if zone is None:
        return time_format
    return time_format[: zone.start()] + ("%z" if re.fullmatch(r"[+-]\d{4}", zone[0]) else "%:z")


def without_offset(time_format: str) -> str:
    """A pattern without the zone that is the same in all times."""
    return WRITTEN_ZONE.sub("", time_format).rstrip()


def offset_of(tz: str) -> int:
    """Nanoseconds that a fixed offset is ahead of UTC; 0 of what is none."""
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", tz)
    if found is None:
        return 0
    minutes = int(found[2]) * 60 + int(found[3])
    return (-1 if found[1] == "-" else 1) * minutes * 60 * 10**9


def months_later(stamps: np.ndarray, months: int) -> np.ndarray:
    """int64 nanoseconds so many months after `stamps`, on the same day and time of day."""
    if not months:
        return stamps
    first = stamps.astype("M8[ns]").astype("M8[M]")
    within = stamps - first.astype("M8[ns]").astype(np.int64)
    return (first + months).astype("M8[ns]").astype(np.int64) + within


def instants(wall: np.ndarray, tz: str, second: np.ndarray | None = None) -> np.ndarray:
    """Instants (int64 nanoseconds, UTC) of times on the clock of the region `tz`.

    second: bool, the later of the two instants of a time that comes twice is meant.
    """
    first = _placed(wall, tz, "earliest")
    return first if second is None else np.where(second, _placed(wall, tz, "latest"), first)


def _placed(wall: np.ndarray, tz: str, side: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = as_arrow(wall).cast(pa.timestamp("ns"))
    return as_numpy(
        pc.assume_timezone(plain, tz, ambiguous=side, nonexistent=side).cast(pa.int64())
    )


def clock_of(moments: np.ndarray, tz: str) -> np.ndarray:
    """Times on the clock of the region `tz` (int64 nanoseconds) of instants."""
    import pyarrow as pa
    import pyarrow.compute as pc

    local = pc.local_timestamp(as_arrow(moments).cast(pa.timestamp("ns", tz)))
    return as_numpy(local.cast(pa.int64()))


def _decimal_years(values: np.ndarray, digits: int) -> list[str]:
    months = values.astype("M8[ns]").astype("M8[M]").astype(np.int64) + 1970 * 12
    texts = [f"{m / 12:.{digits}f}" for m in months.tolist()]
    return [t.rstrip("0").rstrip(".") for t in texts]


def _write(
    values: np.ndarray, time_format: str, tz: str | None, second: np.ndarray | None = None
) -> pa.Array:
    """Strings (D,) of distinct times (int64 nanoseconds)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.full(len(values), offset_of(tz or "") // 10**9)
    if tz is not None and is_region(tz) and "z" in time_format:
        offsets = (values - instants(values, tz, second)) // 10**9
    clock = _Clock(values, offsets, "%K" in time_format or "%-K" in time_format)
    pieces: list[pa.Array] = []
    at = 0
    for code in CODE.finditer(time_format):
        if literal := time_format[at : code.start()].replace("%%", "%"):
            pieces.append(pa.repeat(word(literal), len(values)))
        pieces.append(clock.text(code[0]))
        at = code.end()
    if literal := time_format[at:].replace("%%", "%"):
        pieces.append(pa.repeat(word(literal), len(values)))
    return pc.binary_join_element_wise(*pieces, word(""))


class _Clock:
    """The calendar fields of distinct times, written on demand."""

    def __init__(self, wall: np.ndarray, offsets: np.ndarray, ends: bool = False) -> None:
        """ends: midnight is the hour 24 of the day before."""
        self._days = (wall - ends) // DAY_NS
        self._offsets = offsets
        stamps = self._days.astype("M8[D]")
        months = stamps.astype("M8[M]")
        self._year = stamps.astype("M8[Y]").astype(np.int64) + 1970
        self._month = months.astype(np.int64) % 12  # 0 is January
        self._day = (stamps - months.astype("M8[D]")).astype(np.int64) + 1
        self._weekday = (self._days + 3) % 7  # 0 is Monday
        self._in_day = wall - self._days * DAY_NS

    def text(self, code: str) -> pa.Array:
        """The strings for one strftime code."""
        flag, letter = (code[1], code[2:]) if code[1] in "-^#" else ("", code[1:])
        if letter[0].isdigit() and letter[-1] == "N":
            return _digits(self._in_day // (int(letter[:-1]) * 60 * 10**9) + 1, 1)
        if letter[0].isdigit():
            digits = int(letter[0])
            return _digits(self._in_day % 10**9 // 10 ** (9 - digits), digits)
        if letter[0] == "<":
            return as_strings(letter[1:-1].split("|")).take(as_arrow(self._month))
        if letter[0] == "{":
            return as_strings(letter[1:-1].split("|")).take(as_arrow(self._weekday))
        if letter in ("z", ":z"):
            return self._offset_texts(":" if letter == ":z" else "")
        if letter in ("b", "B", "a", "A", "p", "P"):
            return self._names(letter, flag)
        fields: dict[str, tuple[Callable[[], np.ndarray], int]] = {
            "Y": (lambda: self._year, 4),
            "y": (lambda: self._year % 100, 2),
            "X": (lambda: self._year + 1, 4),
            "x": (lambda: (self._year + 1) % 100, 2),
            "m": (lambda: self._month + 1, 2),
            "d": (lambda: self._day, 2),
            "H": (lambda: self._hour(), 2),
            "K": (lambda: self._hour(), 2),
            "j": (lambda: self._year_day(), 3),
            "h": (lambda: self._month // 6 + 1, 1),
            "I": (lambda: (self._hour() + 11) % 12 + 1, 2),
            "M": (lambda: self._in_day // (60 * 10**9) % 60, 2),
            "S": (lambda: self._in_day // 10**9 % 60, 2),
            "f": (lambda: self._in_day % 10**9 // 10**3, 6),
            "q": (lambda: self._month // 3 + 1, 1),
            "u": (lambda: self._weekday + 1, 1),
            "G": (lambda: self._iso_week()[0], 4),
            "V": (lambda: self._iso_week()[1], 2),
        }
        values, width = fields[letter]
        return _digits(values(), 1 if flag == "-" else width)

    def _year_day(self) -> np.ndarray:
        begin = self._days.astype("M8[D]").astype("M8[Y]").astype("M8[D]").astype(np.int64)
        return np.asarray(self._days - begin + 1)

    def _hour(self) -> np.ndarray:
        return np.asarray(self._in_day // (3600 * 10**9))

    def _iso_week(self) -> tuple[np.ndarray, np.ndarray]:
        thursday = self._days - self._weekday + 3  # a week belongs to its Thursday's year
        year = thursday.astype("M8[D]").astype("M8[Y]")
        week = (thursday - year.astype("M8[D]").astype(np.int64)) // 7 + 1
        return year.astype(np.int64) + 1970, week

    def _names(self, letter: str, flag: str) -> pa.Array:

        if letter in "pP":
            names: tuple[str, ...] = ("AM", "PM") if letter == "p" else ("am", "pm")
            index = self._hour() // 12
        elif letter in "bB":
            names, index = MONTH_NAMES, self._month
        else:
            names, index = WEEKDAY_NAMES, self._weekday
        if letter in "ab":
            names = tuple(n[:3] for n in names)
        if flag:
            names = tuple(n.upper() if flag == "^" else n.lower() for n in names)
        return as_strings(names).take(as_arrow(index))

    def _offset_texts(self, colon: str) -> pa.Array:

        distinct, inverse = np.unique(self._offsets, return_inverse=True)
        texts = [
            f"{'-' if o < 0 else '+'}{abs(o) // 3600:02d}{colon}{abs(o) % 3600 // 60:02d}"
            for o in distinct.tolist()
        ]
        return as_strings(texts).take(as_arrow(inverse))


def _digits(values: np.ndarray, width: int) -> pa.Array:
    """Non-negative integers as strings with at least `width` digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_lpad(as_arrow(values).cast(pa.string()), width, "0")
