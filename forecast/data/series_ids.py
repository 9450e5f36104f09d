"""Which series each row belongs to: the id columns that it takes, and the ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_numpy, as_strings, word
from forecast.data.io.columns import Mapping
from forecast.data.io.notes import PLACES, listed, quoted, refuse
from forecast.data.io.table import Table
from forecast.data.io.vocabulary import names_series

if TYPE_CHECKING:
    import pyarrow as pa

MOST_OPTIONS = 6  # columns that may name the series together
TOGETHER = 3  # and so many of them at once
NEARLY = 0.01  # share of rows that may repeat a time of their series by mistake
RARE = 0.1  # a value that stands at so few of the times that most others do is no series


def with_needed_id(table: Table, mapping: Mapping, stamps: np.ndarray) -> Mapping:
    """The mapping with the further id columns that it takes to make times unique in each series.

    Columns that are called like a group (store, item, ...) come first, and a column that never
    repeats a value (an invoice's number) is none. Raises InputError where several columns would do.
    """
    base, options = mapping.id, mapping.id_options[:MOST_OPTIONS]
    if not options:
        return mapping
    series = _series(table, base)
    if not _repeated(series, stamps):
        return mapping if base else _the_only_group(table, mapping)
    codes = {o: _codes(table.columns[o])[0].astype(np.int64) for o in options}
    able = [o for o in options if not _once_each(codes[o])]
    added = _needed(table, series, stamps, {o: codes[o] for o in able})
    if added is None:
        named = [o for o in able if names_series(o)]
        if base or not (len(able) == 1 or named):
            return replace(mapping, id_options=tuple(able))
        added = tuple(named or able)
    what = "this column tells" if len(base + added) == 1 else "these columns tell"
    reasons = {**mapping.reasons, "id": f"times repeat, and {what} the series apart"}
    return replace(mapping, id=(*base, *added), id_options=(), reasons=reasons)


def _the_only_group(table: Table, mapping: Mapping) -> Mapping:
    """Where times do not repeat: a column called like a group with one name in it names the one
    series that there is, so that it has the same id in a file of several."""
    for option in mapping.id_options:
        if names_series(option) and len(np.unique(_codes(table.columns[option])[0])) == 1:
            reasons = {**mapping.reasons, "id": "its name; one series"}
            return replace(mapping, id=(option,), id_options=(), reasons=reasons)
    return mapping


def _needed(
    table: Table, series: np.ndarray, stamps: np.ndarray, codes: dict[str, np.ndarray]
) -> tuple[str, ...] | None:
    """The fewest columns that make times unique, those called like a group before others."""
    for most_repeated in (0.0, NEARLY):
        for size in range(1, TOGETHER + 1):
            fits = []
            for names in combinations(codes, size):
                joined = series
                for name in names:
                    joined = _joined(joined, codes[name])
                if _repeated(joined, stamps) <= most_repeated * len(stamps):
                    fits.append((names, joined))
            if most_repeated and not any(names_series(n) for names, _ in fits for n in names):
                fits = []
            if fits:
                return _one_of(table, fits)
    return None


def _one_of(table: Table, fits: list[tuple[tuple[str, ...], np.ndarray]]) -> tuple[str, ...]:
    """The one choice that fits, or the one that is called like a group, or the first of equals."""
    called = [f for f in fits if all(names_series(n) for n in f[0])]
    fits = called or [f for f in fits if not _lopsided(f[1])] or fits
    first = fits[0]
    if all(_same_partition(first[1], joined) for _, joined in fits[1:]):
        if not called and _lopsided(first[1]):
            raise _in_doubt(table, [first[0]])
        return first[0]
    raise _in_doubt(table, [names for names, _ in fits])


def _in_doubt(table: Table, choices: Sequence[tuple[str, ...]]) -> InputError:
    names = [",".join(c) for c in choices]
    return refuse(
        "input/ambiguous-id",
        f"times repeat, and what tells the series apart is in doubt: {listed(names)}",
        where=table.where,
        remedy=f"Choose, e.g. --id-col {quoted(names[0])}; or --no-id and --duplicates sum "
        "if all are one series",
    )  # fmt: skip


def _lopsided(joined: np.ndarray) -> bool:
    """Whether some value is too rare beside the others to be a series: "revised" among "ok"."""
    counts = np.unique(joined, return_counts=True)[1]
    return bool((counts < RARE * counts.max()).any())


def _same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = len(np.unique(_joined(one, other)))
    return pairs == len(np.unique(one)) == len(np.unique(other))


def _once_each(codes: np.ndarray) -> bool:
    """Whether most values stand in one row only: they name rows (tickets), not series."""
    counts = np.unique(codes, return_counts=True)[1]
    return len(counts) > 2 and (counts == 1).mean() > 0.5


def _joined(series: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.unique(series * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]


def _series(table: Table, names: tuple[str, ...]) -> np.ndarray:
    series = np.zeros(table.rows, np.int64)
    for name in names:
        series = _joined(series, _codes(table.columns[name])[0].astype(np.int64))
    return series


def _repeated(series: np.ndarray, stamps: np.ndarray) -> int:
    """How many rows repeat a time of their series."""
    order = np.lexsort((stamps, series))
    series, stamps = series[order], stamps[order]
    return int(((series[1:] == series[:-1]) & (stamps[1:] == stamps[:-1])).sum())


def _codes(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """int32 (N,) codes and the distinct strings of an id column."""
    import pyarrow as pa

    if str(column.type) == "extension<arrow.uuid>":
        column = as_strings(["" if v is None else str(v) for v in column.to_pylist()])
    if not pa.types.is_dictionary(column.type):
        try:
            column = column.cast(pa.string()).fill_null(word("")).dictionary_encode()
        except pa.ArrowException:
            raise refuse(
                "input/binary-id",
                f"the column of ids holds {column.type}, which is no text",
                remedy="Write the ids as text, or name another column with --id-col",
            ) from None
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
    """Distinct ids sorted by code point, and the position of each among them. Raises InputError
    where one could not be written."""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(distinct, "\0")).as_py():
        spoilt = [each for each in distinct.to_pylist() if each and "\0" in each]
        raise refuse(
            "input/nul-byte", "an id holds a NUL character, which no CSV can hold",
            value=spoilt[0], count=len(spoilt),
            remedy="Take it out of the ids, or name another column with --id-col",
        )  # fmt: skip
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
            remedy="Fill it, choose another with --id-col, or say --no-id if all rows are one "
            "series",
        )  # fmt: skip
    places = table.locate(rows.tolist())
    table.rejects.add(table.where, places, name, [""] * len(rows), "input/blank-id")
    return blank[codes]
