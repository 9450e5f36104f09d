"""`backtest`, read top to bottom.

Data's way: table -> Panel -> plan -> forecasts of everyone from every origin -> scores -> files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.backtest import backtest
from forecast.backtest_run.comparing import about_arima, compared, fair_verdict
from forecast.backtest_run.folder import BacktestRecord, write_backtest
from forecast.backtest_run.networks import (
    ZERO_SHOT,
    Learnt,
    SavedModel,
    saved_forecasts,
    saved_models,
    start_has_seen,
    trained,
    zero_shot,
)
from forecast.backtest_run.origins import BacktestPlan, plan_backtest
from forecast.backtest_run.rivals import NAIVE2, baseline_forecasts, baseline_names
from forecast.baselines import COLUMNS
from forecast.columns import LSTM
from forecast.config import Settings
from forecast.errors import UsageError
from forecast.events import Listener
from forecast.files import whole_folder
from forecast.forecast_table import wanted_levels
from forecast.forecasts import Forecast
from forecast.metrics import Comparison, ScoreTable
from forecast.model_folder import MANIFEST
from forecast.panel import LoadReport, Panel
from forecast.pipeline import Clock, read
from forecast.plan import Reason
from forecast.prediction import at_levels
from forecast.run_folder import run_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BacktestResult:
    """What `backtest` did: for the screen, for JSON and for Python."""

    folder: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    scores: ScoreTable
    verdict: str
    about_arima: str
    pairs: list[Comparison]
    files: list[tuple[Path, str]]
    interrupted: bool
    exit_code: int
    seconds: float


def backtest_run(
    source: str | pd.DataFrame,
    settings: Settings,
    listener: Listener,
    *,
    models: Sequence[str] = (),
    refit: bool = False,
    gap: int = 0,
) -> BacktestResult:
    """Reads, forecasts from rolling origins, scores, and writes the folder whole or not at all.

    source  a path, "-" or a pandas frame
    models  run folders or model folders to be compared as well
    refit   train the LSTM anew before every origin, not once before the first
    gap     steps after each origin that are forecast but not scored

    Baselines that were not chosen in the settings are all. Raises ForecastError.
    """
    clock = Clock(settings)
    _check_folder(settings)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    plan = plan_backtest(panel, report.seasons, settings, gap)
    taken = [NAIVE2, *(COLUMNS[name] for name in baseline_names(settings.baselines))]
    saved = saved_models(models, panel, plan, taken)
    learnt = _noted(
        trained(panel, plan, settings, refit, listener),
        _seen_too_early(panel, plan, saved, settings, listener),
    )
    made = {LSTM: learnt.forecasts, **_other_networks(panel, plan, saved, settings, listener)}
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    ready = {name: [at_levels(each, levels) for each in windows] for name, windows in made.items()}
    budget = clock.left_for(settings.baselines.budget)
    rivals = baseline_forecasts(panel, plan, settings, levels, budget, listener)
    listener.stage("Scoring")
    m, shown = plan.training.season, settings.forecast.level
    result = backtest(panel, plan.origins, {}, m, shown, gap, {**ready, **rivals})
    pairs = compared(result.scores)
    record = BacktestRecord(
        report,
        plan,
        settings,
        result,
        learnt.history,
        pairs,
        tuple(rivals),
        fair_verdict(result.scores, set(made) - {LSTM}),
        about_arima(pairs),
        refit,
        {model.name: str(model.folder.resolve()) for model in saved},
        learnt.interrupted,
        clock.elapsed(),
    )
    return _written(record, listener)


def _written(record: BacktestRecord, listener: Listener) -> BacktestResult:
    """Writes the folder, whole or not at all, and says what is in it."""
    listener.stage("Writing the results")
    report = record.report
    folder = _folder(record.settings, report.source)
    with whole_folder(folder) as staging:
        files = write_backtest(staging, record)
    partly = report.skipped or _fell_back(record.result.forecasts[LSTM])
    return BacktestResult(
        folder,
        report,
        record.plan.reasons,
        record.result.scores,
        record.verdict,
        record.about_arima,
        record.pairs,
        [(folder / path.relative_to(staging), what) for path, what in files],
        record.interrupted,
        3 if partly else 0,
        record.seconds,
    )


def _seen_too_early(
    panel: Panel,
    plan: BacktestPlan,
    saved: Sequence[SavedModel],
    settings: Settings,
    listener: Listener,
) -> tuple[str, ...]:
    """Warns of models that may know held-out values; returns notes for the LSTM's own scores."""
    for model in saved:
        if model.seen:
            listener.warn("backtest/model-has-seen", f"{model.name}: {model.seen}")
    start = start_has_seen(settings, panel, plan)
    if start:
        listener.warn("backtest/start-has-seen", start)
    return (start,) if start else ()


def _noted(learnt: Learnt, notes: tuple[str, ...]) -> Learnt:
    """With `notes` on every forecast, so that they stand beside the scores."""
    made = [replace(each, notes=(*each.notes, *notes)) for each in learnt.forecasts]
    return replace(learnt, forecasts=made)


def _other_networks(
    panel: Panel,
    plan: BacktestPlan,
    saved: Sequence[SavedModel],
    settings: Settings,
    listener: Listener,
) -> dict[str, list[Forecast]]:
    """The pretrained network and the saved models, by column name."""
    allow_negative = settings.forecast.allow_negative
    listener.stage("Forecasting with the pretrained network")
    made = {ZERO_SHOT: zero_shot(panel, plan, allow_negative)}
    for model in saved:
        listener.stage(f"Forecasting with {model.name}")
        made[model.name] = saved_forecasts(model, panel, plan, allow_negative)
    return made


def _fell_back(forecasts: Sequence[Forecast]) -> bool:
    """Whether another forecaster stood in for the LSTM anywhere."""
    return any(bool((each.source != each.name)[each.available].any()) for each in forecasts)


def _check_folder(settings: Settings) -> None:
    """Raises UsageError when --out is a folder with a model, which would be replaced."""
    out = settings.output.out
    if out is not None and (Path(out) / "model" / MANIFEST).is_file():
        raise UsageError(
            "this folder holds a trained model, which a backtest would replace",
            code="usage/out-holds-a-model",
            where="--out",
            value=out,
            remedy="Choose another --out",
        )


def _folder(settings: Settings, source: str) -> Path:
    """The folder as asked, or one below the root, named by the data, "backtest" and the time."""
    if source.startswith("<"):
        return run_path(settings, f"{source.strip('<>')}-backtest")
    return run_path(settings, f"{Path(source).name.split('.')[0]}-backtest")
