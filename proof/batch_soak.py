"""Ten simulated years of daily runs: one published forecast for each slot, none twice.

    python proof/batch_soak.py             # bounded: all runs around clock changes, some between
    python proof/batch_soak.py --full      # every day of the ten years
    python proof/batch_soak.py --full --state FOLDER --seconds 1800    # half an hour of them

Two jobs run once a day, each at its local time: `daily` in Europe/Berlin over a growing file of
daily values, `hourly` in America/New_York over a window of hourly values written in local time.
On the way: both clock changes of every year, leap days, values that come late, values that are
restated, a series that ends, one that appears, days without data, starts made twice, a start that
names an as-of again, a stop that is longer than the horizon.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from _progress import Snapshots, going_on, state_of
from _record import record

CONFIG = """\
jobs:
  daily:
    data: daily.csv
    model: pretrained
    settings: {forecast: {horizon: 7}}
    retention: {keep_last: 5, keep_daily: 7, keep_weekly: 4, keep_ledger: 100, keep_logs: 10}
    schedule: {at: "06:15", time_zone: Europe/Berlin}
  hourly:
    data: hourly.csv
    model: pretrained
    settings: {forecast: {horizon: 24}, data: {tz: America/New_York}}
    retention: {keep_last: 5, keep_daily: 7, keep_weekly: 4, keep_ledger: 100, keep_logs: 10}
    schedule: {at: "02:30", time_zone: America/New_York}
"""
START = date(2016, 1, 1)
HISTORY = 60  # days before the first run
HOURLY_DAYS = 30  # of the hourly window
MOST_RUNS = 5 + 7 + 4 + 2
REMEMBERED = 4 * 100  # cutoffs that the ledger knows: four times keep_ledger
SAVED = 28  # days from one snapshot of a soak that may be stopped to the next


@dataclass
class World:
    """What is true, and how much of it the file shows on a day.

    values: (series, time) -> the value as it stands now; shown from the day in `known_from`.
    """

    zone: ZoneInfo
    step: timedelta
    seed: int
    values: dict[tuple[str, datetime], float] = field(default_factory=dict)
    known_from: dict[tuple[str, datetime], date] = field(default_factory=dict)

    def extend(self, day: date, alive: tuple[str, ...], rng: random.Random) -> None:
        """The values of `day`: 23, 24 or 25 hours of it, or one."""
        for at in instants(day, self.zone, self.step):
            for k, name in enumerate(alive):
                local = at.astimezone(self.zone)
                shape = 20 * np.sin(2 * np.pi * (local.hour / 24 + local.isoweekday() / 7))
                self.values[name, at] = round(100 + 30 * k + float(shape) + rng.gauss(0, 3), 2)
                self.known_from[name, at] = day + timedelta(days=1)

    def shown(self, today: date, first: datetime) -> list[tuple[str, datetime, float]]:
        """(series, time, value) of what the file holds on `today`, from `first` on."""
        return sorted(
            (name, at, value)
            for (name, at), value in self.values.items()
            if at >= first and self.known_from[name, at] <= today
        )

    def forget(self, before: datetime) -> None:
        """Drops what no file will show again."""
        for key in [key for key in self.values if key[1] < before]:
            del self.values[key], self.known_from[key]


def instants(day: date, zone: ZoneInfo, step: timedelta) -> list[datetime]:
    """The times of a day in UTC: its local midnight, or each of its 23 to 25 hours."""
    begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    if step >= timedelta(days=1):
        return [begin]
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
    return [begin + n * step for n in range(int((end - begin) / step))]


def clock_changes(day: date) -> bool:
    """Whether clocks in one of the two zones change on `day` or the day after."""
    zones = (ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"))
    hours = timedelta(hours=1)
    return any(
        len(instants(day + timedelta(days=n), zone, hours)) != 24 for zone in zones for n in (0, 1)
    )


@dataclass
class Feed:
    """One job's data, what is done to them, and the slots that must have been published."""

    name: str
    world: World
    alive: tuple[str, ...]
    at: tuple[int, int]
    rng: random.Random
    window: int | None  # days that the file goes back; None: all
    slots: dict[str, int] = field(default_factory=dict)  # as-of in UTC -> runs that saw it first
    events: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """The history before the first run."""
        for n in range(HISTORY):
            self.world.extend(START - timedelta(days=HISTORY - n), self.alive, self.rng)

    def yesterday(self, today: date, quiet: bool) -> None:
        """What happened on the day before `today`, and how the file learns of it."""
        day = today - timedelta(days=1)
        if day.year == START.year + 3 and "c" in self.alive:
            self.alive, self.events["a series ends"] = ("a", "b"), 1
        if day.year == START.year + 4 and "d" not in self.alive:
            self.alive, self.events["a series appears"] = ("a", "b", "d"), 1
        drawn = self.rng.random()
        if drawn < 0.01 and not quiet:
            self.events["a day without data"] += 1
            return
        self.world.extend(day, self.alive, self.rng)
        if drawn < 0.03:
            self._delay(day, self.alive, 1, "all values a day late")
        elif drawn < 0.06:
            self._delay(day, self.alive[1:2], 3, "a series three days late")
        elif drawn < 0.08:
            self._restate(day)

    def _delay(self, day: date, names: tuple[str, ...], days: int, what: str) -> None:
        self.events[what] += 1
        for at in instants(day, self.world.zone, self.world.step):
            for name in names:
                self.world.known_from[name, at] += timedelta(days=days)

    def _restate(self, day: date) -> None:
        self.events["values restated"] += 1
        for at in instants(day - timedelta(days=4), self.world.zone, self.world.step):
            if (self.alive[0], at) in self.world.values:
                self.world.values[self.alive[0], at] += 11.0

    def write(self, path: Path, today: date) -> str:
        """The file as it is on `today`; returns the slot that a run must publish (UTC)."""
        back = START - timedelta(days=HISTORY)
        if self.window is not None:
            back = max(back, today - timedelta(days=self.window))
        first = datetime(back.year, back.month, back.day, tzinfo=self.world.zone).astimezone(UTC)
        rows = self.world.shown(today, first)
        form = "%Y-%m-%d" if self.world.step >= timedelta(days=1) else "%Y-%m-%dT%H:%M"
        lines = [f"{n},{at.astimezone(self.world.zone):{form}},{v!r}" for n, at, v in rows]
        path.write_text("unique_id,ds,y\n" + "\n".join(lines) + "\n")
        if self.window is not None:
            self.world.forget(first - timedelta(days=7))
        return max(at for _, at, _ in rows).isoformat()

    def moment(self, today: date) -> datetime:
        """When the run of `today` starts."""
        return datetime(today.year, today.month, today.day, *self.at, tzinfo=self.world.zone)


def feeds(seed: int) -> list[Feed]:
    """The two jobs' data."""
    berlin, york = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
    day, hour = timedelta(days=1), timedelta(hours=1)
    return [
        Feed("daily", World(berlin, day, seed), ("a", "b", "c"), (6, 15), random.Random(seed),
             None),
        Feed("hourly", World(york, hour, seed), ("a", "b", "c"), (2, 30), random.Random(seed + 1),
             HOURLY_DAYS),
    ]  # fmt: skip


def wanted_days(years: int, every: int) -> set[date]:
    """The days with a run: those around clock changes, leap days and new years, and every n-th."""
    found = set()
    for n in range(years * 365 + years // 4):
        day = START + timedelta(days=n)
        leap = (day.month, day.day) in ((2, 28), (2, 29), (3, 1))
        year = (day.month, day.day) in ((12, 31), (1, 1), (1, 2))
        if n % every == 0 or leap or year or clock_changes(day):
            found.add(day)
    stop = date(START.year + 5, 6, 1)  # a stop that is longer than the horizon
    return found - {stop + timedelta(days=n) for n in range(12)}


@dataclass
class Life:
    """One job through the years: its feed, its folder, and what has been published."""

    feed: Feed
    home: Path
    config: Path
    sizes: list[int] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)  # slots that the ledger has held
    outcomes: Counter[str] = field(default_factory=Counter)

    def run(self, today: date, as_of: str | None = None) -> str:
        """One run in this process; its outcome. Raises AssertionError when it fails."""
        from forecast.scheduling.config_file import load_config
        from forecast.scheduling.run import run_job

        job = load_config(self.config, {}).jobs[self.feed.name]
        made = run_job(job, as_of=as_of, now=self.feed.moment(today))
        assert made.exit_code in (0, 3), f"{self.feed.name}, {today}: {made}"
        self.outcomes[made.outcome] += 1
        return made.outcome

    def day(self, today: date, rng: random.Random) -> None:
        """The run of a day, sometimes started twice, sometimes for an earlier as-of as well."""
        snapshot = self.feed.write(self.home / f"{self.feed.name}.csv", today)
        first = self.run(today)
        if snapshot not in self.feed.slots:
            assert first == "published", f"{self.feed.name}, {today}: {first} for a new slot"
        self.feed.slots[snapshot] = self.feed.slots.get(snapshot, 0) + 1
        assert self.current() == snapshot, f"{today}: {self.current()} is current, not {snapshot}"
        if rng.random() < 0.05:
            assert self.run(today) == "already done", f"{today}: started twice, published twice"
            self.feed.events["started twice"] += 1
        if rng.random() < 0.05 and len(self.feed.slots) > 3:
            self.again(today, sorted(self.feed.slots)[-3])
            assert self.current() == snapshot, f"{today}: an earlier as-of has become current"

    def again(self, today: date, snapshot: str) -> None:
        """A run for an earlier slot, if the data still go back to it."""
        at = datetime.fromisoformat(snapshot).astimezone(self.feed.world.zone)
        if self.feed.window is None or (today - at.date()).days < self.feed.window - 10:
            self.run(today, at.replace(tzinfo=None).isoformat())
            self.feed.events["an earlier as-of again"] += 1

    def current(self) -> str:
        """The as-of of the published forecast, in UTC."""
        manifest = json.loads((self.home / self.feed.name / "current/manifest.json").read_bytes())
        at = datetime.fromisoformat(manifest["as_of"])
        zone = self.feed.world.zone
        return at.replace(tzinfo=at.tzinfo or zone).astimezone(UTC).isoformat()

    def check(self) -> None:
        """The ledger and the disk as they must be."""
        from _rehearsal import ledger_runs, published

        job = self.home / self.feed.name
        published(job)
        runs = [path for path in (job / "runs").iterdir() if (path / "manifest.json").exists()]
        assert len(runs) <= MOST_RUNS, f"{len(runs)} runs are kept"
        list(ledger_runs(job / "ledger.sqlite"))
        with closing(sqlite3.connect(job / "ledger.sqlite")) as ledger:
            times = [text for (text,) in ledger.execute("select cutoff_time from runs")]
        zone = self.feed.world.zone
        slots = {datetime.fromisoformat(t) for t in times}
        found = Counter(at.replace(tzinfo=at.tzinfo or zone).astimezone(UTC).isoformat()
                        for at in slots)  # fmt: skip
        assert max(found.values()) == 1 and len(times) == len(slots), "a slot is there twice"
        self.recorded |= set(found)
        assert len(found) <= REMEMBERED, f"the ledger holds {len(found)} cutoffs"
        missing = set(self.feed.slots) - self.recorded
        strange = self.recorded - set(self.feed.slots)
        assert not missing, f"slots without a forecast: {sorted(missing)[:5]}"
        assert not strange, f"forecasts for no slot: {sorted(strange)[:5]}"
        self.sizes.append(sum(p.stat().st_size for p in job.rglob("*") if p.is_file()))


def in_json(each: Life) -> dict[str, Any]:
    """All that a life is beside its folder; `restore` takes it back."""
    feed = each.feed
    version, numbers, gauss = feed.rng.getstate()
    values = [
        (name, at.isoformat(), value, feed.world.known_from[name, at].isoformat())
        for (name, at), value in feed.world.values.items()
    ]
    return {
        "alive": feed.alive, "slots": feed.slots, "events": feed.events, "values": values,
        "rng": [version, numbers, gauss], "sizes": each.sizes,
        "recorded": sorted(each.recorded), "outcomes": each.outcomes,
    }  # fmt: skip


def restore(each: Life, kept: dict[str, Any]) -> None:
    """Makes of a life that has just begun the one that `in_json` told of."""
    feed, world = each.feed, each.feed.world
    feed.alive, feed.slots, feed.events = (
        tuple(kept["alive"]),
        kept["slots"],
        Counter(kept["events"]),
    )
    for name, at, value, known in kept["values"]:
        world.values[name, datetime.fromisoformat(at)] = value
        world.known_from[name, datetime.fromisoformat(at)] = date.fromisoformat(known)
    feed.rng.setstate(state_of(kept["rng"]))
    each.sizes, each.recorded = kept["sizes"], set(kept["recorded"])
    each.outcomes = Counter(kept["outcomes"])


class Soak:
    """Both jobs through all the years, from the beginning or from a snapshot."""

    def __init__(self, years: int, every: int, seed: int, snapshots: Snapshots) -> None:
        self.snapshots, self.rng = snapshots, random.Random(seed)
        self.days = wanted_days(years, every)
        config = snapshots.folder / "batch.yaml"
        config.write_text(CONFIG)
        self.lives = [Life(feed, snapshots.folder, config) for feed in feeds(seed)]
        self.at = snapshots.progress(years * 365 + years // 4)
        if not self.at.done:
            for each in self.lives:
                each.feed.begin()
            return
        kept = snapshots.kept()
        self.rng.setstate(state_of(kept["rng"]))
        for each, told in zip(self.lives, kept["lives"], strict=True):
            restore(each, told)

    def save(self) -> None:
        """A snapshot to go on from."""
        lives = [in_json(each) for each in self.lives]
        self.snapshots.keep(self.at, {"rng": self.rng.getstate(), "lives": lives})

    def live(self, end: float) -> None:
        """Day after day, until the last one or until the clock (monotonic) says `end`."""
        while self.at.done < self.at.of and time.monotonic() < end:
            n = self.at.done
            today = START + timedelta(days=n)
            for each in self.lives:
                each.feed.yesterday(today, quiet=n == 0)
                if today in self.days:
                    each.day(today, self.rng)
            self.at.done += 1
            if n % 365 == 364:
                for each in self.lives:
                    each.check()
            if self.at.done % SAVED == 0:
                self.save()
                print(f"{self.at.done:,} of {self.at.of:,} days", flush=True)
        self.save()


def tell(soak: Soak) -> None:
    """What was lived through, and whether the disk has stayed as it was."""
    for each in soak.lives:
        events = ", ".join(f"{what} {n}" for what, n in sorted(each.feed.events.items()))
        sizes = ", ".join(f"{size / 1024:,.0f}" for size in each.sizes)
        print(f"{each.feed.name}: {dict(each.outcomes)}, {len(each.feed.slots):,} slots, each "
              f"published once; {events}; KiB by year: {sizes}")  # fmt: skip
        if each.sizes:
            grown = each.sizes[-1] - each.sizes[min(2, len(each.sizes) - 1)]
            assert grown < 0.1 * each.sizes[-1], f"the disk fills: {grown} bytes since year 3"
    cpu, wall = soak.at.spent().values()
    print(f"{soak.at.told() or 'all '}days in {wall:,.0f} s, {cpu:,.0f} CPU seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--every", type=int, default=14, help="runs on each n-th day between")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="every day, and write the outcome")
    going_on(parser)
    given = parser.parse_args()
    every = 1 if given.full else given.every
    with tempfile.TemporaryDirectory(prefix="lstmcast-soak-") as folder:
        soak = Soak(given.years, every, given.seed, Snapshots(given.state, Path(folder)))
        soak.live(time.monotonic() + (given.seconds or float("inf")))
        for each in soak.lives:
            each.check()
        tell(soak)
    if given.full:
        runs = sum(sum(each.outcomes.values()) for each in soak.lives)
        slots = sum(len(each.feed.slots) for each in soak.lives)
        events = Counter[str]()
        for each in soak.lives:
            events += each.feed.events
        days = soak.at.told() or f"{soak.at.of:,} "
        record(f"{days}days of {given.years} years, daily runs of two jobs in two time zones: "
               f"{runs:,} runs, "
               + ", ".join(f"{what} {n}" for what, n in sorted(events.items())),
               f"{slots:,} slots, each published once; the ledger in order; disk flat",
               soak.at)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
