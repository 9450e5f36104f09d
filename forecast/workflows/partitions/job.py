"""What is to be done to every partition, written into the output folder before any of it is.

`job.json` is all that a worker reads beside its partition: whoever has the folder can do a part.
It is a function of the input and the options, so every shard of a job array writes the same one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.documents import (
    BadDocument,
    check_schema,
    open_seal,
    read_document,
    sealed,
)
from forecast.common.errors import InputError, ModelDamagedError, UsageError, without_password
from forecast.common.files import write_bytes
from forecast.common.folders import made_folder
from forecast.common.marks import PARTS
from forecast.common.progress import Listener
from forecast.common.secrets import HIDDEN, path_below
from forecast.config.options import options_of
from forecast.config.schema import (
    DataSettings,
    EngineSettings,
    ForecastSettings,
    Settings,
)
from forecast.data.frequency import Frequency
from forecast.data.io.database import is_database
from forecast.data.io.folders import files_in, told_apart
from forecast.data.load import LoadReport, headers_above_rows, load_several
from forecast.data.panel import Panel
from forecast.inference.point import MEDIAN
from forecast.models.forecaster import Forecaster, Longer
from forecast.models.pretrained import load_backbone
from forecast.models.store import frequency_of, load_model, model_path, versions
from forecast.models.trained_data import newest_trained
from forecast.training.zero_shot import zero_shot
from forecast.transforms.windows import Layout
from forecast.workflows.demand import choose_point, point_of
from forecast.workflows.hierarchy import refuse_hierarchy
from forecast.workflows.load import ABOUT_COVARIATES, data_settings, refuse_covariates
from forecast.workflows.partitions.documents import JobFields
from forecast.workflows.predict import with_point_setting

# --- What the input is cut into: the files of a folder, or the parts of a database query ---------
# No series may be in two partitions; `merge` holds the outcome to it.


PLACEHOLDERS = ("{partition}", "{partitions}")


@dataclass(frozen=True)
class Partition:
    """One part of the input: `place` is a path or a database address, `query` its SQL there.

    name: as it is reported; size: bytes of the file, 0 for a query.
    """

    name: str
    place: str
    query: str | None = None
    size: int = 0

    def stamp(self) -> int | None:
        """When the file last changed (ns); None for a query, which may change at any time."""
        return None if self.query is not None else Path(self.place).stat().st_mtime_ns


def partitions_of(
    source: str, data: DataSettings, engine: EngineSettings, listener: Listener
) -> list[Partition]:
    """The partitions of `source`, in an order that depends on nothing but the input. What else lies
    in a folder is told of.

    Raises UsageError: standard input, a query that cannot be asked in parts; InputError: no file.
    """
    if is_database(source):
        return _of_query(source, data, engine)
    if engine.partitions is not None:
        raise UsageError(
            "--partitions is about a database query; files are partitions already",
            code="usage/partitions-of-files",
            value=engine.partitions,
            remedy="Leave --partitions out, or name a database with --db and --query",
        )
    if source == "-":
        raise UsageError(
            "standard input cannot be forecast in parts",
            code="usage/engine-needs-files",
            where="--engine",
            remedy="Name a folder or a pattern of files with whole series in each",
        )
    found, notes = files_in(source)
    for note in notes:
        listener.note(note.text)
    files = [Path(file).resolve() for file in found]
    names = told_apart([str(file) for file in files], whole=True)
    return [
        Partition(name, str(file), size=file.stat().st_size if file.exists() else 0)
        for name, file in zip(names, files, strict=True)
    ]


def _of_query(source: str, data: DataSettings, engine: EngineSettings) -> list[Partition]:
    query, count = data.query or "", engine.partitions
    if without_password(source) != source or f":{HIDDEN}@" in source:
        raise UsageError(
            "the password of the database would have to be written down for the other processes",
            code="usage/engine-password",
            where="--db",
            value=without_password(source),
            remedy="Take it out of the address and say --db-password env:NAME or file:PATH",
        )
    if count is None or not all(word in query for word in PLACEHOLDERS):
        raise UsageError(
            "the query does not say how it is asked in parts",
            code="usage/engine-needs-parts",
            where="--query",
            value=query,
            remedy="Say --partitions N, and which series are in a part: "
            "... where mod(store, {partitions}) = {partition}",
        )
    return [
        Partition(
            f"part {n} of the query",
            source,
            query.replace("{partitions}", str(count)).replace("{partition}", str(n)),
        )
        for n in range(count)
    ]


def share(count: int, shard: str | None) -> range:
    """The numbers of those of `count` partitions that the shard "I/N" forecasts; all for None."""
    if shard is None:
        return range(count)
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    assert found is not None  # the settings let nothing else pass
    return range(int(found[1]) - 1, count, int(found[2]))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` numbers, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]


# -------------------------------------------------------------------------------------------------

JOB = "job.json"
SCHEMA_VERSION = 3  # version 1 had no sum of its own, 2 no point but the median
READ = (1, 2, SCHEMA_VERSION)
LARGEST_JOB = 512 * 2**20  # bytes: a million parts with their places
PILOT = 8  # partitions that show how the pretrained network is to be used
PILOT_SERIES = 10_000  # at most, of all of them together


@dataclass(frozen=True)
class Job:
    """One forecast of many partitions.

    request: sha256 of what was asked for (input, options, model, version); model: the model's
    folder, None for the pretrained network, whose layout, context and factors stand in `network`
    (of a model, the sum of its weights);
    data, forecast: settings; horizon in steps; frequency: that of the model or of the pilot; point:
    the point forecast of every part.
    """

    request: str
    model: str | None
    network: dict[str, Any]
    data: dict[str, Any]
    forecast: dict[str, Any]
    horizon: int
    frequency: dict[str, Any]
    partitions: list[Partition]
    point: str = MEDIAN

    @property
    def settings(self) -> Settings:
        """The settings of reading and forecasting; all others are the defaults."""
        data, asked = DataSettings(**self.data), ForecastSettings(**self.forecast)
        return with_point_setting(Settings(data=data, forecast=asked), self.point)

    @cached_property
    def names(self) -> list[str]:
        """What the series of each partition is called where it has one without an id, as it is
        where all are read as one table."""
        return told_apart([part.place for part in self.partitions])

    @cached_property
    def headers(self) -> frozenset[str]:
        """Those of the files that have rows."""
        return headers_above_rows([(each.place, each.query) for each in self.partitions])

    def grid(self) -> Frequency:
        """The grid in time of every partition (its phase may be another)."""
        return Frequency(**self.frequency)

    def forecaster(self) -> Forecaster:
        """What forecasts. Raises ModelNotFoundError or ModelDamagedError."""
        if self.model is not None:
            forecaster, manifest = load_model(Path(self.model))
            if manifest["weights_sha256"] != self.network["weights_sha256"]:
                raise ModelDamagedError(
                    "the model is another one than at the start of this forecast",
                    code="engine/model-changed",
                    where=self.model,
                    remedy="Choose another --output and forecast again with the new model",
                )
            return forecaster
        layout = Layout(**self.network["layout"])
        factors = np.array(self.network["factors"], float)
        longer = tuple(Longer(**each) for each in self.network.get("longer", ()))
        context = self.network["context"]
        return replace(load_backbone(layout), context=context, factors=factors, longer=longer)


def make_job(
    folder: Path,
    partitions: list[Partition],
    settings: Settings,
    listener: Listener,
    model: str | None,
    pretrained_network: bool,
) -> Job:
    """The job that the output folder `folder` holds already, or a new one, which is written there.

    Raises UsageError when the folder holds another forecast, and what reading the pilot raises.
    """
    pointed: dict[str, str] = {}
    if pretrained_network:
        refuse_covariates(settings)
        found, data = None, settings.data
        asked = {}
    else:
        found = _model_folder(model, settings)
        forecaster, manifest = load_model(found)
        data = data_settings(settings, manifest, forecaster.design, found)
        asked = {"weights_sha256": manifest["weights_sha256"]}
        if (point := point_of(settings, manifest)) != MEDIAN:
            pointed = {"point": point}
    refuse_hierarchy(data, "a forecast in parts")
    _refuse_rejects(settings)
    plain: dict[str, Any] = {
        "data": _from_anywhere(data.model_dump(mode="json", exclude_unset=True)),
        "forecast": settings.forecast.model_dump(mode="json", exclude_unset=True),
    }
    what = {**asked, **plain, **pointed}
    request = _digest({**what, "parts": partitions, "version": versions()["lstmcast"]})
    if (folder / JOB).exists():
        return _same(folder, request, partitions, plain)
    if found is not None:
        _refuse_one_series(partitions, data)
    made_folder(folder, PARTS)
    if found is None:
        decided = _from_pilot(partitions, settings, listener)
    else:
        horizon = settings.forecast.horizon or forecaster.horizon
        decided = {"network": asked, "horizon": horizon, "frequency": frequency_of(manifest)}
        decided |= pointed
    decided["frequency"] = asdict(decided["frequency"])
    where = None if found is None else str(found.resolve())
    job = Job(request=request, model=where, partitions=partitions, **plain, **decided)
    text = json.dumps(sealed({"schema_version": SCHEMA_VERSION, **asdict(job)}), indent=1)
    write_bytes(folder / JOB, text.encode())
    return job


def _model_folder(model: str | None, settings: Settings) -> Path:
    if model is not None:
        return model_path(Path(model))
    return newest_trained(Path(settings.output.root), of_one=True)


def read_job(folder: Path) -> Job:
    """The job of an output folder. Raises UsageError where there is none, ModelDamagedError."""
    path = folder / JOB
    try:
        document = read_document(path, LARGEST_JOB)
        version = document.get("schema_version")
        open_seal(document, required=version != 1)
        asked = {name: document.get(name) for name in ("data", "forecast")}
        if isinstance(asked["forecast"], dict):
            asked["forecast"] = {**asked["forecast"], "point": document.get("point", MEDIAN)}
        check_schema(JobFields, {**document, "settings": asked})
        if version not in READ:
            raise BadDocument(f"is of another version ({version})")
    except FileNotFoundError:
        raise UsageError(
            "this folder holds no forecast in parts",
            code="usage/no-job",
            where=str(folder),
            remedy="Name the --output folder of a forecast with --engine or --shard",
        ) from None
    except (BadDocument, OSError) as error:
        what = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else error
        raise ModelDamagedError(
            f"the description of the forecast {what}",
            code="engine/job-damaged",
            where=str(path),
            remedy="Remove the folder and forecast again",
        ) from error
    plain = {field.name: document[field.name] for field in fields(Job) if field.name in document}
    plain["partitions"] = [Partition(**each) for each in document["partitions"]]
    return Job(**plain)


def _same(folder: Path, request: str, partitions: list[Partition], plain: dict[str, Any]) -> Job:
    """The job in `folder`, if it is the one that is asked for now: not only by its digest, for
    the folder may be from somebody else."""
    job = read_job(folder)
    asked = (request, partitions, plain["data"], plain["forecast"])
    if (job.request, job.partitions, job.data, job.forecast) == asked:
        return job
    changed = job.partitions != partitions
    raise UsageError(
        "this folder holds another forecast: "
        + ("its input has changed" if changed else "other options, another model or version"),
        code="usage/another-forecast",
        where=str(folder),
        remedy="Choose another --output, or remove this folder first",
    )


def _from_pilot(
    partitions: list[Partition], settings: Settings, listener: Listener
) -> dict[str, Any]:
    """How the pretrained network is used, decided once from a few partitions, evenly spread."""
    chosen = [partitions[n] for n in spread(len(partitions), PILOT)]
    if len(chosen) < len(partitions):
        listener.note(
            f"decided from {len(chosen)} of {len(partitions)} parts, evenly spread: horizon, "
            f"season, how wide the intervals are, and which point forecast"
        )
    panel, report = _readable([(each.place, each.query) for each in chosen], settings.data)
    ready = zero_shot(panel, report.seasons, settings, listener)
    forecaster = ready.forecaster
    network = {
        "layout": asdict(forecaster.layout),
        "context": forecaster.context,
        "factors": forecaster.factors.tolist(),
        "longer": [each._asdict() for each in forecaster.longer],
    }
    _, point, why = choose_point(panel, settings)
    listener.note(f"point forecast {point}: {why}")
    return {"network": network, "horizon": ready.horizon, "frequency": panel.frequency,
            "point": point}  # fmt: skip


def _readable(
    parts: Sequence[tuple[str | Path, str | None]], data: DataSettings
) -> tuple[Panel, LoadReport]:
    """The panel of those parts that can be read; the others are reported when their turn comes.

    Raises the first one's InputError where none can.
    """
    most = PILOT_SERIES // len(parts)
    try:
        panel, report = load_several(parts, "the first look", data, most)
        _check_whole(parts, panel, report)
        return panel, report
    except InputError as error:
        if len(parts) == 1:
            raise
        with suppress(InputError):  # a few files of one series, and holes between them?
            _check_whole(parts, *load_several(parts, "", _with_holes(data), most))
        good = [part for part in parts if _reads(part, data)]
        if len(good) in (0, len(parts)):
            raise error from None
        return load_several(good, "the first look", data, most)


def _refuse_one_series(partitions: Sequence[Partition], data: DataSettings) -> None:
    """Refuse files that are one series together, by a few of them; what of them cannot be read is
    reported when its turn comes."""
    chosen = [partitions[n] for n in spread(len(partitions), PILOT)]
    parts: list[tuple[str | Path, str | None]] = [(each.place, each.query) for each in chosen]
    given = data.model_dump(exclude_unset=True)
    plain = DataSettings(**{k: v for k, v in given.items() if k not in ABOUT_COVARIATES})
    for how in (plain, _with_holes(plain)):
        try:
            most = PILOT_SERIES // len(parts)
            return _check_whole(parts, *load_several(parts, "the first look", how, most))
        except InputError as error:
            if error.code == "input/files-or-series":
                raise


def _with_holes(data: DataSettings) -> DataSettings:
    return data.model_copy(update={"max_gap_share": 1.0})


def _check_whole(
    parts: Sequence[tuple[str | Path, str | None]], panel: Panel, report: LoadReport
) -> None:
    """Refuse files that are one series together: each would be forecast from its own end."""
    if panel.size > 1 or len(parts) == 1 or report.columns.get("id"):
        return
    raise UsageError(
        "these files are one series that goes on from file to file; a part needs whole series",
        code="usage/parts-of-a-series",
        where="--engine",
        value=f"{Path(parts[0][0]).name} to {Path(parts[-1][0]).name}",
        remedy="Leave --engine out, or say --id-col file where each file is a series",
    )


def _reads(part: tuple[str | Path, str | None], data: DataSettings) -> bool:
    try:
        load_several([part], part[0], data)
    except InputError:
        return False
    return True


def _refuse_rejects(settings: Settings) -> None:
    if settings.data.rejects:
        raise UsageError(
            "parts that are read side by side cannot share one file of rejects",
            code="usage/engine-rejects",
            where="--rejects",
            value=settings.data.rejects,
            remedy="Look at the file that is refused: lstmcast check FILE --rejects",
        )


def _from_anywhere(data: dict[str, Any]) -> dict[str, Any]:
    """The settings of reading with paths that hold in any process, whatever its folder."""
    names = {option.field for option in options_of("data") if option.holds_path}
    return {
        key: path_below(Path.cwd(), value) if key in names and value else value
        for key, value in data.items()
    }


def _digest(asked: dict[str, Any]) -> str:
    text = json.dumps(asked, sort_keys=True, default=lambda each: vars(each))
    return hashlib.sha256(text.encode()).hexdigest()
