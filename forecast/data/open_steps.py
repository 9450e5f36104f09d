"""Steps of the grid that never are: days and hours on which a series never has a value, holidays
on which none has one, and the hour that summer time skips. They are no gaps, are not filled and
not forecast. And those on which a series is always zero.

Axes: S series, K slots: the steps of one week (7 days, 5 business days, 168 hours, ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.frequency import DAY, Frequency
from forecast.data.io.notes import Note, listed, quantity
from forecast.data.io.timestamp_writing import clock_of, instants, is_region
from forecast.data.public_holidays import is_exchange, public_holidays

if TYPE_CHECKING:
    from forecast.data.panel import Panel

CHANCE = 1e-3  # chance that a slot is empty by accident, below which it is taken to be shut
CERTAIN = 1e-6  # the same where every week has a value, and it is zero
LEAST_SHARE = 0.02  # of steps that are taken to be missing by accident in any series
WEEKS = 3  # in which a slot must have been empty, at least; two where it is at a weekend
WEEKS_OF_ZEROS = 4  # at least, before a slot is taken to stay at zero
MOST_CELLS = 20_000_000  # S * K beyond which all series share one calendar
PIECE = 2_000_000  # steps that are looked at together
DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def slots(frequency: Frequency) -> int:
    """K, the steps of one week; 0 where weeks are no whole number of steps, or of one."""
    if frequency.integer:
        return 0
    multiple, unit, _ = frequency.parts
    if unit in ("D", "B") and multiple == 1:
        return 7 if unit == "D" else 5
    per_day = frequency.steps_per_day
    return 7 * per_day if per_day and per_day <= 1440 else 0


def shut_slots(panel: Panel, shared: bool) -> np.ndarray | None:
    """bool (1, K) or (S, K): slots on which no series, or this series, ever has a value.

    shared: only what all series have in common. None: there is no such slot, or no week.
    """
    count = slots(panel.frequency)
    if not count or len(panel.values) < 2 * count or np.isfinite(panel.values).all():
        return None
    seen, possible = _tally_of_all(panel, count)
    common = _shut(seen, possible, panel.frequency, count)
    if shared or panel.size == 1 or panel.size * count > MOST_CELLS:
        return common if common.any() else None
    seen, possible = _tally(panel, count)
    own = _shut(seen, possible, panel.frequency, count) | common
    return own if own.any() else None


def zero_slots(panel: Panel) -> np.ndarray | None:
    """bool (S, K): slots on which this series is always zero, more often than by chance: a shop
    that writes 0 on Sundays. None: there is none, or no week.

    Of each series by its own values alone, so that it does not matter beside which it stands.
    """
    count = slots(panel.frequency)
    if not count or not (panel.values == 0).any():
        return None
    always = np.zeros((panel.size, count), bool)
    for owner, positions, values in _pieces(panel):
        zero = values == 0
        if not zero.any():
            continue
        first, last = owner[0], owner[-1] + 1
        cell, cells = (owner - first) * count + positions % count, (last - first) * count
        known = np.bincount(cell[np.isfinite(values)], minlength=cells).reshape(-1, count)
        other = known - np.bincount(cell[zero], minlength=cells).reshape(-1, count)
        found = _shut(other, known, panel.frequency, count, CERTAIN)
        enough = panel.lengths[first:last] >= WEEKS_OF_ZEROS * count
        always[first:last] = found & enough[:, None]
    return always if always.any() else None


def _tally_of_all(panel: Panel, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of all series together: a time counts once, whichever of them has a value."""
    first = int(panel.first.min())
    span = int((panel.first + panel.lengths).max()) - first
    some = np.zeros(span, bool)
    for _, positions, values in _pieces(panel):
        some[positions[np.isfinite(values)] - first] = True
    slot = (first + np.arange(span)) % count
    seen, possible = np.bincount(slot[some], minlength=count), np.bincount(slot, minlength=count)
    return seen[None, :], possible[None, :]


def _tally(panel: Panel, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each slot (S, K) has a value, and how often it could have one."""
    cells = panel.size * count
    seen, possible = np.zeros((2, cells), np.int64)
    for owner, positions, values in _pieces(panel):
        cell = owner * count + positions % count
        possible += np.bincount(cell, minlength=cells)
        seen += np.bincount(cell[np.isfinite(values)], minlength=cells)
    return seen.reshape(-1, count), possible.reshape(-1, count)


def _pieces(panel: Panel) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Series, grid position and value of all steps, about PIECE of them at a time."""
    edges = np.searchsorted(panel.offsets, np.arange(0, len(panel.values), PIECE))
    edges = np.unique([0, *edges, panel.size])
    for first, last in pairwise(edges.tolist()):
        lengths = panel.lengths[first:last]
        begin = panel.offsets[first]
        within = np.arange(lengths.sum()) - np.repeat(panel.offsets[first:last] - begin, lengths)
        owner = np.repeat(np.arange(first, last), lengths)
        positions = np.repeat(panel.first[first:last], lengths) + within
        yield owner, positions, panel.values[begin : panel.offsets[last]]


def _shut(
    seen: np.ndarray,
    possible: np.ndarray,
    frequency: Frequency,
    count: int,
    chance: float = CHANCE,
) -> np.ndarray:
    """Slots (rows, K) without a value, more often than chance would have it."""
    empty = seen == 0
    used = np.where(empty, 0, possible).sum(1)
    share = 1 - seen.sum(1) / np.maximum(used, 1)
    share = np.maximum(share, LEAST_SHARE)[:, None]

    days, _ = _slot_times(frequency, count)
    least = np.where(days >= 5, WEEKS - 1, WEEKS)

    def by_accident(times: np.ndarray) -> np.ndarray:
        return (times < WEEKS) | (share**times > chance)

    shut = empty & (possible >= least) & (share**possible <= chance)
    per_day = frequency.steps_per_day
    if per_day:  # hours of the day, and days of the week, that are empty throughout
        parts = (len(seen), count // per_day, per_day)
        for axis in (1, 2):
            none = empty.reshape(parts).all(axis, keepdims=True)
            times = possible.reshape(parts)
            times = times.sum(1, keepdims=True) if axis == 1 else times.max(2, keepdims=True)
            dull = none & ~by_accident(times.reshape(len(seen), -1)).reshape(times.shape)
            shut |= np.broadcast_to(dull, parts).reshape(shut.shape)
    return shut & (seen.sum(1) > 0)[:, None]


def is_open(panel: Panel, series: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """bool: grid `positions` at which the `series` (same shape) may have values."""
    there = ~skipped(panel.frequency, panel.tz, positions)
    if panel.shut is not None:
        row = series if len(panel.shut) > 1 else np.zeros_like(series)
        there &= ~panel.shut[row, positions % panel.shut.shape[1]]
    if panel.closed:
        there &= ~closed_at(panel, positions)
    return there


def open_steps_of_day(panel: Panel) -> int:
    """The most steps of one weekday on which any series may have values; sub-daily data only."""
    per_day = panel.frequency.steps_per_day
    assert per_day is not None
    if panel.shut is None or panel.shut.shape[1] % per_day:
        return per_day
    return int((~panel.shut).reshape(len(panel.shut), -1, per_day).sum(axis=2).max())


def always_open(panel: Panel) -> bool:
    """Whether every step of the grid may have a value, and comes once."""
    return panel.shut is None and not panel.closed and not _changes(panel.frequency, panel.tz)


def closed_at(panel: Panel, positions: np.ndarray) -> np.ndarray:
    """bool: grid `positions` that lie on a holiday on which the panel is closed."""
    return _rests(panel, panel.closed, positions)


def _rests(panel: Panel, places: tuple[str, ...], positions: np.ndarray) -> np.ndarray:
    """bool: grid `positions` on holidays of `places`."""
    if not places or not positions.size:
        return np.zeros(positions.shape, bool)
    days = panel.frequency.stamps(positions).astype("M8[ns]").astype(np.int64) // DAY
    return np.asarray(np.isin(days, public_holidays(places, days)))


def closing_places(panel: Panel, places: tuple[str, ...]) -> tuple[tuple[str, ...], list[Note]]:
    """Those of `places` on whose holidays no series ever has a value, and notes.

    Of an exchange a history without any holiday is no evidence against it; a country's holidays
    must have been WEEKS days without a value that would else be there.
    """
    if not places or not slots(panel.frequency):
        return (), []
    first, last = int(panel.first.min()), int((panel.first + panel.lengths).max())
    span = np.arange(first, last)
    seen = np.zeros(len(span), bool)
    for _, positions, values in _pieces(panel):
        seen[positions[np.isfinite(values)] - first] = True
    usual = np.ones(len(span), bool)
    if panel.shut is not None:
        usual = np.asarray((~panel.shut).any(0))[span % panel.shut.shape[1]]
    stamps = panel.frequency.stamps(span).astype("M8[ns]").astype(np.int64) // DAY
    found, notes = [], []
    for place in places:
        rests = _rests(panel, (place,), span) & usual
        days, worked = len(np.unique(stamps[rests])), len(np.unique(stamps[rests & seen]))
        if not worked and days >= (0 if is_exchange(place) else WEEKS):
            found.append(place)
            text = f"no value ever falls on the holidays of {place}"
            text = f"{text}: such steps are no gaps and are not forecast"
            notes.append(Note("repair/calendar", text, days))
        elif worked and is_exchange(place):
            text = f"values fall on {worked} of {days} days on which {place} is closed"
            notes.append(Note("warning/closed-days", f"{text}: these are forecast as well", worked))
    return tuple(found), notes


def skipped(frequency: Frequency, tz: str | None, positions: np.ndarray) -> np.ndarray:
    """bool: steps that the clock of `tz` jumps over when summer time begins."""
    if not _changes(frequency, tz):
        return np.zeros(positions.shape, bool)
    distinct, inverse = np.unique(positions, return_inverse=True)
    wall = frequency.stamps(distinct).astype(np.int64)
    return (clock_of(instants(wall, tz or ""), tz or "") != wall)[inverse].reshape(positions.shape)


def as_read(panel: Panel) -> np.ndarray:
    """The values (N,) as forecasters read them: the hour that the clock skips goes on as the one
    before it.

    It is no step, but stands in every day's means and seasons; left out, the level of its day is
    that of the other hours, and the forecast of the next day is off by as much. The value before
    it, not a mean with the one after: nothing after an origin is seen.
    """
    if not _changes(panel.frequency, panel.tz):
        return panel.values
    at = np.flatnonzero(np.isnan(panel.values))
    owner = np.searchsorted(panel.offsets, at, side="right") - 1
    within = at - panel.offsets[owner]
    jumped = skipped(panel.frequency, panel.tz, panel.first[owner] + within) & (within > 0)
    if not jumped.any():
        return panel.values
    values = panel.values.copy()
    for n in at[jumped].tolist():  # a quarter of an hour goes on from the quarter before it
        values[n] = values[n - 1]
    return values


def repeated(frequency: Frequency, tz: str | None, positions: np.ndarray) -> np.ndarray:
    """bool: steps that come twice on the clock of `tz` when summer time ends."""
    if not _changes(frequency, tz):
        return np.zeros(positions.shape, bool)
    distinct, inverse = np.unique(positions, return_inverse=True)
    wall = frequency.stamps(distinct).astype(np.int64)
    twice = instants(wall, tz or "") != instants(wall, tz or "", np.ones(len(wall), bool))
    twice &= ~(clock_of(instants(wall, tz or ""), tz or "") != wall)
    return twice[inverse].reshape(positions.shape)


def _changes(frequency: Frequency, tz: str | None) -> bool:
    """Whether the grid goes by a clock that is put forward and back."""
    return of_hours(frequency) and is_region(tz)


def of_hours(frequency: Frequency) -> bool:
    """Whether a step is hours long or less, so that its time is one of a clock."""
    return not frequency.integer and frequency.parts[1] in ("h", "min", "s", "ms", "us", "ns")


def reach(panel: Panel, origins: np.ndarray, horizon: int) -> int:
    """Steps of the grid after `origins` (S,) in which every series has `horizon` that there are.

    What never is is passed over: two steps after a Saturday are Monday and Tuesday where Sundays
    are shut. An hour that comes twice is one step.
    """
    if horizon < 1 or always_open(panel):
        return horizon
    most, longest = most_steps(panel, horizon), horizon
    for rows in _some_rows(panel, most):
        there = _there(panel, rows, origins, most)
        longest = max(longest, int((there.cumsum(1) < horizon).sum(1).max()) + 1)
    return longest


def rows_ahead(
    panel: Panel, kept: np.ndarray, origins: np.ndarray, steps: int, most: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The rows of a table of forecasts: index into `kept` (R,), step after the origin, and whether
    it is the later time of a step whose hour comes twice (None: no clock is put back).

    kept: positions of series; most: so many steps that there are, of the `steps` of the grid.
    """
    if always_open(panel):
        count = min(steps, most or steps)
        series = np.repeat(np.arange(len(kept)), count)
        return series, np.tile(np.arange(count), len(kept)), None
    parts = []
    for rows in np.array_split(np.arange(len(kept)), max(1, len(kept) * steps // 5_000_000)):
        there = _there(panel, kept[rows], origins, steps)
        there &= there.cumsum(1) <= (most or steps)
        row, step = np.nonzero(there)
        at = (panel.first + origins)[kept[rows][row]] + step
        times = 1 + repeated(panel.frequency, panel.tz, at)
        series, step = np.repeat(rows[row], times), np.repeat(step, times)
        second = np.zeros(len(step), bool)
        second[1:] = (series[1:] == series[:-1]) & (step[1:] == step[:-1])
        parts.append((series, step, second))
    series, step, second = (np.concatenate(p) for p in zip(*parts, strict=True))
    return series, step, second


def _there(panel: Panel, rows: np.ndarray, origins: np.ndarray, steps: int) -> np.ndarray:
    return open_ahead(panel, rows, origins[rows], steps)


def open_ahead(panel: Panel, rows: np.ndarray, origins: np.ndarray, steps: int) -> np.ndarray:
    """bool (R, steps): the steps after `origins` (R,) of the series `rows` (R,) that there are."""
    at = (panel.first[rows] + origins)[:, None] + np.arange(steps)
    return is_open(panel, np.broadcast_to(rows[:, None], at.shape), at)


def _some_rows(panel: Panel, steps: int) -> list[np.ndarray]:
    return np.array_split(np.arange(panel.size), max(1, panel.size * steps // 5_000_000))


def most_steps(panel: Panel, horizon: int) -> int:
    """Steps of the grid in which `horizon` open ones are sure to lie."""
    if always_open(panel):
        return horizon
    most = horizon
    if panel.shut is not None:
        count = panel.shut.shape[1]
        open_ = max(1, int((~panel.shut).sum(1).min()))
        most = (horizon // open_ + 2) * count
    if panel.closed:  # at most three weeks on end, and a day in five
        most += most // 4 + 3 * slots(panel.frequency)
    return most + 8 * (panel.frequency.steps_per_day or 0) // 24 + 8


def never_filled(panel: Panel) -> np.ndarray:
    """int64 (S,): steps inside each series that never are."""
    if always_open(panel):
        return np.zeros(panel.size, np.int64)
    never = np.zeros(panel.size, np.int64)
    for owner, positions, values in _pieces(panel):
        closed = ~np.isfinite(values)
        closed[closed] = ~is_open(panel, owner[closed], positions[closed])
        never += np.bincount(owner[closed], minlength=panel.size)
    return never


def with_calendar(
    panel: Panel, shared: bool, places: tuple[str, ...] = ()
) -> tuple[Panel, list[Note]]:
    """The panel that knows the days and hours on which there never is a value, and notes.

    places: countries and exchanges whose holidays may be such days. Raises UsageError for one that
    is not known.
    """
    panel, notes = _with_slots(panel, shared)
    closed, more = closing_places(panel, places)
    return replace(panel, closed=closed), notes + more


def _with_slots(panel: Panel, shared: bool) -> tuple[Panel, list[Note]]:
    """The panel that knows its weekly hours."""
    notes = []
    shut, zero = shut_slots(panel, shared), zero_slots(panel)
    if shut is not None:
        notes.append(
            _note_of_slots(
                panel,
                shut,
                code="repair/calendar",
                what="no value ever falls on {}",
                end="such steps are no gaps and are not forecast",
            )
        )
        panel = replace(panel, shut=shut)
    if zero is not None:
        notes.append(
            _note_of_slots(
                panel,
                zero,
                code="repair/zero-days",
                what="{} are always 0",
                end="they are forecast as 0",
            )
        )
    return panel, notes


def _note_of_slots(panel: Panel, found: np.ndarray, *, code: str, what: str, end: str) -> Note:
    """A note of slots (1, K) or (S, K); what: in words, with {} for the slots."""
    some = found.any(1)
    shown = np.flatnonzero(some)[:3]
    text = what.format(describe_shut(found[shown[0]], panel.frequency))
    if len(found) > 1 and not (found == found[0]).all():
        text = f"in {quantity(int(some.sum()), 'series', 'series')} {text}"
    names = tuple(str(i) for i in panel.ids[shown]) if len(found) > 1 else ()
    return Note(code, f"{text}: {end}", int(some.sum()), names)


def describe_shut(shut: np.ndarray, frequency: Frequency) -> str:
    """`Sundays`, or `Saturdays, Sundays and times but 08:00 to 17:00`, of slots (K,)."""
    days, clocks = _slot_times(frequency, len(shut))
    whole = [d for d in range(7) if (days == d).any() and shut[days == d].all()]
    words = [listed([DAYS[d] for d in whole], 7)] if whole else []
    rest = ~np.isin(days, whole)
    if (shut & rest).any():
        used = np.unique(clocks[rest & ~shut])
        first, last = (f"{t // 3600:02d}:{t % 3600 // 60:02d}" for t in (used[0], used[-1]))
        words.append(f"times but {first} to {last}" if len(used) > 1 else f"times but {first}")
    return " and ".join(words)


def _slot_times(frequency: Frequency, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Weekday (0 is Monday) and second of the day of each slot (K,)."""
    stamps = frequency.stamps(np.arange(count)).astype("M8[ns]").astype(np.int64)
    return (stamps // DAY + 3) % 7, stamps % DAY // 10**9
