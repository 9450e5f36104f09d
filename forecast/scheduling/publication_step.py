"""The last steps of a run: its folder and the link, then ledger, database and tidiness."""

from __future__ import annotations

import shutil
from typing import Any

from forecast.evaluation.metrics import seasonal_errors
from forecast.models.store import versions
from forecast.scheduling import ledger
from forecast.scheduling.actuals import remember
from forecast.scheduling.as_of import Slot
from forecast.scheduling.context import Attempt, Known
from forecast.scheduling.database import deliver
from forecast.scheduling.decisions import exit_code
from forecast.scheduling.forecast import Made
from forecast.scheduling.manifest import about_the_data, about_the_forecast, newly_left_out
from forecast.scheduling.models import Service
from forecast.scheduling.publication import (
    Edition,
    output_files,
    point_at,
    prediction_table,
    run_name,
    whole_table,
    write_edition,
)
from forecast.scheduling.recovery import State, published
from forecast.scheduling.retention_step import tidy
from forecast.scheduling.retraining import unfinished


def publish(
    run: Attempt,
    known: Known,
    service: Service,
    made: Made,
    trial: dict[str, Any],
    intervals: dict[str, Any],
) -> Edition:
    """Writes the run folder, the manifest last, and moves the link unless the as-of is an old
    one. Raises OutputError."""
    job, slot, state = run.job, known.slot, known.state
    run.diary.stage("Publishing")
    current, before = state.current, state.of_position(slot.position)
    sequence = state.next_sequence()
    leads = run.as_of is None or current is None or slot.position >= current.position
    name = run_name(slot, slot.digest, job.digest, service.id, str(sequence))
    lost = newly_left_out(current, slot) if leads else 0
    manifest = {
        "job": job.name,
        "sequence": sequence,
        "leads": leads,
        "created": run.stamp,
        "replaces": before.run if before is not None else None,
        "config_sha256": job.digest,
        **about_the_data(known.report, slot),
        **about_the_forecast(service, slot, made),
        "trial": trial,
        "decisions": [d.to_dict() for d in run.diary.decisions],
        "intervals": intervals,
        "warnings": run.diary.warnings,
        "exit_code": exit_code(made.fallbacks, lost),
        "seconds": round(run.watch.elapsed(), 3),
        "versions": versions(),
    }
    edition = write_edition(job.folder, name, _files(run, slot, service, made), manifest)
    if leads:
        point_at(job.folder, name)
    return edition


def _files(run: Attempt, slot: Slot, service: Service, made: Made) -> dict[str, bytes]:
    """What the run folder holds beside its manifest."""
    scale = seasonal_errors(slot.panel.values, slot.panel.offsets, service.season)
    table = prediction_table(slot, made, run.job.settings.forecast)
    kinds = run.job.section.outputs.files
    return output_files(table, whole_table(slot, made, scale), kinds, run.diary.log())


def settle(run: Attempt, known: Known, edition: Edition) -> None:
    """Ledger and database take the published run in; what is no longer needed goes."""
    job, slot = run.job, known.slot
    with ledger.opened(job.folder / ledger.NAME) as connection:
        ledger.record(connection, published(job.folder, edition))
        newest = max(ledger.recorded_runs(connection))
        if slot.position >= newest or run.as_of is None:
            remember(connection, slot.seen)
    state = State({**known.state.editions, edition.run: edition}, known.state.rollbacks)
    deliver(job, state, run.diary, run.stamp)
    shutil.rmtree(unfinished(job.folder), ignore_errors=True)
    tidy(job, state, run.diary)
