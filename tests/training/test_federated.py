"""Training together: what is agreed, a site's own part, and what may not count. Without Flower."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import DataSettings, Settings
from forecast.data.load import panel_from_frame
from forecast.training.federated import (
    FIT,
    REFIT,
    Agreement,
    Site,
    agree,
    fault_of,
    fault_of_count,
    starting_weights,
    together,
)
from forecast.training.loop import fit
from forecast.training.plan import make_plan
from forecast.transforms.windows import step_layout
from forecast.workflows.federate import (
    ALONE,
    FEDERATED,
    MEAN,
    POOLED,
    gap_closed,
    names_of,
    pool,
    simulate_run,
    sites_in,
    train_together,
)
from tests.builders import make_panel, train_config


def frame(seed: int, series: int = 3, length: int = 48, freq: str = "MS") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    months = pd.date_range("2019-01-01", periods=length, freq=freq)
    wave = 10 * np.sin(np.arange(length) * 2 * np.pi / 12)
    parts = [
        pd.DataFrame(
            {"id": f"s{s}", "time": months, "y": 50 + seed + wave + rng.normal(size=length)}
        )
        for s in range(series)
    ]
    return pd.concat(parts, ignore_index=True)


def site(seed: int, name: str | None = None, **how) -> Site:
    settings = Settings(
        training={"seed": 3, "from_scratch": True, "max_steps": 4},
        network={"hidden_size": 8, "layers": 1},
        federation={"rounds": 2, "local_steps": 3},
        forecast={"horizon": 4},
        baselines={"names": ["seasonal-naive"]},
    )
    panel, report = panel_from_frame(frame(seed, **how), DataSettings())
    return Site(name or f"site {seed}", panel, report, settings)


def agreed(*sites: Site) -> Agreement:
    proposals = {each.name: each.proposal() for each in sites}
    return agree(proposals, sites[0].settings)[0]


def test_most_sites_say_what_a_step_is_and_the_others_are_named():
    sites = [site(1), site(2, length=40), site(3, freq="W")]
    agreement, out = agree({s.name: s.proposal() for s in sites}, sites[0].settings)
    assert (agreement.alias, agreement.horizon, agreement.local_steps) == ("MS", 4, 3)
    assert list(out) == ["site 3"]
    assert "W-" in out["site 3"]


def test_a_horizon_is_one_that_every_site_can_do():
    sites = [site(1), site(2)]
    proposals = {s.name: s.proposal() for s in sites}
    proposals["site 2"] = replace(proposals["site 2"], horizon=2, windows=1)
    agreement, _ = agree(proposals, sites[0].settings)
    assert (agreement.horizon, agreement.windows) == (2, 1)


def test_one_site_alone_agrees_with_nobody():
    sites = [site(1), site(3, freq="W")]
    with pytest.raises(InputError, match="fewer than two sites"):
        agree({s.name: s.proposal() for s in sites}, sites[0].settings)


def test_where_no_site_proposes_anything_each_one_s_reason_is_told():
    unable = {"north": "federate/covariates", "south": "input/too-short"}
    with pytest.raises(InputError, match="fewer than two sites") as caught:
        agree({}, site(1).settings, unable)
    assert "north: federate/covariates; south: input/too-short" in str(caught.value)
    with pytest.raises(InputError, match="north: federate/covariates"):
        agree({"east": site(1).proposal()}, site(1).settings, {"north": "federate/covariates"})


def test_days_of_over_a_year_are_trained_together_without_the_calendar_that_train_tries():
    days = replace(site(1, freq="D", length=430), settings=Settings())
    assert make_plan(days.panel, days.report.seasons, Settings()).tried
    proposed = days.proposal()
    assert (proposed.alias, bool(proposed.layout.long)) == ("D", True)
    other = replace(site(2, freq="D", length=430), settings=Settings())
    agreement, out = agree({"a": proposed, "b": other.proposal()}, Settings())
    assert days.plan(agreement).design is None and not out


def test_an_agreement_travels_as_text_and_settles_what_is_shared():
    agreement = agreed(site(1), site(2))
    assert Agreement.of(agreement.text()) == agreement
    own = Settings(training={"seed": 9}, network={"hidden_size": 32}, output={"root": "mine"})
    settled = agreement.settings(own)
    assert (settled.training.seed, settled.network.hidden_size) == (3, 8)
    assert (settled.training.members, settled.output.root) == (1, "mine")
    with pytest.raises(InputError, match="no agreement of this version"):
        Agreement.of('{"alias": "MS"}')


def test_a_site_of_another_grid_refuses_the_agreement():
    with pytest.raises(InputError, match="another frequency than the other sites'"):
        site(3, freq="W").plan(agreed(site(1), site(2)))


def test_a_site_with_a_calendar_does_not_take_part():
    one = site(1)
    settings = one.settings.model_copy(update={"data": DataSettings(calendar=True)})
    with pytest.raises(UsageError, match="no covariates and no calendar"):
        replace(one, settings=settings).proposal()


def test_pretrained_and_random_starts_fit_what_sites_train():
    one, two = site(1), site(2)
    agreement = agreed(one, two)
    random = starting_weights(agreement, one.settings)
    found, count = one.learn(agreement, random, 1, FIT)
    assert fault_of({name: found[name] for name in random}, random) is None
    assert 0 < count < np.isfinite(one.panel.values).sum()
    again = starting_weights(agreement, one.settings)
    assert all(np.array_equal(random[name], again[name]) for name in random)
    usual = agreement.shared | {"network": {}, "training": {"seed": 3}}
    pretrained = starting_weights(replace(agreement, shared=usual), Settings())
    assert len(pretrained["norm.bias"]) > 8


def test_a_round_is_the_same_again_and_another_at_another_site_or_in_another_round():
    one, agreement = site(1), agreed(site(1), site(2))
    start = starting_weights(agreement, one.settings)

    def learnt(who: Site, number: int, phase: str = FIT) -> bytes:
        return who.learn(agreement, start, number, phase)[0]["out.weight"].tobytes()

    first = learnt(one, 1)
    assert first == learnt(site(1), 1)
    others = [learnt(replace(one, name="other"), 1), learnt(one, 2), learnt(one, 1, REFIT)]
    assert len({first, *others}) == 4


def test_a_round_sees_nothing_from_the_first_validation_origin_on():
    one, agreement = site(1), agreed(site(1), site(2))
    plan, start = one.plan(agreement), starting_weights(agreed(site(1), site(2)), one.settings)
    first = plan.validation.min(0)
    assert (first > 0).all() and (first < plan.keep).all()
    values = one.panel.values.copy()
    for s, origin in enumerate(first):
        values[one.panel.offsets[s] + origin : one.panel.offsets[s + 1]] *= 5
    other = replace(one, panel=replace(one.panel, values=values), _plans={agreement.text(): plan})
    found = [who.learn(agreement, start, 1, FIT)[0] for who in (one, other)]
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert one.loss(plan, start) != other.loss(plan, start)


def test_the_proximal_term_draws_back_to_the_start():
    panel, layout = make_panel((60, 50)), step_layout(12)
    config = train_config(steps=20, context=24, seed=1)
    start = fit(panel.values, panel.offsets, layout, replace(config, steps=1)).weights

    def away(proximal: float) -> float:
        found = fit(
            panel.values, panel.offsets, layout, config, initial=start, proximal=proximal
        ).weights
        return sum(float(((found[name] - start[name]) ** 2).sum()) for name in start)

    assert away(100.0) < 0.5 * away(0.0)


def test_weights_that_cannot_count_are_told_apart():
    wanted = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.float32)}
    assert fault_of({name: array + 1 for name, array in wanted.items()}, wanted) is None
    assert "other tensors: b" in fault_of({"a": wanted["a"]}, wanted)
    assert "another order" in fault_of({"b": wanted["b"], "a": wanted["a"]}, wanted)
    assert "float32 3x2" in fault_of({**wanted, "a": np.zeros((3, 2), np.float32)}, wanted)
    assert "float64" in fault_of({**wanted, "b": np.zeros(2)}, wanted)
    for odd in (np.nan, np.inf):
        assert "not finite" in fault_of({**wanted, "b": np.full(2, odd, np.float32)}, wanted)


@pytest.mark.parametrize("count", [0, -1, float("nan"), float("inf"), 1e300, True, "7", None])
def test_counts_that_cannot_be_are_told_apart(count):
    assert fault_of_count(count) is not None
    assert fault_of_count(7) is None


def test_a_column_says_whose_a_series_is(tmp_path):
    rows = frame(1)
    rows["state"] = rows["id"].map({"s0": "north", "s1": "south", "s2": "north"})
    path = tmp_path / "all.csv"
    rows.to_csv(path, index=False)
    settings = Settings(data={"target_col": "y"})
    found = sites_in(str(path), "state", settings, Silent())
    assert {each.name: each.panel.ids.tolist() for each in found} == {
        "north": ["s0", "s2"],
        "south": ["s1"],
    }
    assert found[0].panel.frequency.alias == "MS"
    assert found[0].panel.covariates is None
    assert len(sites_in(str(path), "id", settings, Silent())) == 3
    rows.loc[rows["id"] == "s1", "state"] = None
    rows.to_csv(path, index=False)
    with pytest.raises(InputError, match="does not say whose"):
        sites_in(str(path), "state", settings, Silent())


def test_series_of_one_name_at_several_sites_are_each_site_s_own(tmp_path):
    both = [frame(n).assign(site=name) for n, name in ((1, "St. Mary's"), (2, "north"))]
    pd.concat(both).to_csv(tmp_path / "all.csv", index=False)
    for data in ({"target_col": "y"}, {"target_col": "y", "id_col": "id,site"}):
        settings = Settings(data=data)
        found = sites_in(str(tmp_path / "all.csv"), "site", settings, Silent())
        assert [(s.name, s.panel.size) for s in found] == [("St. Mary's", 3), ("north", 3)]


def test_sites_are_called_by_their_files():
    assert names_of(["a/x.csv", "b/y.csv"]) == ["x.csv", "y.csv"]
    assert names_of(["a/x.csv", "b/x.csv"]) == ["a/x.csv", "b/x.csv"]
    with pytest.raises(UsageError, match="named twice"):
        names_of(["a.csv", "./a.csv"])


def test_the_gap_is_a_share_of_what_pooling_gains():
    def rows(alone, federated, pooled):
        names = ((ALONE, alone), (FEDERATED, federated), (POOLED, pooled))
        return [{"site": MEAN, "model": n, "mase": v, "wql": None} for n, v in names]

    assert gap_closed(rows(1.0, 0.85, 0.8)) == {"mase": pytest.approx(0.75)}
    assert gap_closed(rows(0.8, 0.8, 0.9)) == {}
    assert gap_closed(rows(1.0, 0.9, None)) == {}


def test_pooled_training_sees_no_held_out_window(monkeypatch):
    from forecast.workflows import federate

    sites = [site(1), site(2, length=40)]
    agreement = agreed(*sites)
    start = starting_weights(agreement, sites[0].settings)
    made = [federate.Trained.made(each, agreement, start, start, 1) for each in sites]
    seen = {}
    monkeypatch.setattr(
        federate,
        "learn",
        lambda panel, plan, *rest: (
            seen.update(panel=panel, plan=plan)
            or type("L", (), {"members": together(start, start, 1, 0.0)})
        ),
    )
    pool(made, agreement, Silent())
    keep = np.concatenate([each.plan.keep for each in made])
    assert np.array_equal(seen["plan"].keep, keep)
    assert (keep < seen["panel"].lengths).all()
    assert seen["panel"].size == 6 and len(set(seen["panel"].ids)) == 6
    assert ((seen["plan"].validation < keep) | (seen["plan"].validation < 0)).all()


def test_without_flower_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("forecast.common.resources.find_spec", lambda module: None)
    with pytest.raises(UsageError) as caught:
        simulate_run(["a.csv", "b.csv"], Settings(), Silent())
    assert caught.value.code == "usage/extra-missing"
    assert "lstmcast[federated]" in caught.value.remedy


@pytest.mark.parametrize("inside", ["", "from flwr import nothing", "import no_such_library"])
def test_with_a_part_of_flower_the_extra_is_named_as_well(tmp_path, monkeypatch, inside):
    (tmp_path / "flwr").mkdir()
    (tmp_path / "flwr" / "__init__.py").write_text("")
    if inside:
        (tmp_path / "flwr" / "app.py").write_text(inside)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"flwr": ["flwr"]})
    before = {n: m for n, m in sys.modules.items() if n.startswith("flwr") or "federation." in n}
    for name in before:
        del sys.modules[name]
    try:
        with pytest.raises(UsageError) as caught:
            train_together([], Settings(), Silent())
    finally:
        for name in [n for n in sys.modules if n.startswith("flwr") or "federation." in n]:
            del sys.modules[name]
        sys.modules.update(before)
    assert caught.value.code == "usage/extra-missing"
    if inside == "import no_such_library":
        assert caught.value.remedy == "pip install 'lstmcast[federated]'"
    else:
        assert caught.value.remedy.startswith("pip install --force-reinstall --no-deps 'flwr")


def test_noise_is_not_counted_for_steps_of_adam(monkeypatch):
    monkeypatch.setattr("forecast.workflows.federate.check_installed", lambda *given: None)
    settings = Settings(federation={"epsilon": 8, "strategy": "fedadam"})
    with pytest.raises(UsageError, match="fedadam goes on"):
        simulate_run(["a.csv", "b.csv"], settings, Silent())


def test_one_file_is_one_site(monkeypatch):
    monkeypatch.setattr("forecast.workflows.federate.check_installed", lambda *given: None)
    with pytest.raises(UsageError, match="one file is one site"):
        simulate_run(["a.csv"], Settings(), Silent())
    settings = Settings(federation={"site_col": "state"})
    with pytest.raises(UsageError, match="one file holds all sites"):
        simulate_run(["a.csv", "b.csv"], settings, Silent())


def test_the_command_knows_one_action(lstmcast):
    code, _, err = lstmcast("federate", "simulat", "a.csv")
    assert code == 2
    assert "federate/action" in err


def test_an_app_takes_no_option_of_a_training_and_says_how_it_is_run(tmp_path, lstmcast):
    code, _, err = lstmcast("federate", "app", str(tmp_path / "app"), "--rounds", "5")
    assert (code, (tmp_path / "app").exists()) == (2, False)
    assert "takes no options" in err and "--rounds" in err
    code, out, err = lstmcast("federate", "app", str(tmp_path / "app"))
    assert code == 0, err
    assert "--run-config \"state='rounds' sites=2\"" in out
