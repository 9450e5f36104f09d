"""The messages between the server and a site, as Flower carries them.

All that leaves a site is made here, by `proposed`, `learnt`, `judged` and `done`; tests list it.
Imported only where flwr is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp

from forecast.common.errors import ForecastError
from forecast.models.networks.numpy_ops import Weights
from forecast.training.federated import Agreement, Proposal, Site
from forecast.transforms.windows import Layout

PROPOSE, EVALUATE, FINISH = "query.propose", "evaluate", "query.finish"
ARRAYS, FINAL, CONFIG, METRICS = "arrays", "final", "config", "metrics"
COUNT, LOSS = "num-examples", "loss"
REFUSED = 1001  # code of an error that says why a site, or the server, refuses a message
FAILED = "federate/refused"

FindSite = Callable[[Context], Site]
Finish = Callable[[Context, Site, Agreement, Weights, Weights, Mapping[str, Any]], None]
Tell = Callable[[Exception], None]


def as_record(weights: Weights) -> ArrayRecord:
    """The weights as Flower sends them, in their order."""
    return ArrayRecord({name: Array(np.asarray(a, np.float32)) for name, a in weights.items()})


def as_weights(record: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The weights of a record, as they came."""
    return {name: np.array(array.numpy()) for name, array in record.items()}


def make_client_app(find_site: FindSite, finish: Finish, tell: Tell) -> ClientApp:
    """The site's program: it proposes, learns in rounds, and at the end is given the network.

    finish: takes Flower's context, the site, the agreement, the weights that its held-out windows
    judge, those that have seen all data, and what the server says of the training. tell: hears, at
    the site, of what went wrong there; of that only a code leaves it, for a text may hold a value
    of the data.
    """
    app = ClientApp()

    def answered(message: Message, work: Callable[[], RecordDict]) -> Message:
        try:
            return Message(work(), reply_to=message)
        except Exception as error:  # whatever it is, its text stays
            tell(error)
            code = error.code if isinstance(error, ForecastError) else FAILED
            return Message(Error(REFUSED, code or FAILED), reply_to=message)

    @app.query("propose")
    def propose(message: Message, context: Context) -> Message:
        return answered(message, lambda: proposed(find_site(context)))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return answered(message, lambda: learnt(find_site(context), message.content))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return answered(message, lambda: judged(find_site(context), message.content))

    @app.query("finish")
    def end(message: Message, context: Context) -> Message:
        return answered(
            message, lambda: done(find_site(context), message.content, partial(finish, context))
        )

    return app


def keep_nothing(*_: Any) -> None:
    """For a simulation, whose sites share a process with whoever writes their models."""


def proposed(site: Site) -> RecordDict:
    """What a site says of its data before training; the lengths in observations."""
    plain = asdict(site.proposal())
    layout = plain.pop("layout")
    plain |= {f"layout-{name}": value for name, value in layout.items()}
    return RecordDict({CONFIG: ConfigRecord(plain)})


def proposal_of(content: RecordDict) -> Proposal:
    """The proposal in a reply. Raises KeyError, TypeError where it is none."""
    plain = dict(content.config_records[CONFIG])
    layout = {
        k.removeprefix("layout-"): plain.pop(k) for k in list(plain) if k.startswith("layout-")
    }
    return Proposal(**plain, layout=Layout(**layout))  # type: ignore[arg-type]


def learnt(site: Site, content: RecordDict) -> RecordDict:
    """A site's weights after a round; of how many observations, and how good the weights that it
    was sent are on its validation origins. Private: the weights alone, and 1 for the count."""
    config = content.config_records[CONFIG]
    agreement = Agreement.of(str(config["agreement"]))
    weights = as_weights(content.array_records[ARRAYS])
    number, phase = int(config["round"]), str(config["phase"])  # type: ignore[arg-type]
    loss = float("nan") if agreement.private else site.loss(site.plan(agreement), weights)
    found, count = site.learn(agreement, weights, number, phase)
    metrics = {COUNT: 1} if agreement.private else {COUNT: count, LOSS: loss}
    ordered = {name: found[name] for name in weights}
    return RecordDict({ARRAYS: as_record(ordered), METRICS: MetricRecord(metrics)})


def judged(site: Site, content: RecordDict) -> RecordDict:
    """How good the weights that a site was sent are on its validation origins, and of how many
    observations it is."""
    agreement = Agreement.of(str(content.config_records[CONFIG]["agreement"]))
    loss = site.loss(site.plan(agreement), as_weights(content.array_records[ARRAYS]))
    return RecordDict({METRICS: MetricRecord({COUNT: site.count, LOSS: loss})})


def done(site: Site, content: RecordDict, finish: Callable[..., None]) -> RecordDict:
    """Hands the network to `finish`; nothing leaves the site."""
    config = content.config_records[CONFIG]
    scored = as_weights(content.array_records[ARRAYS])
    final = as_weights(content.array_records[FINAL])
    about = {name: config[name] for name in config if name != "agreement"}
    finish(site, Agreement.of(str(config["agreement"])), scored, final, about)
    return RecordDict({CONFIG: ConfigRecord({})})
