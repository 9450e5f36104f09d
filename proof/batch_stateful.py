"""All commands of scheduled runs in any order, kills and full disks between them, against a list.

    python proof/batch_stateful.py --full   # 200 lives of up to 30 commands

Hypothesis draws the order and shrinks what fails. The model is a plain list of publications (slot,
what the data held): a run appends, a rollback cuts it off, the last one is current, the last of
each slot stands. After every command a reader must find the current one whole; the ledger, opened
read-only, must hold what stands; and the same slot of the same data must have the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from sqlite3 import connect
from typing import NamedTuple

from _record import record
from _rehearsal import (
    FIRST,
    Fault,
    ended,
    faulty,
    forked,
    ledger_runs,
    lstmcast,
    published,
    warming,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

CONFIG = """\
jobs:
  sales:
    data: sales.csv
    model: pretrained
    recalibrate: false
    retention: {keep_last: 4, keep_daily: 2, keep_weekly: 1}
    settings: {forecast: {horizon: 4}}
"""
SMALL = """\
network: {hidden_size: 8, layers: 1}
training: {members: 1, max_steps: 4, refit: false, jobs: 1, device: cpu}
baselines: {names: [seasonal-naive]}
evaluation: {windows: 1}
forecast: {horizon: 4}
"""
DAYS = 40
SHIMMED = False
TRAINS = 200  # commands, from which on several trainings are among them
COMMANDS: Counter[str] = Counter()

Values = dict[str, tuple[int, ...]]


class PublishedForecast(NamedTuple):
    """One publication. snapshot: its as-of; seen: digest of the data up to it; run: its folder."""

    snapshot: int
    seen: str
    leads: bool
    run: str


class Machine(RuleBasedStateMachine):
    """One job's life."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="lstmcast-model-"))
        self.job = self.home / "sales"
        (self.home / "batch.yaml").write_text(CONFIG)
        (self.home / "small.yaml").write_text(SMALL)
        self.values: Values = {name: tuple(range(100, 100 + DAYS)) for name in "ab"}
        self.forecasts: list[PublishedForecast] = []
        self.bytes: dict[tuple[int, str], str] = {}
        self.withheld: set[tuple[int, str]] = set()  # rolled back: not of the same data again
        self.behind = False  # a run was killed: link and ledger may be behind until the next one
        self.trained: dict[str, bytes] = {}
        self.write()

    def teardown(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    # what the world does

    @rule(days=st.integers(1, 3), low=st.integers(0, 9))
    def new_days(self, days: int, low: int) -> None:
        self.values = {
            name: seen + tuple(100 + low + (n * 7 + k) % 10 for n in range(days))
            for k, (name, seen) in enumerate(self.values.items())
        }
        self.write()

    @rule(back=st.integers(1, 8), by=st.integers(1, 50))
    def restated(self, back: int, by: int) -> None:
        seen = list(self.values["a"])
        seen[-back] += by
        self.values["a"] = tuple(seen)
        self.write()

    @rule()
    def a_series_appears(self) -> None:
        if "c" not in self.values:
            self.values["c"] = self.values["a"]
            self.write()

    # what people and machines do

    @rule()
    def run(self) -> None:
        self.expect(self.last(), self.call("run"))

    @rule(back=st.integers(0, 5))
    def run_as_of(self, back: int) -> None:
        snapshot = self.last() - back
        text = (FIRST + timedelta(days=snapshot)).isoformat()
        self.expect(snapshot, self.call("run", "--as-of", text), named=True)

    @rule()
    def look_at_what_a_run_would_do(self) -> None:
        assert self.call("run", "--dry-run") == 0, self.words()

    @rule()
    def status(self) -> None:
        """It ends as the last run did: 130 where that was cut off, 0 where it is not recorded."""
        path = self.job / "last.json"
        last = json.loads(path.read_bytes()) if path.exists() else {"exit_code": 0}
        ended = 130 if last.get("state") == "running" else last["exit_code"] or 0
        failed = last.get("outcome") in ("failed", "stale", "interrupted")
        wanted = ended if ended == 130 or failed else 0
        assert self.call("status") == wanted, self.words()

    @rule()
    def score(self) -> None:
        assert self.call("score") == 0, self.words()

    @rule()
    def prune(self) -> None:
        assert self.call("prune") == 0, self.words()

    @rule()
    def rollback(self) -> None:
        code = self.call("rollback")
        leading = [each for each in self.forecasts if each.leads]
        if code == 2 and "rollback/nothing" in self.words():
            # Nothing before it, or tidied away after an earlier rollback.
            assert len(leading) < 2 or len(self.folders()) <= 1 or self.cut, self.words()
            return
        assert code == 0, self.words()
        # Retention may have let go of those right before; runs for earlier as-ofs stay.
        kept = {path.parent.name for path in self.folders()}
        to = max(n for n, each in enumerate(leading[:-1]) if each.run in kept)
        out = leading[to + 1 :]
        self.withheld |= {(each.snapshot, each.seen) for each in out}
        self.forecasts = [each for each in self.forecasts if each not in out]
        self.cut, self.behind = True, False

    cut = False  # a rollback has been made: what was before may have been tidied away

    @precondition(lambda self: SHIMMED)
    @rule(number=st.integers(1, 120), action=st.sampled_from("kha"))
    def killed(self, number: int, action: str) -> None:
        code = self.call("run", fault=Fault(number, action))
        if code == 0:
            self.expect(self.last(), code)
            return
        assert code == -signal.SIGKILL, self.words()
        self.perhaps_published()

    @precondition(lambda self: SHIMMED)
    @rule(number=st.integers(1, 120), action=st.sampled_from("soe"))
    def starved(self, number: int, action: str) -> None:
        code = self.call("run", fault=Fault(number, action))
        assert code in (0, 74), self.words()
        if code == 0:
            self.expect(self.last(), code)
        else:
            self.perhaps_published()

    @precondition(lambda self: not self.trained)
    @rule()
    def train(self) -> None:
        name = f"run-{len(self.trained)}"
        assert self.call_plainly("train", "sales.csv", "--config", "small.yaml", "--out", name) == 0
        self.trained[name] = (self.home / name / "predictions.csv").read_bytes()

    @precondition(lambda self: self.trained)
    @rule()
    def predict(self) -> None:
        name = sorted(self.trained)[-1]
        words = ("predict", "sales.csv", "--model", name, "--output", "forecast.csv")
        assert self.call_plainly(*words) == 0, self.words()
        rows = (self.home / "forecast.csv").read_text().splitlines()
        assert len(rows) == 1 + 4 * len(self.values)

    # what must hold

    @invariant()
    def readers_find_what_is_published(self) -> None:
        if (self.behind or not self.forecasts) and not os.path.lexists(self.job / "current"):
            # Nothing yet; or the first run of all was killed before there was a link.
            assert len(self.forecasts) <= 1, "there is no current any more"
            return
        found = published(self.job)
        snapshot = (FIRST.fromisoformat(found.as_of) - FIRST).days
        if self.behind:
            return
        current = [each[:2] for each in self.forecasts if each.leads][-1]
        assert snapshot == current[0], f"slot {snapshot} is current, not {current[0]}"
        assert self.bytes.setdefault(current, found.files[0][1]) == found.files[0][1]

    @invariant()
    def the_ledger_holds_what_stands(self) -> None:
        if self.behind or not (self.job / "ledger.sqlite").exists():
            return
        list(ledger_runs(self.job / "ledger.sqlite"))
        with closing(connect(self.job / "ledger.sqlite")) as ledger:
            times = {time for (time,) in ledger.execute("select cutoff_time from runs")}
        stands = {(FIRST + timedelta(days=s)).isoformat() for s, *_ in self.forecasts}
        assert times == stands, f"in the ledger {sorted(times)}, published {sorted(stands)}"

    @invariant()
    def training_runs_are_left_alone(self) -> None:
        for name, content in self.trained.items():
            assert (self.home / name / "predictions.csv").read_bytes() == content

    # the machinery

    def last(self) -> int:
        return len(self.values["a"]) - 1

    def seen(self, snapshot: int) -> str:
        """Digest of the data up to a slot."""
        view = {name: values[: snapshot + 1] for name, values in self.values.items()}
        return hashlib.sha256(json.dumps(view, sort_keys=True).encode()).hexdigest()

    def expect(self, snapshot: int, code: int, named: bool = False) -> None:
        """The model's own run: appends unless the slot stands with the same data."""
        assert code == 0, self.words()
        self.behind = False
        standing = {each.snapshot: each.seen for each in self.forecasts}
        current = [each.snapshot for each in self.forecasts if each.leads][-1:]
        if standing.get(snapshot) == self.seen(snapshot):
            assert "already done" in self.words(), self.words()
            return
        if not named and (snapshot, self.seen(snapshot)) in self.withheld:
            assert "rolled back" in self.words(), self.words()
            return
        leads = not named or not current or snapshot >= current[0]
        self.forecasts.append(
            PublishedForecast(snapshot, self.seen(snapshot), leads, self.newest()[1])
        )

    def perhaps_published(self) -> None:
        """After a run that did not end well: it is published if its manifest is there."""
        sequence, run = self.newest()
        if sequence > self.sequence:
            self.forecasts.append(PublishedForecast(self.last(), self.seen(self.last()), True, run))
        self.behind = True

    def newest(self) -> tuple[int, str]:
        """The latest publication's number and run."""
        found = [(json.loads(path.read_bytes())["sequence"], path.parent.name)
                 for path in self.folders()]  # fmt: skip
        return max(found, default=(0, ""))

    def call(self, command: str, *more: str, fault: Fault | None = None) -> int:
        """A command on the job, in a process of its own."""
        self.sequence = self.newest()[0]
        return self.call_plainly(command, "batch.yaml", *more, fault=fault)

    def call_plainly(self, *words: str, fault: Fault | None = None) -> int:
        COMMANDS[words[0]] += 1
        if fault is not None:
            COMMANDS["of them disturbed"] += 1
        place = str(self.home / "sales")
        return ended(forked(self.work(*words), self.home / "last.log", fault, place))

    def work(self, *words: str) -> Callable[[], int]:
        """A command in the life's folder, for a process of its own."""

        def work() -> int:
            os.chdir(self.home)
            return lstmcast(*words)

        return work

    def words(self) -> str:
        """What the last command said."""
        return (self.home / "last.log").read_text(errors="replace")[-3000:]

    def folders(self) -> list[Path]:
        return list(self.job.glob("runs/*/manifest.json"))

    def write(self) -> None:
        rows = [f"{name},{FIRST + timedelta(days=n)},{value}"
                for name, seen in self.values.items() for n, value in enumerate(seen)]  # fmt: skip
        path = self.home / "sales.csv"
        path.with_suffix(".new").write_text("unique_id,ds,y\n" + "\n".join(rows) + "\n")
        path.with_suffix(".new").replace(path)


def warm(training: bool) -> None:
    """Imports what the commands import, once; of what trains, only where it is worth its time."""
    life = Machine()
    for words in (
        ("run",),
        ("run", "--dry-run"),
        ("score",),
        ("rollback",),
        ("prune",),
        ("status",),
    ):
        warming(life.work(words[0], "batch.yaml", *words[1:]), life.home / "last.log")
    if not training:
        life.teardown()
        return
    train = life.work("train", "sales.csv", "--config", "small.yaml", "--out", "run-0")
    warming(train, life.home / "last.log")
    warming(life.work("predict", "sales.csv", "--model", "run-0"), life.home / "last.log")
    life.teardown()


def main() -> int:
    global SHIMMED
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="repeat a search")
    parser.add_argument("--full", action="store_true", help="200 lives, and write the outcome")
    given = parser.parse_args()
    if given.full:
        given.examples, given.steps = 200, 30
    SHIMMED = faulty()
    warm(given.examples * given.steps >= TRAINS)
    chosen = settings(
        max_examples=given.examples,
        stateful_step_count=given.steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=given.seed is None,
        database=None,
        print_blob=True,
    )
    if given.seed is not None:
        from hypothesis import seed

        run_machine(seed(given.seed)(Machine), settings=chosen)
    else:
        run_machine(Machine, settings=chosen)
    drawn = ", ".join(f"{name} {n:,}" for name, n in sorted(COMMANDS.items()))
    print(f"{given.examples} lives of up to {given.steps} commands: as the list says ({drawn})")
    if given.full:
        record(f"{given.examples} lives of up to {given.steps} commands that Hypothesis drew: "
               f"{sum(COMMANDS.values()):,} commands ({drawn})",
               "as the list says: current, ledger and bytes")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
