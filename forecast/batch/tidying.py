"""The end of a run: what retention lets go, and the training that is no longer needed."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import Any

from forecast.batch import ledger
from forecast.batch.config import Job
from forecast.batch.recovery import State
from forecast.batch.retention import Kept, choose_kept, sweep_models, sweep_runs
from forecast.batch.trial import unfinished
from forecast.events import Listener


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


def tidy(job: Job, state: State, listener: Listener) -> dict[str, Any]:
    """Lets go of runs, models and ledger rows; the unfinished training too. Returns what went."""
    kept = to_keep(job, state)
    runs = sweep_runs(job.folder, kept, state.editions)
    models = sweep_models(job.folder, models_in_use(state, kept))
    shutil.rmtree(unfinished(job.folder), ignore_errors=True)
    rows = 0
    if (job.folder / ledger.NAME).exists():
        with ledger.opened(job.folder / ledger.NAME) as connection:
            rows = ledger.tidy(connection, job.section.retention.keep_ledger)
    if runs or models:
        listener.note(f"let go by retention: {len(runs)} runs, {len(models)} models")
    return {"runs": runs, "models": models, "rows": rows}
