"""What is kept of a training: which start, covariates or none, and how wide its intervals are."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from forecast.common.quantiles import normal_scores
from forecast.common.segments import evenly
from forecast.data.forecast import LEVELS, Forecast
from forecast.data.panel import Panel
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.inference.conformal import calibrate, dependence, stretch
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.models.networks.covariate_effect import COVARIATE_LAYERS
from forecast.models.networks.numpy_ops import Weights
from forecast.training.ensemble import Member
from forecast.training.plan import PRETRAINED, SMALL, Plan, Reason
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import Design, encode

# --- Pretrained as it is, fine-tuned, from scratch, or a blend: what validates best stays --------
# Axes: S series, W validation windows, H horizon (steps), Q quantiles.


TUNED, SCRATCH = "fine-tuned", "from scratch"
NOT_TUNED = "no step of fine-tuning lowered the loss"
USUAL = (PRETRAINED, TUNED)  # what another choice must beat by more than chance
# Share of the usual blend's loss that another must take off: one that led by 1.4 per cent was
# behind at four of five later origins, by up to 15 (benchmarks/TRIED.md).
LEAST_GAIN = 0.03
DOUBT = 8.0  # losses on which a choice is twice as doubtful as on very many
MOST_SERIES = 1000  # of an origin that are watched: M3's 1,428 took 90 s to choose and calibrate by
CAP = 20.0  # units of error from which on the loss grows with the logarithm, as in training

Blend = tuple[str, ...]


def as_it_is(weights: Weights) -> Member:
    """The network that training started from, as a member that nothing was taught."""
    return Member(dict(weights), dict(weights), 0, float("nan"), "steps", "cpu")


def untaught(plan: Plan) -> list[Member]:
    """The network that a training starts from, which can forecast as it is (`Start.whole`)."""
    weights = plan.start.weights
    assert weights is not None, "random weights forecast nothing"
    return with_kind([as_it_is(weights)], PRETRAINED)


def blend_of(
    panel: Panel, plan: Plan, trained: Mapping[str, Sequence[Member]]
) -> tuple[list[Member], tuple[Reason, ...]]:
    """The members to keep, of `trained` by kind, and why; their forecast is their mean.

    Every kind alone and every blend forecasts the validation origins. The best is kept if it beats
    the usual one, pretrained and fine-tuned together, by more than `choose` asks: the few origins
    of a single series would else choose by luck, and what was trained has been stopped where it did
    best on these very origins. A member that no step improved is the pretrained network and not
    among the fine-tuned. Of few values nothing is kept without the pretrained network in it:
    on 26 single series of seven collections, of networks from scratch alone the worst had 2.4 times
    the pretrained one's error on later origins, of the usual blend 1.07 times, and 0.94 times in
    the geometric mean. Without validation origins the start is kept as it is: nothing could tell
    whether training helped.
    """
    kinds = list(trained)
    if kinds == [PRETRAINED]:
        return list(trained[PRETRAINED]), (
            ("kept", PRETRAINED, f"{NOT_TUNED} on validation origins"),
        )
    if len(kinds) == 1:
        return list(trained[kinds[0]]), ()
    losses = _losses(panel, plan, trained)
    if not losses:
        why = "there is too little data to see whether training helps"
        return list(trained[kinds[0]]), (("kept", kinds[0], why),)
    eligible = losses
    if len(panel.values) < SMALL and PRETRAINED in trained:
        eligible = {blend: loss for blend, loss in losses.items() if PRETRAINED in blend}
    kept = choose(eligible, tuple(kind for kind in USUAL if kind in trained))
    members = [member for kind in kept for member in trained[kind]]
    return members, (("kept", named(kept), _why(losses, kept, eligible)),)


def named(blend: Blend) -> str:
    """A blend in words."""
    return " + ".join(blend)


def _why(losses: Mapping[Blend, np.ndarray], kept: Blend, eligible: Container[Blend]) -> str:
    """Losses of each kind, of the blend that is kept, and of a better one that is not: it was not
    `eligible`, or its lead may be chance."""
    mean = {blend: f"{loss.mean():.3g}" for blend, loss in losses.items()}
    parts = [f"{named(blend)} {mean[blend]}" for blend in losses if len(blend) == 1]
    if len(kept) > 1:
        parts.append(f"blended {mean[kept]}")
    best = min(losses, key=lambda blend: losses[blend].mean())
    alike = mean[best] == mean[kept]  # as far as the figures show
    doubt = "within chance" if best in eligible else "few values are all that it knows"
    other = "" if alike else f"; {named(best)} {mean[best]} is lower, but {doubt}"
    stayed = f"; {NOT_TUNED}" if (PRETRAINED,) in losses and (TUNED,) not in losses else ""
    return f"loss on validation origins: {', '.join(parts)}{other}{stayed}"


def choose(losses: Mapping[Blend, np.ndarray], usual: Blend = USUAL) -> Blend:
    """The blend to keep, from paired losses, each (N,) over the same series and windows.

    The best replaces the usual one if its gain is above LEAST_GAIN of the loss and above one
    standard error of the paired losses, both times 1 + DOUBT / N: three times as much on four
    losses, which say little of their own spread, hardly more on hundreds.
    """
    best = min(losses, key=lambda blend: (losses[blend].mean(), len(blend)))
    if usual not in losses or best == usual:
        return best
    least = LEAST_GAIN * float(losses[usual].mean())
    return best if leads(losses[usual] - losses[best], least) else usual


def leads(gain: np.ndarray, least: float, doubt: float = DOUBT) -> bool:
    """Whether paired gains (N,) are in the mean above `least` and above one standard error, both
    times 1 + doubt / N. Without doubt a single gain is taken at its word."""
    alone = np.inf if doubt else 0.0
    chance = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else alone
    return bool(gain.mean() > (1 + doubt / len(gain)) * max(chance, least))


def _losses(
    panel: Panel, plan: Plan, trained: Mapping[str, Sequence[Member]]
) -> dict[Blend, np.ndarray]:
    """Loss of every blend at every series and validation window, (N,); {} without any."""
    losses: dict[Blend, list[np.ndarray]] = {}
    for past, actual, unit in watched(panel, plan.validation, plan.horizon, plan.season):
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
        for past, actual, unit in watched(panel, plan.validation, plan.horizon, plan.season)
    ]
    return np.concatenate([np.empty(0), *found])


def watched(
    panel: Panel, validation: np.ndarray, horizon: int, season: int, most: int = MOST_SERIES
) -> Iterator[tuple[Panel, np.ndarray, np.ndarray]]:
    """Of each of the windows `validation` (V, S), -1 for none: what precedes it, its actuals
    (S, H), the units of errors (S,); of very many series `most`."""
    for origins in validation:
        used = np.flatnonzero(origins >= 0)
        used = used[evenly(len(used), most)]
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            actual = part.window(origins[used], horizon)
            yield past, actual, naive_error(past, season)


def uncalibrated(plan: Plan, members: Sequence[Member], design: Design | None) -> Forecaster:
    """The members as they stood before the refit; their intervals are as wide as they say."""
    return Forecaster(
        plan.layout,
        tuple(member.scored for member in members),
        np.array(LEVELS),
        plan.config.context,
        plan.horizon,
        np.ones(len(LEVELS)),
        network=plan.config.network,
        design=design,
        views=plan.views_with(design),
        likelihood=plan.config.likelihood,
    )


def _quantiles(
    plan: Plan, members: Sequence[Member], past: Panel, design: Design | None = None
) -> np.ndarray:
    """What the members forecast before anything is calibrated, (S, H, Q)."""
    return forecast_panel(uncalibrated(plan, members, design), past, plan.horizon).quantiles


def naive_error(past: Panel, season: int) -> np.ndarray:
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


# --- Whether covariates help: trained with them and without, what validates better stays ---------


LEAST_COVARIATE_GAIN = (
    0.01  # share of the loss that covariates must take off to be worth their upkeep
)


def known_of(panel: Panel, plan: Plan) -> Known | None:
    """The covariates that the members of `plan` read; measures are those of the first `keep` steps.

    None without covariates.
    """
    if plan.design is None:
        return None
    return encode(plan.design, panel.truncate(plan.keep), int((panel.lengths - plan.keep).max()))


def uses_covariates(members: Sequence[Member]) -> bool:
    """Whether the members have learnt from covariates."""
    return any(name.startswith(COVARIATE_LAYERS) for m in members for name in m.scored)


def better(
    panel: Panel, plan: Plan, without: Sequence[Member], with_them: Sequence[Member]
) -> tuple[list[Member], tuple[Reason, ...]]:
    """The members that forecast the validation origins better, and why.

    Covariates stay if they take at least a hundredth off the mean loss, and more than one standard
    error of the paired losses, so that luck does not choose; a calendar that is tried must lead as
    any unusual choice. Where nothing could be validated, they are left out.
    """
    plain = losses_of(panel, plan, without, None)
    full = losses_of(panel, plan, with_them, plan.design)
    known = np.isfinite(plain) & np.isfinite(full)
    if not known.any():
        why = f"{_names(plan)}: there is too little data to see whether they help"
        return list(without), (("covariates", "left out", why),)
    gain, usual = (plain - full)[known], float(plain[known].mean())
    least, doubt = (LEAST_GAIN, DOUBT) if plan.tried else (LEAST_COVARIATE_GAIN, 0.0)
    used = leads(gain, least * usual, doubt)
    them = "it" if plan.tried else "them"
    why = (
        f"{_names(plan)}: loss on validation origins {usual - gain.mean():.4g} with {them}, "
        f"{usual:.4g} without ({-gain.mean() / usual:+.1%})"
    )
    if not used and gain.mean() > 0:
        why += f"; too small a gain, or too unsure, to keep {them}"
    word = "used" if used else "left out"
    return list(with_them if used else without), (("covariates", word, why),)


def _names(plan: Plan) -> str:
    """What the plan's design reads, in words."""
    assert plan.design is not None, "only plans with covariates are compared"
    names = [entry.name for entry in plan.design.entries]
    names += ["calendar"] if plan.design.calendar else []
    return ", ".join([*names, *(f"holidays {place}" for place in plan.design.holidays)])


# --- The LSTM on validation and held-out origins, from what was known there ----------------------
# Axes: S series, W windows, H horizon (steps), Q quantiles.


def calibrated(
    forecaster: Forecaster, panel: Panel, validation: np.ndarray, horizon: int
) -> Forecaster:
    """The forecaster with intervals stretched to fit the origins `validation` (V, S), -1 = none,
    and with the dependence of the errors there.

    Of very many series, MOST_SERIES are forecast.
    """
    quantiles, actual, times = [], [], []
    for origins in validation:
        used = np.flatnonzero(origins >= 0)
        used = used[evenly(len(used), MOST_SERIES)]
        if len(used):
            part = panel.select(used)
            past = part.truncate(origins[used])
            quantiles.append(forecast_panel(forecaster, past, horizon).quantiles)
            actual.append(part.window(origins[used], horizon))
            times.append(part.first + origins[used])
    if not quantiles:
        return forecaster
    made, known = np.concatenate(quantiles), np.concatenate(actual)
    factors = calibrate(made, forecaster.levels, known, np.concatenate(times))
    scores = normal_scores(stretch(made, factors), forecaster.levels, known)
    return replace(forecaster, factors=factors, dependence=dependence(scores))


def lstm_windows(
    forecaster: Forecaster, panel: Panel, origins: np.ndarray, horizon: int, allow_negative: bool
) -> list[Forecast]:
    """The LSTM's forecasts from each row of `origins` (W, S)."""
    return [
        forecast_panel(forecaster, panel.truncate(row), horizon, allow_negative=allow_negative)
        for row in origins
    ]


def forecasters(
    panel: Panel, plan: Plan, members: Sequence[Member]
) -> tuple[Forecaster, Forecaster]:
    """The ensemble that the held-out windows judge, and the one that has seen all data.

    Both get the interval calibration of the first: the second has learnt from the origins that it
    would be calibrated on.
    """
    design = plan.design if uses_covariates(members) else None
    base = uncalibrated(plan, members, design)
    scored = calibrated(base, panel, plan.validation, plan.horizon)
    return scored, replace(scored, members=tuple(member.final for member in members))


# --- Several forecasters on the validation origins of a training ---------------------------------


PanelForecaster = Callable[[Panel], Forecast]


def on_validation_origins(
    panel: Panel, validation: np.ndarray, forecasters: Mapping[str, PanelForecaster], season: int
) -> ScoreTable | None:
    """Scores of `forecasters` at the origins `validation` (V, S), -1 for none; None without any.

    Each is given what precedes an origin and forecasts from its end.
    """
    if not (validation >= 0).any():
        return None
    origins = np.where(validation >= 0, validation, panel.lengths[None, :])
    made = {
        name: [_as(name, forecast(panel.truncate(row))) for row in origins]
        for name, forecast in forecasters.items()
    }
    return score_forecasts(panel, made, season)


def _as(name: str, forecast: Forecast) -> Forecast:
    """The forecast under another name, its fallbacks still named as such."""
    own = forecast.source == forecast.name
    return replace(forecast, name=name, source=np.where(own, name, forecast.source).astype(object))
