"""Clocks that jump and clocks that change: each slot published once, `current` never back.

    python proof/batch_clocks.py             # bounded: a day and a half, one zone
    python proof/batch_clocks.py --full      # a month of hours, four zones

1. Two hourly jobs on a clock of their own (_clock.c): before a run, or while it works, its clock
   jumps back by minutes, hours or a day, ahead by minutes, hours, days or a year, or to 1970; some
   hours later it is right again. After each run: the exit code is the one that the data as that
   clock reads them must give, `current` never goes back in as-of, each slot is published once
   (again only where its value was restated), the ledger is in order, nothing is tidied away that
   retention keeps, and `status` tells the truth by the right clock. Skipped, and said, where there
   is no C compiler.
2. Both clock changes of a year in four zones (one of half an hour), data in local time and with
   ISO offsets: an hourly job, and daily ones at 02:30 over daily and over hourly values, started
   when their timer or their line in a crontab of another zone would start them. One forecast for
   each slot.
"""

from __future__ import annotations

import argparse
import io
import json
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from _record import record
from _rehearsal import ROOT, consistent, ended, forked, ledger_runs, lstmcast, published, warming

from forecast.scheduling.timers import SKIPPED, When, cron_times

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2024, 3, 4, tzinfo=UTC)  # of the month of hours
HISTORY = 8  # days before it that the file begins
STALE = 12  # hours: error_after of the job that is guarded
KEEP_LAST, KEEP_DAILY, KEEP_WEEKLY, KEEP_LOGS = 4, 6, 3, 12
RULES = f"""\
    data: hours.csv
    retention: {{keep_last: {KEEP_LAST}, keep_daily: {KEEP_DAILY}, keep_weekly: {KEEP_WEEKLY},
                keep_ledger: 200, keep_logs: {KEEP_LOGS}}}
    schedule: {{every: hour, at: "00:05", time_zone: UTC}}
"""
CONFIG = f"""\
jobs:
  guarded:
    model: pretrained
    freshness: {{error_after: {STALE}h}}
    settings: {{forecast: {{horizon: 6}}, data: {{tz: UTC}}}}
{RULES}
  trained:
    model: trained
    retrain: {{every: 6d, live_error_over: null, coverage_off: null}}
    settings:
      forecast: {{horizon: 6}}
      data: {{tz: UTC}}
      network: {{hidden_size: 8, layers: 1}}
      training: {{members: 1, max_steps: 20, jobs: 1, device: cpu, seed: 3}}
{RULES}
"""
CLOCK = "CLOCK_SHOWN"  # the variable that names the file which _clock.c reads
JOBS = {"guarded": 1, "trained": 8}  # the hours from one run to the next
SERIES = ("a", "b")
# Hours by which a clock is wrong; "1970" steps to the first minutes of 1970.
JUMPS: dict[str, tuple[float, float]] = {
    "back by minutes": (-0.8, -0.1),
    "back by hours": (-20.0, -1.0),
    "back by a day": (-30.0, -24.0),
    "ahead by minutes": (0.1, 0.9),
    "ahead by hours": (1.0, 20.0),
    "ahead by days": (24.0, 150.0),
    "ahead by a year": (8700.0, 8800.0),
    "to 1970": (0.0, 0.0),
}
SURELY = {0, 3, 4, 5}  # exit codes of a run whose clock jumps while it works


def faked() -> str | None:
    """Starts this script again on a clock of its own; None where that is so, else why not."""
    if os.environ.get(CLOCK):
        return None
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return "it needs Linux and a C compiler"
    place = Path(tempfile.mkdtemp(prefix="lstmcast-clock-"))
    source = Path(__file__).with_name("_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", place / "clock.so", source],
                   check=True)  # fmt: skip
    (place / "shown").write_bytes(bytes(8))
    environ = {**os.environ, "LD_PRELOAD": str(place / "clock.so"), CLOCK: str(place / "shown"),
               "OMP_NUM_THREADS": "1"}  # fmt: skip
    os.execve(sys.executable, [sys.executable, *sys.argv], environ)


class Clock:
    """What the clock of all processes shows."""

    def __init__(self) -> None:
        handle = os.open(os.environ[CLOCK], os.O_RDWR)
        self._shown = mmap.mmap(handle, 8)
        os.close(handle)
        self._began = time.time_ns() - time.monotonic_ns()  # nothing has been moved yet

    def show(self, moment: datetime) -> None:
        """From now on clocks go on from `moment`."""
        wanted = int(moment.timestamp() * 1e9)
        struct.pack_into("=q", self._shown, 0, wanted - self._began - time.monotonic_ns())


def wrong(kind: str, moment: datetime, rng: random.Random) -> datetime:
    """What a clock shows at `moment` after such a jump."""
    if kind == "to 1970":
        return datetime(1970, 1, 1, 0, rng.randrange(1, 50), tzinfo=UTC)
    return moment + timedelta(hours=rng.uniform(*JUMPS[kind]))


@dataclass
class Month:
    """Two hourly jobs and what must be true of them.

    slots: by job, as-of -> value of that hour when it was published, by the last run that did;
    reached: by job, the as-of of `current`; spell: the jump that holds and its hours to come.
    """

    home: Path
    rng: random.Random
    clock: Clock
    slots: dict[str, dict[datetime, str]] = field(default_factory=lambda: {j: {} for j in JOBS})
    reached: dict[str, datetime] = field(default_factory=dict)
    attempts: dict[str, list[str]] = field(default_factory=lambda: {j: [] for j in JOBS})
    tally: Counter[str] = field(default_factory=Counter)
    spell: tuple[str, int] = ("", 0)

    def __post_init__(self) -> None:
        (self.home / "batch.yaml").write_text(CONFIG)
        self._noise = [[self.rng.gauss(0, 2) for _ in SERIES] for _ in range(24 * 60)]

    def value(self, at: datetime, k: int, part: float = 1.0) -> str:
        n = int((at - START) / HOUR)
        shape = 20.0 * abs(12 - at.hour) / 12 + 5.0 * (at.weekday() > 4)
        return f"{part * (100 + 30 * k + shape + self._noise[n % len(self._noise)][k]):.3f}"

    def write(self, hour: datetime) -> None:
        """The file at five past `hour`: that hour has begun, a twelfth of its value is there."""
        rows = ["unique_id,ds,y"]
        for k, name in enumerate(SERIES):
            at = START - HISTORY * DAY
            while at <= hour:
                value = self.value(at, k, 1 if at < hour else 1 / 12)
                rows.append(f"{name},{at:%Y-%m-%d %H:%M},{value}")
                at += HOUR
        fresh = self.home / "hours.new"
        fresh.write_text("\n".join(rows) + "\n")
        fresh.replace(self.home / "hours.csv")

    def command(self, *words: str) -> int:
        return ended(forked(lambda: lstmcast(*words), self.home / "last.log"))

    def words(self) -> str:
        return (self.home / "last.log").read_text(errors="replace")[-3000:]

    def draw(self) -> str:
        """The jump of this hour: one that goes on, a new one, or none ("")."""
        kind, hours = self.spell
        if hours:
            self.spell = (kind, hours - 1)
            return kind
        if self.rng.random() < 0.6:
            return ""
        kind = self.rng.choice(list(JUMPS))
        self.spell = (kind, self.rng.choice((0, 0, 1, 4)))
        return kind

    def hour(self, hour: datetime, kind: str) -> None:
        """The runs of an hour: with the clock right or wrong from the start, or with a jump."""
        truth = hour + timedelta(minutes=5)
        self.write(hour)
        within = bool(kind) and self.rng.random() < 0.3
        for job in (name for name, every in JOBS.items() if hour.hour % every == 0):
            shown = wrong(kind, truth, self.rng) if kind else truth
            self.clock.show(truth if within else shown)
            code = self.jumping(job, shown) if within else self.start(job)
            self.tally[f"{'within: ' if within else ''}{kind or 'right'}"] += 1
            self.tally[f"exit code {code}"] += 1
            where = f"{job}, {truth:%d %H:%M}, clock {shown:%Y-%m-%d %H:%M}, within: {within}"
            try:
                self.judge(job, hour, None if within else shown, code)
                self.clock.show(truth)
                if kind or hour.hour == 0:
                    self.status(job, truth)
            except AssertionError as problem:
                raise AssertionError(f"{where}: code {code}: {problem}\n{self.words()}") from None

    def start(self, job: str) -> int:
        self.tally["runs"] += 1
        words = ("run", str(self.home / "batch.yaml"), "--job", job)
        if self.tally["runs"] % 60:
            return self.command(*words)
        with (self.home / "last.log").open("wb") as log:  # as cron would
            return subprocess.run(
                [sys.executable, "-m", "forecast", *words],
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            ).returncode  # fmt: skip

    def jumping(self, job: str, shown: datetime) -> int:
        """A run whose clock jumps while it works."""
        self.tally["runs"] += 1
        words = ("run", str(self.home / "batch.yaml"), "--job", job)
        pid = forked(lambda: lstmcast(*words), self.home / "last.log")
        time.sleep(self.rng.uniform(0.01, 0.25))
        self.clock.show(shown)
        return ended(pid)

    def judge(self, job: str, hour: datetime, shown: datetime | None, code: int) -> None:
        """Whether the run has done what the data, read by that clock, ask for.

        shown: what the clock showed; None: it jumped while the run worked.
        """
        folder = self.home / job
        last = json.loads((folder / "last.json").read_bytes())
        assert last["exit_code"] == code, f"last.json says {last['exit_code']}"
        assert (folder / last["log"]).exists(), "the log of the attempt is gone"
        self.attempts[job].append(last["log"])
        if shown is None:
            assert code in SURELY, "no documented end"
            slot = instant(last["as_of"]) if code in (0, 3) else None
        else:
            slot = self.expected(job, hour, shown, code)
        if slot is not None:
            self.published_once(job, slot, hour, last["outcome"])
        if not self.slots[job]:
            return
        found = instant(published(folder).as_of)
        assert found >= self.reached.get(job, found), f"current went back to {found}"
        assert found == max(self.slots[job]), f"{found} is current, not {max(self.slots[job])}"
        self.reached[job] = found
        consistent(folder)
        self.kept(job)

    def expected(self, job: str, hour: datetime, shown: datetime, code: int) -> datetime | None:
        """The slot that a run has to see by that clock, None where it has to refuse."""
        seen = min(hour, shown.replace(minute=0, second=0, microsecond=0) - HOUR)
        if seen < START - HISTORY * DAY:
            assert code == 4, "nothing lies before that clock"
            return None
        if job == "guarded" and shown - seen > STALE * HOUR:
            assert code == 5, "the data are too old by that clock"
            return None
        assert code == 0, "the run should have ended well"
        return seen

    def published_once(self, job: str, slot: datetime, hour: datetime, outcome: str) -> None:
        """Whether the slot was published now if and only if it or its value was new."""
        value = self.value(slot, 0, 1 if slot < hour else 1 / 12)
        new = self.slots[job].get(slot) != value
        assert outcome == ("published" if new else "already done"), f"{slot}: {outcome}"
        if slot in self.slots[job] and new:
            self.tally["restated"] += 1
        self.slots[job][slot] = value

    def kept(self, job: str) -> None:
        """Whether what retention has to keep is there, and what it may let go is gone."""
        runs = [json.loads(p.read_bytes()) for p in (self.home / job).glob("runs/*/manifest.json")]
        there = {instant(run["as_of"]) for run in runs}
        slots = sorted(self.slots[job], reverse=True)
        wanted = set(slots[:1])
        for period, most in (("%F", KEEP_DAILY), ("%G-%V", KEEP_WEEKLY)):
            newest: dict[str, datetime] = {}
            for slot in slots:
                newest.setdefault(slot.strftime(period), slot)
            wanted |= set(list(newest.values())[:most])
        assert wanted <= there, f"tidied away: {sorted(wanted - there)}"
        most = KEEP_LAST + KEEP_DAILY + KEEP_WEEKLY + 2
        assert len(runs) <= most, f"{len(runs)} runs are kept"
        logs = list((self.home / job / "logs").iterdir())
        assert len(logs) <= KEEP_LOGS, f"{len(logs)} logs are kept"

    def status(self, job: str, truth: datetime) -> None:
        """Whether `status` tells the truth by the right clock."""
        words = ("status", str(self.home / "batch.yaml"), "--job", job, "--max-age", "150m")
        code, text = said(*words, "--json")
        found = json.loads(text)["jobs"][0]
        last = json.loads((self.home / job / "last.json").read_bytes())
        success = last["last_success"]
        at = datetime.fromisoformat(success["at"]) if success else None
        fresh = at is not None and timedelta(minutes=-5) < truth - at <= timedelta(minutes=150)
        failed = last["outcome"] in ("failed", "stale", "interrupted")
        wanted = 5 if not fresh else last["exit_code"] if failed else 0
        assert code == wanted, f"--max-age ends with {code}, not {wanted}; last success {at}"
        assert found["last_attempt"]["outcome"] == last["outcome"]
        if at is not None and at - truth > timedelta(minutes=6):
            self.tally["a last success in the future, said"] += 1
            assert found["last_success"]["in_the_future"] is True
            code, text = said(*words[:-2])
            assert code == 0 and "future" in text, "a success in the future is not said"
        reached = self.reached.get(job)
        assert (found["published"] is None) == (reached is None)
        if reached is not None:
            assert instant(found["published"]["as_of"]) == reached

    def end(self, hour: datetime) -> None:
        """With the clock right again, everything comes to order by itself."""
        for n in range(KEEP_LOGS + 2):
            self.hour(hour + n * HOUR, "")
        logs = {f"logs/{p.name}" for p in (self.home / "guarded/logs").iterdir()}
        assert logs == set(self.attempts["guarded"][-KEEP_LOGS:]), "the newest logs are not kept"
        for job in JOBS:
            last = json.loads((self.home / job / "last.json").read_bytes())
            assert last["outcome"] == "published" and last["failures_in_a_row"] == 0
            with_rows = dict(ledger_runs(self.home / job / "ledger.sqlite"))
            assert len(with_rows) == len(self.slots[job]), "slots and ledger differ"


def said(*words: str) -> tuple[int, str]:
    """Exit code and words of a command that changes nothing, in this process."""
    with redirect_stdout(io.StringIO()) as text:
        code = lstmcast(*words)
    return code, text.getvalue()


def instant(text: str) -> datetime:
    """The moment of an as-of."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)


def live_through(hours: int, seed: int, home: Path) -> Month:
    """The month of hours."""
    month = Month(home, random.Random(seed), Clock())
    month.write(START)
    month.clock.show(START + timedelta(minutes=5))
    for job in JOBS:
        words = ("run", str(home / "batch.yaml"), "--job", job)
        code = warming(lambda words=words: lstmcast(*words), home / "last.log")
        assert code == 0, month.words()
        month.judge(job, START, START + timedelta(minutes=5), 0)
    for n in range(1, hours - KEEP_LOGS - 2):
        month.hour(START + n * HOUR, month.draw())
    month.end(START + (hours - KEEP_LOGS - 2) * HOUR)
    return month


# --- Clock changes: one forecast for each slot, in local time and with ISO offsets ----------------


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


def through_changes(zones: tuple[str, ...], around: timedelta, folder: Path) -> Counter[str]:
    """All jobs around both changes in each zone, in both notations."""
    tally: Counter[str] = Counter()
    kinds = {"hourly": (HOUR, "hour", "00:15"), "daily": (DAY, "day", "02:30"),
             "nightly": (HOUR, "day", "02:30")}  # fmt: skip
    for key in zones:
        zone = ZoneInfo(key)
        for at in clock_changes(zone):
            for iso in (False, True):
                for name, (step, every, clock) in kinds.items():
                    home = folder / f"{name}-{len(tally)}-{tally['runs']}"
                    home.mkdir()
                    change = Change(name, zone, step, iso, at, home)
                    if step == DAY and iso and not change.has_midnights():
                        continue  # no time of day there that all days have
                    change.config(every, clock)
                    when = When(every, 2, 30, zone=key)  # type: ignore[arg-type]
                    starts = (cron_starts(when, at.replace(minute=0) - AROUND, at + AROUND)
                              if every == "day" else
                              hours(at - around, at + around, change))  # fmt: skip
                    tally["runs"] += change.live(starts)
                    tally["slots"] += len(change.slots)
                    if every == "day":
                        days = {s.astimezone(zone).date() for s in change.slots}
                        whole = (max(days) - min(days)).days + 1
                        assert len(days) == whole, f"{name}, {key}, {at}: a day was missed"
            tally["changes"] += 1
            shutil.rmtree(folder)
            folder.mkdir()
    return tally


def hours(first: datetime, last: datetime, change: Change) -> Iterator[datetime]:
    """A quarter past each step."""
    return (at + timedelta(minutes=15) for at in change.grid() if first <= at < last)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=int, default=36)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="a month, and write the outcome")
    parser.add_argument(
        "--zones", type=int, default=1, help="whose clock changes are lived through"
    )
    given = parser.parse_args()
    if given.full:
        given.hours, given.zones = 720, len(ZONES)
    missing = faked()
    if missing is not None:
        print(f"clocks that jump: skipped, {missing}")
    else:
        with tempfile.TemporaryDirectory(prefix="lstmcast-clocks-") as folder:
            month = live_through(given.hours, given.seed, Path(folder))
            print(dict(sorted(month.tally.items())), flush=True)
    zones = (ZONES * 2)[given.seed % len(ZONES) :][: given.zones]
    with tempfile.TemporaryDirectory(prefix="lstmcast-changes-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        changes = through_changes(zones, HOUR * (9 if given.full else 5), home)
        print(dict(changes))
    print("each slot published once, and current never went back")
    if given.full and missing is None:
        record(*in_words(month, changes, given.hours))
    return 0


def in_words(month: Month, changes: Counter[str], hours_: int) -> tuple[str, str]:
    """What was tried, and how it ended."""
    tally = month.tally
    jumps = ", ".join(f"{kind} {tally[kind] + tally[f'within: {kind}']}" for kind in JUMPS)
    within = sum(n for kind, n in tally.items() if kind.startswith("within: "))
    ends = ", ".join(f"{n} with {what}" for what, n in sorted(tally.items()) if "exit" in what)
    tried = (
        f"{hours_} hours, {tally['runs']:,} runs of two jobs on a clock that jumps ({jumps}; "
        f"{within} while the run worked); {changes['changes']} clock changes in {len(ZONES)} "
        f"zones, local times and ISO offsets, hourly and at 02:30 ({changes['runs']:,} runs)"
    )
    slots = sum(len(each) for each in month.slots.values()) + changes["slots"]
    return tried, (
        f"{slots:,} slots, each published once ({tally['restated']} of them again, restated by the "
        f"right clock); {ends}; current never back, the ledger in order, a last success in the "
        f"future said {tally['a last success in the future, said']} times"
    )


if __name__ == "__main__":
    sys.exit(main())
