"""Forecasts inside Spark: one function for `applyInPandas`, which sees one group of series.

    from forecast.workflows.partitions.on_spark import schema, forecasts_of

    made = (
        rows.withColumn("part", F.abs(F.hash("unique_id")) % 1000)  # whole series in each part
        .groupBy("part")
        .applyInPandas(forecasts_of("runs/sales"), schema("runs/sales"))
    )

Spark reads, places, retries and writes; the package must be installed on its executors, and the
model's folder must be there under the same path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.errors import InputError
from forecast.common.resources import keep_memory, limit_cores
from forecast.config.schema import ForecastSettings, Settings
from forecast.data.load import panel_from_frame
from forecast.data.panel import ID, TIME, Panel, interval_names
from forecast.models.forecaster import Forecaster
from forecast.models.store import load_model, model_path
from forecast.workflows.demand import point_of
from forecast.workflows.load import check_grid, data_settings
from forecast.workflows.predict import forecast_of, with_point_setting

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "source"


def forecasts_of(
    model: str, *, horizon: int | None = None, level: tuple[float, ...] = (80.0, 95.0)
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function from a frame of whole series to their forecasts by the trained model `model`.

    horizon: steps (those that the model was trained for); level: intervals in per cent. The
    result's columns are those of `schema`. The function raises ForecastError.
    """
    asked = {"horizon": horizon, "level": level}
    return partial(_forecasts, str(Path(model).resolve()), asked)


def schema(model: str, level: tuple[float, ...] = (80.0, 95.0)) -> str:
    """The columns of the forecasts as Spark's DDL; times are strings in the input's own form."""
    name = load_model(model_path(Path(model)))[0].name
    bounds = [bound for each in level for bound in interval_names(name, each)]
    numbers = ", ".join(f"`{column}` double" for column in (name, *bounds))
    return f"{ID} string, {TIME} string, {numbers}, {SOURCE} string"


def _forecasts(model: str, asked: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of one group; Spark's own columns beside the three of the input are ignored."""
    limit_cores(1)
    keep_memory()
    forecaster, manifest = _loaded(model)
    settings = Settings(forecast=ForecastSettings(**asked))
    settings = settings.model_copy(
        update={"data": data_settings(settings, manifest, forecaster.design, Path(model))}
    )
    settings = with_point_setting(settings, point_of(settings, manifest))
    panel = _read(frame, settings, manifest)
    check_grid(panel, manifest)
    steps = settings.forecast.horizon or forecaster.horizon
    _, table = forecast_of(panel, forecaster, steps, settings)
    made = table.to_pandas()
    made[TIME] = made[TIME].astype(str)
    if SOURCE not in made:
        made[SOURCE] = forecaster.name
    return made


def _read(frame: pd.DataFrame, settings: Settings, manifest: dict[str, Any]) -> Panel:
    """The panel of a group, on the model's grid even where a few values do not show it."""
    try:
        panel = panel_from_frame(frame, settings.data)[0]
    except InputError:
        if settings.data.freq is not None:
            raise
        panel = None
    alias = manifest["frequency"]["alias"]
    if settings.data.freq is None and (panel is None or panel.frequency.alias != alias):
        data = settings.data.model_copy(update={"freq": alias})
        panel = panel_from_frame(frame, data)[0]
    assert panel is not None
    return panel


@lru_cache(maxsize=4)
def _loaded(model: str) -> tuple[Forecaster, dict[str, Any]]:
    """The model, read once a process."""
    return load_model(model_path(Path(model)))
