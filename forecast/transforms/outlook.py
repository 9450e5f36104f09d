"""Covariates of the steps to come: own events as columns, and outlooks that end too early.

Axes: S series, M rows of all series on the grid, steps to come among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import last_known, positions
from forecast.config.schema import DataSettings
from forecast.data.io.arrow import as_strings
from forecast.data.io.table import read_plain
from forecast.data.io.timestamps import day_first, parse_times
from forecast.data.io.values import texts_of
from forecast.data.panel import EVENT, FUTURE, STATIC, Covariate, Covariates, Panel, check_ahead

MOST_DAYS = 3660  # that may count before and after an event
AHEAD = 400  # steps to come that events are known for, where no horizon is given
IDS, DATES = ("unique_id", "id", "ids", "series"), ("date", "day", "ds", "start", "from")
ENDS, NAMES = ("end", "until", "to"), ("name", "event", "holiday")


@dataclass(frozen=True)
class Event:
    """A named event from day `first` to day `last` (datetime64[D]); series: its id, "" for all."""

    name: str
    first: np.datetime64
    last: np.datetime64
    series: str = ""


def read_events(path: str, settings: DataSettings, time_format: str = "") -> list[Event]:
    """The events of a table: date (or start and end), name, and if they are there id, before, after
    (days that count as well). Dates that could be day first or month first are read as those of
    the data, whose `time_format` is given. Raises InputError: no such column, no date, an end
    before its start.
    """
    table = read_plain(path, settings)
    by_key = {name.strip().lower(): name for name in table.columns}

    def texts(keys: Sequence[str]) -> list[str] | None:
        found = next((by_key[key] for key in keys if key in by_key), None)
        return None if found is None else [t.strip() for t in texts_of(table.columns[found])]

    dates, names = texts(DATES), texts(NAMES)
    if dates is None or names is None:
        raise InputError(
            "a table of events needs a date and a name",
            code="input/events-columns",
            where=path,
            value=", ".join(table.columns),
            remedy="Columns: date (or start,end), name, and if wanted id, before, after (days)",
        )
    size = len(dates)
    ends = texts(ENDS) or [""] * size
    ids, before, after = (texts(k) or [""] * size for k in (IDS, ("before",), ("after",)))
    places = [f"{path}, {place}" for place in table.locate(list(range(size)))]
    lasts = [end or date for date, end in zip(dates, ends, strict=True)]
    days = _days_written([*dates, *lasts], places * 2, settings, time_format)
    made = []
    for row, (first, last) in enumerate(zip(days[:size], days[size:], strict=True)):
        if last < first:
            raise _wrong(places[row], ends[row], "an event ends before it begins")
        first -= np.timedelta64(_count_of_days(before[row], places[row]), "D")
        last += np.timedelta64(_count_of_days(after[row], places[row]), "D")
        made.append(Event(names[row], first, last, ids[row]))
    return made


def _days_written(
    texts: Sequence[str], places: Sequence[str], settings: DataSettings, time_format: str
) -> np.ndarray:
    """The days (datetime64[D]) of dates that are all written in one way. Raises InputError naming
    the first that is none."""
    times = parse_times(as_strings(texts), name="date", dayfirst=settings.dayfirst)
    if times.reason == "ambiguous":
        times = parse_times(as_strings(texts), name="date", dayfirst=day_first(time_format))
    bad = times.bad | times.integer
    if bad.any():
        row = int(np.argmax(bad))
        if times.reason == "ambiguous":
            raise _wrong(
                places[row], texts[row], "the day and the month cannot be told apart",
                "Say --dayfirst or --no-dayfirst, or write dates as 2024-12-24",
            )  # fmt: skip
        raise _wrong(places[row], texts[row], "this is no date as the others; write 2024-12-24")
    return times.stamps.astype("M8[ns]").astype("M8[D]")


def _count_of_days(text: str, place: str) -> int:
    try:
        found = float(text) if text else 0.0
    except ValueError:
        found = -1.0
    if not (0 <= found <= MOST_DAYS and found.is_integer()):
        raise _wrong(place, text, "days before and after are whole numbers")
    return int(found)


def _wrong(
    place: str, text: str, what: str, remedy: str = "Correct the table of events"
) -> InputError:
    return InputError(what, code="input/events", where=place, value=text, remedy=remedy)


def with_events(panel: Panel, events: Sequence[Event], horizon: int | None) -> Panel:
    """The panel with a column of zeros and ones for each event's name, known for `horizon` steps
    (AHEAD, if none is given) and as far as other covariates reach.

    A step counts where the event's days fall into it: a day's hours, the week or month of the date.
    Raises InputError: steps without dates, an id that no series has.
    """
    if panel.frequency.integer:
        raise InputError(
            "events have dates, and these data have numbered steps",
            code="input/events-without-dates",
            where="--events",
            value=panel.frequency.alias,
            remedy="Give the data a column of dates",
        )
    given = panel.covariates or Covariates(panel.offsets, ())
    wanted = panel.lengths + max(horizon or 0, AHEAD)
    grown = extended(replace(panel, covariates=given), wanted)
    assert grown is not None
    series = np.repeat(np.arange(panel.size), np.diff(grown.offsets))
    begin, end = _days_of(panel, panel.first[series] + positions(grown.offsets))
    place = {str(name): s for s, name in enumerate(panel.ids)}
    columns: dict[str, np.ndarray] = {}
    for event in events:
        if event.series and event.series not in place:
            raise InputError(
                f"event '{event.name}' is of a series that there is not",
                code="input/events-series",
                where="--events",
                value=event.series,
                remedy="Use the ids of the data, or leave it blank for all series",
            )
        values = columns.setdefault(EVENT + event.name, np.zeros(len(series)))
        here = (begin <= event.last) & (end >= event.first)
        if event.series:
            here &= series == place[event.series]
        values[here] = 1.0
    added = tuple(Covariate(name, FUTURE, values) for name, values in columns.items())
    return replace(panel, covariates=replace(grown, columns=(*grown.columns, *added)))


def _days_of(panel: Panel, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last day (datetime64[D]) of the steps at grid positions (M,)."""
    here = np.asarray(panel.frequency.stamps(at)).astype("M8[ns]")
    _, unit, _ = panel.frequency.parts
    hour = np.timedelta64(1, "ns")
    if unit in ("ME", "QE", "YE", "W"):  # a step is called by its last day
        before = np.asarray(panel.frequency.stamps(at - 1)).astype("M8[ns]")
        return before.astype("M8[D]") + np.timedelta64(1, "D"), here.astype("M8[D]")
    after = np.asarray(panel.frequency.stamps(at + 1)).astype("M8[ns]")
    return here.astype("M8[D]"), np.maximum((after - hour).astype("M8[D]"), here.astype("M8[D]"))


def extended(panel: Panel, lengths: np.ndarray) -> Covariates | None:
    """The covariates with at least `lengths` (S,) rows for each series, what is new missing."""
    given = panel.covariates
    if given is None:
        return None
    now = np.diff(given.offsets)
    lengths = np.maximum(now, lengths)
    if (lengths == now).all():
        return given
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kept = positions(offsets) < np.repeat(now, lengths)
    columns = []
    for column in given.columns:
        values = column.values
        if column.role != STATIC:
            values = np.full(int(offsets[-1]), np.nan)
            values[kept] = column.values
        columns.append(replace(column, values=values))
    return replace(given, offsets=offsets, columns=tuple(columns))


def cover(panel: Panel, horizon: int, how: str | None, names: Sequence[str] | None = None) -> Panel:
    """The panel with covariates that reach over the horizon as `how` says.

    None: they must (InputError, see `check_ahead`); "last": each goes on with its last value;
    "mask": what is not known is missing, as a gap in the past is. names: those that matter (all).
    """
    if how is None or panel.covariates is None:
        check_ahead(panel, horizon, names)
        return panel
    grown = extended(panel, panel.lengths + horizon)
    assert grown is not None
    if how == "mask":
        return replace(panel, covariates=grown)
    columns = []
    for column in grown.columns:
        if column.role == FUTURE and (names is None or column.name in names):
            column = replace(column, values=_carried(column.values, grown.offsets))
        columns.append(column)
    return replace(panel, covariates=replace(grown, columns=tuple(columns)))


def _carried(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The last known value of each series on all its rows after it."""
    last = last_known(values, offsets)
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    behind = (positions(offsets) > last[owner]) & (last[owner] >= 0)
    return np.where(behind, values[np.maximum(offsets[:-1] + last, 0)[owner]], values)


def with_columns(panel: Panel, names: Sequence[str]) -> Panel:
    """The panel with a column of zeros for each event in `names` that its table does not have: an
    event that a model knows and that does not occur."""
    given = panel.covariates
    there = {column.name for column in given.columns} if given is not None else set()
    lacking = [name for name in names if name.startswith(EVENT) and name not in there]
    if not lacking:
        return panel
    given = given or Covariates(panel.offsets, ())
    zeros = np.zeros(int(given.offsets[-1]))
    added = tuple(Covariate(name, FUTURE, zeros) for name in lacking)
    return replace(panel, covariates=replace(given, columns=(*given.columns, *added)))
