"""The schemas of what a finished run's folder holds, for the pages that are made of it again."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from forecast.common.documents import Count, Document, Moment, Text, signs
from forecast.config.schema import Point
from forecast.inference.point import MEDIAN
from forecast.models.manifest import (
    DataFields,
    Described,
    Horizon,
    Network,
    ScoreRows,
    Season,
    SettingsFields,
)

Seconds = Annotated[float, Field(ge=0)]
Windows = Annotated[int, Field(ge=0, le=100_000)]
Series = Annotated[str, signs(2**20)]  # an id


class BacktestManifest(Described):
    """manifest.json of a backtest."""

    format: Literal["lstmcast-backtest"]


class Scored(Document):
    """One forecaster's line of metrics.json; its figures are the fields that are not named here."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, float | None]

    model: Text
    series: Count
    pairs: Count
    best: float | None
    unavailable: Count
    fallen_back: Count
    seconds: Seconds
    notes: list[Text]
    memory_mb: Annotated[float, Field(ge=0)] | None = None
    unavailable_series: list[Series] = Field(default_factory=list)
    fallen_back_series: list[Series] = Field(default_factory=list)


class ScoredStep(Document):
    """One forecaster's figures at one step ahead."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, float | None]

    model: Text
    step: Annotated[int, Field(ge=1, le=10_000)]


class Timed(Document):
    """What metrics.json says of the time that a run took."""

    seconds: Seconds | None = None


class Metrics(Document):
    """metrics.json: the score table of a run."""

    verdict: Text = ""
    against_arima: Text | None = None
    seconds: Seconds = 0.0
    season: Season
    horizon: Horizon
    windows: Windows
    step_size: Annotated[int, Field(ge=0, le=1_000_000)]
    gap: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    series: Count
    without_actuals: Count
    undefined_scale: Count
    short_for_season: Count
    zero_actuals: Count
    point: Point = MEDIAN
    judged: Text = "mase"  # of versions that judged every point by it
    models: list[Scored]
    steps: list[ScoredStep]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if any(each.step > self.horizon for each in self.steps):
            raise ValueError("a step lies beyond the horizon")
        for each in self.models:
            named = max(len(each.unavailable_series), len(each.fallen_back_series))
            if named > max(each.unavailable, each.fallen_back) or each.unavailable > self.series:
                raise ValueError(f"the series of {each.model} are more than there are")
            if each.fallen_back > self.series:
                raise ValueError(f"the series of {each.model} are more than there are")
        return self


class BestTrial(Document):
    """The settings that a search found best."""

    network: Network
    layers: Annotated[int, Field(ge=1, le=64)]
    hidden: Annotated[int, Field(ge=1, le=16384)]


class Tuning(Document):
    """tuning.json: what a search of settings came to."""

    created: Moment = ""
    versions: dict[Text, Text] = Field(default_factory=dict)
    data: DataFields = DataFields()
    seed: Count | None = None
    settings: SettingsFields = Field(default_factory=dict)
    trials: Count
    best: BestTrial
    scores: ScoreRows = Field(default_factory=list)
    seconds: Seconds | None = None


class Comparison(Described):
    """compare.json: what networks and baselines came to on the same origins."""

    format: Literal["lstmcast-compare"]
    models: ScoreRows
    judged: Text = "mase"  # of versions that judged by it alone
    seconds: Seconds


class Lag(Document):
    """What a step before the explained one moved."""

    lag: Annotated[int, Field(ge=0, le=10_000_000)]
    contribution: float


class Effect(Document):
    """What a covariate moved."""

    name: Text
    contribution: float
    importance: float | None


class Explanation(Document):
    """explanation.json."""

    series: Series
    lags: list[Lag]
    covariates: list[Effect]
