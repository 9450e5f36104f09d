"""Stop a training anywhere and go on: the weights are those of one that was never stopped, bit for
bit.

    python proof/batch_resume_training.py --full

Points: asked to stop before random optimisation steps, one to three times in a training, in the
first fit and in the refit on all data. Kills: SIGKILL at random instants, checkpoints after every
step; whoever goes on is a new process each time.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from _record import record
from _rehearsal import ended, forked

from forecast.data.forecast import LEVELS
from forecast.training.config import TrainConfig
from forecast.training.ensemble import MemberTask, fit_member
from forecast.transforms.windows import step_layout

STEPS, REFIT, SEED = 40, 0.5, 11


def task(schedule: str, every: float | None) -> MemberTask:
    """Six monthly series, a small network with dropout, and something to resume in every part."""
    rng = np.random.default_rng(5)
    time_ = np.arange(72)
    series = [100 + 5 * k + time_ * 0.3 + 15 * np.sin(2 * np.pi * time_ / 12 + k)
              + rng.normal(0, 2, 72) for k in range(6)]  # fmt: skip
    offsets = np.arange(7) * 72
    config = TrainConfig(
        steps=STEPS, batch_size=8, context=12, origins_per_window=4, horizon=6,
        levels=LEVELS, hidden_size=8, layers=2, dropout=0.2, learning_rate=3e-3,
        schedule=schedule, warmup=4, weight_decay=0.01, clip=1.0, average=0.9,
        patience=50, device="cpu", precision="fp32", seconds=None,
    )  # fmt: skip
    return MemberTask(
        np.concatenate(series), offsets, np.full(6, 60), np.array([[54] * 6, [57] * 6]),
        step_layout(12), config, REFIT, 0.3, None, every,
    )  # fmt: skip


class StopAfter:
    """Asks to stop from the n-th time on that it is looked at."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def trained(taught: MemberTask, place: Path | None, stopping: Callable[[], bool]) -> bytes | None:
    """The bits of both fits' weights; None when it was stopped before the end."""
    scored, final, _ = fit_member(taught, SEED, stopping, lambda event: None, place)
    if final is None:
        return None
    both = {**{f"a.{k}": v for k, v in scored.weights.items()}, **final}
    return b"".join(both[name].tobytes() for name in sorted(both))


def at_points(count: int, schedule: str, wanted: bytes, rng: random.Random) -> int:
    """Trainings that were stopped at `count` points in all; raises on another bit."""
    done = 0
    while done < count:
        with tempfile.TemporaryDirectory(prefix="lstmcast-resume-") as folder:
            place, stops = Path(folder) / "member-0", rng.randint(1, 3)
            result: bytes | None = None
            points: list[int] = []
            while result is None:
                points.append(rng.randint(0, STEPS) if len(points) < stops else 10**9)
                result = trained(task(schedule, 3600.0), place, StopAfter(points[-1]))
            assert result == wanted, f"{schedule}: other weights after stops at {points[:-1]}"
            done += len(points) - 1
    return done


def by_kills(count: int, wanted: bytes, rng: random.Random) -> int:
    """Trainings that were killed `count` times in all, each going on in a new process."""
    done = 0
    while done < count:
        with tempfile.TemporaryDirectory(prefix="lstmcast-resume-") as folder:
            place, result = Path(folder) / "member-0", Path(folder) / "weights"

            def work(place: Path = place, result: Path = result) -> int:
                found = trained(task("cosine", 0.0), place, lambda: False)
                assert found is not None
                result.write_bytes(found)
                return 0

            while True:
                pid = forked(work, Path(folder) / "log")
                if done < count:
                    time.sleep(rng.uniform(0, 0.6))
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                code = ended(pid)
                if code == 0:
                    break
                assert code == -signal.SIGKILL, (Path(folder) / "log").read_text()
                done += 1
            assert result.read_bytes() == wanted, "other weights after a SIGKILL"
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="50 and 50, and write the outcome")
    given = parser.parse_args()
    if given.full:
        given.points, given.kills = 50, 50
    import torch

    torch.set_num_threads(1)
    rng = random.Random(given.seed)
    half, wanted = given.points // 2, b""
    points = 0
    for schedule, count in (("plateau", half), ("cosine", given.points - half)):
        wanted = trained(task(schedule, None), None, lambda: False) or b""
        points += at_points(count, schedule, wanted, rng)
    kills = by_kills(given.kills, wanted, rng)
    print(f"{points} stops and {kills} kills: the weights of every training are bit-equal")
    if given.full:
        record(f"training stopped at {points} random points and resumed, two schedules, both fits; "
               f"{kills} SIGKILLs at random instants", "every weight bit-equal to the training "
               "that was never stopped")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
