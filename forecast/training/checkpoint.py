"""Where a fit stands, in one safetensors file: what is needed to go on to the very same bits.

Weights, averaged and best weights, the optimiser's moments, the state of every random generator,
the schedule's memory and the position. Nothing in it can run code, and its sum stands at its end:
weights that changed on disk would be trained on as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from forecast.common.documents import (
    BadDocument,
    Count,
    Document,
    check_schema,
    open_seal,
    parse_document,
    read_bounded,
    read_document,
    sealed,
)
from forecast.common.errors import ModelDamagedError
from forecast.common.files import write_bytes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

SCHEDULE = ("last", "factor", "best", "rounds")
KEPT = ("loss", "step", "idle")
MARK = b"lstmcast-sha256:"  # before the sum at the end of a file
LARGEST = 2 * 2**30  # bytes of a file that is read

Number = Annotated[str, Field(max_length=40)]  # as `repr` writes an int or a float


class AboutFit(Document):
    """What a checkpoint says beside its tensors."""

    step: Count
    count: Count
    elapsed: Annotated[float, Field(ge=0, le=1e9)]
    schedule: dict[Literal["last", "factor", "best", "rounds"], Number]
    best: dict[Literal["loss", "step", "idle"], Number]


class AboutResult(Document):
    """What the file of a finished fit says beside its weights."""

    best_step: Count
    best_loss: float | None
    ended: Annotated[str, Field(max_length=100)]


class AboutMember(AboutResult):
    """What the file of a finished member says beside its weights; sums: of the files of these."""

    device: Annotated[str, Field(max_length=100)]
    sums: dict[Literal["scored", "final"], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]


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
        for number, moments in enumerate(standing.optimiser.moments):
            tensors |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
        about = {
            "step": standing.step,
            "count": standing.count,
            "elapsed": standing.elapsed,
            "schedule": {name: repr(getattr(standing.schedule, name)) for name in SCHEDULE},
            "best": {name: repr(getattr(standing.best, name)) for name in KEPT},
        }
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_summed(self.path, save(whole, {"about": json.dumps(about)}))
        self._saved = time.monotonic()

    def restore(self, standing: Standing) -> bool:
        """Brings `standing` to where the file says; False when there is no file.

        Raises ModelDamagedError when the file does not fit.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        if not self.path.is_file():
            return False
        try:
            blob = read_summed(self.path)
            about, tensors = check_schema(AboutFit, about_in(blob)), load(blob)
            _restore_objects(standing, tensors)
            standing.total.copy_(tensors["total"])
            standing.generator.set_state(tensors["random.draws"])
            if "random.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random.cuda"], standing.total.device)
            for part, numbers in ((standing.schedule, about.schedule), (standing.best, about.best)):
                for name, text in numbers.items():
                    setattr(part, name, _number(text))
            standing.step, standing.count = about.step, about.count
            standing.elapsed = about.elapsed
            torch.set_rng_state(tensors["random.cpu"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelDamagedError(
                f"the checkpoint of an unfinished training cannot be read: it {error}",
                code="train/checkpoint-damaged",
                where=str(self.path),
                remedy="Remove its folder; the training then starts anew",
            ) from error
        return True


def write_summed(path: Path, blob: bytes) -> None:
    """Replaces `path` by `blob` with its sum at the end. Raises OutputError."""
    write_bytes(path, blob + MARK + hashlib.sha256(blob).digest())


def read_summed(path: Path) -> bytes:
    """What `write_summed` wrote. Raises BadDocument where it is not, OSError."""
    content = read_bounded(path, LARGEST)
    blob, mark, digest = content[:-48], content[-48:-32], content[-32:]
    if mark != MARK or hashlib.sha256(blob).digest() != digest:
        raise BadDocument("does not match the sum at its end")
    return blob


def about_in(blob: bytes) -> dict[str, Any]:
    """The document that a safetensors file holds beside its tensors. Raises BadDocument."""
    size = int.from_bytes(blob[:8], "little")
    if not 0 < size <= len(blob) - 8:
        raise BadDocument("is no safetensors file")
    beside = parse_document(blob[8 : 8 + size]).get("__metadata__")
    if not isinstance(beside, dict) or not isinstance(beside.get("about"), str):
        raise BadDocument("does not say what it holds")
    return parse_document(beside["about"])


def write_member(path: Path, about: Mapping[str, Any], **weights: Path) -> None:
    """Writes the file that says that a member is finished, with the sums of its weights."""
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in weights.items()}
    loss = about["best_loss"] if math.isfinite(about["best_loss"]) else None
    document = sealed({**about, "best_loss": loss, "sums": sums})
    write_bytes(path, json.dumps(document, allow_nan=False).encode())


def read_finished(path: Path, **weights: Path) -> dict[str, Any]:
    """What `write_member` wrote, the weights' files looked at. Raises BadDocument, OSError."""
    document = read_document(path)
    open_seal(document, required=True)
    about = check_schema(AboutMember, document).model_dump()
    for name, digest in about.pop("sums").items():
        if hashlib.sha256(read_bounded(weights[name], LARGEST)).hexdigest() != digest:
            raise BadDocument(f"does not match its weights: {name}")
    return {**about, "best_loss": math.inf if about["best_loss"] is None else about["best_loss"]}


def forget_damaged(folder: Path) -> list[str]:
    """Removes what an unfinished training left in `folder` and cannot be gone on from: checkpoints,
    finished fits and finished members that are not as they were written. Returns their names."""
    gone = []
    for path in sorted(folder.glob("member-*")):
        member = path.with_suffix("")
        kinds = {"scored": Path(f"{member}-scored.safetensors"),
                 "final": Path(f"{member}-final.safetensors")}  # fmt: skip
        try:
            if path.suffix == ".checkpoint":
                check_schema(AboutFit, about_in(read_summed(path)))
            elif path.name.endswith("-fit.safetensors"):
                check_schema(AboutResult, about_in(read_summed(path)))
            elif path.suffix == ".json":
                read_finished(path, **kinds)
        except (BadDocument, OSError):
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return gone


def _models(standing: Standing) -> dict[str, Mapping[str, torch.Tensor]]:
    return {
        "network": standing.network.state_dict(),
        "averaged": standing.averaged.state_dict(),
        "best": standing.best.state,
    }


def _restore_objects(standing: Standing, tensors: Tensors) -> None:
    """Weights and the optimiser's moments."""

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
    for name, tensor in part("optimiser.").items():
        number, key = name.split(".")
        standing.optimiser.moments[int(number)][key].copy_(tensor)


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
    from safetensors.numpy import load, save

    if path.is_file():
        blob = read_summed(path)
        about = check_schema(AboutResult, about_in(blob)).model_dump()
        if about["best_loss"] is None:
            about["best_loss"] = math.inf
        return kind(dict(load(blob)), **about)
    made = make()
    if writes and made.ended != "interrupted":
        loss = made.best_loss if math.isfinite(made.best_loss) else None
        about = {"best_step": made.best_step, "best_loss": loss, "ended": made.ended}
        write_summed(path, save(made.weights, {"about": json.dumps(about)}))
    return made
