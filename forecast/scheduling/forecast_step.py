"""The step of a run that forecasts: every series, within its time, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import last_known
from forecast.data.forecast import LEVELS
from forecast.data.panel import FUTURE, check_ahead
from forecast.scheduling.as_of import Slot
from forecast.scheduling.context import Attempt, Known
from forecast.scheduling.decisions import decide_publication
from forecast.scheduling.forecast import Made, forecast_all
from forecast.scheduling.models import Service
from forecast.scheduling.recalibration import METHOD, stretches

ARIMA_SHARE = 0.5  # of what the deadline leaves when the networks are done


def make_forecast(run: Attempt, known: Known, service: Service) -> tuple[Made, dict[str, Any]]:
    """Forecasts every series; also how the intervals were adjusted.

    Raises InputError when more series fail than the job allows.
    """
    job, slot = run.job, known.slot
    run.diary.stage("Forecasting")
    unknown = _unknown_ahead(slot, service)
    factors, updates = np.ones(len(LEVELS)), 0
    if job.section.recalibrate:
        factors, updates = stretches(known.scores, LEVELS)
    left = run.watch.left(ARIMA_SHARE)
    budget = job.section.fallback_seconds
    seconds = budget if left is None else max(0.1, min(budget, left))
    made = forecast_all(
        job, slot, service, known.report.seasons, factors, seconds, run.diary, unknown
    )
    decision = decide_publication(made.failed, slot.panel.size, job.section.max_failed)
    run.diary.decide(decision)
    if decision.choice == "refuse":
        raise InputError(
            decision.reason,
            code="run/too-many-failed",
            where=job.source,
            remedy="See the log for the reasons; what is published stays. max_failed allows more",
        )
    adjusted = {
        f"{100 * (LEVELS[-1 - n] - LEVELS[n]):g}": round(float(factors[n]), 6)
        for n in range(len(LEVELS) // 2)
    }
    return made, {"adjusted": adjusted, "updates": updates, "method": METHOD}


def _unknown_ahead(slot: Slot, service: Service) -> np.ndarray:
    """object (S,): why the model in service lacks covariates of the steps to come, "" if it does
    not. Raises InputError when every series lacks some: then it is the file that is wrong."""
    found = np.full(slot.panel.size, "", object)
    covariates, design = slot.panel.covariates, None
    if service.forecaster is not None:
        design = service.forecaster.design
    if design is None or covariates is None:
        return found
    names = [entry.name for entry in design.of(FUTURE)]
    for column in covariates.of(FUTURE):
        if column.name in names:
            reached = last_known(column.values, covariates.offsets)
            short = reached < slot.panel.lengths + slot.lags + service.horizon - 1
            found[short & (found == "")] = f"covariate {column.name} does not cover the horizon"
    if (found != "").all():
        check_ahead(slot.panel, service.horizon, names)
    return found
