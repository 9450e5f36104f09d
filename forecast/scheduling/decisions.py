"""Every decision of a scheduled run: recorded facts in, what is done and why out.

Pure functions of plain values: what a run decided can be decided again from its manifest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from forecast.common.durations import duration, seconds_in
from forecast.scheduling.config import Freshness, Retrain

CHALLENGER, CHAMPION = "the new model", "the model in service"
PRETRAINED, NAIVE = "the pretrained network", "seasonal naive"
ROLLED_BACK = "rolled back"  # the outcome of a run that would publish what was withdrawn
LEAST_SECONDS = 5.0  # with less than this left, training would bring nothing but delay


@dataclass(frozen=True)
class Decision:
    """What was decided about what, and why: `choice` is a word to match on."""

    what: str
    choice: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """As a manifest holds it."""
        return asdict(self)


def decide_freshness(age: float | None, rules: Freshness, usual: float | None = None) -> Decision:
    """ "fresh", "old" (a warning), "stale" (nothing is published), "not checked" or "unknown".

    age: seconds from the newest value's time to now; None where times are plain numbers. usual: the
    age that the job's schedule and step explain, in seconds; None: any age does.
    """
    if age is None:
        return Decision("freshness", "unknown", "times are numbers: no clock says how old they are")
    words = f"the newest value is {duration(age)} old"
    if rules.error_after and age > seconds_in(rules.error_after):
        return Decision("freshness", "stale", f"{words}, over error_after: {rules.error_after}")
    if rules.warn_after == "auto":
        if usual is not None and age > usual:
            why = f"{words}; schedule and step explain {duration(usual)} (warn_after: auto)"
            return Decision("freshness", "old", why)
    elif rules.warn_after and age > seconds_in(rules.warn_after):
        return Decision("freshness", "old", f"{words}, over warn_after: {rules.warn_after}")
    named = (("warn_after", rules.warn_after), ("error_after", rules.error_after))
    limits = [f"{name}: {value}" for name, value in named if value]
    if not limits:
        return Decision("freshness", "not checked", f"{words}, and no limit is set")
    return Decision("freshness", "fresh", f"{words}; {', '.join(limits)}")


@dataclass(frozen=True)
class Past:
    """What an earlier run of the same as-of recorded; `intact`: its files still have their sums."""

    run: str
    seen: str
    config: str
    model: str
    intact: bool


def decide_whether_to_run(
    seen: str,
    config: str,
    in_service: str | None,
    past: Past | None,
    withheld: Sequence[Past] = (),
) -> Decision:
    """ "run", "already done" or "rolled back".

    seen, config: digests of the data up to the as-of and of the job; in_service: the model's id
    (None: whatever made `past`); past: the run that stands for the as-of; withheld: runs of it by
    the model in service that a rollback took out, none where the as-of was asked for by name.
    """
    what, reason = "this as-of", _reason_to_run(seen, config, in_service, past)
    if past is not None and not reason:
        why = f"{past.run} was made of the same data, job and model"
        return Decision(what, "already done", why)
    for each in withheld:
        if (each.seen, each.config) == (seen, config):
            why = f"{each.run} of the same data, job and model was withdrawn; new data end that, "
            return Decision(what, ROLLED_BACK, why + "--as-of or rollback --to brings it back")
    return Decision(what, "run", reason)


def _reason_to_run(seen: str, config: str, in_service: str | None, past: Past | None) -> str:
    """Why what stands for the as-of, if anything, is not what a run would make; "" for nothing."""
    if past is None:
        return "nothing is published for it yet"
    if past.seen != seen:
        return f"the data changed since {past.run}, which is replaced"
    if past.config != config:
        return f"the job's settings changed since {past.run}"
    if in_service is not None and past.model != in_service:
        return f"another model is in service than when {past.run} was made"
    return "" if past.intact else f"the files of {past.run} are missing or were changed"


@dataclass(frozen=True)
class ModelFacts:
    """What is known of the model in service, if any, when a run begins.

    exists; changed: settings that it was trained with and that are others now; misfit: why it
    cannot forecast these data ("" if it can); steps, seconds: how far the data have gone beyond
    the last trial (the model's own training or a lost challenge); horizon in steps; live and
    promised MASE; scored: values that have come true; coverage: live share by level in per cent;
    series_changed: share of series that are new or gone; free: no origin that would judge a
    fine-tuned model lies in what the model in service has seen.
    """

    exists: bool
    changed: tuple[str, ...] = ()
    misfit: str = ""
    steps: int = 0
    seconds: float | None = None
    horizon: int = 1
    live: float = math.nan
    promised: float = math.nan
    scored: int = 0
    coverage: dict[float, float] = field(default_factory=dict)
    series_changed: float = 0.0
    free: bool = False


def decide_learning(facts: ModelFacts, policy: Retrain) -> Decision:
    """ "train" (there is none), "retrain", "fine-tune" or "reuse"."""
    what = "model"
    if not facts.exists:
        return Decision(what, "train", "there is none yet")
    if facts.misfit:
        return Decision(what, "retrain", facts.misfit)
    if facts.changed:
        return Decision(what, "retrain", f"settings changed: {', '.join(facts.changed)}")
    reason = _reason_to_retrain(facts, policy)
    if reason is None:
        return Decision(what, "reuse", f"{_steps(facts.steps)} since the last trial; no rule asks")
    if reason[1] and policy.fine_tune and facts.free:
        return Decision(what, "fine-tune", f"{reason[0]}; it goes on from the model in service")
    return Decision(what, "retrain", reason[0])


def decide_time_to_learn(seconds: float | None, can_reuse: bool) -> Decision | None:
    """ "reuse" or "pretrained" where the deadline leaves no time to train; None where it does.

    seconds: what is left for training, None without a deadline; can_reuse: a model in service
    can forecast these data.
    """
    if seconds is None or seconds >= LEAST_SECONDS:
        return None
    choice = "reuse" if can_reuse else "pretrained"
    return Decision("model", choice, "the deadline leaves no time to train")


def _reason_to_retrain(facts: ModelFacts, policy: Retrain) -> tuple[str, bool] | None:
    """The first rule that asks for a new model, and whether going on from the old one may do."""
    if policy.every and facts.seconds is not None and facts.seconds >= seconds_in(policy.every):
        return f"the data went on by {duration(facts.seconds)} since the last trial", True
    if policy.new_points and facts.steps >= policy.new_points:
        return f"{_steps(facts.steps)} since the last trial, at least {policy.new_points}", True
    # A lost challenge would be lost again on the same data: wait for a horizon of new ones.
    if facts.steps < facts.horizon:
        return None
    if policy.changed_series is not None and facts.series_changed > policy.changed_series:
        return f"{facts.series_changed:.0%} of the series are new or gone", True
    if facts.scored < policy.least_scored:
        return None
    ratio = facts.live / facts.promised if facts.promised > 0 else math.nan
    if policy.live_error_over is not None and ratio > policy.live_error_over:
        figures = f"live MASE {facts.live:.3f}, the backtest's {facts.promised:.3f}"
        return f"{figures}: over {policy.live_error_over:g} times as much", False
    if policy.coverage_off is not None:
        for level, share in sorted(facts.coverage.items()):
            if abs(share - level / 100) > policy.coverage_off:
                return f"the {level:g}% interval held {share:.0%} of what came true", False
    return None


@dataclass(frozen=True)
class Trial:
    """The error of each candidate on the same held-out origins; NaN where there is none.

    refused: the new model is one that a rollback took out of service. champion_fits: the model in
    service could forecast these data. metric: heading of the error.
    """

    challenger: float
    champion: float
    pretrained: float
    naive: float
    champion_fits: bool
    refused: bool = False
    metric: str = "MASE"


def decide_service(trial: Trial) -> Decision:
    """Which model serves from now on: CHALLENGER, CHAMPION, PRETRAINED or NAIVE.

    Where no trained model is in service, the pretrained network stands in for it: it is there
    without any training.
    """
    what = "service"
    figures = _figures(trial)
    if trial.refused:
        why = "the new model is the one that was rolled back"
        return Decision(what, CHAMPION if trial.champion_fits else PRETRAINED, why)
    if math.isnan(trial.challenger):
        if trial.champion_fits:
            return Decision(what, CHAMPION, "no series is long enough to judge a new model by")
        return Decision(what, CHALLENGER, "no series is long enough to judge by; the first model")
    if trial.challenger < trial.naive or math.isnan(trial.naive):
        judged = trial.champion_fits and not math.isnan(trial.champion)
        standing, choice = (trial.champion, CHAMPION) if judged else (trial.pretrained, PRETRAINED)
        name = CHAMPION if judged else f"{PRETRAINED} (the champion where no trained one serves)"
        if math.isnan(standing):
            return Decision(what, CHALLENGER, f"it beats seasonal naive: {figures}")
        if trial.challenger < standing:
            return Decision(what, CHALLENGER, f"it beats seasonal naive and {name}: {figures}")
        return Decision(what, choice, f"the new model is no better than {name}: {figures}")
    if trial.champion_fits and trial.champion < trial.naive:
        return Decision(what, CHAMPION, f"the new model loses to seasonal naive: {figures}")
    if trial.pretrained < trial.naive:
        return Decision(what, PRETRAINED, f"no trained model beats seasonal naive: {figures}")
    return Decision(what, NAIVE, f"no model beats it: {figures}")


def decide_publication(failed: int, series: int, most: float) -> Decision:
    """ "publish" or "refuse": more than the share `most` of the series could not be forecast."""
    what = "publication"
    if series == 0:
        return Decision(what, "refuse", "no series can be forecast")
    if failed > most * series:
        return Decision(
            what, "refuse", f"{failed} of {series} series failed, over max_failed: {most:.3g}"
        )
    return Decision(what, "publish", f"{failed} of {series} series failed")


def decide_completeness(lost: int, before: int, most: float) -> Decision | None:
    """ "refuse" where more than the share `most` of the `before` series that the published forecast
    has are `lost` (gone from the data, or left out); None where no more are."""
    if lost <= most * before:
        return None
    why = f"{lost} of {before} series are gone or too late, over max_lost: {most:.3g}"
    return Decision("publication", "refuse", why)


def exit_code(fallbacks: int, newly_left_out: int) -> int:
    """0, or 3: some series fell back, or are left out that the last run still forecast."""
    return 3 if fallbacks or newly_left_out else 0


def _figures(trial: Trial) -> str:
    named = (
        ("new", trial.challenger),
        ("in service", trial.champion),
        ("pretrained", trial.pretrained),
        ("seasonal naive", trial.naive),
    )
    figures = ", ".join(f"{name} {v:.4f}" for name, v in named if not math.isnan(v))
    return f"{trial.metric} {figures}"


def _steps(count: int) -> str:
    return "1 new step" if count == 1 else f"{count} new steps"
