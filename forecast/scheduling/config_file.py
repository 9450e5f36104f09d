"""Reads `batch.yaml`; what is wrong in it is said with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from forecast.common.errors import ForecastError, UsageError
from forecast.common.files import at_home, refuse_address
from forecast.common.secrets import path_below, path_of
from forecast.common.yaml_file import Place, YamlFile, read_yaml
from forecast.config.files import (
    PRESETS,
    Given,
    find_settings_file,
    given_settings,
    read_settings_file,
)
from forecast.config.options import (
    BACKTEST_ONLY,
    PROCESSES_ONLY,
    all_options,
    in_a_settings_file,
    options_of,
)
from forecast.config.schema import Settings
from forecast.config.sources import settled
from forecast.data.io.database import is_database
from forecast.scheduling.config import BatchConfig, Job, JobSection

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
# What a job decides itself, or has no use for: what to do instead.
_NOT_HERE = {
    "data.db": "Use data: of the job",
    "output.root": "Use folder: of the job",
    "output.out": "Use folder: of the job",
    "training.deadline": "Use deadline: of the job",
    "training.init": "Use retrain: of the job",
    "baselines.names": "Leave it out: a job is judged against seasonal naive and what serves",
    "baselines.budget": "Use fallback_seconds: of the job",
    "training.mask_anomalies": "Leave it out: a job learns from its table as it is",
    "detection.threshold": "Leave it out: it belongs to detect",
    "forecast.reconcile": "Leave it out: a job works on the series themselves, not on their sums",
    "evaluation.cost": "Leave it out: a job is judged by its scores",
    "sampling.number": "Use lstmcast predict --samples with the published model",
    **{path: "Leave it out: it belongs to backtest" for path in BACKTEST_ONLY},
    **{
        option.path: f"Leave it out: it belongs to {command}"
        for section, command in (
            ("compare", "compare"),
            ("tuning", "tune"),
            ("federation", "federate"),
        )
        for option in options_of(section)
    },
    **{path: "Leave it out: a job is one process's" for path in PROCESSES_ONLY},
}
BELOW = " (keys below settings: of the job)"
_OTHER_NAMES = {"tz": "time_zone", "timezone": "time_zone", "zone": "time_zone"}
_PATHS = tuple(o for o in all_options() if o.holds_path and o.path not in _NOT_HERE)


def load_config(
    path: str | Path,
    environ: Mapping[str, str] | None = None,
    allowed: Callable[[str], object] = lambda path: None,
) -> BatchConfig:
    """The jobs of a config file; paths in it are relative to its folder.

    environ: LSTMCAST_* variables win over the file's settings (default: the process's); allowed:
    asked about each settings file that a preset names, before it is read. Raises UsageError with
    the file's line, and what `allowed` raises.
    """
    path = at_home(path).absolute()
    advice = "`lstmcast init --batch` writes one to start from"
    file = read_yaml(path, "the batch config", advice)
    document = file.content if isinstance(file.content, dict) else {}
    _known_keys(document, ("jobs",), file, ())
    jobs = document.get("jobs")
    if not isinstance(jobs, dict) or not jobs:
        raise UsageError(
            "a batch config holds jobs, each under its name",
            code="config/no-jobs",
            where=str(path),
            remedy=advice,
        )
    environ = os.environ if environ is None else environ
    made = {str(name): _job(str(name), jobs[name], file, environ, allowed) for name in jobs}
    _apart(made, path)
    return BatchConfig(path, made)


def chosen_jobs(config: BatchConfig, name: str | None) -> list[Job]:
    """All jobs, or the one called `name`. Raises UsageError when there is none of that name."""
    if name is None:
        return list(config.jobs.values())
    if name not in config.jobs:
        near = get_close_matches(name, config.jobs, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            "there is no such job in the config",
            code="config/no-such-job",
            where=str(config.path),
            value=name,
            remedy=f"{hint}--job takes one of: {', '.join(config.jobs)}",
        )
    return [config.jobs[name]]


def paths_of(job: Job) -> list[str]:
    """Every file and folder that a job names: what it reads and writes, and where its secrets
    stand. Relative ones are of the environment; the source may be a database's address."""
    section, base = job.section, job.config.parent
    named = [job.source, str(job.folder)]
    for option in _PATHS:
        value = getattr(getattr(job.settings, option.section), option.field)
        named += filter(None, [value if option.is_path else path_of(value)])
    secrets = map(path_of, (section.outputs.database, section.ping.setting))
    return named + [str(_absolute(base, path)) for path in (section.metrics_file, *secrets) if path]


def _job(
    name: str,
    given: Any,
    file: YamlFile,
    environ: Mapping[str, str],
    allowed: Callable[[str], object],
) -> Job:
    place = ("jobs", name)
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a job's name is letters, digits, - and _",
            code="config/bad-name",
            where=file.where(place),
            value=name,
        )
    if not isinstance(given, dict):
        raise UsageError(
            f"jobs.{name} must hold keys and values",
            code="config/not-a-mapping",
            where=file.where(place),
            value=given,
            remedy="At least data: FILE",
        )
    section = _section(given, file, place)
    base = file.path.parent
    refuse_address(section.folder or name)
    preset = _preset(section.preset, base)
    if preset not in PRESETS:
        allowed(preset)
    settings, known = _settings(section, preset, file, (*place, "settings"), environ)
    settings = _with_the_periods_of(section, settings)
    return Job(
        name=name,
        config=file.path,
        folder=_absolute(base, section.folder or name),
        source=section.data if is_database(section.data) else str(_absolute(base, section.data)),
        section=section,
        settings=settings,
        given=known,
    )


def _section(given: dict[str, Any], file: YamlFile, place: Place) -> JobSection:
    from pydantic import ValidationError

    _known_keys(given, JobSection.model_fields, file, place)
    for key, field in JobSection.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        if inner is not None and isinstance(given.get(key), dict):
            _known_keys(given[key], inner, file, (*place, key))
    # An empty line after a key ("folder:") means that it is not given.
    plain = {key: value for key, value in given.items() if value is not None}
    try:
        return JobSection.model_validate(plain)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        inside = tuple(str(part) for part in error["loc"] if isinstance(part, str))
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "string_pattern_mismatch":
            message = "this is written in another form"
        missing = error["type"] == "missing"
        raise UsageError(
            f"{'.'.join((*place, *inside))}: {message[0].lower()}{message[1:]}",
            code="config/bad-value",
            where=file.where((*place, *inside)),
            value=None if missing else error["input"],
            remedy=_description(inside),
        ) from problem


def _description(inside: tuple[str, ...]) -> str | None:
    fields: Any = JobSection.model_fields
    text = None
    for part in inside:
        if part not in fields:
            break
        text = fields[part].description
        fields = getattr(fields[part].annotation, "model_fields", {})
    return text


def _known_keys(given: Mapping[str, Any], known: Any, file: YamlFile, place: Place) -> None:
    for key in given:
        if key not in known:
            meant = [name for name in (_OTHER_NAMES.get(key.lower()),) if name in known]
            near = meant or get_close_matches(key, known, n=1, cutoff=0.5)
            raise UsageError(
                "there is no such key",
                code="config/unknown-key",
                where=file.where((*place, key)),
                value=".".join((*place, key)),
                remedy=f"Did you mean {near[0]}?" if near else f"Keys here are: {', '.join(known)}",
            )


def _settings(
    section: JobSection,
    preset: str,
    file: YamlFile,
    place: Place,
    environ: Mapping[str, str],
) -> tuple[Settings, tuple[str, ...]]:
    """The settings that `train` would get: the preset, the job's own, the environment."""
    given = read_settings_file(*find_settings_file(preset))
    written = given_settings(file, section.settings, place)
    own = {name: entry for name, entry in written.items() if entry.value is not None}
    _refuse_what_is_not_for_jobs(own)
    here = {name: value for name, value in given.items() if name not in _NOT_HERE}
    for found in (here, own):
        _make_absolute(found, file.path.parent)
    foreign = {option.variable for option in all_options() if option.path in _NOT_HERE}
    mine = {name: value for name, value in environ.items() if name not in foreign}
    return settled({**here, **own}, mine), tuple(own)


def _with_the_periods_of(section: JobSection, settings: Settings) -> Settings:
    """The settings with what the job says of its periods: times are resampled as it reads them, and
    a period that is not over is kept where it says so."""
    said: dict[str, object] = {}
    if section.stamps != "auto" and settings.data.stamps == "auto":
        said["stamps"] = section.stamps
    if not section.drop_partial:
        said["drop_partial"] = False
    data = settings.data.model_copy(update=said)
    return settings.model_copy(update={"data": data}) if said else settings


def as_a_job_says(text: str) -> str:
    """`text` with the flags of settings as keys of a job's settings: data.missing: zero."""
    return in_a_settings_file(text, _NOT_HERE)


@contextmanager
def advice_by_keys() -> Iterator[None]:
    """Lets an error met in a job name keys of its settings, where it names flags of `train`."""
    try:
        yield
    except ForecastError as problem:
        for name in ("message", "where", "remedy"):
            text = getattr(problem, name)
            said = as_a_job_says(str(text)) if text else text
            if said != text:
                setattr(problem, name, said + (BELOW if name == "remedy" else ""))
        raise


def _preset(name: str, base: Path) -> str:
    """A file beside the config goes before the working folder's, which cron sets to $HOME."""
    beside = base / name
    return str(beside) if beside.suffix and beside.is_file() else name


def _refuse_what_is_not_for_jobs(own: Mapping[str, Given]) -> None:
    for name, entry in own.items():
        if name in _NOT_HERE:
            raise UsageError(
                f"{name} is not a job's to set",
                code="config/not-for-jobs",
                where=entry.where,
                remedy=_NOT_HERE[name],
            )


def _apart(jobs: Mapping[str, Job], path: Path) -> None:
    """Raises UsageError when two jobs share a folder."""
    seen: dict[Path, str] = {}
    for job in jobs.values():
        if job.folder in seen:
            raise UsageError(
                f"the jobs {seen[job.folder]} and {job.name} share a folder",
                code="config/shared-folder",
                where=str(path),
                value=str(job.folder),
                remedy="Give each its own with folder:",
            )
        seen[job.folder] = job.name


def _make_absolute(own: dict[str, Given], base: Path) -> None:
    """Lets the paths among the settings be below `base`. Raises UsageError for an address that
    would be written to."""
    for file in (option.path for option in _PATHS):
        if file in own and isinstance(own[file].value, str):
            if file == "data.rejects":
                refuse_address(own[file].value)
            absolute = path_below(base, own[file].value)
            own[file] = Given(absolute, own[file].name, own[file].where)


def _absolute(base: Path, text: str) -> Path:
    return Path(os.path.normpath(base / at_home(text)))
