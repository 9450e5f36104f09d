"""Several owners train one network and keep their rows: what they agree on, and a site's own part.

Nothing here knows how messages travel; a site's round is `loop.fit` from the weights of all.
Axes: S series, V validation origins.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from forecast.common.errors import InputError, UsageError
from forecast.config.schema import Settings
from forecast.data.forecast import LEVELS
from forecast.data.load import LoadReport
from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.models.networks.numpy_ops import Weights
from forecast.training.ensemble import Member
from forecast.training.learn import REFIT_RATE
from forecast.training.plan import (
    FEW_STEPS,
    MANY_STEPS,
    SMALL,
    Plan,
    choose_config,
    choose_start,
    choose_views,
    make_plan,
)
from forecast.training.selection import TUNED, as_it_is, losses_of, with_kind
from forecast.transforms.windows import Layout

FIT, REFIT = "fit", "refit"  # before the held-out windows; over all data, from what that chose
SCRATCH_TIMES = 2  # as many steps from random weights as from pretrained ones
SLOWEST = 0.05  # of the learning rate, in the last rounds
LEAST_ROUND = 10  # steps of a site in a round, below which warm-up is most of it
LARGEST_COUNT = 10**10  # observations that a site may claim: its say in the mean is as large
# Of the settings, those that all sites must share; where data are and how they are read, where
# results go and what they are compared with, stays with each.
SHARED = {
    "network": ("name", "likelihood", "hidden_size", "layers", "dropout", "context"),
    "training": (
        "batch_size", "from_scratch", "learning_rate", "schedule", "warmup", "weight_decay", "clip",
        "average", "refit", "seed", "precision",
    ),
}  # fmt: skip


# --- What the sites agree on: proposed by each, settled by the server ----------------------------


@dataclass(frozen=True)
class Proposal:
    """What a site says of its data before anything is trained, and all that it says of them.

    alias, integer: its grid in time; horizon, season, layout: what it would train alone; context in
    LSTM steps; windows: held-out origins that its series allow; count: observations.
    """

    alias: str
    integer: bool
    horizon: int
    season: int
    layout: Layout
    context: int
    windows: int
    count: int

    @property
    def grid(self) -> tuple[str, bool, int]:
        """What weights that are averaged must have in common."""
        return self.alias, self.integer, self.layout.width


@dataclass(frozen=True)
class Agreement:
    """What every site trains, so that their weights can be averaged.

    alias to windows: as in `Proposal`; rounds: over which the learning rate falls; local_steps: of
    a site in a round; proximal: weight of the
    pull to the weights of all; private: whether a site says no more than its weights; shared: the
    settings of `SHARED`, by section.
    """

    alias: str
    integer: bool
    horizon: int
    season: int
    layout: Layout
    context: int
    windows: int
    rounds: int
    local_steps: int
    proximal: float
    private: bool
    shared: dict[str, dict[str, Any]]

    def text(self) -> str:
        """As JSON, the same for equal agreements."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Agreement:
        """From `text`. Raises InputError where it is none."""
        try:
            plain = json.loads(text)
            return cls(**{**plain, "layout": Layout(**plain["layout"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                "what the server sent is no agreement of this version",
                code="federate/agreement",
                value=str(error),
                remedy="Install the same version of lstmcast on the server and on every site",
            ) from error

    def settings(self, own: Settings) -> Settings:
        """A site's settings with what is agreed in their place."""
        given = own.model_dump(exclude_unset=True)
        for section, values in self.shared.items():
            given[section] = {**given.get(section, {}), **values}
        given["training"] |= {"members": 1, "try_scratch": False}
        given["forecast"] = {**given.get("forecast", {}), "horizon": self.horizon}
        given["data"] = {**given.get("data", {}), "season": self.season}
        if self.windows:
            given["evaluation"] = {**given.get("evaluation", {}), "windows": self.windows}
        return Settings(**given)


def agree(
    proposals: Mapping[str, Proposal], settings: Settings, silent: Mapping[str, str] | None = None
) -> tuple[Agreement, dict[str, str]]:
    """What is trained, and of the sites that cannot take part, why not. silent: those that proposed
    nothing, and why not.

    The grid and then season, layout and context are those of most sites, of equally many those of
    the first; horizon and held-out windows are what every site can do. Raises InputError where
    fewer than two sites go together.
    """
    out = dict(silent or {})
    together = []
    if proposals:
        grid = _most(proposal.grid for proposal in proposals.values())
        together = [proposal for proposal in proposals.values() if proposal.grid == grid]
        out |= {
            name: f"its steps are {_words(proposal)}, those of most sites {grid[0]}"
            for name, proposal in proposals.items()
            if proposal.grid != grid
        }
    if len(together) < 2:
        raise InputError(
            "fewer than two sites have data that go together",
            code="federate/too-few-sites",
            value="; ".join(f"{name}: {why}" for name, why in out.items()) or len(together),
            remedy="Give the data of two sites or more, on the same grid in time (--freq); "
            "lstmcast help CODE explains a code",
        )
    season, layout, context = _most((p.season, p.layout, p.context) for p in together)
    asked = settings.federation
    budget = FEW_STEPS if sum(p.count for p in together) < SMALL else MANY_STEPS
    random = settings.training.from_scratch or settings.network.name != "lstm"
    steps = settings.training.max_steps or budget * (SCRATCH_TIMES if random else 1)
    agreement = Agreement(
        alias=grid[0],
        integer=grid[1],
        horizon=min(p.horizon for p in together),
        season=season,
        layout=layout,
        context=context,
        windows=min(p.windows for p in together),
        rounds=asked.rounds,
        local_steps=asked.local_steps or max(LEAST_ROUND, steps // asked.rounds),
        proximal=asked.proximal if asked.strategy == "fedprox" else 0.0,
        private=asked.epsilon is not None,
        shared={part: _part(settings, part, names) for part, names in SHARED.items()},
    )
    return agreement, out


def _part(settings: Settings, part: str, names: Sequence[str]) -> dict[str, Any]:
    section = getattr(settings, part)
    return {name: getattr(section, name) for name in names if name in section.model_fields_set}


def _most(values: Any) -> Any:
    """The most frequent value, of equally frequent ones the first."""
    return Counter(values).most_common(1)[0][0]


def _words(proposal: Proposal) -> str:
    return f"{proposal.alias}{' (whole numbers)' if proposal.integer else ''}"


def starting_weights(agreement: Agreement, settings: Settings) -> Weights:
    """The weights of the first round: pretrained, those of --init, or random ones of the seed."""
    settings = agreement.settings(settings)
    initial = choose_start(settings, agreement.layout).weights
    if initial is not None:
        return {name: np.asarray(array, np.float32) for name, array in initial.items()}
    import torch

    from forecast.models.networks.residual import ResidualNetwork

    network = settings.network
    hidden = network.hidden_size or (96 if agreement.layout.width > 1 else 64)
    torch.manual_seed(settings.training.seed)
    random = ResidualNetwork(
        agreement.layout.features,
        hidden,
        network.layers,
        len(LEVELS),
        network.dropout,
        network=network.name,
        context=agreement.context,
        likelihood=network.likelihood,
    )
    return {name: tensor.numpy().copy() for name, tensor in random.state_dict().items()}


# --- A site: its data, which stay, and what it does with the weights of all ----------------------


@dataclass(frozen=True)
class Site:
    """One owner of series. name: for messages and the seed of its random choices; settings: its
    own, of which `Agreement.settings` takes the place in part."""

    name: str
    panel: Panel
    report: LoadReport
    settings: Settings
    _plans: dict[str, Plan] = field(default_factory=dict, compare=False, repr=False)

    @property
    def count(self) -> int:
        """Observations that it has."""
        return int(np.isfinite(self.panel.values).sum())

    def proposal(self) -> Proposal:
        """What this site would train alone. Raises UsageError where there are covariates, whose
        layers no two sites need have in common, and InputError where there is too little data."""
        one_start = self.settings.training.model_copy(update={"try_scratch": False})
        settings = self.settings.model_copy(update={"training": one_start})  # no calendar unasked
        plan = make_plan(self.panel, self.report.seasons, settings)
        if plan.design is not None:
            raise UsageError(
                "a network that is trained together reads no covariates and no calendar",
                code="federate/covariates",
                where=self.name,
                remedy="Leave them out of the site's settings",
            )
        frequency = self.panel.frequency
        return Proposal(
            alias=frequency.alias,
            integer=frequency.integer,
            horizon=plan.horizon,
            season=plan.season,
            layout=plan.layout,
            context=plan.config.context,
            windows=len(plan.origins),
            count=self.count,
        )

    def plan(self, agreement: Agreement) -> Plan:
        """The plan of this site's data for what is trained together. Raises InputError where the
        data are of another grid."""
        frequency = self.panel.frequency
        if (frequency.alias, frequency.integer) != (agreement.alias, agreement.integer):
            raise InputError(
                f"the data are of another frequency than the other sites', {agreement.alias}",
                code="input/other-frequency",
                where=self.name,
                value=frequency.alias,
                remedy="Say with --freq what a step is, or --resample to the others' steps",
            )
        key = agreement.text()
        if key not in self._plans:
            settings = agreement.settings(self.settings)
            plan = make_plan(self.panel, self.report.seasons, settings)
            self._plans[key] = fit_to(plan, agreement, self.panel, settings)
        return self._plans[key]

    def loss(self, plan: Plan, weights: Weights) -> float:
        """Mean loss of these weights at this site's validation origins; NaN without any."""
        found = losses_of(self.panel, plan, [as_it_is(weights)], None)
        return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")

    def learn(
        self, agreement: Agreement, weights: Weights, number: int, phase: str
    ) -> tuple[dict[str, np.ndarray], int]:
        """This site's weights after `local_steps` from those of all, and the observations that it
        learnt from. number: of the round, from 1; phase: FIT or REFIT. Raises TrainingError."""
        import torch

        from forecast.training.loop import fit

        plan = self.plan(agreement)
        panel = self.panel if phase == REFIT else self.panel.truncate(_watched_from(plan))
        pace = REFIT_RATE if phase == REFIT else pace_of(number, agreement.rounds)
        config = replace(
            plan.config,
            learning_rate=plan.config.learning_rate * pace,
            steps=agreement.local_steps,
            seconds=None,
            views=plan.views,
            seed=seed_of(plan.seeds[0], self.name, number, phase),
        )
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums of several threads have no one order
        try:
            fitted = fit(
                as_read(panel),
                panel.offsets,
                plan.layout,
                config,
                initial=weights,
                proximal=agreement.proximal,
            )
        finally:
            torch.set_num_threads(threads)
        return fitted.weights, int(np.isfinite(panel.values).sum())


def pace_of(number: int, rounds: int) -> float:
    """Share of the learning rate in round `number`, from 1: half a cosine, as in one long training.
    With the whole rate to the end, what sites learn apart is lost in the mean of their weights."""
    return max(SLOWEST, 0.5 * (1 + math.cos(math.pi * (number - 1) / rounds)))


def _watched_from(plan: Plan) -> np.ndarray:
    """Observations of each series before its first validation origin, (S,)."""
    if not len(plan.validation):
        return plan.keep
    first = np.where(plan.validation >= 0, plan.validation, np.iinfo(np.int64).max).min(0)
    return np.minimum(plan.keep, first)


def fit_to(plan: Plan, agreement: Agreement, panel: Panel, settings: Settings) -> Plan:
    """A plan with layout, season and context as agreed, whatever these data alone would say."""
    layout = agreement.layout
    settings = settings.model_copy(
        update={"network": settings.network.model_copy(update={"context": agreement.context})}
    )
    start = choose_start(settings, layout)
    config = choose_config(panel, settings, layout, agreement.horizon, start)
    views = choose_views(panel, settings.network.likelihood, layout)
    return replace(
        plan,
        season=agreement.season,
        layout=layout,
        config=replace(config, views=views),
        start=start,
        scratch=None,
        reasons=tuple(reason for reason in plan.reasons if reason[0] != "one LSTM step")
        if layout != plan.layout
        else plan.reasons,
    )


def seed_of(seed: int, site: str, number: int, phase: str) -> int:
    """The seed of a site's round: other sites and rounds draw other windows."""
    text = json.dumps([seed, site, number, phase]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1


# --- What arrives is looked at before it counts --------------------------------------------------


def fault_of(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str | None:
    """Why these weights cannot take the place of `wanted`; None where they can."""
    if list(arrays) != list(wanted):
        odd = sorted({*arrays} ^ {*wanted})
        return f"other tensors: {', '.join(odd[:3])}" if odd else "tensors in another order"
    for name, array in arrays.items():
        if array.shape != wanted[name].shape or array.dtype != np.float32:
            shape = "x".join(map(str, array.shape))
            expected = "x".join(map(str, wanted[name].shape))
            return f"{name} is {array.dtype} {shape}, not float32 {expected}"
        if not np.isfinite(array).all():
            return f"{name} holds numbers that are not finite"
    return None


def fault_of_count(count: object) -> str | None:
    """Why this number of observations cannot weigh a site's part; None where it can."""
    if isinstance(count, bool) or not isinstance(count, int | float):
        return f"a count of observations that is no number: {count!r}"
    if not 0 < count <= LARGEST_COUNT:
        return f"a count of observations that cannot be: {count!r}"
    return None


def together(weights: Weights, final: Weights, step: int, loss: float) -> list[Member]:
    """What was trained together as the members of an ensemble: one, fine-tuned by all."""
    member = Member(dict(weights), dict(final), step, loss, "steps", "cpu")
    return with_kind([member], TUNED)
