"""Read tables as people write them: true panels drawn, written, read back, value for value.

    python proof/read_as_people_write.py                  # 2,000 tables, a few minutes
    python proof/read_as_people_write.py --tables 50000   # the full run

Every table is read as a newcomer would. Refused, it is read again as the advice says. "misread" and
"dead end" must be 0, and those "refused although plain" fewer than 1 in 100. Failing tables are
named by their number: `draw(NUMBER)` of tests/inputs/people.py makes them again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.inputs.people import Verdict, draw, judge  # noqa: E402

MOST_SHOWN = 20
MOST_REFUSED = 0.01
PROGRESS = 500  # tables between two lines of progress


def verdict_of(number: int, folder: Path) -> Verdict:
    """What the reader made of table `number`; a crash is a verdict, too."""
    try:
        return judge(draw(number), folder)
    except Exception:  # whatever it is, it is a failure of the reader
        return Verdict("crash", traceback.format_exc()[-400:])


def main() -> int:
    """Draws, writes, reads and counts; 1 where a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first table")
    asked = parser.parse_args()
    tally: Counter[str] = Counter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(asked.first, asked.first + asked.tables):
            verdict = verdict_of(number, Path(scratch))
            tally[verdict.kind] += 1
            bad = verdict.kind not in ("read", "asked")
            if bad and sum(tally[k] for k in tally if k not in ("read", "asked")) <= MOST_SHOWN:
                print(f"table {number}: {verdict.kind}: {verdict.said[:300]}", flush=True)
            if (number - asked.first) % PROGRESS == PROGRESS - 1:
                print(f"{number} {time.monotonic() - started:.0f} s {dict(tally)}", flush=True)
    plain = asked.tables - tally["asked"]
    figures = {
        "tables": asked.tables,
        **{
            kind: tally[kind]
            for kind in ("read", "asked", "refused", "dead end", "misread", "crash")
        },
        "refused_although_plain": round(tally["refused"] / max(plain, 1), 5),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(figures))
    failed = tally["misread"] + tally["dead end"] + tally["crash"]
    return int(failed > 0 or figures["refused_although_plain"] >= MOST_REFUSED)


if __name__ == "__main__":
    sys.exit(main())
