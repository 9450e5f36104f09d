"""The schema of a model's manifest: which fields are read, their types, ranges and agreement.

Everything that is allocated from a number of the manifest has an upper bound here; that the sizes
agree with the weights is checked against the weights themselves (store.py).
Axes: Q quantiles.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError, model_validator

from forecast.common.documents import Closed, Count, Document, Moment, Name, Sum, Text
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS
from forecast.data.frequency import MONTHS, WEEKDAYS, Frequency
from forecast.models.baselines.forecast import COLUMNS
from forecast.models.forecaster import USUAL_DEPENDENCE
from forecast.models.likelihoods import LIKELIHOODS, QUANTILES
from forecast.models.networks.covariate_effect import EFFECTS
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.transforms.windows import POINTS

MOST_MEMBERS, MOST_LAYERS, MOST_UNITS = 256, 64, 16384  # of an ensemble; of a network
LONGEST_HORIZON = 10_000  # steps, as the settings allow
LONGEST_CONTEXT = 20_000  # LSTM steps
MOST_READ = 1_000_000  # values that a window reads: context times width
LONGEST_SEASON = 1_000_000  # steps
MOST_COVARIATES, MOST_CATEGORIES = 5_000, 1_000
STRETCH = 1e3  # times that an interval may be stretched or narrowed


def _is_alias(text: str) -> str:
    multiple, unit, anchor = Frequency(text).parts
    if not 1 <= multiple <= 10**9:
        raise ValueError("is no step in time")
    named = {"W": WEEKDAYS, "QS": MONTHS, "QE": MONTHS, "YS": MONTHS, "YE": MONTHS}
    if anchor and anchor not in named.get(unit, ()):
        raise ValueError(f"{anchor} is no day or month that {unit} can begin with")
    return text


def _is_network(text: str) -> str:
    if text not in NETWORK_SPECS:
        raise ValueError(f"no network is called so; there are {', '.join(NETWORK_SPECS)}")
    return text


def _is_likelihood(text: str) -> str:
    if text not in LIKELIHOODS:
        raise ValueError(f"no likelihood is called so; there are {', '.join(LIKELIHOODS)}")
    return text


def _is_zone(text: str) -> str:
    try:
        return text if text[:1] in ("+", "-") else ZoneInfo(text).key
    except (ValueError, OSError, LookupError):
        raise ValueError("is no time zone") from None


def _is_size(units_and_layers: list[int]) -> list[int]:
    if units_and_layers[1] > MOST_LAYERS:
        raise ValueError(f"more than {MOST_LAYERS} layers")
    return units_and_layers


Units = Annotated[int, Field(ge=1, le=MOST_UNITS)]
Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)]
Size = Annotated[list[Units], Field(min_length=2, max_length=2), AfterValidator(_is_size)]
Horizon = Annotated[int, Field(ge=1, le=LONGEST_HORIZON)]
Season = Annotated[int, Field(ge=1, le=LONGEST_SEASON)]
Network = Annotated[str, AfterValidator(_is_network)]
Level = Annotated[float, Field(gt=0, lt=1)]
Stretch = Annotated[float, Field(ge=1 / STRETCH, le=STRETCH)]


class Grid(Closed):
    """A regular grid in time, as `Frequency` has it."""

    alias: Annotated[str, Field(min_length=1, max_length=24), AfterValidator(_is_alias)]
    integer: bool = False
    phase: Annotated[int, Field(ge=-(2**53), le=2**53)] = 0
    stride: Annotated[int, Field(ge=1, le=10**12)] = 1
    start: Annotated[int, Field(ge=-120_000, le=120_000)] = 0
    days: list[Annotated[int, Field(ge=1, le=31)]] = Field(default_factory=list, max_length=3)


class LayoutFields(Closed):
    """How the grid maps on the network's steps, as `Layout` has it."""

    width: Annotated[int, Field(ge=1, le=86_400)]
    chunk: Annotated[int, Field(ge=1, le=86_400)]
    season: Season
    long: Annotated[int, Field(ge=0, le=LONGEST_SEASON)] = 0
    level_window: Season = 1

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.chunk != (POINTS if self.width == 1 else self.width):
            raise ValueError(f"chunk {self.chunk} is not that of width {self.width}")
        if self.level_window > max(self.season, self.width):
            raise ValueError(f"level_window {self.level_window} is longer than the season")
        return self


class ViewFields(Closed):
    """One way to read a series, as `View` has it."""

    logged: bool = True
    mirrored: bool = False
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0


class CovariateFields(Document):
    """How one covariate is read, as `Entry` has it."""

    name: Name
    role: Literal["future", "past", "static"]
    centre: float
    scale: Annotated[float, Field(gt=0)]
    categories: Annotated[list[Text], Field(max_length=MOST_CATEGORIES)] | None
    flag: bool
    own: bool
    smooth: bool


class DesignFields(Document):
    """The covariates of a network, as `Design` has them."""

    entries: Annotated[list[CovariateFields], Field(max_length=MOST_COVARIATES)]
    steps_per_day: Annotated[int, Field(ge=0, le=86_400)]
    calendar: bool
    holidays: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9 ]{1,20})?$")]],
        Field(max_length=300),
    ]
    zone: Annotated[str, Field(max_length=60), AfterValidator(_is_zone)] | None
    calendar_width: Annotated[int, Field(ge=0, le=1000)]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len({entry.name for entry in self.entries}) < len(self.entries):
            raise ValueError("covariates repeat")
        if bool(self.calendar_width) != bool(self.calendar or self.holidays):
            raise ValueError("calendar_width does not agree with calendar and holidays")
        return self


class NetworkFields(Document):
    """A trained ensemble without its weights."""

    name: Network = "lstm"
    likelihood: Annotated[str, AfterValidator(_is_likelihood)] = QUANTILES
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)]
    hidden_size: Units
    layers: Layers
    shapes: Annotated[list[Size], Field(min_length=1, max_length=MOST_MEMBERS)] | None = None
    mixers: list[Annotated[int, Field(ge=0, le=MOST_UNITS)]] | None = None
    effects: Annotated[int, Field(ge=1, le=EFFECTS)] | None = None
    parameters: Count | None = None
    levels: Annotated[list[Level], Field(min_length=3, max_length=199)]
    context: Annotated[int, Field(ge=1, le=LONGEST_CONTEXT)]
    horizon: Horizon
    layout: LayoutFields
    interval_factors: list[Stretch]
    dependence: Annotated[float, Field(gt=-1, lt=1)] = USUAL_DEPENDENCE
    views: Annotated[list[ViewFields], Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: [ViewFields()]
    )
    covariates: DesignFields | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        sizes = self.shapes if self.shapes is not None else self._alike
        if len(sizes) != self.members or sizes[0] != [self.hidden_size, self.layers]:
            raise ValueError("members, hidden_size, layers and shapes do not agree")
        if self.mixers is not None and len(self.mixers) != self.members:
            raise ValueError("there are not as many mixers as members")
        if len(self.interval_factors) != len(self.levels):
            raise ValueError("there are not as many interval_factors as levels")
        pairs = zip(self.levels, reversed(self.levels), strict=True)
        ordered = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        symmetric = all(math.isclose(low + high, 1, abs_tol=1e-6) for low, high in pairs)
        if not len(self.levels) % 2 or not ordered or not symmetric:
            raise ValueError("levels do not ascend around the median")
        if not math.isclose(sum(view.weight for view in self.views), 1, abs_tol=1e-6):
            raise ValueError("the weights of the views do not add up to 1")
        if self.context * self.layout.width > MOST_READ:
            raise ValueError(f"context {self.context} reads more than {MOST_READ:,} values")
        return self

    @property
    def _alike(self) -> list[list[int]]:
        """The sizes of members that are not named one by one."""
        return [[self.hidden_size, self.layers]] * self.members


class SpanFields(Document):
    """First and last time, as the data write them."""

    first: Text
    last: Text


class ColumnFields(Document):
    """Names of the table's columns by role; of many series side by side, how many they are."""

    id: list[Text] | None = None
    time: list[Text] | None = None
    target: list[Text] | Text | None = None


class RememberedFields(Document):
    """The last values of one series, by which grown data are known again."""

    id: Text
    end: Annotated[int, Field(ge=-(2**62), le=2**62)]
    values: Annotated[list[float | None], Field(max_length=10_000)]


class NoteFields(Document):
    """What was repaired or warned of while it was read."""

    code: Text


class DataFields(Document):
    """What was trained on (`LoadReport.to_dict` and where it is)."""

    path: Text | None = None
    source: Text | None = None
    digest: Text | None = None
    columns: ColumnFields = ColumnFields()
    past: list[RememberedFields] | None = None
    repairs: list[NoteFields] | None = None
    frequency: Text | None = None
    rows: Count | None = None
    series: Count = 0
    span: SpanFields = SpanFields(first="", last="")


class Choice(Document):
    """What was chosen without being asked."""

    name: Text
    value: Any
    why: Text


Figure = float | Text | None
ScoreRow = dict[str, Figure]


def check_score_rows(rows: list[ScoreRow]) -> list[ScoreRow]:
    """Rows of a score table: each names its model, counts are whole. Raises ValueError."""
    for row in rows:
        if not isinstance(row.get("model"), str):
            raise ValueError("a row names no model")
        if not isinstance(row.get("series"), int | float):
            raise ValueError("a row does not say of how many series")
        for key, value in row.items():
            if isinstance(value, str) and key not in ("model", "cutoff_first", "cutoff_last"):
                raise ValueError(f"{key} is no figure")
    return rows


ScoreRows = Annotated[list[ScoreRow], Field(max_length=10_000), AfterValidator(check_score_rows)]


def check_settings(given: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given, as they would be taken now. Raises ValueError naming one."""
    try:
        Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    return given


SettingsFields = Annotated[dict[str, Any], AfterValidator(check_settings)]


class TrainingFields(Document):
    """How it was trained, as far as it is read."""

    seeds: list[Annotated[int, Field(ge=0, le=2**63)]] = Field(default_factory=list)


class Described(Document):
    """What a model's manifest and that of a backtest have in common."""

    schema_version: int
    created: Moment = ""
    versions: dict[Text, Text] = Field(default_factory=dict)
    data: DataFields = DataFields()
    settings: SettingsFields = Field(default_factory=dict)
    chosen: list[Choice] = Field(default_factory=list)
    season: Season = 1
    rivals: list[Text] = Field(default_factory=list)


class BlendFields(Document):
    """Weights of the network and of baselines, by column name, and how far their intervals are
    stretched at the usual levels."""

    weights: Annotated[
        dict[Text, Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=8)
    ]
    interval_factors: Annotated[
        list[Stretch], Field(min_length=len(LEVELS), max_length=len(LEVELS))
    ]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not math.isclose(sum(self.weights.values()), 1, abs_tol=1e-6):
            raise ValueError("the weights of the blend do not add up to 1")
        for name in list(self.weights)[1:]:
            if name not in COLUMNS.values():
                raise ValueError(f"no baseline is called {name}")
        return self


class ModelManifest(Described):
    """manifest.json beside weights.safetensors."""

    format: Literal["lstmcast-model"]
    weights_sha256: Sum
    frequency: Grid
    network: NetworkFields
    scores: ScoreRows = Field(default_factory=list)
    training: TrainingFields = TrainingFields()
    blend: BlendFields | None = None
