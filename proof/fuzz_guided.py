"""Fuzz the loader towards code that no file has reached yet (coverage-guided, by atheris).

    python proof/fuzz_guided.py --seconds 60

The files start as tables of `fuzz_loader`'s grammar and the package's own sample; libFuzzer keeps
those that reach a new branch of the loader and changes them further. Each is judged as there:
refused in full, or read as Python's csv module and Decimal read it, value for value.
Needs `pip install atheris`; without it nothing is run, and `fuzz_loader` stands alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz_loader import LIMIT, case, mutated, verdict

PACKAGES = ("forecast.data",)
SEEDS = 300  # files to start from
LARGEST = 20_000  # bytes of a file
ROOT = Path(__file__).resolve().parent.parent


def child(folder: Path, seconds: int, cases: int, seed: int) -> None:
    """Runs libFuzzer in this process until its time or its cases are up; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(PACKAGES)):
        import forecast.data.load  # noqa: F401

    counts: Counter[str] = Counter()
    path = folder / "case.csv"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            result = verdict(path, {})
        except Exception as error:  # every exception but InputError is a finding
            result = f"raised {type(error).__name__}: {error}"
        kind = result if result in ("refused", "read") else "failed"
        counts[kind] += 1
        if kind == "failed" and counts[kind] <= 20:
            (folder / f"failed-{counts[kind]}.csv").write_bytes(data)
            (folder / f"failed-{counts[kind]}.txt").write_text(result, errors="backslashreplace")
        if sum(counts.values()) % 100 == 0:
            (folder / "counts.txt").write_text(repr(dict(counts)))

    def change(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.5:
            return mutated(rng, data)[:most]
        return atheris.Mutate(data, most)

    limits = [f"-max_total_time={seconds}"] + ([f"-runs={cases}"] if cases else [])
    arguments = [sys.argv[0], str(folder / "corpus"), f"-max_len={LARGEST}", f"-seed={seed}",
                 f"-timeout={int(LIMIT)}", f"-artifact_prefix={folder}/", *limits]  # fmt: skip
    atheris.Setup(arguments, one, custom_mutator=change)
    atheris.Fuzz()


def sow(folder: Path, seed: int) -> None:
    """The files to start from."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for n in range(SEEDS):
        (corpus / f"{n}").write_bytes(case(seed, n)[0][:LARGEST])
    for sample in sorted((ROOT / "sample_data").glob("*.csv")):
        (corpus / sample.name).write_bytes(sample.read_bytes()[:LARGEST])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--cases", type=int, default=0, help="stop after so many (0: by time)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, given.seconds, given.cases, given.seed)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris; only fuzz_loader was run")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="fuzz-guided-"))
    sow(folder, given.seed)
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(folder), "--seconds", str(given.seconds),
         "--cases", str(given.cases), "--seed", str(given.seed)],
        capture_output=True, text=True, errors="replace", timeout=given.seconds + 120,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    covered = [line for line in lines if " cov: " in line]
    print(covered[-1] if covered else "\n".join(lines[-10:]))
    counts = folder / "counts.txt"
    print(counts.read_text() if counts.exists() else "fewer than 100 cases")
    failures = sorted(folder.glob("failed-*.txt"))
    for failure in failures:
        print(f"{failure.with_suffix('.csv')}: {failure.read_text()[:300]}")
    if done.returncode and not failures:
        print("\n".join(lines[-15:]))
    return 1 if failures or done.returncode or not covered else 0


if __name__ == "__main__":
    sys.exit(main())
