"""The one place where scheduled runs read the clock, so that a rehearsal can move it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np

from forecast.common.errors import UsageError
from forecast.data.panel import Panel


def now() -> datetime:
    """The present moment, with its time zone (UTC)."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second: how manifests and logs write a moment."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def on_the_data_s_clock(moment: datetime, tz: str | None) -> np.datetime64:
    """`moment` as the panel's stamps are to be read (see `Panel.tz`), datetime64[ns].

    None: the machine's own wall-clock time; else what the clocks of that zone show.
    """
    zone = _zone(tz)
    there = moment.astimezone(zone) if zone is not None else moment.astimezone()
    return np.datetime64(there.replace(tzinfo=None), "ns")


def instant(time: np.datetime64, tz: str | None) -> datetime:
    """The moment that a panel's stamp names: the other way of `on_the_data_s_clock`."""
    zone = _zone(tz)
    plain = time.astype("M8[us]").item()
    return plain.replace(tzinfo=zone) if zone is not None else plain.astimezone()


def position_of(text: str, panel: Panel) -> int:
    """The grid position of the last step up to what `--as-of` names.

    A day, a month or a year counts to its end. A time with a zone is brought to the data's; one
    without is read as the data's own. Integer steps are numbers. Raises UsageError for what is no
    time.
    """
    try:
        if panel.frequency.integer:
            wanted = np.array([int(text)])
        else:
            wanted = np.array([_moment(text, panel.tz)], "M8[ns]")
        positions, _ = panel.frequency.locate(wanted)
    except (ValueError, OverflowError) as problem:
        raise UsageError(
            "--as-of must name a time in the data",
            code="usage/bad-as-of",
            value=text,
            remedy="Write it as 2024-01-31T23:00, 2024-01-31, 2024-01 or 2024, or as a number "
            "where times are numbers",
        ) from problem
    found = int(positions[0])
    late = panel.frequency.stamps(np.array([found]))[0] > wanted[0]  # month ends
    return found - int(late)


def _moment(text: str, tz: str | None) -> np.datetime64:
    text = text.strip()
    if len(text) in (4, 7, 10):  # a year, a month, a day: the next one, less a moment
        following = np.array([np.datetime64(text) + 1])
        return np.datetime64(following.astype("M8[ns]")[0] - np.timedelta64(1, "ns"))
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        return np.datetime64(parsed, "ns")
    return on_the_data_s_clock(parsed, tz)


def _zone(tz: str | None) -> tzinfo | None:
    """The zone of that name, the fixed offset, None for the machine's."""
    if tz is None:
        return None
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", tz)
    if offset is None:
        return UTC if tz == "UTC" else ZoneInfo(tz)
    minutes = int(offset[2]) * 60 + int(offset[3])
    return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
