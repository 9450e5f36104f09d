"""The page of a finished run, made again from its folder and the data.

Axes: S series, W windows (held-out origins), H steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from forecast.common.errors import ForecastError, InputError, UsageError
from forecast.common.progress import Listener, Silent
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.load import LoadReport, load_panel
from forecast.data.panel import Panel
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.evaluation.significance import with_more
from forecast.models.networks.registry import spec_of
from forecast.models.store import recorded_data, refuse_to_take_places
from forecast.reporting.finished_run import FinishedRun, damaged, read_explained, read_run
from forecast.reporting.finished_run_tables import (
    held_out_forecasts,
    judged_point,
    upcoming_forecasts,
    with_written_figures,
)
from forecast.reporting.html.contents import ReportData
from forecast.reporting.html.gather import run_report

Reader = Callable[[str, DataSettings], tuple[Panel, LoadReport]]
SEARCHED = 10_000  # ids among which a mistyped one is looked for


def rebuilt_report(
    run: Path,
    series: Sequence[str] = (),
    data: str | None = None,
    listener: Listener | None = None,
    root: str | Path = "runs",
    read: Reader = load_panel,
) -> ReportData:
    """The contents of the page of the run in the folder `run`.

    series  ids to draw, in this order (default: the choice that a new page makes)
    data    where the observations are (default: the file that the run read)
    read    what gives the panel that was learnt from, with the sums of a hierarchy

    The figures are those that the run wrote. Raises ModelNotFoundError, ModelDamagedError,
    InputError when the data are gone or are others, UsageError for an unknown series.
    """
    finished = read_run(run)
    try:
        return _rebuilt(finished, series, _data(finished, data, root, read), listener or Silent())
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(finished.folder, f"does not fit together ({error!r})") from error


def _rebuilt(
    run: FinishedRun,
    series: Sequence[str],
    found: tuple[Panel, LoadReport, Settings],
    listener: Listener,
) -> ReportData:
    panel, load, settings = found
    _check_series(panel, series)
    names = [str(each["model"]) for each in (run.metrics or {}).get("models", [])]
    names = names or [spec_of(run.manifest.get("network", {}).get("name", "lstm")).title]
    upcoming = _upcoming(panel, run, names, listener)
    held_out, scores = _scored(panel, run, settings)
    if not held_out and not upcoming:
        raise InputError(
            "this run has neither held-out forecasts nor a forecast of these data",
            code="report/nothing-to-show",
            where=str(run.folder),
            remedy="Run train or backtest again",
        )
    chosen = [(each["name"], each["value"], each["why"]) for each in run.manifest.get("chosen", [])]
    page = run_report(
        panel,
        load,
        held_out,
        upcoming,
        scores,
        settings,
        history=run.history,
        chosen=chosen,
        created=datetime.fromisoformat(run.manifest["created"]),
        rivals=run.manifest.get("rivals"),
        shown=tuple(dict.fromkeys(series)) or None,
        members=len(run.manifest.get("training", {}).get("seeds", [])),
        level_scores=(run.metrics or {}).get("levels") or (),
    )
    told, about = ((run.metrics or {}).get(key) or "" for key in ("verdict", "against_arima"))
    written = tuple((str(k), str(v)) for k, v in run.manifest.get("versions", {}).items())
    return replace(
        page,
        verdict=with_more(told, about) or page.verdict,
        versions=written or page.versions,
        explained=read_explained(run.folder),
    )


def _data(
    run: FinishedRun, data: str | None, root: str | Path, read: Reader
) -> tuple[Panel, LoadReport, Settings]:
    """The observations, read as the run read them, and the run's settings."""
    given = run.manifest.get("settings", {})
    if data is None:
        refuse_to_take_places(run.manifest, run.folder, root, "Name the file with --data")
    recorded, how = recorded_data(run.manifest, run.folder, root)
    if data is None and (not recorded or not Path(recorded).exists()):
        raise InputError(
            "the data that the run was made from cannot be read again",
            code="input/training-data-gone",
            value=recorded,
            remedy="Name the file with --data",
        )
    settings = Settings.model_validate(given)
    panel, load = read(data or str(recorded), DataSettings(**how))
    return panel, load, settings


def _scored(
    panel: Panel, run: FinishedRun, settings: Settings
) -> tuple[dict[str, list[Forecast]], ScoreTable | None]:
    """The held-out forecasts and their scores; none of either when nothing was held out."""
    if run.metrics is None or run.held_out is None:
        return {}, None
    held_out = held_out_forecasts(panel, run.held_out, run.metrics)
    levels, gap = settings.forecast.level, int(run.metrics.get("gap", 0))
    whole = {name: [_whole(each) for each in forecasts] for name, forecasts in held_out.items()}
    season, point = int(run.metrics["season"]), judged_point(run.metrics)
    table = score_forecasts(panel, whole, season, levels, gap, point=point)
    return held_out, with_written_figures(table, run.metrics)


def _whole(forecast: Forecast) -> Forecast:
    """The forecast without holes: a step that was not written has no actual, so any value does."""
    held = forecast.available[:, None] & np.isnan(forecast.point)
    return replace(forecast, point=np.where(held, 0.0, forecast.point))


def _upcoming(
    panel: Panel, run: FinishedRun, names: Sequence[str], listener: Listener
) -> list[Forecast]:
    """The forecast ahead; none, with a warning, when it is not one of these data."""
    if run.predictions is None or not run.predictions.num_rows:
        return []
    try:
        return upcoming_forecasts(panel, run.predictions, names)
    except ForecastError as error:
        listener.warn("report/forecast-left-out", f"the forecast ahead is left out: {error}")
        return []


def _check_series(panel: Panel, series: Sequence[str]) -> None:
    """Raises UsageError when one of `series` is not in the data."""
    known = set(panel.ids.tolist())
    for name in series:
        if name not in known:
            ids = panel.ids[:SEARCHED].tolist()
            near = get_close_matches(name, ids, n=3, cutoff=0.5)
            raise UsageError(
                "the run has no such series",
                code="report/unknown-series",
                where="--series",
                value=name,
                remedy=f"Did you mean {', '.join(near)}?"
                if near
                else f"There are: {', '.join(ids[:5])}",
            )
