"""Start a job twice at once: exactly one run works, the other ends with exit code 11.

On a busy machine one may be over before the other begins: then that one must find it already done,
and the pair is tried again.

python proof/batch_two_starters.py --full   # a thousand pairs
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from _record import record
from _rehearsal import FRESH, Rehearsal, consistent, ended, forked, lstmcast, published


def both_at_once(trial: Rehearsal) -> tuple[int, int]:
    """The exit codes of two runs that are let go by one byte each."""
    config = str(trial.home / "batch.yaml")
    gate, opener = os.pipe()

    def work() -> int:
        os.read(gate, 1)
        return lstmcast("run", config, "--job", "sales")

    pids = [forked(work, trial.folder / f"starter-{n}.log") for n in range(2)]
    os.write(opener, b"go")
    codes = ended(pids[0]), ended(pids[1])
    os.close(gate)
    os.close(opener)
    return codes


def one_after_the_other(trial: Rehearsal) -> bool:
    """Whether one of two runs that ended well found the other's work done."""
    said = [(trial.folder / f"starter-{n}.log").read_text() for n in range(2)]
    return sorted("already done" in text for text in said) == [False, True]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--full", action="store_true", help="1,000, and write the outcome")
    given = parser.parse_args()
    given.times = 1000 if given.full else given.times
    outcome: Counter[tuple[int, ...]] = Counter()
    with tempfile.TemporaryDirectory(prefix="lstmcast-starters-") as folder:
        trial = Rehearsal(Path(folder))
        trial.prepare()
        n = 0
        while n < given.times:
            trial.reset()
            if (n + 1) % FRESH:
                codes = both_at_once(trial)
            else:  # as cron would: two new processes, which begin as the machine lets them
                logs = [trial.folder / f"starter-{k}.log" for k in range(2)]
                pids = trial.start_anew(log=logs[0]), trial.start_anew(log=logs[1])
                codes = ended(pids[0]), ended(pids[1])
            if codes == (0, 0) and one_after_the_other(trial):
                outcome[codes] += 1
                continue
            assert tuple(sorted(codes)) == (0, 11), f"pair {n}: exit codes {codes}"
            assert published(trial.job) == trial.new, f"pair {n}: something else is published"
            consistent(trial.job)
            outcome[codes] += 1
            n += 1
    first, second = outcome[0, 11], outcome[11, 0]
    print(f"{given.times} pairs: one run and one refusal each; the first won {first}, "
          f"the second {second} times; {outcome[0, 0]} more were one after the other")  # fmt: skip
    if given.full:
        record(f"{given.times:,} times two starts at once, every {FRESH}th pair as new processes",
               f"one run and one refusal (exit code 11) each; the first won {first}, the second "
               f"{second} times; what was published is the same each time")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
