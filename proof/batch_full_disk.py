"""A disk that fills and empties under a job: readers see whole forecasts, room heals all.

    python proof/batch_full_disk.py            # bounded: 10 times
    python proof/batch_full_disk.py --full     # 120 times, 320 runs

The folder of a job lies on a filesystem of its own of a few megabytes (a tmpfs; mounting it needs
root: without, it is skipped, and said). Ballast takes a random share of what is free, before a run
and while it works, and comes and goes; most runs have a day of new data. However a run ends: its
exit code is 0, or 74 with the full disk named, and 0 only with the new forecast published; a
reader finds the old forecast or the new one, whole; and once there is room, the next run publishes
the bytes that an undisturbed job publishes, ledger and `status` in order, nothing left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _record import record
from _rehearsal import (
    HISTORY,
    Published,
    Rehearsal,
    consistent,
    ended,
    ledger_runs,
    published,
    warming,
)
from _rehearsal import lstmcast as command

SIZE = 6 * 2**20  # bytes of the filesystem
DAYS = 12  # days of new data in a life of the job; then it begins anew
PAGE = 4096


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A filesystem of SIZE bytes at `place` while the block works."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "lstmcast-proof", str(place)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Disk:
    """The filesystem, and the ballast on it."""

    def __init__(self, place: Path) -> None:
        self._place, self._ballast = place, place / "ballast"

    def free(self) -> int:
        found = os.statvfs(self._place)
        return found.f_bavail * found.f_frsize

    def leave(self, room: int) -> None:
        """Takes all of it but `room` bytes, or what there is."""
        self.empty()
        wanted = self.free() - room
        with self._ballast.open("wb") as file:
            if wanted > 0:
                os.posix_fallocate(file.fileno(), 0, wanted)

    def empty(self) -> None:
        """Gives the ballast back."""
        self._ballast.unlink(missing_ok=True)


class Trial:
    """A job on the small disk beside one that has all the room there is."""

    def __init__(self, folder: Path, disk: Disk, seed: int) -> None:
        self.disk, self.rng = disk, random.Random(seed)
        self.calm = Rehearsal(folder / "calm")
        self.starved = Rehearsal(folder / "starved")
        self.place = folder / "disk"
        self.tally: Counter[str] = Counter()
        self.need, self.day = 0, 0

    def begin(self) -> None:
        """Both jobs with one forecast of the first day; what undisturbed runs publish then."""
        for job in (self.calm, self.starved):
            job.begin()
            job.job.parent.joinpath("metrics").mkdir()
        (self.place / "sales").mkdir()
        self.starved.job.symlink_to(self.place / "sales")  # the job's folder alone lies there
        self.calm.write_data(HISTORY)
        assert self.warm(self.calm) == 0, self.calm.words()
        self._wanted = [published(self.calm.job)]
        self.anew()

    def wanted(self, day: int) -> Published:
        """What an undisturbed job publishes on that day."""
        while len(self._wanted) <= day:
            self.calm.write_data(HISTORY + len(self._wanted))
            assert self.calm.run() == 0, self.calm.words()
            self._wanted.append(published(self.calm.job))
        return self._wanted[day]

    def warm(self, job: Rehearsal) -> int:
        words = ("run", str(job.home / "batch.yaml"), "--job", "sales")
        return warming(lambda: command(*words), job.log)

    def anew(self) -> None:
        """The job on the small disk at its first day."""
        self.disk.empty()
        for path in (self.place / "sales").iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.day = 0
        self.starved.write_data(HISTORY)
        before = self.disk.free()
        assert self.starved.run() == 0, self.starved.words()
        self.need = max(self.need, before - self.disk.free())
        assert published(self.starved.job) == self.wanted(0)

    def once(self) -> None:
        """A run with little room, or with room that comes and goes; then one with all of it."""
        if self.day == DAYS:
            self.anew()
        old = self.wanted(self.day)
        new_data = self.rng.random() < 0.8
        if new_data:
            self.day += 1
            self.starved.write_data(HISTORY + self.day)
        new = self.wanted(self.day)
        room = self.rng.choice((0, 1, 2)) * PAGE if self.rng.random() < 0.2 else None
        self.disk.leave(self.rng.randrange(int(1.5 * self.need)) if room is None else room)
        code = self.run_while_it_changes()
        words = self.starved.words()
        assert code in (0, 74), f"exit code {code}\n{words}"
        assert code == 0 or "output/disk-full" in words, f"another reason is told\n{words}"
        found = published(self.starved.job)
        assert found in (old, new), f"neither the old nor the new forecast: {found}"
        if code == 0:
            assert found == new, f"exit code 0, and nothing was published\n{words}"
        self.tally[f"exit code {code}, the {'new' if found == new else 'old'} forecast"] += 1
        if self.rng.random() < 0.5:  # as often as not the disk stays full for another run
            again = self.starved.run()
            assert again in (0, 74), f"exit code {again}\n{self.starved.words()}"
            assert published(self.starved.job) in (found, new)
            self.tally["runs"] += 1
        self.disk.empty()
        self.heal(new)

    def run_while_it_changes(self) -> int:
        """A run; half of them see the ballast change while they work."""
        pid = self.starved.start()
        self.tally["runs"] += 1
        if self.rng.random() < 0.5:
            for _ in range(self.rng.choice((1, 2, 4))):
                time.sleep(self.rng.uniform(0.0, 0.15))
                try:
                    self.disk.leave(self.rng.randrange(2 * self.need))
                except OSError:  # the run was faster to take the room
                    self.tally["the run took the room first"] += 1
            self.tally["filled and emptied within a run"] += 1
        return ended(pid)

    def heal(self, new: Published) -> None:
        """The next run with room publishes what an undisturbed job does."""
        code = self.starved.run()
        self.tally["runs"] += 1
        assert code == 0, f"with room again: exit code {code}\n{self.starved.words()}"
        found = published(self.starved.job)
        assert found == new, f"with room again: {found}, not {new}\n{self.starved.words()}"
        consistent(self.starved.job)
        rows = dict(ledger_runs(self.starved.job / "ledger.sqlite"))
        assert len(rows) == self.day + 1, f"{len(rows)} runs are in the ledger, not {self.day + 1}"
        last = json.loads((self.starved.job / "last.json").read_bytes())
        assert (last["exit_code"], last["failures_in_a_row"]) == (0, 0)
        assert self.starved.command("status") == 0, self.starved.words()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="runs with little room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="120 times, and write the outcome")
    given = parser.parse_args()
    given.times = 120 if given.full else given.times
    if sys.platform != "linux" or os.geteuid() != 0:
        print("a disk that fills and empties: skipped, only root can mount one on Linux")
        return 0
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="lstmcast-full-") as name:
        folder = Path(name)
        try:
            with small_disk(folder / "disk"):
                trial = Trial(folder, Disk(folder / "disk"), given.seed)
                trial.begin()
                for n in range(given.times):
                    try:
                        trial.once()
                    except AssertionError as problem:
                        raise AssertionError(f"time {n}, seed {given.seed}: {problem}") from None
        except subprocess.CalledProcessError as problem:
            print(f"a disk that fills and empties: skipped, no tmpfs here: {problem.stderr!r}")
            return 0
    print(dict(sorted(trial.tally.items())))
    print(
        "a disk that fills and empties: nothing torn, nothing lost, every run with room published"
    )
    if given.full:
        ends = ", ".join(f"{k}: {n}" for k, n in sorted(trial.tally.items()) if "exit code" in k)
        within = trial.tally["filled and emptied within a run"]
        record(f"{trial.tally['runs']} runs of a job on a disk of {SIZE >> 20} MiB, {given.times} "
               f"of them with random room, which changed while {within} of these worked",
               f"{ends}; readers saw whole forecasts alone, every next run with room published the "
               "bytes of an undisturbed job, the ledger in order")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
