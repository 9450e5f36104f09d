"""What a proof has shown at its full length, kept as a row of docs/proofs.md."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from _progress import Progress, commit, spent

TABLE = Path(__file__).resolve().parent.parent / "docs" / "proofs.md"
HEAD = """\
# Proofs at full length

Each row was written by the script itself when it ended well: `python proof/NAME.py --full`.
`make proof` runs the same scripts, bounded. CPU seconds include those of the processes started.
"N of M" is a proof that has not come to its end: with `--state FILE` a later start goes on there.

| proof | what was tried | how it ended | date (UTC) | commit | CPU s | wall s |
| --- | --- | --- | --- | --- | --- | --- |
"""


def record(tried: str, ended: str, progress: Progress | None = None) -> None:
    """Writes the row of the running script in place of an earlier one."""
    name = Path(sys.argv[0]).name
    cpu, wall = progress.spent().values() if progress is not None else spent()
    day = datetime.now(UTC).date().isoformat()
    code = ", ".join(progress.commits) if progress is not None else commit()
    row = f"| `{name}` | {tried} | {ended} | {day} | {code} | {cpu:,.0f} | {wall:,.0f} |"
    before = TABLE.read_text().splitlines() if TABLE.exists() else []
    rows = [line for line in before if line.startswith("| `") and f"`{name}`" not in line]
    TABLE.write_text(HEAD + "\n".join(sorted([*rows, row])) + "\n")
