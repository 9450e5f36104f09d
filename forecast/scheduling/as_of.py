"""What a run may see and is to forecast: the data up to its as-of, and which series take part.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from forecast.common.durations import seconds_in
from forecast.common.errors import InputError
from forecast.common.segments import last_known
from forecast.data.io.timestamp_writing import format_stamps, offset_of
from forecast.data.panel import Panel
from forecast.scheduling.clock import instant, on_the_data_s_clock, position_of, stamp
from forecast.scheduling.config import Job

END_LABELLED = ("ME", "QE", "YE")  # a step's time is the end of its period, not the start
ENDING_DAYS = ("SUN", "SAT")  # weeks named after these days end on them, others begin
SUB_DAILY = ("h", "min", "s", "ms", "us", "ns")
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class AsOfSnapshot:
    """One run's view of the data; every series is forecast for the same steps after the as-of.

    panel: the series that take part, up to the as-of; seen: all series up to it, the others
    included; position, time, moment, label: the as-of on the grid, as the data write it, as an
    instant (ISO 8601, UTC; None for plain numbers), and as a name;
    lags int64 (S,): steps by which each series of `panel` ends earlier; left_out: (series, reason);
    dropped: steps that were left out because they lie after the as-of; age: seconds from the as-of
    to now, None for plain numbers; digest: sha256 of what is seen.
    """

    panel: Panel
    seen: Panel
    position: int
    time: str
    moment: str | None
    label: str
    lags: np.ndarray
    left_out: tuple[tuple[str, str], ...]
    late: tuple[str, ...]
    dropped: int
    age: float | None
    digest: str

    @property
    def grid(self) -> str:
        """The grid that positions count on: those of another one are not to be compared."""
        return grid_of(self.seen)


def grid_of(panel: Panel) -> str:
    """A panel's grid in a word: alias, phase, stride and start."""
    each = panel.frequency
    phase = each.phase - ahead_of_utc(panel)
    return f"{each.alias} {phase} {each.stride} {each.start}" + " integer" * each.integer


def ahead_of_utc(panel: Panel) -> int:
    """Nanoseconds by which the clock of a panel of hours or less is ahead of UTC where its times
    have one offset; else 0."""
    if panel.frequency.integer or panel.frequency.parts[1] not in SUB_DAILY:
        return 0
    return offset_of(panel.tz or "")


def counted_from_utc(panel: Panel) -> Panel:
    """The panel with positions that count from UTC, its times as they are.

    A file of hours with one offset is read by that clock, one that holds a change of summer time by
    UTC: positions from the one and from the other have to be the same, or forecasts of different
    hours take each other's place.
    """
    offset = ahead_of_utc(panel)
    if not offset:
        return panel
    step = panel.frequency.fixed[0]
    steps, phase = divmod(panel.frequency.phase - offset, step)
    frequency = replace(panel.frequency, phase=phase + offset)
    return replace(panel, first=panel.first + steps, frequency=frequency)


def take_snapshot(
    panel: Panel,
    job: Job,
    horizon: int | Callable[[Panel], int],
    as_of: str | None,
    now: datetime,
) -> AsOfSnapshot:
    """What a run sees that is started at `now`, or that is to see nothing after `as_of`.

    Without as_of, periods that are not over at `now` are left out (job.drop_partial). The as-of is
    the last step that then has a value. horizon: steps, or what tells them from what is seen.
    Raises UsageError for an as_of that is no time, InputError when nothing is left.
    """
    panel = counted_from_utc(panel)
    limit = _limit(panel, job, as_of, now)
    ends = panel.first + panel.lengths
    keep = np.clip(limit + 1 - panel.first, 0, panel.lengths)
    dropped = int(np.maximum(ends - (limit + 1), 0).max(initial=0))
    seen = panel.truncate(keep)
    seen = seen.truncate(last_known(seen.values, seen.offsets) + 1)
    seen = seen.select(np.flatnonzero(seen.lengths > 0))
    if not seen.size:
        raise InputError(
            "no value lies up to the as-of",
            code="input/nothing-seen",
            where=job.source,
            value=as_of,
            remedy="Give a later --as-of; drop_partial: false keeps periods that are not over",
        )
    horizon = horizon if isinstance(horizon, int) else horizon(seen)
    last = seen.first + seen.lengths - 1
    position = int(last.max())
    reference = limit if as_of is not None else None
    late = _age_limit(seen, position, job.section.freshness.series_warn_after)
    gone = _age_limit(seen, position, job.section.freshness.series_error_after)
    if gone is None:
        gone = np.maximum(horizon, 1) < position - last
    told = _written(seen, last)
    chosen = np.flatnonzero(~gone)
    part = seen.select(chosen)
    return AsOfSnapshot(
        panel=part,
        seen=seen,
        position=position,
        time=str(_written(seen, np.array([position]))[0]),
        moment=_moment(seen, position, clock_zone(panel, job)),
        label=_label(seen, position),
        lags=position - last[chosen],
        left_out=tuple((str(seen.ids[s]), f"ends at {told[s]}") for s in np.flatnonzero(gone)),
        late=() if late is None else tuple(str(i) for i in seen.ids[late & ~gone]),
        dropped=dropped,
        age=_age(seen, position, reference, on_the_data_s_clock(now, clock_zone(panel, job))),
        digest=digest_of(seen),
    )


def usual_age(step: float | None, period: float) -> float | None:
    """Seconds that the newest value may be old without any trouble: two starts of the schedule, or
    two steps, and one step more, by whose start it is named; None where times are numbers."""
    return None if step is None else 2 * max(step, period) + step


def step_seconds(panel: Panel) -> float | None:
    """Seconds of a step; of business days a weekend's; None where times are plain numbers."""
    if panel.frequency.integer:
        return None
    last = int((panel.first + panel.lengths).max())
    ends = panel.frequency.stamps(np.array([last - 5, last]))
    usual = float((ends[1] - ends[0]) / np.timedelta64(1, "s")) / 5
    return 3 * usual if panel.frequency.parts[1] == "B" else usual


def digest_of(panel: Panel) -> str:
    """sha256 of a panel: its grid, ids, spans and values to the bit, its covariates, and what is
    known of series without any value."""
    found = hashlib.sha256(f"{panel.frequency} {panel.tz}".encode())
    found.update("\0".join(panel.ids.tolist()).encode("utf-8", "surrogatepass"))
    for array in (panel.first, panel.offsets, panel.values):
        found.update(np.ascontiguousarray(array).tobytes())
    for column in panel.covariates.columns if panel.covariates is not None else ():
        found.update(f"{column.name} {column.role} {column.categories}".encode())
        found.update(np.ascontiguousarray(column.values).tobytes())
    for each in panel.covariates.unseen if panel.covariates is not None else ():
        found.update(f"{each.id} {sorted(each.numbers.items())}".encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def clock_zone(panel: Panel, job: Job) -> str | None:
    """The zone by whose clock steps begin and end: that of the times; days and longer steps, which
    have none, go by the job's (`data.tz`, else its schedule's). None: the machine's."""
    if panel.tz is not None or panel.frequency.integer or panel.frequency.parts[1] in SUB_DAILY:
        return panel.tz
    return job.settings.data.tz or job.section.schedule.time_zone


def _limit(panel: Panel, job: Job, as_of: str | None, now: datetime) -> int:
    """The last grid position that may be seen."""
    last = int((panel.first + panel.lengths - 1).max())
    if as_of is not None:
        return position_of(as_of, panel)
    if panel.frequency.integer or not job.section.drop_partial:
        return last
    moment = on_the_data_s_clock(now, clock_zone(panel, job))
    stamps = "auto" if job.settings.data.resample else job.section.stamps  # periods, by their begin
    return min(last, last_over(panel, moment, stamps))


def last_over(panel: Panel, moment: np.datetime64, stamps: str = "auto") -> int:
    """The last grid position whose period is over at `moment`.

    stamps: "start": a period begins at its time and is over at the next one's; "end": it is over
    at its time, a day, week, month, quarter or year with that day; "auto": "end" for month,
    quarter and year ends and weeks that are named after Saturday or Sunday, else "start".
    Business days are over with their own day.
    """
    frequency = panel.frequency
    found = int(frequency.locate(np.array([moment], "M8[ns]"))[0][0]) + 1
    _, unit, anchor = frequency.parts
    natural = unit in END_LABELLED or (unit == "W" and anchor in ENDING_DAYS)
    ends = natural if stamps == "auto" else stamps == "end"
    while True:
        times = frequency.stamps(np.array([found, found + 1]))
        if unit == "B" or (ends and unit not in SUB_DAILY):
            over = times[0].astype("M8[D]") + DAY
        else:
            over = times[0] if ends else times[1]
        if over <= moment:
            return found
        found -= 1


def _age_limit(seen: Panel, position: int, rule: str | None) -> np.ndarray | None:
    """bool (S,): series whose last value is older than the rule, counted from the as-of."""
    if rule is None or seen.frequency.integer:
        return None
    last = seen.frequency.stamps(seen.first + seen.lengths - 1)
    newest = seen.frequency.stamps(np.array([position]))[0]
    return np.asarray((newest - last) / np.timedelta64(1, "s") > seconds_in(rule))


def _age(seen: Panel, position: int, reference: int | None, now: np.datetime64) -> float | None:
    if seen.frequency.integer:
        return None
    newest = seen.frequency.stamps(np.array([position]))[0]
    moment = now if reference is None else seen.frequency.stamps(np.array([reference]))[0]
    return float((moment - newest) / np.timedelta64(1, "s"))


def _written(panel: Panel, positions: np.ndarray) -> list[str]:
    stamps = panel.frequency.stamps(positions)
    return [str(t) for t in format_stamps(stamps, panel.time_format, panel.tz).to_pylist()]


def _moment(panel: Panel, position: int, tz: str | None) -> str | None:
    if panel.frequency.integer:
        return None
    return stamp(instant(panel.frequency.stamps(np.array([position]))[0], tz))


def _label(panel: Panel, position: int) -> str:
    """The as-of as part of a folder's name: 20240131T230000, or the number."""
    stamp = panel.frequency.stamps(np.array([position]))[0]
    if panel.frequency.integer:
        return f"{int(stamp):+d}".replace("+", "").replace("-", "minus")
    return str(np.datetime_as_string(stamp, "s")).replace("-", "").replace(":", "")
