"""`compare`, read top to bottom: what each network of the family is worth on these data.

Every network learns from random weights under one budget: the same origins, seeds, members, steps
and early stopping, and a deadline in equal parts. The LSTM as it comes pretrained has learnt more
than that, so it stands apart.
Axes: S series, W windows (origins of each series).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.documents import as_bytes
from forecast.common.durations import seconds_in
from forecast.common.files import one_command
from forecast.common.folders import whole_folder
from forecast.common.marks import COMPARISON
from forecast.common.progress import Listener
from forecast.config.baselines import TRAIN_BASELINES
from forecast.config.schema import Network, Settings, TrainingSettings, Variant
from forecast.data.forecast import Forecast
from forecast.data.io.notes import quantity
from forecast.data.load import LoadReport
from forecast.data.panel import LSTM, Panel
from forecast.evaluation.rolling import Backtest, backtest, backtest_table
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.evaluation.significance import ARIMA, compare, lead
from forecast.inference.point import with_point
from forecast.inference.predict import at_levels
from forecast.inference.tables import csv_bytes
from forecast.models.store import versions
from forecast.reporting.run_folder import HISTORY, check_place, rows_csv, run_path
from forecast.training.plan import Reason, in_part_of_the_time
from forecast.workflows.backtest import NAIVE2, baseline_forecasts
from forecast.workflows.backtest_networks import COLUMNS, Learnt, trained, variants
from forecast.workflows.backtest_plan import BacktestPlan, plan_backtest
from forecast.workflows.demand import choose_point
from forecast.workflows.load import read
from forecast.workflows.train import Clock, scored_levels

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
STATES: tuple[Variant, ...] = ("pretrained", "fine-tuned")  # of the LSTM, that stand apart
SHARED = ("horizon", "gap", "held-out windows", "step size", "season", "one LSTM step")


@dataclass(frozen=True)
class ComparisonResult:
    """What `compare` did: rows of the networks and the baselines, those of the pretrained LSTM."""

    folder: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    rows: list[dict[str, Any]]
    apart: list[dict[str, Any]]
    caption: str
    judged: str
    sentence: str
    files: list[tuple[Path, str]]
    interrupted: bool
    exit_code: int
    seconds: float


@one_command()
def compare_run(
    source: str | pd.DataFrame, settings: Settings, listener: Listener
) -> ComparisonResult:
    """Reads, trains every network, scores all on rolling origins, and writes the folder.

    source: a path, "-" or a pandas frame. Raises ForecastError.
    """
    clock = Clock(settings)
    check_place(settings, COMPARISON)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    plans = plans_of(panel, report.seasons, settings)
    learnt = _networks(panel, plans, settings, listener)
    plan = next(iter(plans.values()))
    budget = clock.left_for(settings.baselines.budget)
    rivals = _rivals(panel, plan, settings, budget, listener)
    listener.stage("Scoring")
    levels = scored_levels(settings)
    _, point, why = choose_point(panel, settings)
    listener.note(f"point forecast {point}: {why}")
    ready = {
        name: [at_levels(with_point(each, point), levels) for each in one.forecasts]
        for name, one in learnt.items()
    }
    apart = {name: ready.pop(name) for name in COLUMNS.values() if name in ready}
    m, shown = plan.training.season, settings.forecast.level
    result = backtest(panel, plan.origins, {}, m, shown, plan.gap, {**ready, **rivals}, point=point)
    beside = score_forecasts(panel, apart, m, shown, plan.gap, point=point) if apart else None
    made = ComparisonResult(
        folder=run_path(settings, _stem(report.source)),
        report=report,
        chosen=(*(each for each in plan.reasons if each[0] in SHARED), *budget_of(plans)),
        rows=rows_of(result.scores, learnt),
        apart=[{**row, "best": None} for row in rows_of(beside, learnt)] if beside else [],
        caption=result.scores.caption(),
        judged=result.scores.judged,
        sentence=sentence_of(result.scores, list(ready)),
        files=[],
        interrupted=any(one.interrupted for one in learnt.values()),
        exit_code=3 if report.skipped else 0,
        seconds=clock.elapsed(),
    )
    everything = replace(result, forecasts={**result.forecasts, **apart})
    history = [row for one in learnt.values() for row in one.history]
    return _written(made, everything, history, settings, listener)


def plans_of(
    panel: Panel, seasons: tuple[int, ...], settings: Settings
) -> dict[Network, BacktestPlan]:
    """A plan for each network, all with one horizon, origins, seeds, steps and share of the time.

    Raises UsageError where a network cannot have the size asked for, before any is trained.
    """
    training = settings.training.model_copy(
        update={"init": None, "from_scratch": True, "try_scratch": False}
    )
    names = settings.compare.networks
    share = len(names) + ("lstm" in names)
    plans = {}
    for name in names:
        network = settings.network.model_copy(update={"name": name})
        mine = settings.model_copy(update={"network": network, "training": training})
        plan = plan_backtest(panel, seasons, mine)
        alone = replace(in_part_of_the_time(plan.training, share), compare=False)
        plans[name] = replace(plan, training=alone)
    return plans


def _networks(
    panel: Panel,
    plans: Mapping[Network, BacktestPlan],
    settings: Settings,
    listener: Listener,
) -> dict[str, Learnt]:
    """Every network, trained, by its title, and the pretrained states of the LSTM; once the user
    interrupts, those that there are."""
    plain = settings.model_copy(
        update={
            "evaluation": settings.evaluation.model_copy(update={"variants": (), "refit": False})
        }
    )
    made: dict[str, Learnt] = {}
    for plan in plans.values():
        learnt = trained(panel, plan, plain, listener)
        title = plan.training.title
        rows = [{**row, "member": f"{title} {row['member']}"} for row in learnt.history]
        made[title] = replace(learnt, history=rows)
        if learnt.interrupted:
            return made
    if "lstm" in plans:
        evaluation = plain.evaluation.model_copy(update={"variants": STATES})
        training = _as_the_others(plans, settings)
        apart = plain.model_copy(update={"evaluation": evaluation, "training": training})
        made |= variants(panel, plans["lstm"], apart, listener)
    return made


def _rivals(
    panel: Panel, plan: BacktestPlan, settings: Settings, budget: float, listener: Listener
) -> dict[str, list[Forecast]]:
    """The baselines asked for, else those of `train`, by column name."""
    names = settings.baselines.chosen(TRAIN_BASELINES)
    asked = settings.baselines.model_copy(update={"names": names})
    given = settings.model_copy(update={"baselines": asked})
    levels = scored_levels(settings)
    made = baseline_forecasts(panel, plan, given, levels, budget, listener)
    return {name: each for name, each in made.items() if name != NAIVE2}


def _as_the_others(plans: Mapping[Network, BacktestPlan], settings: Settings) -> TrainingSettings:
    """Settings of the pretrained states: the others' steps, and their share of a deadline."""
    budget: dict[str, Any] = {"max_steps": plans["lstm"].training.config.steps}
    if settings.training.deadline is not None:
        # `variants` keeps one half back for the network that it expects beside them.
        share = 2 / (len(plans) + 1)
        budget["deadline"] = f"{seconds_in(settings.training.deadline) * share:.3f}s"
    return settings.training.model_copy(update=budget)


def budget_of(plans: Mapping[Network, BacktestPlan]) -> tuple[Reason, ...]:
    """What every network is given, and the size of each."""
    configs = [plan.training.config for plan in plans.values()]
    one, seeds = configs[0], next(iter(plans.values())).training.seeds
    limit = "" if one.seconds is None else f", {one.seconds:.0f} s at most"
    members = quantity(len(seeds), "member")
    sizes = dict.fromkeys(f"{each.layers} x {each.hidden_size}" for each in configs)
    return (
        ("networks", len(plans), ", ".join(plan.training.title for plan in plans.values())),
        ("size", ", ".join(sizes), "layers x units, from random weights"),
        (
            "budget",
            f"{one.steps} steps",
            f"for each of {members}{limit}; {one.context} steps of context",
        ),
    )


def rows_of(scores: ScoreTable, learnt: Mapping[str, Learnt]) -> list[dict[str, Any]]:
    """Rows of the score table with the numbers that each network learnt, the best first."""
    full = [
        {**row, "parameters": learnt[row["model"]].parameters if row["model"] in learnt else None}
        for row in scores.to_rows()
    ]
    return sorted(full, key=lambda row: scores.rank(row["model"]))


def sentence_of(scores: ScoreTable, networks: Sequence[str]) -> str:
    """Which network was best, and whether its lead over ARIMA and the LSTM, or that of a baseline
    which was better, is more than chance."""
    best = min(networks, key=scores.rank)
    first = min(scores.per_series, key=scores.rank)
    named = dict.fromkeys((first, ARIMA, LSTM))
    others = [each for each in named if each != best and each in scores.per_series]
    pairs = [compare(scores, best, other) for other in others]
    said = [lead(pair) for pair in pairs if pair.series]
    if len(networks) > 1:
        chosen = f"{best} was the best of {len(networks)} networks on these origins"
        said.insert(0, f"{chosen}; being chosen by them flatters it.")
    return " ".join(said)


def _stem(source: str) -> str:
    name = source.strip("<>") if source.startswith("<") else Path(source).name.split(".")[0]
    return f"{name}-compare"


def _written(
    made: ComparisonResult,
    result: Backtest,
    history: list[dict[str, Any]],
    settings: Settings,
    listener: Listener,
) -> ComparisonResult:
    """Writes the folder, whole or not at all, and says what is in it."""
    listener.stage("Writing the results")
    table = csv_bytes(backtest_table(result, settings.forecast.level, as_written=True))
    contents = (
        (
            "compare.csv",
            rows_csv(made.rows + made.apart),
            "the score table, the pretrained LSTM's rows last",
        ),
        ("compare.json", _document(made, settings), "the same, with settings and choices"),
        ("backtest.csv", table, "every forecast beside the actual, with its cutoff"),
        ("history.csv", rows_csv(history, HISTORY), "loss and learning rate in training"),
    )
    with whole_folder(made.folder, COMPARISON) as staging:
        for name, content, _ in contents:
            (staging / name).write_bytes(content)
    return replace(made, files=[(made.folder / name, what) for name, _, what in contents])


def _document(made: ComparisonResult, settings: Settings) -> bytes:
    plain = {
        "schema_version": SCHEMA_VERSION,
        "format": "lstmcast-compare",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "data": made.report.to_dict(),
        "settings": settings.model_dump(mode="json", exclude_unset=True),
        "chosen": [{"name": n, "value": v, "why": why} for n, v, why in made.chosen],
        "models": made.rows,
        "apart": made.apart,
        "scored_on": made.caption,
        "judged": made.judged,
        "sentence": made.sentence,
        "interrupted": made.interrupted,
        "seconds": round(made.seconds, 3),
    }
    return as_bytes(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False))
