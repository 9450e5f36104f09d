"""Typed, strict settings: the only place where a default is written.

`Settings` is what a YAML file of `configs/` holds, section by section. An unknown key is refused
with the nearest valid one.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from forecast.common.durations import check_duration
from forecast.common.errors import without_password
from forecast.common.secrets import check_elsewhere
from forecast.config.baselines import INTERMITTENT_BASELINES, Baseline


def _separator(text: str) -> str:
    found = "\t" if text in ("tab", "\\t") else text
    if len(found) != 1 or found.isalnum() or not found.isascii() or found in '\0\r\n"':
        raise ValueError("must be one sign such as ; or | or the word tab")
    return found


def _shard(text: str) -> str:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError("must be I/N with I from 1 to N, such as 3/8")
    return text.strip()


def _point(text: str) -> str:
    found = text.strip().lower()
    if found in ("median", "mean"):
        return found
    try:
        inside = 0 < float(found) < 1
    except ValueError:
        inside = False
    if not inside:
        raise ValueError("must be median, mean or a quantile between 0 and 1 such as 0.95")
    return "median" if float(found) == 0.5 else str(float(found))


def _number_as_text(value: object) -> object:
    """As YAML and JSON have a quantile."""
    return str(value) if isinstance(value, float) else value


Point = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_point)]


def _costs(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if values is not None and (len(values) != 2 or min(values) <= 0):
        raise ValueError("must be two costs above zero: of a piece too few, of a piece too many")
    return values


def _per_cent(value: float) -> float:
    if 0 < value < 1:
        raise ValueError(f"must be per cent: {100 * value:g} for {value:g}")
    return value


def _once_each(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if values is not None and len(set(values)) < len(values):
        raise ValueError("must not repeat a value")
    return values


# What the command line needs beyond the field itself: `flag` where the option is not called like
# the field, `metavar` for the word that stands for the value; `several` for a text that holds
# several values, A,B; `seldom` where hardly anybody has a reason to set it: no flag gives it then,
# but --set, a variable or a settings file.
def _cli(**words: str | bool) -> Any:
    return dict(words)


def list_type(annotation: Any) -> Any:
    """`annotation`, or of a list that may be left out (`tuple[...] | None`) the list, without what
    checks it (`Annotated[tuple[...], ...] | None`)."""
    if get_origin(annotation) not in (UnionType, Union):
        return annotation
    kinds = (get_args(k)[0] if get_origin(k) is Annotated else k for k in get_args(annotation))
    return next((kind for kind in kinds if get_origin(kind) is tuple), annotation)


class Section(BaseModel):
    """Base of all sections: strict, immutable, unknown keys refused.

    The first line of a section's docstring is its heading in the help. A list may be written as
    text with commas, or as a single value.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _written_plainly(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = list_type(cls.model_fields[info.field_name or ""].annotation)
        if value is None:
            return None
        if get_origin(annotation) is tuple:
            if isinstance(value, str):
                parts = [part.strip() for part in value.split(",")]
                value = () if value.strip() in ("", "none") else parts
            values = list(value) if isinstance(value, list | tuple) else [value]
        else:
            values = [value]
        if any(isinstance(entry, str) and "\0" in entry for entry in values):
            raise ValueError("must not hold a null character")
        # YAML reads a bare `yes` as true, which would pass for the number 1.
        if bool not in (annotation, *get_args(annotation)) and any(
            isinstance(entry, bool) for entry in values
        ):
            raise ValueError("must not be true or false")
        return tuple(values) if get_origin(annotation) is tuple else value


class DataSettings(Section):
    """How the table is read."""

    id_col: str | None = Field(
        default=None,
        description="Column that names the series (found by its name; none: one series).",
        json_schema_extra=_cli(metavar="COLUMN", several=True),
    )
    time_col: str | None = Field(
        default=None,
        description="Time column, or several joined by commas: year,month,day,hour "
        "(found by its name or its content).",
        json_schema_extra=_cli(metavar="COLUMN", several=True),
    )
    no_id: bool = Field(
        default=False,
        description="No column names series: the file, or several, are one series, whatever the "
        "other columns.",
    )
    no_time: bool = Field(
        default=False, description="No column is the time: the rows of a series are its steps."
    )
    transpose: bool = Field(
        default=False,
        description="The times stand in the header and each row is a series: turn the table.",
    )
    target_col: str | None = Field(
        default=None,
        description="Column to forecast; A,B: several (found by its name, or the only numbers).",
        json_schema_extra=_cli(metavar="COLUMN", several=True),
    )
    freq: str | None = Field(
        default=None,
        description="Frequency as a pandas alias: h, 30min, D, B, W, MS, ME (found in the times).",
        json_schema_extra=_cli(metavar="ALIAS"),
    )
    season: int | None = Field(
        default=None,
        ge=1,
        description="Season length in steps; 1: no season (found in the data).",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    wide: bool = Field(
        default=False, description="The file is wide: one time column, every other column a series."
    )
    sheet: str | None = Field(
        default=None,
        description="Sheet of an Excel workbook, by its name or its number from 1, or several by "
        "a pattern: '20*' (the only one with a table).",
        json_schema_extra=_cli(metavar="NAME"),
    )
    encoding: str | None = Field(
        default=None,
        description="Text encoding, e.g. cp1252 (UTF-8, or as its byte order mark says).",
        json_schema_extra=_cli(metavar="NAME"),
    )
    delimiter: Annotated[str, AfterValidator(_separator)] | None = Field(
        default=None,
        description="Field separator, one sign or the word tab (found in the first lines).",
        json_schema_extra=_cli(metavar="CHAR"),
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="Decimal mark (found where the numbers leave no doubt)."
    )
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(
        default=None, description="Mark between groups of three digits, e.g. ',' in 1,234,567."
    )
    dayfirst: bool | None = Field(
        default=None,
        description="Read 03/04/2020 as 3 April, with --no-dayfirst as 4 March (found where a day "
        "is over 12).",
    )
    time_unit: Literal["step", "s", "ms", "us", "ns", "excel"] | None = Field(
        default=None,
        description="What a time written as a bare number counts: plain steps, seconds (or finer) "
        "since 1970, Excel's days (found by its size).",
        json_schema_extra=_cli(seldom=True),
    )
    tz: str | None = Field(
        default=None,
        description="Time zone of times that name none, e.g. Europe/Paris.",
        json_schema_extra=_cli(metavar="ZONE"),
    )
    duplicates: Literal["error", "first", "last", "mean", "sum"] = Field(
        default="error", description="What to do with several values for one time of a series."
    )
    missing: Literal["mask", "zero", "ffill"] = Field(
        default="mask",
        description="Gaps and blanks are left missing, are zero (every series then reaches the "
        "last time of the table), or repeat the last value.",
    )
    drop_value: tuple[float, ...] = Field(
        default=(),
        description="Values that mean missing, e.g. -9999.",
        json_schema_extra=_cli(metavar="VALUES"),
    )
    na_values: tuple[str, ...] = Field(
        default=(),
        description="Further texts that mean missing, e.g. closed or x.",
        json_schema_extra=_cli(metavar="TEXTS"),
    )
    units: tuple[str, ...] = Field(
        default=(),
        description="Texts beside the numbers that are left out, e.g. kWh,kilowatt.",
        json_schema_extra=_cli(seldom=True, metavar="TEXTS"),
    )
    resample: str | None = Field(
        default=None,
        description="Bring irregular times to this frequency.",
        json_schema_extra=_cli(metavar="ALIAS"),
    )
    agg: Literal["sum", "mean", "first", "last", "min", "max"] = Field(
        default="mean", description="How --resample joins the values of one step."
    )
    drop_partial: bool = Field(
        default=True,
        description="Leave out a first or last period of --resample with --agg sum that the rows "
        "fill only in part.",
        json_schema_extra=_cli(seldom=True),
    )
    stamps: Literal["auto", "start", "end"] = Field(
        default="auto",
        description="Whether times of hours or less name the start or the end of their interval, "
        "for --resample (auto: the end where they run from 00:15 to 24:00, or from 1 to 24).",
        json_schema_extra=_cli(seldom=True),
    )
    max_gap_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Refuse a series with a larger share of missing steps.",
        json_schema_extra=_cli(seldom=True, metavar="SHARE"),
    )
    max_expansion: float = Field(
        default=1000.0,
        gt=1,
        description="Refuse a compressed file that grows more than so many times.",
        json_schema_extra=_cli(seldom=True, metavar="TIMES"),
    )
    rejects: str | None = Field(
        default=None,
        description="Put cells and rows that cannot be read aside in this CSV file and go on.",
        json_schema_extra=_cli(metavar="FILE"),
    )
    future_cov: tuple[str, ...] = Field(
        default=(),
        description="Columns known ahead (weather forecast, price, promotion): their rows go on "
        "after the last value, here or in --future-covariates.",
        json_schema_extra=_cli(metavar="COLUMNS"),
    )
    past_cov: tuple[str, ...] = Field(
        default=(),
        description="Columns known only up to the last value.",
        json_schema_extra=_cli(metavar="COLUMNS"),
    )
    static_cov: tuple[str, ...] = Field(
        default=(),
        description="Columns that never change within a series (its region, its kind).",
        json_schema_extra=_cli(seldom=True, metavar="COLUMNS"),
    )
    categorical: tuple[str, ...] = Field(
        default=(),
        description="Covariates whose numbers are names (of texts that is known).",
        json_schema_extra=_cli(seldom=True, metavar="COLUMNS"),
    )
    future_covariates: str | None = Field(
        default=None,
        description="Table of the covariates of the steps to come; those of its columns that are "
        "not named otherwise are --future-cov.",
        json_schema_extra=_cli(metavar="FILE"),
    )
    static: str | None = Field(
        default=None,
        description="Table with one row a series, by its id: covariates that never change.",
        json_schema_extra=_cli(metavar="FILE"),
    )
    cov_short: Literal["mask", "last"] | None = Field(
        default=None,
        description="Covariates that end before the horizon does are missing from there, or go on "
        "with their last value (refused).",
    )
    events: str | None = Field(
        default=None,
        description="Table of own events: date (or start,end), name, and if wanted id, before, "
        "after (days).",
        json_schema_extra=_cli(metavar="FILE"),
    )
    hierarchy: str | None = Field(
        default=None,
        description="Columns that say what is summed into what: state/region (nested), "
        "purpose,state/region (crossed). Every level is forecast, and they add up.",
        json_schema_extra=_cli(metavar="COLUMNS", several=True),
    )
    by: str | None = Field(
        default=None,
        description="Forecast the sums over these columns in place of the series: region.",
        json_schema_extra=_cli(metavar="COLUMNS", several=True),
    )
    ignore_parents: bool = Field(
        default=False,
        description="Go by the series below where a given sum disagrees with them.",
        json_schema_extra=_cli(seldom=True),
    )
    censored_col: str | None = Field(
        default=None,
        description="Column that says where demand was cut off by an empty shelf: a flag (1: cut "
        "off) or the stock itself (0: empty). Such steps are masked.",
        json_schema_extra=_cli(metavar="COLUMN"),
    )
    calendar: bool | None = Field(
        default=None,
        description="Hour, weekday, day of month and time of year of the times stand beside the "
        "values (tried by train on days over more than a year and kept where it clearly helps, "
        "unless --no-calendar).",
    )
    holidays: tuple[str, ...] = Field(
        default=(),
        description="Public holidays of countries or of their parts, e.g. DE or AU-VIC; days on "
        "which an exchange is closed, e.g. XNYS.",
        json_schema_extra=_cli(metavar="COUNTRIES"),
    )
    calendar_tz: str | None = Field(
        default=None,
        description="Time zone whose days and hours the calendar goes by (the one of the times).",
        json_schema_extra=_cli(seldom=True, metavar="ZONE"),
    )
    query: str | None = Field(
        default=None,
        description="SQL to run in the database that --db names.",
        json_schema_extra=_cli(metavar="SQL"),
    )
    db: Annotated[str, PlainSerializer(without_password, when_used="json")] | None = Field(
        default=None,
        description="Database to read instead of DATA: sqlite:///sales.db, postgresql://host/base; "
        "env:NAME or file:PATH for an address that stands there.",
        json_schema_extra=_cli(metavar="URL"),
    )
    db_password: Annotated[str, AfterValidator(check_elsewhere)] | None = Field(
        default=None,
        description="Where the database's password stands: env:NAME or file:PATH.",
        json_schema_extra=_cli(metavar="PLACE"),
    )


class ForecastSettings(Section):
    """What is forecast."""

    horizon: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Steps ahead (by the frequency and the length of the data).",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    level: tuple[Annotated[float, Field(gt=0, lt=100), AfterValidator(_per_cent)], ...] = Field(
        default=(80.0, 95.0),
        description="Levels of the prediction intervals, per cent.",
        json_schema_extra=_cli(metavar="PERCENT"),
    )
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(),
        description="Extra quantile columns, e.g. 0.1,0.5,0.9.",
        json_schema_extra=_cli(metavar="SHARES"),
    )
    point: Point | None = Field(
        default=None,
        description="Which number stands for each step: median, mean (means add up) or a quantile "
        "such as 0.95, for stock levels (median; mean for sums and intermittent demand).",
        json_schema_extra=_cli(metavar="WHICH"),
    )
    reconcile: Literal["mint", "ols", "bottom-up", "top-down", "none"] | None = Field(
        default=None,
        description="How the levels of a hierarchy are made to add up (what is best on validation "
        "origins).",
    )
    allow_negative: bool = Field(
        default=False,
        description="Let forecasts of a series that is never negative fall below zero.",
        json_schema_extra=_cli(seldom=True),
    )
    _unique = field_validator("level", "quantiles")(_once_each)


Network = Literal[
    "lstm", "rnn", "gru", "peephole", "xlstm", "bilstm", "attention", "cnn-lstm", "convlstm",
    "lstm-transformer", "transformer", "mlp",
]  # fmt: skip


class NetworkSettings(Section):
    """Which network, and its shape."""

    name: Network = Field(
        default="lstm",
        description="Network to train; only lstm comes pretrained, the others learn from random "
        "weights.",
        json_schema_extra=_cli(flag="--network"),
    )
    likelihood: Literal["quantiles", "student-t", "negative-binomial"] = Field(
        default="quantiles",
        description="What is learnt of each step: its quantiles, the parameters of a Student t "
        "distribution, or of a negative binomial one (counts).",
    )
    hidden_size: int | None = Field(
        default=None,
        ge=4,
        le=2048,
        description="Units of each layer; more for many long series (as pretrained; from scratch "
        "96 for days, else 64).",
        json_schema_extra=_cli(flag="--hidden", metavar="UNITS"),
    )
    layers: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Layers; 1 for speed, more to try; other than 2: from scratch.",
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of units dropped after each layer in training; more where validation "
        "worsens early.",
        json_schema_extra=_cli(seldom=True),
    )
    context: int | None = Field(
        default=None,
        ge=2,
        description="Steps of history that are read, days for sub-daily data; more where what "
        "counts lies further back (by the season).",
        json_schema_extra=_cli(metavar="STEPS"),
    )


class CompareSettings(Section):
    """Which networks are compared."""

    networks: tuple[Network, ...] = Field(
        default=("lstm", "gru", "transformer", "mlp"),
        min_length=1,
        description="Networks to train side by side.",
        json_schema_extra=_cli(metavar="NAMES"),
    )

    _unique = field_validator("networks")(_once_each)


# Learning rates where none is asked for: of a start that has learnt already, and of random weights.
PRETRAINED_RATE, RANDOM_RATE = 5e-4, 2e-3


class TrainingSettings(Section):
    """How the network learns."""

    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Optimisation steps of each member; few for a quick try (by the size of the "
        "data).",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        description="Windows in one step; fewer where memory runs out.",
        json_schema_extra=_cli(seldom=True),
    )
    init: str | None = Field(
        default=None,
        description="Run or model folder to start from, such as the last one on these data (the "
        "pretrained network in the package).",
        json_schema_extra=_cli(metavar="MODEL"),
    )
    from_scratch: bool = Field(
        default=False,
        description="Start from random weights, not from the pretrained network, for instance to "
        "see what that brings.",
    )
    try_scratch: bool = Field(
        default=True,
        description="Train from random weights as well, and keep what forecasts best; false "
        "saves that time.",
        json_schema_extra=_cli(seldom=True),
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate of AdamW; less where training diverges "
        f"({PRETRAINED_RATE:g} from a pretrained start, else {RANDOM_RATE:g}).",
        json_schema_extra=_cli(metavar="RATE"),
    )
    schedule: Literal["cosine", "plateau"] = Field(
        default="cosine",
        description="The learning rate falls along a cosine, or halves when progress stops.",
        json_schema_extra=_cli(seldom=True),
    )
    warmup: int = Field(
        default=50,
        ge=0,
        description="Steps over which the learning rate rises; more where the loss jumps at the "
        "start.",
        json_schema_extra=_cli(seldom=True, metavar="STEPS"),
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        description="Weight decay of AdamW; more for a large network on few data.",
        json_schema_extra=_cli(seldom=True),
    )
    clip: float = Field(
        default=1.0,
        gt=0,
        description="Largest gradient norm; less where training diverges.",
        json_schema_extra=_cli(seldom=True, metavar="NORM"),
    )
    average: float = Field(
        default=0.995,
        ge=0,
        lt=1,
        description="Decay of the running average of the weights that is kept; less for very "
        "short trainings.",
        json_schema_extra=_cli(seldom=True),
    )
    patience: int = Field(
        default=8,
        ge=1,
        description="Validation rounds without improvement before training stops; rounds more than "
        "2% worse than the best count twice.",
        json_schema_extra=_cli(seldom=True, metavar="ROUNDS"),
    )
    members: int = Field(
        default=2,
        ge=1,
        le=50,
        description="Networks in the ensemble; more are steadier and take as many times longer.",
    )
    refit: bool = Field(
        default=True,
        description="Finish on all data once early stopping has chosen the steps; false saves "
        "that time.",
        json_schema_extra=_cli(seldom=True),
    )
    mask_anomalies: bool = Field(
        default=False,
        description="Let the LSTM learn and forecast as if the anomalies that detect finds were "
        "missing.",
        json_schema_extra=_cli(seldom=True),
    )
    seed: int = Field(
        default=1,
        ge=0,
        lt=2**32,
        description="Seed of every random choice.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Where to compute: auto (a GPU when there is one), cpu, cuda, cuda:N or mps.",
        json_schema_extra=_cli(metavar="DEVICE"),
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Number format of a network's products in training; weights are fp32 (auto: "
        "bf16 for an LSTM on a processor that multiplies it, in 0.7 of the time; else fp32).",
        json_schema_extra=_cli(seldom=True),
    )
    jobs: int | None = Field(
        default=None,
        ge=1,
        description="Processes at once (as many as CPU cores).",
    )
    distributed: bool = Field(
        default=False,
        description="Train with the other processes that torchrun started (done without asking "
        "where it did); fail where it did not.",
        json_schema_extra=_cli(seldom=True),
    )
    deadline: Annotated[str, AfterValidator(check_duration)] | None = Field(
        default=None,
        description="Finish within this time with the best so far: 90s, 20m, 1h30m (no limit).",
        json_schema_extra=_cli(metavar="DURATION"),
    )


class BaselineSettings(Section):
    """What the LSTM is compared with, and combined."""

    names: tuple[Baseline, ...] | None = Field(
        default=None,
        description="Forecasters to compare with; none: no comparison "
        "(for train arima,seasonal-naive; for backtest ets and theta as well, and Naive2; "
        f"{','.join(INTERMITTENT_BASELINES)} where demand is intermittent).",
        json_schema_extra=_cli(flag="--baselines", metavar="NAMES"),
    )
    budget: float = Field(
        default=45.0,
        gt=0,
        description="Seconds that all statistical baselines share; ARIMA chooses its order once a "
        "series and uses what is left to choose it anew at later origins.",
        json_schema_extra=_cli(seldom=True, metavar="SECONDS"),
    )

    blend: bool = Field(
        default=True,
        description="Combine the network with a fifth of Theta (column Blend) unless that is worse "
        "on validation origins or there are several values a day; --no-blend saves the time of "
        "fitting it.",
    )

    _unique = field_validator("names")(_once_each)

    def chosen(self, usual: tuple[Baseline, ...]) -> tuple[Baseline, ...]:
        """The baselines asked for, or `usual` where nothing was said."""
        return usual if self.names is None else self.names


Variant = Literal["pretrained", "fine-tuned", "scratch"]


class EvaluationSettings(Section):
    """On which held-out origins the forecasters are scored."""

    windows: int | None = Field(
        default=None,
        ge=1,
        description="Held-out origins; more are surer, and slower (as many as the series allow).",
    )
    step_size: int | None = Field(
        default=None,
        ge=1,
        description="Steps from one held-out origin to the next (the horizon).",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    gap: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Steps after each origin of a backtest that are forecast but not scored.",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    refit: bool = Field(
        default=False,
        description="Train anew before every origin of a backtest, not once before the first.",
        json_schema_extra=_cli(variable="BACKTEST_REFIT"),
    )
    cost: Annotated[tuple[float, ...], AfterValidator(_costs)] | None = Field(
        default=None,
        description="Cost of a piece too few and of a piece too many, such as 9,1: scores the "
        "stock at the quantile under / (under + over) by service level and cost.",
        json_schema_extra=_cli(metavar="UNDER,OVER"),
    )
    variants: tuple[Variant, ...] = Field(
        default=("pretrained",),
        description="States of the network that a backtest scores beside the LSTM as train makes "
        "it.",
        json_schema_extra=_cli(metavar="NAMES"),
    )

    _unique = field_validator("variants")(_once_each)


class EngineSettings(Section):
    """Where a large forecast is computed."""

    name: Literal["local", "ray"] | None = Field(
        default=None,
        description="Forecast file by file: local, in --jobs processes of this machine; ray, on a "
        "Ray cluster (the whole table at once). A backtest fits its baselines there.",
        json_schema_extra=_cli(flag="--engine"),
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster to use: auto, or HOST:PORT (one of this machine's own).",
        json_schema_extra=_cli(metavar="ADDRESS"),
    )
    shard: Annotated[str, AfterValidator(_shard)] | None = Field(
        default=None,
        description="Forecast only part I of N of the files, for job arrays: 1/8 to 8/8.",
        json_schema_extra=_cli(metavar="I/N"),
    )
    partitions: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Parts that a database query is asked in; the query says {partition}, from 0, "
        "and {partitions}.",
        json_schema_extra=_cli(metavar="N"),
    )
    attempts: int = Field(
        default=3, ge=1, le=100, description="Times that a file is tried before it is given up."
    )


class DetectionSettings(Section):
    """What counts as an anomaly."""

    threshold: float = Field(
        default=4.0,
        gt=0,
        le=50,
        description="A value is an anomaly if it lies so many usual deviations from its forecast.",
        json_schema_extra=_cli(metavar="SCORE"),
    )


class TuningSettings(Section):
    """How settings are sought."""

    trials: int = Field(
        default=20,
        ge=2,
        le=100_000,
        description="Settings to try, those of the defaults among them.",
        json_schema_extra=_cli(metavar="N"),
    )


class SamplingSettings(Section):
    """Sample paths."""

    number: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000,
        description="Also draw so many whole futures of each series, for sums and peaks over the "
        "horizon: samples.csv beside the forecast (none).",
        json_schema_extra=_cli(flag="--samples", metavar="N"),
    )


class FederationSettings(Section):
    """How sites train together."""

    site_col: str | None = Field(
        default=None,
        description="Column that says whose each series is, where one file holds several sites.",
        json_schema_extra=_cli(metavar="COLUMN"),
    )
    rounds: int = Field(
        default=10, ge=1, le=1000, description="Times that the sites' weights are averaged."
    )
    local_steps: int | None = Field(
        default=None,
        ge=1,
        description="Optimisation steps of a site in a round (those of train, over the rounds).",
        json_schema_extra=_cli(metavar="STEPS"),
    )
    strategy: Literal["fedavg", "fedprox", "fedadam"] = Field(
        default="fedavg",
        description="How the server makes one network of the sites': fedavg, their mean weighted "
        "by observations; fedprox, the same, each drawn back to the common one; fedadam, a step of "
        "Adam towards the mean.",
    )
    proximal: float = Field(
        default=0.01,
        ge=0,
        description="With fedprox: weight of the pull to the common network.",
        json_schema_extra=_cli(metavar="WEIGHT"),
    )
    server_rate: float = Field(
        default=0.001,
        gt=0,
        description="With fedadam: the server's learning rate.",
        json_schema_extra=_cli(metavar="RATE"),
    )
    pooled: bool = Field(
        default=False,
        description="Also train one network on the rows of all sites, to see what sharing them "
        "would have gained.",
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        description="Hide what any one site contributed, by noise: the epsilon of differential "
        "privacy that all rounds together may spend (none: no noise).",
    )
    delta: float = Field(
        default=1e-5, gt=0, lt=1, description="With --epsilon: the delta of differential privacy."
    )
    clip_norm: float = Field(
        default=0.1,
        gt=0,
        description="With --epsilon: largest distance that a site moves the weights in a round; "
        "the noise grows with it.",
        json_schema_extra=_cli(metavar="NORM"),
    )


class OutputSettings(Section):
    """Where results go."""

    root: str = Field(
        default="runs", description="Folder of all runs.", json_schema_extra=_cli(metavar="DIR")
    )
    out: str | None = Field(
        default=None,
        description="Folder of this run (a new one below --root).",
        json_schema_extra=_cli(metavar="DIR"),
    )


class Settings(Section):
    """All settings of one run."""

    data: DataSettings = DataSettings()
    forecast: ForecastSettings = ForecastSettings()
    network: NetworkSettings = NetworkSettings()
    compare: CompareSettings = CompareSettings()
    training: TrainingSettings = TrainingSettings()
    baselines: BaselineSettings = BaselineSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    detection: DetectionSettings = DetectionSettings()
    engine: EngineSettings = EngineSettings()
    tuning: TuningSettings = TuningSettings()
    sampling: SamplingSettings = SamplingSettings()
    federation: FederationSettings = FederationSettings()
    output: OutputSettings = OutputSettings()
