"""Start a job twice at once: exactly one run works, the other ends with exit code 11.

python proof/batch_two_starters.py --times 1000
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from _rehearsal import Rehearsal, consistent, ended, forked, import_everything, lstmcast, published


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=60)
    given = parser.parse_args()
    import_everything()
    outcome: Counter[tuple[int, ...]] = Counter()
    with tempfile.TemporaryDirectory(prefix="lstmcast-starters-") as folder:
        trial = Rehearsal(Path(folder))
        trial.prepare()
        for n in range(given.times):
            trial.reset()
            codes = both_at_once(trial)
            assert tuple(sorted(codes)) == (0, 11), f"pair {n}: exit codes {codes}"
            assert published(trial.job) == trial.new, f"pair {n}: something else is published"
            consistent(trial.job)
            outcome[codes] += 1
    first, second = outcome[0, 11], outcome[11, 0]
    print(f"{given.times} pairs: one run and one refusal each; the first won {first}, "
          f"the second {second} times")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
