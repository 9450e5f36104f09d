"""Pretrains a backbone on synthetic series alone; stops and resumes to the bit.

Every random choice of step n comes from generators seeded with (seed, n), and the pool of series
that it draws from from (seed, n // POOL_STEPS): a checkpoint is weights, averaged weights, Adam's
moments and n, all in one safetensors file.

Axes: B batch, T LSTM steps, N observations.
"""

from __future__ import annotations

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
from forecast.training.config import Recipe
from forecast.training.loop import average_into, resolve_device
from forecast.training.pretraining.generate import VERSION, SyntheticBatch, generate
from forecast.training.pretraining.recipe import Recipe as SeriesRecipe
from forecast.training.pretraining.recipe import StepRecipe
from forecast.training.sampler import Sampler, to_device
from forecast.transforms.scaling import calls_for_log, scale_panel
from forecast.transforms.windows import POINTS, Flat, Layout, segment_layout, step_layout

POOL_STEPS = 500  # steps that draw from one pool of series
POOL_SERIES = {"step": 6000, "day": 1500}
LENGTH = {"step": 320, "day": 42 * 24}
# (context, horizon) pairs that steps cycle through, so that neither is a constant to rely on.
SHAPES = {
    "step": ((24, 24), (48, 24), (72, 24), (112, 48), (72, 24), (36, 24), (112, 72), (56, 48)),
    "day": ((28, 48), (21, 48), (28, 168), (14, 48), (28, 48), (7, 48)),
}
# Daily series of two to four years, for the skip that looks back a year.
YEAR, LONG_SERIES, LONG_LENGTH = 364, 400, 4 * 364
YEARS = SeriesRecipe(
    step=StepRecipe(seasons={7: 1.0}, lengths={7: (2 * YEAR + 2, LONG_LENGTH)}),
)
LEAST_STEPS = 12  # LSTM steps that a series keeps when its beginning is cut off
CUT = {"step": 0.5, "day": 0.25}  # share of series whose beginning is cut off
FORKS = {"step": 12, "day": 8}


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


class Pool:
    """Synthetic series grouped by season, each group ready to sample windows from."""

    def __init__(self, run: Pretraining, number: int, device: torch.device) -> None:
        seed = run.seed * 1_000_003 + number
        batch = generate(POOL_SERIES[run.kind], LENGTH[run.kind], run.kind, seed=seed)
        self.run, self.device = run, device
        self.rng = np.random.default_rng((run.seed, number, 1))
        self.groups: list[tuple[Flat, Layout, torch.Tensor]] = []
        sizes = []
        for season in np.unique(batch.season):
            rows = np.flatnonzero(batch.season == season)
            layout = segment_layout(24) if run.kind == "day" else step_layout(int(season))
            self.groups.append(self._group(batch, rows, layout))
            sizes.append(len(rows))
        if run.kind == "step":
            years = generate(LONG_SERIES, LONG_LENGTH, "step", seed=seed, recipe=YEARS)
            self.groups.append(self._group(years, np.arange(LONG_SERIES), step_layout(7, YEAR)))
            sizes.append(LONG_SERIES)
        self.share = np.cumsum(sizes) / np.sum(sizes)
        self.samplers: dict[tuple[int, int], Sampler] = {}

    def _group(
        self, batch: SyntheticBatch, rows: np.ndarray, layout: Layout
    ) -> tuple[Flat, Layout, torch.Tensor]:
        """Flat arrays of the series `rows`, which stand right-aligned in the batch."""
        recorded = np.where(batch.mask[rows], batch.values[rows], np.nan)
        lengths = self._kept(batch.lengths[rows], layout)
        place = np.arange(recorded.shape[1])[None, :] - (recorded.shape[1] - lengths[:, None])
        values = recorded[place >= 0].astype(np.float64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        scaled = scale_panel(
            values,
            offsets,
            lags=[g for g in layout.lags if g],
            level_window=layout.level_window,
            logged=self._logged(values, offsets, layout),
        )
        flat = to_device(Flat.of(scaled), self.device)
        return flat, layout, torch.as_tensor(lengths.astype(np.int64), device=self.device)

    def _kept(self, lengths: np.ndarray, layout: Layout) -> np.ndarray:
        """Lengths (S,) with the beginning of some of the series cut off, log-uniformly.

        The first value of real data is seldom the beginning of what made them.
        """
        least = np.minimum(LEAST_STEPS * layout.width + layout.long, lengths)
        share = self.rng.random(len(lengths))
        cut = least * (lengths / least) ** share
        cut = lengths - (lengths - cut).astype(np.int64) // layout.width * layout.width
        return np.where(self.rng.random(len(lengths)) < CUT[self.run.kind], cut, lengths)

    def _logged(self, values: np.ndarray, offsets: np.ndarray, layout: Layout) -> np.ndarray:
        """Series (S,) to take logarithms of, judged by a first part of each of random length.

        In use, the choice can know nothing of what comes; judged by whole series it would tell
        the network how far they are going to grow.
        """
        lengths = np.diff(offsets)
        least = np.minimum(LEAST_STEPS // 2 * layout.width, lengths)
        seen = least + (self.rng.random(len(lengths)) * (lengths - least + 1)).astype(np.int64)
        place = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)
        early = np.where(place < np.repeat(seen, lengths), values, np.nan)
        positive = np.minimum.reduceat(np.where(np.isnan(values), np.inf, values), offsets[:-1]) > 0
        return calls_for_log(early, offsets) & positive

    def sampler(self, step: int, recipe: Recipe) -> Sampler:
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
                recipe, context=context, horizon=horizon, forks=min(recipe.forks, context)
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
) -> State:
    """Trains from `checkpoint` if it exists, else from the start, to the end or step `until`.

    report(step, mean loss since the last report, steps a second) is called every `every` steps,
    right after the checkpoint was written. Raises UsageError when the checkpoint belongs to
    another run, TrainingError when the loss is not finite.
    """
    device = resolve_device(run.device)
    state = _start(run, device)
    if checkpoint.exists():
        _restore(state, run, checkpoint)
    recipe = _recipe(run)
    pool, pool_number = None, -1
    total, count = torch.zeros((), device=device), 0
    clock, last = time.monotonic(), until or run.steps
    while state.step < last:
        step = state.step
        if step // POOL_STEPS != pool_number:
            pool_number = step // POOL_STEPS
            pool = Pool(run, pool_number, device)
        assert pool is not None
        torch.manual_seed(run.seed * 1_000_003 + step)
        total, count = total + _one_step(state, run, pool, recipe), count + 1
        if state.step % every == 0 or state.step == last:
            mean = total.item() / count
            if not math.isfinite(mean):
                raise TrainingError(
                    "the pretraining loss is not finite",
                    code="pretrain/not-finite",
                    where=f"step {step}",
                )
            save_checkpoint(state, run, checkpoint)
            report(state.step, mean, count / (time.monotonic() - clock))
            total, count = torch.zeros_like(total), 0
            clock = time.monotonic()
    return state


def _one_step(state: State, run: Pretraining, pool: Pool, recipe: Recipe) -> torch.Tensor:
    """One optimisation step; returns its loss."""
    rate = run.learning_rate * min(1.0, (state.step + 1) / 200)
    rate *= 0.5 * (1 + math.cos(math.pi * state.step / run.steps))
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    loss = pool.sampler(state.step, recipe).loss(state.network)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), run.clip)
    state.optimiser.step()
    state.step += 1
    average_into(state.averaged, state.network, min(run.average, state.step / (state.step + 10)))
    return loss.detach()


def _recipe(run: Pretraining) -> Recipe:
    context, horizon = SHAPES[run.kind][0]
    return Recipe(
        steps=run.steps,
        batch_size=run.batch_size,
        context=context,
        forks=FORKS[run.kind],
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
    network = ResidualNetwork(features, run.hidden_size, run.layers, len(run.levels), run.dropout)
    network.to(device).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=run.learning_rate, weight_decay=run.weight_decay
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
        for number, parameter in enumerate(state.network.parameters()):
            state.optimiser.state[parameter] = {
                "step": torch.tensor(float(state.step)),
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


def main() -> None:
    """Pretrains a backbone, resuming if it was stopped.

    `python -m forecast.training.pretraining.pretrain --help` says how.
    """
    import argparse

    words = argparse.ArgumentParser(description="Pretrain a backbone on synthetic series.")
    words.add_argument("kind", choices=tuple(SHAPES), help="a value a step, or a day a step")
    words.add_argument("folder", type=Path, help="where the backbone goes; must not exist")
    words.add_argument("--steps", type=int, default=6_000)
    words.add_argument("--hidden", type=int, default=128)
    words.add_argument("--seed", type=int, default=7)
    words.add_argument("--device", default="auto")
    words.add_argument("--checkpoint", type=Path, default=None, help="default: FOLDER.checkpoint")
    given = words.parse_args()
    device = str(resolve_device(given.device))
    run = Pretraining(
        given.kind, given.steps, given.hidden, seed=given.seed, levels=LEVELS, device=device
    )
    checkpoint = given.checkpoint or given.folder.with_suffix(".checkpoint")
    told: list[dict[str, float]] = []
    started = time.monotonic()

    def report(step: int, loss: float, rate: float) -> None:
        told.append({"step": step, "loss": loss})
        print(f"step {step}/{run.steps}  loss {loss:.4f}  {rate:.1f} steps/s", flush=True)

    pretrain(run, checkpoint, report=report)
    about = {
        "command": " ".join(["python -m forecast.training.pretraining.pretrain", *sys.argv[1:]]),
        "seconds": round(time.monotonic() - started),
        "device": device,
        "losses": told[-5:],
    }
    export(run, checkpoint, given.folder, about)


if __name__ == "__main__":
    main()
