"""The network and baselines combined: weights, forecasts, and the column Blend."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecast import backtest, predict, train
from forecast.common.errors import ModelDamagedError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS, Forecast
from forecast.evaluation.significance import verdict
from forecast.models.store import load_model
from forecast.training import selection
from forecast.workflows import combination
from forecast.workflows import train as train_workflow
from forecast.workflows.combination import (
    BUDGET,
    Combination,
    blended,
    combinations,
    combine,
    weigh,
)
from tests.builders import reword
from tests.teaching import taught_here
from tests.test_train import rows, table

HALF = Combination({"LSTM": 0.5, "DynamicOptimizedTheta": 0.5})


def made(name, value, *, size=2, steps=3, width=1.0, source=None):
    """A forecast of `value` everywhere, its quantiles `width` apart."""
    levels = np.array(LEVELS)
    quantiles = value + width * (np.arange(len(levels)) - len(levels) // 2)
    return Forecast(
        name=name,
        origins=np.zeros(size, dtype=np.int64),
        point=np.full((size, steps), float(value)),
        levels=levels,
        quantiles=np.broadcast_to(quantiles, (size, steps, len(levels))).copy(),
        source=np.array(source or [name] * size, dtype=object),
        available=np.ones(size, bool),
    )


def both(**theta):
    return {
        "LSTM": made("LSTM", 10.0),
        "DynamicOptimizedTheta": made("DynamicOptimizedTheta", 20.0, width=3.0, **theta),
    }


def test_combinations_share_out_ten_tenths_and_begin_with_the_network_alone():
    shares = combinations(3)
    assert shares[0].tolist() == [1, 0, 0]
    assert np.allclose(shares.sum(axis=1), 1)
    assert len({tuple(each) for each in shares}) == len(shares) == 66


def test_weights_are_those_of_the_least_error_where_many_origins_agree():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60)
    errors = np.stack([truth + 1, truth - 1]) - truth  # the mean of both is right
    losses = np.abs(combinations(2) @ errors)
    weights, why = weigh(["LSTM", "Theta"], losses)
    assert weights == {"LSTM": 0.5, "Theta": 0.5}
    assert "0" in why and "of LSTM alone 1" in why


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        (np.repeat(np.linspace(1, 2, 11)[:, None], 50, 1), "no weight of Theta lowers"),
        (np.repeat(np.linspace(1, 0.999, 11)[:, None], 19, 1), "too small a gain"),
        (np.linspace(1, 0.5, 11)[:, None], "too small a gain, or too unsure"),
        (np.empty((11, 0)), "too little data"),
    ],
    ids=["the network is best", "next to no gain", "one origin", "none"],
)
def test_the_network_stays_alone_where_its_loss_says_nothing_else(losses, why):
    weights, said = weigh(["LSTM", "Theta"], losses)
    assert weights is None and why in said


def test_a_fifth_of_theta_is_usual_where_it_is_better_and_nothing_is_clearly():
    rng = np.random.default_rng(1)
    pull = np.array([[w[1], w[2]] for w in combinations(3)]) @ [-0.004, 0.002]
    unsure = 1 + pull[:, None] + rng.normal(0, 0.001, (66, 40))
    weights, why = weigh(["LSTM", "Theta", "Naive"], unsure)
    assert weights == {"LSTM": 0.8, "Theta": 0.2, "Naive": 0.0}
    assert "the usual weights" in why
    assert weigh(["LSTM", "Theta", "Naive"], unsure[:, :19])[0] is None  # too few to go on
    worse = unsure + 0.01 * (combinations(3)[:, [1]] == 0.2)
    assert weigh(["LSTM", "Theta", "Naive"], worse)[0] is None


def test_points_and_quantiles_are_means_by_weight():
    blend = combine(both(), HALF)
    assert blend.name == "Blend" and set(blend.source) == {"Blend"}
    assert np.allclose(blend.point, 15.0)
    steps = np.arange(len(LEVELS)) - len(LEVELS) // 2
    assert np.allclose(blend.quantiles, 15.0 + 2.0 * steps)


def test_a_part_without_a_forecast_of_its_own_leaves_its_weight_to_the_others():
    parts = both(source=["DynamicOptimizedTheta", "SeasonalNaive"])
    blend = combine(parts, HALF)
    assert blend.point[:, 0].tolist() == [15.0, 10.0]
    assert blend.source.tolist() == ["Blend", "LSTM"]
    assert "of 1 series DynamicOptimizedTheta has no forecast of its own" in blend.notes[0]


def test_a_series_that_the_budget_did_not_reach_is_the_networks_alone():
    parts = both()
    theta = parts["DynamicOptimizedTheta"]
    theta.point[1], theta.quantiles[1] = np.nan, np.nan
    theta.available[1], theta.source[1] = False, ""
    blend = combine(parts, HALF)
    assert np.isfinite(blend.point).all() and np.isfinite(blend.quantiles).all()
    assert blend.source.tolist() == ["Blend", "LSTM"]


def test_intervals_are_stretched_around_the_median_at_any_levels_and_stay_above_zero():
    factors = tuple(2.0 if level != 0.5 else 1.0 for level in LEVELS)
    wide = combine(both(), Combination(HALF.weights, factors))
    plain = combine(both(), HALF)
    middle = len(LEVELS) // 2
    assert np.allclose(wide.quantiles[..., middle], plain.quantiles[..., middle])
    assert np.allclose(wide.quantiles[..., -1] - 15, 2 * (plain.quantiles[..., -1] - 15))
    low = {name: made(name, 6.0) for name in ("LSTM", "DynamicOptimizedTheta")}
    assert combine(low, Combination(HALF.weights, factors)).quantiles.min() == 0.0


def test_there_is_no_blend_where_a_part_was_not_computed():
    assert blended({"LSTM": [made("LSTM", 1.0)]}, HALF) == {}
    assert blended({name: [each] for name, each in both().items()}, None) == {}


# --- Through the commands ------------------------------------------------------------------------

QUICK = dict(max_steps=5, hidden=8, members=1, from_scratch=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in which Theta has a weight: a network of five steps from random weights is worse."""
    folder = tmp_path_factory.mktemp("blended")
    table().to_csv(folder / "data.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "train_members", taught_here)
        patch.setattr(combination, "LEAST_PAIRS", 1)
        patch.setattr(
            combination,
            "weigh",
            lambda names, losses: ({names[0]: 0.5, names[1]: 0.5}, "as the test says"),
        )
        run = train(folder / "data.csv", out=str(folder / "run"), baselines="theta", **QUICK)
        tested = backtest(
            folder / "data.csv", out=str(folder / "bt"), baselines="theta", windows=1, **QUICK
        )
    return folder, run, tested


def test_train_writes_the_blend_beside_its_parts_and_scores_it(trained):
    _, run, _ = trained
    made = rows(run.folder / "predictions.csv")
    for row in made:
        mean = (float(row["LSTM"]) + float(row["DynamicOptimizedTheta"])) / 2
        assert float(row["Blend"]) == pytest.approx(mean, rel=1e-4)
        assert float(row["Blend-lo-80"]) <= float(row["Blend"]) <= float(row["Blend-hi-80"])
    scored = json.loads((run.folder / "metrics.json").read_text())
    assert [each["model"] for each in scored["models"]] == [
        "LSTM",
        "DynamicOptimizedTheta",
        "Blend",
    ]
    assert "Blend" in rows(run.folder / "backtest.csv")[0]


def test_predict_combines_with_the_frozen_weights_as_train_did(trained):
    folder, run, _ = trained
    then = rows(run.folder / "predictions.csv")
    predict(folder / "data.csv", model=run.folder, output=str(folder / "again.csv"))
    now = rows(folder / "again.csv")
    wanted = [name for name in then[0] if name.startswith(("LSTM", "Blend"))]
    assert [[row[n] for n in wanted] for row in now] == [[row[n] for n in wanted] for row in then]


def test_without_blend_predict_gives_the_network_alone(trained):
    folder, run, _ = trained
    predict(folder / "data.csv", model=run.folder, output=str(folder / "one.csv"), blend=False)
    assert not [name for name in rows(folder / "one.csv")[0] if name.startswith("Blend")]


def test_a_backtest_has_the_blend_in_its_table(trained):
    *_, tested = trained
    assert "Blend" in [score.model for score in tested.result.scores.scores]


def test_the_verdict_takes_the_blend_for_no_rival_of_its_own_part(trained):
    *_, run, _ = trained
    said = verdict(run.result.scores)
    assert "Blend was the most accurate" not in said
    assert "Blend, its mean with baselines, has" in said
    assert np.isnan(run.result.scores.score("Blend").best)
    page = (run.folder / "report.html").read_text()
    assert "than Blend" not in page and '"rival":"DynamicOptimizedTheta"' in page


@pytest.mark.parametrize(
    ("old", "new"),
    [('"DynamicOptimizedTheta": 0.5', '"Prophet": 0.5'), ('"LSTM": 0.5', '"LSTM": 0.9')],
    ids=["no such baseline", "weights that do not add up"],
)
def test_a_manifest_with_another_blend_is_refused(trained, tmp_path, old, new):
    import shutil

    _, run, _ = trained
    shutil.copytree(run.folder / "model", tmp_path / "model")
    reword(tmp_path / "model" / "manifest.json", old, new)
    with pytest.raises(ModelDamagedError, match="blend"):
        load_model(tmp_path / "model")


def test_nothing_is_fitted_for_a_blend_where_no_baseline_is(tmp_path, monkeypatch):
    table().to_csv(tmp_path / "data.csv", index=False)
    monkeypatch.setattr(selection, "train_members", taught_here)
    monkeypatch.setattr(combination, "statistical", None)  # would fail if it were called
    run = train(tmp_path / "data.csv", out=str(tmp_path / "run"), baselines="none", **QUICK)
    assert "blend" not in [name for name, *_ in run.result.chosen]


def test_weighing_and_fitting_what_is_blended_share_one_budget(monkeypatch):
    class Slow:
        """A clock by which weighing takes 30 seconds."""

        now = 0.0

        def elapsed(self):
            return self.now

        def left_for(self, wanted):
            return wanted

    clock = Slow()

    def choose(panel, plan, network, settings, budget, listener):
        assert budget == BUDGET
        clock.now += 30
        return HALF, ("blend", "half", "")

    monkeypatch.setattr(train_workflow, "choose_combination", choose)
    found, why, left = train_workflow.weighted(None, None, None, None, Settings(), clock, Silent())
    assert (found, why, left) == (HALF, (("blend", "half", ""),), BUDGET - 30)
