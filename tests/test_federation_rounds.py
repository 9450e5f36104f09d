"""Rounds by Flower: what counts, what leaves a site, what privacy costs. Needs flwr."""

from __future__ import annotations

import numpy as np
import pytest
from test_federated import agreed, frame, site

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from forecast.common.errors import TrainingError
from forecast.common.progress import Silent
from forecast.training.federated import FIT, starting_weights
from forecast.workflows.federation import messages
from forecast.workflows.federation.rounds import (
    Checked,
    Federation,
    InProcess,
    in_process_contexts,
    noise_for,
    proposals_of,
)

SITES = [site(1), site(2), site(4)]
AGREEMENT = agreed(*SITES)
START = starting_weights(AGREEMENT, SITES[0].settings)


def program(sites):
    """The program of sites in this process, which keep nothing."""
    nothing = messages.keep_nothing
    return messages.make_client_app(lambda context: sites[context.node_id - 1], nothing, nothing)


def run(answers=None, agreement=AGREEMENT, **federation):
    """The rounds, and what was said of answers; answers: by node, what becomes of a site's own."""
    settings = SITES[0].settings
    asked = settings.federation.model_copy(update=federation)
    training = settings.training.model_copy(update={"refit": False})
    settings = settings.model_copy(update={"federation": asked, "training": training})
    app = messages.make_client_app(
        lambda c: SITES[c.node_id - 1], messages.keep_nothing, messages.keep_nothing
    )
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
    return Federation(checked, agreement, settings, Silent(), seeded=True).train(START), heard


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
    assert set(messages.judged(SITES[0], sent)["metrics"]) == {"loss"}


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
    app = messages.make_client_app(
        lambda c: sites[c.node_id - 1], messages.keep_nothing, messages.keep_nothing
    )
    found, out = proposals_of(InProcess(app, in_process_contexts(2)), [1, 2])
    assert (list(found), out) == ([1], {2: "federate/covariates"})


def test_simulate_leaves_a_model_for_every_site(tmp_path, lstmcast, monkeypatch):
    from teaching import taught_here

    monkeypatch.setattr("forecast.training.selection.train_members", taught_here)
    monkeypatch.chdir(tmp_path)
    for seed, name in ((1, "a"), (2, "b")):
        frame(seed).to_csv(f"{name}.csv", index=False)
    frame(3, freq="W").to_csv("c.csv", index=False)
    quick = ["--from-scratch", "--hidden", "8", "--max-steps", "3", "--rounds", "1", "--no-refit"]
    words = ["federate", "simulate", "a.csv", "b.csv", "c.csv", "--pooled", "--horizon", "4"]
    code, out, err = lstmcast(*words, *quick, "--baselines", "none", "--out", "out")
    assert code == 3, err
    assert "c.csv is left out" in err
    assert {"Federated", "Alone", "Pooled"} <= set(out.split())
    code, out, err = lstmcast("predict", "a.csv", "--model", "out/site-1", "--output", "next.csv")
    assert code == 0, err
    assert (tmp_path / "next.csv").read_text().count("\n") == 3 * 4 + 1
