"""Tuned settings and the defaults on held-out origins, which no trial has seen."""

from __future__ import annotations

from dataclasses import dataclass

from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.evaluation.score_table import ScoreTable
from forecast.evaluation.scores import score_forecasts
from forecast.evaluation.significance import Comparison, compare
from forecast.inference.predict import at_levels
from forecast.inference.tables import wanted_levels
from forecast.training.held_out import lstm_windows
from forecast.training.plan import Plan, make_plan
from forecast.training.selection import forecasters, learn

TUNED, DEFAULTS = "tuned", "defaults"
WORDS = {TUNED: "the tuned settings", DEFAULTS: "the defaults"}


@dataclass(frozen=True)
class Judgement:
    """Both on the same held-out origins; pair: tuned against defaults."""

    scores: ScoreTable
    pair: Comparison

    @property
    def gained(self) -> bool:
        """Whether the tuned settings forecast better."""
        return self.pair.first_loss < self.pair.second_loss

    @property
    def sentence(self) -> str:
        """What tuning gained, or that it gained nothing."""
        pair = self.pair
        share = 1 - pair.first_loss / pair.second_loss if pair.second_loss else 0.0
        figures = (
            f"{pair.metric} {pair.first_loss:.3f} tuned, {pair.second_loss:.3f} with the defaults, "
            f"on {self.scores.windows} held-out origin{'s' * (self.scores.windows > 1)} "
            "that no trial saw"
        )
        if not self.gained:
            return f"Tuning gained nothing: {figures}. Keep the defaults."
        chance = ""
        if not pair.told:
            chance = " There are too few forecasts to say whether that is more than chance."
        elif pair.p > 0.05:
            chance = f" That may be chance (p = {pair.p:.2f}, {pair.method})."
        else:
            chance = f" That is more than chance (p = {pair.p:.2g}, {pair.method})."
        return f"Tuning took {share:.1%} off the error: {figures}.{chance}"


def judged(
    panel: Panel,
    confirmed: tuple[int, ...],
    given: Settings,
    tuned: Settings,
    limit: float | None,
    listener: Listener,
) -> Judgement:
    """Trains with both settings as `train` does and scores both on the held-out origins.

    confirmed: season lengths that all data show; limit: seconds for both, None for no limit. Raises
    KeyboardInterrupt when the user ends it.
    """
    made: dict[str, list[Forecast]] = {}
    plan: Plan | None = None
    for name, settings in ((TUNED, tuned), (DEFAULTS, given)):
        listener.stage("Training with " + WORDS[name])
        plan, made[name] = _forecasts(panel, confirmed, settings, limit and limit / 2, listener)
    assert plan is not None
    scores = score_forecasts(panel, made, plan.season, given.forecast.level)
    return Judgement(scores, compare(scores, TUNED, DEFAULTS))


def _forecasts(
    panel: Panel,
    confirmed: tuple[int, ...],
    settings: Settings,
    limit: float | None,
    listener: Listener,
) -> tuple[Plan, list[Forecast]]:
    """The plan of `settings` and what comes of it on the held-out origins."""
    timed = {"refit": False, "deadline": f"{max(limit, 1.0):.1f}s" if limit else None}
    document = settings.model_dump(exclude_unset=True)
    document["training"] = {**document.get("training", {}), **timed}
    asked = Settings(**document)
    plan = make_plan(panel, confirmed, asked)
    learnt = learn(panel, plan, asked, listener)
    if learnt.interrupted:
        raise KeyboardInterrupt
    scored, _ = forecasters(panel, plan, learnt.members)
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    made = lstm_windows(scored, panel, plan.origins, plan.horizon, settings.forecast.allow_negative)
    return plan, [at_levels(each, levels) for each in made]
