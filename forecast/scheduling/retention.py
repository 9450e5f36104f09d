"""What is kept: a pure choice of runs, and the sweeping of everything else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from forecast.common.folders import made_folder, remove_folder
from forecast.common.marks import JOB_MODEL, JOB_RUN, is_ours
from forecast.common.progress import Listener
from forecast.scheduling import ledger
from forecast.scheduling.config import MOST_RUNS, Job, Retention
from forecast.scheduling.lock import locked
from forecast.scheduling.models import FOLDER as MODELS
from forecast.scheduling.publication import RUNS
from forecast.scheduling.recovery import State, read_state, recover

LOG_NAME = re.compile(r"\d{4,}-\d\d-\d\dT[\dZ.+-]+-\d+\.jsonl")  # as `RunLog` names them


@dataclass(frozen=True)
class Kept:
    """A run as the choice sees it; moment: of its as-of, with its zone (when it was made, where
    times are numbers); overridden: by a planner."""

    run: str
    sequence: int
    position: int
    moment: datetime
    overridden: bool = False


def choose_kept(
    runs: Sequence[Kept], withdrawn: Collection[str], current: str | None, rules: Retention
) -> dict[str, str]:
    """The runs to keep, each with the reason; the others go.

    The current one and the last good one before it always stay. Of the runs that stand (the newest
    of each as-of, not withdrawn) stay the newest `keep_last`, the last of each of the newest
    `keep_daily` days and `keep_weekly` weeks (UTC, by when they were made), and of the newest
    MOST_RUNS those that were overridden: they alone know what a planner added. A run that was
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
    standing = list({run.position: run for run in reversed(valid)}.values())
    standing.sort(key=lambda r: r.sequence, reverse=True)
    for run in standing[: rules.keep_last]:
        kept.setdefault(run.run, "keep_last")
    for run in [r for r in standing[:MOST_RUNS] if r.overridden]:
        kept.setdefault(run.run, "overridden")
    by_as_of = sorted(standing, key=lambda r: (r.moment, r.sequence), reverse=True)
    days = ((r, r.moment.date().isoformat()) for r in by_as_of)
    weeks = ((r, "{}-{:02d}".format(*r.moment.isocalendar()[:2])) for r in by_as_of)
    for name in _last_of(days, rules.keep_daily):
        kept.setdefault(name, "keep_daily")
    for name in _last_of(weeks, rules.keep_weekly):
        kept.setdefault(name, "keep_weekly")
    return kept


def sweep_runs(folder: Path, kept: Collection[str], runs: Iterable[str]) -> list[str]:
    """Removes the run folders that are not kept; returns their names.

    The manifest goes first: a folder without one counts for nothing, however far this gets. What
    somebody else put into a folder stays there.
    """
    gone = [run for run in runs if run not in kept]
    for run in gone:
        place = folder / RUNS / run
        made_folder(place, JOB_RUN)
        (place / "manifest.json").unlink(missing_ok=True)
        remove_folder(place, JOB_RUN)
    return gone


def sweep_models(folder: Path, used: Collection[str]) -> list[str]:
    """Removes the models that no kept run names; returns their names."""
    gone = [name for name in own_models(folder) if name not in used]
    for name in gone:
        remove_folder(folder / MODELS / name, JOB_MODEL)
    return gone


def own_models(folder: Path) -> list[str]:
    """Names of the models that the job has made."""
    place = folder / MODELS
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [path.name for path in found if is_ours(path, JOB_MODEL)]


def sweep_logs(folder: Path, keep: int, now: str) -> None:
    """Removes all but the newest logs; their names sort by time. now: how one of this moment is
    called. Those of the future go first: a clock was ahead, and they would be the newest for long.
    """
    logs = [path for path in folder.glob("*.jsonl") if LOG_NAME.fullmatch(path.name)]
    for path in sorted(logs, key=lambda path: (path.name <= now, path.name))[:-keep]:
        path.unlink(missing_ok=True)


def _last_of(runs: Iterable[tuple[Kept, str]], most: int) -> list[str]:
    """The newest run of each of the newest `most` periods; `runs` come newest first."""
    found: dict[str, str] = {}
    for run, period in runs:
        found.setdefault(period, run.run)
    return [found[period] for period in sorted(found, reverse=True)[:most]]


# --- The end of a run: what retention lets go, and the training that is no longer needed ---------


def to_keep(job: Job, state: State) -> dict[str, str]:
    """The runs that retention keeps, each with its reason."""
    current = state.current
    runs = [
        Kept(
            e.run,
            e.sequence,
            e.position,
            datetime.fromisoformat(e.manifest.get("as_of_moment") or e.manifest["created"]),
            bool(e.manifest.get("override")),
        )
        for e in state.forecasts.values()
    ]
    name = current.run if current is not None else None
    return choose_kept(runs, state.withdrawn, name, job.section.retention)


def models_in_use(state: State, kept: dict[str, str]) -> set[str]:
    """The models that a kept run was made with."""
    return {state.forecasts[run].manifest["model"]["id"] for run in kept if run in state.forecasts}


def prune_job(job: Job, listener: Listener, *, dry_run: bool = False) -> dict[str, Any]:
    """Applies retention now; returns {kept, runs, models}. Raises LockedError.

    dry_run: only says what would go, from what lies there.
    """
    if dry_run:
        state = read_state(job.folder)
        kept = to_keep(job, state)
        used = models_in_use(state, kept)
        return {
            "kept": kept,
            "runs": [run for run in state.forecasts if run not in kept],
            "models": [name for name in own_models(job.folder) if name not in used],
        }
    with locked(job.folder, job.lock_seconds):
        state = recover(job.folder, listener)
        done = apply_retention(job, state, listener)
        return {"kept": to_keep(job, state), "runs": done["runs"], "models": done["models"]}


def apply_retention(job: Job, state: State, listener: Listener) -> dict[str, Any]:
    """Lets go of runs, models and old parts of the ledger. Returns which runs and models."""
    kept = to_keep(job, state)
    runs = sweep_runs(job.folder, kept, state.forecasts)
    models = sweep_models(job.folder, models_in_use(state, kept))
    if (job.folder / ledger.NAME).exists():
        with ledger.opened(job.folder / ledger.NAME) as connection:
            ledger.apply_retention(connection, job.section.retention.keep_ledger)
    if runs or models:
        listener.note(f"let go by retention: {len(runs)} runs, {len(models)} models")
    return {"runs": runs, "models": models}
