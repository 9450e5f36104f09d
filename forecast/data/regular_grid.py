"""The one regular step of sorted rows, their positions on it, and refusals where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.frequency import Frequency, infer_frequency, parse_frequency
from forecast.data.io.notes import PLACES, listed, refuse
from forecast.data.rows import LongRows
from forecast.data.sort_rows import place, written

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

LOOKED = 1_000  # series whose own frequency a message names


def named_frequency(text: str, rows: LongRows, flag: str) -> Frequency:
    try:
        return parse_frequency(text, rows.stamps, rows.integer)
    except ValueError:
        raise refuse(
            "input/frequency-name", f"{flag} does not name a frequency", where=rows.where,
            value=text, remedy="Use an alias such as h, 30min, D, B, W, MS, QS or YS",
        ) from None  # fmt: skip


def find_frequency(rows: LongRows, settings: DataSettings) -> Frequency:
    """The one frequency of sorted rows: --resample, --freq, or what their steps show."""
    starts = series_starts(rows.codes)
    if settings.resample:
        named = named_frequency(settings.resample, rows, "--resample")
        return replace(named, phase=0)
    if settings.freq and not (rows.integer and settings.freq.isdigit()):
        frequency = named_frequency(settings.freq, rows, "--freq")
        if rows.integer:
            shown = infer_frequency(rows.stamps, starts, True)
            if shown is None:
                raise _irregular(rows)
            frequency = replace(frequency, stride=int(shown.alias), phase=shown.phase)
        return frequency
    if settings.freq:
        return named_frequency(settings.freq, rows, "--freq")
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


def series_starts(codes: np.ndarray) -> np.ndarray:
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


def grid_positions(rows: LongRows, frequency: Frequency) -> np.ndarray:
    """Grid positions of all rows. Raises InputError naming the rows that are off the grid."""
    stamps = rows.stamps if rows.integer else rows.stamps.view("M8[ns]")
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
        f"{len(rows.ids):,} {how}: {_by_frequency(rows, series)}",
        where=rows.where,
        remedy="Forecast them from files of their own, or bring all to one with --resample",
    )  # fmt: skip


def _by_frequency(rows: LongRows, series: np.ndarray) -> str:
    """`2 W-MON (c, d), 1 MS (e)`: the frequencies of some series, by the first LOOKED of them."""
    edges = np.append(series_starts(rows.codes), len(rows.codes))
    at = np.searchsorted(rows.codes[edges[:-1]], series[:LOOKED])
    groups: dict[str, list[str]] = {}
    for s, start, end in zip(series, edges[at], edges[at + 1], strict=False):
        found = infer_frequency(rows.stamps[start:end], np.zeros(1, np.int64), rows.integer)
        alias = found.alias if found else "without a regular step"
        groups.setdefault(alias, []).append(str(rows.ids[s]))
    largest = sorted(groups.items(), key=lambda g: -len(g[1]))
    words = [f"{len(ids)} {alias} ({listed(ids, PLACES)})" for alias, ids in largest[:PLACES]]
    more = [f"{len(largest) - PLACES} other frequencies"] if len(largest) > PLACES else []
    left = [f"{len(series) - LOOKED:,} not looked at"] if len(series) > LOOKED else []
    return ", ".join(words + more + left)


def check_same_frequency(
    rows: LongRows, positions: np.ndarray, frequency: Frequency, settings: DataSettings
) -> None:
    """Refuse series that use only every k-th step of the grid: they have another frequency."""
    if settings.freq or settings.resample or len(rows.ids) < 2:
        return
    starts = series_starts(rows.codes)
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
