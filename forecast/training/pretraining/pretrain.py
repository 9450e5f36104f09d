"""Pretrains a backbone on synthetic series alone; stops and resumes to the bit.

Every random choice of step n comes from generators seeded with (seed, n), and the pool of series
that it draws from from (seed, n // POOL_STEPS): a checkpoint is weights, averaged weights, Adam's
moments and n, all in one safetensors file.

Axes: B batch, T LSTM steps, N observations.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch  # noqa: TID253 - imported only where a network is trained
from safetensors import safe_open
from safetensors.torch import save_file

from forecast.common.errors import TrainingError, UsageError
from forecast.data.forecast import LEVELS
from forecast.models.networks.residual import ResidualNetwork
from forecast.models.pretrained import save_backbone
from forecast.training.config import TrainConfig
from forecast.training.loop import average_into, resolve_device
from forecast.training.pretraining.config import load_config
from forecast.training.pretraining.generate import VERSION
from forecast.training.pretraining.pool import Drawing, Group, supply
from forecast.training.sampler import Sampler, to_device
from forecast.transforms.windows import POINTS, segment_layout, step_layout

POOL_SERIES = {"step": 6000, "day": 1500}
# (context, horizon) pairs that steps cycle through, so that neither is a constant to rely on.
SHAPES = {
    "step": ((24, 24), (48, 24), (72, 24), (112, 48), (72, 24), (36, 24), (112, 72), (56, 48)),
    "day": ((28, 48), (21, 48), (28, 168), (14, 48), (28, 48), (7, 48)),
}
ORIGINS_PER_WINDOW = {"step": 12, "day": 8}


@dataclass(frozen=True)
class Pretraining:
    """One pretraining run; all of it is written beside the weights."""

    kind: str  # "step" or "day"
    steps: int
    hidden_size: int = 128
    layers: int = 2
    batch_size: int = 96
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.999
    dropout: float = 0.0
    seed: int = 7
    levels: tuple[float, ...] = ()
    device: str = "cpu"
    pool_steps: int = 500  # that draw from one pool of series
    pool_series: int = 0  # of a pool; 0: as many as are usual for the kind
    synthetic: str = ""  # JSON of what differs from the usual series
    mixer: int = 0  # channels of the mixer over the horizon; 0: none

    @property
    def drawing(self) -> Drawing:
        """What its pools are drawn with."""
        series = self.pool_series or POOL_SERIES[self.kind]
        return Drawing(self.kind, self.seed, series, self.synthetic)


class Pool:
    """Synthetic series grouped by season, each group ready to sample windows from."""

    def __init__(self, run: Pretraining, groups: list[Group], device: torch.device) -> None:
        self.run = run
        self.groups = [
            (to_device(g.flat, device), g.layout, torch.as_tensor(g.lengths, device=device))
            for g in groups
        ]
        sizes = [len(g.lengths) for g in groups]
        self.share = np.cumsum(sizes) / np.sum(sizes)
        self.samplers: dict[tuple[int, int], Sampler] = {}

    def sampler(self, step: int, config: TrainConfig) -> Sampler:
        """The sampler of step `step`, its generator freshly seeded."""
        chance = np.random.default_rng((self.run.seed, step)).random()
        group = int(np.searchsorted(self.share, chance))
        shape = step % len(SHAPES[self.run.kind])
        flat, layout, lengths = self.groups[min(group, len(self.groups) - 1)]
        if (group, shape) not in self.samplers:
            context, horizon = SHAPES[self.run.kind][shape]
            # Yearly and quarterly data are not asked for decades.
            horizon = min(horizon, POINTS) if layout.season < 5 else horizon
            part = replace(
                config,
                context=context,
                horizon=horizon,
                origins_per_window=min(config.origins_per_window, context),
            )
            self.samplers[group, shape] = Sampler([flat], layout, part, lengths)
        sampler = self.samplers[group, shape]
        sampler.generator.manual_seed(self.run.seed * 1_000_003 + step)
        return sampler


@dataclass
class State:
    """What a checkpoint holds."""

    network: ResidualNetwork
    averaged: ResidualNetwork
    optimiser: torch.optim.AdamW
    step: int = 0


def pretrain(
    run: Pretraining,
    checkpoint: Path,
    *,
    every: int = 500,
    report: Callable[[int, float, float], None] = lambda step, loss, rate: None,
    until: int | None = None,
    seconds: float = math.inf,
    workers: int = 0,
) -> State:
    """Trains from `checkpoint` if it exists, else from the start, to the end or step `until`.

    report(step, mean loss since the last report, steps a second) is called every `every` steps,
    right after the checkpoint was written. seconds: after which it stops at the next such step.
    workers: processes that make series ahead of use; they are the same without. Raises UsageError
    when the checkpoint belongs to another run, TrainingError when the loss is not finite.
    """
    device = resolve_device(run.device)
    torch.backends.cuda.matmul.allow_tf32 = True  # cuDNN's LSTM takes it anyway
    state = _start(run, device)
    if checkpoint.exists():
        _restore(state, run, checkpoint)
    config = _config(run)
    pool, pool_number = None, -1
    total, count = torch.zeros((), device=device), 0
    clock, last = time.monotonic(), until or run.steps
    ends = clock + seconds
    with supply(run.drawing, workers) as pools:
        while state.step < last and clock < ends:
            step = state.step
            if step // run.pool_steps != pool_number:
                pool_number = step // run.pool_steps
                pool = Pool(run, pools(pool_number, (last - 1) // run.pool_steps), device)
            assert pool is not None
            torch.manual_seed(run.seed * 1_000_003 + step)
            total, count = total + _one_step(state, run, pool, config), count + 1
            if state.step % every == 0 or state.step == last:
                mean = _finite(total.item() / count, step)
                save_checkpoint(state, run, checkpoint)
                report(state.step, mean, count / (time.monotonic() - clock))
                total, count = torch.zeros_like(total), 0
                clock = time.monotonic()
    return state


def _finite(loss: float, step: int) -> float:
    """The loss; raises TrainingError when it is not a number."""
    if not math.isfinite(loss):
        raise TrainingError(
            "the pretraining loss is not finite", code="pretrain/not-finite", where=f"step {step}"
        )
    return loss


def _one_step(state: State, run: Pretraining, pool: Pool, config: TrainConfig) -> torch.Tensor:
    """One optimisation step; returns its loss."""
    rate = run.learning_rate * min(1.0, (state.step + 1) / 200)
    rate *= 0.5 * (1 + math.cos(math.pi * state.step / run.steps))
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    loss = pool.sampler(state.step, config).loss(state.network)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), run.clip)
    state.optimiser.step()
    state.step += 1
    average_into(state.averaged, state.network, min(run.average, state.step / (state.step + 10)))
    return loss.detach()


def _config(run: Pretraining) -> TrainConfig:
    context, horizon = SHAPES[run.kind][0]
    return TrainConfig(
        steps=run.steps,
        batch_size=run.batch_size,
        context=context,
        origins_per_window=ORIGINS_PER_WINDOW[run.kind],
        horizon=horizon,
        levels=run.levels,
        hidden_size=run.hidden_size,
        layers=run.layers,
        dropout=run.dropout,
        learning_rate=run.learning_rate,
        schedule="cosine",
        warmup=200,
        weight_decay=run.weight_decay,
        clip=run.clip,
        average=run.average,
        patience=1,
        seed=run.seed,
        device=run.device,
    )


def _start(run: Pretraining, device: torch.device) -> State:
    torch.manual_seed(run.seed)
    features = (segment_layout(24) if run.kind == "day" else step_layout(1)).features
    network = ResidualNetwork(
        features, run.hidden_size, run.layers, len(run.levels), run.dropout, mixer=run.mixer
    )
    network.to(device).train()
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=run.learning_rate,
        weight_decay=run.weight_decay,
        fused=device.type == "cuda",
    )
    return State(network, copy.deepcopy(network), optimiser)


def save_checkpoint(state: State, run: Pretraining, path: Path) -> None:
    """Writes the checkpoint whole or not at all."""
    tensors: dict[str, torch.Tensor] = {}
    for name, model in (("network", state.network), ("averaged", state.averaged)):
        tensors |= {f"{name}.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for number, parameter in enumerate(state.network.parameters()):
        moments = state.optimiser.state[parameter]
        tensors[f"mean.{number}"] = moments["exp_avg"].contiguous()
        tensors[f"square.{number}"] = moments["exp_avg_sq"].contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, {"run": json.dumps(asdict(run)), "step": str(state.step)})
    part.replace(path)


def _restore(state: State, run: Pretraining, path: Path) -> None:
    """Loads a checkpoint of the same run into `state`."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
        if json.loads(about["run"]) != json.loads(json.dumps(asdict(run))):
            raise UsageError(
                "the checkpoint belongs to another pretraining run",
                code="pretrain/other-run",
                where=str(path),
                remedy="Remove it, or repeat the options it was made with",
            )
        for name, model in (("network", state.network), ("averaged", state.averaged)):
            model.load_state_dict({k: file.get_tensor(f"{name}.{k}") for k in model.state_dict()})
        state.step = int(about["step"])
        fused = state.optimiser.defaults["fused"]
        for number, parameter in enumerate(state.network.parameters()):
            place = parameter.device if fused else "cpu"
            state.optimiser.state[parameter] = {
                "step": torch.tensor(float(state.step), device=place),
                "exp_avg": file.get_tensor(f"mean.{number}").to(parameter.device),
                "exp_avg_sq": file.get_tensor(f"square.{number}").to(parameter.device),
            }


def export(run: Pretraining, checkpoint: Path, folder: Path, about: dict[str, object]) -> None:
    """Writes the averaged weights of a checkpoint as a backbone (see models/pretrained.py)."""
    state = _start(run, torch.device("cpu"))
    _restore(state, run, checkpoint)
    weights = {k: v.numpy() for k, v in state.averaged.state_dict().items()}
    context = max(context for context, _ in SHAPES[run.kind])
    horizon = max(horizon for _, horizon in SHAPES[run.kind])
    story = {"run": asdict(run), "step": state.step, "series": VERSION, **about}
    save_backbone(run.kind, weights, run.levels, context, horizon, story, folder)


def _command_line() -> argparse.Namespace:
    """What the command line asks for."""
    words = argparse.ArgumentParser(description="Pretrain a backbone on synthetic series.")
    words.add_argument("kind", choices=tuple(SHAPES), help="a value a step, or a day a step")
    words.add_argument("folder", type=Path, help="where the backbone goes; must not exist")
    words.add_argument("--steps", type=int, default=6_000)
    words.add_argument("--hidden", type=int, default=128)
    words.add_argument("--seed", type=int, default=7)
    words.add_argument("--device", default="auto")
    words.add_argument("--layers", type=int, default=2)
    words.add_argument("--batch-size", type=int, default=96)
    words.add_argument("--learning-rate", type=float, default=1.5e-3)
    words.add_argument("--average", type=float, default=0.999)
    words.add_argument("--pool-steps", type=int, default=500)
    words.add_argument("--pool-series", type=int, default=0)
    words.add_argument("--mixer", type=int, default=0, help="channels of the horizon's mixer")
    words.add_argument("--recipe", type=Path, default=None, help="YAML as configs/synthetic.yaml")
    words.add_argument("--workers", type=int, default=0, help="processes that make series ahead")
    words.add_argument("--seconds", type=float, default=math.inf, help="stop after so many")
    words.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    words.add_argument("--checkpoint", type=Path, default=None, help="default: FOLDER.checkpoint")
    return words.parse_args()


def _asked(given: argparse.Namespace) -> Pretraining:
    """The run that the command line asks for."""
    synthetic = (
        load_config(given.recipe).model_dump_json(exclude_defaults=True) if given.recipe else ""
    )
    return Pretraining(
        given.kind,
        given.steps,
        given.hidden,
        given.layers,
        given.batch_size,
        given.learning_rate,
        average=given.average,
        seed=given.seed,
        levels=LEVELS,
        device=str(resolve_device(given.device)),
        pool_steps=given.pool_steps,
        pool_series=given.pool_series,
        synthetic=synthetic,
        mixer=given.mixer,
    )


def main() -> None:
    """Pretrains a backbone, resuming if it was stopped.

    `python -m forecast.training.pretraining.pretrain --help` says how.
    """
    given = _command_line()
    run = _asked(given)
    checkpoint = given.checkpoint or given.folder.with_suffix(".checkpoint")
    told: list[dict[str, float]] = []
    started = time.monotonic()

    def report(step: int, loss: float, rate: float) -> None:
        told.append({"step": step, "loss": loss})
        print(f"step {step}/{run.steps}  loss {loss:.4f}  {rate:.1f} steps/s", flush=True)

    state = pretrain(
        run,
        checkpoint,
        every=given.every,
        report=report,
        seconds=given.seconds,
        workers=given.workers,
    )
    if state.step < run.steps:
        print(f"stopped after step {state.step}; the same command goes on from {checkpoint}")
        return
    about = {
        "command": " ".join(["python -m forecast.training.pretraining.pretrain", *sys.argv[1:]]),
        "seconds": round(time.monotonic() - started),
        "device": run.device,
        "losses": told[-5:],
    }
    export(run, checkpoint, given.folder, about)


if __name__ == "__main__":
    main()
