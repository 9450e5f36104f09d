"""Times parsed strictly, and the form they were written in, so that forecasts can keep it.

Work is done on the distinct texts of the column only, so a million series cost one calendar.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, as_strings, word
from forecast.data.io.notes import Note, quantity
from forecast.data.io.time_forms import (
    EARLIEST,
    FAMILIES,
    LATEST,
    TIME_OF_DAY,
    Parts,
    calendar_days,
    clock,
    day_order,
    family_of,
    filled,
    format_of,
    interval_mark,
    is_season,
    parts_of,
)
from forecast.data.io.timestamp_writing import months_later
from forecast.data.io.vocabulary import (
    QUARTER_WORDS,
    WEEK_WORDS,
    key_of,
    names_time,
    part_named,
    words_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DAY = 86_400 * 10**9
DIGITS = {4: "year", 6: "compact-month", 7: "year-day", 8: "compact", 10: "compact",
          12: "compact", 14: "compact"}  # fmt: skip
ZONE_NAME = r" ?\(([A-Z]{3,5})\)"
ZONE_NAMES = tuple(frozenset(names.split()) for names in (
    "CET CEST", "MEZ MESZ", "WET WEST", "EET EEST", "GMT BST", "GMT IST", "EST EDT", "CST CDT",
    "MST MDT", "PST PDT", "AKST AKDT", "AST ADT", "AEST AEDT", "ACST ACDT", "NZST NZDT",
))  # fmt: skip


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

    text, notes = _without_zone_names(pc.utf8_trim_whitespace(texts))
    if notes:
        times = parse_times(text, name=name, dayfirst=dayfirst, unit=unit)
        return replace(times, notes=(*times.notes, *notes))
    some = [t for t in text.slice(0, 50).to_pylist() if t]
    first = next(iter(some), "")
    years = unit is None and re.fullmatch(r"\d{4}(\.\d+)?", first)
    if years and (found := _parse_decimal_years(text)):
        return found
    number = re.fullmatch(r"[+-]?\d+(\.0*)?", first) or (unit and re.match(r"[+-]?\d", first))
    if number:
        chosen = None if unit else _digits_family(text, name)
        if chosen is None:
            return _parse_counts(text, unit, name)
        return _parse_family(chosen, text, dayfirst)
    return _parse_dates(text, some, name, dayfirst)


def _parse_dates(text: pa.Array, some: list[str], name: str, dayfirst: bool | None) -> Times:
    """Times that are no bare numbers: in the form that most of `some` have."""
    import pyarrow.compute as pc

    if (mark := _until_mark(some)) is not None:
        return _intervals(text, mark, name, dayfirst)
    if any(map(is_season, some)) and _are_seasons(text):
        return _parse_family("season", text, dayfirst)
    counted = Counter(f for f in map(family_of, some) if f)
    if not counted:
        return _other_forms(text, some, name, dayfirst)
    chosen = _by_all_texts(counted.most_common(1)[0][0], text, name)
    if chosen == "month-count":
        return _counted_months(text)
    parsed = _parse_family(chosen, text, dayfirst)
    if parsed.bad.any() and parsed.reason == "unreadable":
        others = [f for f in FAMILIES if f != chosen]
        left = text.filter(as_arrow(parsed.bad))
        if any(pc.any(pc.match_substring_regex(left, FAMILIES[f])).as_py() for f in others):
            return replace(parsed, reason="mixed")
    return parsed


def _until_mark(some: list[str]) -> tuple[str, int, int] | None:
    """The mark of intervals such as 2024-01-01 13:00-14:00, whose ends look like offsets.

    No clock is 13 hours behind UTC, and offsets do not go along with the time of day.
    """
    shape = re.compile(r"(\d{1,2}):(\d\d)(?::\d\d)?-(\d\d):(\d\d)$")
    found = [(m, t) for t in some if (m := shape.search(t))]
    ends = {60 * int(m[3]) + int(m[4]) for m, _ in found}
    lengths = {(60 * (int(m[3]) - int(m[1])) + int(m[4]) - int(m[2])) % 1440 for m, _ in found}
    alongside = len(ends) > 2 and len(lengths) == 1
    if not alongside and max(ends, default=0) < 13 * 60:
        return None
    dashes = Counter(t.count("-") for _, t in found).most_common(1)[0][0]
    return "-", dashes, dashes


def _are_seasons(text: pa.Array) -> bool:
    """Whether the texts, but for a few that are none, are years that are written with the next:
    2001/02, 2002/03. Read as months they would be 13 apart."""
    import pyarrow.compute as pc

    shaped = text.filter(pc.match_substring_regex(text, FAMILIES["season"]))
    if not len(shaped) or len(shaped) < 0.9 * len(text):
        return False
    several = len(shaped) > 1 or not re.match(FAMILIES["year-month"], str(shaped[0].as_py()))
    return several and all(is_season(t) for t in shaped.to_pylist())


def _all_bad(count: int, reason: str, integer: bool = False) -> Times:
    return Times(np.zeros(count, np.int64), np.ones(count, bool), integer, "", reason=reason)


def _without_zone_names(text: pa.Array) -> tuple[pa.Array, list[Note]]:
    """The texts without the names of one region's zones in brackets, (CET) and (CEST); a note."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(text, "(")).as_py():
        return text, []
    named = pc.match_substring_regex(text, ZONE_NAME)
    found = {n for t in text.filter(named).to_pylist() for n in re.findall(ZONE_NAME, t)}
    if not found or not any(found <= names for names in ZONE_NAMES):
        return text, []
    said = f"the zone's names ({', '.join(sorted(found))}) were left out: the times are as clocks "
    note = Note("repair/zone-names", said + "there show them", int(pc.sum(named).as_py()))
    return pc.replace_substring_regex(text, ZONE_NAME, ""), [note]


def _digits_family(text: pa.Array, name: str) -> str | None:
    """The family of dates written without separators (20200131, 202001, 2020013123), or None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pc.match_substring_regex(text, r"^\d{4,14}$")
    known = text.filter(digits)
    if len(known) < 0.9 * len(text) or not len(known):
        return None
    length = len(str(known[0].as_py()))
    if length not in DIGITS or not (as_numpy(pc.binary_length(known)) == length).all():
        return None
    values = as_numpy(pc.cast(known, pa.int64()))
    year, rest = values // 10 ** (length - 4), values % 10 ** (length - 4)
    if year.min() < 1600 or year.max() > LATEST:
        return None
    if length == 4:
        return "year" if names_time(name) or part_named(name) == "year" else None
    if length == 6:
        if rest.min() < 1 or rest.max() > 53:
            return None
        weeks = rest.max() > 12 or bool({key_of(name), *words_of(name)} & WEEK_WORDS)
        return "compact-week" if weeks else "compact-month"
    if length == 7:
        return "year-day" if rest.min() >= 1 and rest.max() <= 366 else None
    after = [rest // 10**k % 100 for k in range(length - 6, -1, -2)]
    # 20200230 is a date that is not, and no count: of eight digits, months and days are looked at.
    limits = ((1, 12), (1, 31), (0, 24), (0, 59), (0, 59))[: 2 if length == 8 else 5]
    fits = [
        ((a >= low) & (a <= high)).mean() for a, (low, high) in zip(after, limits, strict=False)
    ]
    return DIGITS[length] if min(fits) > 0.9 else None


def _by_all_texts(family: str, text: pa.Array, name: str) -> str:
    """The family that one text suggests, or the one that all of them together do.

    1-2015 and 2015.1 are quarters where the column is called so, or where no month after April
    ever comes; 1-01, 1-02, ... are months of years that are counted.
    """
    import pyarrow.compute as pc

    quarters = {"month-year": "number-quarter", "year-month": "quarter-number"}
    if family not in quarters:
        return family
    other = quarters[family]
    fits = as_numpy(pc.match_substring_regex(text, FAMILIES[other]))
    if not fits.all():
        return family
    if {key_of(name), *words_of(name)} & QUARTER_WORDS:
        return other
    parts = parts_of(other, text)
    years = np.unique(parts.integers("Y", 0))
    whole = [len(np.unique(parts.integers("q", 0)[parts.integers("Y", 0) == y])) for y in years]
    full = len(years) > 2 and all(n == 4 for n in whole[1:-1])
    return other if full and family == "month-year" else family


def _other_forms(text: pa.Array, some: list[str], name: str, dayfirst: bool | None) -> Times:
    """Intervals, of which the first time counts, and months of counted years; else all are bad."""
    import pyarrow.compute as pc

    months = pc.match_substring_regex(text, r"^\d{1,3}[-/](0[1-9]|1[0-2]|[1-9])$")
    if as_numpy(months).all() and len(text) > 1:
        return _counted_months(text)
    marks = Counter(m for m in map(interval_mark, some) if m)
    if not marks:
        return _all_bad(len(text), "unreadable")
    return _intervals(text, marks.most_common(1)[0][0], name, dayfirst)


def _intervals(
    text: pa.Array, mark: tuple[str, int, int], name: str, dayfirst: bool | None
) -> Times:
    """Begins of intervals that are written alike; the order of day and month is that of both."""
    joint, cut, count = mark
    pieces = [t.split(joint) for t in text.to_pylist()]
    alike = np.array([len(p) == count + 1 for p in pieces])
    pairs = [
        (joint.join(p[:cut]), joint.join(p[cut:])) if good else ("", "")
        for p, good in zip(pieces, alike, strict=True)
    ]
    begins, ends = (as_strings([pair[n] for pair in pairs]) for n in (0, 1))
    clocks = all(TIME_OF_DAY.fullmatch(end) for _, end in pairs if end)
    times = parse_times(begins, name=name, dayfirst=dayfirst)
    if clocks:
        if times.bad.all() or times.integer:
            return _all_bad(len(text), times.reason)
        return _until_clocks(times, pairs, joint)
    end = parse_times(ends, name=name, dayfirst=dayfirst)
    if times.reason == "ambiguous" and not end.bad.all():
        times = parse_times(begins, name=name, dayfirst=day_first(end.format))
    elif end.reason == "ambiguous" and not times.bad.all():
        end = parse_times(ends, name=name, dayfirst=day_first(times.format))
    bad = times.bad | end.bad
    if bad.all() or times.integer or end.integer:
        return _all_bad(len(text), times.reason if times.bad.all() else end.reason)
    length = _length_of(times.stamps[~bad], end.stamps[~bad])
    reason = times.reason if times.bad.any() else end.reason
    return _as_interval(replace(times, bad=bad, reason=reason), length, joint, end.format)


def _until_clocks(times: Times, pairs: list[tuple[str, str]], joint: str) -> Times:
    """Intervals that end at a time of day: 2024-01-01 10:00 - 11:00."""
    at = int(np.flatnonzero(~times.bad)[0])
    last = pairs[at][1].strip()
    hours, minutes = (int(n) for n in last.split(":")[:2])
    length = ((hours * 60 + minutes) * 60 * 10**9 - int(times.stamps[at])) % DAY or DAY
    form = "%H:%M:%S" if last.count(":") == 2 else "%H:%M"
    return _as_interval(times, str(length), joint, form)


def _as_interval(times: Times, length: str, joint: str, end_form: str) -> Times:
    if not length:
        return _all_bad(len(times.stamps), "unreadable")
    note = Note("repair/interval", "times are written as intervals and stand for their begin",
                int((~times.bad).sum()))  # fmt: skip
    form = f"interval:{length}:{times.format}\0{joint}\0{end_form}"
    return replace(times, format=form, notes=(*times.notes, note))


def _length_of(begins: np.ndarray, ends: np.ndarray) -> str:
    """The length that most have, in nanoseconds, or "3M-86400000000000": months and a rest, where
    these are alike and the lengths are not; "" where most end before they begin."""
    lengths, counts = np.unique(ends - begins, return_counts=True)
    usual = int(lengths[counts.argmax()])
    months = round(float(np.median(ends - begins)) / (30.4375 * DAY))
    if months > 0 and len(lengths) > 1:
        rests = np.unique(ends - months_later(begins, months))
        if len(rests) == 1:
            return f"{months}M{rests[0]}"
    return str(usual) if usual > 0 else ""


def day_first(time_format: str) -> bool | None:
    """The order of day and month in a pattern; None where the month has a name or no day."""
    found = re.match(r"%-?([dm])", time_format)
    return None if found is None else found[1] == "d"


def _counted_months(text: pa.Array) -> Times:
    """Months of years that are counted from one: 1-01, 1-02, ..., 3-12."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(text, r"^(?P<Y>\d{1,3})(?P<s>[-/])(?P<m>\d{1,2})$")
    year, month = (as_numpy(pc.cast(pc.struct_field(parts, n), pa.int64())) for n in ("Y", "m"))
    width = int(as_numpy(pc.binary_length(pc.struct_field(parts, "m"))).min())
    mark = pc.struct_field(parts, "s")[0].as_py()
    note = Note(
        "repair/counted-months", "the times are months of years that are counted", len(text)
    )
    bad = (month < 1) | (month > 12)
    return Times(year * 12 + month - 1, bad, True, f"months:{mark}{width}", notes=(note,))


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
    if unit is None and _is_excel(values[~bad], name):
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


def _is_excel(values: np.ndarray, name: str) -> bool:
    """Day numbers of 1970 to 2100 in a column that is called a date."""
    dated = re.search(r"date|day|time|month|week", name.lower()) is not None
    return (
        (dated or names_time(name))
        and len(values) > 0
        and values.min() >= 25_569
        and values.max() <= 73_415
    )


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
    if family in ("numeric", "day-numeric"):
        order, reason = day_order(parts, dayfirst)
    if reason:
        return _all_bad(len(text), reason)
    days, valid, in_range = calendar_days(parts, order)
    time_of_day, clock_valid = clock(parts, notes)
    exists = parts.good & valid & clock_valid
    bad = ~(exists & in_range)
    stamps = np.where(bad, 0, days) * (86_400 * 10**9) + np.where(bad, 0, time_of_day)
    for group, code, what in (
        ("q", "quarter", "quarters"), ("W", "iso-week", "ISO weeks"), ("h", "half-year", "halves"),
    ):  # fmt: skip
        if group in parts.names:
            text_note = f"times are written as {what} and stand for their first day"
            notes.append(Note(f"repair/{code}", text_note, len(text)))
    if family == "season":
        said = "times are years written with the next and stand for the first of the two"
        notes.append(Note("repair/season-years", said, len(text)))
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
        np.where(bad, 0, stamps - per_text * 10**9), bad, False, form + "%:z", "UTC",
        reason=reason, notes=tuple(notes),
    )  # fmt: skip


def _offset_seconds(zone: str) -> int:
    zone = re.sub(r"^(UTC|GMT)", "", zone.strip().upper())
    if zone in ("", "Z"):
        return 0
    digits = zone[1:].replace(":", "")
    digits = (digits if len(digits) != 1 else f"0{digits}").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _offset_name(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{abs(seconds) // 3600:02d}:{abs(seconds) % 3600 // 60:02d}"
