"""What the training loop reaches of a bare LSTM loop of the same shape, and what cores bring.

The shape is that of M4 hourly: 414 series of 900 hourly values, one LSTM step a day, the recipe
that `train` itself would choose. Axes: T LSTM steps, B batch, h units, L layers.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.utils.flop_counter import FlopCounterMode

from forecast.config.schema import Settings
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.training.config import TrainConfig
from forecast.training.ensemble import MemberTask, train_members
from forecast.training.loop import fit, resolve_precision
from forecast.training.plan import Plan, make_plan

SERIES, LENGTH, HORIZON = 414, 900, 48
STEPS = 300  # of one turn: setting up has a small part
WHOLE = 300  # steps of the fit that validation origins watch
CORES_STEPS = 120  # of each member
BUSY = 0.1  # share of the cores that others use from which two cores say nothing


def loop_figures(turns: int) -> dict[str, Any]:
    """Rates of `fit` and of the bare loop, in turns, on one thread; then `fit` on two.

    `share_in_lstm`: of fit's wall time, with and without its validation rounds. Rates are
    floating-point operations of matrix products a second of processor time: those of the LSTM
    alone, and those of the whole network. Two threads are left out while others use the cores.
    """
    quiet = others_share() < BUSY
    job = Job.like_m4_hourly()
    torch.set_num_threads(1)
    flops, all_flops = job.lstm_flops(), job.all_flops()
    fitted, bare, inside = [], [], []
    for _ in range(turns):
        bare.append(spent(job.bare))
        clock = LSTMClock()
        with clock.running():
            fitted.append(spent(job.fit))
        inside.append((clock.forward + clock.backward) / fitted[-1].wall)
    clock = LSTMClock()
    with clock.running():
        whole = spent(lambda: job.fit(steps=WHOLE, watched=True))
    one, two = threads(job, turns) if quiet else (math.nan, math.nan)
    fit_cpu, bare_cpu = middle([t.cpu for t in fitted]), middle([t.cpu for t in bare])
    return {
        "shape": job.words(),
        "share_in_lstm": middle(inside),
        "share_in_lstm_with_validation": (clock.forward + clock.backward) / whole.wall,
        "bare_gflops": flops * STEPS / bare_cpu / 1e9,
        "fit_lstm_gflops": flops * STEPS / fit_cpu / 1e9,
        "fit_all_gflops": all_flops * STEPS / fit_cpu / 1e9,
        "step_ms": 1000 * fit_cpu / STEPS,
        "bare_step_ms": 1000 * bare_cpu / STEPS,
        "two_threads_speedup": one / two if quiet else None,
    }


def threads(job: Job, turns: int) -> tuple[float, float]:
    """Wall seconds of a fit on one thread and on two, in turns."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(max(1, turns // 2)):
        for count in found:
            torch.set_num_threads(count)
            found[count].append(spent(job.fit).wall)
    torch.set_num_threads(1)
    return middle(found[1]), middle(found[2])


def cores_figures(turns: int) -> dict[str, Any]:
    """Two members, one after the other and both at once: wall seconds, processes included."""
    if others_share() >= BUSY:
        return {"said": "other processes kept the cores busy"}
    job = Job.like_m4_hourly()
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(max(1, turns // 2)):
        for jobs in found:
            found[jobs].append(spent(lambda jobs=jobs: job.members(jobs)).wall)
    one, two = middle(found[1]), middle(found[2])
    return {"one_core_s": one, "two_cores_s": two, "speedup": one / two, "steps": CORES_STEPS}


def others_share() -> float:
    """Share of all cores' time that other processes use, watched for a second; 0 without /proc."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0

    def times() -> np.ndarray:
        return np.array(path.read_text().split("\n", 1)[0].split()[1:], float)

    before = times()
    time.sleep(1)
    passed = times() - before
    return float(1 - passed[3:5].sum() / passed.sum())  # less idle and waiting


def gpu_figures(turns: int) -> dict[str, Any]:
    """The same on a GPU: rates of `fit` and of a bare cuDNN loop, and seconds of a whole fit."""
    if not torch.cuda.is_available():
        return {"said": "no GPU here"}
    job = Job.like_m4_hourly(device="cuda")
    job.fit(), job.bare()
    fitted, bare = [], []
    for _ in range(turns):
        bare.append(spent(job.bare).wall)
        fitted.append(spent(job.fit).wall)
    return {
        "shape": job.words(),
        "device": torch.cuda.get_device_name(),
        "bare_gflops": job.lstm_flops() * STEPS / middle(bare) / 1e9,
        "fit_lstm_gflops": job.lstm_flops() * STEPS / middle(fitted) / 1e9,
        "fit_all_gflops": job.all_flops() * STEPS / middle(fitted) / 1e9,
        "synchronisations_a_step": synchronisations(job) / STEPS,
        "m4_hourly_s": spent(lambda: job.fit(steps=job.config.steps, watched=True)).wall,
    }


def synchronisations(job: Job) -> int:
    """How often the loop waited for the GPU in one turn."""
    import warnings

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            job.fit()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in said)


@dataclass(frozen=True)
class Spent:
    """Seconds that something took: wall, and of this process's processor time."""

    wall: float
    cpu: float


def spent(do: Callable[[], object]) -> Spent:
    """Runs it once; a GPU is waited for."""
    wall, cpu = time.perf_counter(), time.process_time()
    do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def middle(values: list[float]) -> float:
    """The median."""
    return float(np.median(values))


class Job:
    """A panel and how a member learns from it."""

    def __init__(self, panel: Panel, plan: Plan, config: TrainConfig) -> None:
        self.panel, self.plan, self.config = panel, plan, config

    @classmethod
    def like_m4_hourly(cls, device: str = "cpu") -> Job:
        """The plan that `train` makes for 414 hourly series, horizon 48."""
        rng = np.random.default_rng(0)
        hour = np.arange(LENGTH)
        day = rng.normal(size=(SERIES, 24))[:, hour % 24]
        values = 100 + 10 * day + rng.normal(size=(SERIES, LENGTH)).cumsum(1)
        panel = Panel(
            ids=np.array([f"series-{k:03d}" for k in range(SERIES)], dtype=object),
            offsets=np.arange(SERIES + 1) * LENGTH,
            values=values.reshape(-1),
            first=np.zeros(SERIES, np.int64),
            frequency=Frequency("h"),
        )
        settings = Settings.model_validate(
            {"forecast": {"horizon": HORIZON}, "training": {"device": device}}
        )
        plan = make_plan(panel, (24,), settings)
        return cls(panel, plan, replace(plan.config, seed=1))

    def fit(self, steps: int = STEPS, watched: bool = False) -> None:
        """Training steps of one member; `watched`: with the plan's validation origins."""
        fit(
            self.panel.values,
            self.panel.offsets,
            self.plan.layout,
            replace(self.config, steps=steps, patience=steps),
            validation=self.plan.validation if watched else None,
            initial=self.plan.start.weights,
        )

    def bare(self, steps: int = STEPS) -> None:
        """nn.LSTM of the same shape and precision forward and backward, and nothing else."""
        r, device = self.config, torch.device(self.config.device)
        half = self.precision() == "bf16"
        lstm = nn.LSTM(r.hidden_size, r.hidden_size, r.layers).to(device)
        x = torch.randn(r.context, r.batch_size, r.hidden_size, device=device)
        for _ in range(steps):
            lstm.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                made = lstm(x)[0]
            made.sum().backward()

    def precision(self) -> str:
        """The number format of matrix products here."""
        return resolve_precision(self.config, torch.device(self.config.device))

    def members(self, jobs: int) -> None:
        """Two members in processes of their own, `jobs` at a time."""
        plan = self.plan
        task = MemberTask(
            self.panel.values, self.panel.offsets, plan.keep, plan.validation, plan.layout,
            replace(plan.config, steps=CORES_STEPS, patience=CORES_STEPS), 0.0, 1.0,
            plan.start.weights,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as place:
            train_members(task, [1, 2], Path(place), jobs)

    def lstm_flops(self) -> float:
        """Of the LSTM's matrix products in one step, forward and backward: 3 x 2 x 4h (h + h)
        for each LSTM step, window and layer."""
        r = self.config
        return 48.0 * r.hidden_size**2 * r.context * r.batch_size * r.layers

    def all_flops(self) -> float:
        """The same of the whole network: the LSTM's, and all others as torch counts them."""
        counter = FlopCounterMode(display=False)
        with (
            counter,
            mock.patch("forecast.models.networks.torch_layers.ONEDNN", False),
        ):  # unknown to it
            self.fit(steps=2)
        return self.lstm_flops() + counter.get_total_flops() / 2

    def words(self) -> str:
        """The shape."""
        r = self.config
        return (
            f"{r.context} LSTM steps x {r.batch_size} windows, {r.layers} layers of "
            f"{r.hidden_size} units, {r.origins_per_window} origins a window, horizon {r.horizon}, "
            f"products in {self.precision()}"
        )


class LSTMClock:
    """Seconds spent inside every nn.LSTM while `running`."""

    def __init__(self) -> None:
        self.forward = self.backward = self._since = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hooks on all modules of the process for the time of the block."""
        placed = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave),
        ]
        try:
            yield
        finally:
            for each in placed:
                each.remove()

    def _enter(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.LSTM):
            if inputs[0].requires_grad:  # its gradient is there once the LSTM's backward is over
                inputs[0].register_hook(self._backward_ends)
            self._since = time.perf_counter()

    def _leave(self, module: nn.Module, inputs: object, output: Any) -> None:
        if isinstance(module, nn.LSTM):
            self.forward += time.perf_counter() - self._since
            states = output if isinstance(output, torch.Tensor) else output[0]
            if states.requires_grad:
                states.register_hook(self._backward_begins)

    def _backward_begins(self, gradient: torch.Tensor) -> None:
        self._since = time.perf_counter()

    def _backward_ends(self, gradient: torch.Tensor) -> None:
        self.backward += time.perf_counter() - self._since
