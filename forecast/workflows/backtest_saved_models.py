"""Models that were trained before, from every origin of a backtest.

Axes: S series, W windows (origins of each series).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.errors import InputError
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.panel import CUTOFF, ID, TARGET, TIME, Panel
from forecast.evaluation.rolling import held_out
from forecast.models.forecaster import Forecaster
from forecast.models.store import frequency_of, load_model, model_path, read_manifest
from forecast.workflows.backtest_networks import named, windows
from forecast.workflows.backtest_plan import BacktestPlan


@dataclass(frozen=True)
class SavedModel:
    """A model folder to be backtested; seen: why it may know held-out values, or ""."""

    name: str
    folder: Path
    forecaster: Forecaster
    seen: str


def saved_models(
    folders: Sequence[str], panel: Panel, plan: BacktestPlan, taken: Collection[str]
) -> list[SavedModel]:
    """The models in run folders or model folders, each with a column name of its own.

    taken: names that are not free. Raises ModelNotFoundError, ModelDamagedError, or InputError
    when the data are of another frequency than a model's.
    """
    used = {*taken, ID, TIME, CUTOFF, TARGET, "source"}
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
    made = windows(model.forecaster, panel, plan.origins, plan.steps, allow_negative)
    notes = (model.seen,) if model.seen else ()
    return [replace(named(each, model.name), notes=notes) for each in made]


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
