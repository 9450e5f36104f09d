"""Data read as settings or a trained model say, and the settings that no longer fit, refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from forecast.analysis.anomalies import without_anomalies
from forecast.common.errors import InputError, ModelDamagedError, UsageError
from forecast.common.progress import Listener
from forecast.config.options import show
from forecast.config.schema import DataSettings, Settings
from forecast.data.io.database import is_database, lasting
from forecast.data.io.notes import Note, quantity
from forecast.data.io.remote import is_remote
from forecast.data.io.table import column_names
from forecast.data.load import LoadReport, load_panel, named_by_ends, panel_from_frame
from forecast.data.panel import EVENT, FUTURE, Panel
from forecast.data.public_holidays import is_exchange
from forecast.models.forecaster import Forecaster
from forecast.models.store import (
    frequency_of,
    load_model,
    model_path,
    recorded_data,
    refuse_to_take_places,
)
from forecast.models.trained_data import described, is_of, none_of_these, trained_models
from forecast.training.plan import Reason
from forecast.transforms.covariates import Design
from forecast.transforms.demand import mask_censored
from forecast.transforms.outlook import AHEAD, cover, read_events, with_events
from forecast.workflows.hierarchy import (
    Levels,
    factors_of,
    read_with_columns,
    refuse_hierarchy,
    to_levels,
)

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | pd.DataFrame

# Settings that say which covariates a model reads, and those that say where they are found.
CHOOSES_COVARIATES = (
    "future_cov", "past_cov", "static_cov", "categorical", "calendar", "holidays", "calendar_tz",
)  # fmt: skip
CLOSED = "holidays"  # which tell of steps that never are as well
ABOUT_COVARIATES = (*CHOOSES_COVARIATES, "future_covariates", "static", "events", "cov_short")


def refuse_covariates(settings: Settings) -> None:
    """Raises UsageError where covariates are named for a network that has not learnt from any."""
    for name in ABOUT_COVARIATES:
        value = getattr(settings.data, name)
        if name == CLOSED:  # an exchange's are read off the data: its days off are no steps
            value = tuple(place for place in value if not is_exchange(place))
        if name == "static" and factors_of(settings.data):  # it has the columns of a hierarchy
            value = None
        if value:
            raise UsageError(
                "the pretrained network has learnt from no covariates, so it can use none",
                code="usage/covariates-untrained",
                where=f"--{name.replace('_', '-')}",
                value=show(value),
                remedy="Train on the data with them: lstmcast train, or leave the option out",
            )


def load(source: Source, settings: DataSettings) -> tuple[Panel, LoadReport]:
    """The panel of a file, a database or a frame, and what the loader had to say. Values that
    --censored-col says were cut off are missing in it."""
    censored, given = settings.censored_col, (*settings.past_cov, *settings.future_cov)
    keep = censored is not None and censored.lower() in map(str.lower, given)
    if censored is not None and not keep:
        settings = settings.model_copy(update={"past_cov": (*settings.past_cov, censored)})
    if isinstance(source, str):
        panel, report = load_panel(source, settings)
    else:
        panel, report = panel_from_frame(source, settings)
    if settings.cov_short == "last" and panel.covariates is not None:
        panel = cover(panel, AHEAD, "last")
    if settings.events is not None:
        events = read_events(settings.events, settings, panel.time_format)
        panel = with_events(panel, events, None)
    if censored is not None:
        panel, count, how = mask_censored(panel, censored, keep)
        text = f"{quantity(count, 'value')} masked as demand that was cut off: {how}"
        repairs = (*report.repairs, Note("repair/censored", text, count))
        report = replace(report, repairs=repairs)
    return panel, report


def load_levels(source: Source, settings: DataSettings) -> tuple[Panel, LoadReport, Levels | None]:
    """As `load`, with the sums of all levels of --hierarchy beside the series, or those of --by in
    their place; and the hierarchy, None without. What was found of the series is among the repairs.
    """
    if not factors_of(settings):
        return (*load(source, settings), None)
    panel, report = read_with_columns(lambda asked: load(source, asked), settings)
    panel, levels, told = to_levels(panel, report, settings)
    notes = tuple(Note("repair/hierarchy", text) for text in told)
    return panel, replace(report, repairs=(*report.repairs, *notes)), levels


def read(source: Source, settings: DataSettings, listener: Listener) -> tuple[Panel, LoadReport]:
    """As `load`, repairs and warnings passed on to the listener. Raises UsageError for sums, which
    `read_levels` gives."""
    refuse_hierarchy(settings, "this command")
    panel, report = load(source, settings)
    tell_of(report, listener)
    return panel, report


def read_levels(
    source: Source, settings: DataSettings, listener: Listener
) -> tuple[Panel, LoadReport, Levels | None]:
    """As `load_levels`, repairs and warnings passed on to the listener."""
    panel, report, levels = load_levels(source, settings)
    tell_of(report, listener)
    return panel, report, levels


def tell_of(report: LoadReport, listener: Listener) -> None:
    """Passes repairs and warnings on."""
    for note in report.repairs:
        listener.note(note.text)
    for note in report.warnings:
        listener.warn(note.code, note.text)


def read_for_model(
    source: Source | None,
    settings: Settings,
    folder: Path,
    forecaster: Forecaster,
    manifest: dict[str, Any],
    listener: Listener,
) -> tuple[Panel, LoadReport]:
    """`source` (default: the file that the model was trained on) read as at training, where no
    option says otherwise. folder: the model's. Raises InputError when it is of another frequency,
    or is to be taken from a manifest that is not the user's own."""
    data = _asked_of_model(settings, folder, forecaster, manifest, listener)
    source = _source(source, settings, manifest, folder)
    panel, report = read(source, with_the_ids(source, data, manifest), listener)
    check_grid(panel, manifest)
    return panel, report


def _asked_of_model(
    settings: Settings,
    folder: Path,
    forecaster: Forecaster,
    manifest: dict[str, Any],
    listener: Listener,
) -> DataSettings:
    data = data_settings(settings, manifest, forecaster.design, folder)
    given = settings.data.future_covariates or (settings.data.static and not factors_of(data))
    if forecaster.design is None and given:
        listener.note("this model reads no covariates: their file is left unread")
    trained = (manifest.get("settings") or {}).get("data") or {}
    if forecaster.design is None and trained.get("static") and data.static is None:
        listener.note(
            "the model was trained with a table of static columns, which is not at hand: items "
            "without values are left out; --static FILE gives it"
        )
    return data


def with_the_ids(source: Source, data: DataSettings, manifest: dict[str, Any]) -> DataSettings:
    """`data`, naming the id columns of the model's own data where `source` has these columns: a
    file of one series names it as a file of several does."""
    names = manifest.get("data", {}).get("columns", {}).get("id", [])
    if data.id_col or data.no_id or data.wide or not names or "," in "".join(names):
        return data
    there = column_names(source, data)
    return data.model_copy(update={"id_col": ",".join(names)}) if set(names) <= there else data


@dataclass(frozen=True)
class Found:
    """A trained model and the data that it is to be used on, read as it reads them."""

    folder: Path
    forecaster: Forecaster
    manifest: dict[str, Any]
    panel: Panel
    report: LoadReport
    levels: Levels | None = None


def find_model(
    source: Source | None, settings: Settings, listener: Listener, model: str | None
) -> Found:
    """The model to use on `source`, and that read for it.

    model: its run or model folder; None: the newest below the root that was trained on `source`, no
    student and no trial; without `source` the newest of all. Raises ModelNotFoundError, and as
    `read_for_model`.
    """
    if source is not None or model is not None:
        listener.stage("Reading the data")  # of a model to be found, when it is found
    if model is not None:
        folder = model_path(Path(model))
        forecaster, manifest = load_model(folder)
        data = _asked_of_model(settings, folder, forecaster, manifest, listener)
        source = _source(source, settings, manifest, folder)
        read_now = read_levels(source, with_the_ids(source, data, manifest), listener)
        check_grid(read_now[0], manifest)
        return Found(folder, forecaster, manifest, *read_now)
    root = Path(settings.output.root)
    seen = list(trained_models(root))
    if source is None:
        if not seen:
            raise none_of_these(root, seen)
        folder = seen[0][0]
        listener.note(f"model {described(*seen[0])}, the newest")
        return find_model(None, settings, listener, str(folder))
    trial = _Trial(source, settings)
    for folder, manifest in seen:
        if trial.fits(manifest, folder):
            listener.note(f"model {described(folder, manifest)}, the newest of these data")
            found = trial.found
            assert found is not None
            tell_of(found.report, listener)
            return found
    raise trial.trouble or none_of_these(root, seen)


class _Trial:
    """Reads `source` as one model after the other would; the same way at most once."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._read: dict[str, tuple[Panel, LoadReport, Levels | None] | None] = {}
        self.found: Found | None = None
        self.trouble: InputError | UsageError | None = None  # why it could not be read at all

    def fits(self, manifest: dict[str, Any], folder: Path) -> bool:
        """Whether the model was trained on the source; `found` holds it then."""
        try:
            forecaster, manifest = load_model(folder)
            data = data_settings(self._settings, manifest, forecaster.design, folder)
            made = self._as_read_by(with_the_ids(self._source, data, manifest))
        except ModelDamagedError:
            return False
        except (InputError, UsageError) as error:
            if not any(self._read.values()):
                self.trouble = self.trouble or error
            return False
        if made is None:
            return False
        self.trouble = None
        named = isinstance(self._source, str) and not is_database(self._source)
        path = lasting(self._source) if named else None
        if not is_of(manifest, made[0], made[1].columns, path):
            return False
        self.found = Found(folder, forecaster, manifest, *made)
        return True

    def _as_read_by(self, data: DataSettings) -> tuple[Panel, LoadReport, Levels | None] | None:
        key = data.model_dump_json()
        if key not in self._read:
            if isinstance(self._source, str) and self._source == "-" and self._read:
                return None  # standard input is read once
            self._read[key] = None
            self._read[key] = load_levels(self._source, data)
        return self._read[key]


def to_learn_from(
    panel: Panel, report: LoadReport, settings: Settings
) -> tuple[Panel, tuple[Reason, ...]]:
    """What the LSTM learns and forecasts from, and how it differs from the panel. All is scored on
    the panel as it is."""
    if not settings.training.mask_anomalies:
        return panel, ()
    return without_anomalies(panel, report.seasons, settings)


def _source(
    source: Source | None, settings: Settings, manifest: dict[str, Any], folder: Path
) -> Source:
    """The given data, or the file that the model was trained on."""
    if source is not None:
        return source
    root = settings.output.root
    refuse_to_take_places(manifest, folder, root, "Name the file of the data")
    path, _ = recorded_data(manifest, folder, root)
    if not path or not (is_database(path) or is_remote(path) or Path(path).exists()):
        raise InputError(
            "the data that the model was trained on cannot be read again",
            code="input/training-data-gone",
            value=path,
            remedy="Name the file of the data",
        )
    return str(path)


def data_settings(
    settings: Settings, manifest: dict[str, Any], design: Design | None, folder: Path
) -> DataSettings:
    """How to read: as at training, unless an option says otherwise now; of covariates, those that
    the model reads. Raises UsageError where an option would change which they are."""
    _, then = recorded_data(manifest, folder, settings.output.root)
    if named_by_ends(manifest.get("data") or {}) and then.get("stamps", "auto") == "auto":
        then["stamps"] = "end"  # which a file that is cut off at noon no longer tells
    now = settings.data.model_dump(include=settings.data.model_fields_set)
    trained = DataSettings(**then)
    for name in CHOOSES_COVARIATES:
        if name in now and not _as_trained(name, now[name], getattr(trained, name), design):
            raise UsageError(
                "a trained model reads the covariates and the calendar that it was trained with",
                code="usage/covariates-of-the-model",
                where=f"--{name.replace('_', '-')}",
                value=show(now[name]),
                remedy="Leave the option out here, or train anew with it",
            )
    if design is None:
        both = {**then, **now}
        summed = both.get("hierarchy") or both.get("by")  # by columns that --static may hold
        # It also names the class of new items; a file that is gone is not missed for that.
        table = now.get("static") or Path(str(then.get("static"))).exists()
        kept = (CLOSED, *(["static"] if summed or table else []))
        dropped = [k for k in ABOUT_COVARIATES if k not in kept]
        return DataSettings(**{k: both[k] for k in both if k not in dropped})
    named = (entry.name for entry in design.of(FUTURE))
    ahead = tuple(name for name in named if not name.startswith(EVENT))
    return DataSettings(**{**then, **now, "future_cov": ahead})


def _as_trained(name: str, now: Any, then: Any, design: Design | None) -> bool:
    """Whether an option of now says of the model's covariates what it was trained with."""
    if name == "calendar":  # None leaves the choice to the training
        return now is None or now == (design is not None and design.calendar)
    return bool(now == then)


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
