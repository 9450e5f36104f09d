"""Rows put in order of series and time, and several rows for one time made one or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.rows import LongRows


def written(rows: LongRows, stamp: int) -> str:
    """One time as the file writes it."""
    return str(format_stamps(np.array([stamp]), rows.format, rows.tz)[0].as_py())


def place(rows: LongRows, row: int) -> str:
    """`line 7, series 'A' at 2020-01-31`."""
    line = rows.locate([row])[0]
    time = written(rows, int(rows.stamps[row]))
    if rows.id_name is None:
        return f"{line}, at {time}"
    return f"{line}, series {str(rows.ids[rows.codes[row]])!r} at {time}"


def in_order(rows: LongRows) -> tuple[np.ndarray | None, list[Note]]:
    """The order that sorts rows by series and time (None: they are), and a note on repairs."""
    codes, stamps = rows.codes, rows.stamps
    if len(codes) < 2:
        return None, []
    same = codes[1:] == codes[:-1]
    if (codes[1:] >= codes[:-1]).all() and (stamps[1:] >= stamps[:-1])[same].all():
        return None, []
    order = np.lexsort((stamps, codes))
    series_changes = np.flatnonzero(codes[order][1:] == codes[order][:-1])
    backwards = order[series_changes + 1] < order[series_changes]
    count = int(backwards.sum())
    if count == 0:
        return order, []
    first = order[series_changes[backwards]][:PLACES]
    text = f"{quantity(count, 'row')} stood out of time order and were sorted"
    return order, [Note("repair/unsorted", text, count, tuple(place(rows, int(r)) for r in first))]


def without_duplicates(
    rows: LongRows, order: np.ndarray | None, how: str
) -> tuple[LongRows, list[Note]]:
    """Rows sorted by series and time, each time once, and notes.

    Rows that repeat another exactly are dropped; different values for one time are joined as
    `how` says ("first", "last", "mean", "sum"), or refused ("error").
    """
    if order is not None:
        rows = rows.taken(order)
    repeat = (rows.codes[1:] == rows.codes[:-1]) & (rows.stamps[1:] == rows.stamps[:-1])
    if not repeat.any():
        return rows, []
    previous, current = rows.values[:-1], rows.values[1:]
    equal = (previous == current) | (np.isnan(previous) & np.isnan(current))
    clash = repeat & ~equal
    if clash.any():
        if how == "error":
            raise _clash_error(rows, np.flatnonzero(clash))
        rows, note = _joined(rows, repeat, how)
        return rows, [note]
    dropped = np.flatnonzero(repeat) + 1
    text = f"{quantity(len(dropped), 'row')} repeated another exactly and were dropped"
    places = tuple(place(rows, int(r)) for r in dropped[:PLACES])
    kept = rows.taken(np.flatnonzero(np.concatenate([[True], ~repeat])))
    return kept, [Note("repair/duplicate-rows", text, len(dropped), places)]


def _clash_error(rows: LongRows, at: np.ndarray) -> Exception:
    first = int(at[0])
    values = [float(rows.values[first]), float(rows.values[first + 1])]
    remedy = "Choose with --duplicates first, last, mean or sum"
    if rows.id_hint:
        remedy += f"; or name the column that tells the series apart: {rows.id_hint}"
    elif _autumn_hour(rows, first):
        remedy += "; or name the time zone with --tz (an hour repeats when summer time ends)"
    elif rows.id_name is None:
        remedy += "; or name the column that tells the series apart with --id-col"
    return refuse(
        "input/duplicate-time", "two rows give different values for one time", where=rows.where,
        value=f"{values[0]:g} and {values[1]:g}", count=len(at),
        places=[place(rows, int(r) + 1) for r in at[:PLACES]], remedy=remedy,
    )  # fmt: skip


def _autumn_hour(rows: LongRows, at: int) -> bool:
    """Whether the repeated time is a small hour of an autumn (or southern autumn) Sunday."""
    if rows.integer or rows.tz:
        return False
    stamp = np.datetime64(int(rows.stamps[at]), "ns")
    hour = int(rows.stamps[at] // (3600 * 10**9)) % 24
    weekday = int(stamp.astype("M8[D]").astype(np.int64) + 3) % 7
    month = int(stamp.astype("M8[M]").astype(np.int64)) % 12 + 1
    return weekday == 6 and hour <= 3 and month in (3, 4, 10, 11)


def _joined(rows: LongRows, repeat: np.ndarray, how: str) -> tuple[LongRows, Note]:
    starts = np.flatnonzero(np.concatenate([[True], ~repeat]))
    values = aggregate(rows.values, starts, how)
    count = len(rows.values) - len(starts)
    places = tuple(place(rows, int(r) + 1) for r in np.flatnonzero(repeat)[:PLACES])
    text = f"{quantity(count, 'row')} shared a time with another; taken: the {how}"
    note = Note("repair/duplicate-times", text, count, places)
    return replace(rows.taken(starts), values=values), note


def aggregate(values: np.ndarray, starts: np.ndarray, how: str) -> np.ndarray:
    """One value for each group values[starts[i]:starts[i+1]], missing ones left out.

    how: "sum", "mean", "first", "last", "min" or "max". A group of missing values is NaN.
    """
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    if how in ("sum", "mean"):
        result = np.add.reduceat(np.where(known, values, 0.0), starts)
        if how == "mean":
            result = result / np.maximum(counts, 1)
    elif how == "min":
        result = np.minimum.reduceat(np.where(known, values, np.inf), starts)
    elif how == "max":
        result = np.maximum.reduceat(np.where(known, values, -np.inf), starts)
    else:
        at = np.arange(len(values))
        if how == "first":
            picked = np.minimum.reduceat(np.where(known, at, len(values)), starts)
        else:
            picked = np.maximum.reduceat(np.where(known, at, -1), starts)
        result = values[np.clip(picked, 0, len(values) - 1)]
    return np.where(counts > 0, result, np.nan)
