"""Data read as settings or a trained model say, and the settings that no longer fit, refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from forecast.analysis.masking import without_anomalies
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Listener
from forecast.config.options import show
from forecast.config.schema import DataSettings, Settings
from forecast.data.io.database import is_database
from forecast.data.load import LoadReport, load_panel, panel_from_frame
from forecast.data.panel import FUTURE, Panel
from forecast.models.forecaster import Forecaster
from forecast.models.store import frequency_of
from forecast.training.plan import Reason
from forecast.transforms.covariates import Design

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | pd.DataFrame

# Settings that say which covariates a model reads, and those that say where they are found.
CHOOSES_COVARIATES = (
    "future_cov", "past_cov", "static_cov", "categorical", "calendar", "holidays", "calendar_tz",
)  # fmt: skip
ABOUT_COVARIATES = (*CHOOSES_COVARIATES, "future_covariates", "static")


def refuse_covariates(settings: Settings) -> None:
    """Raises UsageError where covariates are named for a network that has not learnt from any."""
    for name in ABOUT_COVARIATES:
        value = getattr(settings.data, name)
        if value:
            raise UsageError(
                "the pretrained network has learnt from no covariates, so it can use none",
                code="usage/covariates-untrained",
                where=f"--{name.replace('_', '-')}",
                value=show(value),
                remedy="Train on the data with them: lstmcast train, or leave the option out",
            )


def read(source: Source, settings: DataSettings, listener: Listener) -> tuple[Panel, LoadReport]:
    """The panel and what the loader had to say, repairs and warnings passed on to the listener."""
    if isinstance(source, str):
        panel, report = load_panel(source, settings)
    else:
        panel, report = panel_from_frame(source, settings)
    for note in report.repairs:
        listener.note(note.text)
    for note in report.warnings:
        listener.warn(note.code, note.text)
    return panel, report


def read_for_model(
    source: Source | None,
    settings: Settings,
    forecaster: Forecaster,
    manifest: dict[str, Any],
    listener: Listener,
) -> tuple[Panel, LoadReport]:
    """`source` (default: the file that the model was trained on) read as at training, where no
    option says otherwise. Raises InputError when it is of another frequency."""
    data = data_settings(settings, manifest, forecaster.design)
    if forecaster.design is None and (settings.data.future_covariates or settings.data.static):
        listener.note("this model reads no covariates: their file is left unread")
    panel, report = read(_source(source, manifest), data, listener)
    check_grid(panel, manifest)
    return panel, report


def to_learn_from(
    panel: Panel, report: LoadReport, settings: Settings
) -> tuple[Panel, tuple[Reason, ...]]:
    """What the LSTM learns and forecasts from, and how it differs from the panel. All is scored on
    the panel as it is."""
    if not settings.training.mask_anomalies:
        return panel, ()
    return without_anomalies(panel, report.seasons, settings)


def _source(source: Source | None, manifest: dict[str, Any]) -> Source:
    """The given data, or the file that the model was trained on."""
    if source is not None:
        return source
    path = manifest.get("data", {}).get("path")
    if not path or not (is_database(path) or Path(path).exists()):
        raise InputError(
            "the data that the model was trained on cannot be read again",
            code="input/training-data-gone",
            value=path,
            remedy="Name the file: lstmcast predict DATA",
        )
    return str(path)


def data_settings(
    settings: Settings, manifest: dict[str, Any], design: Design | None
) -> DataSettings:
    """How to read: as at training, unless an option says otherwise now; of covariates, those that
    the model reads. Raises UsageError where an option would change which they are."""
    then = manifest.get("settings", {}).get("data", {})
    now = settings.data.model_dump(include=settings.data.model_fields_set)
    trained = DataSettings(**then)
    for name in CHOOSES_COVARIATES:
        if name in now and now[name] != getattr(trained, name):
            raise UsageError(
                "a trained model reads the covariates and the calendar that it was trained with",
                code="usage/covariates-of-the-model",
                where=f"--{name.replace('_', '-')}",
                value=show(now[name]),
                remedy="Leave the option out here, or train anew with it",
            )
    if design is None:
        both = {**then, **now}
        return DataSettings(**{k: both[k] for k in both if k not in ABOUT_COVARIATES})
    ahead = tuple(entry.name for entry in design.of(FUTURE))
    return DataSettings(**{**then, **now, "future_cov": ahead})


def check_grid(panel: Panel, manifest: dict[str, Any]) -> None:
    """Raises InputError when the data are of another frequency than the model's."""
    trained = frequency_of(manifest)
    if (trained.alias, trained.integer) != (panel.frequency.alias, panel.frequency.integer):
        raise InputError(
            f"the data are of another frequency than the model's, {trained.alias}",
            code="input/other-frequency",
            value=panel.frequency.alias,
            remedy="Train a model on these data, or say with --freq what a step is",
        )
