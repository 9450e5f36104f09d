"""The two programs of a real deployment, as Flower starts them: a site's and the server's.

A site's SuperNode says with --node-config where its data are (`data`), how they are read (`config`,
a settings file) and where the network goes (`out`); the server's run says with --run-config how all
train together. What leaves a site is made in `messages`. Imported only where flwr is installed.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from forecast.common.documents import as_bytes
from forecast.common.errors import ForecastError, TrainingError, UsageError
from forecast.common.files import write_bytes
from forecast.common.folders import check_folder, made_folder, whole_folder
from forecast.common.marks import FEDERATION, RUN
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.config.sources import resolve
from forecast.models.networks.numpy_ops import Weights
from forecast.reporting.run_folder import rows_csv, write_run
from forecast.training.federated import Agreement, Site, agree, starting_weights
from forecast.workflows.federate import ROUNDS, Trained, check_possible, headed
from forecast.workflows.federation.messages import make_client_app
from forecast.workflows.federation.rounds import (
    LEAST_SITES,
    POLL,
    Checked,
    Federation,
    proposals_of,
)
from forecast.workflows.federation.standing import FILE, Standing
from forecast.workflows.load import read
from forecast.workflows.train import Clock

WAIT, TIMEOUT = 600.0, 3600.0  # seconds, where the run says nothing


class Told(Silent):
    """Prints what happens, a line each: Flower keeps what its programs print."""

    def stage(self, text: str) -> None:
        """The text."""
        print(text, flush=True)

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:  # noqa: ARG002
        """How many rounds are done."""
        print(f"round {done} of {total}", flush=True)

    def note(self, text: str) -> None:
        """The text."""
        print(text, flush=True)

    def warn(self, code: str, text: str) -> None:
        """The text, and the code that `lstmcast help` explains."""
        print(f"warning: {text} ({code})", flush=True)


def given(words: Mapping[str, Any], name: str, flag: str) -> str:
    """A text of Flower's configuration. Raises UsageError where it is missing."""
    value = words.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(
            f"{flag} says nothing of {name}",
            code="federate/not-said",
            where=flag,
            remedy=f'Add {name}="..." to it',
        )
    return value


# --- A site --------------------------------------------------------------------------------------


def find_site(context: Context) -> Site:
    """The site of a SuperNode, its data read. Raises UsageError, InputError."""
    words = context.node_config
    data = given(words, "data", "--node-config")
    check_folder(given(words, "out", "--node-config"), RUN)  # before hours of training
    settings = resolve(config=str(words.get("config") or "") or None).settings
    return Site(Path(data).name, *read(data, settings.data, Told()), settings)


def finish(
    context: Context,
    site: Site,
    agreement: Agreement,
    scored: Weights,
    final: Weights,
    about: Mapping[str, Any],
) -> None:
    """Writes the site's run folder with the network that it keeps, chosen on its own validation
    origins. Raises UsageError, OutputError."""
    out = given(context.node_config, "out", "--node-config")
    mine = Trained.made(site, agreement, scored, final, int(about["best-round"]))
    record = mine.record(about, Clock(mine.settings))
    with whole_folder(Path(out), RUN) as staging:
        write_run(staging, record)
    print(f"the network of all sites is in {out}", flush=True)


def tell(error: Exception) -> None:
    """What went wrong here, for whoever looks after this site."""
    if isinstance(error, ForecastError):
        print(f"error: {error} ({error.code})", flush=True)
    else:
        traceback.print_exception(error)


client = make_client_app(find_site, finish, tell)


# --- The server ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """sites: that must be connected before the first round; wait: seconds for them, and in a round
    for one that was lost; timeout: seconds that a site may take for an answer."""

    sites: int
    wait: float
    timeout: float

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Waiting:
        """From Flower's configuration. Raises UsageError."""
        found = []
        for name, least, usual in (("sites", LEAST_SITES, None), ("wait", 0, WAIT),
                                   ("timeout", 1, TIMEOUT)):  # fmt: skip
            value = words.get(name, usual)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                raise UsageError(
                    f"{name} must be a number of at least {least}",
                    code="federate/not-said",
                    where="--run-config",
                    value=value,
                    remedy="For example: --run-config 'sites=3 wait=600'",
                )
            found.append(value)
        return cls(int(found[0]), float(found[1]), float(found[2]))


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Trains the sites that are connected and gives each the network. Raises ForecastError."""
    words, listener = context.run_config, Told()
    settings = resolve(config=str(words.get("config") or "") or None).settings
    check_possible(settings)
    place = made_folder(given(words, "state", "--run-config"), FEDERATION)
    waiting = Waiting.of(words)
    nodes = connected(grid, waiting, listener)
    agreement, taking_part = agreed(grid, nodes, settings, waiting, listener)
    start = starting_weights(agreement, settings)

    def hear(node: int, why: str) -> None:
        listener.warn("federate/not-counted", f"site {node}: a round does not count: {why}")

    checked = Checked(grid, taking_part, start, hear, waiting.wait)
    federation = Federation(
        checked, agreement, settings, listener, place=place, timeout=waiting.timeout
    )
    listener.stage(f"Training at {len(taking_part)} sites")
    at = federation.train(start)
    write(place, agreement, at, len(taking_part))
    hand_over(federation, at, listener)
    (place / FILE).unlink(missing_ok=True)
    listener.stage(f"Done: {len(taking_part)} sites have the network; {place} tells of the rounds")


def connected(grid: Grid, waiting: Waiting, listener: Told) -> list[int]:
    """The nodes of the sites, once as many as asked are there. Raises TrainingError."""
    end, said = time.monotonic() + waiting.wait, -1
    while len(nodes := sorted(grid.get_node_ids())) < waiting.sites:
        if len(nodes) != said:
            listener.stage(f"{len(nodes)} of {waiting.sites} sites are connected")
        said = len(nodes)
        if time.monotonic() >= end:
            raise TrainingError(
                f"only {len(nodes)} of {waiting.sites} sites are connected",
                code="federate/missing-sites",
                remedy="Start the SuperNodes of the others, or ask for fewer with sites=...",
            )
        time.sleep(POLL)
    return nodes


def agreed(
    grid: Grid, nodes: Sequence[int], settings: Settings, waiting: Waiting, listener: Told
) -> tuple[Agreement, list[int]]:
    """What is trained, and the nodes that take part. Raises InputError for fewer than two."""
    found, silent = proposals_of(grid, nodes, waiting.timeout)
    unable = {str(node): why for node, why in silent.items()}
    proposals = {str(node): each for node, each in found.items()}
    agreement, out = agree(proposals, settings, unable)
    for node, why in out.items():
        listener.warn("federate/left-out", f"site {node} is left out: {why}")
    return agreement, [node for node in nodes if str(node) not in out]


def hand_over(federation: Federation, at: Standing, listener: Told) -> None:
    """Gives every site the network. Raises TrainingError where one did not take it."""
    replies = federation.finish(at)
    missed = []
    for node in federation.grid.taking_part:
        reply = replies.get(node)
        if reply is None or reply.has_error():
            why = "no answer in time" if reply is None else reply.error.reason
            listener.warn("federate/not-taken", f"site {node} did not take the network: {why}")
            missed.append(node)
    if missed:
        raise TrainingError(
            f"{len(missed)} of {len(federation.grid.taking_part)} sites have not taken the network",
            code="federate/not-taken",
            remedy="Mend what their logs say, and run the app again: the rounds are kept",
        )


def write(place: Path, agreement: Agreement, at: Standing, sites: int) -> None:
    """What the rounds brought, beside where they stand. Raises OutputError."""
    document = {
        **headed(agreement),
        "sites": sites,
        "rounds": at.number,
        "best_round": at.best_round,
        "epsilon": at.epsilon,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(place / "federation.json", as_bytes(text))
    write_bytes(place / "rounds.csv", rows_csv(at.history, ROUNDS))
