"""The way of `tune` from a table to a folder: search, evaluate, write.

The folder holds the search while it runs (study.db), so that a killed one goes on; at its end
tuned.yaml, trials.csv and tuning.json.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.documents import as_bytes
from forecast.common.durations import seconds_in
from forecast.common.errors import InputError
from forecast.common.files import one_command, write_bytes
from forecast.common.folders import made_folder
from forecast.common.marks import TUNING
from forecast.common.progress import Listener
from forecast.common.resources import available_cores, check_installed
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.io.database import lasting
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.evaluation.significance import Comparison, compare
from forecast.inference.predict import at_levels
from forecast.inference.tables import wanted_levels
from forecast.models.store import versions
from forecast.reporting.run_folder import check_place, rows_csv, run_path
from forecast.training.learn import learn
from forecast.training.plan import Plan, Reason, make_plan
from forecast.training.selection import forecasters, lstm_windows
from forecast.training.tuning.search import Outcome, Pruner, Search, run_trial, task_of
from forecast.training.tuning.space import Choice, space_of
from forecast.transforms.outlook import cover
from forecast.workflows.load import read

if TYPE_CHECKING:
    import pandas as pd


# --- Tuned settings and the defaults on held-out origins, which no trial has seen ----------------


TUNED, DEFAULTS = "tuned", "defaults"
WORDS = {TUNED: "the tuned settings", DEFAULTS: "the defaults"}


@dataclass(frozen=True)
class Judgement:
    """Both on the same held-out origins; pair: tuned against defaults."""

    scores: ScoreTable
    pair: Comparison

    @property
    def gained(self) -> bool:
        """Whether the tuned settings forecast better."""
        return self.pair.first_loss < self.pair.second_loss

    @property
    def sentence(self) -> str:
        """What tuning gained, or that it gained nothing."""
        pair = self.pair
        share = 1 - pair.first_loss / pair.second_loss if pair.second_loss else 0.0
        figures = (
            f"{pair.metric} {pair.first_loss:.3f} tuned, {pair.second_loss:.3f} with the defaults, "
            f"on {self.scores.windows} held-out origin{'s' * (self.scores.windows > 1)} "
            "that no trial saw"
        )
        if not self.gained:
            return f"Tuning gained nothing: {figures}. Keep the defaults."
        chance = ""
        if not pair.told:
            chance = " There are too few forecasts to say whether that is more than chance."
        elif pair.p > 0.05:
            chance = f" That may be chance (p = {pair.p:.2f}, {pair.method})."
        else:
            chance = f" That is more than chance (p = {pair.p:.2g}, {pair.method})."
        return f"Tuning took {share:.1%} off the error: {figures}.{chance}"


def judged(
    panel: Panel,
    confirmed: tuple[int, ...],
    given: Settings,
    tuned: Settings,
    limit: float | None,
    listener: Listener,
) -> Judgement:
    """Trains with both settings as `train` does and scores both on the held-out origins.

    confirmed: season lengths that all data show; limit: seconds for both, None for no limit. Raises
    KeyboardInterrupt when the user ends it.
    """
    made: dict[str, list[Forecast]] = {}
    plan: Plan | None = None
    for name, settings in ((TUNED, tuned), (DEFAULTS, given)):
        listener.stage("Training with " + WORDS[name])
        plan, made[name] = _forecasts(panel, confirmed, settings, limit and limit / 2, listener)
    assert plan is not None
    scores = score_forecasts(panel, made, plan.season, given.forecast.level)
    return Judgement(scores, compare(scores, TUNED, DEFAULTS))


def _forecasts(
    panel: Panel,
    confirmed: tuple[int, ...],
    settings: Settings,
    limit: float | None,
    listener: Listener,
) -> tuple[Plan, list[Forecast]]:
    """The plan of `settings` and what comes of it on the held-out origins."""
    timed = {"refit": False, "deadline": f"{max(limit, 1.0):.1f}s" if limit else None}
    document = settings.model_dump(exclude_unset=True)
    document["training"] = {**document.get("training", {}), **timed}
    asked = Settings(**document)
    plan = make_plan(panel, confirmed, asked)
    learnt = learn(panel, plan, asked, listener)
    if learnt.interrupted:
        raise KeyboardInterrupt
    scored, _ = forecasters(panel, plan, learnt.members)
    levels = wanted_levels(settings.forecast.level, settings.forecast.quantiles)
    made = lstm_windows(scored, panel, plan.origins, plan.horizon, settings.forecast.allow_negative)
    return plan, [at_levels(each, levels) for each in made]


# -------------------------------------------------------------------------------------------------


SEARCHING = 0.6  # share of a deadline that the trials may take; the judgement has the rest
LEAST_SECONDS = 3.0  # for a trial; with less left none is begun
CONFIG, TRIALS, ABOUT = "tuned.yaml", "trials.csv", "tuning.json"
# Not of the settings that a training with the result is to have: where it goes and how long.
NOT_KEPT = {"output", "tuning", "compare"}
NOT_KEPT_OF = {"training": {"deadline", "jobs", "from_scratch"}, "data": {"db"}}


@dataclass(frozen=True)
class TuneResult:
    """What `tune` did.

    trials: those known, in order; best: the number of the best one; usual: how many of the first
    are what the defaults come to; judgement: None where the best is one of these, or nothing could
    be held out.
    """

    folder: Path
    report: LoadReport
    chosen: tuple[Reason, ...]
    trials: list[tuple[int, Choice, Outcome]]
    best: int
    usual: int
    judgement: Judgement | None
    sentence: str
    files: list[tuple[Path, str]]
    seconds: float

    @property
    def scores(self) -> ScoreTable | None:
        """Of the tuned settings and the defaults on the held-out origins."""
        return self.judgement.scores if self.judgement else None


class Clock:
    """How long each part may take; `limit` seconds for all, None for no limit."""

    def __init__(self, limit: float | None) -> None:
        self.started = time.monotonic()
        self.limit = limit

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def until(self) -> float | None:
        """When the last trial must have ended, as time.monotonic() has it."""
        return None if self.limit is None else self.started + SEARCHING * self.limit

    @property
    def search_left(self) -> float | None:
        """Seconds left for trials."""
        return None if self.until is None else self.until - time.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds left in all, a twentieth kept for forecasts and files."""
        return None if self.limit is None else 0.95 * self.limit - self.elapsed


@one_command()
def tune_run(source: str | pd.DataFrame, settings: Settings, listener: Listener) -> TuneResult:
    """Searches settings on validation origins, judges the best on held-out ones, writes a folder.

    An unfinished search in the folder (--out) goes on. Raises ForecastError, and KeyboardInterrupt
    when the user ended it: what had been tried stays in the folder.
    """
    check_installed("optuna", "tune", "tune")
    deadline = settings.training.deadline
    clock = Clock(seconds_in(deadline) if deadline else None)
    check_place(settings, TUNING, replaced=False)
    listener.stage("Reading the data")
    panel, report = read(source, settings.data, listener)
    plan = make_plan(panel, report.seasons, settings)
    panel = cover(panel, plan.horizon, settings.data.cov_short)
    _check_validation(plan)
    folder = _folder(settings, report.source)
    made_folder(folder, TUNING)
    search = Search(
        folder,
        space_of(settings, plan, int(panel.lengths.max())),
        settings.training.seed,
        {"data": report.digest, "settings": _kept(settings)},
    )
    _search(search, panel, plan, settings, clock, listener)
    judgement, sentence = _score_held_out(search, panel, report, plan, settings, clock, listener)
    files = _write(folder, search, report, settings, judgement, sentence, clock.elapsed)
    return TuneResult(
        folder=folder,
        report=report,
        chosen=_reasons(plan, search),
        trials=search.finished(),
        best=search.best()[0],
        usual=search.space.defaults,
        judgement=judgement,
        sentence=sentence,
        files=files,
        seconds=clock.elapsed,
    )


def _search(
    search: Search,
    panel: Panel,
    plan: Plan,
    settings: Settings,
    clock: Clock,
    listener: Listener,
) -> None:
    """Runs the missing trials; what a deadline leaves is shared by them alike."""
    total = settings.tuning.trials
    jobs = min(total, settings.training.jobs or available_cores())
    losses = [outcome.loss for _, _, outcome in search.finished()]
    known = f", {len(losses)} of them known" if losses else ""
    listener.stage(f"Trying {total} settings{known}")

    def run(number: int, choice: Choice, prune: Pruner) -> Outcome:
        left, turns = clock.search_left, -(-(total - number) // jobs)
        limit = None if left is None else max(LEAST_SECONDS, left / turns)
        task = task_of(panel, plan, choice, settings, limit)
        return run_trial(task, plan.seeds[0], prune, search.stopping.is_set, clock.until)

    def goes_on() -> bool:
        left = clock.search_left
        return left is None or left > LEAST_SECONDS or not search.finished()

    def heard(number: int, choice: Choice, outcome: Outcome) -> None:
        losses.append(outcome.loss)
        listener.note(f"trial {number + 1}: {choice}: {outcome.loss:.4g} {outcome.ended}")
        listener.progress(len(losses), total, {"best": min(losses)})

    try:
        search.go_on(total, jobs, run, goes_on, heard)
    except KeyboardInterrupt:
        listener.note(f"stopped; the same command with --out {search.folder} goes on from here")
        raise


def _score_held_out(
    search: Search,
    panel: Panel,
    report: LoadReport,
    plan: Plan,
    settings: Settings,
    clock: Clock,
    listener: Listener,
) -> tuple[Judgement | None, str]:
    """The best trial beside the defaults on the held-out origins, and the sentence about it."""
    number, choice, _ = search.best()
    if number < search.space.defaults:
        return None, "No trial was better than what the defaults come to. Keep the defaults."
    if not len(plan.origins):
        return None, (
            "No series is long enough to hold data back, so what tuning gained cannot be told. "
            "Keep the defaults."
        )
    if clock.left is not None and clock.left < 2 * LEAST_SECONDS:
        return None, "No time was left to see what tuning gained: give a longer --deadline."
    judgement = judged(
        panel, report.seasons, settings, choice.settings(settings), clock.left, listener
    )
    return judgement, judgement.sentence


def _check_validation(plan: Plan) -> None:
    """Raises InputError where there is nothing to tell settings apart by."""
    if not (plan.validation >= 0).any():
        raise InputError(
            "no series is long enough for a validation origin, by which settings are told apart",
            code="input/too-short-to-tune",
            remedy="Give more history or a shorter --horizon, or train with the defaults",
        )


def _folder(settings: Settings, source: str) -> Path:
    """The folder asked for, or a new one below the root that says what it is of."""
    return run_path(settings, source, "tune-")


def _kept(settings: Settings) -> dict[str, Any]:
    """The settings given that a training with the result is to have as well."""
    given = settings.model_dump(mode="json", exclude_unset=True, exclude=NOT_KEPT)
    kept = {
        section: {k: v for k, v in fields.items() if k not in NOT_KEPT_OF.get(section, ())}
        for section, fields in given.items()
    }
    return {section: fields for section, fields in kept.items() if fields}


def config_text(settings: Settings, choice: Choice, sentence: str) -> str:
    """The settings file that `train --config` takes, with what is known of it above."""
    import textwrap

    import yaml

    document = _kept(settings)
    for section, fields in choice.sections().items():
        document[section] = {**document.get(section, {}), **fields}
    words = [f"# {line}" for line in textwrap.wrap(sentence, 94)]
    return "\n".join([*words, yaml.safe_dump(document, sort_keys=False, allow_unicode=True)])


def _write(
    folder: Path,
    search: Search,
    report: LoadReport,
    settings: Settings,
    judgement: Judgement | None,
    sentence: str,
    taken: float,
) -> list[tuple[Path, str]]:
    """The files beside the search; they, and what each is."""
    number, choice, outcome = search.best()
    rows = [
        {"trial": n + 1, "loss": o.loss, "ended": o.ended, "seconds": o.seconds, **asdict(c)}
        for n, c, o in search.finished()
    ]
    about = {
        "schema_version": 1,
        "format": "lstmcast-tuning",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "data": {**report.to_dict(), "path": lasting(report.source)},
        "seed": settings.training.seed,
        "settings": settings.model_dump(mode="json", exclude_unset=True),
        "trials": len(rows),
        "best": {"trial": number + 1, "loss": outcome.loss, **asdict(choice)},
        "sentence": sentence,
        "gained": judgement.gained if judgement else False,
        "scores": judgement.scores.to_rows() if judgement else [],
        "seconds": taken,
    }
    contents = {
        CONFIG: (as_bytes(config_text(settings, choice, sentence)), "lstmcast train --config"),
        TRIALS: (rows_csv(rows), "every trial: what was tried, its loss, its time"),
        ABOUT: (
            as_bytes(json.dumps(about, indent=2, ensure_ascii=False)),
            "data, seed, versions, the best trial and the scores",
        ),
    }
    for name, (content, _) in contents.items():
        write_bytes(folder / name, content)
    return [(folder / name, what) for name, (_, what) in contents.items()]


def _reasons(plan: Plan, search: Search) -> tuple[Reason, ...]:
    """What was fixed before the search, and what it searched."""
    fixed = [r for r in plan.reasons if r[0] in ("horizon", "season", "held-out windows")]
    space = search.space
    starts = "pretrained or random weights" if len(space.starts) > 1 else "random weights"
    return (
        *fixed,
        ("validation origins", int((plan.validation >= 0).any(1).sum()), "before the held-out"),
        ("searched", ", ".join(space.networks), f"{starts}; {len(search.finished())} trials"),
    )
