"""`backtest`, read top to bottom.

Data's way: table -> Panel -> plan -> forecasts of everyone from every origin -> scores -> files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.common.errors import UsageError
from forecast.common.files import whole_folder
from forecast.common.progress import Listener
from forecast.config.schema import BACKTEST_BASELINES, Settings
from forecast.data.forecast import Forecast
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation.pairwise import about_arima, compared, fair_verdict
from forecast.evaluation.rolling import backtest
from forecast.evaluation.score_table import ScoreTable
from forecast.evaluation.significance import Comparison
from forecast.inference.predict import at_levels
from forecast.inference.tables import wanted_levels
from forecast.models.baselines.forecast import COLUMNS
from forecast.models.networks.registry import IDEAS
from forecast.models.store import MANIFEST
from forecast.reporting.run_folder import run_path
from forecast.training.plan import Reason
from forecast.workflows.backtest_baselines import NAIVE2, baseline_forecasts
from forecast.workflows.backtest_folder import BacktestRecord, write_backtest
from forecast.workflows.backtest_networks import COLUMNS as STATES
from forecast.workflows.backtest_networks import Learnt, trained, variants
from forecast.workflows.backtest_plan import BacktestPlan, plan_backtest
from forecast.workflows.backtest_saved_models import (
    SavedModel,
    saved_forecasts,
    saved_models,
    start_has_seen,
)
from forecast.workflows.load import read
from forecast.workflows.train import Clock

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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
    table: pa.Table


def backtest_run(
    source: str | pd.DataFrame,
    settings: Settings,
    listener: Listener,
    *,
    models: Sequence[str] = (),
) -> BacktestResult:
    """Reads, forecasts from rolling origins, scores, and writes the folder whole or not at all.

    source  a path, "-" or a pandas frame
    models  run folders or model folders to be compared as well

    Raises ForecastError.
    """
    clock = Clock(settings)
    _check_folder(settings)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    plan = plan_backtest(panel, report.seasons, settings)
    saved = saved_models(models, panel, plan, _taken(settings))
    learnt = _networks(panel, plan, saved, settings, listener)
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    ready = {
        name: [at_levels(each, levels) for each in one.forecasts] for name, one in learnt.items()
    }
    budget = clock.left_for(settings.baselines.budget)
    rivals = baseline_forecasts(panel, plan, settings, levels, budget, listener)
    listener.stage("Scoring")
    m, shown = plan.training.season, settings.forecast.level
    result = backtest(panel, plan.origins, {}, m, shown, plan.gap, {**ready, **rivals})
    pairs = compared(result.scores)
    record = BacktestRecord(
        report,
        plan,
        settings,
        result,
        [row for one in learnt.values() for row in one.history],
        pairs,
        tuple(rivals),
        fair_verdict(result.scores, set(learnt) - {plan.training.title}),
        about_arima(pairs),
        {model.name: str(model.folder.resolve()) for model in saved},
        any(one.interrupted for one in learnt.values()),
        clock.elapsed(),
    )
    return _written(record, listener)


def _taken(settings: Settings) -> set[str]:
    """Column names that no saved model can have."""
    names = settings.baselines.chosen(BACKTEST_BASELINES)
    titles = (idea.title for idea in IDEAS.values())
    return {*titles, *STATES.values(), NAIVE2, *(COLUMNS[name] for name in names)}


def _written(record: BacktestRecord, listener: Listener) -> BacktestResult:
    """Writes the folder, whole or not at all, and says what is in it."""
    listener.stage("Writing the results")
    report = record.report
    folder = _folder(record.settings, report.source)
    with whole_folder(folder) as staging:
        files, table = write_backtest(staging, record)
    partly = report.skipped or _fell_back(record.result.forecasts[record.plan.training.title])
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
        table,
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


def _networks(
    panel: Panel,
    plan: BacktestPlan,
    saved: Sequence[SavedModel],
    settings: Settings,
    listener: Listener,
) -> dict[str, Learnt]:
    """The network as `train` makes it, its other states, and the saved models, by column name."""
    notes = _seen_too_early(panel, plan, saved, settings, listener)
    learnt = trained(panel, plan, settings, listener)
    made = {plan.training.title: _noted(learnt, notes)}
    if not learnt.interrupted:
        made |= variants(panel, plan, settings, listener)
    for model in saved:
        listener.stage(f"Forecasting with {model.name}")
        forecasts = saved_forecasts(model, panel, plan, settings.forecast.allow_negative)
        made[model.name] = Learnt(forecasts, [], False)
    return made


def _noted(learnt: Learnt, notes: tuple[str, ...]) -> Learnt:
    """With `notes` on every forecast, so that they stand beside the scores."""
    made = [replace(each, notes=(*each.notes, *notes)) for each in learnt.forecasts]
    return replace(learnt, forecasts=made)


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
