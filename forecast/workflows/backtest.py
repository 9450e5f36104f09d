"""`backtest`, read top to bottom.

Data's way: table -> Panel -> plan -> forecasts of everyone from every origin -> scores -> files.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import InputError
from forecast.common.files import one_command
from forecast.common.folders import whole_folder
from forecast.common.marks import BACKTEST
from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory, available_cores
from forecast.config.baselines import BACKTEST_BASELINES, INTERMITTENT_BASELINES
from forecast.config.schema import Settings
from forecast.data.forecast import BLEND, Forecast
from forecast.data.load import LoadReport
from forecast.data.panel import CUTOFF, ID, TARGET, TIME, Panel
from forecast.evaluation.rolling import backtest, held_out
from forecast.evaluation.scores import ScoreTable
from forecast.evaluation.significance import Comparison, about_arima, compared, fair_verdict
from forecast.inference.point import with_point
from forecast.inference.predict import at_levels
from forecast.models.baselines.forecast import COLUMNS, forecast_baselines_windows
from forecast.models.baselines.naive import naive2
from forecast.models.forecaster import Forecaster
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.models.store import frequency_of, load_model, model_path, read_manifest
from forecast.reporting.run_folder import check_place, run_path
from forecast.training.plan import Reason
from forecast.workflows.backtest_folder import BacktestRecord, write_backtest
from forecast.workflows.backtest_networks import COLUMNS as STATES
from forecast.workflows.backtest_networks import Learnt, named, trained, variants, windows
from forecast.workflows.backtest_plan import BacktestPlan, plan_backtest
from forecast.workflows.combination import Combination, blended, with_parts
from forecast.workflows.demand import choose_point, usual_baselines
from forecast.workflows.load import read
from forecast.workflows.train import Clock, scored_levels, weighted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


# --- What the LSTM is compared with in a backtest: the baselines, within one budget, and Naive2
# Axes: S series, W windows (origins of each series), H horizon (steps), Q quantiles.


NAIVE2 = "Naive2"
CACHE = ".baselines"  # below the root of all runs


def baseline_forecasts(
    panel: Panel,
    plan: BacktestPlan,
    settings: Settings,
    levels: np.ndarray,
    budget: float,
    listener: Listener,
    combination: Combination | None = None,
) -> dict[str, list[Forecast]]:
    """Every baseline from every origin, by column name; and Naive2 wherever there is one.

    levels (Q,); budget: seconds that the statistical ones share; combination: the blend, which
    needs some of them. Their forecasts are kept below
    the root of all runs, by the content of the data, and found again there.
    """
    names, why = usual_baselines(panel, BACKTEST_BASELINES, settings)
    names = with_parts(names, combination)
    if not names:
        return {}
    for _, chosen, reason in why:
        listener.note(f"baselines {chosen}: {reason}")
    listener.stage("Fitting the baselines")
    made = forecast_baselines_windows(
        panel=panel,
        origins=plan.origins,
        horizon=plan.steps,
        names=names,
        levels=levels,
        season=plan.training.season,
        budget=budget,
        jobs=settings.training.jobs or available_cores(),
        wanted=held_out(panel, plan.origins),
        listener=listener,
        cache_folder=Path(settings.output.root) / CACHE,
        allow_negative=settings.forecast.allow_negative,
        ray=settings.engine.name == "ray",
        ray_address=settings.engine.ray_address,
    )
    return {**made, NAIVE2: naive2_forecasts(panel, plan.origins, plan.steps, plan.training.season)}


def naive2_forecasts(
    panel: Panel, origins: Sequence[np.ndarray] | np.ndarray, steps: int, season: int
) -> list[Forecast]:
    """Naive2, M4's benchmark, from each row of `origins` (W, S): points without quantiles."""
    with PeakMemory() as memory:
        made = [_naive2(panel.truncate(row), row, steps, season) for row in origins]
    return [replace(each, memory=memory.peak) for each in made]


def _naive2(past: Panel, origins: np.ndarray, steps: int, season: int) -> Forecast:
    started = time.monotonic()
    point = naive2(past.values, past.offsets, steps, season)
    available = np.isfinite(point).all(axis=1)
    return Forecast(
        name=NAIVE2,
        origins=origins,
        point=np.where(available[:, None], point, np.nan),
        levels=np.empty(0),
        quantiles=np.empty((past.size, steps, 0)),
        source=np.where(available, NAIVE2, "").astype(object),
        available=available,
        seconds=time.monotonic() - started,
    )


# --- Models that were trained before, from every origin of a backtest ----------------------------
# Axes: S series, W windows (origins of each series).


@dataclass(frozen=True)
class SavedModel:
    """A model folder to be backtested; seen: why it may know held-out values, or ""."""

    name: str
    folder: Path
    forecaster: Forecaster
    seen: str


def saved_models(
    folders: Sequence[str], panel: Panel, plan: BacktestPlan, taken: Collection[str]
) -> list[SavedModel]:
    """The models in run folders or model folders, each with a column name of its own.

    taken: names that are not free. Raises ModelNotFoundError, ModelDamagedError, or InputError
    when the data are of another frequency than a model's.
    """
    used = {*taken, ID, TIME, CUTOFF, TARGET, "source"}
    found = []
    for each in folders:
        folder = model_path(Path(each))
        forecaster, manifest = load_model(folder)
        _check_frequency(panel, manifest, each)
        name = _free_name(folder, used)
        used.add(name)
        found.append(SavedModel(name, folder, forecaster, _seen(manifest, panel, plan.origins)))
    return found


def start_has_seen(settings: Settings, panel: Panel, plan: BacktestPlan) -> str:
    """Why the model that training starts from may know held-out values; "" when it cannot."""
    if settings.training.init is None:
        return ""
    manifest = read_manifest(model_path(Path(settings.training.init)))
    seen = _seen(manifest, panel, plan.origins)
    return f"the model of --init was {seen}" if seen else ""


def saved_forecasts(
    model: SavedModel, panel: Panel, plan: BacktestPlan, allow_negative: bool
) -> list[Forecast]:
    """A saved model from every origin; that it has seen what it is tested on is in the notes."""
    made = windows(model.forecaster, panel, plan.origins, plan.steps, allow_negative)
    notes = (model.seen,) if model.seen else ()
    return [replace(named(each, model.name), notes=notes) for each in made]


def _free_name(folder: Path, used: Collection[str]) -> str:
    whole = folder.resolve()
    base = whole.parent.name if whole.name == "model" else whole.name
    base = base or "saved model"
    name, number = base, 2
    while name in used:
        name, number = f"{base} ({number})", number + 1
    return name


def _check_frequency(panel: Panel, manifest: dict[str, Any], where: str) -> None:
    then = frequency_of(manifest)
    if (then.alias, then.integer) != (panel.frequency.alias, panel.frequency.integer):
        raise InputError(
            f"the data are of another frequency than the model's, {then.alias}",
            code="input/other-frequency",
            where=where,
            value=panel.frequency.alias,
            remedy="Leave this --model out, or say with --freq what a step is",
        )


def _seen(manifest: dict[str, Any], panel: Panel, origins: np.ndarray) -> str:
    """Why the model may know some of the values that it is tested on; "" when it cannot."""
    last = manifest.get("data", {}).get("span", {}).get("last")
    if last is None:  # never trained on data of its own
        return ""
    scored = held_out(panel, origins)
    starts = (panel.first[None, :] + origins)[scored]
    first = panel.frequency.stamps(np.array([starts.min()]))[0]
    until = _moment(str(last), isinstance(first, np.datetime64))
    if until is not None and until < first:
        return ""
    return f"trained on data up to {last}, which may include held-out values"


def _moment(text: str, is_time: bool) -> Any:
    """A time of a manifest, or None where it is not written as ISO 8601 or a number."""
    try:
        return np.datetime64(text[:19]) if is_time else int(text)
    except ValueError:
        return None


# -------------------------------------------------------------------------------------------------


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


@one_command()
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
    check_place(settings, BACKTEST)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    plan = plan_backtest(panel, report.seasons, settings)
    saved = saved_models(models, panel, plan, _taken(settings))
    learnt = _networks(panel, plan, saved, settings, listener)
    levels = scored_levels(settings)
    _, point, why = choose_point(panel, settings)
    listener.note(f"point forecast {point}: {why}")
    ready = {
        name: [at_levels(with_point(each, point), levels) for each in one.forecasts]
        for name, one in learnt.items()
    }
    combination = _combination(panel, plan, learnt[plan.training.title], settings, clock, listener)
    budget = clock.left_for(settings.baselines.budget)
    rivals = baseline_forecasts(panel, plan, settings, levels, budget, listener, combination)
    listener.stage("Scoring")
    m, shown = plan.training.season, settings.forecast.level
    everyone = {**ready, **rivals}
    everyone |= blended(everyone, combination, point)
    cost = settings.evaluation.cost
    result = backtest(panel, plan.origins, {}, m, shown, plan.gap, everyone, point=point, cost=cost)
    pairs = compared(result.scores)
    record = BacktestRecord(
        report=report,
        plan=plan,
        settings=settings,
        result=result,
        history=[row for one in learnt.values() for row in one.history],
        pairs=pairs,
        rivals=tuple(rivals),
        verdict=fair_verdict(result.scores, set(learnt) - {plan.training.title}),
        about_arima=about_arima(pairs),
        models={model.name: str(model.folder.resolve()) for model in saved},
        interrupted=any(one.interrupted for one in learnt.values()),
        seconds=clock.elapsed(),
    )
    return _written(record, listener)


def _combination(
    panel: Panel,
    plan: BacktestPlan,
    learnt: Learnt,
    settings: Settings,
    clock: Clock,
    listener: Listener,
) -> Combination | None:
    """How network and baselines are combined at all origins, as was best before the first one; of
    networks that are trained anew for every origin none is."""
    if learnt.network is None:
        return None
    network = learnt.network
    chosen, why, _ = weighted(panel, plan.training, network, None, settings, clock, listener)
    for name, value, reason in why:
        listener.note(f"{name} {value}: {reason}")
    return chosen


def _taken(settings: Settings) -> set[str]:
    """Column names that no saved model can have."""
    names = settings.baselines.chosen(BACKTEST_BASELINES)
    titles = (spec.title for spec in NETWORK_SPECS.values())
    baselines = (COLUMNS[name] for name in (*names, *INTERMITTENT_BASELINES))
    return {*titles, *STATES.values(), NAIVE2, BLEND, *baselines}


def _written(record: BacktestRecord, listener: Listener) -> BacktestResult:
    """Writes the folder, whole or not at all, and says what is in it."""
    listener.stage("Writing the results")
    report = record.report
    folder = _folder(record.settings, report.source)
    with whole_folder(folder, BACKTEST) as staging:
        files, table = write_backtest(staging, record)
    partly = report.skipped or _fell_back(record.result.forecasts[record.plan.training.title])
    return BacktestResult(
        folder=folder,
        report=report,
        chosen=record.plan.reasons,
        scores=record.result.scores,
        verdict=record.verdict,
        about_arima=record.about_arima,
        pairs=record.pairs,
        files=[(folder / path.relative_to(staging), what) for path, what in files],
        interrupted=record.interrupted,
        exit_code=3 if partly else 0,
        seconds=record.seconds,
        table=table,
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


def _folder(settings: Settings, source: str) -> Path:
    """The folder as asked, or one below the root, named by the data, "backtest" and the time."""
    if source.startswith("<"):
        return run_path(settings, f"{source.strip('<>')}-backtest")
    return run_path(settings, f"{Path(source).name.split('.')[0]}-backtest")
