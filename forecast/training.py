"""`fit`: one member of the ensemble, in one readable loop.

Windows are drawn as index pairs and gathered on the device; each pass of the LSTM over a window
trains the forecasts of several of its origins. Early stopping watches the averaged weights on
validation origins and the best of them are what is returned.

Axes: B batch, T LSTM steps, O origins of a window, S series, V validation origins.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise

from forecast.checkpoint import Checkpoint, Standing
from forecast.distributed import ALONE, Alone
from forecast.errors import TrainingError
from forecast.likelihoods import QUANTILES
from forecast.losses import loss_of
from forecast.networks.covariates import (
    COVARIATE_LAYERS,
    Known,
    beside,
    by_row,
    by_window,
    reach,
    without_effect,
)
from forecast.networks.residual import ResidualNetwork
from forecast.teacher import Teacher, drawn_to
from forecast.views import AS_IT_IS, View, distinct, seen
from forecast.windows import Flat, Layout, ahead, context, targets

ALIGNED = 0.7  # share of windows that end at the phase of the day at which the series ends
EVALUATION_BATCH = 1024
MOST_STEPS_BETWEEN = 100  # evaluations
SECONDS_BETWEEN = 1.0  # progress reports
FEW_ROWS = 500_000  # of covariates: so many may be computed at once
COVARIATE_PACE = 10.0  # learning rate of the covariates' layers relative to the others'


@dataclass(frozen=True)
class Recipe:
    """How one member learns; every number is resolved, none is a default.

    steps: optimisation steps; context: LSTM steps of a window (T); forks: origins of a window that
    are trained (O); horizon: steps ahead; levels: quantile levels (Q, odd); average: decay of the
    averaged weights; patience: evaluations without improvement; network: name of the idea
    (networks/registry.py); seconds: time limit or None; likelihood: what is said of each step
    (forecast/likelihoods.py).
    """

    steps: int
    batch_size: int
    context: int
    forks: int
    horizon: int
    levels: tuple[float, ...]
    hidden_size: int
    layers: int
    dropout: float
    learning_rate: float
    schedule: str
    warmup: int
    weight_decay: float
    clip: float
    average: float
    patience: int
    seed: int
    network: str = "lstm"
    device: str = "cpu"
    precision: str = "fp32"
    seconds: float | None = None
    views: tuple[View, ...] = AS_IT_IS
    likelihood: str = QUANTILES


@dataclass(frozen=True)
class Progress:
    """Where training stands: mean training loss since the last evaluation, the validation loss of
    this one (NaN without origins, and between evaluations, when `evaluated` is False)."""

    step: int
    steps: int
    train_loss: float
    validation_loss: float
    best: float
    learning_rate: float
    evaluated: bool = True


@dataclass(frozen=True)
class Fitted:
    """The kept weights (state dict of float32 arrays), the step they are from, why it ended."""

    weights: dict[str, np.ndarray]
    best_step: int
    best_loss: float
    ended: str  # "steps", "patience", "deadline" or "interrupted"


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda", "cuda:N" or "mps". Raises TrainingError if absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(
            "no CUDA device is available",
            code="train/no-device",
            value=name,
            remedy="Use --device cpu",
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise TrainingError(
            "no MPS device is available",
            code="train/no-device",
            value=name,
            remedy="Use --device cpu",
        )
    return torch.device(name)


def fit(
    values: np.ndarray,
    offsets: np.ndarray,
    layout: Layout,
    recipe: Recipe,
    *,
    validation: np.ndarray | None = None,
    known: Known | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    interrupted: Callable[[], bool] = lambda: False,
    checkpoint: Checkpoint | None = None,
    team: Alone = ALONE,
    teacher: Teacher | None = None,
) -> Fitted:
    """Trains one member on ragged series: values float64 (N,), NaN = missing; offsets (S+1,).

    validation: origins int64 (V, S) whose next `horizon` values are kept out of training and
    watched; a negative entry stands for none. initial: weights to start from. checkpoint: where the
    fit saves its standing and goes on from it; interrupted, it then ends without an evaluation, so
    that it can go on as if nothing had been. team: the ranks that train together; then
    `interrupted` is one answer for all. teacher: whose quantiles it is drawn to. Raises
    TrainingError when the loss is not finite.
    """
    torch.manual_seed(recipe.seed)
    device = resolve_device(recipe.device)
    views = distinct(recipe.views, values, offsets)
    flats = [to_device(seen(values, offsets, layout, view)[0], device) for view in views]
    weights = [view.weight for view in views]
    if known is not None:
        known = tensors(known, device)
    ends = np.diff(offsets)
    if validation is not None and len(validation):
        first = np.where(validation >= 0, validation, np.iinfo(np.int64).max).min(0)
        ends = np.minimum(ends, first)
    network = ResidualNetwork(
        layout.features,
        recipe.hidden_size,
        recipe.layers,
        len(recipe.levels),
        recipe.dropout,
        known.ahead if known is not None else 0,
        known.beside(layout) if known is not None else 0,
        network=recipe.network,
        context=recipe.context,
        likelihood=recipe.likelihood,
    ).to(device)
    if initial is not None:
        network.load_state_dict({**network.state_dict(), **_fitting(initial, network)})
    judge = Judge(flats, layout, recipe, validation, known, weights)
    last = torch.as_tensor(team.share(ends), device=device)
    own = team.recipe(recipe)
    if own.seed != recipe.seed:  # what is dropped is another rank's, too
        torch.manual_seed(own.seed)
    sampler = Sampler(flats, layout, own, last, known, weights)
    if teacher is not None:
        sampler.draw_to(teacher)
    return _loop(network, sampler, judge, recipe, report, interrupted, checkpoint, team)


def _loop(
    network: ResidualNetwork,
    sampler: Sampler,
    judge: Judge,
    recipe: Recipe,
    report: Callable[[Progress], None],
    interrupted: Callable[[], bool],
    checkpoint: Checkpoint | None,
    team: Alone,
) -> Fitted:
    """The training loop; see `fit`."""
    averaged = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(
        parameter_groups(network), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = Schedule(recipe)
    keep = BestWeights(averaged, team.same(judge(averaged)))
    every = min(max(1, recipe.steps // 20), MOST_STEPS_BETWEEN)
    # A sum, not a list: small tensors that live on would pin freed memory between them.
    total = torch.zeros((), device=sampler.device)
    at = Standing(network, averaged, optimiser, schedule, keep, sampler.generator, total)
    if checkpoint is not None:
        checkpoint.restore(at)
        interrupted, stopped = (lambda: False), interrupted
    clock = team.clock if recipe.seconds is not None else time.monotonic
    started, ended = clock() - at.elapsed, "steps"
    told = started
    network.train()
    batch_loss = team.loss(network, sampler)
    for step in range(at.step + 1, recipe.steps + 1):
        if checkpoint is not None and (stopped() or checkpoint.due()):
            at.elapsed = clock() - started
            checkpoint.save(at)
            if stopped():
                ended = "interrupted"
                break
        rate = schedule.rate(step, clock() - started)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["pace"]
        loss = batch_loss()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimiser.step()
        average_into(averaged, network, min(recipe.average, step / (step + 10)))
        at.step, at.count = step, at.count + 1
        at.total += loss.detach()
        now = clock()
        stop = _reason_to_stop(interrupted, recipe, now - started)
        evaluate = step % every == 0 or step == recipe.steps or stop
        if not evaluate and now - told < SECONDS_BETWEEN:
            continue
        told = now
        train_loss = _finite(at.total.item() / at.count, step)
        validation = team.same(judge(averaged)) if evaluate else math.nan
        rounds = keep.offer(averaged, validation, step) if evaluate else 0
        report(
            Progress(
                step, recipe.steps, train_loss, validation, keep.loss, schedule.last, bool(evaluate)
            )
        )
        if evaluate:
            schedule.seen(validation)
            at.total.zero_()
            at.count = 0
        if stop or rounds >= recipe.patience:
            ended = stop or "patience"
            break
    return Fitted(keep.arrays(), keep.step, keep.loss, ended)


def _reason_to_stop(interrupted: Callable[[], bool], recipe: Recipe, elapsed: float) -> str | None:
    if interrupted():
        return "interrupted"
    return "deadline" if recipe.seconds is not None and elapsed > recipe.seconds else None


def _finite(loss: float, step: int) -> float:
    """The loss; raises TrainingError when it is not a number."""
    if not math.isfinite(loss):
        raise TrainingError(
            "the training loss is not finite",
            code="train/not-finite",
            where=f"step {step}",
            value=loss,
            remedy="Look at the values with `lstmcast check`, or lower --learning-rate",
        )
    return loss


def read_windows(
    network: ResidualNetwork,
    flat: Flat,
    layout: Layout,
    known: Known | None,
    series: Tensor,
    end: Tensor,
    steps: int,
    chunks: int,
    every: Tensor | None = None,
) -> tuple[Flat, Tensor, tuple[Tensor, ...]]:
    """Where windows that end at `end` (B,) of `series` (B,) are to be gathered from, the numbers of
    their series there, and what `ResidualNetwork.states` reads.

    every: `Known.every`, by which the effect is computed where that is less work.
    """
    if known is None:
        return flat, series, (context(flat, layout, series, end, steps),)
    extra: tuple[Tensor, ...] = ()
    if known.beside(layout):
        extra = (beside(known, layout, series, end, steps),)
    if known.ahead:
        few = every is not None and every.shape[1] <= len(series) * sum(
            reach(layout, steps, chunks)
        )
        make = partial(by_row, known, every) if few else partial(by_window, known)
        flat, series, _ = without_effect(
            flat, layout, make(network.effect), series, end, steps, chunks
        )
    return flat, series, (context(flat, layout, series, end, steps), *extra)


class Sampler:
    """Draws windows and computes their loss. `ends` int64 (S,): targets lie before these.

    flats: the series as each view shows them; weights: how often each is drawn.
    """

    def __init__(
        self,
        flats: Sequence[Flat],
        layout: Layout,
        recipe: Recipe,
        ends: Tensor,
        known: Known | None = None,
        weights: Sequence[float] = (1.0,),
    ) -> None:
        self.drawn: Callable[..., Tensor] | None = None
        self.known = known
        self.every = known.every() if known is not None and len(known.own) < FEW_ROWS else None
        self.flats = [replace(flat, lengths=ends) for flat in flats]
        self.lengths = ends
        self.weights = torch.tensor(weights)
        self.layout, self.recipe = layout, recipe
        self.device = ends.device
        self.generator = torch.Generator(self.device).manual_seed(recipe.seed)
        self.levels = torch.tensor(recipe.levels, device=self.device)
        # The last origin still has one target; the first has a whole context behind it, or, in a
        # series that is not that long, leaves a season and half a horizon of targets.
        self.high = (ends - 1).clamp(min=0)
        room = max(min(layout.season, 24), layout.width) + recipe.horizon // 2
        full = torch.full_like(ends, recipe.context * layout.width)
        self.low = torch.minimum(full, self.high - room).clamp(min=1)
        self.low = torch.minimum(self.low, self.high)
        usable = (ends >= 2).double()
        if not bool(usable.any()):
            raise TrainingError(
                "no series has two values to learn from", code="train/nothing-to-learn"
            )
        self.share = torch.cumsum(usable / usable.sum(), 0)
        self.chunks = -(-recipe.horizon // layout.chunk)

    def draw_to(self, teacher: Teacher) -> None:
        """From now on the loss has the distance from a teacher's quantiles in it."""
        recipe = self.recipe
        self.drawn = drawn_to(teacher, self.layout, recipe.context, len(recipe.levels), self.device)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Series (B,), ends (B,) and the trained origins' places in the window (O,)."""
        batch, generator, device = self.recipe.batch_size, self.generator, self.device
        chance = torch.rand(batch, generator=generator, device=device, dtype=torch.float64)
        series = torch.searchsorted(self.share, chance).clamp(max=len(self.share) - 1)
        part = torch.rand(batch, generator=generator, device=device, dtype=torch.float64)
        low, high = self.low[series], self.high[series]
        end = high - ((high - low + 1) * part).long()
        width = self.layout.width
        if width > 1:  # the hour at which this series ends is the hour it will be forecast from
            days = ((self.lengths[series] - end) // width).clamp(min=1)
            aligned = self.lengths[series] - days * width
            use = torch.rand(batch, generator=generator, device=device) < ALIGNED
            end = torch.where(use & (aligned > 0), aligned, end)
        steps = self.recipe.context
        places = torch.randperm(steps, generator=generator, device=device)[: self.recipe.forks]
        return series, end, torch.sort(places).values

    def view(self) -> Flat:
        """The series in one of the views."""
        if len(self.flats) == 1:
            return self.flats[0]
        return self.flats[int(torch.multinomial(self.weights, 1, generator=self.generator))]

    def loss(self, network: ResidualNetwork) -> Tensor:
        """Loss of one batch of windows, a scalar with gradient."""
        series, end, places = self.draw()
        layout, recipe = self.layout, self.recipe
        flat, series, inputs = read_windows(
            network,
            self.view(),
            layout,
            self.known,
            series,
            end,
            recipe.context,
            self.chunks,
            self.every,
        )
        origin = end[None, :] - (recipe.context - 1 - places)[:, None] * layout.width
        look = ahead(flat, layout, series, origin, self.chunks)
        actual, known = targets(flat, layout, series, origin, self.chunks, recipe.horizon)
        half = recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            predicted = network(layout, network.states(*inputs, places=places), look)
        predicted = predicted.float()
        loss = loss_of(recipe.likelihood, predicted, actual, known, look, self.levels)
        return loss if self.drawn is None else self.drawn(loss, predicted, inputs, places, look)


class Judge:
    """Mean loss of a network at the validation origins (V, S) over all views by their weights; NaN
    when there are none."""

    def __init__(
        self,
        flats: Sequence[Flat],
        layout: Layout,
        recipe: Recipe,
        validation: np.ndarray | None,
        known: Known | None = None,
        weights: Sequence[float] = (1.0,),
    ) -> None:
        self.known = known
        self.flats, self.weights = list(flats), list(weights)
        self.layout, self.recipe = layout, recipe
        size = len(flats[0].starts)
        origins = np.empty((0, size), np.int64) if validation is None else validation
        window, series = np.nonzero(origins > 0)
        device = flats[0].values.device
        self.series = torch.as_tensor(series, device=device)
        self.origins = torch.as_tensor(origins[window, series], device=device)
        self.levels = torch.tensor(recipe.levels, device=device)

    @torch.no_grad()
    def __call__(self, network: ResidualNetwork) -> float:
        if len(self.series) == 0:
            return math.nan
        pairs = zip(self.weights, self.flats, strict=True)
        return sum(weight * self._loss(network, flat) for weight, flat in pairs)

    def _loss(self, network: ResidualNetwork, seen_: Flat) -> float:
        """The loss in one view."""
        total = count = torch.zeros((), device=self.series.device)
        chunks = -(-self.recipe.horizon // self.layout.chunk)
        for start in range(0, len(self.series), EVALUATION_BATCH):
            series = self.series[start : start + EVALUATION_BATCH]
            origin = self.origins[start : start + EVALUATION_BATCH]
            flat, series, inputs = read_windows(
                network,
                seen_,
                self.layout,
                self.known,
                series,
                origin,
                self.recipe.context,
                chunks,
            )
            look = ahead(flat, self.layout, series, origin[None], chunks)
            actual, known = targets(
                flat, self.layout, series, origin[None], chunks, self.recipe.horizon
            )
            predicted = network(self.layout, network.last_state(*inputs), look)
            loss = loss_of(self.recipe.likelihood, predicted, actual, known, look, self.levels)
            total, count = total + loss * known.sum(), count + known.sum()
        return (total / count.clamp(min=1)).item()


class Schedule:
    """Linear warm-up, then cosine to zero, or constant and halved when validation stalls."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.last = 0.0
        self.factor, self.best, self.rounds = 1.0, math.inf, 0

    def rate(self, step: int, elapsed: float) -> float:
        """Learning rate of `step` (from 1); a time limit brings the end of the cosine forward."""
        recipe = self.recipe
        warm = min(1.0, step / max(1, min(recipe.warmup, recipe.steps // 4)))
        done = (step - 1) / recipe.steps
        if recipe.seconds is not None:
            done = max(done, min(1.0, elapsed / recipe.seconds))
        shape = 0.5 * (1 + math.cos(math.pi * done)) if recipe.schedule == "cosine" else self.factor
        self.last = recipe.learning_rate * warm * shape
        return self.last

    def seen(self, validation: float) -> None:
        """Takes note of a validation loss (reduce on plateau: half after two idle rounds)."""
        # A likelihood's loss may be negative.
        if validation < (self.best * (0.999 if self.best > 0 else 1.001)):
            self.best, self.rounds = validation, 0
            return
        self.rounds += 1
        if self.rounds >= 2:
            self.factor, self.rounds = self.factor / 2, 0


class BestWeights:
    """The best averaged weights so far; without validation, the latest."""

    def __init__(self, network: ResidualNetwork, loss: float) -> None:
        self.loss, self.step, self.idle = loss, 0, 0
        self.state = copy.deepcopy(network.state_dict())

    def offer(self, network: ResidualNetwork, loss: float, step: int) -> int:
        """Keeps the weights if they are better; returns the rounds without improvement."""
        if math.isnan(loss) or loss < self.loss:
            self.loss, self.step, self.idle = loss, step, 0
            self.state = copy.deepcopy(network.state_dict())
        else:
            self.idle += 1
        return self.idle

    def arrays(self) -> dict[str, np.ndarray]:
        """The kept weights as numpy arrays on the CPU."""
        return {k: v.detach().cpu().float().numpy().copy() for k, v in self.state.items()}


@torch.no_grad()
def average_into(averaged: ResidualNetwork, network: ResidualNetwork, decay: float) -> None:
    """averaged <- decay * averaged + (1 - decay) * network (Polyak & Juditsky 1992)."""
    mine: list[Tensor] = list(averaged.parameters())
    theirs: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(mine, theirs, 1 - decay)


def _fitting(initial: Mapping[str, np.ndarray], network: ResidualNetwork) -> dict[str, Tensor]:
    """The weights to start from; covariates' layers only where they are of the same size."""
    sizes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {
        name: torch.as_tensor(array)
        for name, array in initial.items()
        if not name.startswith(COVARIATE_LAYERS) or sizes.get(name) == array.shape
    }


def parameter_groups(network: ResidualNetwork) -> list[dict[str, Any]]:
    """The parameters, those of the covariates apart: new layers learn faster than trained ones."""
    new = [p for n, p in network.named_parameters() if n.startswith(COVARIATE_LAYERS)]
    old = [p for n, p in network.named_parameters() if not n.startswith(COVARIATE_LAYERS)]
    groups = [{"params": old, "pace": 1.0}]
    return [*groups, {"params": new, "pace": COVARIATE_PACE}] if new else groups


def tensors(known: Known, device: torch.device) -> Known:
    """The known features as tensors on `device`."""
    return Known(**{k: torch.as_tensor(v, device=device) for k, v in vars(known).items()})


def to_device(flat: Flat, device: torch.device) -> Flat:
    """The flat arrays as tensors on `device`."""
    arrays: dict[str, Any] = {
        name: torch.as_tensor(value, device=device) for name, value in _fields(flat).items()
    }
    return Flat(**arrays)


def _fields(flat: Flat) -> dict[str, object]:
    return {f.name: getattr(flat, f.name) for f in fields(flat)}
