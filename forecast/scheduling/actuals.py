"""What came true: actuals of the steps that were forecast, with their revisions.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

import math
import sqlite3

import numpy as np

from forecast.data.panel import Panel
from forecast.scheduling.history import Changes, Known, compare, fingerprints
from forecast.scheduling.ledger import (
    known_history,
    moment_number,
    oldest_forecast,
    remember_history,
    series_numbers,
    transaction,
)

LOOK_BACK = 8  # horizons that are compared value for value where a series' past has moved


def notice_changes(connection: sqlite3.Connection, panel: Panel) -> Changes:
    """What is different in the past from what the last run saw; nothing is written."""
    return compare(panel, known_history(connection))


def take_in(
    connection: sqlite3.Connection, panel: Panel, changes: Changes, seen: str
) -> tuple[set[int], int]:
    """Stores new and restated actuals; doing it twice changes nothing.

    seen: when (ISO 8601). Returns the grid positions that changed and the number of restatements.
    """
    first = oldest_forecast(connection)
    with transaction(connection):
        numbers = np.array(series_numbers(connection, panel.ids.tolist()), np.int64)
        touched: set[int] = set()
        restated = 0
        if first is not None:
            since = _since(connection, panel, changes, first)
            moment = moment_number(connection, seen)
            touched, restated = _store(connection, panel, numbers, since, moment)
    return touched, restated


def remember(connection: sqlite3.Connection, panel: Panel) -> None:
    """Keeps the history as it is now, for the next run to compare with."""
    prints = fingerprints(panel, panel.first, panel.lengths)
    with transaction(connection):
        remember_history(connection, Known(panel.ids.tolist(), panel.first, panel.lengths, prints))


def _since(
    connection: sqlite3.Connection, panel: Panel, changes: Changes, first: int
) -> np.ndarray:
    """int64 (S,): the grid position from which each series is looked at.

    Where the past is as it was, only what is new, and what came after forecasts that have no score
    yet (one for an earlier as-of is made when its actuals are known); where the past was restated,
    all that was forecast.
    """
    known = known_history(connection)
    horizon = connection.execute("SELECT max(horizon) FROM runs").fetchone()[0]
    ends = dict(zip(known.ids, (known.first + known.length).tolist(), strict=True))
    start = first + 1
    since = np.array([max(start, ends.get(i, start)) for i in panel.ids.tolist()], np.int64)
    unscored = oldest_forecast(connection, unscored=True)
    if unscored is not None:
        since = np.minimum(since, unscored + 1)
    since[changes.restated] = start
    recent = (panel.first + panel.lengths)[changes.moved] - LOOK_BACK * horizon
    since[changes.moved] = np.minimum(since[changes.moved], np.maximum(recent, start))
    return since


def _store(
    connection: sqlite3.Connection, panel: Panel, numbers: np.ndarray, since: np.ndarray, seen: int
) -> tuple[set[int], int]:
    ends = panel.first + panel.lengths
    counts = np.maximum(ends - np.maximum(since, panel.first), 0)
    series = np.repeat(np.arange(panel.size), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.repeat(ends - counts, counts) + within
    values = panel.values[panel.offsets[:-1][series] + place - panel.first[series]]
    keys = list(zip(place.tolist(), numbers[series].tolist(), strict=True))
    before = _before(connection, keys, place)
    fresh, changed = [], []
    for key, value in zip(keys, values.tolist(), strict=True):
        old = before.get(key)
        if old is None:
            if not math.isnan(value):
                fresh.append((*key, value, 0, seen))
        elif not _alike(old[0], value):
            changed.append((key, old, None if math.isnan(value) else value))
    connection.executemany("INSERT INTO actuals VALUES (?, ?, ?, ?, ?)", fresh)
    connection.executemany(
        "INSERT INTO restated (position, series, value, revision, seen) VALUES (?, ?, ?, ?, ?)",
        ((*key, *old) for key, old, _ in changed),
    )
    connection.executemany(
        "UPDATE actuals SET value = ?, revision = ?, seen = ? WHERE position = ? AND series = ?",
        ((value, old[1] + 1, seen, *key) for key, old, value in changed),
    )
    return {row[0] for row in fresh} | {key[0] for key, _, _ in changed}, len(changed)


Key = tuple[int, int]  # grid position, number of the series
Old = tuple[float | None, int, int]


def _before(connection: sqlite3.Connection, keys: list[Key], place: np.ndarray) -> dict[Key, Old]:
    """(value, revision, number of the moment) of what is stored for `keys`."""
    if not keys:
        return {}
    wanted = {number for _, number in keys}
    rows = connection.execute(
        "SELECT position, series, value, revision, seen FROM actuals WHERE position >= ?",
        (int(place.min()),),
    )
    return {(p, s): (value, n, seen) for p, s, value, n, seen in rows if s in wanted}


def _alike(old: float | None, new: float) -> bool:
    return old == new or (old is None and math.isnan(new))
