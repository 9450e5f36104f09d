"""Rounds by Flower: what counts, what leaves a site, what privacy costs. Needs flwr."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.test_federated import agreed, frame, site

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from forecast.common.errors import ModelDamagedError, TrainingError, UsageError
from forecast.common.progress import Silent
from forecast.training.federated import FIT, starting_weights
from forecast.workflows.federation import messages
from forecast.workflows.federation.rounds import (
    Checked,
    Federation,
    InProcess,
    Judged,
    in_process_contexts,
    noise_for,
    proposals_of,
)
from forecast.workflows.federation.standing import Standing

SITES = [site(1), site(2), site(4)]
AGREEMENT = agreed(*SITES)
START = starting_weights(AGREEMENT, SITES[0].settings)


def program(sites):
    """The program of sites in this process, which keep nothing."""
    nothing = messages.keep_nothing
    return messages.make_client_app(lambda context: sites[context.node_id - 1], nothing, nothing)


def run(answers=None, agreement=AGREEMENT, place=None, refit=False, **federation):
    """The rounds, and what was said of answers; answers: by node, what becomes of a site's own."""
    settings = SITES[0].settings
    asked = settings.federation.model_copy(update=federation)
    training = settings.training.model_copy(update={"refit": refit})
    settings = settings.model_copy(update={"federation": asked, "training": training})
    app = program(SITES)
    grid, heard = InProcess(app, in_process_contexts(len(SITES))), []
    plain = grid.send_and_receive

    def send(sent, *, timeout=None):
        replies = []
        for reply in plain(sent, timeout=timeout):
            change = (answers or {}).get(reply.metadata.src_node_id)
            changed = (
                reply
                if change is None or "train" not in reply.metadata.message_type
                else (change(reply))
            )
            replies += [] if changed is None else [changed]
        return replies

    grid.send_and_receive = send
    checked = Checked(grid, [1, 2, 3], START, lambda node, why: heard.append((node, why)))
    rounds = Federation(checked, agreement, settings, Silent(), seeded=True, place=place)
    return rounds.train(START), heard


def with_weights(change):
    def changed(reply):
        arrays = messages.as_weights(reply.content.array_records["arrays"])
        content = RecordDict(dict(reply.content))
        content["arrays"] = ArrayRecord({k: Array(v) for k, v in change(arrays).items()})
        reply.content = content
        return reply

    return changed


def test_the_network_is_the_mean_of_the_sites_weighted_by_observations():
    at, heard = run(rounds=1)
    own = [each.learn(AGREEMENT, START, 1, FIT) for each in SITES]
    counts = [count for _, count in own]
    for name in START:
        mean = np.average([weights[name] for weights, _ in own], axis=0, weights=counts)
        assert np.allclose(at.weights[name], mean, atol=1e-6), name
    assert heard == []


def test_one_seed_gives_the_same_bytes_again():
    first, again = run()[0], run()[0]
    assert all(np.array_equal(first.weights[name], again.weights[name]) for name in START)
    assert first.history == again.history


@pytest.mark.parametrize("strategy", ["fedprox", "fedadam"])
def test_other_strategies_give_other_networks(strategy):
    plain = run(rounds=1)[0].weights
    agreement = agreed(*SITES)
    if strategy == "fedprox":
        from dataclasses import replace

        agreement = replace(agreement, proximal=50.0)
    other = run(rounds=1, strategy=strategy, proximal=50.0, agreement=agreement)[0].weights
    assert any(not np.array_equal(plain[name], other[name]) for name in START)
    assert all(np.isfinite(array).all() for array in other.values())


def spoilt(arrays):
    return {**arrays, "out.weight": np.full_like(arrays["out.weight"], np.nan)}


def reshaped(arrays):
    return {**arrays, "out.weight": arrays["out.weight"][:1]}


def greedy(reply):
    reply.content["metrics"] = MetricRecord({"num-examples": 10**15})
    return reply


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_weights(spoilt), "not finite"),
        (with_weights(reshaped), "not float32"),
        (with_weights(lambda arrays: {"other": np.zeros(1, np.float32)}), "other tensors"),
        (greedy, "cannot be"),
        (lambda reply: None, "no answer in time"),
    ],
)
def test_an_answer_that_cannot_count_is_left_out_and_named(change, words):
    at, heard = run({2: change}, rounds=1)
    assert [node for node, _ in heard] == [2]
    assert words in heard[0][1]
    own = [SITES[n].learn(AGREEMENT, START, 1, FIT) for n in (0, 2)]
    mean = np.average([w["out.weight"] for w, _ in own], axis=0, weights=[c for _, c in own])
    assert np.allclose(at.weights["out.weight"], mean, atol=1e-6)


def test_a_mean_of_one_site_is_not_handed_to_the_others():
    with pytest.raises(TrainingError, match="no round brought weights of two sites"):
        run({1: lambda reply: None, 2: lambda reply: None}, rounds=1)


class Killed(Exception):
    """What ends a server in the middle of a round."""


def dies_in_round(number):
    """An answer of a site with which the server dies in this round."""
    seen = []

    def answer(reply):
        seen.append(reply)
        if len(seen) == number:
            raise Killed
        return reply

    return answer


@pytest.mark.parametrize(
    "how",
    [
        {"strategy": "fedavg", "rounds": 3, "refit": True},
        {"strategy": "fedadam", "rounds": 3},
        {"strategy": "fedavg", "rounds": 3, "epsilon": 8.0, "clip_norm": 0.01},
    ],
)
@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_server_that_is_killed_goes_on_to_the_same_bytes(tmp_path, how, number):
    if "epsilon" in how:
        from dataclasses import replace

        pytest.importorskip("dp_accounting")
        how = {**how, "agreement": replace(AGREEMENT, private=True)}
    whole, _ = run(**how)
    if number <= whole.number:
        with pytest.raises(Killed):
            run({2: dies_in_round(number)}, place=tmp_path, **how)
    again, _ = run(place=tmp_path, **how)
    assert again.history == whole.history
    assert (again.best_round, again.epsilon) == (whole.best_round, whole.epsilon)
    for name in START:
        assert np.array_equal(again.weights[name], whole.weights[name]), name
        assert np.array_equal(again.best[name], whole.best[name]), name


def test_the_rounds_of_another_training_are_not_gone_on_from(tmp_path):
    run(place=tmp_path, rounds=1)
    with pytest.raises(UsageError, match="other sites or settings"):
        run(place=tmp_path, rounds=2)


@pytest.mark.parametrize("at", [5, 300, -300, -5])
def test_a_damaged_file_of_the_rounds_is_named_and_changes_nothing(tmp_path, at):
    run(place=tmp_path, rounds=1)
    file = tmp_path / "rounds.safetensors"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelDamagedError, match="cannot be read"):
        run(place=tmp_path, rounds=1)
    assert file.read_bytes() == content


def test_a_site_that_is_not_connected_is_waited_for_once():
    heard, asked = [], []
    grid = InProcess(program(SITES), in_process_contexts(3))
    grid.get_node_ids = lambda: asked.append(1) or [1, 3]
    checked = Checked(grid, [1, 2, 3], START, lambda node, why: heard.append((node, why)), wait=0.1)
    content = RecordDict({"config": messages.ConfigRecord({})})
    sent = [messages.Message(content, node, "query.propose") for node in (1, 2, 3)]
    for _ in range(2):
        checked.send_and_receive(sent)
    assert [why for node, why in heard if node == 2] == ["it is not connected"] * 2
    assert len(asked) == 3


class At:
    """What Flower gives a program of a site or of the server."""

    def __init__(self, **words):
        self.node_config = self.run_config = words


def test_a_site_of_a_deployment_reads_its_own_files_and_keeps_an_ordinary_run(
    tmp_path, lstmcast, capsys
):
    from forecast.workflows.federation import apps

    frame(1).to_csv(tmp_path / "north.csv", index=False)
    (tmp_path / "site.yaml").write_text(
        "network: {hidden_size: 8, layers: 1}\n"
        "training: {from_scratch: true, max_steps: 4, refit: false}\nforecast: {horizon: 4}\n"
    )
    words = {"data": str(tmp_path / "north.csv"), "config": str(tmp_path / "site.yaml")}
    context = At(**words, out=str(tmp_path / "model"))
    found = apps.find_site(context)
    agreement = agreed(found, site(2))
    start = starting_weights(agreement, found.settings)
    apps.finish(context, found, agreement, start, start, {"rounds": 2, "best-round": 1})
    assert "the network of all sites is in" in capsys.readouterr().out
    predict = ["predict", words["data"], "--model", str(tmp_path / "model"), "--output", "-"]
    code, out, err = lstmcast(*predict)
    assert code == 0, err
    assert out.count("\n") == 1 + 3 * agreement.horizon
    with pytest.raises(UsageError, match="says nothing of out"):
        apps.find_site(At(**words))


def test_the_text_of_an_error_stays_at_the_site():
    def broken(context):
        raise ValueError("the secret is 1250.50")

    told = []
    app = messages.make_client_app(broken, messages.keep_nothing, told.append)
    found, out = proposals_of(InProcess(app, in_process_contexts(1)), [1])
    assert (found, out) == ({}, {1: "federate/refused"})
    assert "1250.50" in str(told[0])


def test_the_app_of_a_deployment_starts_these_programs(tmp_path, lstmcast):
    import tomllib

    code, _, err = lstmcast("federate", "app", str(tmp_path / "app"))
    assert code == 0, err
    project = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text())
    names = {}
    exec((tmp_path / "app" / "lstmcast_federated" / "__init__.py").read_text(), names)
    for kind in ("client", "server"):
        assert project["tool"]["flwr"]["app"]["components"][f"{kind}app"].endswith(f":{kind}")
        assert type(names[kind]).__name__ == f"{kind.title()}App"


def test_what_leaves_a_site():
    leaves = messages.proposed(SITES[0])
    assert set(leaves) == {"config"}
    assert set(leaves["config"]) == {
        "alias", "integer", "horizon", "season", "context", "windows", "count", "layout-width",
        "layout-chunk", "layout-season", "layout-long", "layout-level_window",
    }  # fmt: skip
    config = {"agreement": AGREEMENT.text(), "round": 1, "phase": FIT}
    sent = RecordDict(
        {"arrays": messages.as_record(START), "config": messages.ConfigRecord(config)}
    )
    leaves = messages.learnt(SITES[0], sent)
    assert set(leaves) == {"arrays", "metrics"}
    assert {k: a.shape for k, a in messages.as_weights(leaves["arrays"]).items()} == {
        name: array.shape for name, array in START.items()
    }
    assert set(leaves["metrics"]) == {"num-examples", "loss"}
    assert set(messages.judged(SITES[0], sent)["metrics"]) == {"num-examples", "loss"}
    sent["final"] = sent["arrays"]
    assert dict(messages.done(SITES[0], sent, messages.keep_nothing)["config"]) == {}


def test_rounds_are_judged_as_the_rows_of_all_would_be():
    at, federation = Standing(dict(START), dict(START)), Federation(None, None, None, Silent())
    federation._take_note(at, {"1": Judged(0.5, 10), "2": Judged(0.5, 1000)}, 0)
    at.history.append({"round": 1})
    federation._take_note(at, {"1": Judged(0.1, 10), "2": Judged(0.51, 1000)}, 1)
    assert at.best_round == 0  # much gained at a small site, a little lost at a large one
    assert at.history[-1]["validation"] == pytest.approx((0.1 * 10 + 510) / 505)


def private(epsilon=8.0):
    from dataclasses import replace

    return {
        "epsilon": epsilon, "clip_norm": 0.01, "agreement": replace(AGREEMENT, private=True)
    }  # fmt: skip


def test_private_rounds_send_no_counts_and_spend_what_was_asked():
    pytest.importorskip("dp_accounting")
    how = private()
    config = {"agreement": how["agreement"].text(), "round": 1, "phase": FIT}
    sent = RecordDict(
        {"arrays": messages.as_record(START), "config": messages.ConfigRecord(config)}
    )
    assert dict(messages.learnt(SITES[0], sent)["metrics"]) == {"num-examples": 1}
    at, _ = run(**how)
    assert 7.0 < at.epsilon <= 8.0
    asked = SITES[0].settings.federation.model_copy(update={"epsilon": 8.0})
    expected = noise_for(asked, 2) * 0.01 / 3 * np.sqrt(2)  # two rounds' noise, of three sites
    moved = np.concatenate([(at.weights[name] - START[name]).ravel() for name in START])
    assert moved.std() == pytest.approx(expected, rel=0.1)


def test_a_private_round_that_a_site_missed_is_not_used():
    pytest.importorskip("dp_accounting")
    with pytest.raises(TrainingError):
        run({2: lambda reply: None}, **private())


def test_a_site_that_has_nothing_to_propose_is_named(monkeypatch):
    from dataclasses import replace

    from forecast.config.schema import DataSettings

    settings = SITES[1].settings.model_copy(update={"data": DataSettings(calendar=True)})
    sites = [SITES[0], replace(SITES[1], settings=settings)]
    app = program(sites)
    found, out = proposals_of(InProcess(app, in_process_contexts(2)), [1, 2])
    assert (list(found), out) == ([1], {2: "federate/covariates"})


def test_simulate_leaves_a_model_for_every_site(tmp_path, lstmcast, monkeypatch):
    from tests.teaching import taught_here

    monkeypatch.setattr("forecast.training.learn.train_members", taught_here)
    monkeypatch.chdir(tmp_path)
    for seed, name in ((1, "a"), (2, "b")):
        frame(seed).to_csv(f"{name}.csv", index=False)
    frame(3, freq="W").to_csv("c.csv", index=False)
    quick = ["--from-scratch", "--hidden", "8", "--max-steps", "3", "--rounds", "1"]
    quick += ["--set", "training.refit=false"]
    words = ["federate", "simulate", "a.csv", "b.csv", "c.csv", "--pooled", "--horizon", "4"]
    code, out, err = lstmcast(*words, *quick, "--baselines", "none", "--out", "out")
    assert code == 3, err
    assert "c.csv is left out" in err
    assert {"Federated", "Alone", "Pooled"} <= set(out.split())
    code, out, err = lstmcast("predict", "a.csv", "--model", "out/site-1", "--output", "next.csv")
    assert code == 0, err
    assert (tmp_path / "next.csv").read_text().count("\n") == 3 * 4 + 1
