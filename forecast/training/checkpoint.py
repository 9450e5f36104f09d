"""Where a fit stands, in one safetensors file: what is needed to go on to the very same bits.

Weights, averaged and best weights, the optimiser's moments, the state of every random generator,
the schedule's memory and the position. Nothing in it can run code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.errors import ModelDamagedError
from forecast.common.files import write_bytes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

SCHEDULE = ("last", "factor", "best", "rounds")
KEPT = ("loss", "step", "idle")


@dataclass
class Standing:
    """All that changes while a fit runs; objects are those of the loop, filled in place.

    step: optimisation steps done; total, count: training loss since the last evaluation; elapsed:
    seconds spent.
    """

    network: Any
    averaged: Any
    optimiser: Any
    schedule: Any
    best: Any
    generator: torch.Generator
    total: torch.Tensor
    step: int = 0
    count: int = 0
    elapsed: float = 0.0


class Checkpoint:
    """The file of one fit, written at most every `every` seconds and when the fit is stopped."""

    def __init__(self, path: Path, every: float) -> None:
        self.path, self.every = path, every
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._saved >= self.every

    def save(self, standing: Standing) -> None:
        """Replaces the file by where the fit stands now. Raises OutputError."""
        import torch
        from safetensors.torch import save

        tensors: Tensors = {"total": standing.total, "random.cpu": torch.get_rng_state()}
        tensors["random.draws"] = standing.generator.get_state()
        if standing.total.is_cuda:
            tensors["random.cuda"] = torch.cuda.get_rng_state(standing.total.device)
        for name, state in _models(standing).items():
            tensors |= {f"{name}.{key}": value for key, value in state.items()}
        for number, moments in standing.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
        about = {
            "step": standing.step,
            "count": standing.count,
            "elapsed": standing.elapsed,
            "schedule": {name: repr(getattr(standing.schedule, name)) for name in SCHEDULE},
            "best": {name: repr(getattr(standing.best, name)) for name in KEPT},
        }
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(self.path, save(whole, {"about": json.dumps(about)}))
        self._saved = time.monotonic()

    def restore(self, standing: Standing) -> bool:
        """Brings `standing` to where the file says; False when there is no file.

        Raises ModelDamagedError when the file does not fit.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return False
        try:
            with safe_open(self.path, "pt") as file:
                about = json.loads(file.metadata()["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            _restore_objects(standing, tensors)
            standing.total.copy_(tensors["total"])
            standing.generator.set_state(tensors["random.draws"])
            if "random.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random.cuda"], standing.total.device)
            for name, text in about["schedule"].items():
                setattr(standing.schedule, name, _number(text))
            for name, text in about["best"].items():
                setattr(standing.best, name, _number(text))
            standing.step, standing.count = int(about["step"]), int(about["count"])
            standing.elapsed = float(about["elapsed"])
            torch.set_rng_state(tensors["random.cpu"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelDamagedError(
                "the checkpoint of an unfinished training cannot be read",
                code="train/checkpoint-damaged",
                where=str(self.path),
                remedy="Remove its folder; the training then starts anew",
            ) from error
        return True


def _models(standing: Standing) -> dict[str, Mapping[str, torch.Tensor]]:
    return {
        "network": standing.network.state_dict(),
        "averaged": standing.averaged.state_dict(),
        "best": standing.best.state,
    }


def _restore_objects(standing: Standing, tensors: Tensors) -> None:
    """Weights and moments; moments are moved to where the parameters are by the optimiser."""

    def part(prefix: str) -> Tensors:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    standing.network.load_state_dict(part("network."))
    standing.averaged.load_state_dict(part("averaged."))
    device = standing.total.device
    standing.best.state = {name: value.to(device) for name, value in part("best.").items()}
    state: dict[int, Tensors] = {}
    for name, tensor in part("optimiser.").items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = tensor
    groups = standing.optimiser.state_dict()["param_groups"]
    standing.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _number(text: str) -> float | int:
    """What `repr` wrote: an int, a float, inf or nan."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def once(
    path: Path, make: Callable[[], Any], kind: Callable[..., Any], *, writes: bool = True
) -> Any:
    """The result of a fit: read from `path`, or made and, unless it was interrupted, kept there.

    writes: False where another rank keeps it. kind: makes one of weights, best_step, best_loss and
    ended (training.Fitted).
    """
    from safetensors import safe_open
    from safetensors.numpy import save

    if path.is_file():
        with safe_open(path, "np") as file:
            about = json.loads(file.metadata()["about"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return kind(weights, **about)
    made = make()
    if writes and made.ended != "interrupted":
        about = {"best_step": made.best_step, "best_loss": made.best_loss, "ended": made.ended}
        write_bytes(path, save(made.weights, {"about": json.dumps(about)}))
    return made
