"""The end of a run: what retention lets go, and the training that is no longer needed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from forecast.common.progress import Listener
from forecast.scheduling import ledger
from forecast.scheduling.config import Job, span
from forecast.scheduling.lock import locked
from forecast.scheduling.models import FOLDER as MODELS
from forecast.scheduling.recovery import State, read_state, recover
from forecast.scheduling.retention import Kept, choose_kept, sweep_models, sweep_runs


def to_keep(job: Job, state: State) -> dict[str, str]:
    """The runs that retention keeps, each with its reason."""
    current = state.current
    runs = [
        Kept(e.run, e.sequence, e.position, datetime.fromisoformat(e.manifest["created"]))
        for e in state.editions.values()
    ]
    name = current.run if current is not None else None
    return choose_kept(runs, state.withdrawn, name, job.section.retention)


def models_in_use(state: State, kept: dict[str, str]) -> set[str]:
    """The models that a kept run was made with."""
    return {state.editions[run].manifest["model"]["id"] for run in kept if run in state.editions}


def prune_job(job: Job, listener: Listener, *, dry_run: bool = False) -> dict[str, Any]:
    """Applies retention now; returns {kept, runs, models}. Raises LockedError.

    dry_run: only says what would go, from what lies there.
    """
    if dry_run:
        state = read_state(job.folder)
        kept = to_keep(job, state)
        used = models_in_use(state, kept)
        place = job.folder / MODELS
        names = sorted(p.name for p in place.iterdir()) if place.is_dir() else []
        return {
            "kept": kept,
            "runs": [run for run in state.editions if run not in kept],
            "models": [name for name in names if name not in used],
        }
    wait = job.section.lock_wait
    with locked(job.folder, span(wait) if wait else 0.0):
        state = recover(job.folder, listener)
        done = tidy(job, state, listener)
        return {"kept": to_keep(job, state), "runs": done["runs"], "models": done["models"]}


def tidy(job: Job, state: State, listener: Listener) -> dict[str, Any]:
    """Lets go of runs, models and old parts of the ledger. Returns which runs and models."""
    kept = to_keep(job, state)
    runs = sweep_runs(job.folder, kept, state.editions)
    models = sweep_models(job.folder, models_in_use(state, kept))
    if (job.folder / ledger.NAME).exists():
        with ledger.opened(job.folder / ledger.NAME) as connection:
            ledger.tidy(connection, job.section.retention.keep_ledger)
    if runs or models:
        listener.note(f"let go by retention: {len(runs)} runs, {len(models)} models")
    return {"runs": runs, "models": models}
