"""The LSTM from every origin of a backtest: as `train` makes it, and in its other states.

Axes: S series, W windows (origins of each series), H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory
from forecast.config.schema import Settings, Variant
from forecast.data.forecast import Forecast
from forecast.data.panel import LSTM, Panel
from forecast.models.forecaster import Forecaster
from forecast.models.pretrained import load_backbone
from forecast.training.learn import learn
from forecast.training.plan import choose_config, choose_start, in_part_of_the_time
from forecast.training.selection import calibrated, forecasters, lstm_windows
from forecast.training.zero_shot import with_longer_steps
from forecast.workflows.backtest_plan import BacktestPlan, without_later

COLUMNS: dict[Variant, str] = {
    "pretrained": f"{LSTM}-pretrained",
    "fine-tuned": f"{LSTM}-fine-tuned",
    "scratch": f"{LSTM}-scratch",
}


@dataclass(frozen=True)
class Learnt:
    """A trained network's forecasts, W of them, how its training went, how many numbers one member
    learnt, and the network that made all of the forecasts, None where there are several."""

    forecasts: list[Forecast]
    history: list[dict[str, Any]]
    interrupted: bool
    parameters: int | None = None
    network: Forecaster | None = None


def trained(panel: Panel, plan: BacktestPlan, settings: Settings, listener: Listener) -> Learnt:
    """The LSTM as `train` makes it, from every origin; its time includes the training.

    It is trained once, on what precedes the first origin of each series; with --refit anew before
    every origin, on all that precedes that one.
    """
    share = 1 + sum(_trains(variant) for variant in settings.evaluation.variants)
    plan = _in_part_of_the_time(plan, share)
    return _trained(panel, plan, settings, f"the {plan.training.title}", listener)


def variants(
    panel: Panel, plan: BacktestPlan, settings: Settings, listener: Listener
) -> dict[str, Learnt]:
    """The states of the network that --variants names, by column name.

    "pretrained": untrained on these data, its intervals calibrated on the validation origins;
    "fine-tuned": trained from there; "scratch": trained from random weights.
    """
    asked = settings.evaluation.variants
    made: dict[str, Learnt] = {}
    for variant in asked:
        if not _trains(variant):
            listener.stage("Forecasting with the pretrained network")
            ready = pretrained(panel, plan, settings.forecast.allow_negative)
            size = load_backbone(plan.training.layout).parameters
            learnt = Learnt(ready, [], False, size)
        else:
            share = 1 + sum(_trains(each) for each in asked)
            part = _in_part_of_the_time(starting(variant, panel, plan, settings), share)
            learnt = _trained(panel, part, settings, f"the network ({variant})", listener)
        column = COLUMNS[variant]
        rows = [{**row, "member": f"{row['member']} {variant}"} for row in learnt.history]
        renamed = [named(each, column) for each in learnt.forecasts]
        made[column] = replace(learnt, forecasts=renamed, history=rows)
        if learnt.interrupted:
            break
    return made


def pretrained(panel: Panel, plan: BacktestPlan, allow_negative: bool) -> list[Forecast]:
    """The pretrained network from every origin, as `forecast` uses it; no weight is changed."""
    training = plan.training
    backbone = load_backbone(training.layout)
    reading = replace(backbone, context=training.config.context)
    before = panel.truncate(training.keep)
    reading = with_longer_steps(reading, before, plan.steps, training.season)
    ready = calibrated(reading, panel, training.validation, plan.steps)
    return windows(ready, panel, plan.origins, plan.steps, allow_negative)


def starting(
    variant: Variant, panel: Panel, plan: BacktestPlan, settings: Settings
) -> BacktestPlan:
    """The plan with training from the weights that `variant` starts from, and steps to match.

    Variants are those of the LSTM, whichever network --network names.
    """
    scratch = variant == "scratch"
    network = (
        settings.network.model_copy(update={"name": "lstm"})
        if scratch
        else type(settings.network)(
            **settings.network.model_dump(
                exclude={"name", "hidden_size", "layers"}, exclude_unset=True
            )
        )
    )
    training = settings.training.model_copy(update={"init": None, "from_scratch": scratch})
    chosen = settings.model_copy(update={"network": network, "training": training})
    start = choose_start(chosen, plan.training.layout)
    config = choose_config(panel, chosen, plan.training.layout, plan.steps, start)
    config = replace(config, views=plan.training.config.views)
    alone = replace(plan.training, start=start, config=config, scratch=None, compare=False)
    return replace(plan, training=alone)


def windows(
    forecaster: Forecaster,
    panel: Panel,
    origins: np.ndarray,
    steps: int,
    allow_negative: bool,
) -> list[Forecast]:
    """A forecaster's forecasts from each row of `origins` (W, S), with the memory they took."""
    with PeakMemory() as memory:
        made = lstm_windows(forecaster, panel, origins, steps, allow_negative)
    return [replace(each, memory=memory.peak) for each in made]


def named(forecast: Forecast, name: str) -> Forecast:
    """The forecast under another column name, its own rows with that source."""
    own = forecast.source == forecast.name
    return replace(forecast, name=name, source=np.where(own, name, forecast.source))


def _trains(variant: Variant) -> bool:
    return variant != "pretrained"


def _in_part_of_the_time(plan: BacktestPlan, share: int) -> BacktestPlan:
    """The plan with a deadline's time for training split `share` ways."""
    return replace(plan, training=in_part_of_the_time(plan.training, share))


def _trained(
    panel: Panel, plan: BacktestPlan, settings: Settings, who: str, listener: Listener
) -> Learnt:
    if settings.evaluation.refit and len(plan.origins) > 1:
        return _trained_anew(panel, plan, settings, who, listener)
    listener.stage(f"Training {who}")
    return _trained_once(panel, plan, settings, plan.training.keep, plan.origins, listener)


def _trained_once(
    panel: Panel,
    plan: BacktestPlan,
    settings: Settings,
    keep: np.ndarray,
    origins: np.ndarray,
    listener: Listener,
) -> Learnt:
    """Trains on the first `keep` (S,) values of each series, forecasts from `origins` (W, S)."""
    started = time.monotonic()
    training = without_later(plan.training, keep)
    once = settings.training.model_copy(update={"refit": False})
    with PeakMemory() as memory:
        members, history, interrupted, reasons = learn(
            panel, training, settings.model_copy(update={"training": once}), listener
        )
        for name, value, why in reasons:
            listener.note(f"{name} {value}: {why}")
        scored, _ = forecasters(panel, training, members)
    spent = time.monotonic() - started
    made = windows(scored, panel, origins, plan.steps, settings.forecast.allow_negative)
    first = made[0]
    made[0] = replace(
        first, seconds=first.seconds + spent, memory=float(np.fmax(first.memory, memory.peak))
    )
    return Learnt(made, history, interrupted, scored.parameters, scored)


def _trained_anew(
    panel: Panel, plan: BacktestPlan, settings: Settings, who: str, listener: Listener
) -> Learnt:
    """A network for each origin; once interrupted, the one at hand forecasts from the rest."""
    count = len(plan.origins)
    plan = _in_part_of_the_time(plan, count)
    forecasts: list[Forecast] = []
    history: list[dict[str, Any]] = []
    for window in range(count):
        listener.stage(f"Training {who} before origin {window + 1} of {count}")
        learnt = _trained_once(
            panel, plan, settings, plan.origins[window], plan.origins[window:], listener
        )
        history += [
            {**row, "member": f"{row['member']} before origin {window + 1}"}
            for row in learnt.history
        ]
        if learnt.interrupted:
            return Learnt(forecasts + learnt.forecasts, history, True)
        forecasts.append(learnt.forecasts[0])
    return Learnt(forecasts, history, False)
