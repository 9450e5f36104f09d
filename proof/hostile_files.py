#!/usr/bin/env python
"""Every file that is read back with every field wrong, through the commands that read it.

Of a model, a finished run and a job each document is written with every field set to every wrong
value of tests/hostile.py, and removed; it is sealed anew, so that the schema and not the sum has to
see it. Then random bits of every file are flipped. No command may end with code 70, print a
traceback or use more than a gigabyte.

python proof/hostile_files.py --full                                # every field, every value
python proof/hostile_files.py --full --state FILE --seconds 1800    # half an hour of it
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import typer
from _progress import Progress, going_on
from _record import record

from forecast.cli import app
from forecast.cli.error_handler import guarded
from forecast.common.documents import sealed
from tests.hostile import flipped, hostile

HOUSE = Path(__file__).parent.parent / "tests" / "fixtures" / "first_house"
MODEL, JOB = "run/model/manifest.json", "job/runs"
MOST_MEMORY = 1_000_000  # kB
FLIP = "a flipped bit"


def build_once() -> None:
    """Lets the parsers of commands be built once each: that took half of the time."""
    build = functools.cache(lambda command: app.build_app([command]))
    commands_of = functools.cache(typer.main.get_command)

    def run(words: list[str]) -> int:
        outcome = commands_of(build(words[0])).main(
            args=words, prog_name="lstmcast", standalone_mode=False
        )
        return outcome if isinstance(outcome, int) else outcome.work() if outcome else 0

    app.run = run  # type: ignore[assignment]


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


def tried(words: list[str], what: str) -> int:
    """Runs a command in this process; its exit code. Raises AssertionError for a bug."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: app.run(words), as_json=False, debug=False)
    assert code != 70 and "Traceback" not in err.getvalue(), (what, words, err.getvalue()[-800:])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used < MOST_MEMORY, (what, words, used)
    return code


def documents(house: Path, full: bool, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """(file below the house, what is wrong with it, its content), in the same order each time.

    Bounded: one document in forty and 50 flips a file; full: all, and 1,000 flips a file.
    """
    draw = random.Random(seed)
    for name in commands(house):
        before = (house / name).read_bytes()
        for what, document in hostile(json.loads(before)):
            if full or draw.random() < 1 / 40:
                whole = sealed(document) if isinstance(document, dict) else document
                yield name, what, json.dumps(whole).encode()
        for _ in range(1000 if full else 50):
            yield name, FLIP, flipped(before, draw)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="all, and write the outcome")
    going_on(parser)
    given = parser.parse_args()
    build_once()
    with tempfile.TemporaryDirectory(prefix="lstmcast-hostile-") as place:
        house = Path(place) / "house"
        shutil.copytree(HOUSE, house, symlinks=True)
        every = list(documents(house, given.full, given.seed))
        at = Progress.found(given.state, len(every))
        end = time.monotonic() + (given.seconds or float("inf"))
        for name, what, content in every[at.done :]:
            if time.monotonic() > end:
                break
            path = house / name
            before = path.read_bytes()
            path.write_bytes(content)
            for words in commands(house)[name]:
                at.counts[f"exit code {tried(words, f'{name}: {what}')}"] += 1
            path.write_bytes(before)
            at.counts["flips" if what == FLIP else "documents"] += 1
            at.done += 1
            if at.done % 200 == 0:
                at.save(given.state)
                print(f"{at.done:,} of {at.of:,}: {dict(at.counts)}", flush=True)
    at.save(given.state)
    codes = {k.split()[-1]: n for k, n in sorted(at.counts.items()) if k.startswith("exit")}
    print(f"{at.told() or 'all '}tried: {dict(at.counts)}")
    if given.full:
        record(
            f"{at.told()}documents of {len(commands(HOUSE))} kinds of file: "
            f"{at.counts['documents']:,} with one field wrong, {at.counts['flips']:,} with one bit "
            "flipped",
            f"{sum(codes.values()):,} commands: no bug, no traceback, less than 1 GB; exit codes "
            + ", ".join(f"{code}: {count:,}" for code, count in codes.items()),
            at,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
