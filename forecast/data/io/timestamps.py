"""Times parsed strictly, and the form they were written in, so that forecasts can keep it.

Work is done on the distinct texts of the column only, so a million series cost one calendar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, word
from forecast.data.io.notes import Note, quantity
from forecast.data.io.timestamp_calendar import EARLIEST, LATEST, calendar_days, clock, day_order
from forecast.data.io.timestamp_format import format_of
from forecast.data.io.timestamp_parts import FAMILIES, Parts, filled, parts_of

if TYPE_CHECKING:
    import pyarrow as pa

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
