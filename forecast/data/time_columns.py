"""The time of every row: read from one column, or joined from several; rows that are none left out.

What stands in a table but is no row of it (totals, a line of units, blank lines, a source below the
table) is left out and said; anything else that is no time is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_numpy, as_strings, word
from forecast.data.io.csv import MISSING
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.io.table import Table
from forecast.data.io.timestamp_writing import instants, is_region, offset_of
from forecast.data.io.timestamps import Times, parse_times
from forecast.data.io.vocabulary import TOTAL_WORDS, key_of, names_month, part_named

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings

DAY, MINUTE = 86_400 * 10**9, 60 * 10**9
YEAR = r"(?<!\d)(?:19|20)\d\d(?!\d)"
MOST_OF_A_YEAR = 500  # distinct times of a year and a bit, with totals
WIDTHS = {"month": 2, "day": 2, "hour": 2, "minute": 2, "second": 2, "week": 2}
PERIODS = ((25, 60), (50, 30), (100, 15), (300, 5))  # at most so many a day: minutes of each
UTC_NAMES = ("UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "Etc/GMT", "Etc/Greenwich",
             "GMT", "Zulu", "Universal", "UCT", "Z", "+00:00", "-00:00")  # fmt: skip
KNOWN_FORMS = (
    "Known forms are 2020-01-31, 31.01.2020, 20200131, 31 Jan 2020 (13:00 or 1 PM behind them), "
    "2020-01, Jan 2020, 2020Q1, 2020H1, 2020-W05 or KW 05/2020 (ISO weeks), 202005, 2020031, 2020, "
    "seconds since 1970; all rows in the same one"
)
AMBIGUOUS_DAYS = "input/ambiguous-day-month"
TIME_ERRORS = {
    "unreadable": ("input/unreadable-time", "a time cannot be read",
                   "Write all rows in one form, e.g. 2020-01-31 or 2020-01-31 13:00"),
    "mixed": ("input/mixed-time-formats", "times are written in more than one form",
              "Use one form throughout, e.g. 2020-01-31"),
    "ambiguous": (AMBIGUOUS_DAYS, "every date could be day first or month first",
                  "Say which: --dayfirst or --no-dayfirst"),
    "dayfirst": ("input/day-order", "the dates contradict --dayfirst or --no-dayfirst",
                 "Leave the flag out, or give its opposite"),
    "range": ("input/time-range", "a time lies outside the years 1678 to 2261",
              "Correct it, or remove the row"),
    "zones": ("input/mixed-zones", "some times name a time zone and others do not",
              "Write all with an offset, or none (and --tz for the zone)"),
    "excel": ("input/excel-serial", "the times look like Excel's day numbers",
              "Say --set data.time_unit=excel, or --set data.time_unit=step if they are plain "
              "steps"),
}  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """The rows of a table that have a time: the table with these rows, their times, notes.

    stamps int64 (N,); times: how they are written, `bad` (N,) those that were put aside
    """

    table: Table
    stamps: np.ndarray
    times: Times
    notes: list[Note]


def timed(table: Table, settings: DataSettings) -> Timed:
    """The rows of `table` with their times. Raises InputError naming the first bad cells."""
    import pyarrow as pa

    names = table.mapping.time
    if not names:
        return _counted(table)
    if _period_column(names):
        return _with_periods(table, settings)
    if (
        len(names) == 2
        and _part(names[1]) == "hour"
        and _whole_numbers(table, names[1]).max() == 25
    ):
        return _with_periods(table, settings, ends=True)
    column = table.columns[names[0]] if len(names) == 1 else _composite(table, names)
    name = "+".join(names)
    if pa.types.is_dictionary(column.type):
        distinct, codes = column.dictionary, as_numpy(column.indices)
    elif pa.types.is_temporal(column.type):
        return Timed(table, *_typed_stamps(column, name, table))
    elif column.null_count:
        rows = np.flatnonzero(as_numpy(column.is_null()))
        raise _time_error("unreadable", rows, "", name, table, False)
    else:
        texts = column.cast(pa.string()).dictionary_encode()
        distinct, codes = texts.dictionary, as_numpy(texts.indices)
    used, notes = _with_year_of_name(_without_blank(distinct), name, table)
    times = parse_times(used, name=name, dayfirst=settings.dayfirst, unit=settings.time_unit)
    times = replace(times, notes=(*notes, *times.notes))
    if len(used) < len(distinct):
        times = _spread(times, distinct)
    return _checked(table, name, times, distinct, codes)


def _with_year_of_name(texts: pa.Array, column: str, table: Table) -> tuple[pa.Array, list[Note]]:
    """Distinct times that name no year (Januar, 20-Jan, 01.02.) with the one year that the file or
    the sheet is called after, and a note; as they are where that does not hold of nearly all."""
    called = table.sheet if re.search(YEAR, table.sheet) else table.name
    years = set(re.findall(YEAR, called))
    if len(years) != 1 or len(texts) > MOST_OF_A_YEAR:
        return texts, []
    year = years.pop()
    if re.search(rf"{year}\W?(?:{(int(year) + 1) % 100:02d}|{int(year) + 1})(?!\d)", called):
        return texts, []  # 2023-24, a season
    months = [w for w in re.findall(r"[^\W\d_]+", called) if names_month(w)]
    month = months[0] if len(months) == 1 and part_named(column) == "day" else None
    dated = [(text, _in_year(text.strip(), year, month)) for text in texts.to_pylist()]
    known = sum(made is not None for _, made in dated)
    if known < 2 or known < 0.8 * len(dated):
        return texts, []
    text = "times without a year are of the year in the file's or the sheet's name"
    note = Note("repair/year-of-name", text, known, (f"{called}: {year}",))
    return as_strings([made or text for text, made in dated]), [note]


def _in_year(text: str, year: str, month: str | None) -> str | None:
    """A day or a month without a year with one; None for anything else. month: of which bare
    numbers are the days."""
    if names_month(text.rstrip(".")):
        return f"{text.rstrip('.')} {year}"
    if month and re.fullmatch(r"\d{1,2}\.?", text):
        return f"{text.rstrip('.')} {month} {year}"
    if found := re.fullmatch(r"(\d{1,2})(?:\. ?|[ -])([^\W\d_]+)\.?", text):
        return f"{found[1]} {found[2]} {year}" if names_month(found[2]) else None
    if found := re.fullmatch(r"(\d{1,2})([./-])(\d{1,2})\.?", text):
        return f"{found[1]}{found[2]}{found[3]}{found[2]}{year}"
    return None


def _without_blank(distinct: pa.Array) -> pa.Array:
    """The texts but blank ones, which say nothing of the form."""
    import pyarrow.compute as pc

    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(distinct)), _int32(0))
    return distinct.filter(pc.invert(blank)) if pc.any(blank).as_py() else distinct


def _int32(number: int) -> pa.Scalar:
    return as_arrow(np.array([number], np.int32))[0]


def _spread(times: Times, distinct: pa.Array) -> Times:
    """Times of all distinct texts, those of blank ones bad."""
    import pyarrow.compute as pc

    blank = as_numpy(pc.binary_length(pc.utf8_trim_whitespace(distinct))) == 0
    stamps, bad = np.zeros(len(distinct), np.int64), np.ones(len(distinct), bool)
    stamps[~blank], bad[~blank] = times.stamps, times.bad
    return replace(times, stamps=stamps, bad=bad)


def _checked(table: Table, name: str, times: Times, distinct: pa.Array, codes: np.ndarray) -> Timed:
    """The rows, without those that are none; refused where others have no time."""
    notes = list(times.notes)
    if times.bad.any() and times.reason in ("unreadable", "mixed"):
        bad = times.bad[codes]
        out, more = _no_rows(table, bad, distinct, codes)
        notes += more
        if out.any():
            kept = np.flatnonzero(~out)
            table, codes = table.taken(kept), codes[kept]
    bad = times.bad[codes]
    if bad.any():
        rows = np.flatnonzero(bad)
        value = distinct[int(codes[rows[0]])].as_py()
        error = _time_error(times.reason, rows, value, name, table, bool(bad.all()))
        if table.rejects is None or bad.all():
            raise error
        found = distinct.take(as_arrow(codes[rows])).to_pylist()
        table.rejects.add(table.where, table.locate(rows.tolist()), name, found, error.code)
    if "+" in name and times.format.startswith("%Y-%m-%d"):
        text = f"the time was joined from {', '.join(table.mapping.time)}"
        notes.append(Note("repair/joined-time", text, len(codes)))
    return Timed(table, times.stamps[codes], replace(times, bad=bad), notes)


def _no_rows(
    table: Table, bad: np.ndarray, distinct: pa.Array, codes: np.ndarray
) -> tuple[np.ndarray, list[Note]]:
    """bool (N,): what is no row of the table (totals, units, blanks, text below, rows
    that have neither a time nor a value), and notes."""
    rows = np.flatnonzero(bad)
    if len(rows) == len(bad) or len(rows) > max(50, len(bad) // 2):
        return np.zeros(len(bad), bool), []
    beside = [n for n in table.columns if n not in table.mapping.time]
    cells = {n: _texts(table.columns[n], rows) for n in beside}
    times = [str(t or "").strip() for t in distinct.take(as_arrow(codes[rows])).to_pylist()]
    last = int(np.flatnonzero(~bad)[-1])
    found: dict[str, list[int]] = {"blank": [], "empty": [], "totals": [], "units": [], "text": []}
    targets = [n for n in table.mapping.targets if n in cells]
    for at, (row, time) in enumerate(zip(rows.tolist(), times, strict=True)):
        others = [cells[n][at] for n in beside]
        header = time in table.mapping.time
        kind = "" if header else _kind_of_line(row, time, others, row > last)
        if not kind and not time and targets and not any(cells[n][at] for n in targets):
            kind = "empty"
        if kind:
            found[kind].append(row)
    out = np.zeros(len(bad), bool)
    notes = []
    words = {
        "blank": "without anything in the columns that are read", "totals": "of totals",
        "empty": "without a time and without a value",
        "units": "of units below the header", "text": "of text below the table",
    }  # fmt: skip
    for kind, lines in found.items():
        if lines:
            out[lines] = True
            text = f"{quantity(len(lines), 'row')} {words[kind]}: left out"
            notes.append(
                Note("repair/no-row", text, len(lines), tuple(table.locate(lines[:PLACES])))
            )
    return out, notes


def _kind_of_line(row: int, time: str, others: list[str], last: bool) -> str:
    """What a line without a time is: "blank", "totals", "units", "text"; "" where it is a row."""
    if not any(others):
        return "blank" if not time else "text" if last and not re.match(r"\d", time) else ""
    if TOTAL_WORDS.fullmatch(time) or (not time and any(TOTAL_WORDS.fullmatch(o) for o in others)):
        return "totals"
    plain = [o for o in (time, *others) if re.search(r"\d", o)]
    if row == 0 and not plain and all(len(o) < 20 for o in (time, *others)):
        return "units"
    return ""


def _texts(column: pa.Array, rows: np.ndarray) -> list[str]:
    import pyarrow as pa

    some = column.take(as_arrow(rows)).cast(pa.string()).to_pylist()
    return ["" if t is None or t.strip() in MISSING else t.strip() for t in some]


def _time_error(
    reason: str, rows: np.ndarray, value: str, name: str, table: Table, every_row: bool
) -> InputError:
    code, message, remedy = TIME_ERRORS[reason]
    every = reason in ("ambiguous", "excel", "dayfirst") or (every_row and reason == "unreadable")
    if reason == "unreadable" and not value.strip():
        code, message = "input/blank-time", "a time is blank"
        remedy = "Remove the row if it is none (a sum, a remark), or --rejects FILE puts it aside"
    elif reason == "unreadable" and value.strip() in name.split("+"):
        code, message = "input/repeated-header", "the header is repeated inside the table"
        remedy = "Remove the line"
    elif reason == "unreadable" and TOTAL_WORDS.fullmatch(value.strip()):
        code, message = "input/totals-row", "a row of totals stands in the table"
        remedy = "Remove the row"
    elif reason == "unreadable" and (
        week := re.fullmatch(r"(\d{4})[- ]?W53(-?\d)?", value.strip())
    ):
        message = f"the year {week[1]} has no week 53 (ISO 8601)"
        remedy = "Write the Monday of each week instead, e.g. 2021-12-27"
    elif reason == "unreadable" and re.fullmatch(r"[+-]?\d+[.,]\d+", value.strip()):
        message = "a time is a number with decimals"
        remedy = (
            "Write dates (years with decimals are read where they are months or quarters); or say "
            "--no-time: the rows are then counted, in the order that they have"
        )
    elif reason == "unreadable" and every_row:
        message, remedy = "the times are written in a form that is not known", KNOWN_FORMS
    elif reason == "unreadable" and re.search(r"\d (?!UTC|GMT)[A-Z]{3,4}$", value.strip()):
        remedy = "Leave the zone's name out and say --tz, or write offsets such as +01:00"
    elif reason == "range" and re.fullmatch(r"-?\d{1,4}", value.strip()):
        remedy += "; or say --set data.time_unit=step, which takes years for plain numbers"
    if reason == "unreadable" and re.search(r"\d ?(?!UTC|GMT|AM|PM)[A-Z]{3,4}$", value.strip()):
        remedy = "Leave the zone's name out and say --tz Europe/Berlin or the like"
    return refuse(
        code, f"{message} in column '{name}'", where=table.where, value=value,
        count=1 if every else len(rows), places=table.locate(rows[:PLACES].tolist()),
        remedy=remedy,
    )  # fmt: skip


def _typed_stamps(
    column: pa.Array, name: str, table: Table
) -> tuple[np.ndarray, Times, list[Note]]:
    """Times of a timestamp or date column of Parquet, Feather or a frame."""
    import pyarrow as pa

    if column.null_count:
        rows = np.flatnonzero(as_numpy(column.is_null()))
        raise _time_error("unreadable", rows, "", name, table, False)
    zone = getattr(column.type, "tz", None)
    try:
        nanos = column.cast(pa.timestamp("ns", zone)).cast(pa.int64())
    except pa.ArrowNotImplementedError:
        raise refuse(
            "input/no-date", f"column '{name}' holds {column.type}: no date stands in it",
            where=table.where, remedy="Name the column of the date as well: --time-col date,time",
        ) from None  # fmt: skip
    except pa.ArrowInvalid:
        whole = as_numpy(column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64()))
        rows = np.flatnonzero(np.abs(whole.astype(float) * _nanoseconds(column.type)) >= 2.0**63)
        value = f"{whole[rows[0]]} since 1970, as {column.type}"
        raise _time_error("range", rows, value, name, table, False) from None
    stamps = np.asarray(as_numpy(nanos))
    instant = is_region(zone) and zone not in UTC_NAMES
    if zone is None:
        form = "%Y-%m-%d" if not (stamps % DAY).any() else "%Y-%m-%d %H:%M:%S"
    elif instant:
        form = "%Y-%m-%dT%H:%M:%S%:z"
    else:  # as texts with one offset are: on the clock that goes by it
        stamps = stamps + offset_of(zone)
        offset = "+00:00" if zone in UTC_NAMES else zone
        form = "%Y-%m-%dT%H:%M:%S" + ("Z" if zone == "UTC" else offset)
        zone = "UTC" if zone in UTC_NAMES else zone
    if (stamps % 10**9).any():
        form = form.replace("%S", "%S.%9f" if (stamps % 1000).any() else "%S.%6f")
    good = np.zeros(len(stamps), bool)
    return stamps, Times(stamps, good, False, form, zone, instant=instant), []


def _nanoseconds(kind: pa.DataType) -> float:
    """Nanoseconds in the unit that a type of times or dates counts."""
    units = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "day": float(DAY)}
    return units[re.split(r"[\[,\]]", str(kind))[1]]


# --- Rows counted, and times joined from several columns -----------------------------------------


def _counted(table: Table) -> Timed:
    """Row numbers as times; `rows.long_rows` counts them within each series."""
    stamps = np.arange(table.rows, dtype=np.int64)
    note = Note(
        "repair/counted-rows", "no column is the time: rows were counted from 1", table.rows
    )
    return Timed(table, stamps, Times(stamps, np.zeros(len(stamps), bool), True, "integer"), [note])


def _period_column(names: tuple[str, ...]) -> bool:
    """Whether the last column numbers the periods of a day: settlement periods."""
    return len(names) > 1 and part_named(names[-1]) == "period"


def _with_periods(table: Table, settings: DataSettings, ends: bool = False) -> Timed:
    """A date and the number of a period in its day: the period's begin, or its end."""
    mapping = table.mapping
    days = timed(replace(table, mapping=replace(mapping, time=mapping.time[:-1])), settings)
    table = replace(days.table, mapping=mapping)
    numbers = _whole_numbers(table, mapping.time[-1])
    most = int(numbers.max(initial=1))
    minutes = next((m for limit, m in PERIODS if most <= limit), 0)
    if not minutes or numbers.min(initial=1) < 1:
        raise refuse(
            "input/period-number", f"column '{mapping.time[-1]}' does not number the periods of a "
            "day", where=table.where, value=most,
            remedy="Name the time's columns with --time-col",
        )  # fmt: skip
    length = minutes * MINUTE
    more = most * minutes > 1440
    if more and not settings.tz:
        raise _needs_zone(table, mapping.time[-1], most)
    text = f"the time was joined from {', '.join(mapping.time)}: periods of {minutes} minutes"
    midnight = instants(days.stamps, settings.tz or "") if more else days.stamps
    stamps = midnight + (numbers - 1 + ends) * length  # the hours that have gone by
    form = f"{days.times.format} {'%-K' if ends else f'%{minutes}N'}"
    times = replace(days.times, stamps=stamps, format=form, instant=more)
    return Timed(table, stamps, times, [*days.notes, Note("repair/joined-time", text, len(stamps))])


def _needs_zone(table: Table, name: str, most: int) -> InputError:
    return refuse(
        "input/long-day", f"column '{name}' counts to {most}: a day when summer time ends",
        where=table.where, value=most,
        remedy="Name the zone, so that the repeated hour is known: --tz Europe/London or the like",
    )  # fmt: skip


def _whole_numbers(table: Table, name: str) -> np.ndarray:
    """int64 (N,) of a column of whole numbers; 0 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.columns[name]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary.take(as_arrow(as_numpy(column.indices)))
    text = pc.utf8_trim_whitespace(column.cast(pa.string()).fill_null(word("")))
    text = pc.replace_substring_regex(text, r"^0*(\d+)(\.0*)?$", r"\1")
    good = pc.match_substring_regex(text, r"^\d{1,6}$")
    return as_numpy(pc.cast(pc.if_else(good, text, word("0")), pa.int64()))


def _composite(table: Table, names: tuple[str, ...]) -> pa.Array:
    """One dictionary-encoded string column from year, month, day, hour, ... or from date, time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = [_part(n) for n in names]
    texts = []
    for name, key in zip(names, keys, strict=True):
        column = table.columns[name]
        text = column.cast(pa.string()) if not pa.types.is_dictionary(column.type) else (
            column.dictionary.cast(pa.string()).take(column.indices)
        )  # fmt: skip
        text = pc.utf8_trim_whitespace(text.fill_null(word("")))
        text = pc.replace_substring_regex(text, r"^(\d+)\.0+$", r"\1")
        texts.append(pc.utf8_lpad(text, WIDTHS[key], "0") if key in WIDTHS else text)
    if keys[0] != "year":
        return _date_and_clock(texts, keys)
    plain = {"quarter": "Q", "half": "H", "week": "W"}
    joined = texts[0]
    marks = {"month": "-", "day": "-", "hour": " ", "minute": ":", "second": ":", "quarter": "-",
             "half": "-", "week": "-"}  # fmt: skip
    for key, text in zip(keys[1:], texts[1:], strict=True):
        if key in plain:
            text = pc.replace_substring_regex(text, r"^(?i:Q|H|W|KW) ?", "")
            text = pc.binary_join_element_wise(word(plain[key]), text, word(""))
        joined = pc.binary_join_element_wise(joined, text, word(marks.get(key, " ")))
    if keys[-1] == "hour":
        joined = pc.binary_join_element_wise(joined, word("00"), word(":"))
    return _encoded(joined, texts)


def _part(name: str) -> str:
    """The part of a time that a column of --time-col is, by its name; a few more are known here."""
    found = part_named(name)
    if found == "hour" and key_of(name) in ("time", "hora", "heure", "ora", "saat", "h"):
        return "clock"
    return found or "clock"


def _encoded(joined: pa.Array, texts: list[pa.Array]) -> pa.Array:
    """The joined texts; blank where all of the parts are."""
    import pyarrow.compute as pc

    blank = pc.equal(pc.binary_length(texts[0]), _int32(0))
    return pc.if_else(blank, word(""), joined).dictionary_encode()


def _date_and_clock(texts: list[pa.Array], keys: list[str]) -> pa.Array:
    """A date column followed by a time of day, or by hour, minute, second."""
    import pyarrow.compute as pc

    plain = pc.unique(texts[1].slice(0, 5000)).to_pylist()
    hours = {t for t in plain if t.isdigit()}
    ending = "24" in hours or "25" in hours
    tight = str(texts[0][0].as_py()).isdigit()  # 20230101 9 would be 20230101, 9 o'clock or 2023
    joined = texts[0]
    for i, (key, text) in enumerate(zip(keys[1:], texts[1:], strict=True)):
        if i == 0 and ending and not tight:  # the hours 1 to 24 are written as they come
            text = pc.replace_substring_regex(text, r"^0(\d)$", r"\1")
        joined = pc.binary_join_element_wise(joined, text, word(" " if i == 0 else ":"))
        if key == "hour" and len(keys) == 2 and not ending and hours:
            joined = pc.binary_join_element_wise(joined, word("00"), word(":"))
    return _encoded(joined, texts)
