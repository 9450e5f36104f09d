from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from forecast import train
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.inference.predict import forecast_panel
from forecast.models.store import load_model
from forecast.training import learn as learning
from forecast.training import selection
from forecast.training.plan import PRETRAINED, make_plan
from forecast.training.selection import SCRATCH, TUNED, USUAL, as_it_is, blend_of, choose, with_kind
from forecast.transforms.windows import step_layout
from tests.builders import make_panel, random_forecaster
from tests.teaching import taught_here
from tests.workflows.test_train import table

rng = np.random.default_rng(0)
NOISE = 1 + 0.2 * rng.standard_normal(40)


def test_the_usual_blend_stays_where_another_is_better_by_luck():
    luck = {USUAL: NOISE, (SCRATCH,): NOISE + np.resize([0.3, -0.32], 40)}
    assert luck[(SCRATCH,)].mean() < NOISE.mean()
    assert choose(luck) == USUAL


def test_a_blend_that_is_better_again_and_again_is_kept():
    assert choose({USUAL: NOISE, (TUNED,): NOISE - 0.1, (SCRATCH,): NOISE + 0.1}) == (TUNED,)


def test_two_hundredths_are_no_gain_however_sure():
    assert choose({USUAL: NOISE, (TUNED,): NOISE * 0.98}) == USUAL
    assert choose({USUAL: NOISE, (TUNED,): NOISE * 0.95}) == (TUNED,)


def test_one_origin_of_one_series_decides_nothing():
    assert choose({USUAL: np.array([2.0]), (SCRATCH,): np.array([0.1])}) == USUAL


@pytest.mark.parametrize(("count", "gain", "kept"), [(4, 0.05, False), (4, 0.12, True)])
def test_fewer_losses_ask_for_more(count, gain, kept):
    """Five hundredths are enough on forty losses, and not on four."""
    few = NOISE[:count]
    assert choose({USUAL: few, (TUNED,): few * (1 - gain)}) == ((TUNED,) if kept else USUAL)
    assert choose({USUAL: NOISE, (TUNED,): NOISE * (1 - gain)}) == (TUNED,)


def test_a_lead_on_four_windows_that_comes_and_goes_is_no_lead():
    usual = np.array([0.62, 0.48, 0.55, 0.53])
    luck = usual - np.array([0.35, 0.02, 0.30, 0.05])
    assert choose({USUAL: usual, (SCRATCH,): luck}) == USUAL


def test_of_few_values_nothing_is_kept_without_the_pretrained_network(monkeypatch):
    """One series of daily visits: from scratch 0.366, pretrained 0.544 on validation; later, the
    network from scratch had twice the pretrained one's error."""
    panel = make_panel((120,))
    plan = plan_of(panel)
    kinds = {
        kind: with_kind([as_it_is(plan.start.weights)], kind)
        for kind in (PRETRAINED, TUNED, SCRATCH)
    }
    flattering = {
        blend: np.full(40, 0.3 if blend == (SCRATCH,) else 0.5)
        for size in (1, 2, 3)
        for blend in combinations(kinds, size)
    }
    monkeypatch.setattr(selection, "_losses", lambda panel, plan, trained: flattering)
    members, reasons = blend_of(panel, plan, kinds)
    assert PRETRAINED in {member.kind for member in members}
    assert reasons[0][2].endswith("from scratch 0.3 is lower, but few values are all that it knows")
    long = make_panel((400,) * 10)
    members, _ = blend_of(long, plan_of(long), kinds)
    assert {member.kind for member in members} == {SCRATCH}


def test_without_the_usual_blend_the_best_is_kept():
    assert choose({(TUNED,): NOISE, (SCRATCH,): NOISE - 1e-6}) == (SCRATCH,)


@pytest.mark.parametrize("season", [1, 12])
def test_the_unit_is_the_error_of_seasonal_naive_inside_the_past(season):
    panel = make_panel((60, 8, 1), missing=0.1)
    unit = selection.naive_error(panel, season)
    for s in range(2):
        y = panel.values[panel.offsets[s] : panel.offsets[s + 1]]
        lag = season if len(y) > season else 1
        assert unit[s] == pytest.approx(np.nanmean(np.abs(y[lag:] - y[:-lag])))
    assert np.isnan(unit[2])


def plan_of(panel):
    settings = Settings.model_validate({"forecast": {"horizon": 6}, "data": {"season": 12}})
    return make_plan(panel, (12,), settings)


def test_the_reason_names_a_better_blend_that_was_not_kept():
    losses = {(TUNED,): NOISE, USUAL: NOISE * 0.99, (SCRATCH,): NOISE * 0.985}
    why = selection._why(losses, USUAL, losses)
    assert f"fine-tuned {NOISE.mean():.3g}" in why
    assert f"blended {NOISE.mean() * 0.99:.3g}" in why
    assert why.endswith(f"from scratch {NOISE.mean() * 0.985:.3g} is lower, but within chance")
    assert "chance" not in selection._why(losses, (SCRATCH,), losses)
    alike = {(TUNED,): NOISE, USUAL: NOISE, (SCRATCH,): NOISE * (1 - 1e-6)}
    assert "lower" not in selection._why(
        alike, USUAL, alike
    )  # of two figures that are shown as one


def test_of_one_kind_there_is_nothing_to_choose():
    panel = make_panel((80,) * 3)
    members = with_kind([as_it_is(random_forecaster(step_layout(12)).members[0])], SCRATCH)
    assert blend_of(panel, plan_of(panel), {SCRATCH: members}) == (members, ())


def test_weights_that_forecast_badly_are_not_kept():
    panel = make_panel((80,) * 30)
    plan = plan_of(panel)
    good = with_kind([as_it_is(plan.start.weights)], PRETRAINED)
    spoilt = {k: v + (5.0 if k == "out.bias" else 0.0) for k, v in plan.start.weights.items()}
    trained = {PRETRAINED: good, TUNED: with_kind([as_it_is(spoilt)], TUNED)}
    members, reasons = blend_of(panel, plan, trained)
    assert [member.kind for member in members] == [PRETRAINED]
    assert reasons[0][:2] == ("kept", PRETRAINED)
    assert "fine-tuned" in reasons[0][2]


def test_without_origins_to_validate_on_the_start_is_kept_as_it_is():
    panel = make_panel((7,))
    plan = plan_of(panel)
    trained = {
        PRETRAINED: with_kind([as_it_is(plan.start.weights)], PRETRAINED),
        TUNED: with_kind([as_it_is(plan.start.weights)], TUNED),
    }
    members, reasons = blend_of(panel, plan, trained)
    assert [member.kind for member in members] == [PRETRAINED]
    assert "too little data" in reasons[0][2]


def members_of(panel, monkeypatch, fine_tuned):
    """What `best_of_part` keeps of these and of members from scratch that fell behind."""
    plan = replace(plan_of(panel), compare=True)
    asked = []

    def trained(panel, plan, *rest):
        asked.append(plan)
        lost = replace(as_it_is(plan_of(panel).start.weights), ended="behind", best_loss=9.0)
        return (fine_tuned if plan.start.model is not None else [lost] * 2), [], False

    monkeypatch.setattr(learning, "_train", trained)
    learnt = learning.best_of_part(panel, plan, Settings(), Silent(), None)
    return learnt, asked


def test_members_that_no_step_improved_are_kept_once_as_the_pretrained_network(monkeypatch):
    panel = make_panel((80,) * 3)
    same = replace(as_it_is(plan_of(panel).start.weights), best_loss=1.0)
    learnt, asked = members_of(panel, monkeypatch, [same, same])
    assert [member.kind for member in learnt.members] == [PRETRAINED]
    assert learnt.reasons[0][:2] == ("kept", PRETRAINED)
    assert "no step of fine-tuning" in learnt.reasons[0][2]
    assert learnt.reasons[1][:2] == (SCRATCH, "given up")
    assert "over 5% behind" in learnt.reasons[1][2]
    assert asked[1].config.behind == pytest.approx(1.05)


def test_of_two_fine_tuned_members_the_one_that_moved_stays_beside_the_pretrained(monkeypatch):
    panel = make_panel((80,) * 3)
    same = replace(as_it_is(plan_of(panel).start.weights), best_loss=1.0)
    learnt, _ = members_of(panel, monkeypatch, [same, replace(same, best_step=25, best_loss=0.9)])
    assert [member.kind for member in learnt.members] == [PRETRAINED, TUNED]


def test_a_blend_of_networks_of_different_sizes_is_saved_and_forecasts(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    monkeypatch.setattr(learning, "NEAR", np.inf)
    monkeypatch.setattr(selection, "choose", lambda losses, usual: max(losses, key=len))
    run = train(
        table((72, 60)), out=str(tmp_path / "run"), max_steps=3, members=1, baselines="none"
    )
    kept = {name: value for name, value, _ in run.result.chosen}["kept"]
    assert kept == "pretrained + fine-tuned + from scratch"
    forecaster, manifest = load_model(tmp_path / "run" / "model")
    assert [len(weights["embed.bias"]) for weights in forecaster.members] == [128, 128, 64]
    assert manifest["network"]["shapes"] == [[128, 2], [128, 2], [64, 2]]
    assert np.isfinite(forecast_panel(forecaster, make_panel((60,)), 6).quantiles).all()
