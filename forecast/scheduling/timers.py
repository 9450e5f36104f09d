"""When a job starts: a clock time in a time zone, every hour, day, week or month."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

Every = Literal["hour", "day", "week", "month"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEARS = 2  # how far ahead clock changes are looked for


@dataclass(frozen=True)
class When:
    """A job's times. `weekday` counts for every="week", `day` (of the month) for "month".

    zone: a name of the time zone database; None: the machine's own.
    """

    every: Every
    hour: int
    minute: int
    weekday: str = "mon"
    day: int = 1
    zone: str | None = None

    @property
    def clock(self) -> str:
        """The time of day, 06:15."""
        return f"{self.hour:02d}:{self.minute:02d}"

    def words(self) -> str:
        """For a person: "every Monday at 06:15 (Europe/Berlin)"."""
        at = {
            "hour": f"every hour at {self.minute} past",
            "day": f"every day at {self.clock}",
            "week": f"every {_WEEKDAY_NAMES[self.weekday]} at {self.clock}",
            "month": f"on day {self.day} of every month at {self.clock}",
        }[self.every]
        return f"{at} ({self.zone})" if self.zone else at

    def calendar(self) -> str:
        """The times as systemd writes them (systemd.time(7))."""
        day = {
            "hour": "*-*-*",
            "day": "*-*-*",
            "week": f"{self.weekday.title()} *-*-*",
            "month": f"*-*-{self.day:02d}",
        }[self.every]
        hour = "*" if self.every == "hour" else f"{self.hour:02d}"
        return f"{day} {hour}:{self.minute:02d}:00" + (f" {self.zone}" if self.zone else "")


_WEEKDAY_NAMES = dict(
    zip(
        WEEKDAYS,
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        strict=True,
    )
)


@dataclass(frozen=True)
class CronTimes:
    """The five fields of a crontab line, and what must be true when it fires.

    guard: a format of date(1) in `zone` and the text that it must give; None: always start.
    """

    fields: str
    guard: tuple[str, str] | None = None


def cron_times(when: When, here: str, now: datetime) -> CronTimes:
    """`when` for a cron that runs in the time zone `here`.

    Cron knows one zone, the machine's. For another, the line fires at every local time that can
    be the right one (summer or winter), and the guard lets one of them through.
    """
    if when.zone in (None, here):
        return CronTimes(_own_fields(when))
    minutes, hours = local_clocks(when, here, now)
    written = ",".join(map(str, minutes))
    if when.every == "hour":
        guard = None if minutes == [when.minute] else ("%M", f"{when.minute:02d}")
        return CronTimes(f"{written} * * * *", guard)
    form, value = {
        "day": ("%H:%M", when.clock),
        "week": ("%u.%H:%M", f"{WEEKDAYS.index(when.weekday) + 1}.{when.clock}"),
        "month": ("%d.%H:%M", f"{when.day:02d}.{when.clock}"),
    }[when.every]
    return CronTimes(f"{written} {','.join(map(str, hours))} * * *", (form, value))


def local_clocks(when: When, here: str, now: datetime) -> tuple[list[int], list[int]]:
    """The minutes and the hours of clocks in `here` when it is `when`'s time of day in its zone."""
    zone, local = ZoneInfo(when.zone or here), ZoneInfo(here)
    start = now.astimezone(zone).date()
    minutes, hours = set(), set()
    for days in range(366 * _YEARS):
        day = start + timedelta(days=days)
        at = datetime(day.year, day.month, day.day, when.hour, when.minute, tzinfo=zone)
        there = at.astimezone(UTC).astimezone(local)
        minutes.add(there.minute)
        hours.add(there.hour)
    return sorted(minutes), sorted(hours)


def skipped_days(when: When, now: datetime) -> list[str]:
    """The next days on which the time of day does not exist, for clocks are put forward then."""
    if when.zone is None or when.every == "hour":
        return []
    zone, start = ZoneInfo(when.zone), now.date()
    found = []
    for days in range(366):
        day = start + timedelta(days=days)
        at = datetime(day.year, day.month, day.day, when.hour, when.minute, tzinfo=zone)
        back = at.astimezone(UTC).astimezone(zone)
        if (back.hour, back.minute) != (when.hour, when.minute):
            found.append(day.isoformat())
    return found


def _own_fields(when: When) -> str:
    at = f"{when.minute} {when.hour}"
    return {
        "hour": f"{when.minute} * * * *",
        "day": f"{at} * * *",
        "week": f"{at} * * {(WEEKDAYS.index(when.weekday) + 1) % 7}",
        "month": f"{at} {when.day} * *",
    }[when.every]


def zone_of_machine(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """The machine's time zone as the database calls it; "UTC" where nothing says otherwise.

    environ is asked first (TZ), then /etc/localtime (a link into the database), then
    /etc/timezone.
    """
    named = environ.get("TZ", "").removeprefix(":")
    if is_zone(named):
        return named
    link = root / "etc/localtime"
    if link.is_symlink():
        _, found, name = os.readlink(link).partition("zoneinfo/")
        if found and is_zone(name):
            return name
    try:
        name = (root / "etc/timezone").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "UTC"
    return name if is_zone(name) else "UTC"


def is_zone(name: str) -> bool:
    """Whether the time zone database has `name`."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # an unknown key is a ZoneInfoNotFoundError, a KeyError
        return False
    except KeyError:
        return False
    return True
