"""The schemas of what a job reads back of itself: run manifests, rollbacks, last.json, about.json.

Names that become part of a path have no separators; positions, counts and figures have bounds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from forecast.common.documents import Count, Document, Moment, Place, Sum, Text, signs
from forecast.config.schema import Point
from forecast.inference.point import MEDIAN
from forecast.models.manifest import BlendFields, Choice, Horizon, Level, Season

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}$")]
RunName = FileName
ModelName = FileName
Error = Annotated[float, Field(ge=0)] | None  # MASE or another figure that is never negative
Share = Annotated[float, Field(ge=0, le=1)] | None
ExitCode = Annotated[int, Field(ge=0, le=255)]


def _are_levels(found: dict[str, Any]) -> dict[str, Any]:
    for text in found:
        if not 0 < float(text) < 100:
            raise ValueError(f"{text} is no level in per cent")
    return found


class ByStep(Document):
    """Figures of a backtest by step ahead."""

    mase: Annotated[list[Error], Field(max_length=10_000)] = Field(default_factory=list)


class Promise(Document):
    """What the backtest of a model promises; nothing where there was none."""

    mase: Error = None
    coverage: Annotated[dict[str, Share], AfterValidator(_are_levels)] = Field(default_factory=dict)
    by_step: ByStep = ByStep()
    windows: Count = 0
    series: Count = 0


class InService(Document):
    """The model of a run."""

    id: ModelName
    kind: Literal["trained", "pretrained", "seasonal-naive"]
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    trained_until: Place | None
    created: Moment | None
    promise: Promise
    blend: BlendFields | None = None


class LeftOut(Document):
    """A series that was not forecast."""

    series: Annotated[str, signs(2**20)]
    reason: Text


class SeriesFields(Document):
    """Who forecast how many series."""

    forecast: Count
    fallbacks: Count
    failed: Count
    lost: Count = 0
    by_source: dict[Text, Count]
    left_out: list[LeftOut]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if sum(self.by_source.values()) != self.forecast:
            raise ValueError("by_source does not add up to forecast")
        return self


class InputFields(Document):
    """The data of a run."""

    path: Text
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    seen_sha256: Sum
    rows: Count
    series: Count
    last: Text
    dropped: Count
    age_seconds: float | None
    step_seconds: Annotated[float, Field(gt=0)] | None = None


class OutputFields(Document):
    """A file of a run."""

    sha256: Sum
    bytes: Count


class DecisionFields(Document):
    """What was decided about what, and why."""

    what: Text
    choice: Text
    reason: Text


class WarningFields(Document):
    """What deserved a look."""

    code: Text
    text: Text


class IntervalFields(Document):
    """How the intervals were adjusted to what came true."""

    adjusted: Annotated[
        dict[str, Annotated[float, Field(gt=0, le=1000)]], AfterValidator(_are_levels)
    ]
    updates: Count
    method: Text


class TrialFields(Document):
    """The last trial, where there was one."""

    position: Place = 0
    time: Text = ""
    learnt: dict[str, Any] = Field(default_factory=dict)
    choice: Text = ""
    metric: Text = "MASE"
    figures: dict[Text, Error] = Field(default_factory=dict)
    mase: dict[Text, Error] = Field(default_factory=dict)


class RunManifest(Document):
    """manifest.json of a run folder: what `publication.write_published` commits."""

    schema_version: int
    job: Text
    run: RunName
    sequence: Annotated[int, Field(ge=1, le=2**53)]
    leads: bool
    created: Moment
    replaces: RunName | None
    config_sha256: Sum
    as_of: Text
    as_of_position: Place
    as_of_moment: Moment | None
    grid: Text | None = None
    input: InputFields
    model: InService
    trial: TrialFields
    horizon: Horizon
    season: Season
    levels: Annotated[list[Level], Field(min_length=1, max_length=199)]
    point: Point = MEDIAN  # of versions that did not note it
    series: SeriesFields
    warnings: list[WarningFields]
    decisions: list[DecisionFields]
    intervals: IntervalFields
    outputs: Annotated[dict[FileName, OutputFields], Field(min_length=1, max_length=100)]
    exit_code: ExitCode
    seconds: Annotated[float, Field(ge=0)]
    versions: dict[Text, Text]


class Withheld(Document):
    """A run that is not to be published again of the same data."""

    run: RunName
    position: Place
    seen: Sum
    config: Sum
    model: ModelName


class Rollback(Document):
    """One rollback."""

    at: Moment
    to: RunName
    withdrawn: list[RunName]
    refused: list[Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]]
    withheld: list[Withheld] = Field(default_factory=list)


class Rollbacks(Document):
    """rollbacks.json."""

    schema_version: int = 1
    rollbacks: Annotated[list[Rollback], Field(max_length=10_000)]


class AboutModel(Document):
    """about.json of a model folder: what it was trained on, what its backtest promised."""

    schema_version: int
    id: ModelName
    sha256: Sum
    kind: Literal["trained"] = "trained"
    created: Moment
    trained_until: Place
    season: Season
    horizon: Horizon
    learnt: dict[str, Any]
    promise: Promise
    blend: BlendFields | None = None
    chosen: list[Choice] = Field(default_factory=list)


class Problem(Document):
    """Why an attempt failed."""

    code: Text
    message: Annotated[str, signs(2**20)]
    where: Text | None = None
    remedy: Text | None = None


class Success(Document):
    """The last attempt that ended well."""

    at: Moment
    run: RunName | None = None
    as_of: Text | None = None


class LastAttempt(Document):
    """last.json: the facts of the latest attempt."""

    schema_version: int
    job: Text
    state: Literal["running", "finished"]
    pid: Count | None = None
    started: Moment
    finished: Moment | None = None
    outcome: (
        Literal[
            "published", "already done", "rolled back", "dry run", "stale", "failed", "interrupted"
        ]
        | None
    ) = None  # fmt: skip
    exit_code: ExitCode | None = None
    run: RunName | None = None
    as_of: Text | None = None
    error: Problem | None = None
    decisions: list[DecisionFields] = Field(default_factory=list)
    warnings: list[WarningFields] = Field(default_factory=list)
    seconds: Annotated[float, Field(ge=0)] | None = None
    last_success: Success | None = None
    failures_in_a_row: Annotated[int, Field(ge=0, le=10**9)] = 0
    log: Text | None = None
