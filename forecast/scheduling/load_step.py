"""The first steps of a run: read the data, settle the as-of; is there anything to do?"""

from __future__ import annotations

import numpy as np

from forecast.common.errors import StaleInputError
from forecast.data.load import LoadReport
from forecast.scheduling.as_of import Slot, choose_slot
from forecast.scheduling.context import Attempt
from forecast.scheduling.decisions import ROLLED_BACK, Past, decide_freshness, decide_whether_to_run
from forecast.scheduling.publication import Edition, is_intact
from forecast.scheduling.recovery import State
from forecast.training.plan import choose_horizon
from forecast.workflows.load import read, refuse_covariates

NAMED = 5  # series that a line names


def look(run: Attempt) -> tuple[LoadReport, Slot]:
    """Reads the data and settles the as-of. Raises StaleInputError when they are too old."""
    job = run.job
    if job.section.model == "pretrained":
        refuse_covariates(job.settings)
    run.diary.stage(f"{job.name}: reading the data")
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


def nothing_to_do(run: Attempt, state: State, slot: Slot) -> tuple[str, Edition] | None:
    """("already done", the run that stands for the as-of) or ("rolled back", the current run)
    where a run would publish what there is, or what was withdrawn; None where there is work."""
    edition, current = state.of_position(slot.position), state.current
    past = _past(run, edition) if edition is not None else None
    serving = current.manifest["model"]["id"] if current is not None else None
    withheld = [
        Past(e["run"], e["seen"], e["config"], e["model"], True)
        for e in state.withheld
        if e["position"] == slot.position and e["model"] == serving and run.as_of is None
    ]
    judged = serving if edition is current else None
    decision = decide_whether_to_run(slot.digest, run.job.digest, judged, past, withheld)
    run.diary.decide(decision)
    if decision.choice == "already done" and edition is not None:
        return decision.choice, edition
    if decision.choice == ROLLED_BACK and current is not None:
        return decision.choice, current
    return None


def _past(run: Attempt, edition: Edition) -> Past:
    manifest = edition.manifest
    return Past(
        edition.run,
        manifest["input"]["seen_sha256"],
        manifest["config_sha256"],
        manifest["model"]["id"],
        is_intact(run.job.folder, edition),
    )
