"""How far a proof of many steps has come: kept in files, so that a later start goes on there."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_STARTED = time.monotonic()


@dataclass
class Progress:
    """How far a proof of many steps has come, so that a later start goes on there.

    done: steps that have ended well; counts: what came of them; cpu, wall: seconds of the starts
    before this one; commits: of the code that was proved, in the order of the starts.
    """

    of: int
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    wall: float = 0.0
    commits: list[str] = field(default_factory=list)

    @classmethod
    def found(cls, path: Path | None, of: int) -> Progress:
        """What `path` holds of an earlier start over as many steps, else the beginning."""
        at = cls(of)
        if path is not None and path.exists():
            at = cls(**json.loads(path.read_text()))
            at.counts = Counter(at.counts)
            if at.of != of:
                raise SystemExit(f"{path} is of {at.of:,} steps, this is of {of:,}: remove it")
        if commit() not in at.commits:
            at.commits.append(commit())
        return at

    def save(self, path: Path | None) -> None:
        """Keeps it in `path`, whole or not at all."""
        if path is not None:
            new = path.with_name(path.name + ".new")
            new.write_text(json.dumps({**vars(self), **self.spent()}))
            new.replace(path)

    def spent(self) -> dict[str, float]:
        """Seconds of all starts, this one's included."""
        cpu, wall = spent()
        return {"cpu": self.cpu + cpu, "wall": self.wall + wall}

    def told(self) -> str:
        """ "" at the end, else "N of M "."""
        return "" if self.done == self.of else f"{self.done:,} of {self.of:,} "


def going_on(parser: argparse.ArgumentParser) -> None:
    """The options of a proof that may be stopped."""
    parser.add_argument("--state", type=Path, default=None, help="file to go on from")
    parser.add_argument("--seconds", type=float, default=None, help="stop after as many")


def spent() -> tuple[float, float]:
    """Processor and wall seconds of this start, those of ended child processes included."""
    own, others = (resource.getrusage(who) for who in
                   (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    cpu = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    return cpu, time.monotonic() - _STARTED


class Snapshots:
    """The folder in which a proof's jobs live, and copies of it to go on from.

    state: holds the newest whole copy, the one before it and `folder` itself, whose path stays the
    same from start to start; None: nothing is kept, and `folder` is a temporary one.
    """

    def __init__(self, state: Path | None, temporary: Path) -> None:
        self.state = state.absolute() if state is not None else None
        self.folder = temporary if self.state is None else self.state / "jobs"
        if self.state is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in ("whole", "older"):
                if (self.state / name).is_dir():
                    shutil.copytree(self.state / name, self.folder, symlinks=True)
                    break
        self.folder.mkdir(parents=True, exist_ok=True)

    def progress(self, of: int) -> Progress:
        """How far the copy is that was taken up."""
        return Progress.found(self.folder / "progress.json", of)

    def kept(self) -> dict[str, Any]:
        """What was given to `keep` with it."""
        found: dict[str, Any] = json.loads((self.folder / "kept.json").read_text())
        return found

    def keep(self, at: Progress, kept: dict[str, Any]) -> None:
        """A new copy in place of the last one; a stop leaves one of the two."""
        if self.state is None:
            return
        (self.folder / "kept.json").write_text(json.dumps(kept))
        at.save(self.folder / "progress.json")
        fresh, whole, older = (self.state / name for name in ("fresh", "whole", "older"))
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(self.folder, fresh, symlinks=True)
        if whole.exists():
            shutil.rmtree(older, ignore_errors=True)
            whole.rename(older)
        fresh.rename(whole)


def state_of(state: list[Any]) -> tuple[int, tuple[int, ...], float | None]:
    """The state of a generator that was kept as JSON, as setstate wants it."""
    return state[0], tuple(state[1]), state[2]


def commit() -> str:
    """The commit that the working tree stands at, with a + where it has changes; "" without one."""
    changed = ("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/proofs.md")
    asked = ("rev-parse", "--short=10", "HEAD"), changed
    said = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True) for words in asked
    ]
    if any(each.returncode for each in said):
        return ""
    return said[0].stdout.strip() + "+" * bool(said[1].stdout.strip())
