"""The first steps of a run: read the data, settle the as-of; is there anything to do?"""

from __future__ import annotations

import numpy as np

from forecast.batch.attempt import Attempt
from forecast.batch.decisions import Past, decide_freshness, decide_whether_to_run
from forecast.batch.publish import Edition, is_intact
from forecast.batch.recovery import State
from forecast.batch.slot import Slot, choose_slot
from forecast.errors import StaleInputError
from forecast.panel import LoadReport
from forecast.pipeline import read, refuse_covariates
from forecast.plan import choose_horizon

NAMED = 5  # series that a line names


def look(run: Attempt) -> tuple[LoadReport, Slot]:
    """Reads the data and settles the as-of. Raises StaleInputError when they are too old."""
    job = run.job
    if job.section.model == "pretrained":
        refuse_covariates(job.settings)
    run.diary.stage("Reading the data")
    panel, report = read(job.source, job.settings.data, run.diary)
    horizon, _ = choose_horizon(panel, job.settings, report.seasons, int(np.median(panel.lengths)))
    slot = choose_slot(panel, job, horizon, run.as_of, run.moment)
    run.diary.facts["as_of"] = slot.time
    _tell(run, slot)
    fresh = run.diary.decide(decide_freshness(slot.age, job.section.freshness))
    if fresh.choice == "stale":
        raise StaleInputError(
            fresh.reason,
            code="input/stale",
            where=job.source,
            value=slot.time,
            remedy="See why no newer data came; what is published stays as it is",
        )
    if fresh.choice == "old":
        run.diary.warn("input/old", fresh.reason)
    return report, slot


def _tell(run: Attempt, slot: Slot) -> None:
    run.diary.note(f"as of {slot.time}: {slot.panel.size} series")
    if slot.dropped and run.as_of is None:
        run.diary.note(f"up to {slot.dropped} steps that are not over yet were left out")
    for name, reason in slot.left_out[:NAMED]:
        run.diary.note(f"left out: {name} {reason}")
    if slot.late:
        names = ", ".join(slot.late[:NAMED])
        run.diary.warn("input/late-series", f"{len(slot.late)} series are late: {names}")


def done_already(run: Attempt, state: State, slot: Slot) -> Edition | None:
    """The run that was already made of the same data, job and model, if there is one."""
    edition = state.of_position(slot.position)
    past = None
    if edition is not None:
        manifest = edition.manifest
        past = Past(
            edition.run,
            manifest["input"]["seen_sha256"],
            manifest["config_sha256"],
            manifest["model"]["id"],
            is_intact(run.job.folder, edition),
        )
    current = state.current
    serving = current.manifest["model"]["id"] if edition is current and current else None
    decision = decide_whether_to_run(slot.digest, run.job.digest, serving, past)
    run.diary.decide(decision)
    return edition if decision.choice == "already done" else None
