"""The search: Optuna's sampler and pruner over a SQLite file, the same trials from the same seed.

Trials come in rounds. Those of a round are proposed together from what earlier rounds found, run
side by side, and made known together, in order: so neither their order of arrival nor the number
of processes has a part in what is tried. Each proposal has a seed of its own, so that a search that
was killed goes on with the trials that it would have tried; one that had ended is not run again.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from forecast.common.errors import OutputError, TrainingError, UsageError
from forecast.common.resources import needed
from forecast.common.scratch import ScratchFolder
from forecast.config.schema import Settings
from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.training.ensemble import MemberTask, train_members
from forecast.training.plan import Plan, choose_config, choose_start
from forecast.training.selection import known_of
from forecast.training.tuning.space import Choice, Space

# --- One trial: one member trained in a process of its own, its loss on the validation origins ---
# The running loss is handed to a pruner, which may end the trial early.


PARTS = 20  # of a training, at whose ends its loss is compared with that of others

DONE, PRUNED, FAILED = "done", "pruned", "failed"
Pruner = Callable[[dict[int, float]], bool]


@dataclass
class Outcome:
    """What a trial came to.

    ended: "done", "pruned" or "failed" (a loss that is no number); loss: the best on the
    validation origins so far; running: part of the training (of PARTS) -> best loss until then
    """

    ended: str = DONE
    loss: float = math.inf
    seconds: float = 0.0
    running: dict[int, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Plain values, to be kept."""
        return {**vars(self), "running": {str(k): v for k, v in self.running.items()}}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Outcome:
        """What `document` made plain."""
        running = {int(k): v for k, v in document["running"].items()}
        return cls(**{**document, "running": running})


class _Enough(Exception):
    """Ends a training from inside its own report."""


def task_of(
    panel: Panel, plan: Plan, choice: Choice, settings: Settings, limit: float | None
) -> MemberTask:
    """What one member learns with `choice`: the plan's own validation origins, no refit.

    limit: seconds that its training may take, None for no limit.
    """
    chosen = choice.settings(settings)
    start = choose_start(chosen, plan.layout)
    config = choose_config(panel, chosen, plan.layout, plan.horizon, start)
    config = replace(config, views=plan.config.views, seconds=limit)
    return MemberTask(
        as_read(panel),
        panel.offsets,
        plan.keep,
        plan.validation,
        plan.layout,
        config,
        refit_share=0.0,
        refit_rate=1.0,
        initial=start.weights,
        known=known_of(panel, plan),
    )


def run_trial(
    task: MemberTask, seed: int, prune: Pruner, stopped: Callable[[], bool], until: float | None
) -> Outcome:
    """Trains the member and returns what it came to.

    prune: told the running losses after each part; stopped: whether nobody waits for it any more;
    until: time.monotonic() at which it must have ended, with the best so far.
    """
    outcome, started = Outcome(), time.monotonic()

    def heard(_member: int, event: dict[str, Any]) -> None:
        if event["evaluated"] and math.isfinite(event["best"]):
            outcome.loss = event["best"]
            outcome.running[round(PARTS * event["step"] / event["steps"])] = outcome.loss
            if prune(outcome.running):
                outcome.ended = PRUNED
                raise _Enough
        if stopped():
            raise _Enough
        if until is not None and time.monotonic() > until:
            raise _Enough  # the best so far is what there was time for

    try:
        with ScratchFolder() as folder:
            members, _ = train_members(task, [seed], Path(folder), 1, heard)
        outcome.loss = members[0].best_loss
    except _Enough:
        pass
    except TrainingError as error:
        if error.code != "train/not-finite":  # of other numbers, others may go well
            raise
        outcome.ended, outcome.loss = FAILED, math.inf
    outcome.seconds = time.monotonic() - started
    return outcome


# -------------------------------------------------------------------------------------------------


EXTRA = "tune"
FILE = "study.db"
ROUND = 4  # trials proposed together
BEFORE_PRUNING = PARTS // 4  # parts of a training that no trial is ended in
OUTCOME, ABOUT = "outcome", "about"  # of what is kept beside Optuna's own
SEEDS_APART = 100_003

Run = Callable[[int, Choice, Pruner], Outcome]


@contextmanager
def _kept_in(path: Path) -> Iterator[None]:
    """Says what became of the search's file where SQLite refuses. Raises OutputError."""
    try:
        yield
    except Exception as error:
        cause: Any = error
        while cause is not None and not isinstance(cause, sqlite3.Error):
            cause = getattr(cause, "orig", None) or cause.__cause__
        if cause is None:
            raise
        name = getattr(cause, "sqlite_errorname", None) or ""
        if name == "SQLITE_FULL":
            code, remedy = "output/disk-full", "Free some space; the same command goes on from here"
        elif name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            code = "tune/damaged"
            remedy = (
                "Remove the file, and the search starts anew, or name another folder with --out"
            )
        else:
            code, remedy = "output/cannot-write", "Check the disk and the folder's permissions"
        raise OutputError(
            f"the search cannot be kept: {cause}", code=code, where=str(path), remedy=remedy
        ) from error


class Search:
    """A search that stands in a file; `choices` and `outcomes` are by number of trial."""

    def __init__(self, folder: Path, space: Space, seed: int, about: dict[str, Any]) -> None:
        """about: what the search is of. Raises UsageError where the folder's search is of
        something else, OutputError where its file cannot be written or read."""
        self.optuna = needed("optuna", EXTRA, "tune")
        self.optuna.logging.set_verbosity(self.optuna.logging.ERROR)
        self.space, self.seed, self.folder = space, seed, folder
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        with _kept_in(folder / FILE):
            self._open(about)

    def _open(self, about: dict[str, Any]) -> None:
        folder, space = self.folder, self.space
        storage = self.optuna.storages.RDBStorage(f"sqlite:///{(folder / FILE).resolve()}")
        self.study = self.optuna.create_study(
            storage=storage, study_name="lstmcast", direction="minimize", load_if_exists=True
        )
        self.pruner = self.optuna.pruners.MedianPruner(n_startup_trials=ROUND)
        if not self.study.trials:
            self.study.set_user_attr(ABOUT, json.dumps(about))
            for choice in space.usual:
                self.study.enqueue_trial(space.parameters(choice))
        elif self.study.user_attrs.get(ABOUT) != json.dumps(about):
            raise UsageError(
                "the folder holds a search of other data or settings",
                code="tune/other-search",
                value=str(folder),
                remedy="Name another folder with --out, or give the same data and options",
            )

    def finished(self) -> list[tuple[int, Choice, Outcome]]:
        """Trials that are known, in order: number, choice, outcome."""
        done = (self.optuna.trial.TrialState.COMPLETE, self.optuna.trial.TrialState.PRUNED)
        return [
            (frozen.number, self._choice(frozen), Outcome.of(frozen.user_attrs[OUTCOME]))
            for frozen in self.study.get_trials(deepcopy=False, states=done)
        ]

    def best(self) -> tuple[int, Choice, Outcome]:
        """The finished trial with the least loss; the earlier of two alike.

        Raises TrainingError when none came to a loss.
        """
        ended = [each for each in self.finished() if math.isfinite(each[2].loss)]
        if not ended:
            raise TrainingError(
                "no trial came to a loss",
                code="tune/no-trial",
                remedy="Give a longer --deadline, or look at the values with lstmcast check",
            )
        return min(ended, key=lambda each: (each[2].loss, each[0]))

    def go_on(
        self,
        trials: int,
        jobs: int,
        run: Run,
        goes_on: Callable[[], bool],
        heard: Callable[[int, Choice, Outcome], None],
    ) -> None:
        """Runs what is missing to `trials` trials, `jobs` at a time, as long as `goes_on` says so.

        run: makes a trial of its number, choice and pruner; it should end soon once `stopping` is
        set, which an exception here does, Ctrl-C among them.
        """
        with _kept_in(self.folder / FILE), ThreadPoolExecutor(jobs) as pool:
            try:
                while (done := len(self.finished())) < trials and goes_on():
                    first = done // ROUND * ROUND
                    self._round(range(first, min(first + ROUND, trials)), pool, run, heard)
            except BaseException:
                self.stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _round(
        self,
        numbers: range,
        pool: ThreadPoolExecutor,
        run: Run,
        heard: Callable[[int, Choice, Outcome], None],
    ) -> None:
        """One round: every trial is kept as it ends, and made known when all have."""
        trials = [self._trial(number) for number in numbers]
        choices = {trial.number: self.space.suggest(trial) for trial in trials}
        running: dict[Future[Outcome], Any] = {
            pool.submit(run, trial.number, choices[trial.number], self._prunes): trial
            for trial in trials
            if OUTCOME not in trial.user_attrs
        }
        while running:
            ended = wait(running, return_when="FIRST_COMPLETED").done
            # What has an outcome first: it is kept before another's failure ends the search.
            for future in sorted(ended, key=lambda each: each.exception() is not None):
                trial, outcome = running.pop(future), future.result()
                trial.set_user_attr(OUTCOME, outcome.document())
                heard(trial.number, choices[trial.number], outcome)
        for trial in trials:
            self._tell(trial)

    def _trial(self, number: int) -> Any:
        """Trial `number`: as it stood when an earlier process ended, or proposed now."""
        known = self.study.get_trials(deepcopy=False)
        waits = self.optuna.trial.TrialState.WAITING
        if number < len(known) and known[number].state != waits:
            return self.optuna.trial.Trial(self.study, known[number]._trial_id)
        seed = self.seed * SEEDS_APART + number
        self.study.sampler = self.optuna.samplers.TPESampler(n_startup_trials=2 * ROUND, seed=seed)
        return self.study.ask()

    def _tell(self, trial: Any) -> None:
        state = self.optuna.trial.TrialState
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        if frozen.state != state.RUNNING:
            return
        outcome = Outcome.of(frozen.user_attrs[OUTCOME])
        for part, loss in outcome.running.items():
            if part not in frozen.intermediate_values:
                trial.report(loss, part)
        if outcome.ended != DONE or not math.isfinite(outcome.loss):
            self.study.tell(trial, state=state.PRUNED)
        else:
            self.study.tell(trial, outcome.loss)

    def _prunes(self, running: dict[int, float]) -> bool:
        """Whether a trial with these losses so far is worse than the median of known ones."""
        if max(running) < BEFORE_PRUNING:
            return False
        frozen = self.optuna.trial.create_trial(
            state=self.optuna.trial.TrialState.RUNNING, intermediate_values=dict(running)
        )
        with self._lock:
            return bool(self.pruner.prune(self.study, frozen))

    def _choice(self, frozen: Any) -> Choice:
        return self.space.suggest(self.optuna.trial.FixedTrial(frozen.params))
