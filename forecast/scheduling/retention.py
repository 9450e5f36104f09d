"""What is kept: a pure choice of runs, and the sweeping of everything else."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from forecast.scheduling.config import Retention
from forecast.scheduling.models import FOLDER as MODELS
from forecast.scheduling.publication import RUNS


@dataclass(frozen=True)
class Kept:
    """A run as the choice sees it; created with its zone."""

    run: str
    sequence: int
    position: int
    created: datetime


def choose_kept(
    runs: Sequence[Kept], withdrawn: Collection[str], current: str | None, rules: Retention
) -> dict[str, str]:
    """The runs to keep, each with the reason; the others go.

    The current one and the last good one before it always stay. Of the runs that stand (the newest
    of each as-of, not withdrawn) stay the newest `keep_last`, the last of each of the newest
    `keep_daily` days and `keep_weekly` weeks (UTC, by when they were made). A run that was
    withdrawn stays while it is newer than the current one, so that a rollback can be undone.
    """
    order = sorted(runs, key=lambda r: r.sequence, reverse=True)
    valid = [r for r in order if r.run not in withdrawn]
    kept: dict[str, str] = {}
    here = next((r for r in order if r.run == current), None)
    if here is not None:
        kept[here.run] = "current"
        last_good = next((r for r in valid if r.sequence < here.sequence), None)
        if last_good is not None:
            kept[last_good.run] = "the last good one before it"
        for run in order:
            if run.run in withdrawn and run.sequence > here.sequence:
                kept.setdefault(run.run, "withdrawn, newer than the current one")
    standing, seen = [], set()
    for run in valid:
        if run.position not in seen:
            seen.add(run.position)
            standing.append(run)
    for run in standing[: rules.keep_last]:
        kept.setdefault(run.run, "keep_last")
    days = ((r, r.created.date().isoformat()) for r in standing)
    weeks = ((r, "{}-{:02d}".format(*r.created.isocalendar()[:2])) for r in standing)
    for name in _last_of(days, rules.keep_daily):
        kept.setdefault(name, "keep_daily")
    for name in _last_of(weeks, rules.keep_weekly):
        kept.setdefault(name, "keep_weekly")
    return kept


def sweep_runs(folder: Path, kept: Collection[str], runs: Iterable[str]) -> list[str]:
    """Removes the run folders that are not kept; returns their names.

    The manifest goes first: a folder without one counts for nothing, however far this gets.
    """
    gone = [run for run in runs if run not in kept]
    for run in gone:
        place = folder / RUNS / run
        (place / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
    return gone


def sweep_models(folder: Path, used: Collection[str]) -> list[str]:
    """Removes the models that no kept run names; returns their names."""
    place = folder / MODELS
    found = sorted(p.name for p in place.iterdir()) if place.is_dir() else []
    gone = [name for name in found if name not in used]
    for name in gone:
        shutil.rmtree(place / name, ignore_errors=True)
    return gone


def sweep_logs(folder: Path, keep: int) -> None:
    """Removes all but the newest logs; their names sort by time."""
    for path in sorted(folder.glob("*.jsonl"))[:-keep]:
        path.unlink(missing_ok=True)


def _last_of(runs: Iterable[tuple[Kept, str]], most: int) -> list[str]:
    """The newest run of each of the newest `most` periods; `runs` come newest first."""
    found: dict[str, str] = {}
    for run, period in runs:
        found.setdefault(period, run.run)
    return [found[period] for period in sorted(found, reverse=True)[:most]]
