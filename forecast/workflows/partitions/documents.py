"""The schemas of what a forecast in parts reads back: job.json, and the record of each part."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from forecast.common.documents import Closed, Count, Document, Sum, Text
from forecast.models.manifest import (
    LONGEST_CONTEXT,
    MOST_READ,
    Grid,
    Horizon,
    LayoutFields,
    SettingsFields,
    Stretch,
)


class PartFields(Closed):
    """One part of the input, as `Partition` has it."""

    name: Text
    place: Text
    query: Annotated[str, Field(max_length=2**20)] | None = None
    size: Count = 0


class LongerFields(Closed):
    """A longer step whose means are forecast as well, as `Longer` has it."""

    steps: Annotated[int, Field(ge=2, le=14)]
    season: Annotated[int, Field(ge=1, le=52)]
    context: Annotated[int, Field(ge=1, le=LONGEST_CONTEXT)]


class UseFields(Document):
    """How the pretrained network is used; of a model the sum of its weights alone."""

    weights_sha256: Sum | None = None
    layout: LayoutFields | None = None
    context: Annotated[int, Field(ge=1, le=LONGEST_CONTEXT)] | None = None
    factors: Annotated[list[Stretch], Field(min_length=1, max_length=199)] | None = None
    longer: Annotated[list[LongerFields], Field(max_length=2)] = Field(default_factory=list)


class JobFields(Document):
    """job.json."""

    schema_version: int
    request: Sum
    model: Text | None
    network: UseFields
    data: dict[str, Any]
    forecast: dict[str, Any]
    horizon: Horizon
    frequency: Grid
    partitions: Annotated[list[PartFields], Field(min_length=1)]
    point: Text = "median"
    settings: SettingsFields = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        use = self.network
        if self.model is None:
            if use.layout is None or use.context is None or use.factors is None:
                raise ValueError("network lacks layout, context or factors")
            if use.context * use.layout.width > MOST_READ:
                raise ValueError(f"network.context {use.context} reads too many values")
        elif use.weights_sha256 is None:
            raise ValueError("network lacks the sum of the model's weights")
        return self


class RecordFields(Document):
    """part-00007.json."""

    partition: Count
    name: Text
    request: Sum
    rows: Count
    series: Count
    fallbacks: Count
    skipped: Count
    bytes: Count
    sha256: Sum
    span: Annotated[list[Text], Field(min_length=2, max_length=2)]
    changed: Annotated[int, Field(ge=-(2**62), le=2**62)] | None
    seconds: Annotated[float, Field(ge=0)]
    cpu: Annotated[float, Field(ge=0)]
    host: Text

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.fallbacks > self.series or self.series > self.rows:
            raise ValueError("rows, series and fallbacks do not agree")
        return self
