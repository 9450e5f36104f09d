"""Covariates that come as a new file each day: `future_covariates: weather-{date}.csv`."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.scheduling.config import Job

PLACE = "{date}"  # in the name of a file
_DATE = r"(\d{4})-?(\d{2})-?(\d{2})"
_NAMED = 3  # files that a message names


def data_as_of(job: Job, moment: datetime, as_of: str | None = None) -> tuple[DataSettings, str]:
    """The job's data settings with the dated file that a run reads, and which that is, in words
    ("" where the job names none).

    It is the newest one that is not dated after the day of the run, by the job's clock; with
    `as_of`, not after that day, so that a run of the past sees no outlook that came later. Raises
    InputError where there is none.
    """
    data = job.settings.data
    pattern = data.future_covariates
    if pattern is None or PLACE not in Path(pattern).name:
        return data, ""
    latest = _day_of(as_of) if as_of is not None else None
    zone = data.tz or job.section.schedule.time_zone
    latest = latest or moment.astimezone(ZoneInfo(zone) if zone else None).date()
    found = _dated(Path(pattern))
    fit = [day for day in found if day <= latest]
    if not fit:
        there = ", ".join(found[day].name for day in sorted(found)[:_NAMED])
        raise InputError(
            f"there is no file of covariates dated {latest} or before",
            code="input/no-dated-file",
            where=pattern,
            value=there or "no file of that name with a date in it",
            remedy="Deliver it, or name its date as 2024-01-31 or 20240131 where {date} stands",
        )
    chosen = found[max(fit)]
    return data.model_copy(update={"future_covariates": str(chosen)}), (
        f"covariates ahead from {chosen.name}, the newest not after {latest}"
    )


def dated_files(pattern: str | None) -> list[str]:
    """The dated files that fit a pattern, the oldest first; none where it asks for no date."""
    if pattern is None or PLACE not in Path(pattern).name:
        return []
    found = _dated(Path(pattern))
    return [str(found[day]) for day in sorted(found)]


def _day_of(text: str) -> date | None:
    """The day that an as-of begins with; None where it is no date."""
    found = re.match(_DATE, text)
    return _date(*found.groups()) if found else None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _dated(pattern: Path) -> dict[date, Path]:
    """The files that fit the pattern, by the date in their name."""
    before, _, after = pattern.name.partition(PLACE)
    form = re.compile(re.escape(before) + _DATE + re.escape(after))
    found: dict[date, Path] = {}
    for path in sorted(pattern.parent.glob("*")):
        match = form.fullmatch(path.name)
        day = _date(*match.groups()) if match else None
        if day is not None and path.is_file():
            found[day] = path
    return found
