"""Typed, strict settings: the only place where a default is written.

`Settings` is what a YAML file of `configs/` holds, section by section. An unknown key is refused
with the nearest valid one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: strict, immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataSettings(Section):
    """How the table is read."""

    id_col: str | None = Field(None, description="column that names the series")
    time_col: str | None = Field(
        None, description="time column, or several joined by commas (year,month,day,hour)"
    )
    target_col: str | None = Field(None, description="column to forecast")
    freq: str | None = Field(None, description="frequency, as a pandas alias (h, 30min, D, MS, W)")
    season: int | None = Field(None, ge=1, description="season length in steps")
    wide: bool = Field(False, description="one time column, every other column a series")
    encoding: str | None = Field(None, description="text encoding of the file, e.g. cp1252")
    delimiter: str | None = Field(None, description="field separator")
    decimal: Literal[".", ","] | None = Field(None, description="decimal mark")
    dayfirst: bool | None = Field(None, description="03/04/2020 is 3 April")
    tz: str | None = Field(None, description="time zone of times that name none")
    duplicates: Literal["error", "first", "last", "mean", "sum"] = Field(
        "error", description="what to do with several values for one time"
    )
    missing: Literal["mask", "zero", "ffill"] = Field(
        "mask", description="gaps and blanks: left missing, zero, or the last value"
    )
    drop_value: tuple[float, ...] = Field((), description="values that mean missing, e.g. -9999")
    resample: str | None = Field(None, description="bring irregular times to this frequency")
    agg: Literal["sum", "mean", "first", "last", "min", "max"] = Field(
        "mean", description="how --resample joins values"
    )
    max_gap_share: float = Field(
        0.5, gt=0, le=1, description="refuse a series with a larger share of missing steps"
    )


class ForecastSettings(Section):
    """What is forecast."""

    horizon: int | None = Field(None, ge=1, le=10_000, description="steps ahead")
    level: tuple[float, ...] = Field((80.0, 95.0), description="interval levels, per cent")
    quantiles: tuple[float, ...] = Field((), description="extra quantile columns, between 0 and 1")
    allow_negative: bool = Field(
        False, description="let forecasts of a non-negative series fall below zero"
    )


class NetworkSettings(Section):
    """The shape of the LSTM forecaster."""

    hidden_size: int = Field(96, ge=4, le=2048, description="units of each LSTM layer")
    layers: int = Field(2, ge=1, le=8, description="LSTM layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout after each layer")
    context: int | None = Field(
        None, ge=2, description="LSTM steps of history (days for sub-daily data)"
    )


class TrainingSettings(Section):
    """How the network learns."""

    max_steps: int | None = Field(None, ge=1, description="optimisation steps for each member")
    batch_size: int | None = Field(None, ge=1, description="sequences a step")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate (AdamW)")
    schedule: Literal["cosine", "plateau"] = Field("cosine", description="learning-rate schedule")
    warmup: int = Field(50, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay")
    clip: float = Field(1.0, gt=0, description="gradient norm clip")
    average: float = Field(0.995, ge=0, lt=1, description="decay of the averaged weights")
    patience: int = Field(
        8, ge=1, description="validation rounds without improvement before stopping"
    )
    members: int = Field(2, ge=1, le=50, description="networks in the ensemble")
    refit: bool = Field(True, description="finish on all data after early stopping chose the steps")
    seed: int = Field(1, ge=0, description="seed of every random choice")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="device")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: faster on recent GPUs")
    jobs: int | None = Field(None, ge=1, description="processes at once (default: CPU cores)")
    deadline: str | None = Field(None, description="stop in time, e.g. 90s, 20m, 1h")


class BaselineSettings(Section):
    """What the LSTM is compared with."""

    names: tuple[Literal["arima", "ets", "theta", "seasonal-naive"], ...] = Field(
        ("arima", "seasonal-naive"), description="baselines"
    )
    budget: float = Field(
        45.0, gt=0, description="seconds that all statistical baselines share"
    )


class EvaluationSettings(Section):
    """On which held-out origins the forecasters are scored."""

    windows: int | None = Field(None, ge=1, description="held-out origins")
    step_size: int | None = Field(None, ge=1, description="steps between them (default: horizon)")


class OutputSettings(Section):
    """Where results go."""

    root: str = Field("runs", description="folder of all runs")
    out: str | None = Field(None, description="folder of this run (default: below root)")


class Settings(Section):
    """All settings of one run."""

    data: DataSettings = DataSettings()
    forecast: ForecastSettings = ForecastSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    baselines: BaselineSettings = BaselineSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    output: OutputSettings = OutputSettings()
