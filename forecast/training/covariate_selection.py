"""Whether covariates help: trained with them and without, what validates better stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecast.data.panel import Panel
from forecast.models.networks.covariate_effect import COVARIATE_LAYERS
from forecast.training.candidates import losses_of
from forecast.training.ensemble import Member
from forecast.training.plan import Plan, Reason, in_part_of_the_time
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import encode

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
    half = in_part_of_the_time(plan, 2)
    return [("without covariates", replace(half, design=None)), ("with covariates", half)]


def uses_covariates(members: Sequence[Member]) -> bool:
    """Whether the members have learnt from covariates."""
    return any(name.startswith(COVARIATE_LAYERS) for m in members for name in m.scored)


def better(
    panel: Panel, plan: Plan, without: Sequence[Member], with_them: Sequence[Member]
) -> tuple[list[Member], tuple[Reason, ...]]:
    """The members that forecast the validation origins better, and why.

    Covariates stay if they take at least a hundredth off the mean loss, and more than one standard
    error of the paired losses, so that luck does not choose; where nothing could be validated, they
    are left out.
    """
    plain = losses_of(panel, plan, without, None)
    full = losses_of(panel, plan, with_them, plan.design)
    known = np.isfinite(plain) & np.isfinite(full)
    if not known.any():
        why = f"{_names(plan)}: there is too little data to see whether they help"
        return list(without), (("covariates", "left out", why),)
    gain, usual = (plain - full)[known], float(plain[known].mean())
    chance = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
    used = gain.mean() > max(LEAST_GAIN * usual, chance)
    why = (
        f"{_names(plan)}: loss on validation origins {usual - gain.mean():.4g} with them, "
        f"{usual:.4g} without ({-gain.mean() / usual:+.1%})"
    )
    if not used and gain.mean() > 0:
        why += "; too small a gain, or too unsure, to keep them"
    word = "used" if used else "left out"
    return list(with_them if used else without), (("covariates", word, why),)


def _names(plan: Plan) -> str:
    """What the plan's design reads, in words."""
    assert plan.design is not None, "only plans with covariates are compared"
    names = [entry.name for entry in plan.design.entries]
    names += ["calendar"] if plan.design.calendar else []
    return ", ".join([*names, *(f"holidays {place}" for place in plan.design.holidays)])
