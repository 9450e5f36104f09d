"""A table's columns become ids, times and values: `LongRows`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_numpy, word
from forecast.data.io.columns import Mapping
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.io.numbers import parse_numbers
from forecast.data.io.table import Table
from forecast.data.io.timestamps import Times, parse_times
from forecast.data.rows import LongRows
from forecast.data.series_ids import as_objects, ids_of, with_needed_id

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings

CLOCK_PARTS = {"year": 4, "month": 2, "day": 2, "hour": 2, "minute": 2, "second": 2}
TIME_ERRORS = {
    "unreadable": ("input/unreadable-time", "a time cannot be read",
                   "Use one form throughout, e.g. 2020-01-31 or 2020-01-31 13:00"),
    "mixed": ("input/mixed-time-formats", "times are written in more than one form",
              "Use one form throughout, e.g. 2020-01-31"),
    "ambiguous": ("input/ambiguous-day-month", "every date could be day first or month first",
                  "Say which: --dayfirst or --no-dayfirst"),
    "dayfirst": ("input/day-order", "the dates contradict --dayfirst or --no-dayfirst",
                 "Leave the flag out, or give its opposite"),
    "range": ("input/time-range", "a time lies outside the years 1678 to 2261",
              "Correct it, or remove the row"),
    "zones": ("input/mixed-zones", "some times name a time zone and others do not",
              "Write all with an offset, or none (and --tz for the zone)"),
    "excel": ("input/excel-serial", "the times look like Excel's day numbers",
              "Say --time-unit excel, or --time-unit step if they are plain steps"),
}  # fmt: skip


def long_rows(table: Table, settings: DataSettings) -> tuple[LongRows, Mapping, list[Note]]:
    """Ids, times and values of every row; without a target, row numbers stand for values.

    Raises InputError naming the first bad cells.
    """
    notes = list(table.notes)
    mapping = table.mapping
    stamps, times, more = _stamps(table, settings)
    notes += more
    if mapping.wide:
        rows = _wide_rows(table, stamps, times, settings)
        return rows.without(np.tile(times.bad, len(rows.ids))), mapping, notes
    target = mapping.targets[0] if mapping.targets else ""
    values = _values(table, target, settings) if target else np.arange(table.rows, dtype=float)
    mapping = with_needed_id(table, mapping, stamps)
    ids, codes, blank = ids_of(table, mapping)
    rows = LongRows(
        ids, codes, stamps, values, times.integer, times.format, times.tz, table.where,
        table.locate, "+".join(mapping.time), target,
        "+".join(mapping.id) or None, "" if mapping.id else _id_hint(mapping),
    )  # fmt: skip
    return rows.without(times.bad | blank), mapping, notes


def _id_hint(mapping: Mapping) -> str:
    return f"--id-col {mapping.id_options[0]}" if mapping.id_options else ""


def _values(table: Table, name: str, settings: DataSettings) -> np.ndarray:
    values = parse_numbers(
        table.columns[name], name=name, where=table.where, locate=table.locate,
        decimal=table.decimal, thousands=settings.thousands, rejects=table.rejects,
    )  # fmt: skip
    if settings.drop_value:
        values = np.where(np.isin(values, settings.drop_value), np.nan, values)
    return values


def _stamps(table: Table, settings: DataSettings) -> tuple[np.ndarray, Times, list[Note]]:
    """int64 (N,) times of all rows, how they were written, and notes."""
    import pyarrow as pa

    names = table.mapping.time
    column = table.columns[names[0]] if len(names) == 1 else _composite(table, names)
    name = "+".join(names)
    if pa.types.is_dictionary(column.type):
        distinct, codes = column.dictionary, as_numpy(column.indices)
    elif pa.types.is_temporal(column.type):
        return _typed_stamps(column, name, table)
    elif column.null_count:
        rows = np.flatnonzero(as_numpy(column.is_null()))
        raise _time_error("unreadable", rows, "", name, table)
    else:
        texts = column.cast(pa.string()).dictionary_encode()
        distinct, codes = texts.dictionary, as_numpy(texts.indices)
    times = parse_times(distinct, name=name, dayfirst=settings.dayfirst, unit=settings.time_unit)
    if times.bad.any():
        rows = np.flatnonzero(times.bad[codes])
        value = distinct[int(codes[rows[0]])].as_py()
        error = _time_error(times.reason, rows, value, name, table)
        if table.rejects is None or len(rows) == len(codes):
            raise error
        found = distinct.take(as_arrow(codes[rows])).to_pylist()
        table.rejects.add(table.where, table.locate(rows.tolist()), name, found, error.code)
    if len(names) > 1 and times.format.startswith("%Y-%m-%d"):
        times = replace(times, notes=(*times.notes, _joined_note(names, len(codes))))
    times = replace(times, bad=times.bad[codes])
    return times.stamps[codes], times, list(times.notes)


def _joined_note(names: tuple[str, ...], count: int) -> Note:
    return Note("repair/joined-time", f"the time was joined from {', '.join(names)}", count)


def _time_error(reason: str, rows: np.ndarray, value: str, name: str, table: Table) -> InputError:
    code, message, remedy = TIME_ERRORS[reason]
    every = reason in ("ambiguous", "excel", "dayfirst")
    if reason == "unreadable" and not value.strip():
        code, message = "input/blank-time", "a time is blank"
    elif reason == "unreadable" and value.strip() in name.split("+"):
        code, message = "input/repeated-header", "the header is repeated inside the table"
        remedy = "Remove the line"
    elif reason == "unreadable" and re.search(r"(?i)total|sum|average|mean|grand", value):
        code, message = "input/totals-row", "a row of totals stands in the table"
        remedy = "Remove the row"
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
        raise _time_error("unreadable", rows, "", name, table)
    zone = getattr(column.type, "tz", None)
    try:
        nanos = column.cast(pa.timestamp("ns", zone)).cast(pa.int64())
    except pa.ArrowInvalid:
        raise _time_error("range", np.array([0]), str(column[0]), name, table) from None
    stamps = np.asarray(as_numpy(nanos))
    day = 86_400 * 10**9
    if zone is None:
        form = "%Y-%m-%d" if not (stamps % day).any() else "%Y-%m-%d %H:%M:%S"
    else:
        form = "%Y-%m-%dT%H:%M:%S" + ("Z" if zone == "UTC" else "%:z")
    if (stamps % 10**9).any():
        form = form.replace("%S", "%S.%9f" if (stamps % 1000).any() else "%S.%6f")
    good = np.zeros(len(stamps), bool)
    return stamps, Times(stamps, good, False, form, zone), []


def _composite(table: Table, names: tuple[str, ...]) -> pa.Array:
    """One dictionary-encoded string column from year, month, day, hour, ... or from date, time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = []
    for name in names:
        column = table.columns[name]
        text = column.cast(pa.string()) if not pa.types.is_dictionary(column.type) else (
            column.dictionary.cast(pa.string()).take(column.indices)
        )  # fmt: skip
        text = pc.utf8_trim_whitespace(text.fill_null(word("")))
        text = pc.replace_substring_regex(text, r"^(\d+)\.0+$", r"\1")
        width = CLOCK_PARTS.get(re.sub(r"[^a-z]", "", name.lower()), 0)
        texts.append(pc.utf8_lpad(text, width, "0") if width else text)
    keys = [re.sub(r"[^a-z]", "", n.lower()) for n in names]
    if keys[0] != "year":
        return _date_and_clock(texts, keys)
    marks = {"month": "-", "day": "-", "hour": " ", "minute": ":", "second": ":"}
    joined = texts[0]
    for key, text in zip(keys[1:], texts[1:], strict=True):
        joined = pc.binary_join_element_wise(joined, text, word(marks.get(key, " ")))
    if keys[-1] == "hour":
        joined = pc.binary_join_element_wise(joined, word("00"), word(":"))
    return joined.dictionary_encode()


def _date_and_clock(texts: list[pa.Array], keys: list[str]) -> pa.Array:
    """A date column followed by a time of day, or by hour, minute, second."""
    import pyarrow.compute as pc

    joined = texts[0]
    for i, (key, text) in enumerate(zip(keys[1:], texts[1:], strict=True)):
        joined = pc.binary_join_element_wise(joined, text, word(" " if i == 0 else ":"))
        if key == "hour" and len(keys) == 2:
            joined = pc.binary_join_element_wise(joined, word("00"), word(":"))
    return joined.dictionary_encode()


def _wide_rows(table: Table, stamps: np.ndarray, times: Times, settings: DataSettings) -> LongRows:
    """Every column but the time is a series: laid end to end, sorted by name."""
    names = sorted(table.mapping.targets)
    values = np.concatenate([_values(table, n, settings) for n in names])
    count = len(stamps)
    return LongRows(
        as_objects(names), np.repeat(np.arange(len(names), dtype=np.int32), count),
        np.tile(stamps, len(names)),
        values, times.integer, times.format, times.tz, table.where,
        lambda rows: [
            f"{place}, column '{names[r // count]}'"
            for r, place in zip(rows, table.locate([r % count for r in rows]), strict=True)
        ],
        "+".join(table.mapping.time), quantity(len(names), "column"), None,
    )  # fmt: skip
