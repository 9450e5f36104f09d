"""The network and baselines combined: weights, forecasts, and the column Blend."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from forecast import backtest, predict, train
from forecast.common.errors import ModelDamagedError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS, Forecast
from forecast.evaluation.significance import verdict
from forecast.models.store import load_model
from forecast.training import learn as learning
from forecast.transforms.windows import segment_layout
from forecast.workflows import combination
from forecast.workflows import train as train_workflow
from forecast.workflows.combination import (
    BUDGET,
    Combination,
    blended,
    choose_combination,
    combine,
    weigh,
)
from tests.builders import make_panel, reword
from tests.teaching import taught_here
from tests.workflows.test_train import rows, table

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


USUAL = Combination({"LSTM": 0.8, "Theta": 0.2})


@pytest.mark.parametrize(
    ("mixed", "count", "kept", "why"),
    [
        (0.9, 20, True, "error on validation origins 0.9 as 0.8 LSTM + 0.2 Theta, of LSTM alone 1"),
        (1.004, 40, True, "of LSTM alone 1"),  # within chance
        (1.01, 40, False, "error on validation origins 1.01 as"),
        (0.5, 19, False, "too few series could be fitted in time"),
        (0.5, 0, False, "too few series could be fitted in time"),
    ],
)
def test_a_fifth_of_theta_is_kept_unless_validation_origins_speak_against_it(
    mixed, count, kept, why
):
    losses = np.stack([np.ones(count), np.full(count, mixed)])
    found, said = weigh(losses, USUAL)
    assert found is kept and why in said


def test_nothing_is_fitted_to_data_of_several_values_a_day(monkeypatch):
    monkeypatch.setattr(combination, "statistical", None)  # would fail if it were called
    panel = make_panel((600,) * 30, 24)
    plan = SimpleNamespace(layout=segment_layout(24), validation=panel.lengths[None] - 48)
    network = SimpleNamespace(name="LSTM")
    found, reason = choose_combination(panel, plan, network, Settings(), 9.0, Silent())
    assert found is None and reason == ("blend", "none", combination.SEVERAL_A_DAY)


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
        patch.setattr(learning, "train_members", taught_here)
        patch.setattr(combination, "LEAST_PAIRS", 1)
        patch.setattr(combination, "WEIGHT", 0.5)
        patch.setattr(combination, "TOLERANCE", 1e9)
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


def test_a_quantile_as_the_point_is_the_blends_own(trained):
    folder, run, _ = trained
    made = predict(folder / "data.csv", model=run.folder, point="0.9", quantiles=(0.9,))
    np.testing.assert_allclose(made["LSTM"], made["LSTM-q0.9"], rtol=1e-6)
    np.testing.assert_allclose(made["Blend"], made["Blend-q0.9"], rtol=1e-6)


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
    monkeypatch.setattr(learning, "train_members", taught_here)
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
