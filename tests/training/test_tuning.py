"""Settings are sought the same way from the same seed, and judged on what no trial saw."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from forecast.cli.app import run
from forecast.common.errors import InputError, OutputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.config.sources import resolve
from forecast.data.panel import panel_to_arrow
from forecast.evaluation.significance import Comparison
from forecast.inference.tables import csv_bytes
from forecast.training import learn as learning
from forecast.training.plan import PRETRAINED, make_plan
from forecast.training.tuning import search as searching
from forecast.training.tuning.search import (
    PARTS,
    PRUNED,
    ROUND,
    Outcome,
    Search,
    run_trial,
    task_of,
)
from forecast.training.tuning.space import SCRATCH, Choice, space_of
from forecast.workflows.tune import (
    DEFAULTS,
    TUNED,
    Clock,
    Judgement,
    _check_validation,
    config_text,
    judged,
)
from tests.builders import make_panel
from tests.teaching import taught_here

pytest.importorskip("optuna")

ABOUT = {"data": "digest", "settings": {}}
QUICK = {"training": {"max_steps": 6, "members": 1, "device": "cpu", "from_scratch": True}}


def settings_of(**sections) -> Settings:
    return Settings(**{"compare": {"networks": ["lstm", "gru"]}, **sections})


def plan_of(settings: Settings, lengths=(80, 70)):
    panel = make_panel(lengths)
    return panel, make_plan(panel, (12,), settings)


def space(**sections):
    settings = settings_of(**sections)
    panel, plan = plan_of(settings)
    return space_of(settings, plan, int(panel.lengths.max()))


def loss_of(choice: Choice) -> float:
    """A made-up loss: best for scratch, small dropout and a rate of 0.003."""
    away = abs(math.log(choice.learning_rate / 0.003)) + choice.dropout
    return 1 + away + (choice.start == PRETRAINED) + 0.01 * choice.layers


def tried(number: int, choice: Choice, prune) -> Outcome:
    outcome = Outcome(loss=loss_of(choice), seconds=1.0)
    for part in range(4, PARTS + 1, 4):
        outcome.running[part] = loss_of(choice) + 1 / part
        if prune(outcome.running):
            return replace(outcome, ended=PRUNED)
    return outcome


def searched(folder: Path, trials: int, jobs: int = 1, seed: int = 1, runner=tried) -> Search:
    folder.mkdir(exist_ok=True)
    search = Search(folder, space(), seed, ABOUT)
    search.go_on(trials, jobs, runner, lambda: True, lambda *known: None)
    return search


def test_the_same_seed_tries_the_same_with_any_number_of_processes(tmp_path):
    def late(number, choice, prune):
        time.sleep(0.02 * (number % 3))
        return tried(number, choice, prune)

    one = searched(tmp_path / "one", 10).finished()
    several = searched(tmp_path / "several", 10, jobs=3, runner=late).finished()
    assert one == several
    assert len({choice for _, choice, _ in one}) == 10
    other = searched(tmp_path / "other", 10, seed=2).finished()
    assert [choice for _, choice, _ in other] != [choice for _, choice, _ in one]


def test_a_file_of_a_search_that_cannot_be_used_is_named_with_what_to_do(tmp_path, monkeypatch):
    optuna, sqlalchemy = pytest.importorskip("optuna"), pytest.importorskip("sqlalchemy")
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="Remove the file") as caught:
        searched(tmp_path, 1)
    assert caught.value.code == "tune/damaged"
    (tmp_path / "study.db").unlink()
    search = searched(tmp_path, 2)
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"

    def fails(*_):
        raise optuna.exceptions.StorageInternalError("failed") from sqlalchemy.exc.DBAPIError(
            "x", {}, full
        )

    monkeypatch.setattr(optuna.trial.Trial, "set_user_attr", fails)
    with pytest.raises(OutputError, match="Free some space") as caught:
        search.go_on(4, 1, tried, lambda: True, lambda *known: None)
    assert caught.value.code == "output/disk-full"
    monkeypatch.undo()
    search.go_on(4, 1, tried, lambda: True, lambda *known: None)
    assert len(search.finished()) == 4


@pytest.mark.parametrize("dies_in", [0, 6])
def test_a_search_that_was_killed_goes_on_as_if_nothing_had_been(tmp_path, dies_in):
    class Killed(BaseException):
        pass

    def dying(number, choice, prune):
        if number == dies_in:
            raise Killed
        return tried(number, choice, prune)

    with pytest.raises(Killed):
        searched(tmp_path / "killed", 9, runner=dying)
    again: list[int] = []

    def counting(number, choice, prune):
        again.append(number)
        return tried(number, choice, prune)

    resumed = searched(tmp_path / "killed", 9, runner=counting).finished()
    assert resumed == searched(tmp_path / "whole", 9).finished()
    assert again[0] == dies_in, "what had ended is not run again"


def test_a_failing_trial_ends_the_others_soon(tmp_path):
    started = threading.Event()
    search = Search(tmp_path, space(), 1, ABOUT)

    def runner(number, choice, prune):
        if number == 0:
            started.wait(5)
            raise RuntimeError("failed")
        started.set()
        assert search.stopping.wait(5), "was not told to stop"
        return Outcome(loss=1.0)

    with pytest.raises(RuntimeError, match="failed"):
        search.go_on(8, 2, runner, lambda: True, lambda *known: None)


def test_the_search_finds_what_is_better_and_prunes_what_is_worse(tmp_path):
    search = searched(tmp_path, 24)
    number, choice, outcome = search.best()
    trials = search.finished()
    assert number >= len(search.space.usual)
    assert outcome.loss < min(each[2].loss for each in trials[:2])
    assert choice.start == SCRATCH
    pruned = [o for _, _, o in trials if o.ended == PRUNED]
    assert pruned
    assert all(max(o.running) >= PARTS // 4 for o in pruned)
    late = [o.loss for _, _, o in trials[14:]]
    assert np.median(late) < np.median([o.loss for _, _, o in trials[2:10]])


def test_the_first_trials_are_what_the_defaults_come_to(tmp_path):
    _, plan = plan_of(settings_of())
    search = searched(tmp_path, ROUND)
    first, second = (choice for _, choice, _ in search.finished()[:2])
    assert (first.start, second.start) == (PRETRAINED, SCRATCH)
    for choice, config in ((first, plan.config), (second, plan.scratch)):
        assert choice.hidden == config.hidden_size
        assert choice.layers == config.layers
        assert choice.context == config.context
        assert choice.learning_rate == config.learning_rate
        assert choice.dropout == config.dropout


def test_a_folder_of_another_search_is_refused(tmp_path):
    searched(tmp_path, 2)
    with pytest.raises(UsageError) as caught:
        Search(tmp_path, space(), 1, {"data": "other", "settings": {}})
    assert caught.value.code == "tune/other-search"


def test_what_the_user_has_set_is_not_searched():
    found = space(
        network={"name": "gru", "hidden_size": 24, "layers": 1, "dropout": 0.2, "context": 30},
        training={"learning_rate": 0.001},
    )
    assert (found.starts, found.networks, found.hidden, found.layers) == (
        (SCRATCH,), ("gru",), (24,), (1,),
    )  # fmt: skip
    assert found.dropout == (0.2, 0.2)
    assert found.contexts == (30,)
    assert found.rates[SCRATCH] == (0.001, 0.001)


def test_the_defaults_are_not_tried_where_their_network_is_not_searched(tmp_path):
    found = space(compare={"networks": ["gru", "mlp"]})
    assert (found.starts, found.usual) == ((SCRATCH,), ())
    search = Search(tmp_path, found, 1, ABOUT)
    search.go_on(3, 1, tried, lambda: True, lambda *known: None)
    assert {choice.network for _, choice, _ in search.finished()} <= {"gru", "mlp"}


def test_random_weights_are_the_defaults_only_where_these_try_them():
    assert [space().defaults, len(space().usual)] == [2, 2]
    found = space(training={"try_scratch": False})
    assert [choice.start for choice in found.usual] == [PRETRAINED, SCRATCH]
    assert found.defaults == 1
    assert space(training={"from_scratch": True}).defaults == 1
    assert space(compare={"networks": ["gru"]}).defaults == 0


def test_units_are_multiples_of_what_a_network_needs():
    optuna = pytest.importorskip("optuna")
    found = space(compare={"networks": ["transformer"]}, training={"from_scratch": True})
    drawn = {"start": SCRATCH, "network": "transformer", "hidden": 24, "layers": 1}
    drawn |= {"dropout": 0.0, "context": found.contexts[0], "rate scratch": 0.001}
    choice = found.suggest(optuna.trial.FixedTrial(drawn))
    assert choice.hidden % found.multiples["transformer"] == 0


def test_a_trial_learns_from_what_precedes_the_held_out_origins_alone():
    settings = settings_of()
    panel, plan = plan_of(settings)
    choice = space().usual[1]
    task = task_of(panel, plan, choice, settings, None)
    assert np.array_equal(task.keep, plan.origins.min(0))
    assert (task.validation + plan.horizon <= task.keep).all()
    assert task.refit_share == 0.0
    assert task.initial is None
    changed = replace(choice, network="gru", hidden=16, layers=3, context=20, dropout=0.25)
    config = task_of(panel, plan, changed, settings, 9.0).config
    for name, value in (
        ("network", "gru"), ("hidden_size", 16), ("layers", 3), ("context", 20),
        ("dropout", 0.25), ("seconds", 9.0), ("views", plan.config.views),
    ):  # fmt: skip
        assert getattr(config, name) == value
    tuned = task_of(panel, plan, space().usual[0], settings, None)
    assert tuned.initial is not None


def test_a_trial_is_trained_and_ends_when_it_is_told_to(monkeypatch):
    """The one that is ended early has a process of its own, as all have in a search."""
    settings = settings_of(**QUICK)
    panel, plan = plan_of(settings)
    choice = replace(space(**QUICK).usual[0], hidden=8, layers=1)
    task = task_of(panel, plan, choice, settings, None)
    with monkeypatch.context() as patch:
        patch.setattr(searching, "train_members", taught_here)
        whole = run_trial(task, 1, lambda running: False, lambda: False, None)
        late = run_trial(task, 1, lambda running: False, lambda: False, time.monotonic() - 1)
    assert whole.ended == "done"
    assert 0 < whole.loss < 10
    assert whole.loss == min(whole.running.values())
    assert max(whole.running) == PARTS
    seen: list[dict] = []

    def prune(running):
        seen.append(dict(running))
        return len(running) == 2

    pruned = run_trial(task, 1, prune, lambda: False, None)
    assert (pruned.ended, len(pruned.running)) == (PRUNED, 2)
    assert seen[-1] == {k: v for k, v in whole.running.items() if k in seen[-1]}
    assert len(late.running) <= 1


def test_both_are_judged_on_the_held_out_origins(monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    given = settings_of(**QUICK, network={"hidden_size": 8, "layers": 1})
    panel, plan = plan_of(given)
    choice = replace(space(**QUICK).usual[0], hidden=8, layers=1, learning_rate=0.02)
    result = judged(panel, (12,), given, choice.settings(given), None, Silent())
    assert [score.model for score in result.scores.scores] == [TUNED, DEFAULTS]
    assert result.scores.windows == len(plan.origins)
    assert result.pair.first_loss != result.pair.second_loss
    assert result.gained is (result.pair.first_loss < result.pair.second_loss)


def pair(first: float, second: float, p: float) -> Comparison:
    return Comparison(TUNED, DEFAULTS, "MASE", first, second, 9, 1, -1, 1, p, "a test")


@pytest.mark.parametrize(
    ("first", "second", "p", "words"),
    [
        (0.9, 1.0, 0.01, "Tuning took 10.0% off the error: MASE 0.900 tuned, 1.000 with the"),
        (0.9, 1.0, 0.01, "That is more than chance (p = 0.01, a test)."),
        (0.9, 1.0, 0.3, "That may be chance (p = 0.30, a test)."),
        (0.9, 1.0, math.nan, "too few forecasts to say whether that is more than chance."),
        (1.1, 1.0, 0.01, "Tuning gained nothing: MASE 1.100 tuned, 1.000 with the defaults"),
        (1.1, 1.0, 0.01, "Keep the defaults."),
    ],
)
def test_the_sentence_says_what_was_gained_or_that_nothing_was(first, second, p, words):
    class Scores:
        windows = 3

    assert words in Judgement(Scores(), pair(first, second, p)).sentence


def test_the_settings_file_is_one_that_train_takes(tmp_path):
    given = settings_of(
        forecast={"horizon": 6}, training={"seed": 7, "deadline": "1m", "jobs": 1},
        output={"out": "here"}, tuning={"trials": 3}, data={"season": 4},
    )  # fmt: skip
    choice = Choice(SCRATCH, "gru", 32, 1, 0.05, 20, 0.004)
    path = tmp_path / "tuned.yaml"
    path.write_text(config_text(given, choice, "It is said here."))
    read = resolve({}, None, str(path)).settings
    assert yaml.safe_load(path.read_text())["forecast"] == {"horizon": 6}
    assert (read.network.name, read.network.hidden_size, read.network.layers) == ("gru", 32, 1)
    assert (read.training.from_scratch, read.training.learning_rate) == (True, 0.004)
    assert (read.training.seed, read.data.season, read.network.context) == (7, 4, 20)
    assert (read.training.deadline, read.output.out, read.training.jobs) == (None, None, None)
    assert path.read_text().startswith("# It is said here.")
    start = Choice(PRETRAINED, "lstm", 128, 2, 0.05, 20, 0.0004)
    path.write_text(config_text(given, start, ""))
    read = resolve({}, None, str(path)).settings
    assert (read.network.hidden_size, read.training.from_scratch) == (None, False)


def test_a_deadline_leaves_time_for_the_judgement():
    clock = Clock(100.0)
    assert 59 < clock.search_left <= 60
    assert 94 < clock.left <= 95
    assert (Clock(None).search_left, Clock(None).left, Clock(None).until) == (None, None, None)


def test_series_without_a_validation_origin_are_refused():
    settings = settings_of(forecast={"horizon": 2})
    _, plan = plan_of(settings, (7,))
    with pytest.raises(InputError) as caught:
        _check_validation(replace(plan, validation=np.full_like(plan.validation, -1)))
    assert caught.value.code == "input/too-short-to-tune"


def test_tune_writes_its_folder_and_goes_on_in_it(tmp_path, monkeypatch, capsys):
    """Its trials are processes; the two that are judged are trained here."""
    monkeypatch.setattr(learning, "train_members", taught_here)
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_bytes(csv_bytes(panel_to_arrow(make_panel((60, 50)))))
    words = ["tune", "data.csv", "--max-steps", "4", "--members", "1", "--from-scratch"]
    words += ["--networks", "lstm", "--layers", "1", "--hidden", "8", "--out", "found"]
    assert run([*words, "--trials", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [trial["trial"] for trial in first["trials"]] == [1, 2]
    assert {"study.db", "tuned.yaml", "trials.csv", "tuning.json"} == {
        path.name for path in Path("found").iterdir() if path.name != ".lstmcast.json"
    }
    assert run([*words, "--trials", "3"]) == 0
    shown = capsys.readouterr()
    assert "2 of them known" in shown.err
    assert "(defaults)" in shown.out
    kept = json.loads(Path("found/tuning.json").read_text())
    assert kept["trials"] == 3
    assert kept["data"]["digest"]
    assert kept["settings"]["training"]["max_steps"] == 4
