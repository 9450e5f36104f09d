"""What a proof has shown at its full length, kept as a row of docs/proofs.md."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "docs" / "proofs.md"
HEAD = """\
# Proofs at full length

Each row was written by the script itself when it ended well: `python proof/NAME.py --full`.
`make proof` runs the same scripts, bounded. CPU seconds include those of the processes started.

| proof | what was tried | how it ended | date (UTC) | commit | CPU s | wall s |
| --- | --- | --- | --- | --- | --- | --- |
"""
_STARTED = time.monotonic()


def record(tried: str, ended: str) -> None:
    """Writes the row of the running script in place of an earlier one."""
    name = Path(sys.argv[0]).name
    own, others = (resource.getrusage(who) for who in
                   (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    cpu = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    wall = time.monotonic() - _STARTED
    day = datetime.now(UTC).date().isoformat()
    row = f"| `{name}` | {tried} | {ended} | {day} | {commit()} | {cpu:,.0f} | {wall:,.0f} |"
    before = TABLE.read_text().splitlines() if TABLE.exists() else []
    rows = [line for line in before if line.startswith("| `") and f"`{name}`" not in line]
    TABLE.write_text(HEAD + "\n".join(sorted([*rows, row])) + "\n")


def commit() -> str:
    """The commit that the working tree stands at, with a + where it has changes; "" without one."""
    changed = ("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{TABLE.name}")
    asked = ("rev-parse", "--short=10", "HEAD"), changed
    said = [
        subprocess.run(["git", *words], cwd=TABLE.parent, capture_output=True, text=True)
        for words in asked
    ]
    if any(each.returncode for each in said):
        return ""
    return said[0].stdout.strip() + "+" * bool(said[1].stdout.strip())
