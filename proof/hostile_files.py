#!/usr/bin/env python
"""Every file that is read back with every field wrong, through the commands that read it.

Of a model, a finished run and a job each document is written with every field set to every wrong
value of tests/hostile.py, and removed; it is sealed anew, so that the schema and not the sum has to
see it. Then random bits of every file are flipped. No command may end with code 70, print a
traceback or use more than a gigabyte.

python proof/hostile_files.py --full   # every field, every value
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from _record import record

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.common.documents import sealed
from tests.hostile import flipped, hostile

HOUSE = Path(__file__).parent.parent / "tests" / "fixtures" / "first_house"
MODEL, JOB = "run/model/manifest.json", "job/runs"
MOST_MEMORY = 1_000_000  # kB


def commands(house: Path) -> dict[str, list[list[str]]]:
    """File below the house -> the commands that read it."""
    data, config = str(house / "passengers.csv"), str(house / "batch.yaml")
    of_model = [
        ["predict", data, "--model", str(house / "run"), "--output", "-", "--quiet"],
        ["inspect", str(house / "run")],
        ["runs", "--root", str(house)],
    ]
    of_run = [["report", str(house / "run"), "--data", data], ["runs", "--root", str(house)]]
    of_job = [["status", config, "--json"], ["repair", config]]
    published = sorted((house / JOB).iterdir())[-1].relative_to(house)
    model = next((house / "job" / "models").iterdir()).relative_to(house)
    return {
        MODEL: of_model,
        "run/metrics.json": of_run,
        f"{published}/manifest.json": of_job,
        f"{model}/about.json": of_job,
        "job/last.json": of_job,
    }


def tried(words: list[str], found: Counter[int], what: str) -> None:
    """Runs a command in this process; counts its exit code. Raises AssertionError for a bug."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: run(words), as_json=False, debug=False)
    found[code] += 1
    assert code != 70 and "Traceback" not in err.getvalue(), (what, words, err.getvalue()[-800:])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used < MOST_MEMORY, (what, words, used)


def main() -> int:
    """Bounded: one document in forty and 50 flips a file; full: all, and 1,000 flips a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="all, and write the outcome")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    found: Counter[int] = Counter()
    documents = flips = 0
    with tempfile.TemporaryDirectory(prefix="lstmcast-hostile-") as place:
        house = Path(place) / "house"
        shutil.copytree(HOUSE, house, symlinks=True)
        for name, readers in commands(house).items():
            path = house / name
            before = path.read_bytes()
            for what, document in hostile(json.loads(before)):
                if not given.full and draw.random() > 1 / 40:
                    continue
                documents += 1
                whole = sealed(document) if isinstance(document, dict) else document
                path.write_text(json.dumps(whole))
                for words in readers:
                    tried(words, found, f"{name}: {what}")
            for _ in range(1000 if given.full else 50):
                flips += 1
                path.write_bytes(flipped(before, draw))
                for words in readers:
                    tried(words, found, f"{name}: a flipped bit")
            path.write_bytes(before)
            print(f"{name}: {documents:,} documents, {flips:,} flips, {dict(found)}", flush=True)
    codes = ", ".join(f"{code}: {count:,}" for code, count in sorted(found.items()))
    if given.full:
        record(
            f"{documents:,} documents with one field wrong, {flips:,} with one bit flipped",
            f"{sum(found.values()):,} commands: no bug, no traceback, less than 1 GB; "
            f"exit codes {codes}",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
