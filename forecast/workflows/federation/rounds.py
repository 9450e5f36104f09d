"""The server's side: rounds of Flower's strategies over any of its grids.

The grid of a deployment sends messages to sites far away; `InProcess` calls them one after the
other. Whatever arrives is looked at before it counts. Imported only where flwr is installed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedProx,
    Strategy,
)
from flwr.supercore.privacy_accounting import NeighboringRelation, PrivacyConfig, SamplingMethod
from flwr.supercore.privacy_accounting.rdp_accountant import RdpAccountant
from flwr.supercore.task_identity import TaskIdentity

from forecast.common.errors import TrainingError
from forecast.common.progress import Listener
from forecast.common.resources import needed
from forecast.config.schema import FederationSettings, Settings
from forecast.models.networks.numpy_ops import Weights
from forecast.training.federated import (
    FIT,
    REFIT,
    Agreement,
    Proposal,
    fault_of,
    fault_of_count,
)
from forecast.training.learn import REFIT_SHARE
from forecast.workflows.federation.messages import (
    ARRAYS,
    CONFIG,
    COUNT,
    EVALUATE,
    FINAL,
    FINISH,
    LOSS,
    METRICS,
    PROPOSE,
    REFUSED,
    as_record,
    as_weights,
    proposal_of,
)
from forecast.workflows.federation.standing import Standing

LEAST_SITES = 2
STALE = 4  # rounds without a gain after which no more are made
POLL = 1.0  # seconds between two looks at who is connected
MOMENTS = ("m_t", "v_t")  # of fedadam: its state from round to round


# --- Grids: sites in this process, and a look at what any grid brings ----------------------------


class InProcess(Grid):
    """A grid whose sites are called in this process, one after the other, always in one order.

    contexts: by node, what a site's program is given to find its site by.
    """

    def __init__(self, app: ClientApp, contexts: Mapping[int, Context]) -> None:
        self._app, self._contexts = app, dict(contexts)

    def set_run(self, run: Any) -> None:
        """Nothing: a simulation is no run of a SuperLink."""

    @property
    def run(self) -> Any:
        """None: a simulation is no run of a SuperLink."""
        return None

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):  # type: ignore[no-untyped-def]
        """As Message(...)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """All sites, those that are left out as well."""
        return sorted(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Not used: a call is answered at once."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Not used: a call is answered at once."""
        raise NotImplementedError

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002
    ) -> Iterable[Message]:
        """The replies, in the order of the sites: sums of numbers depend on it."""
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        return [self._app(each, self._contexts[each.metadata.dst_node_id]) for each in ordered]


def in_process_contexts(sites: int) -> dict[int, Context]:
    """What each site's program is given, by node, from 1. This process is the server, node 0."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0
    return {n: Context(1, n, {}, RecordDict(), {}) for n in range(1, sites + 1)}


def quiet() -> None:
    """Flower tells of every step on stderr; ours has its own words."""
    logging.getLogger("flwr").setLevel(logging.ERROR)


class Checked(Grid):
    """Another grid, whose replies to a round count only where they can.

    taking_part: the nodes that the strategy is told of; wanted: what weights have to look like;
    hear: gets node and reason of every reply that does not count; wait: seconds that a round waits
    for a node that is not connected, once each time that it is lost.
    """

    def __init__(
        self,
        grid: Grid,
        taking_part: Iterable[int],
        wanted: Weights,
        hear: Callable[[int, str], None],
        wait: float = 0.0,
    ) -> None:
        self.inner, self._wanted, self._hear, self._wait = grid, wanted, hear, wait
        self._lost: set[int] = set()
        self.taking_part = sorted(taking_part)

    def set_run(self, run: Any) -> None:
        """As the grid."""
        self.inner.set_run(run)

    @property
    def run(self) -> Any:
        """As the grid."""
        return self.inner.run

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):  # type: ignore[no-untyped-def]
        """As the grid."""
        return self.inner.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """The sites that take part."""
        return self.taking_part

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid."""
        return self.inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """As the grid."""
        return self.inner.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """The replies; those that cannot count as errors that say why."""
        sent = {message.metadata.dst_node_id: message for message in messages}
        self._await(set(sent))
        going = [message for node, message in sent.items() if node not in self._lost]
        replies = list(self.inner.send_and_receive(going, timeout=timeout)) if going else []
        replies.sort(key=lambda reply: reply.metadata.src_node_id)
        for node in sorted(set(sent) - {reply.metadata.src_node_id for reply in replies}):
            lost = node in self._lost
            self._hear(node, "it is not connected" if lost else "no answer in time")
        return [self._looked_at(reply, sent) for reply in replies]

    def _await(self, nodes: set[int]) -> None:
        """Waits until these are connected, or have been waited for; those that are not are lost."""
        end = time.monotonic() + self._wait
        while (missing := nodes - set(self.inner.get_node_ids())) - self._lost:
            if time.monotonic() >= end:
                break
            time.sleep(POLL)
        self._lost = missing

    def _looked_at(self, reply: Message, sent: Mapping[int, Message]) -> Message:
        node = reply.metadata.src_node_id
        if reply.has_error():
            self._hear(node, str(reply.error.reason or f"error {reply.error.code}"))
            return reply
        fault = _fault_of_reply(reply.content, self._wanted)
        if fault is None:
            return reply
        self._hear(node, fault)
        return Message(Error(REFUSED, fault), reply_to=sent[node])


def _fault_of_reply(content: RecordDict, wanted: Weights) -> str | None:
    """Why a reply to a round cannot count; None where it can."""
    if list(content.array_records) != [ARRAYS] or list(content.metric_records) != [METRICS]:
        return "other records than weights and figures"
    fault = fault_of_count(content.metric_records[METRICS].get(COUNT))
    if fault is not None:
        return fault
    try:
        arrays = as_weights(content.array_records[ARRAYS])
    except Exception as error:  # whatever numpy makes of foreign bytes
        return f"weights that cannot be read: {type(error).__name__}"
    return fault_of(arrays, wanted)


# --- Strategies ----------------------------------------------------------------------------------


def strategy_of(asked: FederationSettings, sites: int, noise: float | None) -> Strategy:
    """Flower's strategy; all `sites` take part in every round. noise: of differential privacy, in
    clipping norms, None for none."""
    usual: dict[str, Any] = {
        "fraction_evaluate": 0.0,
        "min_train_nodes": sites,
        "min_available_nodes": sites,
        # Figures are read off the replies themselves; a mean of them would say less.
        "train_metrics_aggr_fn": lambda replies, weighted_by: None,
    }
    if asked.strategy == "fedprox":
        inner: FedAvg = FedProx(**usual, proximal_mu=asked.proximal)
    elif asked.strategy == "fedadam":
        inner = FedAdam(**usual, eta=asked.server_rate)
    else:
        inner = FedAvg(**usual)
    if noise is None:
        return inner
    return DifferentialPrivacyServerSideFixedClipping(
        inner, noise, asked.clip_norm, sites, accountant=accountant_of(asked, sites)
    )


def releases(asked: FederationSettings, refit: bool) -> int:
    """Rounds in all: those that the validation origins watch, and those over all data."""
    return asked.rounds + (rounds_of_refit(asked) if refit else 0)


def rounds_of_refit(asked: FederationSettings) -> int:
    return max(1, round(REFIT_SHARE * asked.rounds))


# --- The rounds ----------------------------------------------------------------------------------


class Judged(NamedTuple):
    """How weights validate at a site, and of how many observations it is."""

    loss: float
    observations: int


@dataclass(frozen=True)
class Federation:
    """What the rounds of one training have in common.

    grid: `Checked`; seeded: whether the noise is drawn from the seed, as in a simulation, where a
    deployment's has to be one that nobody can draw again; place: folder where a server saves where
    it stands and goes on from; timeout: seconds that a round may take.
    """

    grid: Checked
    agreement: Agreement
    settings: Settings
    listener: Listener
    seeded: bool = False
    place: Path | None = None
    timeout: float | None = None

    @property
    def asked(self) -> FederationSettings:
        """How the sites train together."""
        return self.settings.federation

    def train(self, start: Weights) -> Standing:
        """All rounds from `start`. Raises TrainingError where none brought anything."""
        asked, refit = self.asked, self.settings.training.refit
        noise = noise_for(asked, releases(asked, refit)) if asked.epsilon is not None else None
        strategy = strategy_of(asked, len(self.grid.taking_part), noise)
        at = self._restore(start, strategy)
        done = at.fitted(REFIT)
        if not done:
            self._fit(at, strategy)
        if not any(row["counted"] for row in at.history):
            raise TrainingError(
                "no round brought weights of two sites that could be averaged",
                code="federate/no-round",
                remedy="Look at what each site said, mend it, and start again",
            )
        if not done:
            at.weights = dict(at.best)
        for _ in range(done, rounds_of_refit(asked) if refit and at.best_round else 0):
            self._round(at, strategy, REFIT)
        return at

    def _fit(self, at: Standing, strategy: Strategy) -> None:
        """The rounds that the validation origins watch."""
        patience = min(self.settings.training.patience, STALE)
        while at.number < self.asked.rounds and at.idle < patience:
            self._round(at, strategy, FIT)
        if self.agreement.private:
            at.best, at.best_round = dict(at.weights), at.number
        elif at.number == self.asked.rounds:
            self._take_note(at, self._losses(at.weights), at.number)

    def _round(self, at: Standing, strategy: Strategy, phase: str) -> None:
        number = at.number + 1
        config = ConfigRecord({"agreement": self.agreement.text(), "round": number, "phase": phase})
        messages = strategy.configure_train(number, as_record(at.weights), config, self.grid)
        replies = list(self.grid.send_and_receive(messages, timeout=self.timeout))
        good = [reply for reply in replies if reply.has_content()]
        if phase == FIT and not self.agreement.private:
            self._take_note(at, _losses_in(good), at.number)
        counted = len(good) if len(good) >= LEAST_SITES else 0
        if counted:
            with _noise(self.settings.training.seed + number if self.seeded else None):
                merged, _ = strategy.aggregate_train(number, replies)
            if merged is None:
                counted = 0
            else:
                names = list(at.weights)
                found = as_weights(cast(Any, merged))
                at.weights = {name: np.asarray(found[name], np.float32) for name in names}
        else:
            # The mean of one site is that site's weights, which nobody else is to have.
            self.listener.warn("federate/round", f"round {number}: fewer than two sites answered")
        at.number, at.epsilon = number, _spent(strategy)
        row = {"round": number, "phase": phase, "counted": counted, "validation": None}
        at.history.append({**row, "epsilon": at.epsilon})
        self.listener.progress(number, releases(self.asked, self.settings.training.refit), {})
        self._save(at, strategy)

    def _take_note(self, at: Standing, losses: Mapping[str, Judged], number: int) -> None:
        """Of the weights after `number` rounds: how they validate, beside those of the start.

        Weighted by observations, as in the mean of weights: what the rows of all, put together,
        would say. A site that is missing is so on both sides.
        """
        for node, judged in losses.items():
            at.first.setdefault(node, judged.loss)
        before = sum(judged.observations * at.first[node] for node, judged in losses.items())
        if not before > 0:  # nothing watches: the latest are kept
            at.best, at.best_round = dict(at.weights), number
            return
        mean = sum(judged.observations * judged.loss for judged in losses.values()) / before
        if number:
            at.history[-1]["validation"] = mean
        if mean < at.best_loss:
            at.best, at.best_round, at.best_loss, at.idle = dict(at.weights), number, mean, 0
        else:
            at.idle += 1

    def _losses(self, weights: Weights) -> dict[str, Judged]:
        """How these weights validate at each site."""
        config = ConfigRecord({"agreement": self.agreement.text()})
        content = RecordDict({ARRAYS: as_record(weights), CONFIG: config})
        replies = self.ask(EVALUATE, content)
        return _losses_in([reply for reply in replies.values() if reply.has_content()])

    def ask(self, kind: str, content: RecordDict) -> dict[int, Message]:
        """Sends the same to every site that takes part: the replies by node."""
        return ask(self.grid.inner, self.grid.taking_part, kind, content, self.timeout)

    def finish(self, at: Standing) -> dict[int, Message]:
        """Gives every site the network."""
        about: dict[str, Any] = {
            "agreement": self.agreement.text(),
            "rounds": at.number,
            "best-round": at.best_round,
            "sites": len(self.grid.taking_part),
            "strategy": self.asked.strategy,
        }
        if at.epsilon is not None:
            about |= {"epsilon": at.epsilon, "delta": self.asked.delta}
        records = {ARRAYS: as_record(at.best), FINAL: as_record(at.weights)}
        return self.ask(FINISH, RecordDict({**records, CONFIG: ConfigRecord(about)}))

    # A server that is killed goes on after the last whole round.

    def _digest(self) -> str:
        return json.dumps(
            [self.agreement.text(), self.asked.model_dump_json(), self.grid.taking_part]
        )

    def _restore(self, start: Weights, strategy: Strategy) -> Standing:
        """Where an unfinished training of the same agreement, settings and sites stands, or the
        start; the strategy is brought there too."""
        place = self.place
        at = Standing.restored(place, self._digest(), start) if place is not None else None
        if at is None:
            return Standing(dict(start), dict(start))
        self.listener.note(f"going on after round {at.number}")
        inner = getattr(strategy, "strategy", strategy)
        for name, moment in at.moments.items():
            setattr(inner, name, moment)
        accountant = getattr(strategy, "accountant", None)
        if accountant is not None and at.ledger is not None:
            accountant.load_state_dict(json.loads(at.ledger))
        return at

    def _save(self, at: Standing, strategy: Strategy) -> None:
        inner = getattr(strategy, "strategy", strategy)
        found = {name: getattr(inner, name, None) for name in MOMENTS}
        at.moments = {name: dict(moment) for name, moment in found.items() if moment}
        accountant = getattr(strategy, "accountant", None)
        at.ledger = accountant and json.dumps(accountant.state_dict())
        if self.place is not None:
            at.save(self.place, self._digest())


def ask(
    grid: Grid, nodes: Iterable[int], kind: str, content: RecordDict, timeout: float | None
) -> dict[int, Message]:
    """Sends the same to each of the nodes: their replies."""
    messages = [Message(content, node, kind) for node in nodes]
    replies = grid.send_and_receive(messages, timeout=timeout)
    return {
        r.metadata.src_node_id: r for r in sorted(replies, key=lambda r: r.metadata.src_node_id)
    }


def proposals_of(
    grid: Grid, nodes: Iterable[int], timeout: float | None = None
) -> tuple[dict[int, Proposal], dict[int, str]]:
    """What each site would train alone; of those that said nothing of the kind, why not."""
    nodes = sorted(nodes)
    replies = ask(grid, nodes, PROPOSE, RecordDict({CONFIG: ConfigRecord({})}), timeout)
    found, out = {}, {node: "no answer in time" for node in nodes if node not in replies}
    for node, reply in replies.items():
        if reply.has_error():
            out[node] = str(reply.error.reason or f"error {reply.error.code}")
            continue
        try:
            found[node] = proposal_of(reply.content)
        except (KeyError, TypeError, ValueError):
            out[node] = "an answer that is no proposal"
    return found, out


def _losses_in(replies: Iterable[Message]) -> dict[str, Judged]:
    found = {}
    for reply in replies:
        figures = reply.content.metric_records[METRICS]
        loss, count = figures.get(LOSS), figures.get(COUNT)
        if isinstance(loss, float) and np.isfinite(loss) and fault_of_count(count) is None:
            found[str(reply.metadata.src_node_id)] = Judged(loss, int(cast(int, count)))
    return found


# --- Privacy -------------------------------------------------------------------------------------


@contextmanager
def _noise(seed: int | None) -> Iterator[None]:
    """Flower draws its noise from numpy's global generator; seeded, the same again."""
    if seed is None:
        yield
        return
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)


def noise_for(asked: FederationSettings, count: int) -> float:
    """Standard deviation of the noise, in clipping norms, with which `count` releases spend at most
    epsilon. Raises UsageError where dp-accounting is not installed."""
    dp = needed("dp_accounting", "federated", "--epsilon")
    from dp_accounting.rdp import RdpAccountant as Accountant

    return float(
        dp.calibrate_dp_mechanism(
            Accountant,
            lambda noise: dp.SelfComposedDpEvent(dp.GaussianDpEvent(noise), count),
            asked.epsilon,
            asked.delta,
        )
    )


def accountant_of(asked: FederationSettings, sites: int) -> RdpAccountant:
    """Counts what every round spends. Each site is in each round: chance hides nobody."""
    return RdpAccountant(
        PrivacyConfig(
            target_delta=asked.delta,
            population_size=sites,
            neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
            sampling_method=SamplingMethod.NO_AMPLIFICATION,
        )
    )


def _spent(strategy: Strategy) -> float | None:
    accountant = getattr(strategy, "accountant", None)
    if accountant is None or not accountant.num_releases:
        return None
    return float(accountant.get_privacy_spent().epsilon)
