"""A job's times, as systemd and cron understand them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from forecast.scheduling.timers import (
    SKIPPED,
    When,
    _skipped_lines,
    cron_times,
    is_zone,
    local_clocks,
    skipped_starts,
    zone_of_machine,
)

NOW = datetime(2026, 1, 15, tzinfo=UTC)
EVERY = ("hour", "day", "week", "month")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")


def fires(fields: str, at: datetime) -> bool:
    """Whether a cron line with lists of numbers fires in the minute `at` (local to cron)."""
    values = (at.minute, at.hour, at.day, at.month, at.isoweekday() % 7)
    return all(
        f == "*" or value in map(int, f.split(","))
        for f, value in zip(fields.split(), values, strict=True)
    )


def starts(when: When, here: str, first: datetime, days: int) -> list[datetime]:
    """When cron in `here` would start the job, minute by minute, the guard included."""
    times = cron_times(when, here, NOW)
    zone, local = ZoneInfo(when.zone or here), ZoneInfo(here)
    found = []
    for minute in range(0, days * 1440, 5):
        at = first + timedelta(minutes=minute)
        if not fires(times.fields, at.astimezone(local)):
            continue
        there = at.astimezone(zone)
        if times.guard is None or there.strftime(times.guard[0]) == times.guard[1] or (
            there.strftime(SKIPPED) in times.also
        ):  # fmt: skip
            found.append(there)
    return found


@pytest.mark.parametrize(
    ("every", "fields"),
    [
        ("hour", "15 * * * *"),
        ("day", "15 6 * * *"),
        ("week", "15 6 * * 0"),
        ("month", "15 6 3 * *"),
    ],
)
def test_in_the_machines_own_zone_cron_has_the_plain_fields(every, fields):
    assert cron_times(When(every, 6, 15, "sun", 3), "Europe/Berlin", NOW).fields == fields
    same = cron_times(When(every, 6, 15, "sun", 3, "Europe/Berlin"), "Europe/Berlin", NOW)
    assert (same.fields, same.guard) == (fields, None)


@pytest.mark.parametrize("here", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_in_another_zone_cron_starts_once_a_day_at_the_zones_own_time_through_both_changes(
    here, zone
):
    when = When("day", 6, 15, zone=zone)
    for first in (datetime(2026, 3, 25, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)):
        found = starts(when, here, first, 35)
        assert {(at.hour, at.minute) for at in found} == {(6, 15)}
        days = [at.date() for at in found]
        assert len(days) in (35, 36)
        assert all(b - a == timedelta(days=1) for a, b in pairwise(days))


def test_in_another_zone_weeks_and_months_go_by_that_zones_days():
    found = starts(When("week", 1, 0, "mon", zone="Asia/Tokyo"), "America/New_York", NOW, 28)
    assert [at.isoweekday() for at in found] == [1] * 4
    found = starts(When("month", 1, 0, day=1, zone="Asia/Tokyo"), "America/New_York", NOW, 90)
    assert [(at.month, at.day) for at in found] == [(2, 1), (3, 1), (4, 1)]


def test_every_hour_needs_a_guard_only_where_minutes_differ():
    assert cron_times(When("hour", 0, 15, zone="Europe/Berlin"), "UTC", NOW).guard is None
    found = starts(When("hour", 0, 15, zone="Asia/Kolkata"), "UTC", NOW, 1)
    assert [at.minute for at in found] == [15] * 24
    assert local_clocks(When("hour", 0, 15, zone="Asia/Kolkata"), "UTC", NOW)[0] == [45]


@needs_systemd
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("every", EVERY)
def test_systemd_reads_the_calendar_as_it_is_meant(every, zone):
    when = When(every, 6, 15, "sun", 3, zone)
    words = ["systemd-analyze", "calendar", "--iterations=3", when.calendar()]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}
    )
    printed = re.findall(r"(?:elapse|#\d): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", done.stdout)
    utc = [datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for text in printed]
    found = [at.astimezone(ZoneInfo(zone or "UTC")) for at in utc]
    assert len(found) == 3, done.stdout
    assert all(at.minute == 15 for at in found)
    assert every == "hour" or all(at.hour == 6 for at in found)
    assert every != "week" or all(at.isoweekday() == 7 for at in found)
    assert every != "month" or all(at.day == 3 for at in found)


def test_the_starts_that_clocks_skip_are_known():
    half_past_two = When("day", 2, 30, zone="Europe/Berlin")
    assert skipped_starts(half_past_two, NOW) == [datetime(2026, 3, 29, 1, 30, tzinfo=UTC)]
    assert len(skipped_starts(half_past_two, NOW, 10)) == 10
    assert skipped_starts(When("day", 6, 15, zone="Europe/Berlin"), NOW) == []
    assert skipped_starts(When("hour", 2, 30, zone="Europe/Berlin"), NOW) == []
    assert skipped_starts(When("week", 2, 30, "mon", zone="Europe/Berlin"), NOW) == []
    assert len(skipped_starts(When("week", 2, 30, "sun", zone="Europe/Berlin"), NOW)) == 1


@pytest.mark.parametrize(
    ("zone", "clock"),
    [("Europe/Berlin", (2, 30)), ("America/New_York", (2, 30)), ("America/Santiago", (0, 30)),
     ("Australia/Lord_Howe", (2, 15))],
)  # fmt: skip
def test_a_time_that_clocks_skip_is_started_at_later_that_day(zone, clock):
    when = When("day", *clock, zone=zone)
    (skipped,) = skipped_starts(when, NOW)
    found = starts(when, "UTC", skipped.replace(hour=0, minute=0) - timedelta(days=3), 7)
    assert skipped in found
    days = [at.date() for at in found]
    assert all(b - a == timedelta(days=1) for a, b in pairwise(days)), found


@needs_systemd
def test_systemd_starts_at_a_time_that_clocks_skip_too(tmp_path):
    lines = _skipped_lines(When("day", 2, 30, zone="Europe/Berlin"), NOW).splitlines()
    assert len([line for line in lines if line.startswith("OnCalendar=")]) == 10
    words = ["systemd-analyze", "calendar", lines[1].removeprefix("OnCalendar=")]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
    assert "Normalized form: 2026-03-29 01:30:00 UTC" in done.stdout


def test_the_words_say_the_time_and_the_zone():
    assert When("week", 6, 15, "sun", zone="Europe/Berlin").words() == (
        "every Sunday at 06:15 (Europe/Berlin)"
    )
    assert When("hour", 0, 5).words() == "every hour at 5 past"


def test_the_machines_zone_is_found_where_it_is_written(tmp_path: Path):
    assert zone_of_machine({}, tmp_path) == "UTC"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/timezone").write_text("Asia/Tokyo\n")
    assert zone_of_machine({}, tmp_path) == "Asia/Tokyo"
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    assert zone_of_machine({}, tmp_path) == "Europe/Paris"
    assert zone_of_machine({"TZ": ":America/Lima"}, tmp_path) == "America/Lima"
    assert zone_of_machine({"TZ": "nonsense/zone"}, tmp_path) == "Europe/Paris"


@pytest.mark.parametrize("name", ["", "Nowhere/Atall", "/etc/passwd", "../x", "Europe/Berlin\0"])
def test_what_is_no_zone_is_none(name):
    assert not is_zone(name)
