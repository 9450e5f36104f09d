from __future__ import annotations

import math

import pytest

from forecast.scheduling.config import Freshness, Retrain
from forecast.scheduling.decisions import (
    CHALLENGER,
    CHAMPION,
    NAIVE,
    PRETRAINED,
    ModelFacts,
    Past,
    Trial,
    decide_freshness,
    decide_learning,
    decide_publication,
    decide_service,
    decide_whether_to_run,
    exit_code,
)

HOUR, DAY = 3600.0, 86400.0
RULES = Freshness(warn_after="26h", error_after="3d")
NONE = math.nan


@pytest.mark.parametrize(
    ("age", "rules", "choice"),
    [
        (HOUR, RULES, "fresh"),
        (26 * HOUR, RULES, "fresh"),
        (27 * HOUR, RULES, "old"),
        (3 * DAY + 1, RULES, "stale"),
        (1000 * DAY, Freshness(), "fresh"),
        (1000 * DAY, Freshness(warn_after=None), "not checked"),
        (None, RULES, "unknown"),
        (-HOUR, RULES, "fresh"),
        (4 * DAY, Freshness(error_after="3d"), "stale"),
    ],
)
def test_freshness(age, rules, choice):
    assert decide_freshness(age, rules).choice == choice


def test_an_age_of_years_is_told_in_years():
    assert "is 66 years old" in decide_freshness(24102 * DAY, Freshness(warn_after=None)).reason


PAST = Past("run-1", seen="d", config="c", model="m", intact=True)


@pytest.mark.parametrize(
    ("seen", "config", "model", "past", "choice", "why"),
    [
        ("d", "c", "m", PAST, "already done", "same data, job and model"),
        ("d", "c", None, PAST, "already done", "run-1"),
        ("d", "c", "m", None, "run", "nothing is published"),
        ("e", "c", "m", PAST, "run", "the data changed"),
        ("d", "x", "m", PAST, "run", "settings changed"),
        ("d", "c", "n", PAST, "run", "another model"),
        ("d", "c", "m", Past("run-1", "d", "c", "m", False), "run", "missing or were changed"),
    ],
)
def test_a_run_is_made_once_for_the_same_data_job_and_model(seen, config, model, past, choice, why):
    decision = decide_whether_to_run(seen, config, model, past)
    assert (decision.choice, why in decision.reason) == (choice, True)


@pytest.mark.parametrize(
    ("seen", "config", "past", "choice"),
    [
        ("d", "c", None, "rolled back"),
        ("d", "c", Past("older", "before", "c", "m", True), "rolled back"),
        ("e", "c", None, "run"),
        ("d", "x", None, "run"),
        ("d", "c", Past("again", "d", "c", "m", True), "already done"),  # asked for by name since
    ],
)
def test_what_was_rolled_back_is_not_published_again_of_the_same_data(seen, config, past, choice):
    decision = decide_whether_to_run(seen, config, "m", past, [PAST])
    assert decision.choice == choice
    if choice == "rolled back":
        assert "run-1 of the same data" in decision.reason


WELL = dict(exists=True, steps=24, seconds=DAY, horizon=24, live=1.0, promised=1.0, scored=1000,
            coverage={80.0: 0.8}, free=True)  # fmt: skip
OFF = Retrain(every=None, live_error_over=None, coverage_off=None, changed_series=None)


@pytest.mark.parametrize(
    ("facts", "policy", "choice", "why"),
    [
        (ModelFacts(exists=False), Retrain(), "train", "none yet"),
        (ModelFacts(**WELL), Retrain(), "reuse", "no rule asks"),
        (ModelFacts(**{**WELL, "misfit": "other frequency"}), OFF, "retrain", "other frequency"),
        (ModelFacts(**{**WELL, "changed": ("network.layers",)}), OFF, "retrain", "network.layers"),
        (ModelFacts(**{**WELL, "seconds": 7 * DAY}), Retrain(), "fine-tune", "7d"),
        (ModelFacts(**{**WELL, "seconds": 7 * DAY, "free": False}), Retrain(), "retrain", "7d"),
        (ModelFacts(**{**WELL, "seconds": 7 * DAY}), Retrain(fine_tune=False), "retrain", "7d"),
        (ModelFacts(**{**WELL, "seconds": 99 * DAY}), OFF, "reuse", "no rule"),
        (ModelFacts(**{**WELL, "seconds": None}), Retrain(), "reuse", "no rule"),
        (ModelFacts(**WELL), Retrain(new_points=24), "fine-tune", "24 new steps"),
        (ModelFacts(**WELL), Retrain(new_points=25), "reuse", "no rule"),
        (ModelFacts(**{**WELL, "live": 1.6}), Retrain(), "retrain", "1.5 times"),
        (ModelFacts(**{**WELL, "live": 1.6, "scored": 10}), Retrain(), "reuse", "no rule"),
        (ModelFacts(**{**WELL, "live": 1.6, "steps": 23}), Retrain(), "reuse", "23 new steps"),
        (ModelFacts(**{**WELL, "promised": math.nan, "live": 9}), Retrain(), "reuse", "no rule"),
        (ModelFacts(**{**WELL, "coverage": {80.0: 0.6}}), Retrain(), "retrain", "held 60%"),
        (ModelFacts(**{**WELL, "coverage": {80.0: 0.97}}), Retrain(), "retrain", "held 97%"),
        (ModelFacts(**{**WELL, "coverage": {80.0: 0.7}}), Retrain(), "reuse", "no rule"),
        (ModelFacts(**{**WELL, "series_changed": 0.2}), Retrain(), "fine-tune", "20%"),
        (ModelFacts(**{**WELL, "series_changed": 0.05}), Retrain(), "reuse", "no rule"),
    ],
)  # fmt: skip
def test_when_a_model_is_reused_fine_tuned_or_trained_anew(facts, policy, choice, why):
    decision = decide_learning(facts, policy)
    assert (decision.choice, why in decision.reason) == (choice, True), decision


@pytest.mark.parametrize(
    ("challenger", "champion", "pretrained", "naive", "fits", "refused", "choice"),
    [
        (0.8, NONE, 0.9, 1.0, False, False, CHALLENGER),
        (0.8, NONE, 0.7, 1.0, False, False, PRETRAINED),
        (0.8, NONE, NONE, 1.0, False, False, CHALLENGER),
        (0.8, 0.9, 0.7, 1.0, True, False, CHALLENGER),
        (0.8, 0.7, 0.9, 1.0, True, False, CHAMPION),
        (0.8, 0.8, 0.9, 1.0, True, False, CHAMPION),
        (0.8, 0.9, 0.9, 1.0, True, False, CHALLENGER),
        (0.8, NONE, 0.9, 1.0, True, False, CHALLENGER),
        (1.1, 0.9, 0.9, 1.0, True, False, CHAMPION),
        (1.1, 1.2, 0.9, 1.0, True, False, PRETRAINED),
        (1.1, 1.2, 1.3, 1.0, True, False, NAIVE),
        (1.0, NONE, 1.3, 1.0, False, False, NAIVE),
        (1.1, NONE, 0.9, 1.0, False, False, PRETRAINED),
        (0.8, NONE, 0.9, NONE, False, False, CHALLENGER),
        (NONE, NONE, NONE, NONE, False, False, CHALLENGER),
        (NONE, NONE, NONE, NONE, True, False, CHAMPION),
        (0.1, 0.9, 0.9, 1.0, True, True, CHAMPION),
        (0.1, NONE, 0.9, 1.0, False, True, PRETRAINED),
    ],
)
def test_a_new_model_serves_only_if_it_beats_seasonal_naive_and_the_one_in_service(
    challenger, champion, pretrained, naive, fits, refused, choice
):
    trial = Trial(challenger, champion, pretrained, naive, fits, refused)
    assert decide_service(trial).choice == choice


@pytest.mark.parametrize(
    ("challenger", "champion", "pretrained", "naive", "fits", "choice", "why"),
    [
        (0.98, NONE, 0.95, 1.87, False, PRETRAINED, "no better than the pretrained network (the c"),
        (0.95, NONE, 0.95, 1.87, False, PRETRAINED, "no better than the pretrained network (the c"),
        (0.94, NONE, 0.95, 1.87, False, CHALLENGER, "naive and the pretrained network (the champ"),
        (0.94, NONE, NONE, 1.87, False, CHALLENGER, "it beats seasonal naive: MASE new 0.9400, s"),
        (0.98, 0.99, 0.95, 1.87, True, CHALLENGER, "naive and the model in service: MASE"),
        (0.98, 0.97, 0.99, 1.87, True, CHAMPION, "no better than the model in service: MASE"),
    ],
)
def test_where_no_trained_model_serves_the_pretrained_network_is_the_one_to_beat(
    challenger, champion, pretrained, naive, fits, choice, why
):
    decision = decide_service(Trial(challenger, champion, pretrained, naive, fits))
    assert (decision.choice, why in decision.reason) == (choice, True), decision.reason


@pytest.mark.parametrize(
    ("failed", "series", "most", "choice"),
    [
        (0, 10, 0.0, "publish"),
        (1, 10, 0.0, "refuse"),
        (5, 100, 0.05, "publish"),
        (6, 100, 0.05, "refuse"),
        (0, 0, 0.05, "refuse"),
        (3, 3, 1.0, "publish"),
    ],
)
def test_too_many_failed_series_are_not_published(failed, series, most, choice):
    assert decide_publication(failed, series, most).choice == choice


@pytest.mark.parametrize(("fallbacks", "lost", "code"), [(0, 0, 0), (1, 0, 3), (0, 1, 3)])
def test_the_exit_code_says_that_something_was_done_only_in_part(fallbacks, lost, code):
    assert exit_code(fallbacks, lost) == code
