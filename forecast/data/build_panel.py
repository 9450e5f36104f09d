"""Sorted rows laid on one grid in time: the frequency, the gaps, the panel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.frequency import Frequency
from forecast.data.io.notes import PLACES, Note, quantity, refuse
from forecast.data.open_steps import always_open, is_open, never_filled, slots, with_calendar
from forecast.data.panel import Panel
from forecast.data.regularise import (
    check_same_frequency,
    find_frequency,
    grid_positions,
    in_order,
    resampled,
    series_starts,
    without_duplicates,
)
from forecast.data.rows import LongRows

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings


MAX_STEPS = 2_000_000_000  # more grid steps than this is a wrong frequency, not a data set
FREE_STEPS, MOST_SPREAD = 50_000_000, 1_000  # so is this many with more than so many steps a row


@dataclass(frozen=True)
class Built:
    """A panel, how many steps no row named, ids of series without a value, and the notes."""

    panel: Panel
    gaps: int
    skipped: tuple[str, ...]
    notes: tuple[Note, ...]


def build_panel(rows: LongRows, settings: DataSettings) -> Built:
    """The panel of a long table. Raises InputError; each check below says why."""
    if len(rows.codes) < 2:
        raise refuse(
            "input/too-few-rows", f"the table has {quantity(len(rows.codes), 'row')}",
            where=rows.where, remedy="At least two times are needed to see a frequency",
        )  # fmt: skip
    order, notes = in_order(rows)
    if settings.resample:
        rows, more = resampled(rows if order is None else rows.taken(order), settings)
    else:
        rows, more = without_duplicates(rows, order, settings.duplicates)
    notes += more
    rows, skipped, more = _observed_part(rows, settings.missing == "zero")
    notes += more
    frequency = find_frequency(rows, settings)
    positions = grid_positions(rows, frequency)
    check_same_frequency(rows, positions, frequency, settings)
    try:
        panel, gaps = _scatter(rows, positions, frequency, settings)
        return checked(panel, gaps, skipped, notes, settings, rows.where)
    except InputError as error:
        if error.code != "input/gaps":
            raise
        raise _misplaced(rows, notes, error) from None


def _misplaced(rows: LongRows, notes: list[Note], error: InputError) -> InputError:
    """The error for too many missing steps, or one that names the time that makes them so."""
    far = _far_off(rows)
    rest = error.remedy or ""
    where_right = f"Where it is right: {rest[:1].lower()}{rest[1:]}"
    if far is not None:
        return refuse(
            "input/time-far-off", f"{error.message}; one time lies far from all others",
            where=rows.where, value=rows.written(int(rows.stamps[far])),
            places=[rows.place(far)],
            remedy=f"Correct it, or remove the row. {where_right}",
        )  # fmt: skip
    if (swapped := _swapped(rows)) is not None:
        return refuse(
            "input/day-month-mixed",
            f"{error.message}; hardly any would be if day and month were swapped where both are 12 "
            "at most, as a spreadsheet does that reads dates of another country",
            where=rows.where, value=rows.written(int(rows.stamps[swapped])),
            places=[rows.place(swapped)],
            remedy=f"Export the dates again as YYYY-MM-DD. {where_right}",
        )  # fmt: skip
    back = next((n for n in notes if n.code == "repair/unsorted" and n.count < 4), None)
    if back is None:
        return error
    return refuse(
        "input/times-jump-back", f"{error.message}; the times jump back at {back.places[0]}",
        where=rows.where,
        remedy="If the year was not turned over there, correct it; else sort the rows by time",
    )  # fmt: skip


FEW = 10  # times of which none is called odd
WHOLE = 0.9  # share of days that have a row where the dates are read as they were meant


def _swapped(rows: LongRows) -> int | None:
    """The first row whose day and month are swapped: as they stand the days leave gaps, and swapped
    back where both are at most 12, next to none. None where that is not so."""
    if rows.integer or rows.format is None or rows.format.startswith("%Y"):
        return None
    days = rows.stamps.view("M8[ns]").astype("M8[D]")
    month = days.astype("M8[M]")
    day = (days - month).astype(int) + 1
    number, year = month.astype(int) % 12 + 1, month.astype("M8[Y]")
    either = (day <= 12) & (day != number)
    back = (year.astype("M8[M]") + (day - 1)).astype("M8[D]") + (number - 1)
    meant = np.unique(np.where(either, back, days))
    span = int((meant[-1] - meant[0]).astype(int)) + 1
    if not either.any() or (day <= 12).all() or len(meant) < WHOLE * span:
        return None
    return int(np.flatnonzero(either)[0])


def _far_off(rows: LongRows) -> int | None:
    """The row (rows being sorted) whose time is farther from its series' other times than these
    from each other: the first or last of ten or more; None where there is none."""
    starts = series_starts(rows.codes)
    ends = np.append(starts[1:], len(rows.codes))
    for start, end in zip(starts, ends, strict=True):
        stamps = rows.stamps[start:end].astype(float)
        if end - start < FEW:
            continue
        if stamps[-1] - stamps[-2] > stamps[-2] - stamps[0]:
            return int(end) - 1
        if stamps[1] - stamps[0] > stamps[-1] - stamps[1]:
            return int(start)
    return None


def checked(
    panel: Panel,
    gaps: np.ndarray,
    skipped: tuple[str, ...],
    notes: list[Note],
    settings: DataSettings,
    where: str,
) -> Built:
    """The panel once its missing steps are counted, or filled if that is asked for.

    gaps: (S,), steps that no row names. Raises InputError where a series has too many of them.
    """
    panel, calendar = with_calendar(panel, settings.missing != "mask", settings.holidays)
    notes += calendar
    gaps = np.maximum(gaps - never_filled(panel), 0)
    if settings.missing == "mask":
        _check_gaps(panel.ids, panel.lengths, gaps, panel.frequency, settings, where)
        if total := int(gaps.sum()):
            notes.append(_gap_note(panel, gaps, total))
    else:
        if settings.missing == "zero":
            panel = _up_to_the_end(panel, where)
        panel, note = _filled(panel, settings.missing)
        notes += note
    return Built(panel, int(gaps.sum()), skipped, tuple(notes))


def trailing_note(count: int) -> list[Note]:
    """A note on the rows after the last value of their series, or nothing."""
    if not count:
        return []
    text = f"{quantity(count, 'row')} after the last value were left out"
    return [Note("repair/trailing-blanks", text, count)]


def _observed_part(
    rows: LongRows, to_the_end: bool
) -> tuple[LongRows, tuple[str, ...], list[Note]]:
    """Rows from each series' first value to its last; series without any value are left out.

    to_the_end: blank rows up to the last value of any series are no rows after the end.
    """
    known = np.isfinite(rows.values)
    if known.all():
        return rows, (), []
    size = len(rows.ids)
    at = np.arange(len(known))
    first = np.full(size, len(known))
    last = np.full(size, -1)
    np.minimum.at(first, rows.codes[known], at[known])
    np.maximum.at(last, rows.codes[known], at[known])
    empty = last < 0
    if empty.all():
        raise refuse(
            "input/all-missing", f"column '{rows.target_name}' holds no number at all",
            where=rows.where, remedy="Choose another column with --target-col; where --rejects put "
            "cells aside, leave it out to be told why",
        )  # fmt: skip
    keep = (at >= first[rows.codes]) & (at <= last[rows.codes])
    beyond = (at > last[rows.codes]) & ~empty[rows.codes]
    if to_the_end:
        beyond &= rows.stamps > rows.stamps[known].max()
    after = int(beyond.sum())
    notes = trailing_note(after)
    skipped = tuple(str(i) for i in rows.ids[empty])
    if skipped:
        of = quantity(len(skipped), "series", "series")
        text = f"{of} without any value: nothing to learn from"
        notes.append(Note("warning/all-missing", text, len(skipped), skipped[:PLACES]))
    kept = np.flatnonzero(keep)
    rank = (np.cumsum(~empty) - 1).astype(np.int32)
    rows = rows.taken(kept)
    rows = replace(rows, ids=rows.ids[~empty], codes=rank[rows.codes])
    return rows, skipped, notes


def most_steps(rows: int) -> int:
    """Steps that so many rows may be laid out on."""
    return min(MAX_STEPS, max(FREE_STEPS, MOST_SPREAD * rows))


def _scatter(
    rows: LongRows, positions: np.ndarray, frequency: Frequency, settings: DataSettings
) -> tuple[Panel, np.ndarray]:
    """The panel, and the number of steps (S,) that no row names."""
    starts = series_starts(rows.codes)
    counts = np.diff(np.concatenate([starts, [len(positions)]]))
    first = positions[starts]
    lengths = positions[starts + counts - 1] - first + 1
    gaps = lengths - counts
    weekly = slots(frequency) and lengths.sum() < FREE_STEPS  # such gaps may be a calendar
    if settings.missing == "mask" and not weekly:  # before room is made for what may be refused
        _check_gaps(rows.ids, lengths, gaps, frequency, settings, rows.where)
    steps = int(lengths.sum())
    if steps > most_steps(len(positions)):
        raise refuse(
            "input/gaps", f"the {frequency.alias} grid would have {steps:,} steps",
            where=rows.where, remedy="Check the times, or name a coarser --resample",
        )  # fmt: skip
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] == len(positions):
        values = rows.values
    else:
        values = np.full(offsets[-1], np.nan)
        values[np.repeat(offsets[:-1] - first, counts) + positions] = rows.values
    panel = Panel(rows.ids, offsets, values, first, frequency, rows.format, rows.tz)
    return panel, gaps


def _check_gaps(
    ids: np.ndarray,
    lengths: np.ndarray,
    gaps: np.ndarray,
    frequency: Frequency,
    settings: DataSettings,
    where: str,
) -> None:
    share = gaps / lengths
    worst = int(np.argmax(share))
    if share[worst] <= settings.max_gap_share:
        return
    many = int((share > settings.max_gap_share).sum())
    raise refuse(
        "input/gaps",
        f"{share[worst]:.0%} of the {frequency.alias} steps of series "
        f"'{ids[worst]}' are missing, more than {settings.max_gap_share:.0%} allowed",
        where=where, count=many, value=f"{int(gaps[worst]):,} steps",
        remedy=_about_gaps(settings, min(1.0, math.ceil(share[worst] * 100) / 100)),
    )  # fmt: skip


def _about_gaps(settings: DataSettings, share: float) -> str:
    accept = f"--set data.max_gap_share={share:g}"
    if settings.resample:
        return f"Leave them missing with {accept}; or name a longer step with --resample"
    return (
        "If no row means zero: --missing zero; if the steps are longer: --freq or --resample; "
        f"else leave them missing with {accept}"
    )


def _gap_note(panel: Panel, gaps: np.ndarray, total: int) -> Note:
    gappy = np.flatnonzero(gaps)
    text = (
        f"{quantity(total, 'step')} without a row in {quantity(len(gappy), 'series', 'series')}: "
        "left missing, not invented"
    )
    return Note("warning/gaps", text, total, tuple(str(i) for i in panel.ids[gappy[:PLACES]]))


def _up_to_the_end(panel: Panel, where: str) -> Panel:
    """Every series to the last time of any of them: between its last row and the end of the table
    no row means zero as well. The new steps are missing."""
    lengths = (panel.first + panel.lengths).max() - panel.first
    if (lengths == panel.lengths).all():
        return panel
    steps = int(lengths.sum())
    if steps > most_steps(len(panel.values)):
        raise refuse(
            "input/gaps", f"the {panel.frequency.alias} grid would have {steps:,} steps with zeros "
            "up to the last time", where=where,
            remedy="Check the last times, or name a coarser --resample",
        )  # fmt: skip
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.full(steps, np.nan)
    shift = np.repeat(offsets[:-1] - panel.offsets[:-1], panel.lengths)
    values[shift + np.arange(len(panel.values))] = panel.values
    return replace(panel, offsets=offsets, values=values)


def _filled(panel: Panel, how: str) -> tuple[Panel, list[Note]]:
    """Missing values as zero, or as the last value before them (--missing)."""
    missing = np.isnan(panel.values)
    if not always_open(panel):
        at = np.flatnonzero(missing)
        series = np.searchsorted(panel.offsets, at, side="right") - 1
        positions = panel.first[series] + at - panel.offsets[series]
        missing[at] = is_open(panel, series, positions)
    if not missing.any():
        return panel, []
    if how == "zero":
        values = np.where(missing, 0.0, panel.values)
    else:  # every series begins with a value, so none is carried across series
        known = np.where(np.isnan(panel.values), 0, np.arange(len(missing)))
        values = np.where(missing, panel.values[np.maximum.accumulate(known)], panel.values)
    count = int(missing.sum())
    what = "zero" if how == "zero" else "the last value before them"
    note = Note("repair/filled", f"{quantity(count, 'missing step')} set to {what}", count)
    return replace(panel, values=values), [note]
