"""Sorted rows laid on one grid in time: the frequency, the gaps, the panel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.errors import InputError
from forecast.frequency import Frequency, infer_frequency, parse_frequency
from forecast.panel.data import Panel
from forecast.panel.order import aggregate, in_order, place, without_duplicates, written
from forecast.panel.rows import LongRows
from forecast.tables.notes import PLACES, Note, listed, quantity, refuse

if TYPE_CHECKING:
    from forecast.config import DataSettings

MAX_STEPS = 2_000_000_000  # more grid steps than this is a wrong frequency, not a data set


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
        rows = _kept_order(rows, order)
        rows, more = _resampled(rows, settings)
    else:
        rows, more = without_duplicates(rows, order, settings.duplicates)
    notes += more
    rows, skipped, more = _observed_part(rows)
    notes += more
    frequency = find_frequency(rows, settings)
    positions = _positions(rows, frequency)
    _check_same_frequency(rows, positions, frequency, settings)
    panel, gaps = _scatter(rows, positions, frequency)
    if settings.missing == "mask":
        _check_gaps(panel, gaps, settings)
        if total := int(gaps.sum()):
            notes.append(_gap_note(panel, gaps, total))
    else:
        panel, note = _filled(panel, settings.missing)
        notes += note
    return Built(panel, int(gaps.sum()), skipped, tuple(notes))


def _kept_order(rows: LongRows, order: np.ndarray | None) -> LongRows:
    if order is None:
        return rows
    return rows.taken(order)


def _resampled(rows: LongRows, settings: DataSettings) -> tuple[LongRows, list[Note]]:
    """Rows brought to the grid --resample names: each period's values joined by --agg."""
    grid = _named_frequency(settings.resample or "", rows, "--resample")
    if rows.integer:
        grid = Frequency(grid.alias, True) if grid.alias.isdigit() else grid
    grid = replace(grid, phase=0)
    positions, _ = grid.locate(rows.stamps)
    change = (rows.codes[1:] != rows.codes[:-1]) | (positions[1:] != positions[:-1])
    starts = np.flatnonzero(np.concatenate([[True], change]))
    stamps = grid.stamps(positions[starts]).astype(np.int64)
    values = aggregate(rows.values, starts, settings.agg)
    text = (
        f"{quantity(len(rows.codes), 'row')} became {len(starts):,} on the {grid.alias} grid "
        f"by their {settings.agg}"
    )
    joined = replace(rows.taken(starts), stamps=stamps, values=values)
    return joined, [Note("repair/resampled", text, len(rows.codes) - len(starts))]


def _observed_part(rows: LongRows) -> tuple[LongRows, tuple[str, ...], list[Note]]:
    """Rows from each series' first value to its last; series without any value are left out."""
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
            where=rows.where, remedy="Choose another column with --target-col",
        )  # fmt: skip
    keep = (at >= first[rows.codes]) & (at <= last[rows.codes])
    after = int((at > last[rows.codes])[~empty[rows.codes]].sum())
    notes = []
    if after:
        text = f"{quantity(after, 'row')} after the last value were left out"
        notes.append(Note("repair/trailing-blanks", text, after))
    skipped = tuple(str(i) for i in rows.ids[empty])
    if skipped:
        text = f"{quantity(len(skipped), 'series', 'series')} without any value: skipped"
        notes.append(Note("warning/all-missing", text, len(skipped), skipped[:PLACES]))
    kept = np.flatnonzero(keep)
    rank = np.cumsum(~empty) - 1
    rows = rows.taken(kept)
    rows = replace(rows, ids=rows.ids[~empty], codes=rank[rows.codes])
    return rows, skipped, notes


def _named_frequency(text: str, rows: LongRows, flag: str) -> Frequency:
    try:
        return parse_frequency(text, rows.stamps, rows.integer)
    except ValueError:
        raise refuse(
            "input/frequency-name", f"{flag} does not name a frequency", where=rows.where,
            value=text, remedy="Use an alias such as h, 30min, D, B, W, MS, QS or YS",
        ) from None  # fmt: skip


def find_frequency(rows: LongRows, settings: DataSettings) -> Frequency:
    """The one frequency of sorted rows: --resample, --freq, or what their steps show."""
    starts = _starts(rows.codes)
    if settings.resample:
        named = _named_frequency(settings.resample, rows, "--resample")
        return replace(named, phase=0)
    if settings.freq and not (rows.integer and settings.freq.isdigit()):
        frequency = _named_frequency(settings.freq, rows, "--freq")
        if rows.integer:
            shown = infer_frequency(rows.stamps, starts, True)
            if shown is None:
                raise _irregular(rows)
            frequency = replace(frequency, stride=int(shown.alias), phase=shown.phase)
        return frequency
    if settings.freq:
        return _named_frequency(settings.freq, rows, "--freq")
    if len(starts) == len(rows.codes):
        raise refuse(
            "input/too-few-rows", "no series has two times, so the frequency cannot be seen",
            where=rows.where,
            remedy="Name it with --freq, or check which column names the series (--id-col)",
        )  # fmt: skip
    found = infer_frequency(rows.stamps, starts, rows.integer)
    if found is None:
        raise _irregular(rows)
    return found


def _starts(codes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


def _irregular(rows: LongRows) -> InputError:
    steps = np.diff(rows.stamps)[rows.codes[1:] == rows.codes[:-1]]
    usual = float(np.median(steps))
    if rows.integer:
        near, unit = str(int(usual)), "integers"
    else:
        near, unit = _nearest_alias(usual), "times"
    places = []
    odd = np.flatnonzero((rows.codes[1:] == rows.codes[:-1]) & (np.diff(rows.stamps) != usual))
    places = [place(rows, int(r) + 1) for r in odd[:PLACES]]
    return refuse(
        "input/irregular-times", f"the {unit} in column '{rows.time_name}' follow no regular step",
        where=rows.where, places=places, count=len(odd),
        remedy=f"Bring them to one, e.g. --resample {near} --agg mean",
    )  # fmt: skip


def _nearest_alias(nanoseconds: float) -> str:
    aliases = {
        "s": 1, "min": 60, "5min": 300, "10min": 600, "15min": 900, "30min": 1800, "h": 3600,
        "D": 86_400, "W": 604_800, "MS": 2_629_746, "QS": 7_889_238, "YS": 31_556_952,
    }  # fmt: skip
    return min(aliases, key=lambda a: abs(np.log(max(nanoseconds, 1) / 1e9 / aliases[a])))


def _positions(rows: LongRows, frequency: Frequency) -> np.ndarray:
    """Grid positions of all rows. Raises InputError naming the rows that are off the grid."""
    stamps = rows.stamps if rows.integer else rows.stamps.astype("M8[ns]")
    positions, fits = frequency.locate(stamps)
    if fits.all():
        return positions
    stray = np.flatnonzero(~fits)
    series = np.unique(rows.codes[stray])
    if len(rows.ids) > 1 and len(series) < len(rows.ids) and not _mixed_within(rows, fits):
        raise _differs(rows, series, frequency, "lie off its grid")
    raise refuse(
        "input/irregular-times",
        f"times in column '{rows.time_name}' are not on the {frequency.alias} grid",
        where=rows.where, value=written(rows, int(rows.stamps[stray[0]])), count=len(stray),
        places=[place(rows, int(r)) for r in stray[:PLACES]],
        remedy=f"Correct them, or bring them to the grid with --resample {frequency.alias}",
    )  # fmt: skip


def _mixed_within(rows: LongRows, fits: np.ndarray) -> bool:
    """Whether some series has times both on and off the grid."""
    on = np.bincount(rows.codes[fits], minlength=len(rows.ids))
    off = np.bincount(rows.codes[~fits], minlength=len(rows.ids))
    return bool(((on > 1) & (off > 0)).any())


def _differs(rows: LongRows, series: np.ndarray, frequency: Frequency, how: str) -> InputError:
    return refuse(
        "input/mixed-frequency",
        f"most series have the frequency {frequency.alias}, but {len(series):,} of "
        f"{len(rows.ids):,} {how}: {listed(rows.ids[series].tolist(), 3)}",
        where=rows.where,
        remedy="Forecast them from files of their own, or bring all to one with --resample",
    )  # fmt: skip


def _check_same_frequency(
    rows: LongRows, positions: np.ndarray, frequency: Frequency, settings: DataSettings
) -> None:
    """Refuse series that use only every k-th step of the grid: they have another frequency."""
    if settings.freq or settings.resample or len(rows.ids) < 2:
        return
    starts = _starts(rows.codes)
    counts = np.diff(np.concatenate([starts, [len(positions)]]))
    spans = positions[starts + counts - 1] - positions[starts]
    gappy = np.flatnonzero((spans + 1 > counts) & (counts >= 4))
    coarse = []
    for s in gappy[spans[gappy] >= 2 * (counts[gappy] - 1)]:
        steps = np.diff(positions[starts[s] : starts[s] + counts[s]])
        if np.gcd.reduce(steps) > 1:
            coarse.append(s)
    if coarse:
        raise _differs(rows, rows.codes[starts[coarse]], frequency, "have longer steps")


def _scatter(
    rows: LongRows, positions: np.ndarray, frequency: Frequency
) -> tuple[Panel, np.ndarray]:
    """The panel, and the number of steps (S,) that no row names."""
    starts = _starts(rows.codes)
    counts = np.diff(np.concatenate([starts, [len(positions)]]))
    first = positions[starts]
    lengths = positions[starts + counts - 1] - first + 1
    if int(lengths.sum()) > MAX_STEPS:
        raise refuse(
            "input/gaps", f"the {frequency.alias} grid would have {int(lengths.sum()):,} steps",
            where=rows.where, remedy="Check the times, or name a coarser --resample",
        )  # fmt: skip
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] == len(positions):
        values = rows.values
    else:
        values = np.full(offsets[-1], np.nan)
        values[np.repeat(offsets[:-1] - first, counts) + positions] = rows.values
    panel = Panel(rows.ids, offsets, values, first, frequency, rows.format, rows.tz)
    return panel, lengths - counts


def _check_gaps(panel: Panel, gaps: np.ndarray, settings: DataSettings) -> None:
    share = gaps / panel.lengths
    worst = int(np.argmax(share))
    if share[worst] <= settings.max_gap_share:
        return
    many = int((share > settings.max_gap_share).sum())
    raise refuse(
        "input/gaps",
        f"{share[worst]:.0%} of the {panel.frequency.alias} steps of series "
        f"'{panel.ids[worst]}' are missing, more than {settings.max_gap_share:.0%} allowed",
        count=many, value=int(gaps[worst]),
        remedy="If no row means zero: --missing zero; if the steps are longer: --freq or "
        "--resample; else raise --max-gap-share",
    )  # fmt: skip


def _gap_note(panel: Panel, gaps: np.ndarray, total: int) -> Note:
    gappy = np.flatnonzero(gaps)
    text = (
        f"{quantity(total, 'step')} without a row in {quantity(len(gappy), 'series', 'series')}: "
        "left missing, not invented"
    )
    return Note("warning/gaps", text, total, tuple(str(i) for i in panel.ids[gappy[:PLACES]]))


def _filled(panel: Panel, how: str) -> tuple[Panel, list[Note]]:
    """Missing values as zero, or as the last value before them (--missing)."""
    missing = np.isnan(panel.values)
    if not missing.any():
        return panel, []
    if how == "zero":
        values = np.where(missing, 0.0, panel.values)
    else:  # every series begins with a value, so none is carried across series
        values = panel.values[np.maximum.accumulate(np.where(missing, 0, np.arange(len(missing))))]
    count = int(missing.sum())
    what = "zero" if how == "zero" else "the last value before them"
    note = Note("repair/filled", f"{quantity(count, 'missing step')} set to {what}", count)
    return replace(panel, values=values), [note]
