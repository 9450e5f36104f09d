"""Clocks that jump: each slot published once, `current` never back.

    python proof/batch_clocks.py             # bounded: a day and a half
    python proof/batch_clocks.py --full      # a month of hours
    python proof/batch_clocks.py --full --state FOLDER --seconds 1800    # half an hour of it

Two hourly jobs on a clock of their own (_clock.c): before a run, or while it works, its clock
jumps back by minutes, hours or a day, ahead by minutes, hours, days or a year, or to 1970; some
hours later it is right again. After each run: the exit code is the one that the data as that
clock reads them must give, `current` never goes back in as-of, each slot is published once
(again only where its value was restated and its run is still there), the ledger is in order,
nothing is tidied away that retention keeps, and `status` tells the truth by the right clock.
Skipped, and said, where there is no C compiler. Clocks that change by law:
batch_clock_changes.py.
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
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from _progress import Progress, Snapshots, going_on, state_of
from _record import record
from _rehearsal import (
    ROOT,
    consistent,
    ended,
    forked,
    instant,
    ledger_runs,
    lstmcast,
    published,
    warming,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2024, 3, 4, tzinfo=UTC)  # of the month of hours
HISTORY = 8  # days before it that the file begins
STALE = 12  # hours: error_after of the job that is guarded
KEEP_LAST, KEEP_DAILY, KEEP_WEEKLY, KEEP_LOGS = 4, 6, 3, 12
KEEP_LEDGER = 1000  # more than a month has hours: every slot is told of
RULES = f"""\
    data: hours.csv
    retention: {{keep_last: {KEEP_LAST}, keep_daily: {KEEP_DAILY}, keep_weekly: {KEEP_WEEKLY},
                keep_ledger: {KEEP_LEDGER}, keep_logs: {KEEP_LOGS}}}
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

    def rest(self) -> None:
        """From now on clocks are the machine's."""
        struct.pack_into("=q", self._shown, 0, 0)


def wrong(kind: str, moment: datetime, rng: random.Random) -> datetime:
    """What a clock shows at `moment` after such a jump."""
    if kind == "to 1970":
        return datetime(1970, 1, 1, 0, rng.randrange(1, 50), tzinfo=UTC)
    return moment + timedelta(hours=rng.uniform(*JUMPS[kind]))


@dataclass
class Month:
    """Two hourly jobs and what must be true of them.

    slots: by job, as-of -> value of that hour when it was published, by the last run that did;
    reached: by job, the as-of of `current`; spell: the jump that holds and its hours to come;
    before: the as-of of each run that had a folder when the last one began.
    """

    home: Path
    rng: random.Random
    clock: Clock
    slots: dict[str, dict[datetime, str]] = field(default_factory=lambda: {j: {} for j in JOBS})
    reached: dict[str, datetime] = field(default_factory=dict)
    attempts: dict[str, list[str]] = field(default_factory=lambda: {j: [] for j in JOBS})
    tally: Counter[str] = field(default_factory=Counter)
    spell: tuple[str, int] = ("", 0)
    before: set[datetime] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.home / "batch.yaml").write_text(CONFIG)
        self._noise = [[self.rng.gauss(0, 2) for _ in SERIES] for _ in range(24 * 60)]

    def begin(self) -> None:
        """The first run of each job; what it imports is then imported here."""
        self.write(START)
        self.clock.show(START + timedelta(minutes=5))
        for job in JOBS:
            words = ("run", str(self.home / "batch.yaml"), "--job", job)
            code = warming(lambda words=words: lstmcast(*words), self.home / "last.log")
            assert code == 0, self.words()
            self.judge(job, START, START + timedelta(minutes=5), 0)

    def in_json(self) -> dict[str, Any]:
        """All that it is beside its folder; `restore` takes it back."""
        slots = {job: {f"{at:%FT%T%z}": v for at, v in s.items()} for job, s in self.slots.items()}
        reached = {job: f"{at:%FT%T%z}" for job, at in self.reached.items()}
        return {"rng": self.rng.getstate(), "slots": slots, "reached": reached,
                "attempts": self.attempts, "tally": self.tally, "spell": self.spell}  # fmt: skip

    def restore(self, kept: dict[str, Any]) -> None:
        """Makes of a month that has not begun the one that `in_json` told of."""
        self.rng.setstate(state_of(kept["rng"]))
        self.slots = {
            job: {instant(t): v for t, v in s.items()} for job, s in kept["slots"].items()
        }
        self.reached = {job: instant(text) for job, text in kept["reached"].items()}
        self.attempts, self.tally = kept["attempts"], Counter(kept["tally"])
        self.spell = tuple(kept["spell"])

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
            self.before = set(self.there(job))
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
        known = self.slots[job]
        behind = bool(known) and slot < max(known)
        if behind and slot in known and slot not in self.before:
            value = known[slot]  # let go by retention: what the ledger has of it stands
        new = known.get(slot) != value
        assert outcome == ("published" if new else "already done"), f"{slot}: {outcome}"
        if slot in self.slots[job] and new:
            self.tally["restated"] += 1
        self.slots[job][slot] = value

    def there(self, job: str) -> list[datetime]:
        """The as-of of each run that has a folder."""
        runs = [json.loads(p.read_bytes()) for p in (self.home / job).glob("runs/*/manifest.json")]
        return [instant(run["as_of"]) for run in runs]

    def kept(self, job: str) -> None:
        """Whether what retention has to keep is there, and what it may let go is gone."""
        runs = self.there(job)
        there = set(runs)
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
            assert code == (last["exit_code"] if failed else 0), f"without an age, {code}"
            assert "future" in text, "a success in the future is not said"
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


def live_through(hours: int, seed: int, snapshots: Snapshots, end: float) -> tuple[Month, Progress]:
    """The month of hours, until its last one or until the clock (monotonic) says `end`."""
    at = snapshots.progress(hours)
    month = Month(snapshots.folder, random.Random(seed), Clock())
    if at.done:
        with tempfile.TemporaryDirectory(prefix="lstmcast-clocks-") as folder:
            Month(Path(folder), random.Random(seed), month.clock).begin()  # it imports
        month.restore(snapshots.kept())
    else:
        month.begin()
        at.done = 1
    last = hours - KEEP_LOGS - 2
    while at.done < last and time.monotonic() < end:
        month.hour(START + at.done * HOUR, month.draw())
        at.done += 1
        if at.done % 24 == 0:
            snapshots.keep(at, month.in_json())
            print(f"{at.done} of {hours} hours", flush=True)
    if at.done == last:
        month.end(START + last * HOUR)
        at.done = hours
    snapshots.keep(at, month.in_json())
    return month, at


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=int, default=36)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="a month, and write the outcome")
    going_on(parser)
    given = parser.parse_args()
    given.hours = 720 if given.full else given.hours
    missing = faked()
    if missing is not None:
        print(f"clocks that jump: skipped, {missing}")
        return 0
    with tempfile.TemporaryDirectory(prefix="lstmcast-clocks-") as folder:
        snapshots = Snapshots(given.state, Path(folder))
        end = time.monotonic() + (given.seconds or float("inf"))
        month, at = live_through(given.hours, given.seed, snapshots, end)
    print(dict(sorted(month.tally.items())), flush=True)
    print(f"{at.told() or 'all '}hours: each slot published once, and current never went back")
    month.clock.rest()  # the row is of today
    if given.full:
        record(*in_words(month, at), at)
    return 0


def in_words(month: Month, at: Progress) -> tuple[str, str]:
    """What was tried, and how it ended."""
    tally = month.tally
    jumps = ", ".join(f"{kind} {tally[kind] + tally[f'within: {kind}']}" for kind in JUMPS)
    within = sum(n for kind, n in tally.items() if kind.startswith("within: "))
    ends = ", ".join(f"{n} with {what}" for what, n in sorted(tally.items()) if "exit" in what)
    slots = sum(len(each) for each in month.slots.values())
    return (
        f"{at.told() or f'{at.of} '}hours, {tally['runs']:,} runs of two jobs on a clock that "
        f"jumps ({jumps}; {within} while the run worked)",
        f"{slots:,} slots, each published once ({tally['restated']} of them again, restated by the "
        f"right clock); {ends}; current never back, the ledger in order, a last success in the "
        f"future said {tally['a last success in the future, said']} times",
    )


if __name__ == "__main__":
    sys.exit(main())
