"""`train` from a table to a run folder, read top to bottom.

Data's way: table -> Panel -> plan -> members -> forecasts on held-out origins -> scores -> files.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forecast.common import resources
from forecast.common.durations import seconds_in
from forecast.common.files import one_command
from forecast.common.folders import remove_folder, whole_folder
from forecast.common.marks import RUN, TRAINING
from forecast.common.progress import Listener
from forecast.common.resources import PeakMemory, available_cores
from forecast.config.baselines import TRAIN_BASELINES, Baseline
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.io.notes import listed, quoted
from forecast.data.load import LoadReport
from forecast.data.open_steps import reach
from forecast.data.panel import Panel
from forecast.evaluation.level_table import LevelLine, level_lines
from forecast.evaluation.sample_paths import scores_of_paths
from forecast.evaluation.scores import ScoreTable, score_forecasts, stock_quantile
from forecast.inference.class_level import of_unseen, with_class_levels
from forecast.inference.point import MEDIAN, quantile_of, with_point
from forecast.inference.predict import at_levels
from forecast.inference.sample_paths import refuse_too_many
from forecast.inference.tables import wanted_levels
from forecast.models.baselines.forecast import forecast_baselines_windows
from forecast.models.forecaster import Forecaster
from forecast.reporting.run_folder import RunRecord, check_place, run_path, write_run
from forecast.training.distributed import DistributedContext
from forecast.training.learn import TimeLimit, learn
from forecast.training.plan import (
    Plan,
    Reason,
    make_plan,
)
from forecast.training.selection import forecasters, lstm_windows
from forecast.transforms.covariates import unknown_ahead
from forecast.transforms.outlook import cover
from forecast.workflows.combination import (
    BLENDING,
    BUDGET,
    Combination,
    blended,
    choose_combination,
    with_parts,
)
from forecast.workflows.demand import choose_point, usual_baselines
from forecast.workflows.hierarchy import (
    Levels,
    choose_method,
    errors_of,
    factors_of,
    level_rows,
    reconcile_windows,
)
from forecast.workflows.load import read_levels, to_learn_from
from forecast.workflows.predict import draw_samples

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.workflows.load import Source

# Of a deadline: the share that is kept for writing (at least so many seconds, and where the machine
# is slow so many times what starting took), and of the rest the share for training.
WRITING, LEAST_WRITING, WRITING_TO_STARTING = 0.1, 4.0, 2.5
TRAINING_SHARE = 0.65
LEAST_TO_FIT = 3.0  # seconds below which no baseline is fitted: their workers take that to start
LEAST_TO_WEIGH = 15.0  # seconds below which no blend is looked at
UNFITTED = ("seasonal-naive",)
SAVE_EVERY = 10.0  # seconds between two savings of where the ranks' training stands


@dataclass(frozen=True)
class TrainResult:
    """What `train` did: for the screen, for JSON and for Python; levels: of a hierarchy."""

    folder: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    scores: ScoreTable | None
    files: list[tuple[Path, str]]
    chart: str
    interrupted: bool
    exit_code: int
    seconds: float
    predictions: pa.Table
    levels: tuple[LevelLine, ...] = ()


@one_command()
def train_run(
    source: Source, settings: Settings, listener: Listener, ranks: DistributedContext | None = None
) -> TrainResult | None:
    """Reads, trains, compares, forecasts, and writes the run folder whole or not at all.

    source: a path, "-" or a pandas frame. ranks: the processes that train together; None is
    returned on all of them but the first. Raises ForecastError.
    """
    clock = Clock(settings)
    check_place(settings, RUN)
    listener.stage("Reading the data")
    panel, report, levels, shown, masked, plan, steps = prepare(source, settings, listener)
    listener.stage(f"Training the {plan.title}")
    limit = clock.limit_of_training() if ranks is None else None
    with PeakMemory() as memory, learning_together(ranks, report, settings) as kept:
        learnt = learn(shown, plan, settings, listener, kept, ranks, limit)
    if ranks is not None and not ranks.first:
        return None
    names, lumpy = usual_baselines(panel, TRAIN_BASELINES, settings)
    point = choose_point(panel, settings)
    plan = replace(plan, reasons=(*plan.reasons, *masked, *learnt.reasons, point, *lumpy))
    skipped = limit.skipped if limit is not None else []
    cost = (clock.elapsed(), memory.peak)
    listener.stage("Forecasting the held-out windows")
    scored, final = forecasters(shown, plan, learnt.members)
    for code, text in unknown_ahead(final.design, panel, steps):
        listener.warn(code, text)
    own = lstm_forecasts(shown, plan, scored, final, settings, cost, point[1], steps=steps,
                         levels=levels)  # fmt: skip
    summed = add_up(own, levels, shown, plan, scored, settings=settings, point=point[1],
                    listener=listener)  # fmt: skip
    combination, weighed, more = weighted(shown, plan, scored, levels, settings, clock, listener)
    plan = replace(plan, reasons=(*plan.reasons, *summed.reasons, *weighed))
    names = in_time(with_parts(names, combination), clock, skipped)
    baselines = baseline_forecasts(panel, plan, names, settings, clock, listener, more=more,
                                   levels=levels)  # fmt: skip
    held_out, upcoming = side_by_side(final.name, summed, baselines, combination, plan, point[1])
    sampled = sampled_scores(shown, panel, plan, scored, settings)
    plan = replace(plan, reasons=plan.reasons + clock.reasons(skipped, listener))
    listener.stage("Writing the results")
    record = RunRecord(
        panel=panel,
        report=report,
        plan=plan,
        settings=settings,
        forecaster=final,
        members=learnt.members,
        history=learnt.history,
        held_out=held_out,
        upcoming=upcoming,
        scores=score(panel, plan, held_out, settings, point[1]),
        interrupted=learnt.interrupted,
        seconds=clock.elapsed(),
        sampled=sampled,
        levels=None if levels is None else levels.names,
        level_scores=summed.scores(panel, held_out, plan, settings, point[1]),
        more={} if combination is None else {BLENDING: combination.to_dict()},
        unseen=of_unseen(own[1][0], shown, point[1]) if levels is None else None,
    )
    return written(record, shown, clock, summed)


def side_by_side(
    network: str,
    summed: Summed,
    baselines: Mapping[str, list[Forecast]],
    combination: Combination | None,
    plan: Plan,
    point: str,
) -> tuple[dict[str, list[Forecast]], list[Forecast]]:
    """Everyone's held-out forecasts by column, the network's first and the blend's last, and in the
    same order those of the future."""
    made = {network: [*summed.tried, *summed.future], **baselines}
    made |= blended(made, combination, point)
    tried = {name: [each.first(plan.horizon) for each in w[:-1]] for name, w in made.items()}
    return tried, [ways[-1] for ways in made.values()]


class Prepared(NamedTuple):
    """What `train` reads and decides first. levels: of a hierarchy; shown: the panel as it is
    learnt from, masked: why it differs; steps: of the grid, for as many ahead as there are."""

    panel: Panel
    report: LoadReport
    levels: Levels | None
    shown: Panel
    masked: tuple[Reason, ...]
    plan: Plan
    steps: int


def tell_of_flags(report: LoadReport, asked: DataSettings, listener: Listener) -> None:
    """Says once which columns of yes and no are not used, and how they would be."""
    names = [name for name in report.flags if "," not in name]
    if not names or factors_of(asked) or asked.duplicates != "error":
        return
    shown, flag = listed(names, 5), quoted(",".join(names))
    listener.note(
        f"not used: {shown}. If known ahead: --future-cov {flag}, with the steps to come in "
        "--future-covariates FILE or as rows after the last value, here and for predict; else "
        f"--past-cov {flag}"
    )


def prepare(source: Source, settings: Settings, listener: Listener) -> Prepared:
    """The data, and the plan of the training. Raises ForecastError."""
    panel, report, levels = read_levels(source, settings.data, listener)
    tell_of_flags(report, settings.data, listener)
    shown, masked = to_learn_from(panel, report, settings)
    plan = make_plan(shown, report.seasons, settings)
    steps = reach(panel, panel.lengths, plan.horizon)
    panel = cover(panel, steps, settings.data.cov_short)
    shown = replace(shown, covariates=panel.covariates)
    return Prepared(panel, report, levels, shown, masked, plan, steps)


def written(
    record: RunRecord, shown: Panel, clock: Clock, summed: Summed | None = None
) -> TrainResult:
    """Writes the run folder. shown: the panel as it was learnt from, which sample paths go on
    from. Raises OutputError."""
    report, settings, horizon = record.report, record.settings, record.plan.horizon
    folder = run_path(settings, report.source)
    with whole_folder(folder, RUN) as staging:
        files, chart, table = write_run(staging, record)
        if record.sampled is not None:
            levels = None if summed is None else summed.levels
            draw_samples(
                staging / "samples.csv", record.forecaster, shown, horizon, settings, levels
            )
            files.append((staging / "samples.csv", "whole futures of each series, step by step"))
    replaced = bool((record.upcoming[0].source != record.forecaster.name).any())
    return TrainResult(
        folder=folder,
        report=report,
        chosen=record.plan.reasons,
        scores=record.scores,
        files=[(folder / path.relative_to(staging), what) for path, what in files],
        chart=chart,
        interrupted=record.interrupted,
        exit_code=3 if report.skipped or replaced else 0,
        seconds=clock.elapsed(),
        predictions=table,
        levels=level_lines(
            record.level_scores, "mase" if record.scores is None else record.scores.judged
        ),
    )


def sampled_scores(
    shown: Panel, panel: Panel, plan: Plan, scored: Forecaster, settings: Settings
) -> dict[str, float] | None:
    """How good sample paths were on the held-out windows; None where none are wanted."""
    number = settings.sampling.number
    if number is None:
        return None
    refuse_too_many(number, plan.horizon)
    negative, seed = settings.forecast.allow_negative, settings.training.seed
    return scores_of_paths(
        scored, shown, panel, plan.origins, plan.horizon, number, seed, allow_negative=negative
    )


@contextmanager
def learning_together(
    ranks: DistributedContext | None, report: LoadReport, settings: Settings
) -> Iterator[tuple[Path, float] | None]:
    """Where the ranks save how far they are, below the root of all runs; it goes at the end.

    A training of the same data and settings goes on from there, with any number of ranks; by one
    process alone (None) nothing is saved.
    """
    if ranks is None:
        yield None
        return
    asked = f"{report.digest} {settings.model_dump_json()}"
    name = f".training-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    folder = Path(settings.output.root) / name
    with ranks.together():
        yield folder, SAVE_EVERY
    if ranks.first:
        remove_folder(folder, TRAINING)


def lstm_forecasts(
    panel: Panel,
    plan: Plan,
    scored: Forecaster,
    final: Forecaster,
    settings: Settings,
    cost: tuple[float, float],
    point: str,
    *,
    steps: int,
    levels: Levels | None,
) -> tuple[list[Forecast], list[Forecast]]:
    """The LSTM's held-out forecasts, and in a list its forecast of the future, at all its levels;
    of new items (in a hierarchy: of `levels`) those of their class.

    cost: seconds and bytes of memory that training took; they are the first held-out forecast's.
    steps: of the grid in the future, for as many as the horizon has that there are.
    """
    negative = settings.forecast.allow_negative
    tried = lstm_windows(scored, panel, plan.origins, plan.horizon, negative)
    future = lstm_windows(final, panel, panel.lengths[None], steps, negative)
    if tried:
        tried[0] = replace(tried[0], seconds=tried[0].seconds + cost[0], memory=cost[1])
    hierarchy = None if levels is None else levels.hierarchy

    def finished(made: Forecast) -> Forecast:
        return with_point(with_class_levels(made, panel, hierarchy), point)

    return [finished(each) for each in tried], [finished(each) for each in future]


@dataclass(frozen=True)
class Summed:
    """The network's forecasts at the levels that are written, of a hierarchy made to add up.

    tried, future: as they are scored and handed over; before: tried before reconciliation; levels:
    the hierarchy with its method, None without; reasons: how it was chosen.
    """

    tried: list[Forecast]
    future: list[Forecast]
    before: list[Forecast]
    levels: Levels | None
    reasons: tuple[Reason, ...]

    def scores(
        self,
        panel: Panel,
        held_out: dict[str, list[Forecast]],
        plan: Plan,
        settings: Settings,
        point: str,
    ) -> list[dict[str, Any]]:
        """Scores by level; [] without a hierarchy or held-out windows."""
        if self.levels is None or not self.tried:
            return []
        season, intervals = plan.season, settings.forecast.level
        return level_rows(panel, self.levels, held_out, self.before, season, intervals, point)


def add_up(
    made: tuple[list[Forecast], list[Forecast]],
    levels: Levels | None,
    panel: Panel,
    plan: Plan,
    scored: Forecaster,
    settings: Settings,
    point: str,
    listener: Listener,
) -> Summed:
    """The network's forecasts as they are, or, of a hierarchy, reconciled by the method that is
    asked for or best on the validation origins."""
    wanted = scored_levels(settings)
    tried, future = made
    plain = [at_levels(each, wanted) for each in tried]
    if levels is None:
        return Summed(plain, [at_levels(each, wanted) for each in future], plain, None, ())
    listener.stage("Making the levels add up")
    whole = levels.hierarchy.whole
    earliest = int((panel.lengths[whole] - plan.keep[whole]) + plan.horizon)
    errors = errors_of(scored, panel, levels, plan.horizon, earliest)
    why = choose_method(levels, panel, scored, errors, plan, settings, point)
    levels = replace(levels, method=why[1])
    steps = future[0].point.shape[1]
    known = errors
    if steps != plan.horizon:
        known = errors_of(scored, panel, levels, steps, earliest)
    tried, future = (
        [
            at_levels(each, wanted)
            for each in reconcile_windows(part, panel, levels, scored, past, settings, point)
        ]
        for part, past in ((tried, errors), (future, known))
    )
    return Summed(tried, future, plain, levels, (why,))


def in_time(names: Sequence[Baseline], clock: Clock, skipped: list[str]) -> tuple[Baseline, ...]:
    """The baselines that there is time for. Those that have to be fitted are left out, and added to
    `skipped`, where the deadline leaves less than starting their workers takes."""
    if clock.left_for(LEAST_TO_FIT) >= LEAST_TO_FIT:
        return tuple(names)
    skipped += [name for name in names if name not in UNFITTED]
    return tuple(name for name in names if name in UNFITTED)


def weighted(
    panel: Panel,
    plan: Plan,
    scored: Forecaster,
    levels: Levels | None,
    settings: Settings,
    clock: Clock,
    listener: Listener,
) -> tuple[Combination | None, tuple[Reason, ...], float]:
    """How network and baselines are combined, None for not at all, and why; and the seconds of a
    blend's budget that weighing it has left. Where none of the baselines that are asked for has to
    be fitted, no other one is fitted for a blend."""
    asked = settings.baselines.chosen(TRAIN_BASELINES)
    if not settings.baselines.blend or set(asked) <= set(UNFITTED):
        return None, (), 0.0
    if levels is not None:
        why = (BLENDING, "none", "the levels of a hierarchy are reconciled instead")
        return None, (why,), 0.0
    if clock.left_for(LEAST_TO_WEIGH) < LEAST_TO_WEIGH:
        why = (BLENDING, "none", "the deadline leaves no time to see whether it helps")
        return None, (why,), 0.0
    budget, began = clock.left_for(BUDGET), clock.elapsed()
    combination, why = choose_combination(panel, plan, scored, settings, budget, listener)
    left = 0.0 if combination is None else max(0.0, BUDGET - (clock.elapsed() - began))
    return combination, (why,), left


def baseline_forecasts(
    panel: Panel,
    plan: Plan,
    names: Sequence[Baseline],
    settings: Settings,
    clock: Clock,
    listener: Listener,
    *,
    more: float = 0.0,
    levels: Levels | None = None,
) -> dict[str, list[Forecast]]:
    """The forecasts of the baselines `names` from the held-out origins and, last, from the end of
    the data: all of so many steps as the last one needs. more: seconds beside their own budget, as
    they are blended as well; levels: of a hierarchy, whose sums come first."""
    if not names:
        return {}
    listener.stage("Fitting the baselines")
    sums = None
    if levels is not None:
        sums = ~np.isin(np.arange(panel.size), levels.hierarchy.bottom)
    return forecast_baselines_windows(
        panel=panel,
        origins=np.concatenate([plan.origins, panel.lengths[None]]),
        horizon=reach(panel, panel.lengths, plan.horizon),
        names=names,
        levels=scored_levels(settings),
        season=plan.season,
        budget=clock.left_for(settings.baselines.budget + more),
        jobs=settings.training.jobs or available_cores(),
        listener=listener,
        urgent=sums,
        allow_negative=settings.forecast.allow_negative,
    )


def score(
    panel: Panel,
    plan: Plan,
    held_out: dict[str, list[Forecast]],
    settings: Settings,
    point: str = "median",
) -> ScoreTable | None:
    """The score table, or None when no series was long enough to hold a window out."""
    if not len(plan.origins):
        return None
    return score_forecasts(
        panel,
        held_out,
        plan.season,
        settings.forecast.level,
        point=point,
        cost=settings.evaluation.cost,
    )


def scored_levels(settings: Settings) -> np.ndarray:
    """Quantile levels that a run's tables and scores need, that of the stock and that which the
    points are to be among them."""
    asked, cost = settings.forecast, settings.evaluation.cost
    stock = () if cost is None else (stock_quantile(cost),)
    own = () if (level := quantile_of(asked.point or MEDIAN)) is None else (level,)
    return wanted_levels(asked.level, (*asked.quantiles, *stock, *own))


class Clock:
    """Time since the command started, and how much of the deadline is left."""

    def __init__(self, settings: Settings) -> None:
        self.started = resources.began or time.monotonic()
        self.deadline = settings.training.deadline
        self.limit = seconds_in(self.deadline) if self.deadline else None
        self.starting = self.elapsed()  # imports, mostly: how fast the machine is now

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def left_for(self, wanted: float) -> float:
        """`wanted` seconds, or what the deadline leaves when time is kept for writing."""
        if self.limit is None:
            return wanted
        return max(0.1, min(wanted, self._end_of_work() - self.elapsed()))

    def _end_of_work(self) -> float:
        """Seconds after the start at which writing has to begin."""
        assert self.limit is not None
        least = min(LEAST_WRITING, self.limit / 4)
        writing = max(WRITING * self.limit, least, WRITING_TO_STARTING * self.starting)
        return self.limit - min(writing, self.limit / 2)

    def limit_of_training(self) -> TimeLimit | None:
        """When training has to be over; None without a deadline."""
        if self.limit is None:
            return None
        left = max(0.0, self._end_of_work() - self.starting)
        return TimeLimit(self.started + self.starting + TRAINING_SHARE * left)

    def reasons(self, skipped: Sequence[str], listener: Listener) -> tuple[Reason, ...]:
        """What there was no time for, as a reason beside the others, and told as a warning."""
        if not skipped:
            return ()
        text = f"no time was left for: {', '.join(dict.fromkeys(skipped))}"
        listener.warn("train/deadline", f"the deadline of {self.deadline} was kept; {text}")
        return (("deadline", str(self.deadline), text),)
