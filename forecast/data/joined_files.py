"""Several files read as one table: one or many series in each, or one that goes on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import InputError
from forecast.data.io.folders import ENDING, told_apart
from forecast.data.io.notes import Note, listed, refuse
from forecast.data.io.table import Table, Whole
from forecast.data.io.vocabulary import names_month
from forecast.data.rows import LongRows

FILE = "file"  # the id of series that are named by their file
SAME, DISTINCT = 0.9, 4  # share of equal values, and how many of them, that make a file a copy
TRIED = 5_000  # rows by which it is told
LITTLE = 0.25  # share of a span in time up to which two files may overlap and be one series


def joined_rows(
    parts: Sequence[LongRows], tables: Sequence[Table], source: str, apart: bool | None = None
) -> tuple[LongRows, list[Note]]:
    """One table of all rows, and a note on how. Files without an id column go on with one series
    where they follow one another in time, else each is a series of its own, named by file.

    apart: each is one of its own, or none is; None leaves it to the times. Raises InputError when
    the files do not agree on columns, on the kind of times or on the zone, or when their times and
    their names do not agree on what they are.
    """
    wide = all(table.mapping.wide for table in tables)
    for part in parts[1:]:
        _check_alike(parts[0], part, wide)
    apart, notes = (False, []) if len(parts) == 1 and not apart else _apart(parts, tables, apart)
    if apart:
        parts = [named_by_file(p, t) for p, t in zip(parts, tables, strict=True)]
    if len(parts) == 1:
        return parts[0], notes
    first = parts[0]
    parts = _by_time(parts)
    names = sorted({i for p in parts for i in p.ids})
    rank = {name: n for n, name in enumerate(names)}
    codes = [np.array([rank[i] for i in p.ids], np.int32)[p.codes] for p in parts]
    ids = np.empty(len(names), object)
    ids[:] = names
    locate, whole = _looked_up(parts)
    joined = replace(
        first, ids=ids, codes=np.concatenate(codes),
        stamps=np.concatenate([p.stamps for p in parts]),
        values=np.concatenate([p.values for p in parts]),
        where=source, locate=locate, whole=whole,
        unread=tuple(dict.fromkeys(n for p in parts for n in p.unread)),
    )  # fmt: skip
    return joined, notes


def _looked_up(
    parts: Sequence[LongRows],
) -> tuple[Callable[[Sequence[int]], list[str]], Whole | None]:
    """`locate` and `whole` of the rows of all parts, one part after the other."""
    starts = np.cumsum([0, *(len(p.codes) for p in parts)])
    files = told_apart([part.where for part in parts], whole=True)

    def locate(rows: Sequence[int]) -> list[str]:
        found = []
        for row in rows:
            file = int(np.searchsorted(starts, row, side="right")) - 1
            found.append(f"{files[file]} {parts[file].locate([int(row - starts[file])])[0]}")
        return found

    def whole(rows: Sequence[int]) -> list[tuple[object, ...]]:
        wanted = np.asarray(rows)
        found: dict[int, tuple[object, ...]] = {}
        for part, start in zip(parts, starts, strict=False):
            mine = wanted[(wanted >= start) & (wanted < start + len(part.codes))].tolist()
            if mine and part.whole is not None:
                cells = part.whole([int(r - start) for r in mine])
                found |= zip(mine, cells, strict=True)
        return [found[int(r)] for r in wanted]

    return locate, whole if all(p.whole is not None for p in parts) else None


def with_names(tables: Sequence[Table]) -> list[Table]:
    """The tables of files called so that no two have one name, see `told_apart`; sheets as they
    are."""
    files = [n for n, table in enumerate(tables) if not table.one_of_several]
    made = list(tables)
    for n, name in zip(files, told_apart([tables[n].where for n in files]), strict=True):
        made[n] = replace(tables[n], called=name)
    return made


def spelt_alike(tables: Sequence[Table]) -> list[Table]:
    """The tables with the names of columns as the first writes them, where capitals alone differ
    (Date, date); those of wide ones are names of series, and stay."""
    first = tables[0].mapping.used
    known = {} if tables[0].mapping.wide else {name.lower(): name for name in first}
    made = []
    for table in tables:
        other = [n for n in table.mapping.used if n not in first and n.lower() in known]
        names = {n: known[n.lower()] for n in other if known[n.lower()] not in table.columns}
        if names:
            roles = {
                role: tuple(names.get(n, n) for n in getattr(table.mapping, role))
                for role in ("time", "id", "id_options", "targets", "extra")
            }
            columns = {names.get(n, n): column for n, column in table.columns.items()}
            mapping = replace(table.mapping, **roles)  # type: ignore[arg-type]
            table = replace(table, columns=columns, mapping=mapping)
        made.append(table)
    return made


def _by_time(parts: Sequence[LongRows]) -> Sequence[LongRows]:
    """Files of which each ends before the next begins in this order: April is before March by its
    name alone. Others as they are."""
    order = sorted((p for p in parts if len(p.stamps)), key=lambda p: int(p.stamps.min()))
    apart = all(a.stamps.max() < b.stamps.min() for a, b in pairwise(order))
    return order if apart and order else parts


def _apart(
    parts: Sequence[LongRows], tables: Sequence[Table], asked: bool | None
) -> tuple[bool, list[Note]]:
    """Whether files without ids are series of their own, see `joined_rows`; and a note if not."""
    named = any(_has_ids(part) for part in parts) or any(t.mapping.wide for t in tables)
    if asked is not None or named:
        return asked is not False, []
    names = [table.name for table in tables]
    shared = _overlaps(parts)
    if max(shared, default=1.0) > LITTLE:
        _check_none_follow(parts, tables)
        return True, []
    if max(shared) > 0 or len({_undated(name) for name in names}) > 1:
        how = "overlap a little" if max(shared) > 0 else "follow one another"
        raise refuse(
            "input/files-or-series", f"the times of these files {how}, and their names do not say "
            "whether each is a series or they are one", where=tables[0].where,
            value=listed(names, 3), remedy="Say --no-id for one series, or --id-col file for one "
            "of each file",
        )  # fmt: skip
    what = "sheets" if tables[0].one_of_several else "files"
    text = f"{len(parts):,} {what} follow one another in time: one series"
    return False, [Note("repair/files-follow", text, len(parts), (listed(names, 3),))]


def _check_none_follow(parts: Sequence[LongRows], tables: Sequence[Table]) -> None:
    """Refuse files of which some follow one another by their times and their names, though others
    lie beside them: north-2022, north-2023, south-2022, ... or months and a summary of the year; or
    of which one holds again what is in another: a copy, exports of the last thirty days."""
    names = [table.name for table in tables]
    what, by = (
        ("sheets", "--sheet 'north*'") if tables[0].one_of_several else ("files", "'north-*.csv'")
    )
    alike: dict[str, list[int]] = {}
    for n, name in enumerate(names):
        if len(parts[n].stamps):
            alike.setdefault(_undated(name), []).append(n)
    for group in alike.values():
        shared = _overlaps([parts[n] for n in group])
        others = [name for n, name in enumerate(names) if n not in group]
        if others and shared and not any(shared):
            raise refuse(
                "input/files-or-series", f"{listed([names[n] for n in group], 3)} follow one "
                f"another in time, and other {what} lie beside them", where=tables[0].where,
                value=listed(others, 3),
                remedy=f"Name the {what} of one series by a pattern, e.g. {by}; or write into "
                "each, in a column, whose values they are; or say --id-col file for one of each",
            )  # fmt: skip
        mine = sorted(group, key=lambda n: _span(parts[n]))
        for (a, b), share in zip(pairwise(mine), shared, strict=True):
            again = share > 0 and _repeats(parts[a], parts[b])
            if again or (share > LITTLE and 2 * shared.count(0.0) >= len(shared)):
                raise _held_twice(tables[a], tables[b], again)
    seen: dict[int, int] = {}
    for n, part in enumerate(parts):  # Copy of north.csv beside north.csv
        first = seen.setdefault(hash((part.stamps.tobytes(), part.values.tobytes())), n)
        short, long = sorted((_bare(names[first]), _bare(names[n])), key=len)
        if first != n and short in long and _repeats(parts[first], part):
            raise _held_twice(tables[first], tables[n], True)


def _held_twice(one: Table, other: Table, again: bool) -> InputError:
    """The error of two of several files that share their times. again: and their values."""
    how = "holds rows of" if again else "shares its times with"
    what = "sheets" if other.one_of_several else "files"
    rest = "" if again else f", though most {what} follow one another"
    first = "Name the others with --sheet" if other.one_of_several else "Move one of the two away"
    return refuse(
        "input/files-or-series", f"{other.name} {how} {one.name}{rest}", where=other.where,
        remedy=f"{first}; or say --no-id for one series (what repeats is read once), or --id-col "
        "file for one of each",
    )  # fmt: skip


def _repeats(one: LongRows, other: LongRows) -> bool:
    """Whether the values of two files at the times of both are nearly all the same, and not for
    being always the same, or mostly zero."""
    begin = other.stamps[:TRIED]  # of the later file: there, if anywhere, it repeats the earlier
    at = np.flatnonzero(np.isin(one.stamps, begin))
    _, kept, there = np.intersect1d(one.stamps[at], begin, return_indices=True)
    at = at[kept]
    a, b = one.values[at], other.values[there]
    told = np.isfinite(a) & np.isfinite(b) & ((a != 0) | (b != 0))
    same = a[told][a[told] == b[told]]
    return len(set(same.tolist())) >= DISTINCT and len(same) >= SAME * told.sum()


def _overlaps(parts: Sequence[LongRows]) -> list[float]:
    """`_shared` of files with rows, each with the next by its time."""
    spans = sorted(_span(p) for p in parts if len(p.stamps))
    return [_shared(early, late) for early, late in pairwise(spans)]


def _span(rows: LongRows) -> tuple[int, int]:
    return int(rows.stamps.min()), int(rows.stamps.max())


def _shared(early: tuple[int, int], late: tuple[int, int]) -> float:
    """The share of the shorter of two spans in time that the other holds too; 1 where neither
    begins and ends first. 0: they follow one another."""
    if late[0] <= early[0] or late[1] <= early[1]:
        return 1.0
    shorter = min(early[1] - early[0], late[1] - late[0])
    return 0.0 if late[0] > early[1] else (early[1] - late[0] + 1) / (shorter + 1)


def _bare(name: str) -> str:
    """The name without the ending that it has where a.csv lies beside a.parquet."""
    return re.sub(ENDING, "", name)


def _undated(name: str) -> str:
    """The name of a file without what dates it: numbers, and words for months and quarters."""
    words = re.findall(r"[^\W\d_]+", _bare(name))
    dated = {"q", "kw", "w", "week", "quarter", "quartal", "t"}
    return " ".join(w for w in words if not (w.lower() in dated or names_month(w)))


def _has_ids(rows: LongRows) -> bool:
    return rows.id_name is not None or len(rows.ids) > 1


def named_by_file(rows: LongRows, table: Table) -> LongRows:
    """The rows of one file among several: without ids they are one series, named like the file."""
    if _has_ids(rows) or table.mapping.wide:
        return rows
    ids = np.empty(1, object)
    ids[0] = table.name
    return replace(rows, ids=ids, id_name=FILE)


def _check_alike(first: LongRows, other: LongRows, wide: bool) -> None:
    """wide: each column is a series, of which a file may have more or fewer than another."""
    for what, a, b in (
        ("time column", first.time_name, other.time_name),
        ("target column", *(("", "") if wide else (first.target_name, other.target_name))),
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
    return hashlib.sha256(as_bytes(text)).hexdigest()


def joined_notes(parts: Sequence[Sequence[Note]]) -> list[Note]:
    """The notes on each of several files, those of one code and text made one, counts added."""
    found: dict[tuple[str, str], list[Note]] = {}
    for note in (note for part in parts for note in part):
        found.setdefault((note.code, note.text), []).append(note)
    joined = []
    for (_, text), same in found.items():
        text += f" (so in {len(same):,} of {len(parts):,} files)" if len(same) > 1 else ""
        joined.append(replace(same[0], text=text, count=sum(note.count for note in same)))
    return joined
