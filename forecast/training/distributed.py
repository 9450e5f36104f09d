"""Training by several processes that torchrun started: who they are and what they must agree on.

Every rank draws its own windows from its share of the series with its own seeded stream; gradients
are averaged after every step (DistributedDataParallel), so the weights are the same everywhere.
Whatever depends on a clock, a signal or a rounding is decided by one rank for all. Rank 0 alone
writes. Where a fit stands is saved without regard to the number of ranks.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from forecast.common.errors import TrainingError, UsageError
from forecast.training.checkpoint import Checkpoint, Standing

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
STRIDE = 7_919  # between the seeds of two ranks
LOST = ("connection", "gloo", "nccl", "socket", "timed out")  # in what torch says of a lost rank


class SingleProcess:
    """One process that trains: the answers that need nobody else."""

    rank, size = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def config(self, config: Any) -> Any:
        """This rank's part of the config: its share of a batch and its own seed."""
        return config

    def share(self, ends: np.ndarray) -> np.ndarray:
        """`ends` (S,) with zero for the series that other ranks draw from."""
        return ends

    def loss(self, network: Any, sampler: Any) -> Callable[[], Any]:
        """Computes the loss of one batch; its gradient is that of all ranks together."""
        return partial(sampler.loss, network)

    def clock(self) -> float:
        """Seconds, the same on every rank."""
        return time.monotonic()

    def same(self, value: T) -> T:
        """Rank 0's value."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank."""
        return flag

    def checkpoint(self, path: Any, every: float, seed: int) -> Checkpoint:  # noqa: ARG002
        """The file of one fit; seed: of its random streams, which several ranks draw anew."""
        return Checkpoint(path, every)


class DistributedContext(SingleProcess):
    """This process among those of torchrun; all ranks call the same methods in the same order."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._asked: list[int] = []

    def config(self, config: Any) -> Any:
        batch = -(-config.batch_size // self.size)
        return replace(config, batch_size=batch, seed=config.seed + STRIDE * self.rank)

    def share(self, ends: np.ndarray) -> np.ndarray:
        """Every size-th series; all of them where there are too few to share."""
        mine = ends.copy()
        mine[[n % self.size != self.rank for n in range(len(ends))]] = 0
        fair = self.same(int((ends >= 2).sum()) >= 2 * self.size)
        return ends if self.any(not (mine >= 2).any()) or not fair else mine

    def loss(self, network: Any, sampler: Any) -> Callable[[], Any]:
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(_batch_loss(network, sampler))

    def clock(self) -> float:
        return self.same(time.monotonic())

    def same(self, value: T) -> T:
        import torch.distributed as ranks

        box = [value]
        ranks.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, flag: bool) -> bool:
        import torch
        import torch.distributed as ranks

        up = torch.tensor(int(flag))
        ranks.all_reduce(up, ranks.ReduceOp.MAX)
        return bool(up.item())

    def stopping(self) -> bool:
        """Whether any rank was asked to stop."""
        return self.any(bool(self._asked))

    def checkpoint(self, path: Any, every: float, seed: int) -> Checkpoint:
        return _Shared(path, every, self, seed)

    @contextmanager
    def together(self) -> Iterator[None]:
        """The part that all ranks do. A signal asks to stop; a lost rank is a TrainingError."""
        import torch.distributed as ranks

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {
            number: signal.signal(number, lambda received, frame: self._asked.append(received))
            for number in numbers
        }
        try:
            yield
        except RuntimeError as error:
            if not any(word in str(error).lower() for word in LOST):
                raise
            raise TrainingError(
                "another process of this training is gone",
                code="train/rank-lost",
                where=f"rank {self.rank} of {self.size}",
                value=str(error).splitlines()[0][:200],
                remedy="Start the same command again: it goes on from where it was saved",
            ) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        ranks.destroy_process_group()


ALONE = SingleProcess()


def join(asked: bool, environ: dict[str, str] | None = None) -> DistributedContext | None:
    """This process's place among those that torchrun started; None where it did not.

    asked: training.distributed was set, so that it must have. CPU ranks speak by gloo, GPUs by
    NCCL, on loopback unless the master's address or GLOO_SOCKET_IFNAME says otherwise. Raises
    UsageError.
    """
    found = os.environ if environ is None else environ
    missing = [name for name in NEEDED if name not in found]
    if missing and asked:
        raise UsageError(
            "training.distributed needs the environment that torchrun sets",
            code="usage/no-torchrun",
            value=", ".join(missing),
            remedy="torchrun --nproc-per-node 2 -m forecast train DATA ...",
        )
    started = asked or "TORCHELASTIC_RUN_ID" in found
    if missing or not started:
        return None
    _connect(int(found["LOCAL_RANK"]))
    return DistributedContext(int(found["RANK"]), int(found["WORLD_SIZE"]))


def _connect(local: int) -> None:
    """Joins the process group; this process then computes as a member's own does."""
    if os.environ["MASTER_ADDR"] in LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as ranks

    compute_the_same_bytes()
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    ranks.init_process_group(backend)


def compute_the_same_bytes() -> None:
    """From here on this process computes on one thread and by deterministic operations."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # That would also fill each new tensor before it is written: a tenth of the time of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _batch_loss(network: Any, sampler: Any) -> Any:
    """A module whose forward pass is the loss of one batch: what the gradients are averaged of."""
    import torch

    class BatchLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self) -> Any:
            return sampler.loss(self.network)

    return BatchLoss()


class _Shared(Checkpoint):
    """Written by rank 0 when any rank's time has come; read by all, who go on in new streams."""

    def __init__(self, path: Any, every: float, ranks: DistributedContext, seed: int) -> None:
        super().__init__(path, every)
        self._ranks, self._seed = ranks, seed

    def due(self) -> bool:
        return self._ranks.same(super().due())

    def save(self, standing: Standing) -> None:
        if self._ranks.first:
            super().save(standing)
        self._ranks.any(False)  # nobody goes on before it is written

    def restore(self, standing: Standing) -> bool:
        import torch

        found = super().restore(standing)
        if found:  # the file holds rank 0's streams, maybe of another number of ranks
            seed = self._seed + STRIDE * (self._ranks.rank + 1) + 104_729 * standing.step
            torch.manual_seed(seed)
            standing.generator.manual_seed(seed)
        return found
