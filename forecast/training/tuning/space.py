"""What tuning may choose: a start, a network, its shape, context, dropout and learning rate.

The pretrained network has one shape; any other starts from random weights, so both starts are in
the space, each with learning rates of its own. What the user has set is not searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forecast.config.schema import PRETRAINED_RATE, RANDOM_RATE, Settings
from forecast.models.networks.registry import spec_of
from forecast.models.pretrained import read_backbone_size
from forecast.training.plan import PRETRAINED, Plan

SCRATCH = "scratch"
HIDDEN = (16, 24, 32, 48, 64, 96, 128)
LAYERS = (1, 2, 3)
DROPOUT, DROPOUT_STEP = (0.0, 0.3), 0.05
CONTEXTS = (0.5, 1.0, 2.0)  # times the usual
SLOWER, FASTER = 5.0, 4.0  # learning rates down to a part of the usual one, and up to times it


@dataclass(frozen=True)
class Choice:
    """One point of the space. hidden and layers are those of the pretrained network where that is
    the start; context in steps of the network."""

    start: str
    network: str
    hidden: int
    layers: int
    dropout: float
    context: int
    learning_rate: float

    def __str__(self) -> str:
        shape = f"{self.layers} x {self.hidden}"
        rest = f"dropout {self.dropout:g}, context {self.context}, rate {self.learning_rate:g}"
        return f"{self.start} {self.network}, {shape}, {rest}"

    def settings(self, given: Settings) -> Settings:
        """`given` with this choice in it, as a settings file would say it."""
        document = given.model_dump(exclude_unset=True)
        for section, fields in self.sections().items():
            document[section] = {**document.get(section, {}), **fields}
        return Settings(**document)

    def sections(self) -> dict[str, dict[str, Any]]:
        """The choice as sections of a settings file."""
        network: dict[str, Any] = {"name": self.network}
        training: dict[str, Any] = {"learning_rate": self.learning_rate}
        if self.start == SCRATCH:
            network |= {"hidden_size": self.hidden, "layers": self.layers}
            training |= {"from_scratch": True}
        network |= {"dropout": self.dropout, "context": self.context}
        return {"network": network, "training": training}


@dataclass(frozen=True)
class Space:
    """The values that each part of a choice may take; a part with one value is not searched.

    shape: hidden size and layers of the pretrained network; usual: the choice that comes first for
    each start, none where the network is not searched; defaults: how many of these are what the
    defaults come to (random weights are not, where they are not tried beside the pretrained ones).
    """

    starts: tuple[str, ...]
    networks: tuple[str, ...]
    hidden: tuple[int, ...]
    layers: tuple[int, ...]
    dropout: tuple[float, float]
    contexts: tuple[int, ...]
    rates: dict[str, tuple[float, float]]
    shape: tuple[int, int]
    multiples: dict[str, int]
    usual: tuple[Choice, ...]
    defaults: int

    def suggest(self, trial: Any) -> Choice:
        """The choice of an Optuna trial."""
        start = trial.suggest_categorical("start", self.starts)
        network, (hidden, layers) = "lstm", self.shape
        if start == SCRATCH:
            network = trial.suggest_categorical("network", self.networks)
            hidden = trial.suggest_categorical("hidden", self.hidden)
            hidden = -(-hidden // self.multiples[network]) * self.multiples[network]
            layers = trial.suggest_categorical("layers", self.layers)
        dropout, high = self.dropout
        if dropout < high:
            dropout = round(trial.suggest_float("dropout", dropout, high, step=DROPOUT_STEP), 2)
        context = trial.suggest_categorical("context", self.contexts)
        rate = trial.suggest_float(f"rate {start}", *self.rates[start], log=True)
        rate = float(f"{rate:.3g}")
        return Choice(start, network, hidden, layers, dropout, context, rate)

    def parameters(self, choice: Choice) -> dict[str, Any]:
        """What a trial must be given for `suggest` to return `choice`."""
        made: dict[str, Any] = {"start": choice.start, "context": choice.context}
        if choice.start == SCRATCH:
            names = ("network", "hidden", "layers")
            made |= {name: getattr(choice, name) for name in names}
        if self.dropout[0] < self.dropout[1]:
            made["dropout"] = choice.dropout
        return {**made, f"rate {choice.start}": choice.learning_rate}


def space_of(settings: Settings, plan: Plan, longest: int) -> Space:
    """The space for the data of `plan`; longest: observations of the longest series.

    What stands in the settings as given by the user has that value alone.
    """
    network, training = settings.network, settings.training
    given = network.model_fields_set
    shape = read_backbone_size(plan.layout)
    networks = (network.name,) if "name" in given else tuple(settings.compare.networks)
    hidden = (network.hidden_size,) if network.hidden_size else HIDDEN
    layers = (network.layers,) if "layers" in given else LAYERS
    dropout = (network.dropout, network.dropout) if "dropout" in given else DROPOUT
    usual = plan.config.context
    contexts = (network.context,) if network.context else _contexts(usual, plan, longest)
    fits = shape[0] in hidden and shape[1] in layers and "lstm" in networks
    pretrained = fits and not training.from_scratch
    starts = (PRETRAINED, SCRATCH) if pretrained else (SCRATCH,)
    features = plan.layout.features
    size = network.hidden_size or (plan.scratch or plan.config).hidden_size
    usual_rate = {PRETRAINED: PRETRAINED_RATE, SCRATCH: RANDOM_RATE}
    if training.learning_rate is not None:
        usual_rate = dict.fromkeys(usual_rate, training.learning_rate)
    shapes = {PRETRAINED: ("lstm", *shape), SCRATCH: (network.name, size, network.layers)}
    usual_choices = tuple(
        Choice(start, *shapes[start], network.dropout, usual, usual_rate[start])
        for start in (starts if network.name in networks else ())
    )
    return Space(
        starts=starts,
        networks=networks,
        hidden=tuple(dict.fromkeys((*hidden, size))),
        layers=tuple(dict.fromkeys((*layers, network.layers))),
        dropout=dropout,
        contexts=contexts,
        rates={start: _rates(rate, training.learning_rate) for start, rate in usual_rate.items()},
        shape=shape,
        multiples={name: spec_of(name).multiple(features) for name in networks},
        usual=usual_choices,
        defaults=len(usual_choices) if plan.scratch is not None else len(usual_choices[:1]),
    )


def _rates(usual: float, asked: float | None) -> tuple[float, float]:
    """From the lowest learning rate to the highest."""
    return (asked, asked) if asked is not None else (usual / SLOWER, usual * FASTER)


def _contexts(usual: int, plan: Plan, longest: int) -> tuple[int, ...]:
    """Lengths of context around the usual one, as far as the longest series reaches."""
    most = max(2, -(-longest // plan.layout.width))
    found = {min(max(2, round(times * usual)), most) for times in CONTEXTS}
    return tuple(sorted({usual, *found}))
