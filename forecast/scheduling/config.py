"""`batch.yaml`: what each job reads, makes and keeps. The only place of a job's defaults."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from forecast.common.durations import check_duration, seconds_in
from forecast.common.errors import UsageError
from forecast.common.secrets import reveal
from forecast.config.schema import Section, Settings

_OF_LEARNING, _ALWAYS = ("network.", "training."), ("training.device", "training.jobs")
MOST_RUNS = 100  # newest runs whose stability and value added `score` tells


def _share(value: Any) -> Any:
    """ "5%" as 0.05; anything else is left to the field's own type."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


Span = Annotated[str, AfterValidator(check_duration)]
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]


class Freshness(Section):
    """How old the data may be."""

    warn_after: Span | Literal["auto"] | None = Field(
        default="auto",
        description="Warn when the newest value is older: 26h, 2d (auto: than two starts of the "
        "schedule, or two steps, and one step more; null: never).",
    )
    error_after: Span | None = Field(
        default=None, description="Publish nothing when the newest value is older (exit code 5)."
    )
    series_warn_after: Span | None = Field(
        default=None, description="Warn of series whose last value is older."
    )
    series_error_after: Span | None = Field(
        default=None,
        description="Leave out series whose last value is older (null: a horizon before the rest).",
    )


PERIODS = {name: seconds_in(text) for name, text in (
    ("hour", "1h"), ("day", "1d"), ("week", "1w"), ("month", "31d"),
)}  # fmt: skip


class Retrain(Section):
    """When a new model is tried."""

    every: Span | None = Field(
        default="7d", description="When the data have grown by this time since the last trial."
    )
    new_points: int | None = Field(
        default=None, ge=1, description="When so many steps have come since the last trial."
    )
    live_error_over: float | None = Field(
        default=1.5, gt=0, description="When the live MASE is over this times the backtest's."
    )
    coverage_off: Share | None = Field(
        default=0.15, description="When an interval's live coverage is this far from its level."
    )
    changed_series: Share | None = Field(
        default=0.1, description="When this share of the series is new or gone."
    )
    least_scored: int = Field(
        default=200, ge=1, description="Values that must have come true before live figures count."
    )
    fine_tune: bool = Field(
        default=True,
        description="Start from the model in service where it has seen nothing of what judges it.",
    )


class Retention(Section):
    """What is kept; the current and the last good run always are."""

    keep_last: int = Field(default=14, ge=1, description="Newest runs.")
    keep_daily: int = Field(default=31, ge=0, description="Days with their last run.")
    keep_weekly: int = Field(default=53, ge=0, description="Weeks with their last run.")
    keep_ledger: int = Field(
        default=400, ge=1, description="Forecasts kept in the ledger in full; scores stay."
    )
    keep_logs: int = Field(default=50, ge=1, description="Logs of attempts.")


class Outputs(Section):
    """What a run publishes."""

    files: tuple[Literal["csv", "parquet"], ...] = Field(
        default=("csv",), min_length=1, description="Kinds of predictions file."
    )
    database: str | None = Field(
        default=None,
        description="Database to write to as well: env:NAME, file:PATH or an address.",
    )
    table: str = Field(
        default="lstmcast_forecasts",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$",
        description="Its table, made where there is none.",
    )


class Ping(Section):
    """Whom to tell that a run began, ended or failed."""

    url: str | None = Field(
        default=None, description="Address to call, or env:NAME of one; never fatal."
    )
    url_file: str | None = Field(default=None, description="File that holds the address.")

    @property
    def setting(self) -> str | None:
        """The address, or where it stands; None: nobody is told."""
        return f"file:{self.url_file}" if self.url is None and self.url_file else self.url


class Schedule(Section):
    """When `lstmcast schedule` says the job starts."""

    every: Literal["hour", "day", "week", "month"] = Field(default="day", description="How often.")
    at: str = Field(
        default="06:15",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="Time of day such as 06:15, in quotes; for every hour its minute counts.",
    )
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = Field(
        default="mon", description="Day of a weekly job."
    )
    day: int = Field(default=1, ge=1, le=28, description="Day of a monthly job.")
    time_zone: str | None = Field(default=None, description="IANA zone of `at` (the machine's).")


class JobSection(Section):
    """One job as its section of the file says."""

    data: str = Field(description="File, folder, pattern or database that is read at every run.")
    folder: str | None = Field(default=None, description="Where the job keeps everything.")
    model: Literal["trained", "pretrained"] = Field(
        default="trained",
        description="A model trained on the data, or the pretrained network as it is.",
    )
    preset: str = Field(
        default="default", description="Preset or settings file that `settings` adds to."
    )
    settings: dict[str, Any] = Field(
        default={}, description="Sections as in configs/default.yaml: data, forecast, training ..."
    )
    drop_partial: bool = Field(
        default=True, description="Leave out periods that are not over when the run starts."
    )
    stamps: Literal["auto", "start", "end"] = Field(
        default="auto",
        description="Whether a time names the start or the end of its period (auto: the end where "
        "it is the last day of a month, quarter or year, or a weekly Saturday or Sunday).",
    )
    freshness: Freshness = Freshness()
    retrain: Retrain = Retrain()
    max_failed: Share = Field(
        default=0.05, description="Publish nothing when more of the series cannot be forecast."
    )
    max_lost: Share = Field(
        default=0.5,
        description="Publish nothing when more of the series that the last forecast had are gone "
        "or too late.",
    )
    recalibrate: bool = Field(
        default=True, description="Let the intervals follow their live coverage."
    )
    fallback_seconds: float = Field(
        default=30.0, gt=0, description="For ARIMA, where the networks fail on a series."
    )
    deadline: Span | None = Field(
        default=None, description="Publish within this time, with the best there is."
    )
    checkpoint: Span = Field(default="5m", description="How often training saves where it stands.")
    lock_wait: Span | None = Field(
        default=None, description="Wait so long for another run of the job (not at all)."
    )
    outputs: Outputs = Outputs()
    retention: Retention = Retention()
    metrics_file: str | None = Field(default=None, description="Prometheus textfile (.prom).")
    ping: Ping = Ping()
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class Job:
    """A job with its settings and absolute paths.

    source: what is read; digest: sha256 of all that has a part in the numbers and their form.
    """

    name: str
    config: Path
    folder: Path
    source: str
    section: JobSection
    settings: Settings
    given: tuple[str, ...]

    def database(self) -> str | None:
        """The address of the database to write to. Raises UsageError when it cannot be found."""
        return self._revealed(self.section.outputs.database, "outputs.database")

    @property
    def lock_seconds(self) -> float:
        """How long another run of the job is waited for."""
        return seconds_in(self.section.lock_wait) if self.section.lock_wait else 0.0

    def ping_address(self) -> str | None:
        """The address of whom a run tells. Raises UsageError when it cannot be found."""
        return self._revealed(self.section.ping.setting, "ping.url")

    def _revealed(self, setting: str | None, name: str) -> str | None:
        return reveal(setting, name, self.config.parent) if setting else None

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in a log: as far as it can be found."""
        found = []
        password, ping = self.settings.data.db_password, self.section.ping
        for setting in (self.section.outputs.database, ping.setting, password):
            if setting is not None:
                with suppress(UsageError):
                    found.append(reveal(setting, "a secret", self.config.parent))
        words = [w for text in found for w in re.findall(r"://[^/@\s]*:([^/@\s]+)@", text)]
        return (*found, *words)

    def without_effect(self) -> list[str]:
        """What the file says of the job that its own other settings leave without effect."""
        said, found = self.section.model_fields_set, []
        if self.section.model == "pretrained":
            learning = [n for n in self.given if n.startswith(_OF_LEARNING) and n not in _ALWAYS]
            names = [*learning, *(name for name in ("retrain", "checkpoint") if name in said)]
            if names:
                found.append(f"{', '.join(names)}: without effect beside model: pretrained")
        schedule = self.section.schedule
        for name, every in (("weekday", "week"), ("day", "month")):
            if name in schedule.model_fields_set and schedule.every != every:
                found.append(f"schedule.{name}: without effect beside every: {schedule.every}")
        return found

    @property
    def digest(self) -> str:
        """sha256 of every setting that can change what is published."""
        section = self.section.model_dump(
            mode="json",
            include={
                "model", "drop_partial", "stamps", "freshness", "max_failed", "max_lost",
                "recalibrate", "outputs",
            },
        )  # fmt: skip
        section["outputs"].pop("database")  # an address may hold a password
        blend = {} if self.settings.baselines.blend else {"blend": False}
        return _sha256({"source": self.source, "job": section, **self.what_is_learnt(), **{
            "forecast": self.settings.forecast.model_dump(mode="json"),
            "evaluation": self.settings.evaluation.model_dump(mode="json"),
        }, **blend})  # fmt: skip

    def what_is_learnt(self) -> dict[str, Any]:
        """The settings that a model depends on: change one, and a new model is due."""
        dumped = self.settings.model_dump(mode="json")
        training = {
            name: value
            for name, value in dumped["training"].items()
            if name not in ("jobs", "deadline", "device")
        }
        data = {
            name: value
            for name, value in dumped["data"].items()
            if name not in ("rejects", "db", "db_password", "drop_partial", "stamps")
        }
        how = self.settings.data
        data |= {} if how.drop_partial else {"drop_partial": False}
        data |= {} if how.stamps == "auto" else {"stamps": how.stamps}
        return {
            "data": data,
            "horizon": dumped["forecast"]["horizon"],
            "network": dumped["network"],
            "training": training,
        }


@dataclass(frozen=True)
class BatchConfig:
    """All jobs of a config file, in its order."""

    path: Path
    jobs: Mapping[str, Job]


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
