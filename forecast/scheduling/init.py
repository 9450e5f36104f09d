"""A first configuration that runs as it is, with data to try it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic.fields import FieldInfo

from forecast.common.errors import UsageError
from forecast.common.files import create_file
from forecast.config.files import commented_defaults
from forecast.config.options import show
from forecast.config.schema import Section
from forecast.scheduling.config import JobSection, Schedule

BATCH, SETTINGS = "batch.yaml", "settings.yaml"
_HOURLY, _MONTHLY = "hourly_stores.csv", "airline_passengers.csv"
_WIDTH = 96  # signs of a line of comment

_HEAD = """\
# Scheduled forecasts: each job reads its data anew, decides whether to train, forecasts, checks
# and publishes. Paths are relative to this file's folder.
#
#   lstmcast run batch.yaml --dry-run    what a run would do now, and why
#   lstmcast run batch.yaml              do it; FOLDER/current/ has the forecast
#   lstmcast status batch.yaml           what ran, what is published, how old, how good
#   lstmcast doctor batch.yaml           would it run from cron, too? what is missing?
#   lstmcast schedule batch.yaml         units for systemd, or --cron: lines for a crontab
#
# A line that begins with a sign # and a name shows a setting's default; remove the sign to
# change it, and that of the line above which it belongs to.

jobs:
  # Sales of eight shops, by the hour. Trains once, then when there is a reason to.
  stores:
    data: data/hourly_stores.csv
    settings:
      data: {target_col: sales}
      forecast: {horizon: 24}
    schedule:
      every: day
      at: "06:15"
"""

_SECOND = """
  # Passengers by the month. The pretrained network forecasts at once: nothing is trained.
  passengers:
    data: data/airline_passengers.csv
    model: pretrained
    # The sample ended long ago. For your own data leave this out: a run warns when they stop.
    freshness: {warn_after: null}
    settings:
      forecast: {horizon: 12}
    schedule:
      every: month
      day: 2
      at: "07:00"
"""
_SHOWN = ("data", "settings", "schedule")  # what _HEAD's job has itself
WATCHING = {
    "watching/alerts.yaml": "alert rules for Prometheus over the jobs' metrics files",
    "watching/dashboard.json": "a Grafana dashboard of the jobs",
}


def sample_folder() -> Path:
    """The folder of the sample data: inside the installed package, or beside it in a clone."""
    inside = Path(__file__).parent / "sample_data"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "sample_data"


def starter_files(batch: bool) -> dict[str, tuple[bytes, str]]:
    """Path below the new folder -> content and what it is."""
    samples = sample_folder()
    passengers = (samples / _MONTHLY).read_bytes()
    found = {f"data/{_MONTHLY}": (passengers, "passengers of airlines, a series by the month")}
    if not batch:
        return found | {SETTINGS: (commented_defaults().encode(), "every setting, explained")}
    stores = (samples / _HOURLY).read_bytes()
    found[f"data/{_HOURLY}"] = (stores, "sales of eight shops by the hour, invented")
    for name, what in WATCHING.items():
        found[name] = ((Path(__file__).parent / name).read_bytes(), what)
    return found | {BATCH: (batch_text().encode(), "two jobs, every setting explained")}


def write_starter(folder: Path, files: Mapping[str, tuple[bytes, str]]) -> list[tuple[Path, str]]:
    """Writes the files below `folder`, none over another; returns them with what they are.

    A file that is there with the same content is left as it is. Raises UsageError when one has
    another content, before anything is written; OutputError.
    """
    missing = [name for name, (content, _) in files.items() if not _same(folder / name, content)]
    for name in missing:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise UsageError(
                "a file is there already, and nothing is overwritten",
                code="init/exists",
                value=str(folder / name),
                remedy="Name another folder: lstmcast init DIR",
            )
    for name in missing:
        create_file(folder / name, files[name][0])
    return [(folder / name, what) for name, (_, what) in files.items()]


def batch_text() -> str:
    """The commented text of batch.yaml."""
    lines = []
    for name, field in Schedule.model_fields.items():
        if f"      {name}:" not in _HEAD:
            lines += [*_setting(name, field, "      ")]
    lines += ["", "    # What else a job can say, with the defaults."]
    for name, field in JobSection.model_fields.items():
        if name not in _SHOWN:
            lines += ["", *_setting(name, field, "    ")]
    return _HEAD + "\n".join(lines) + "\n" + _SECOND


def _setting(name: str, field: FieldInfo, indent: str, sign: str = "# ") -> Iterator[str]:
    """A field's explanation and its default, as comments; a section with all its fields."""
    default = field.default
    if isinstance(default, Section):
        about = (type(default).__doc__ or name).splitlines()[0]
        yield f"{indent}#: {about}"
        yield f"{indent}{sign}{name}:"
        for inner, inside in type(default).model_fields.items():
            yield from _setting(inner, inside, indent, sign + "  ")
        return
    for line in wrap(field.description or "", _WIDTH - len(indent)):
        yield f"{indent}#: {sign[2:]}{line}"
    yield f"{indent}{sign}{name}: {_yaml(default)}"


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(show(entry) for entry in value)}]"
    if isinstance(value, dict):
        return "{}"
    text = show(value)
    return f'"{text}"' if ":" in text else text


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
