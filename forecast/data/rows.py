"""`Rows of one table`, checked and typed: the step between a file's columns and a panel."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_numpy, word
from forecast.data.io.columns import GROUP_NAMES, Mapping, key_of
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.io.table import Table
from forecast.data.io.timestamps import Times, parse_times
from forecast.data.io.values import parse_numbers

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings


@dataclass(frozen=True)
class LongRows:
    """A long table's rows, N of them, in file order.

    ids      object (S,): distinct ids, sorted by code point
    codes    int32 (N,): position of each row's series in ids
    stamps   int64 (N,): nanoseconds on the written clock (or instants), or integers
    values   float64 (N,): NaN where missing
    integer  the times are integers
    format   how times are written; tz: see Panel
    locate   row numbers -> places in the file
    """

    ids: np.ndarray
    codes: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    integer: bool
    format: str
    tz: str | None
    where: str
    locate: Callable[[Sequence[int]], list[str]]
    time_name: str
    target_name: str
    id_name: str | None
    id_hint: str = ""

    def taken(self, index: np.ndarray) -> LongRows:
        """The rows `index` (int64), in its order; places in the file stay right."""
        return replace(
            self,
            codes=self.codes[index],
            stamps=self.stamps[index],
            values=self.values[index],
            locate=lambda wanted: self.locate([int(index[w]) for w in wanted]),
        )

    def without(self, bad: np.ndarray) -> LongRows:
        """The rows that are not `bad` (bool, (N,)); series that have none left disappear."""
        if not bad.any():
            return self
        rows = self.taken(np.flatnonzero(~bad))
        used = np.bincount(rows.codes, minlength=len(self.ids)) > 0
        rank = (np.cumsum(used) - 1).astype(np.int32)
        return replace(rows, ids=self.ids[used], codes=rank[rows.codes])


# --- Several files read as one table: a folder or a pattern of files, one or many series in
# each


SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".feather", ".arrow")
COMPRESSED = ("", ".gz", ".bz2", ".xz", ".zst")


def files_of(source: str | Path) -> list[str | Path]:
    """The files that `source` names: itself, the tables of a folder, or those of a pattern.

    Raises InputError for a folder or a pattern without a table.
    """
    name = str(source)
    path = Path(name)
    if name == "-" or path.is_file():
        return [source]
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and _is_table(p))
    elif glob.has_magic(name) and "://" not in name:
        found = sorted(Path(p) for p in glob.glob(name) if Path(p).is_file())
    else:
        return [source]
    if not found:
        raise refuse(
            "input/no-files", "no table is to be found here", where=name,
            remedy="Name a file, a folder of CSV or Parquet files, or a pattern such as 'in/*.csv'",
        )  # fmt: skip
    return list(found)


def _is_table(path: Path) -> bool:
    return any(path.name.lower().endswith(s + c) for s in SUFFIXES for c in COMPRESSED)


def joined_rows(parts: Sequence[LongRows], tables: Sequence[Table], source: str) -> LongRows:
    """One table of all rows; files without an id column are series of their own, named by file.

    Raises InputError when the files do not agree on columns, on the kind of times or on the zone.
    """
    if len(parts) == 1:
        return parts[0]
    parts = [named_by_file(p, t) for p, t in zip(parts, tables, strict=True)]
    first = parts[0]
    for part in parts[1:]:
        _check_alike(first, part)
    names = sorted({i for p in parts for i in p.ids})
    rank = {name: n for n, name in enumerate(names)}
    codes = [np.array([rank[i] for i in p.ids], np.int32)[p.codes] for p in parts]
    starts = np.cumsum([0, *(len(p.codes) for p in parts)])
    ids = np.empty(len(names), object)
    ids[:] = names

    def locate(rows: Sequence[int]) -> list[str]:
        found = []
        for row in rows:
            file = int(np.searchsorted(starts, row, side="right")) - 1
            place = parts[file].locate([int(row - starts[file])])[0]
            found.append(f"{Path(parts[file].where).name} {place}")
        return found

    return replace(
        first, ids=ids, codes=np.concatenate(codes),
        stamps=np.concatenate([p.stamps for p in parts]),
        values=np.concatenate([p.values for p in parts]),
        where=source, locate=locate,
    )  # fmt: skip


def named_by_file(rows: LongRows, table: Table) -> LongRows:
    """The rows of one file among several: without ids they are one series, named like the file."""
    if rows.id_name is not None or len(rows.ids) > 1:
        return rows
    ids = np.empty(1, object)
    ids[0] = Path(table.where).name.split(".")[0]
    return replace(rows, ids=ids, id_name="file")


def _check_alike(first: LongRows, other: LongRows) -> None:
    for what, a, b in (
        ("time column", first.time_name, other.time_name),
        ("target column", first.target_name, other.target_name),
        ("id column", first.id_name or "none", other.id_name or "none"),
        ("kind of times", _kind(first), _kind(other)),
        ("time zone", first.tz or "none", other.tz or "none"),
    ):
        if a != b:
            raise refuse(
                "input/files-differ", f"the {what} is {b}, and {a} in {first.where}",
                where=other.where, remedy="Read alike files together, the others on their own",
            )  # fmt: skip


def _kind(rows: LongRows) -> str:
    return "integers" if rows.integer else "dates"


def joined_digest(tables: Sequence[Table]) -> str:
    """One digest of all files: sha256 over their names and digests."""
    if len(tables) == 1:
        return tables[0].digest
    text = "".join(f"{Path(t.where).name} {t.digest}\n" for t in tables)
    return hashlib.sha256(text.encode()).hexdigest()


def joined_notes(notes: Sequence[Note]) -> list[Note]:
    """Notes with the same code and text made one, their counts added."""
    found: dict[tuple[str, str], Note] = {}
    for note in notes:
        key = note.code, note.text
        if key in found:
            note = replace(found[key], count=found[key].count + note.count)
        found[key] = note
    return list(found.values())


# --- Which series each row belongs to ------------------------------------------------------------


def with_needed_id(table: Table, mapping: Mapping, stamps: np.ndarray) -> Mapping:
    """The mapping with the further id columns that it takes to make times unique in each series.

    Where times repeat: the one column that tells them apart, else all that are called like a
    group (store, item, ...) together. Where that leaves a choice, nothing is added.
    """
    base, options = mapping.id, mapping.id_options
    if not options or not _repeat(table, base, stamps):
        return mapping
    fits = [o for o in options if not _repeat(table, (*base, o), stamps)]
    groups = tuple(o for o in options if key_of(o) in GROUP_NAMES)
    if len(fits) == 1:
        added: tuple[str, ...] = (fits[0],)
    elif not fits and len(groups) > 1 and not _repeat(table, (*base, *groups), stamps):
        added = groups
    elif not fits and not base and len(options) == 1:
        added = options
    else:
        return mapping
    what = "this column tells" if len(base + added) == 1 else "these columns tell"
    reasons = {**mapping.reasons, "id": f"times repeat, and {what} the series apart"}
    return replace(mapping, id=(*base, *added), reasons=reasons)


def _repeat(table: Table, names: tuple[str, ...], stamps: np.ndarray) -> bool:
    """Whether any time occurs twice in a series, the series being named by columns `names`."""
    series = np.zeros(len(stamps), np.int64)
    for name in names:
        codes, distinct = _codes(table.columns[name])
        series = np.unique(series * len(distinct) + codes, return_inverse=True)[1]
    order = np.lexsort((stamps, series))
    series, stamps = series[order], stamps[order]
    return bool(((series[1:] == series[:-1]) & (stamps[1:] == stamps[:-1])).any())


def _codes(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """int32 (N,) codes and the distinct strings of an id column."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).fill_null(word("")).dictionary_encode()
    codes, once = as_numpy(column.indices), column.dictionary.dictionary_encode()
    if len(once.dictionary) < len(column.dictionary):
        codes = as_numpy(once.indices)[codes]
    return codes, once.dictionary


def ids_of(table: Table, mapping: Mapping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct ids sorted by code point, each row's position among them, and rows without one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not mapping.id:
        none = np.zeros(table.rows, bool)
        name = mapping.targets[0] if mapping.targets else ""
        return as_objects([name]), np.zeros(table.rows, np.int32), none
    if len(mapping.id) == 1:
        codes, distinct = _codes(table.columns[mapping.id[0]])
    else:
        texts = [d.take(as_arrow(c)) for c, d in (_codes(table.columns[n]) for n in mapping.id)]
        codes, distinct = _codes(pc.binary_join_element_wise(*texts, word("/")))
    distinct = pc.cast(distinct, pa.string())
    blank = _blank_ids(table, "+".join(mapping.id), distinct, codes)
    ids, rank = _in_order(distinct)
    return ids, rank[codes], blank


def distinct_ids(
    table: Table, mapping: Mapping
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Distinct ids sorted by code point, the position of each code among them, each row's code.

    Of tables with at most one id column and nothing else that may name the series; None for others
    and where an id is blank.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if mapping.id_options or len(mapping.id) > 1:
        return None
    if not mapping.id:
        codes = np.zeros(table.rows, np.int8)
        return as_objects([mapping.targets[0]]), np.zeros(1, np.int32), codes
    codes, distinct = _codes(table.columns[mapping.id[0]])
    distinct = pc.cast(distinct, pa.string())
    if not as_numpy(pc.binary_length(pc.utf8_trim_whitespace(distinct))).all():
        return None
    return *_in_order(distinct), codes


def _in_order(distinct: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ids sorted by code point, and the position of each among them."""
    import pyarrow.compute as pc

    order = as_numpy(pc.sort_indices(distinct))
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return as_objects(distinct.take(as_arrow(order)).to_pylist()), rank


def as_objects(ids: list[str]) -> np.ndarray:
    """An object array of strings."""
    found = np.empty(len(ids), object)
    found[:] = ids
    return found


def _blank_ids(table: Table, name: str, distinct: pa.Array, codes: np.ndarray) -> np.ndarray:
    """bool (N,): rows without an id, put aside; refused where nothing is put aside."""
    import pyarrow.compute as pc

    blank = as_numpy(pc.binary_length(pc.utf8_trim_whitespace(distinct))) == 0
    if not blank.any():
        return np.zeros(len(codes), bool)
    rows = np.flatnonzero(blank[codes])
    if table.rejects is None:
        raise refuse(
            "input/blank-id", f"column '{name}' does not name the series", where=table.where,
            count=len(rows), places=table.locate(rows[:PLACES].tolist()),
            remedy="Fill it, or choose another with --id-col",
        )  # fmt: skip
    places = table.locate(rows.tolist())
    table.rejects.add(table.where, places, name, [""] * len(rows), "input/blank-id")
    return blank[codes]


# --- A table's columns become ids, times and values: `LongRows` ----------------------------------


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
