"""Pretrained as it is, fine-tuned, from scratch, or a blend: what validates best stays.

Axes: S series, W validation windows, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from forecast.data.forecast import LEVELS
from forecast.data.panel import Panel
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.networks.numpy_ops import Weights
from forecast.training.ensemble import Member
from forecast.training.plan import PRETRAINED, SMALL, Plan, Reason
from forecast.transforms.covariates import Design

TUNED, SCRATCH = "fine-tuned", "from scratch"
# What another choice must beat by more than chance; of few values, no training teaches much.
USUAL, USUAL_OF_FEW = (PRETRAINED, TUNED), (PRETRAINED,)
LEAST_GAIN = 0.01  # share of the usual blend's loss that another must take off
CAP = 20.0  # units of error from which on the loss grows with the logarithm, as in training

Blend = tuple[str, ...]


def as_it_is(weights: Weights) -> Member:
    """The network that training started from, as a member that nothing was taught."""
    return Member(dict(weights), dict(weights), 0, float("nan"), "steps", "cpu")


def blend_of(
    panel: Panel, plan: Plan, trained: Mapping[str, Sequence[Member]]
) -> tuple[list[Member], tuple[Reason, ...]]:
    """The members to keep, of `trained` by kind, and why; their forecast is their mean.

    Every kind alone and every blend forecasts the validation origins. The best is kept if it beats
    the usual one by a hundredth, and by more than one standard error of their paired losses: the
    few origins of a single series would else choose by luck, and a fine-tuned network has been
    stopped where it did best on these very origins. Usual is the blend of pretrained and
    fine-tuned; of few values the pretrained network as it is: on single series, each alone, it beat
    the fine-tuned one on most. Without validation origins the start is kept as it is: nothing could
    tell whether training helped.
    """
    kinds = list(trained)
    if len(kinds) == 1:
        return list(trained[kinds[0]]), ()
    losses = _losses(panel, plan, trained)
    if not losses:
        why = "there is too little data to see whether training helps"
        return list(trained[kinds[0]]), (("kept", kinds[0], why),)
    usual = USUAL_OF_FEW if len(panel.values) < SMALL and PRETRAINED in trained else USUAL
    kept = choose(losses, tuple(kind for kind in usual if kind in trained))
    members = [member for kind in kept for member in trained[kind]]
    return members, (("kept", named(kept), _why(losses, kept)),)


def named(blend: Blend) -> str:
    """A blend in words."""
    return " + ".join(blend)


def _why(losses: Mapping[Blend, np.ndarray], kept: Blend) -> str:
    """Losses of each kind, of the blend that is kept, and of a better one that is not."""
    mean = {blend: f"{loss.mean():.3g}" for blend, loss in losses.items()}
    parts = [f"{named(blend)} {mean[blend]}" for blend in losses if len(blend) == 1]
    if len(kept) > 1:
        parts.append(f"blended {mean[kept]}")
    best = min(losses, key=lambda blend: losses[blend].mean())
    other = "" if best == kept else f"; {named(best)}, {mean[best]}, is not surely better"
    return f"loss on validation origins: {', '.join(parts)}{other}"


def choose(losses: Mapping[Blend, np.ndarray], usual: Blend = USUAL) -> Blend:
    """The blend to keep, from paired losses, each (N,) over the same series and windows."""
    best = min(losses, key=lambda blend: (losses[blend].mean(), len(blend)))
    if usual not in losses or best == usual:
        return best
    gain = losses[usual] - losses[best]
    chance = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    if gain.mean() <= max(chance, LEAST_GAIN * losses[usual].mean()):
        return usual
    return best


def _losses(
    panel: Panel, plan: Plan, trained: Mapping[str, Sequence[Member]]
) -> dict[Blend, np.ndarray]:
    """Loss of every blend at every series and validation window, (N,); {} without any."""
    losses: dict[Blend, list[np.ndarray]] = {}
    for past, actual, unit in _watched(panel, plan):
        made = {kind: _quantiles(plan, members, past) for kind, members in trained.items()}
        for size in range(1, len(made) + 1):
            for blend in combinations(made, size):
                weight = [len(trained[kind]) for kind in blend]
                mean = np.average([made[kind] for kind in blend], axis=0, weights=weight)
                losses.setdefault(blend, []).append(_pinball(mean, actual, unit))
    joined = {blend: np.concatenate(parts) for blend, parts in losses.items()}
    known = {blend: loss[np.isfinite(loss)] for blend, loss in joined.items()}
    return {blend: loss for blend, loss in known.items() if len(loss)}


def losses_of(
    panel: Panel, plan: Plan, members: Sequence[Member], design: Design | None
) -> np.ndarray:
    """Loss of the members' mean at every series and validation window, (V*S,), NaN where unknown.

    design: the covariates that the members read.
    """
    found = [
        _pinball(_quantiles(plan, members, past, design), actual, unit)
        for past, actual, unit in _watched(panel, plan)
    ]
    return np.concatenate([np.empty(0), *found])


def _watched(panel: Panel, plan: Plan) -> Iterator[tuple[Panel, np.ndarray, np.ndarray]]:
    """Of each validation window: what precedes it, its actuals (S, H), the units of errors (S,)."""
    for origins in plan.validation:
        used = np.flatnonzero(origins >= 0)
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            actual = part.window(origins[used], plan.horizon)
            yield past, actual, _naive_error(past, plan.season)


def uncalibrated(plan: Plan, members: Sequence[Member], design: Design | None) -> Forecaster:
    """The members as they stood before the refit; their intervals are as wide as they say."""
    return Forecaster(
        plan.layout,
        tuple(member.scored for member in members),
        np.array(LEVELS),
        plan.recipe["context"],
        plan.horizon,
        np.ones(len(LEVELS)),
        network=plan.recipe["network"],
        design=design,
        views=plan.views_with(design),
        likelihood=plan.recipe["likelihood"],
    )


def _quantiles(
    plan: Plan, members: Sequence[Member], past: Panel, design: Design | None = None
) -> np.ndarray:
    """What the members forecast before anything is calibrated, (S, H, Q)."""
    return forecast_panel(uncalibrated(plan, members, design), past, plan.horizon).quantiles


def _naive_error(past: Panel, season: int) -> np.ndarray:
    """Mean absolute error of the seasonal naive forecast inside the past, (S,); NaN where none."""
    position = np.arange(len(past.values)) - np.repeat(past.offsets[:-1], past.lengths)
    series = np.repeat(np.arange(past.size), past.lengths)
    lag = np.where(past.lengths > season, season, 1)[series]
    before = past.values[np.maximum(np.arange(len(past.values)) - lag, 0)]
    error = np.where(position >= lag, np.abs(past.values - before), np.nan)
    known = np.isfinite(error)
    total = np.bincount(series[known], weights=error[known], minlength=past.size)
    count = np.bincount(series[known], minlength=past.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((count > 0) & (total > 0), total / count, np.nan)


def _pinball(quantiles: np.ndarray, actual: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean pinball loss of each series, (S,), in its unit; NaN where nothing is known."""
    error = (actual[..., None] - quantiles) / unit[:, None, None]
    levels = np.array(LEVELS)
    loss = 2 * np.maximum(error * levels, error * (levels - 1)).mean(-1)
    loss = np.where(loss <= CAP, loss, CAP * (1 + np.log(np.maximum(loss, CAP) / CAP)))
    known = np.isfinite(loss)
    count = known.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, np.where(known, loss, 0.0).sum(1) / count, np.nan)


def with_kind(members: Sequence[Member], kind: str) -> list[Member]:
    """The members, each told how it came to be."""
    return [replace(member, kind=kind) for member in members]
