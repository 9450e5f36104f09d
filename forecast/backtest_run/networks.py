"""The LSTM from every origin of a backtest: trained for it, as pretrained, and saved before.

Axes: S series, W windows (origins of each series), H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forecast.backbone import load_backbone
from forecast.backtest import held_out
from forecast.backtest_run.origins import BacktestPlan, without_later
from forecast.columns import CUTOFF, ID, LSTM, TARGET, TIME
from forecast.config import Settings
from forecast.errors import InputError
from forecast.events import Listener
from forecast.forecasts import Forecast
from forecast.held_out import lstm_windows
from forecast.model_folder import frequency_of, load_model, model_path, read_manifest
from forecast.panel import Panel
from forecast.pipeline import forecasters, learn
from forecast.prediction import Forecaster

ZERO_SHOT = "LSTM-zero-shot"


@dataclass(frozen=True)
class Learnt:
    """The trained LSTM's forecasts, W of them, and how its training went."""

    forecasts: list[Forecast]
    history: list[dict[str, Any]]
    interrupted: bool


@dataclass(frozen=True)
class SavedModel:
    """A model folder to be backtested; seen: why it may know held-out values, or ""."""

    name: str
    folder: Path
    forecaster: Forecaster
    seen: str


def trained(
    panel: Panel, plan: BacktestPlan, settings: Settings, refit: bool, listener: Listener
) -> Learnt:
    """The LSTM as `train` makes it, from every origin; its time includes the training.

    It is trained once, on what precedes the first origin of each series; with `refit` anew before
    every origin, on all that precedes that one.
    """
    if refit and len(plan.origins) > 1:
        return _trained_anew(panel, plan, settings, listener)
    listener.stage("Training the LSTM")
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
    members, history, interrupted = learn(
        panel, training, settings.model_copy(update={"training": once}), listener
    )
    scored, _ = forecasters(panel, training, members)
    spent = time.monotonic() - started
    made = lstm_windows(scored, panel, origins, plan.steps, settings.forecast.allow_negative)
    made[0] = replace(made[0], seconds=made[0].seconds + spent)
    return Learnt(made, history, interrupted)


def _trained_anew(
    panel: Panel, plan: BacktestPlan, settings: Settings, listener: Listener
) -> Learnt:
    """A network for each origin; once interrupted, the one at hand forecasts from the rest."""
    count = len(plan.origins)
    limit = plan.training.recipe["seconds"]
    recipe = {**plan.training.recipe, "seconds": limit and limit / count}
    plan = replace(plan, training=replace(plan.training, recipe=recipe))
    forecasts: list[Forecast] = []
    history: list[dict[str, Any]] = []
    for window in range(count):
        listener.stage(f"Training the LSTM before origin {window + 1} of {count}")
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


def zero_shot(panel: Panel, plan: BacktestPlan, allow_negative: bool) -> list[Forecast]:
    """The pretrained network, untrained on these data and uncalibrated, from every origin."""
    backbone = load_backbone(plan.training.layout)
    reading = replace(backbone, context=plan.training.recipe["context"])
    made = lstm_windows(reading, panel, plan.origins, plan.steps, allow_negative)
    return [named(each, ZERO_SHOT) for each in made]


def saved_models(
    folders: Sequence[str], panel: Panel, plan: BacktestPlan, taken: Collection[str]
) -> list[SavedModel]:
    """The models in run folders or model folders, each with a column name of its own.

    taken: names that are not free. Raises ModelNotFoundError, ModelDamagedError, or InputError
    when the data are of another frequency than a model's.
    """
    used = {*taken, LSTM, ZERO_SHOT, ID, TIME, CUTOFF, TARGET, "source"}
    found = []
    for each in folders:
        folder = model_path(Path(each))
        forecaster, manifest = load_model(folder)
        _check_frequency(panel, manifest, each)
        name = _free_name(folder, used)
        used.add(name)
        found.append(SavedModel(name, folder, forecaster, _seen(manifest, panel, plan.origins)))
    return found


def start_has_seen(settings: Settings, panel: Panel, plan: BacktestPlan) -> str:
    """Why the model that training starts from may know held-out values; "" when it cannot."""
    if settings.training.init is None:
        return ""
    manifest = read_manifest(model_path(Path(settings.training.init)))
    seen = _seen(manifest, panel, plan.origins)
    return f"the model of --init was {seen}" if seen else ""


def saved_forecasts(
    model: SavedModel, panel: Panel, plan: BacktestPlan, allow_negative: bool
) -> list[Forecast]:
    """A saved model from every origin; that it has seen what it is tested on is in the notes."""
    made = lstm_windows(model.forecaster, panel, plan.origins, plan.steps, allow_negative)
    notes = (model.seen,) if model.seen else ()
    return [replace(named(each, model.name), notes=notes) for each in made]


def named(forecast: Forecast, name: str) -> Forecast:
    """The forecast under another column name, its own rows with that source."""
    own = forecast.source == forecast.name
    return replace(forecast, name=name, source=np.where(own, name, forecast.source))


def _free_name(folder: Path, used: Collection[str]) -> str:
    whole = folder.resolve()
    base = whole.parent.name if whole.name == "model" else whole.name
    base = base or "saved model"
    name, number = base, 2
    while name in used:
        name, number = f"{base} ({number})", number + 1
    return name


def _check_frequency(panel: Panel, manifest: dict[str, Any], where: str) -> None:
    then = frequency_of(manifest)
    if (then.alias, then.integer) != (panel.frequency.alias, panel.frequency.integer):
        raise InputError(
            f"the data are of another frequency than the model's, {then.alias}",
            code="input/other-frequency",
            where=where,
            value=panel.frequency.alias,
            remedy="Leave this --model out, or say with --freq what a step is",
        )


def _seen(manifest: dict[str, Any], panel: Panel, origins: np.ndarray) -> str:
    """Why the model may know some of the values that it is tested on; "" when it cannot."""
    last = manifest.get("data", {}).get("span", {}).get("last")
    if last is None:  # never trained on data of its own
        return ""
    scored = held_out(panel, origins)
    starts = (panel.first[None, :] + origins)[scored]
    first = panel.frequency.stamps(np.array([starts.min()]))[0]
    until = _moment(str(last), isinstance(first, np.datetime64))
    if until is not None and until < first:
        return ""
    return f"trained on data up to {last}, which may include held-out values"


def _moment(text: str, is_time: bool) -> Any:
    """A time of a manifest, or None where it is not written as ISO 8601 or a number."""
    try:
        return np.datetime64(text[:19]) if is_time else int(text)
    except ValueError:
        return None
