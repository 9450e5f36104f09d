"""Which series each row belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.io.arrow import as_arrow, as_numpy, word
from forecast.data.io.columns import GROUP_NAMES, Mapping, key_of
from forecast.data.io.notes import PLACES, refuse
from forecast.data.io.table import Table

if TYPE_CHECKING:
    import pyarrow as pa


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
