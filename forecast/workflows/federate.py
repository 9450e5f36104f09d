"""`federate simulate`, read top to bottom: what several owners would gain by training together.

Every file, or every value of a column, is a site. The rounds are Flower's, the sites'
program its ClientApp, called in this process one after the other.
Axes: S series, W held-out windows, V validation windows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import InputError, UsageError
from forecast.common.files import one_command
from forecast.common.folders import whole_folder
from forecast.common.marks import FEDERATION, FLOWER_APP
from forecast.common.progress import Listener, Silent
from forecast.common.resources import check_installed, needed
from forecast.config.baselines import TRAIN_BASELINES
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.load import panel_from_frame
from forecast.data.open_steps import reach
from forecast.data.panel import STATIC, Panel, panel_to_arrow
from forecast.evaluation.scores import ScoreTable, score_forecasts
from forecast.inference.point import with_point
from forecast.inference.predict import at_levels
from forecast.models.networks.numpy_ops import Weights
from forecast.models.store import versions
from forecast.reporting.run_folder import RunRecord, check_place, rows_csv, run_path, write_run
from forecast.training.ensemble import Member
from forecast.training.federated import (
    FIT,
    Agreement,
    Site,
    agree,
    fit_to,
    starting_weights,
    together,
)
from forecast.training.learn import learn
from forecast.training.plan import PRETRAINED, Plan, Reason, make_plan
from forecast.training.selection import TUNED, blend_of, forecasters, lstm_windows, untaught
from forecast.workflows.hierarchy import labels_of
from forecast.workflows.load import read
from forecast.workflows.train import Clock, baseline_forecasts, scored_levels

if TYPE_CHECKING:
    from forecast.workflows.federation.rounds import Standing

EXTRA = "federated"
FEDERATED, ALONE, POOLED, ZERO_SHOT = "Federated", "Alone", "Pooled", "Zero-shot"
SHOWN = ("mase", "wql")
SCHEMA_VERSION = 1
ROUNDS = ("round", "phase", "counted", "validation", "epsilon")  # columns of rounds.csv


@dataclass(frozen=True)
class SiteResult:
    """One site: its scores by forecaster (None: too short to hold a window out), and its model."""

    name: str
    folder: Path
    series: int
    observations: int
    scores: ScoreTable | None
    kept: str


@dataclass(frozen=True)
class SimulateResult:
    """What `federate simulate` did. left_out: sites by name, and why; rows: of each site and
    forecaster, and of their mean over the sites; gap: the share of what pooling gains over training
    alone that was gained without it, by metric."""

    folder: Path
    chosen: tuple[Reason, ...]
    sites: tuple[SiteResult, ...]
    left_out: dict[str, str]
    rows: list[dict[str, Any]]
    gap: dict[str, float]
    history: list[dict[str, Any]]
    privacy: dict[str, Any] | None
    files: list[tuple[Path, str]]
    seconds: float


@one_command()
def simulate_run(data: Sequence[str], settings: Settings, listener: Listener) -> SimulateResult:
    """Trains together in this process and compares. Raises ForecastError."""
    clock = Clock(settings)
    check_possible(settings)
    check_place(settings, FEDERATION)
    listener.stage("Reading the data")
    sites, left_out = read_sites(data, settings, listener)
    agreement, at, more = train_together(sites, settings, listener)
    left_out |= more
    sites = [site for site in sites if site.name not in left_out]
    made = [Trained.of(site, agreement, at) for site in sites]
    pooled = pool(made, agreement, listener) if settings.federation.pooled else None
    results, records = [], []
    path = run_path(settings, data[0])
    about = {"rounds": at.number, "best_round": at.best_round, "epsilon": at.epsilon}
    for number, each in enumerate(made, 1):
        listener.stage(f"Comparing at site {number} of {len(made)}: {each.site.name}")
        tried = each.tried(pooled, clock, listener)
        scores = each.score(tried)
        where = path / f"site-{number}"  # names of sites never reach a file name
        kept = next((str(r[1]) for r in each.plan.reasons if r[0] == "kept"), TUNED)
        results.append(
            SiteResult(each.site.name, where, each.site.panel.size, each.site.count, scores, kept)
        )
        records.append(each.record(about, clock))
    rows = rows_of(results)
    result = SimulateResult(
        folder=path,
        chosen=reasons_of(agreement, settings, at),
        sites=tuple(results),
        left_out=left_out,
        rows=rows,
        gap=gap_closed(rows),
        history=at.history,
        privacy=privacy_of(settings, at, len(sites)),
        files=[],
        seconds=clock.elapsed(),
    )
    listener.stage("Writing the results")
    return replace(result, files=write(result, records, agreement), seconds=clock.elapsed())


def check_possible(settings: Settings) -> None:
    """Raises UsageError where the settings cannot be met; before anything is read."""
    check_installed("flwr", EXTRA, "federate")
    asked = settings.federation
    if asked.epsilon is None:
        return
    check_installed("dp_accounting", EXTRA, "--epsilon")
    if asked.strategy == "fedadam":
        raise UsageError(
            "noise is counted for a mean of the sites' weights; fedadam goes on from that mean in "
            "steps of its own",
            code="federate/private-strategy",
            where="--strategy",
            value=asked.strategy,
            remedy="Use --strategy fedavg or fedprox with --epsilon",
        )


# --- Whose rows are whose ------------------------------------------------------------------------


def read_sites(
    data: Sequence[str], settings: Settings, listener: Listener
) -> tuple[list[Site], dict[str, str]]:
    """The sites, and those whose file cannot be used, with the reason. Raises UsageError, and
    InputError where one file should hold all sites and does not."""
    column = settings.federation.site_col
    if column is None and len(data) < 2:
        raise UsageError(
            "one file is one site: nobody is there to train together with",
            code="federate/one-site",
            value=data[0] if data else None,
            remedy="Name a file of each site, or with --site-col the column that says whose "
            "each series is",
        )
    if column is not None and len(data) != 1:
        raise UsageError(
            "with --site-col one file holds all sites",
            code="federate/one-file",
            value=" ".join(data),
            remedy="Name one file, or leave --site-col out: each file is a site then",
        )
    if column is not None:
        return sites_in(data[0], column, settings, listener), {}
    names = names_of(data)
    sites, left_out = [], {}
    for name, path in zip(names, data, strict=True):
        try:
            sites.append(Site(name, *read(path, settings.data, listener), settings))
        except InputError as error:
            left_out[name] = str(error)
            listener.warn("federate/left-out", f"{name} is left out: {error}")
    return sites, left_out


def names_of(data: Sequence[str]) -> list[str]:
    """What the sites are called: their files, as far as these differ. Raises UsageError where one
    file is named twice."""
    if len({str(Path(each).resolve()) for each in data}) < len(data):
        raise UsageError(
            "one file is named twice: a site is one owner's rows",
            code="federate/named-twice",
            value=" ".join(data),
            remedy="Name each file once",
        )
    short = [Path(each).name for each in data]
    return short if len(set(short)) == len(short) else list(data)


def sites_in(path: str, column: str, settings: Settings, listener: Listener) -> list[Site]:
    """A site for each value of a column that never changes inside a series, or for each name in
    it where it is the id or a part of it. Raises InputError."""
    given = settings.data
    panel, report = read(path, given, listener)
    ids = report.columns.get("id")
    if isinstance(ids, list) and column.lower() in [str(name).lower() for name in ids]:
        # Also a part of the id: a ward that is called the same at several hospitals.
        owners = labels_of(panel, report, ((column,),)).of[column]
    else:
        words = {name: (*getattr(given, name), column) for name in ("static_cov", "categorical")}
        panel, _ = read(path, given.model_copy(update=words), listener)
        owners = owners_in(panel, column, path)
    plain = DataSettings(freq=given.freq or panel.frequency.alias, season=given.season)
    mine = settings.model_copy(update={"data": plain})
    sites = []
    for name in sorted(set(owners)):
        part = replace(panel.select(np.flatnonzero(owners == name)), covariates=None)
        frame = panel_to_arrow(part).to_pandas()
        sites.append(Site(str(name), *panel_from_frame(frame, plain), mine))
    return sites


def owners_in(panel: Panel, column: str, path: str) -> np.ndarray:
    """Whose each series is, by a static covariate: names, object (S,). Raises InputError."""
    found = panel.covariates.of(STATIC) if panel.covariates is not None else ()
    says = next(c for c in found if c.name.lower() == column.lower())
    lost = np.flatnonzero(~np.isfinite(says.values))
    if len(lost):
        raise InputError(
            f"the column '{column}' does not say whose a series is",
            code="federate/no-owner",
            where=path,
            value=str(panel.ids[lost[0]]),
            remedy="Fill the column for every series",
        )
    names = says.categories
    texts = [f"{v:g}" if names is None else names[int(v)] for v in says.values]
    return np.array(texts, dtype=object)


# --- Training together ---------------------------------------------------------------------------


def train_together(
    sites: Sequence[Site], settings: Settings, listener: Listener
) -> tuple[Agreement, Standing, dict[str, str]]:
    """The rounds, in this process: what was agreed, where they ended, who is left out and why."""
    needed("forecast.workflows.federation.rounds", EXTRA, "federate")  # flwr may be there in part
    from forecast.workflows.federation.messages import keep_nothing, make_client_app
    from forecast.workflows.federation.rounds import (
        Checked,
        Federation,
        InProcess,
        in_process_contexts,
        proposals_of,
        quiet,
    )

    quiet()
    app = make_client_app(lambda context: sites[context.node_id - 1], keep_nothing, keep_nothing)
    inner = InProcess(app, in_process_contexts(len(sites)))
    names = {number: site.name for number, site in enumerate(sites, 1)}
    proposals, silent = proposals_of(inner, names)
    unable = {names[node]: why for node, why in silent.items()}
    agreement, out = agree({names[n]: p for n, p in proposals.items()}, settings, unable)
    for name, why in out.items():
        listener.warn("federate/left-out", f"{name} is left out: {why}")
    nodes = [number for number, name in names.items() if name not in out]
    start = starting_weights(agreement, settings)
    listener.stage(f"Training at {len(nodes)} sites")

    def hear(node: int, why: str) -> None:
        listener.warn("federate/not-counted", f"{names[node]}: a round does not count: {why}")

    federation = Federation(
        Checked(inner, nodes, start, hear), agreement, settings, listener, seeded=True
    )
    return agreement, federation.train(start), out


@dataclass(frozen=True)
class Trained:
    """A site when the rounds are over: what it keeps, chosen on its own validation origins, and how
    it forecasts with it. Levels, units and calibration are its own."""

    site: Site
    agreement: Agreement
    plan: Plan
    members: list[Member]

    @classmethod
    def of(cls, site: Site, agreement: Agreement, at: Standing) -> Trained:
        """The network of all sites, the start beside it, or both, as validates best here."""
        return cls.made(site, agreement, at.best, at.weights, at.best_round, at.best_loss)

    @classmethod
    def made(
        cls,
        site: Site,
        agreement: Agreement,
        scored: Weights,
        final: Weights,
        rounds: int,
        loss: float = float("nan"),
    ) -> Trained:
        """As `of`, from weights; rounds: how many they are from."""
        plan = site.plan(agreement)
        kinds = {TUNED: together(scored, final, rounds * agreement.local_steps, loss)}
        if plan.start.whole:
            kinds = {PRETRAINED: untaught(plan), **kinds}
        members, reasons = blend_of(site.panel, plan, kinds)
        return cls(site, agreement, replace(plan, reasons=(*plan.reasons, *reasons)), members)

    @property
    def settings(self) -> Settings:
        """The site's own, with what is agreed."""
        return self.agreement.settings(self.site.settings)

    def windows(self, members: Sequence[Member]) -> list[Forecast]:
        """Held-out forecasts of these members, calibrated here."""
        panel, plan, settings = self.site.panel, self.plan, self.settings
        scored, _ = forecasters(panel, plan, members)
        made = lstm_windows(
            scored, panel, plan.origins, plan.horizon, settings.forecast.allow_negative
        )
        levels = scored_levels(settings)
        return [at_levels(with_point(each, "median"), levels) for each in made]

    def tried(
        self, pooled: Sequence[Member] | None, clock: Clock, listener: Listener
    ) -> dict[str, list[Forecast]]:
        """The held-out forecasts of every way to come by a network, and of the baselines."""
        panel, plan, settings = self.site.panel, self.plan, self.settings
        if not len(plan.origins):
            return {}
        found = {FEDERATED: self.windows(self.members)}
        found[ALONE] = self.windows(learn(panel, plan, settings, Silent()).members)
        if pooled is not None:
            found[POOLED] = self.windows(pooled)
        if plan.start.whole:
            found[ZERO_SHOT] = self.windows(untaught(plan))
        names = settings.baselines.chosen(TRAIN_BASELINES)
        made = baseline_forecasts(panel, plan, names, settings, clock, listener)
        return {**found, **{name: each[:-1] for name, each in made.items()}}

    def score(self, tried: dict[str, list[Forecast]]) -> ScoreTable | None:
        """The scores of these, at this site's held-out windows."""
        if not tried:
            return None
        return score_forecasts(
            self.site.panel, tried, self.plan.season, self.settings.forecast.level
        )

    def record(self, about: Mapping[str, Any], clock: Clock) -> RunRecord:
        """The site's run folder: an ordinary one, with the network that it keeps. about: of the
        rounds, for the model's manifest."""
        panel, plan, settings = self.site.panel, self.plan, self.settings
        _, final = forecasters(panel, plan, self.members)
        steps = reach(panel, panel.lengths, plan.horizon)
        negative, levels = settings.forecast.allow_negative, scored_levels(settings)
        future = lstm_windows(final, panel, panel.lengths[None], steps, negative)
        own = self.windows(self.members)
        held_out = {final.name: own}
        scores = (
            score_forecasts(panel, held_out, plan.season, settings.forecast.level) if own else None
        )
        return RunRecord(
            panel=panel,
            report=self.site.report,
            plan=plan,
            settings=settings,
            forecaster=final,
            members=self.members,
            history=[],
            held_out=held_out,
            upcoming=[at_levels(with_point(each, "median"), levels) for each in future],
            scores=scores,
            interrupted=False,
            seconds=clock.elapsed(),
            more={"federated": dict(about)},
        )


def pool(made: Sequence[Trained], agreement: Agreement, listener: Listener) -> list[Member]:
    """What training on the rows of all sites gives, from what precedes their held-out windows."""
    listener.stage("Training on the rows of all sites together")
    panel = together_panel([each.site.panel for each in made])
    settings = made[0].settings
    plan = make_plan(panel, (), settings)
    plan = fit_to(plan, agreement, panel, settings)
    plans = [each.plan for each in made]
    most = max(len(each.validation) for each in plans)
    plan = replace(
        plan,
        origins=np.hstack([each.origins for each in plans]),
        keep=np.concatenate([each.keep for each in plans]),
        validation=np.hstack(
            [np.pad(p.validation, ((most - len(p.validation), 0), (0, 0)), constant_values=-1)
             for p in plans]
        ),
    )  # fmt: skip
    return learn(panel, plan, settings, Silent()).members


def together_panel(panels: Sequence[Panel]) -> Panel:
    """All series of several panels of one frequency, in their order."""
    lengths = np.concatenate([panel.lengths for panel in panels])
    ids = [f"{n:06d}/{name}" for n, panel in enumerate(panels) for name in panel.ids]
    return replace(
        panels[0],
        ids=np.array(ids, dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        values=np.concatenate([panel.values for panel in panels]),
        first=np.concatenate([panel.first for panel in panels]),
        shut=None,
        closed=(),
    )


# --- What came of it -----------------------------------------------------------------------------


MEAN = "mean over sites"


def rows_of(sites: Sequence[SiteResult]) -> list[dict[str, Any]]:
    """A row of each site and forecaster; then the mean over the sites of each forecaster that has
    figures at all of them."""
    rows = [
        {"site": site.name, "series": site.series, "model": row["model"],
         **{metric: row.get(metric) for metric in SHOWN}}
        for site in sites if site.scores is not None
        for row in site.scores.to_rows()
    ]  # fmt: skip
    scored = sum(site.scores is not None for site in sites)
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        whole: dict[str, Any] = {}
        for metric in SHOWN:
            known = [row[metric] for row in mine if row[metric] is not None]
            whole[metric] = float(np.mean(known)) if len(known) == scored else None
        rows.append(
            {"site": MEAN, "series": sum(row["series"] for row in mine), "model": model, **whole}
        )
    return rows


def gap_closed(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of what pooled training gains over the average site alone, the share that training together
    gains; {} where there is no pooled training, and without a metric by which it gains nothing."""
    mean = {row["model"]: row for row in rows if row["site"] == MEAN}
    found = {}
    for metric in SHOWN:
        figures = [mean.get(name, {}).get(metric) for name in (ALONE, FEDERATED, POOLED)]
        values = [float(figure) for figure in figures if figure is not None]
        if len(values) == 3 and values[0] > values[2]:
            found[metric] = (values[0] - values[1]) / (values[0] - values[2])
    return found


def reasons_of(agreement: Agreement, settings: Settings, at: Standing) -> tuple[Reason, ...]:
    """What was agreed and done, in words."""
    asked = settings.federation
    fitted = sum(row["phase"] == FIT for row in at.history)
    return (
        ("horizon", agreement.horizon, "what every site can do"),
        ("season", agreement.season, "that of most sites"),
        ("held-out windows", agreement.windows, "what every site can do"),
        ("strategy", asked.strategy, f"{agreement.local_steps} steps of each site in a round"),
        ("rounds", fitted, f"the weights after round {at.best_round} are kept"),
    )


def privacy_of(settings: Settings, at: Standing, sites: int) -> dict[str, Any] | None:
    """What differential privacy was spent; None without."""
    asked = settings.federation
    if asked.epsilon is None:
        return None
    counted = sum(bool(row["counted"]) for row in at.history)
    return {
        "epsilon": at.epsilon,
        "delta": asked.delta,
        "clip_norm": asked.clip_norm,
        "sites": sites,
        "releases": counted,
    }


def headed(agreement: Agreement) -> dict[str, Any]:
    """What `federation.json` begins with."""
    return {
        "schema_version": SCHEMA_VERSION,
        "format": "lstmcast-federation",
        "versions": versions(),
        "agreement": json.loads(agreement.text()),
    }


def write(
    result: SimulateResult, records: Sequence[RunRecord], agreement: Agreement
) -> list[tuple[Path, str]]:
    """The result folder with a run folder of each site. Raises OutputError."""
    document = {
        **headed(agreement),
        "chosen": [list(reason) for reason in result.chosen],
        "sites": [
            {"name": s.name, "folder": s.folder.name, "series": s.series,
             "observations": s.observations, "kept": s.kept}
            for s in result.sites
        ],
        "left_out": result.left_out,
        "scores": result.rows,
        "gap_closed": result.gap,
        "privacy": result.privacy,
    }  # fmt: skip
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    with whole_folder(result.folder, FEDERATION) as staging:
        for site, record in zip(result.sites, records, strict=True):
            (staging / site.folder.name).mkdir()
            write_run(staging / site.folder.name, record)
        (staging / "federation.json").write_bytes(as_bytes(text))
        (staging / "sites.csv").write_bytes(rows_csv(result.rows))
        (staging / "rounds.csv").write_bytes(rows_csv(result.history, ROUNDS))
    return [
        (result.folder / "sites.csv", "the scores of every site and forecaster"),
        (result.folder / "rounds.csv", "what each round brought"),
        (result.folder / "federation.json", "all of it as a document"),
        (result.folder / "site-1", "the first site's run folder, with its model; others beside it"),
    ]


# --- Between machines ----------------------------------------------------------------------------

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "lstmcast-federated"
version = "{version}"
description = "Training together without sharing data"
license = "MIT"
dependencies = ["lstmcast[federated]"]

[tool.flwr.app]
publisher = "lstmcast"

[tool.flwr.app.components]
serverapp = "lstmcast_federated:server"
clientapp = "lstmcast_federated:client"

[tool.flwr.app.config]
config = ""       # settings file of the training: federation, training, network, forecast
state = ""        # folder of the server: where the rounds stand, and what they brought
sites = 2         # sites that must be connected before the first round
wait = 600.0      # seconds for them, and in a round for one that was lost
timeout = 3600.0  # seconds that a site may take for an answer
"""
PROGRAM = '''"""The programs of the server and of a site: those of the lstmcast installed there."""

from forecast.workflows.federation.apps import client, server

__all__ = ["client", "server"]
'''


@one_command()
def write_app(folder: str) -> list[tuple[Path, str]]:
    """Writes what `flwr run` takes: an app that starts the programs of lstmcast. Raises UsageError,
    OutputError."""
    path = Path(folder)
    with whole_folder(path, FLOWER_APP) as staging:
        (staging / "lstmcast_federated").mkdir()
        project = PROJECT.format(version=versions()["lstmcast"])
        (staging / "pyproject.toml").write_text(project, encoding="utf-8")
        (staging / "lstmcast_federated" / "__init__.py").write_text(PROGRAM, encoding="utf-8")
    return [(path, "the app that flwr run takes")]
