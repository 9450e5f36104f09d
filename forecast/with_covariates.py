"""Whether covariates help: trained with them and without, what validates better stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecast.features import encode
from forecast.members import Member
from forecast.networks.covariates import COVARIATE_LAYERS, Known
from forecast.panel import Panel
from forecast.plan import Plan, Reason

LEAST_GAIN = 0.01  # share of the loss that covariates must take off to be worth their upkeep


def known_of(panel: Panel, plan: Plan) -> Known | None:
    """The covariates that the members of `plan` read; measures are those of the first `keep` steps.

    None without covariates.
    """
    if plan.design is None:
        return None
    return encode(plan.design, panel.truncate(plan.keep), int((panel.lengths - plan.keep).max()))


def parts_of(plan: Plan) -> list[tuple[str, Plan]]:
    """What is to be trained, the usual plan alone or first without covariates; and what to call it.

    Where there are two, each has half the time.
    """
    if plan.design is None:
        return [("", plan)]
    limit = plan.recipe["seconds"]
    half = replace(plan, recipe={**plan.recipe, "seconds": limit and limit / 2})
    return [("without covariates", replace(half, design=None)), ("with covariates", half)]


def better(without: Sequence[Member], with_them: Sequence[Member]) -> list[Member]:
    """The members that forecast the validation origins better, each knowing the others' loss.

    Covariates stay only if they take at least a hundredth off the mean loss; where nothing could be
    validated, they are left out.
    """
    plain, full = (float(np.mean([m.best_loss for m in side])) for side in (without, with_them))
    chosen, other = (with_them, plain) if full < plain * (1 - LEAST_GAIN) else (without, full)
    return [replace(member, instead=other) for member in chosen]


def uses_covariates(members: Sequence[Member]) -> bool:
    """Whether the members have learnt from covariates."""
    return any(name.startswith(COVARIATE_LAYERS) for m in members for name in m.scored)


def covariate_reason(members: Sequence[Member], plan: Plan) -> tuple[Reason, ...]:
    """What became of the covariates, for the list of all that was decided; () without any."""
    if plan.design is None or not members or members[0].instead is None:
        return ()
    used = uses_covariates(members)
    mine = float(np.mean([m.best_loss for m in members]))
    other = members[0].instead
    names = [entry.name for entry in plan.design.entries]
    names += [word for word, there in (("calendar", plan.design.calendar),) if there]
    names += [f"holidays {place}" for place in plan.design.holidays]
    if not np.isfinite([mine, other]).all():
        why = f"{', '.join(names)}: there is too little data to see whether they help"
    else:
        with_, without = (mine, other) if used else (other, mine)
        why = (
            f"{', '.join(names)}: loss on validation origins {with_:.4g} with them, "
            f"{without:.4g} without ({with_ / without - 1:+.1%})"
        )
    return (("covariates", "used" if used else "left out", why),)
