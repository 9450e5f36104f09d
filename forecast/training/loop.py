"""`fit`: one member of the ensemble, in one readable loop.

Each pass of the LSTM over a window trains the forecasts of several of its origins. Early stopping
watches the averaged weights on validation origins and the best of them are what is returned.

Axes: B batch, T LSTM steps, O origins of a window, S series, V validation origins.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch  # noqa: TID253 - imported only where a network is trained
from torch import Tensor  # noqa: TID253 - likewise
from torch.optim.adamw import adamw  # noqa: TID253 - likewise

from forecast.common.errors import TrainingError
from forecast.models.networks.covariate_effect import COVARIATE_LAYERS, EFFECTS
from forecast.models.networks.registry import effects_of, mixer_of
from forecast.models.networks.residual import ResidualNetwork
from forecast.training.checkpoint import Checkpoint, Standing
from forecast.training.config import BEHIND, TrainConfig
from forecast.training.distillation import Teacher
from forecast.training.distributed import ALONE, SingleProcess
from forecast.training.sampler import Sampler, ValidationLoss, tensors, to_device
from forecast.transforms.augment import distinct, seen
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.windows import Layout

# --- What surrounds a step of optimisation: its rate, averaged weights, the best weights so far


COVARIATE_PACE = 10.0  # learning rate of the covariates' layers relative to the others'


class Schedule:
    """Linear warm-up, then cosine to zero, or constant and halved when validation stalls."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.last = 0.0
        self.factor, self.best, self.rounds = 1.0, math.inf, 0

    def rate(self, step: int, elapsed: float) -> float:
        """Learning rate of `step` (from 1); a time limit brings the end of the cosine forward."""
        config = self.config
        warm = min(1.0, step / max(1, min(config.warmup, config.steps // 4)))
        done = (step - 1) / config.steps
        if config.seconds is not None:
            done = max(done, min(1.0, elapsed / config.seconds))
        shape = 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else self.factor
        self.last = config.learning_rate * warm * shape
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
        """Keeps the weights if they are better; returns the rounds without improvement, of which
        those well above the best count twice: such a fit goes from bad to worse."""
        if math.isnan(loss) or loss < self.loss:
            self.loss, self.step, self.idle = loss, step, 0
            self.state = copy.deepcopy(network.state_dict())
        else:
            self.idle += 2 if loss > RISEN * self.loss > 0 else 1
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


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), by torch's own function.

    torch.optim.AdamW gives the same bits, but making one imports torch._dynamo: a second of
    processor time and 72 MB for each member. Layers of covariates learn COVARIATE_PACE times as
    fast. `moments`: of each parameter, in the network's order with those layers last, the averages
    of its gradients and of their squares, and its steps.
    """

    def __init__(self, network: ResidualNetwork, decay: float, device: torch.device) -> None:
        named = sorted(network.named_parameters(), key=lambda n: n[0].startswith(COVARIATE_LAYERS))
        self.parameters = [parameter for _, parameter in named]
        self.new = sum(name.startswith(COVARIATE_LAYERS) for name, _ in named)
        self.decay, self.fused = decay, device.type in ("cpu", "cuda")  # all in one operation
        self.moments = [
            {
                "step": torch.zeros((), device=device if self.fused else None),
                "exp_avg": torch.zeros_like(each),
                "exp_avg_sq": torch.zeros_like(each),
            }
            for each in self.parameters
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step by the gradients, which are taken off; parameters without any stay."""
        old = len(self.parameters) - self.new
        pairs = list(zip(self.parameters, self.moments, strict=True))
        for part, pace in ((pairs[:old], 1.0), (pairs[old:], COVARIATE_PACE)):
            moved = [(each, moments) for each, moments in part if each.grad is not None]
            adamw(
                [each for each, _ in moved],
                [cast("Tensor", each.grad) for each, _ in moved],
                [moments["exp_avg"] for _, moments in moved],
                [moments["exp_avg_sq"] for _, moments in moved],
                [],
                [moments["step"] for _, moments in moved],
                fused=self.fused,
                foreach=False,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate * pace,
                weight_decay=self.decay,
                eps=1e-8,
                maximize=False,
            )
        for each in self.parameters:
            each.grad = None


# -------------------------------------------------------------------------------------------------


MOST_STEPS_BETWEEN = 100  # evaluations
RISEN = 1.02  # of the least validation loss, from where on a round counts twice
SECONDS_BETWEEN = 1.0  # progress reports


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
    ended: str  # "steps", "patience", "behind", "deadline" or "interrupted"


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


def resolve_precision(config: TrainConfig, device: torch.device) -> str:
    """ "fp32" or "bf16"; "auto" is bf16 for an LSTM on a processor with instructions for it.

    There a step takes seven tenths of the time, and what is learnt is as good: on four panels the
    quantile loss was 0.997 to 1.0001 of that in fp32 (benchmarks/TRIED.md).
    """
    if config.precision != "auto":
        return config.precision
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = device.type == "cpu" and (able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bf16" if fast and config.network == "lstm" else "fp32"


def fit(
    values: np.ndarray,
    offsets: np.ndarray,
    layout: Layout,
    config: TrainConfig,
    *,
    validation: np.ndarray | None = None,
    known: Known | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    interrupted: Callable[[], bool] = lambda: False,
    checkpoint: Checkpoint | None = None,
    ranks: SingleProcess = ALONE,
    teacher: Teacher | None = None,
    proximal: float = 0.0,
) -> Fitted:
    """Trains one member on ragged series: values float64 (N,), NaN = missing; offsets (S+1,).

    validation: origins int64 (V, S) whose next `horizon` values are kept out of training and
    watched; a negative entry stands for none. initial: weights to start from. checkpoint: where the
    fit saves its standing and goes on from it; interrupted, it then ends without an evaluation, so
    that it can go on as if nothing had been. ranks: the ranks that train together; then
    `interrupted` is one answer for all. teacher: whose quantiles it is drawn to. proximal: how
    strongly it is drawn back to where it started (FedProx). Raises TrainingError when the loss is
    not finite.
    """
    torch.manual_seed(config.seed)
    device = resolve_device(config.device)
    config = replace(config, precision=resolve_precision(config, device))
    views = distinct(config.views, values, offsets)
    flats = [to_device(seen(values, offsets, layout, view)[0], device) for view in views]
    weights = [view.weight for view in views]
    if known is not None:
        known = tensors(known, device)
    network = _network(layout, config, known, initial).to(device)
    validation_loss = ValidationLoss(flats, layout, config, validation, known, weights)
    last = torch.as_tensor(ranks.share(_ends(offsets, validation)), device=device)
    own = ranks.config(config)
    if own.seed != config.seed:  # what is dropped is another rank's, too
        torch.manual_seed(own.seed)
    sampler = Sampler(flats, layout, own, last, known, weights)
    if teacher is not None:
        sampler.draw_to(teacher)
    return _loop(
        network=network,
        sampler=sampler,
        validation_loss=validation_loss,
        config=config,
        report=report,
        interrupted=interrupted,
        checkpoint=checkpoint,
        ranks=ranks,
        proximal=proximal,
    )


def _ends(offsets: np.ndarray, validation: np.ndarray | None) -> np.ndarray:
    """Observations of each series to learn from, (S,): those before any that is watched."""
    ends = np.diff(offsets)
    if validation is None or not len(validation):
        return ends
    first = np.where(validation >= 0, validation, np.iinfo(np.int64).max).min(0)
    return np.minimum(ends, first)


def _network(
    layout: Layout, config: TrainConfig, known: Any, initial: Mapping[str, np.ndarray] | None
) -> ResidualNetwork:
    """The network of `config`, with the weights of `initial` where it has them. known: the tensors
    of the covariates."""
    network = ResidualNetwork(
        layout.features,
        config.hidden_size,
        config.layers,
        len(config.levels),
        config.dropout,
        known.ahead if known is not None else 0,
        known.beside(layout) if known is not None else 0,
        network=config.network,
        context=config.context,
        likelihood=config.likelihood,
        mixer=config.mixer if initial is None else mixer_of(initial),
    )
    if initial is not None:
        network.load_state_dict({**network.state_dict(), **_fitting(initial, network)})
    return network


def near_the_start(
    batch_loss: Callable[[], Tensor], network: ResidualNetwork, weight: float
) -> Callable[[], Tensor]:
    """The loss plus weight / 2 times the squared distance from the weights as they are now (Li et
    al. 2020, "Federated optimization in heterogeneous networks")."""
    now = [(p, p.detach().clone()) for p in network.parameters()]

    def loss() -> Tensor:
        away = torch.stack([(p - start).pow(2).sum() for p, start in now]).sum()
        return batch_loss() + weight / 2 * away

    return loss


def _loop(
    network: ResidualNetwork,
    sampler: Sampler,
    validation_loss: ValidationLoss,
    config: TrainConfig,
    report: Callable[[Progress], None],
    interrupted: Callable[[], bool],
    checkpoint: Checkpoint | None,
    ranks: SingleProcess,
    proximal: float,
) -> Fitted:
    """The training loop; see `fit`."""
    at = _standing(network, sampler, validation_loss, config, ranks)
    if checkpoint is not None:
        checkpoint.restore(at)
        interrupted, stopped = (lambda: False), interrupted
    clock = ranks.clock if config.seconds is not None else time.monotonic
    started, ended = clock() - at.elapsed, "steps"
    told = started
    every = min(max(1, config.steps // 20), MOST_STEPS_BETWEEN)
    network.train()
    batch_loss = ranks.loss(network, sampler)
    if proximal:
        batch_loss = near_the_start(batch_loss, network, proximal)
    for step in range(at.step + 1, config.steps + 1):
        if checkpoint is not None and (stopped() or checkpoint.due()):
            at.elapsed = clock() - started
            checkpoint.save(at)
            if stopped():
                ended = "interrupted"
                break
        _learn(at, batch_loss, config, at.schedule.rate(step, clock() - started))
        now = clock()
        stop = _reason_to_stop(interrupted, config, now - started)
        evaluate = step % every == 0 or step == config.steps or stop is not None
        if not evaluate and now - told < SECONDS_BETWEEN:
            continue
        told = now
        report(_evaluate(at, validation_loss, config, ranks, evaluate))
        if evaluate:  # never by when the clock asks for a report
            stop = stop or _reason_to_give_up(at, config)
        if stop:
            ended = stop
            break
    return Fitted(at.best.arrays(), at.best.step, at.best.loss, ended)


def _standing(
    network: ResidualNetwork,
    sampler: Sampler,
    validation_loss: ValidationLoss,
    config: TrainConfig,
    ranks: SingleProcess,
) -> Standing:
    """Where every fit begins: the weights as they are, averaged with nothing, the best so far."""
    averaged = copy.deepcopy(network).eval()
    optimiser = AdamW(network, config.weight_decay, sampler.device)
    best = BestWeights(averaged, ranks.same(validation_loss(averaged)))
    # A sum, not a list: small tensors that live on would pin freed memory between them.
    total = torch.zeros((), device=sampler.device)
    return Standing(network, averaged, optimiser, Schedule(config), best, sampler.generator, total)


def _learn(
    at: Standing, batch_loss: Callable[[], Tensor], config: TrainConfig, rate: float
) -> None:
    """One step: of the weights by the gradient of one batch, of the averaged ones towards them."""
    loss = batch_loss()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(at.network.parameters(), config.clip, foreach=True)
    at.optimiser.step(rate)
    at.step, at.count = at.step + 1, at.count + 1
    average_into(at.averaged, at.network, min(config.average, at.step / (at.step + 10)))
    at.total += loss.detach()


def _evaluate(
    at: Standing,
    validation_loss: ValidationLoss,
    config: TrainConfig,
    ranks: SingleProcess,
    evaluate: bool,
) -> Progress:
    """What there is to report; evaluated, best weights and schedule take note of it as well.

    Raises TrainingError when the training loss is not finite.
    """
    train_loss, validation = _finite(at.total.item() / at.count, at.step), math.nan
    if evaluate:
        validation = ranks.same(validation_loss(at.averaged))
        at.best.offer(at.averaged, validation, at.step)
        at.schedule.seen(validation)
        at.total.zero_()
        at.count = 0
    return Progress(
        at.step, config.steps, train_loss, validation, at.best.loss, at.schedule.last, evaluate
    )


def _reason_to_stop(
    interrupted: Callable[[], bool], config: TrainConfig, elapsed: float
) -> str | None:
    if interrupted():
        return "interrupted"
    return "deadline" if config.seconds is not None and elapsed > config.seconds else None


def _reason_to_give_up(at: Standing, config: TrainConfig) -> str | None:
    """What the validation losses so far say against going on."""
    if at.best.idle >= config.patience:
        return "patience"
    late = config.behind is not None and at.step >= config.steps // 3
    return BEHIND if late and at.best.loss > cast("float", config.behind) else None


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


def _fitting(initial: Mapping[str, np.ndarray], network: ResidualNetwork) -> dict[str, Tensor]:
    """The weights to start from; covariates' layers only where they are of the same size, and of
    an effect that said nothing of the spread, the spread as it begins."""
    sizes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if 0 < effects_of(initial) < EFFECTS:
        old = initial["effect_out.weight"]
        initial = {**initial, "effect_out.weight": np.pad(old, ((0, EFFECTS - len(old)), (0, 0)))}
    return {
        name: torch.as_tensor(array)
        for name, array in initial.items()
        if not name.startswith(COVARIATE_LAYERS) or sizes.get(name) == array.shape
    }
