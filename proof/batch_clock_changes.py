"""Both clock changes of a year in four zones: one forecast for each slot.

    python proof/batch_clock_changes.py             # bounded: one zone, fewer hours
    python proof/batch_clock_changes.py --full      # four zones, one of them with half an hour
    python proof/batch_clock_changes.py --full --state FILE --seconds 1800    # half an hour of it

Data in local time and with ISO offsets: an hourly job, and daily ones at 02:30 over daily and over
hourly values, started when their timer or their line in a crontab of another zone would start them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from _progress import Progress, going_on
from _record import record
from _rehearsal import consistent, instant, ledger_runs

from forecast.scheduling.timers import SKIPPED, When, cron_times

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SERIES = ("a", "b")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago")
YEAR = 2025
AROUND = timedelta(days=2)  # before and after a change
PAST = 10  # days of history before
CHANGES = """\
jobs:
  {name}:
    data: {name}.csv
    model: pretrained
    retention: {{keep_last: 400}}
    schedule: {{every: {every}, at: "{at}", time_zone: {zone}}}
    settings: {{forecast: {{horizon: 6}}, data: {{{tz}}}}}
"""


def clock_changes(zone: ZoneInfo) -> list[datetime]:
    """The moments of the year at which the zone's clocks change, to the half hour."""
    begin, half = datetime(YEAR, 1, 1, tzinfo=UTC), timedelta(minutes=30)
    found, before = [], begin.astimezone(zone).utcoffset()
    for n in range(365 * 48):
        at = begin + n * half
        if (now := at.astimezone(zone).utcoffset()) != before:
            found.append(at)
        before = now
    return found


def cron_starts(when: When, first: datetime, last: datetime) -> Iterator[datetime]:
    """When cron on a machine in UTC lets the job's line go on, to a quarter of an hour."""
    times, zone = cron_times(when, "UTC", first), ZoneInfo(when.zone or "UTC")
    wanted = [None if f == "*" else {*map(int, f.split(","))} for f in times.fields.split()]
    at = first
    while at < last:
        there = at.astimezone(zone)
        due = all(w is None or v in w for w, v in zip(wanted, (at.minute, at.hour), strict=False))
        form, text = times.guard or ("", "")
        if due and (there.strftime(form) == text or there.strftime(SKIPPED) in times.also):
            yield at
        at += timedelta(minutes=15)


@dataclass
class Change:
    """One job around one change of clocks.

    step: between values; iso: with offsets, else local time and the zone in the config.
    """

    name: str
    zone: ZoneInfo
    step: timedelta
    iso: bool
    at: datetime
    home: Path
    slots: dict[datetime, int] = field(default_factory=dict)

    def grid(self) -> list[datetime]:
        """The times of all values (UTC): local midnights; full hours of the local clock, in a
        notation that has offsets those that are an hour apart."""
        day = (self.at - AROUND).astimezone(self.zone).date() - PAST * DAY
        days = [day + n * DAY for n in range(PAST + 6)]
        midnights = [datetime(d.year, d.month, d.day, tzinfo=self.zone) for d in days]
        if self.step == DAY:
            return [at.astimezone(UTC) for at in midnights]
        begin, half = midnights[0].astimezone(UTC), HOUR / 2
        if self.iso:
            return [begin + n * HOUR for n in range(24 * len(days))]
        every = (begin + n * half for n in range(48 * len(days)))
        return [at for at in every if at.astimezone(self.zone).minute == 0]

    def has_midnights(self) -> bool:
        """Whether each day begins at 0:00: in some zones clocks skip it."""
        return all(at.astimezone(self.zone).hour == 0 for at in self.grid())

    def write(self, now: datetime) -> datetime:
        """The file at `now`, the step that has begun in it as well; the slot that must be seen."""
        begun = [at for at in self.grid() if at <= now]
        form = "%Y-%m-%d" if self.step == DAY else "%Y-%m-%dT%H:%M"
        rows = ["unique_id,ds,y"]
        for k, name in enumerate(SERIES):
            for n, at in enumerate(begun):
                there = at.astimezone(self.zone)
                text = there.isoformat() if self.iso else there.strftime(form)
                value = 100 + 30 * k + 10 * (there.hour % 12) + n * 7919 % 11
                rows.append(f"{name},{text},{value}")
        (self.home / f"{self.name}.csv").write_text("\n".join(rows) + "\n")
        return self.over(begun, now)

    def over(self, begun: list[datetime], now: datetime) -> datetime:
        """The last step that is over: of local hours the last whose hour has passed by the clock,
        so that the two moments of a repeated hour are one step."""
        if self.iso or self.step == DAY:
            return begun[-2]
        shown = now.astimezone(self.zone).replace(tzinfo=None)
        there = (at.astimezone(self.zone).replace(tzinfo=None) for at in begun)
        last = max(at for at in there if at + HOUR <= shown)
        return last.replace(tzinfo=self.zone).astimezone(UTC)

    def config(self, every: str, clock: str) -> None:
        tz = "" if self.iso else f"tz: {self.zone.key}"
        words = CHANGES.format(name=self.name, every=every, at=clock, zone=self.zone.key, tz=tz)
        (self.home / "batch.yaml").write_text(words)

    def live(self, starts: Iterator[datetime]) -> int:
        """A run at each start; how many. Raises AssertionError."""
        from forecast.scheduling.config_file import load_config
        from forecast.scheduling.run import run_job

        job = load_config(self.home / "batch.yaml", {}).jobs[self.name]
        runs = 0
        for now in starts:
            slot = self.write(now)
            made = run_job(job, now=now)
            runs += 1
            wanted = "already done" if slot in self.slots else "published"
            where = f"{self.name} {self.zone.key} iso {self.iso}, {now.astimezone(self.zone)}"
            assert made.outcome == wanted, f"{where}: {made.outcome}, not {wanted}"
            self.slots[slot] = self.slots.get(slot, 0) + 1
            seen = json.loads((job.folder / "current/manifest.json").read_bytes())
            assert self.slot_of(seen) == slot, f"{where}: {seen['as_of']} is current"
        self.check(job.folder)
        return runs

    def slot_of(self, manifest: dict[str, Any]) -> datetime:
        """Of a published run; days are those of the zone."""
        if self.step == DAY:
            day = datetime.fromisoformat(manifest["as_of"][:10])
            return day.replace(tzinfo=self.zone).astimezone(UTC)
        return instant(manifest["as_of_moment"])

    def check(self, folder: Path) -> None:
        """Each slot has one forecast, in the folders and in the ledger."""
        consistent(folder)
        runs = [json.loads(p.read_bytes()) for p in folder.glob("runs/*/manifest.json")]
        found = Counter(self.slot_of(run) for run in runs)
        assert found == Counter(self.slots.keys()), "slots and runs differ"
        assert all(run["replaces"] is None for run in runs), "a slot was published twice"
        assert len(dict(ledger_runs(folder / "ledger.sqlite"))) == len(self.slots)


KINDS = {"hourly": (HOUR, "hour", "00:15"), "daily": (DAY, "day", "02:30"),
         "nightly": (HOUR, "day", "02:30")}  # fmt: skip


def each_job(zones: tuple[str, ...]) -> list[tuple[str, datetime, bool, str]]:
    """(zone, change, whether with offsets, kind of job) of all there are, in the same order."""
    return [
        (key, at, iso, name)
        for key in zones
        for at in clock_changes(ZoneInfo(key))
        for iso in (False, True)
        for name in KINDS
    ]


def through(key: str, at: datetime, iso: bool, name: str, around: timedelta) -> Counter[str]:
    """One job around one change."""
    zone, (step, every, clock) = ZoneInfo(key), KINDS[name]
    with tempfile.TemporaryDirectory(prefix="lstmcast-changes-") as folder:
        change = Change(name, zone, step, iso, at, Path(folder))
        if step == DAY and iso and not change.has_midnights():
            return Counter(skipped=1)  # no time of day there that all days have
        change.config(every, clock)
        when = When(every, 2, 30, zone=key)  # type: ignore[arg-type]
        starts = (cron_starts(when, at.replace(minute=0) - AROUND, at + AROUND)
                  if every == "day" else hours(at - around, at + around, change))  # fmt: skip
        runs = change.live(starts)
    if every == "day":
        days = {s.astimezone(zone).date() for s in change.slots}
        whole = (max(days) - min(days)).days + 1
        assert len(days) == whole, f"{name}, {key}, {at}: a day was missed"
    return Counter(runs=runs, slots=len(change.slots))


def hours(first: datetime, last: datetime, change: Change) -> Iterator[datetime]:
    """A quarter past each step."""
    return (at + timedelta(minutes=15) for at in change.grid() if first <= at < last)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="which zone comes first")
    parser.add_argument("--full", action="store_true", help="four zones, and write the outcome")
    parser.add_argument("--zones", type=int, default=1)
    going_on(parser)
    given = parser.parse_args()
    zones = (ZONES * 2)[given.seed % len(ZONES) :][: len(ZONES) if given.full else given.zones]
    jobs = each_job(zones)
    at = Progress.found(given.state, len(jobs))
    end = time.monotonic() + (given.seconds or float("inf"))
    for key, moment, iso, name in jobs[at.done :]:
        if time.monotonic() > end:
            break
        at.counts += through(key, moment, iso, name, HOUR * (9 if given.full else 5))
        at.done += 1
        at.save(given.state)
        print(f"{at.done} of {at.of}: {name}, {key}, {moment:%F}, offsets {iso}", flush=True)
    print(f"{at.told() or 'all '}jobs: {dict(at.counts)}, each slot published once")
    if given.full:
        done = jobs[: at.done]
        record(
            f"{at.told() or f'{at.of} '}jobs around {len({job[:2] for job in done})} clock changes "
            f"in {len({job[0] for job in done})} zones, local times and ISO offsets, hourly and at "
            f"02:30: {at.counts['runs']:,} runs",
            f"{at.counts['slots']:,} slots, each published once; no day missed",
            at,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
