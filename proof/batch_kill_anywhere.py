"""Kill, starve and damage a run at every instant: nothing torn, nothing lost, the next run clean.

    python proof/batch_kill_anywhere.py          # bounded
    python proof/batch_kill_anywhere.py --full   # every change, 1,000 random instants

1. SIGKILL at every traced write, rename, sync and removal of a run: before it, in the middle of
   it, after it.
2. ENOSPC and EIO at every one of them: exit code 74 (or 0, where what failed was not needed), the
   published forecast intact.
3. SIGKILL at random instants, of a run and of its trainings; faults in training processes.
After each, a reader finds the old forecast or the new one, whole; and the next run publishes the
very bytes of a run that nobody disturbed, with the ledger in order and nothing left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from _record import record
from _rehearsal import FRESH, Fault, Rehearsal, ended, faulty

KILLS = {"k": "killed before", "h": "killed half-way through", "a": "killed after"}
ERRORS = {"s": "disk full from", "o": "ENOSPC at", "e": "EIO at"}


def at_every_change(trial: Rehearsal, actions: dict[str, str], every: int) -> Counter[str]:
    """Each action at each `every`-th change of a run; how they ended."""
    total = trial.changes()
    outcome: Counter[str] = Counter(changes=total)
    for action, words in actions.items():
        for number in range(1, total + 1, every):
            trial.reset()
            code = trial.run(Fault(number, action))
            place = f"{words} change {number} of {total}"
            allowed = (-signal.SIGKILL, 0) if action in KILLS else (74, 0)
            assert code in allowed, f"{place}: exit code {code}\n{trial.words()}"
            said = trial.words()
            which = described(trial, code, place)
            if action in ERRORS and code == 0:
                assert which == "new", f"{place}: exit code 0, and nothing was published\n{said}"
            outcome[f"{words.split()[0]} {code}: {which}"] += 1
    return outcome


def at_random_instants(trial: Rehearsal, count: int, seed: int) -> Counter[str]:
    """SIGKILL at `count` instants drawn evenly from the time that a run takes."""
    rng = random.Random(seed)
    starts = {False: trial.start, True: trial.start_anew}
    lasts = {}
    for anew, start in starts.items():
        trial.reset()
        started = time.monotonic()
        assert ended(start()) == 0, trial.words()
        lasts[anew] = time.monotonic() - started
    outcome: Counter[str] = Counter()
    for n in range(1, count + 1):
        trial.reset()
        anew = n % FRESH == 0
        pid = starts[anew]()
        instant = rng.uniform(0, 1.05 * lasts[anew])
        time.sleep(instant)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        which = described(trial, code, f"killed after {instant:.4f}s of {lasts[anew]:.4f}s")
        outcome[f"random {code}: {which}"] += 1
        if code == 0:  # a run that was faster than expected: closer to its end the next time
            lasts[anew] *= 0.98
    return outcome


def in_workers(trial: Rehearsal, count: int) -> Counter[str]:
    """Kills and errors at the first `count` changes that a training process makes."""
    outcome: Counter[str] = Counter()
    for number in range(1, count + 1):
        for action in ("h", "s", "e"):
            trial.reset()
            code = trial.run(Fault(number, action, workers=True))
            place = f"{action} at change {number} of a training process"
            allowed = (70, 0) if action == "h" else (74, 0)
            assert code in allowed, f"{place}: exit code {code}\n{trial.words()}"
            outcome[f"{action} {code}: {described(trial, code, place)}"] += 1
    return outcome


def described(trial: Rehearsal, code: int, place: str) -> str:
    try:
        return trial.after(code)
    except AssertionError as problem:
        raise AssertionError(f"{place}: {problem}") from problem


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--instants", type=int, default=60, help="random instants of SIGKILL")
    parser.add_argument("--every", type=int, default=7, help="of so many changes, one is tried")
    parser.add_argument("--training", type=int, default=6, help="random kills while training")
    parser.add_argument("--workers", type=int, default=4, help="changes by training processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="all there is, and write the outcome")
    given = parser.parse_args()
    if given.full:
        given.instants, given.every, given.training, given.workers = 1000, 1, 40, 12
    shimmed = faulty()
    if given.full and not shimmed:
        parser.error("--full needs Linux and a C compiler")
    total: Counter[str] = Counter()

    def tell(what: str, outcome: Counter[str]) -> None:
        print(f"{what}:", dict(outcome), flush=True)
        total[what] = sum(outcome.values()) - outcome["changes"]
        total["changes"] = max(total["changes"], outcome["changes"])

    with tempfile.TemporaryDirectory(prefix="lstmcast-kill-") as folder:
        trial = Rehearsal(Path(folder) / "quick")
        trial.prepare()
        if shimmed:
            tell("SIGKILL", at_every_change(trial, KILLS, given.every))
            tell("errors", at_every_change(trial, ERRORS, given.every))
        else:
            print("no C compiler: only random instants are tried")
        tell("instants", at_random_instants(trial, given.instants, given.seed))
        if given.training:
            trial = Rehearsal(Path(folder) / "training", model="trained")
            trial.prepare()
            tell("training", at_random_instants(trial, given.training, given.seed))
            if shimmed:
                tell("training processes", in_workers(trial, given.workers))
    if given.full:
        record(
            f"SIGKILL before, within and after each of {total['changes']} writes, renames, syncs "
            f"and removals of a run ({total['SIGKILL']} runs); ENOSPC and EIO at each "
            f"({total['errors']}); SIGKILL at {total['instants']:,} random instants, at "
            f"{total['training']} of a run that trains, {total['training processes']} faults in "
            f"training processes; every {FRESH}th run a new process, the others forked",
            "no torn output, no forecast lost; every next run published the bytes of an "
            "undisturbed one",
        )
    print("nothing torn, nothing lost, every next run clean")
    return 0


if __name__ == "__main__":
    sys.exit(main())
