"""Two processes train one network: as good as one, the same weights, and a lost rank costs little.

        python proof/two_ranks.py [--batch 512]
    python proof/two_ranks.py --full --state FILE --seconds 1800    # kills alone, 100 in all

A fit of the same recipe by one rank and by two (gloo, on loopback): steps a second, processor
seconds, the loss on the validation origins with three seeds, the weights of both ranks bit for bit.
Then `torchrun --nproc-per-node 2 -m forecast train`: one rank is killed (SIGKILL) once the training
has been saved; nothing is left in the output's place; the same command with one process goes on
from there and finishes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from _progress import Progress, going_on
from _record import record

SERIES, POINTS, HORIZON = 300, 400, 14
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
KILLS = 100  # a quarter of a minute of both ranks each
MOST_DIFFERENCE = 0.03  # of the validation losses, beside the spread of the seeds


def table() -> np.ndarray:
    """Daily series (S, n) with a week's season, a trend and noise."""
    rng = np.random.default_rng(0)
    level = rng.uniform(20, 300, (SERIES, 1))
    week = rng.normal(0, 0.15, (SERIES, 7))[:, np.arange(POINTS) % 7]
    drift = rng.normal(0, 0.0005, (SERIES, 1)) * np.arange(POINTS)
    return level * (1 + week + drift + rng.normal(0, 0.05, (SERIES, POINTS)))


def child(folder: Path, steps: int, seed: int, batch: int) -> None:
    """One rank of a fit: what it measured goes into a file."""
    from forecast.training.config import TrainConfig
    from forecast.training.distributed import join
    from forecast.training.loop import fit
    from forecast.transforms.windows import step_layout

    context = join(True)
    assert context is not None
    values = table()
    config = TrainConfig(
        steps=steps, batch_size=batch, context=42, origins_per_window=8, horizon=HORIZON,
        levels=(0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975), hidden_size=64, layers=2, dropout=0.1,
        learning_rate=2e-3, schedule="cosine", warmup=20, weight_decay=0.01, clip=1.0,
        average=0.98, patience=1000, seed=seed,
    )  # fmt: skip
    offsets = np.arange(SERIES + 1) * POINTS
    validation = np.full((1, SERIES), POINTS - HORIZON)
    started, worked = time.monotonic(), time.process_time()
    with context.together():
        made = fit(
            values.reshape(-1),
            offsets,
            step_layout(7),
            config,
            validation=validation,
            ranks=context,
        )
    digest = hashlib.sha256(b"".join(made.weights[k].tobytes() for k in sorted(made.weights)))
    told = {
        "wall": time.monotonic() - started, "cpu": time.process_time() - worked,
        "loss": made.best_loss, "weights": digest.hexdigest(),
    }  # fmt: skip
    (folder / f"rank-{context.rank}.json").write_text(json.dumps(told))


def fitted(ranks: int, steps: int, seed: int, batch: int) -> list[dict[str, object]]:
    """What each rank told of one fit."""
    with tempfile.TemporaryDirectory() as name:
        words = [__file__, "--child", name, "--steps", str(steps), "--seed", str(seed)]
        words += ["--batch", str(batch)]
        subprocess.run([*LAUNCH, str(ranks), *words], check=True)
        return [json.loads((Path(name) / f"rank-{n}.json").read_text()) for n in range(ranks)]


def compare(steps: int, batch: int) -> bool:
    """Speed, weights and accuracy of two ranks beside one; whether all is well."""
    losses: dict[int, list[float]] = {1: [], 2: []}
    fine = True
    print(f"{'ranks':>6}{'seed':>6}{'steps/s':>9}{'cpu ms a step, each':>21}{'loss':>9}")
    for seed in (1, 2, 3):
        for ranks in (1, 2):
            told = fitted(ranks, steps, seed, batch)
            losses[ranks].append(float(told[0]["loss"]))  # type: ignore[arg-type]
            wall = max(float(each["wall"]) for each in told)  # type: ignore[arg-type]
            cpu = np.mean([float(each["cpu"]) for each in told]) / steps * 1000  # type: ignore[arg-type]
            print(f"{ranks:>6}{seed:>6}{steps / wall:>9.1f}{cpu:>21.1f}{losses[ranks][-1]:>9.4f}",
                  flush=True)  # fmt: skip
            fine &= len({each["weights"] for each in told}) == 1
    means = {ranks: float(np.mean(found)) for ranks, found in losses.items()}
    spread = float(np.std(losses[1]))
    difference = means[2] - means[1]
    print(f"weights alike on both ranks: {fine}; mean loss {means[1]:.4f} and {means[2]:.4f} "
          f"(spread of the seeds {spread:.4f})")  # fmt: skip
    return fine and abs(difference) <= MOST_DIFFERENCE * means[1] + 2 * spread


def ranks_of(launcher: int) -> dict[int, int]:
    """Rank -> process, of those that a launcher started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"PPid:\t{launcher}\n" not in path.read_text():
                continue
            environ = (path.parent / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ranks = [word[5:] for word in environ if word.startswith(b"RANK=")]
        if ranks:
            found[int(ranks[0])] = int(path.parent.name)
    return found


def command(folder: Path, series: int, steps: int, batch: int = 64) -> list[str]:
    """A training of the first `series` of the table, whose file is written below `folder`."""
    data, out = folder / "data.csv", folder / "out"
    days = np.datetime_as_string(np.datetime64("2022-01-01") + np.arange(POINTS))
    with data.open("w") as file:
        file.write("unique_id,ds,y\n")
        for n, row in enumerate(table()[:series]):
            file.writelines(f"s{n},{d},{v:.4f}\n" for d, v in zip(days, row, strict=True))
    return ["-m", "forecast", "train", str(data), "--horizon", str(HORIZON), "--members", "1",
            "--max-steps", str(steps), "--baselines", "none",
            "--set", "training.try_scratch=false", "--set", "training.refit=false",
            "--set", f"training.batch_size={batch}",
            "--root", str(folder / "runs"), "--out", str(out)]  # fmt: skip


def finished(folder: Path) -> bool:
    """Whether the run is whole, and nothing of its training is left beside it."""
    whole = (folder / "out" / "model" / "weights.safetensors").exists()
    return whole and not list(folder.glob("runs/.training-*"))


def killed_and_resumed(folder: Path, steps: int) -> bool:
    """Kills rank 1 of two once something is saved; one process then goes on."""
    words = command(folder, SERIES, steps)
    running = subprocess.Popen([*LAUNCH, "2", *words], stderr=subprocess.PIPE, text=True)
    while running.poll() is None:
        if list(folder.glob("runs/.training-*/*.checkpoint")):
            os.kill(ranks_of(running.pid)[1], signal.SIGKILL)
            break
        time.sleep(0.1)
    said = running.communicate()[1]
    gone = running.returncode != 0 and not (folder / "out").exists()
    told = "train/rank-lost" if "train/rank-lost" in said else "nothing, it was ended first"
    print(f"rank 1 killed: the command ended with {running.returncode}; rank 0 said: {told}")
    done = subprocess.run([*LAUNCH, "1", *words], capture_output=True, text=True)
    resumed = "was found and goes on" in done.stderr
    first = [line.split()[1] for line in done.stderr.splitlines() if "/" in line and " lr " in line]
    print(f"one process: ended with {done.returncode}, went on: {resumed}; "
          f"first steps it told of: {', '.join(first[:2])}")  # fmt: skip
    return gone and resumed and done.returncode == 0 and finished(folder)


def killed_anywhere(folder: Path, number: int) -> Counter[str]:
    """Kills a rank at a random instant of a small training; one process then finishes.

    Raises AssertionError when something half done is left, or is not gone on from.
    """
    rng = random.Random(number)
    victim, early, wait = rng.choice((0, 1)), rng.random() < 0.3, rng.uniform(0.0, 4.0)
    words = command(folder, 30, 500, 8)
    with (folder / "said").open("w") as log:
        running = subprocess.Popen([*LAUNCH, "2", *words], stdout=log, stderr=log)
    while running.poll() is None:
        ranks = ranks_of(running.pid)
        saved = list(folder.glob("runs/.training-*/*.checkpoint"))
        if victim in ranks and (early or saved):
            time.sleep(wait)
            with suppress(ProcessLookupError):
                os.kill(ranks[victim], signal.SIGKILL)
            break
        time.sleep(0.05)
    running.wait()
    said = (folder / "said").read_text(errors="replace")[-2000:]
    if running.returncode == 0:
        assert finished(folder), f"kill {number}: not whole, though it ended well\n{said}"
        return Counter(["ended before the kill"])
    written = (folder / "out").exists()  # the last instants are after the rename
    assert not written or finished(folder), f"kill {number}: half of a run\n{said}"
    done = subprocess.run([*LAUNCH, "1", *words], capture_output=True, text=True)
    assert done.returncode == 0 and finished(folder), f"kill {number}: {done.stderr[-2000:]}"
    went_on = "went on from what was saved" if "goes on" in done.stderr else "began anew"
    return Counter([f"rank {victim} killed", went_on])


def kill_many(given: argparse.Namespace) -> int:
    """All kills, or as many as there is time for."""
    at = Progress.found(given.state, KILLS)
    end = time.monotonic() + (given.seconds or float("inf"))
    while at.done < KILLS and time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="two-ranks-") as name:
            at.counts += killed_anywhere(Path(name), at.done)
        at.done += 1
        at.save(given.state)
        print(f"{at.done} of {at.of}: {dict(at.counts)}", flush=True)
    ends = ", ".join(f"{what} {n}" for what, n in sorted(at.counts.items()))
    record(f"{at.told() or f'{KILLS:,} '}trainings by two ranks (gloo), one of them killed at a "
           "random instant, then one rank by the same command",
           f"{ends}; nothing half done was left, and each was finished", at)  # fmt: skip
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch", type=int, default=64, help="windows a step, of all ranks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="kills alone; write the outcome")
    going_on(parser)
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, given.steps, given.seed, given.batch)
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.full:
        return kill_many(given)
    fine = compare(given.steps, given.batch)
    with tempfile.TemporaryDirectory(prefix="two-ranks-") as name:
        fine &= killed_and_resumed(Path(name), 600)
    print("two ranks are as good as one" if fine else "something is amiss")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
